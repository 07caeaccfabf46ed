"""Examples to token ids: one text, or two that are told apart, with the special tokens of their model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from yanmo.finetuning.batches import Encoded
from yanmo.finetuning.skill import Skill
from yanmo.tasks.examples import Example
from yanmo.tokenizers.load import Tokenizer


def encode_texts(
    inputs: Sequence[tuple[str, ...]],
    tokenizer: Tokenizer,
    *,
    max_seq_len: int,
    num_types: int,
    targets: Sequence[Any] | None = None,
) -> list[Encoded[Any]]:
    """Texts, or pairs of texts, as a model takes them; what is too long is cut, of a pair the longer first.

    Args:
        inputs: of each example one text or two, of all as many.
        tokenizer: of the model.
        max_seq_len: longest result in tokens.
        num_types: token types that the model knows; 0 or 1 where it tells none apart.
        targets: what is to be learned from each.

    Raises:
        InputError: a text is not valid Unicode.
    """
    firsts = [texts[0] for texts in inputs]
    seconds = [texts[1] for texts in inputs] if inputs and len(inputs[0]) > 1 else None
    encodings = tokenizer.encode_batch_with_specials(firsts, seconds, max_seq_len=max_seq_len)
    typed = num_types > 1 and seconds is not None
    return [
        Encoded(
            ids=np.array(encoding.ids, np.int64),
            types=np.array(encoding.type_ids, np.int64) if typed else None,
            target=None if targets is None else targets[place],
        )
        for place, encoding in enumerate(encodings)
    ]


def encode_examples(
    examples: Sequence[Example],
    skill: Skill[Any],
    tokenizer: Tokenizer,
    *,
    max_seq_len: int,
    num_types: int,
    labelled: bool = True,
) -> list[Encoded[Any]]:
    """Examples with what is learned from them; arguments as of ``encode_texts``.

    Raises:
        InputError: as ``encode_texts``, or a label is unknown.
    """
    return encode_texts(
        [example.inputs() for example in examples],
        tokenizer,
        max_seq_len=max_seq_len,
        num_types=num_types,
        targets=[skill.target(example) for example in examples] if labelled else None,
    )
