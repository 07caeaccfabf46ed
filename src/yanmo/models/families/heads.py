"""Heads that many families share, the classes that have them, and the names of their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.errors import InputError
from yanmo.models.families.mapping import Weight, linear
from yanmo.models.heads import HeadConfig, HeadKind, Select, TransformConfig
from yanmo.models.transformer import TransformerConfig

Classes = Mapping[str, tuple[HeadKind, ...]]

# What stands behind a family's name in the names of its encoders' classes, and the heads that each has.
ENCODER_CLASSES: Classes = {
    "Model": (),
    "ForMaskedLM": (HeadKind.MASKED_LM,),
    "ForSequenceClassification": (HeadKind.SEQUENCE_CLASSIFICATION,),
    "ForTokenClassification": (HeadKind.TOKEN_CLASSIFICATION,),
    "ForQuestionAnswering": (HeadKind.SPAN,),
}


def causal_lm(vocab_size: int, *, tied: bool, **settings: Any) -> HeadConfig:
    """The next token; ``settings`` are further ones of ``HeadConfig``."""
    return HeadConfig(kind=HeadKind.CAUSAL_LM, num_outputs=vocab_size, tied=tied, **settings)


def masked_lm(vocab_size: int, transform: TransformConfig, *, tied: bool, bias: bool = True) -> HeadConfig:
    """Masked tokens, behind a transform to the embedding's width."""
    return HeadConfig(
        kind=HeadKind.MASKED_LM, num_outputs=vocab_size, transform=transform, tied=tied, bias=bias
    )


def classifier(
    kind: HeadKind,
    labels: tuple[str, ...],
    *,
    select: Select = Select.ALL,
    transform: TransformConfig | None = None,
    bias: bool = True,
) -> HeadConfig:
    """One output a label.

    Raises:
        InputError: there is no label.
    """
    if not labels:
        raise InputError("id2label names no label", remedy="name at least one")
    return HeadConfig(
        kind=kind, num_outputs=len(labels), select=select, transform=transform, bias=bias, labels=labels
    )


def span(transform: TransformConfig | None = None) -> HeadConfig:
    """Where an answer begins and where it ends."""
    return HeadConfig(kind=HeadKind.SPAN, num_outputs=2, transform=transform, bias=True)


def label_table(config: TransformerConfig) -> dict[str, Any]:
    """The labels of a classifier as config.json has them; nothing where there are none."""
    labels = next((head.labels for head in config.heads if head.labels), ())
    if not labels:
        return {}
    return {
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def kinds_of(config: Mapping[str, Any], name: str, classes: Classes) -> tuple[HeadKind, ...]:
    """Heads of the class that a config.json names; of the bare model where it names none.

    Args:
        config: content of config.json, whose class is one of ``classes``.
        name: of the family, as its classes begin.
        classes: ends of their names.
    """
    named = config.get("architectures") or [f"{name}Model"]
    return classes[named[0].removeprefix(name)]


def class_of(config: TransformerConfig, name: str, classes: Classes) -> str:
    """Name of the class that has the heads of a model.

    Raises:
        InputError: there is none.
    """
    kinds = tuple(head.kind for head in config.heads)
    for end, heads in classes.items():
        # A pooler can be absent: a bare model is a bare model.
        if heads == kinds or (end == "Model" and not kinds):
            return f"{name}{end}"
    raise InputError(f"no class of {name} has the heads {', '.join(kinds)}")


def head_weights(config: TransformerConfig, names: Mapping[HeadKind, Mapping[str, str]]) -> Iterator[Weight]:
    """Weights of a model's heads, as far as each has them.

    Args:
        config: of the model.
        names: for each kind, ``dense``, ``norm`` and ``output`` to their modules, and ``bias`` to the bias of
            the output where it stands apart.
    """
    for head in config.heads:
        ours, theirs, transform = f"heads.{head.kind.value}.", names[head.kind], head.transform
        if transform is not None:
            yield from linear({"transform.dense": theirs["dense"]}, bias=transform.bias, prefix=(ours, ""))
            if transform.norm is not None:
                norm = {"transform.norm": theirs["norm"]}
                yield from linear(norm, bias=transform.norm.bias, prefix=(ours, ""))
        if not head.num_outputs:
            continue
        output_bias = f"{theirs['output']}.bias"
        apart = theirs.get("bias", output_bias)
        if not head.tied:
            yield Weight(f"{ours}output.weight", (f"{theirs['output']}.weight",))
            if head.bias:
                # Where nothing is tied, a bias apart is a repetition that is not looked at.
                copies = (apart,) if apart != output_bias else ()
                yield Weight(f"{ours}bias", (output_bias,), aliases=copies, copies=copies)
        elif head.bias:
            yield Weight(f"{ours}bias", (apart,), aliases=(output_bias,))
