"""The causal objective of a recurrent model, with the penalties of AWD-LSTM.

Merity et al. 2017 (arXiv 1708.02182, section 4.6): L2 on the outputs after dropout (AR) and on their
changes from token to token (TAR). The loss that the loop reports while training includes them.

Departure: windows begin at an empty state, where the paper hands the state on from window to window
(section 5, backpropagation through time cut at the window's edge). A state that is handed on is part of
the run: a step would no longer be a function of (seed, step, rows), so that every checkpoint had to hold
the state of every row, processes could not exchange rows, a bad batch could not be left out, and rows
could not be visited in random order, which small texts, seen many times, are better for. In evaluation
and generation the state is carried from the first token to the last.
"""

from __future__ import annotations

from dataclasses import dataclass

from yanmo.data.loader import Batch
from yanmo.models.base import Trainable
from yanmo.models.lstm import LstmModel
from yanmo.nn.cross_entropy import linear_cross_entropy
from yanmo.training.objective import LossSum


@dataclass(frozen=True, kw_only=True)
class PenalisedCausal:
    """Predict each token from those before it; an ``Objective`` for an ``LstmModel``.

    Attributes:
        activation: weight of AR.
        temporal: weight of TAR.
    """

    activation: float = 2.0
    temporal: float = 1.0

    def __call__(self, model: Trainable, batch: Batch) -> LossSum:
        """Cross-entropy and penalties of one micro-batch, as a SUM over its tokens."""
        assert isinstance(model, LstmModel), "AR and TAR need a recurrent model"
        states = model.states(batch.inputs_BT)
        hidden_ND = states.hidden_BTD.flatten(0, 1)
        loss = linear_cross_entropy(hidden_ND, model.output_weight_VD, batch.targets_BT.flatten())
        penalty = states.penalty(activation=self.activation, temporal=self.temporal)
        return LossSum(loss + penalty, batch.targets_BT.numel())
