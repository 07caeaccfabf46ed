"""What is read off a stack's hidden states: tokens, labels, spans, or one vector a text.

Every head is the same three steps, each of which may be absent: select tokens, transform them, and
multiply by an output matrix (tied to the embedding or its own). The transform before BERT's masked tokens
and its pooler: Devlin et al. 2019 (arXiv 1810.04805, section 3.1). Replaced tokens: Clark et al. 2020
(arXiv 2003.10555, section 2). Capped logits: Gemma Team 2024 (arXiv 2408.00118, section 2).

Shapes: B rows, T tokens, D = d_model, V vocabulary, C outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from yanmo.nn.feed_forward import ACTIVATIONS, Activation
from yanmo.nn.norm import NormConfig, build_norm
from yanmo.nn.packing import Segments


class HeadKind(StrEnum):
    """What a head answers."""

    CAUSAL_LM = "causal_lm"
    SEQ2SEQ_LM = "seq2seq_lm"
    MASKED_LM = "masked_lm"
    NEXT_SENTENCE = "next_sentence"
    REPLACED_TOKEN = "replaced_token"
    SEQUENCE_CLASSIFICATION = "sequence_classification"
    TOKEN_CLASSIFICATION = "token_classification"
    SPAN = "span"
    POOLED = "pooled"


class Select(StrEnum):
    """Which hidden states a head looks at: all, or one vector a text."""

    ALL = "all"
    FIRST = "first"
    LAST = "last"
    MEAN = "mean"


@dataclass(frozen=True, kw_only=True)
class TransformConfig:
    """A product, an activation and a norm before the output."""

    width: int
    activation: Activation | None
    norm: NormConfig | None = None
    bias: bool = True


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """One head.

    Attributes:
        kind: what it answers.
        num_outputs: numbers it gives for each token or text; 0 where the transform is the answer.
        select: which hidden states it looks at.
        transform: what stands before the output, or None.
        tied: whether the output matrix is the embedding.
        bias: whether the output has one.
        scale: factor on the hidden states.
        softcap: outputs are squeezed into (-softcap, softcap).
        labels: names of the outputs, where they have names.
    """

    kind: HeadKind
    num_outputs: int
    select: Select = Select.ALL
    transform: TransformConfig | None = None
    tied: bool = False
    bias: bool = False
    scale: float = 1.0
    softcap: float | None = None
    labels: tuple[str, ...] = ()


class Head(nn.Module):
    """Select, transform, project."""

    def __init__(self, d_model: int, config: HeadConfig) -> None:
        """A tied head has no matrix of its own: it is given in ``forward``."""
        super().__init__()
        self.config = config
        transform = config.transform
        self.transform = Transform(d_model, transform) if transform is not None else None
        width = transform.width if transform is not None else d_model
        self.output: nn.Linear | None = None
        self.bias: nn.Parameter | None = None
        if config.num_outputs and not config.tied:
            self.output = nn.Linear(width, config.num_outputs, bias=False)
        if config.num_outputs and config.bias:
            self.bias = nn.Parameter(torch.zeros(config.num_outputs))

    def weight_VD(self, table_VD: Tensor) -> Tensor:
        """The output matrix; ``table_VD`` is the embedding's."""
        return table_VD if self.output is None else self.output.weight

    def features(self, hidden: Tensor) -> Tensor:
        """What is multiplied by the output matrix, from selected hidden states (..., D)."""
        if self.transform is not None:
            hidden = self.transform(hidden)
        return hidden if self.config.scale == 1.0 else hidden * self.config.scale

    def project(self, features: Tensor, table_VD: Tensor) -> Tensor:
        """Outputs (..., C) of features (..., D); the features themselves where there is no output."""
        if not self.config.num_outputs:
            return features
        logits = nn.functional.linear(features, self.weight_VD(table_VD), self.bias)
        softcap = self.config.softcap
        return logits if softcap is None else torch.tanh(logits / softcap) * softcap

    def forward(self, hidden_BTD: Tensor, table_VD: Tensor, segments: Segments | None = None) -> Tensor:
        """Outputs of each token (B, T, C), or of each text (B, C)."""
        selected = select(hidden_BTD, self.config.select, segments)
        return self.project(self.features(selected), table_VD)


class Transform(nn.Module):
    """norm(act(x W + b))."""

    def __init__(self, d_model: int, config: TransformConfig) -> None:
        """Sizes as configured."""
        super().__init__()
        self.dense = nn.Linear(d_model, config.width, bias=config.bias)
        self._activation = ACTIVATIONS[config.activation] if config.activation else nn.Identity()
        self.norm = build_norm(config.width, config.norm) if config.norm is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """From (..., D) to (..., width)."""
        return self.norm(self._activation(self.dense(x)))


def select(hidden_BTD: Tensor, which: Select, segments: Segments | None) -> Tensor:
    """Hidden states that a head looks at.

    Args:
        hidden_BTD: of rows of equal length, or one packed row.
        which: all, or one vector a text.
        segments: the texts of a packed row.

    Returns:
        hidden_BTD as it is, or one vector a text (B, D).
    """
    if which is Select.ALL:
        return hidden_BTD
    if segments is None:
        if which is Select.MEAN:
            return hidden_BTD.mean(1)
        return hidden_BTD[:, 0 if which is Select.FIRST else -1]
    hidden_ND = hidden_BTD[0]
    if which is Select.MEAN:
        sums_BD = hidden_ND.new_zeros(len(segments.lengths), hidden_ND.shape[1])
        return sums_BD.index_add(0, segments.texts_N, hidden_ND) / segments.lengths_B[:, None].to(
            hidden_ND.dtype
        )
    first_B = segments.starts_B
    return hidden_ND[first_B if which is Select.FIRST else first_B + segments.lengths_B - 1]
