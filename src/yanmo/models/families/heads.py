"""Heads that many families share."""

from __future__ import annotations

from typing import Any

from yanmo.models.heads import HeadConfig, HeadKind, Select, TransformConfig
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.feed_forward import Activation
from yanmo.nn.norm import NormConfig


def causal_lm(vocab_size: int, *, tied: bool, **settings: Any) -> HeadConfig:
    """The next token; ``settings`` are further ones of ``HeadConfig``."""
    return HeadConfig(kind=HeadKind.CAUSAL_LM, num_outputs=vocab_size, tied=tied, **settings)


def tied_masked_lm(vocab_size: int, *, width: int, activation: Activation, norm: NormConfig) -> HeadConfig:
    """Masked tokens behind a transform to the embedding's width, by the embedding."""
    transform = TransformConfig(width=width, activation=activation, norm=norm)
    return HeadConfig(
        kind=HeadKind.MASKED_LM, num_outputs=vocab_size, transform=transform, tied=True, bias=True
    )


def classifier(
    kind: HeadKind,
    labels: tuple[str, ...],
    *,
    select: Select = Select.ALL,
    transform: TransformConfig | None = None,
    bias: bool = True,
) -> HeadConfig:
    """One output a label."""
    return HeadConfig(
        kind=kind, num_outputs=len(labels), select=select, transform=transform, bias=bias, labels=labels
    )


def label_table(config: TransformerConfig) -> dict[str, Any]:
    """The labels of a classifier as config.json has them; nothing where there are none."""
    labels = next((head.labels for head in config.heads if head.labels), ())
    if not labels:
        return {}
    return {
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }
