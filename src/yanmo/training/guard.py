"""What stands between a bad batch and the weights.

A loss that is no number, or that leaps far above its running mean, is caught before the weights move,
and the batch is skipped. Where bad batches stay, the run goes back to its last good checkpoint and on past
the batches seen since, which is what Chowdhery et al. 2022 (arXiv 2204.02311, section 5.1) did by hand; where
that does not help either, it stops. Everything the guard knows is saved with the run, so that a resumed run
judges every batch as one that was never stopped.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

# A spike is this far above the running mean: in mean deviations, and in nats a token.
_SPIKE_DEVIATIONS, _SPIKE_NATS = 10.0, 1.0
# Losses that must have been seen before one can be called a spike, and how many the means reach back.
_FEWEST_SEEN, _REACH = 50, 50
# A bad batch weighs as much as ten good ones; three in a row, or one in eleven for long, are too many.
_STRIKE, _STRIKES_OUT = 10, 30
# Going back this many times without a better validation in between means that it would not converge.
_MOST_ROLLBACKS = 2


class Verdict(enum.Enum):
    """What a bad batch leads to."""

    SKIP = "skip"
    ROLL_BACK = "roll back"
    STOP = "stop"


@dataclass(kw_only=True)
class Guard:
    """Running statistics of the loss, and what has gone wrong so far.

    Attributes:
        num_seen: losses that the statistics are of.
        mean_nats: running mean of the loss of a step, nats a token.
        deviation_nats: running mean of its distance from that mean.
        strikes: rises with bad batches, falls with good ones.
        num_skipped: bad batches of the whole run.
        num_rollbacks: times the run went back since its last better validation.
    """

    num_seen: int
    mean_nats: float
    deviation_nats: float
    strikes: int
    num_skipped: int
    num_rollbacks: int

    @classmethod
    def fresh(cls) -> Guard:
        """Nothing seen, nothing wrong."""
        return cls(num_seen=0, mean_nats=0.0, deviation_nats=0.0, strikes=0, num_skipped=0, num_rollbacks=0)

    def fault(self, loss_nats: float, *, is_settled: bool) -> str:
        """What is wrong with the loss of a step; empty where nothing is.

        Args:
            loss_nats: mean a token.
            is_settled: False while the learning rate still warms up, when losses leap by themselves.
        """
        if not math.isfinite(loss_nats):
            return "the loss is not a finite number"
        margin = max(_SPIKE_NATS, _SPIKE_DEVIATIONS * self.deviation_nats)
        if is_settled and self.num_seen >= _FEWEST_SEEN and loss_nats > self.mean_nats + margin:
            return f"the loss leapt to {loss_nats:.2f} nats from about {self.mean_nats:.2f}"
        return ""

    def accept(self, loss_nats: float) -> None:
        """Take the loss of a step that was made into the statistics."""
        share = max(1 / (self.num_seen + 1), 1 / _REACH)
        if self.num_seen:
            self.deviation_nats += share * (abs(loss_nats - self.mean_nats) - self.deviation_nats)
        self.mean_nats += share * (loss_nats - self.mean_nats)
        self.num_seen += 1
        self.strikes = max(0, self.strikes - 1)

    def strike(self) -> Verdict:
        """Count a bad batch and say what follows."""
        self.num_skipped += 1
        self.strikes += _STRIKE
        if self.strikes < _STRIKES_OUT:
            return Verdict.SKIP
        self.strikes = 0
        self.num_rollbacks += 1
        return Verdict.ROLL_BACK if self.num_rollbacks < _MOST_ROLLBACKS else Verdict.STOP

    def go_back_to(self, earlier: Guard) -> None:
        """Take the statistics of an earlier moment; what went wrong since stays known."""
        self.num_seen, self.mean_nats = earlier.num_seen, earlier.mean_nats
        self.deviation_nats = earlier.deviation_nats

    def is_good(self, valid_nats: float, best_nats: float) -> bool:
        """Whether a model with this validation loss is one to go back to."""
        return math.isfinite(valid_nats) and valid_nats < best_nats + _SPIKE_NATS

    def improved(self) -> None:
        """The model is better than ever on the validation text: earlier trouble is over."""
        self.num_rollbacks = 0
