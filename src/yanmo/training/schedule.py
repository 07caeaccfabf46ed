"""Warm-up, stable, decay (Hu et al. 2024, arXiv 2404.06395, section 4.2), told by progress.

Progress runs from 0 to 1. With a fixed number of steps it is step / num_steps; with a time budget
the number of steps is corrected now and then from the measured speed (``retarget``), progress stays
continuous, and the decay still ends at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Shape of the learning-rate factor."""

    warmup_steps: int = 20
    decay_from: float = 0.4
    final_factor: float = 0.0


class Schedule:
    """Factor on every learning rate at each step."""

    def __init__(self, config: ScheduleConfig, num_steps: int) -> None:
        """Plan for ``num_steps`` steps."""
        self._config = config
        self.num_steps = num_steps
        self._anchor_step, self._anchor_progress = 0, 0.0

    def progress(self, step: int) -> float:
        """Share of the run that is done before ``step``, 0 to 1."""
        span = self.num_steps - self._anchor_step
        if span <= 0:
            return 1.0
        share = (step - self._anchor_step) / span
        return min(1.0, self._anchor_progress + (1 - self._anchor_progress) * share)

    def factor(self, step: int) -> float:
        """Factor for the update of ``step``, 0 to 1."""
        config = self._config
        # The middle of the step, so that neither the first nor the last update has factor zero.
        progress = min(1.0, self.progress(step) + 0.5 * (1 - self.progress(step)) / self._left(step))
        decay = min(1.0, (1 - progress) / max(1e-9, 1 - config.decay_from))
        factor = config.final_factor + (1 - config.final_factor) * decay
        warmup = (step + 1) / config.warmup_steps if step < config.warmup_steps else 1.0
        return min(factor, warmup)

    def retarget(self, step: int, num_steps: int) -> None:
        """From ``step`` on, plan to end after ``num_steps`` steps in all."""
        progress = self.progress(step)
        self._anchor_step, self._anchor_progress = step, progress
        self.num_steps = max(num_steps, step)

    def state(self) -> dict[str, float]:
        """What ``load`` needs to go on exactly."""
        return {
            "num_steps": self.num_steps,
            "anchor_step": self._anchor_step,
            "anchor_progress": self._anchor_progress,
        }

    def load(self, state: dict[str, float]) -> None:
        """Go on from a ``state``."""
        self.num_steps, self._anchor_step = int(state["num_steps"]), int(state["anchor_step"])
        self._anchor_progress = state["anchor_progress"]

    def _left(self, step: int) -> int:
        return max(1, math.ceil(self.num_steps - step))
