"""A network with another head than it was published with: what it knows stays, what is new is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from yanmo.errors import InputError
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.families import family_of
from yanmo.models.folder import load_transformer
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import Transformer

# What the classes that have a head alone are called behind the name of their family.
_CLASS_ENDS = {
    HeadKind.MASKED_LM: "ForMaskedLM",
    HeadKind.SEQUENCE_CLASSIFICATION: "ForSequenceClassification",
    HeadKind.TOKEN_CLASSIFICATION: "ForTokenClassification",
    HeadKind.SPAN: "ForQuestionAnswering",
}
# Heads that transform the first token's vector alike: what one has learned, another begins with.
_POOLERS = (HeadKind.POOLED, HeadKind.NEXT_SENTENCE, HeadKind.SEQUENCE_CLASSIFICATION)


def with_new_head(
    network: Transformer, checkpoint: Checkpoint, kind: HeadKind, *, labels: Sequence[str] = ()
) -> Transformer:
    """The network with one head of a kind, as its family has it; weights of the same name are taken over.

    Args:
        network: of the checkpoint.
        checkpoint: where it came from.
        kind: of the head.
        labels: names of the head's outputs, where they have names.

    Raises:
        InputError: the family has no class with this head.
    """
    family = family_of(checkpoint.config, where=checkpoint.config_path)
    end = _CLASS_ENDS.get(kind)
    classes = [name for name in family.ARCHITECTURES if end is not None and name.endswith(end)]
    if not classes:
        has = ", ".join(head.kind for head in network.config.heads) or "none"
        raise InputError(
            f"cannot have a {kind.value} head", where=checkpoint.path, remedy=f"its heads: {has}"
        )
    config = family.read_config(
        {**checkpoint.config, "architectures": classes[:1], **label_tables(labels)},
        where=checkpoint.config_path,
    )
    with_head = Transformer(config)
    known = dict(network.named_parameters())
    for other in _POOLERS if kind in _POOLERS else ():
        prefix = f"heads.{other.value}.transform."
        same = {name.removeprefix(prefix): known[name] for name in known if name.startswith(prefix)}
        known = {f"heads.{kind.value}.transform.{name}": weight for name, weight in same.items()} | known
    with torch.no_grad():
        for name, weight in with_head.named_parameters():
            if name in known and known[name].shape == weight.shape:
                weight.copy_(known[name])
    return with_head


def open_with_head(
    checkpoint: Checkpoint, kind: HeadKind, *, labels: Sequence[str] = (), dtype: torch.dtype = torch.float32
) -> Transformer:
    """The network of a checkpoint with a head of a kind: its own where it has one with these labels.

    Raises:
        InputError: the checkpoint is damaged, or its family has no class with this head.
    """
    network = load_transformer(
        checkpoint.config, checkpoint.source(), where=checkpoint.config_path, dtype=dtype
    )
    own = [head for head in network.config.heads if head.kind is kind]
    if own and own[0].labels == tuple(labels):
        return network
    return with_new_head(network, checkpoint, kind, labels=labels)


def label_tables(labels: Sequence[str]) -> dict[str, Any]:
    """The names of a head's outputs as a config.json has them; nothing where there are none."""
    if not labels:
        return {}
    return {
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }
