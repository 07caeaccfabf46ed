"""Which tokens begin an answer, end it, and never stand in it: what a model's own files say.

generation_config.json decides, then config.json, where older folders have these settings. How tokens are
drawn (temperature, beams, lengths) is the caller's choice and not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import shorten
from yanmo.reporting.progress import say_once

# No vocabulary is near; a longer list is no list of tokens.
_MOST_IDS = 10**7


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """Token ids that a model's answers are made with.

    Attributes:
        first_ids: what the answer of an encoder-decoder begins after; empty for a model that continues
            its prompt.
        end_ids: each of them ends an answer.
        suppressed_ids: never drawn.
    """

    first_ids: tuple[int, ...] = ()
    end_ids: tuple[int, ...] = ()
    suppressed_ids: tuple[int, ...] = ()


def read_generation_settings(
    generation_config: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    vocab_size: int,
    has_source: bool,
    where: object,
) -> GenerationSettings:
    """What the files of a model say.

    Args:
        generation_config: content of generation_config.json; empty where there is none.
        config: content of config.json.
        vocab_size: ids that the model knows. Others that the files name can never be drawn and are left out.
        has_source: whether the model answers a source text (an encoder-decoder).
        where: the model, for messages.

    Raises:
        InputError: a setting is no token id, or an encoder-decoder's answer has no beginning.
    """
    said = {**config, **{key: value for key, value in generation_config.items() if value is not None}}

    def ids(name: str) -> tuple[int, ...]:
        value = said.get(name)
        listed = value if isinstance(value, list) else [] if value is None else [value]
        fine = len(listed) <= _MOST_IDS and all(type(item) is int for item in listed)
        if not fine:
            raise InputError(f"{name} = {shorten(value)} is no token id", where=where)
        return tuple(dict.fromkeys(item for item in listed if 0 <= item < vocab_size))

    first_ids: tuple[int, ...] = ()
    if has_source:
        start = ids("decoder_start_token_id") or ids("bos_token_id")
        if not start:
            raise InputError(
                "does not say which token an answer begins with",
                where=where,
                remedy="give decoder_start_token_id in generation_config.json",
            )
        first_ids = start[:1] + ids("forced_bos_token_id")[:1]
    suppressed = (*ids("suppress_tokens"), *_bad_ids(said.get("bad_words_ids"), where))
    return GenerationSettings(
        first_ids=first_ids,
        end_ids=ids("eos_token_id"),
        suppressed_ids=tuple(sorted({item for item in suppressed if 0 <= item < vocab_size})),
    )


def _bad_ids(value: object, where: object) -> list[int]:
    """Tokens that are forbidden by themselves; sequences of several are not watched for."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(
        isinstance(word, list) and all(type(item) is int for item in word) for word in value
    ):
        raise InputError(f"bad_words_ids = {shorten(value)} is no list of lists of token ids", where=where)
    if any(len(word) > 1 for word in value):
        say_once(f"{where}: bad_words_ids of more than one token are not kept out of answers")
    return [word[0] for word in value if len(word) == 1]
