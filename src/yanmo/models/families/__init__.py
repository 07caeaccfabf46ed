"""Families of checkpoints: how each one's config and weight names map to the one stack.

A family is a module with ``ARCHITECTURES``, ``PREFIX``, ``IGNORED``, ``read_config``, ``write_config`` and
``weights``; it is used in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from yanmo.errors import InputError
from yanmo.models.families import (
    albert,
    bart,
    bert,
    distilbert,
    electra,
    gemma3,
    gpt2,
    gpt_neox,
    llama,
    mixtral,
    modernbert,
    olmo2,
    phi3,
    qwen2,
    qwen3,
    qwen3_moe,
    roberta,
    t5,
)
from yanmo.models.families.mapping import Weight
from yanmo.models.files.foreign_files import shorten
from yanmo.models.transformer import TransformerConfig


class Family(Protocol):
    """What a module of a family offers."""

    @property
    def ARCHITECTURES(self) -> tuple[str, ...]:
        """Class names that config.json may give; the first where it gives none."""

    @property
    def PREFIX(self) -> str:
        """What stands before the bare model's names in checkpoints that have a head."""

    @property
    def IGNORED(self) -> tuple[str, ...]:
        """Patterns of weights that hold nothing a model needs."""

    def read_config(self, config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
        """Our config of a config.json, whose ``architectures`` are among those known.

        Raises:
            InputError: a key is missing, or asks for something that the stack does not do.
        """

    def write_config(self, config: TransformerConfig, *, model_type: str) -> dict[str, Any]:
        """The config.json of ours, as one of the family's model types."""

    def weights(self, config: TransformerConfig) -> Iterator[Weight]:
        """Our weight names and theirs."""


# model_type of config.json to the family's module.
FAMILIES: dict[str, Family] = {
    "gpt2": gpt2,
    "gpt_neox": gpt_neox,
    "llama": llama,
    "mistral": llama,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gemma3_text": gemma3,
    "gemma3": gemma3,
    "phi3": phi3,
    "olmo2": olmo2,
    "mixtral": mixtral,
    "qwen3_moe": qwen3_moe,
    "bert": bert,
    "roberta": roberta,
    "xlm-roberta": roberta,
    "distilbert": distilbert,
    "electra": electra,
    "albert": albert,
    "modernbert": modernbert,
    "t5": t5,
    "mt5": t5,
    "bart": bart,
    "mbart": bart,
    "marian": bart,
}


def family_of(config: Mapping[str, Any], *, where: object) -> Family:
    """The family that a config.json belongs to.

    Raises:
        InputError: the model type or the architecture is not known.
    """
    model_type = config.get("model_type")
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if str(model_type).startswith("yanmo-"):
        raise InputError(
            f"a {model_type} is no Transformer, and this needs one",
            where=where,
            remedy="yanmo inspect says what a model is",
        )
    if family is None:
        known = ", ".join(FAMILIES)
        raise InputError(f"unknown model type {shorten(model_type)}", where=where, remedy=f"known: {known}")
    named, listed = named_architecture(config), config.get("architectures") or []
    if named not in family.ARCHITECTURES or not isinstance(listed, list):
        known = ", ".join(family.ARCHITECTURES)
        raise InputError(f"unknown architecture {shorten(named)}", where=where, remedy=f"known: {known}")
    return family


def named_architecture(config: Mapping[str, Any]) -> str:
    """The class name that a config.json gives, or the first of its family where it gives none."""
    named = config.get("architectures")
    if named:
        return str(named[0] if isinstance(named, list) else named)
    family = FAMILIES.get(str(config.get("model_type")))
    return family.ARCHITECTURES[0] if family is not None else "unknown"


def any_architecture(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same config; where its class name is not known, with one that is: they differ in their heads."""
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None or named_architecture(config) in family.ARCHITECTURES:
        return config
    return {**config, "architectures": [family.ARCHITECTURES[0]]}
