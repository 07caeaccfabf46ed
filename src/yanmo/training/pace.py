"""How fast a run goes, and how many steps fit into the time that is left."""

from __future__ import annotations

from yanmo.training.schedule import Schedule
from yanmo.training.state import TrainingState

# Share of the run between two corrections of the number of steps.
_RETARGET_EVERY = 0.02


class Pace:
    """Seconds a batch, measured since the last correction."""

    def __init__(self, deadline_s: float | None, *, most_steps: int | None = None) -> None:
        """Measure a run.

        Args:
            deadline_s: of training, all sessions together; None where the steps are fixed.
            most_steps: that it makes, even where time is left.
        """
        self._deadline_s, self._most_steps = deadline_s, most_steps
        self._from_batch, self._from_s = 0, 0.0

    def begin(self, state: TrainingState) -> None:
        """Measure from here on."""
        self._from_batch, self._from_s = state.batch, state.elapsed_s

    def retarget(self, state: TrainingState, schedule: Schedule) -> None:
        """Now and then, let the schedule end when the time does."""
        if self._deadline_s is None:
            return
        span_s, num_batches = state.elapsed_s - self._from_s, state.batch - self._from_batch
        left_s = self._deadline_s - state.elapsed_s
        if left_s > 0 and (span_s < _RETARGET_EVERY * self._deadline_s or num_batches < 3):
            return
        # Batches that are skipped take time too.
        left = max(0, round(left_s * num_batches / span_s)) if left_s > 0 else 0
        last = state.step + left
        schedule.retarget(state.step, last if self._most_steps is None else min(last, self._most_steps))
        self.begin(state)

    def time_left_s(self, state: TrainingState, schedule: Schedule) -> float:
        """Until the end, as far as can be told."""
        if self._deadline_s is not None and self._most_steps is None:
            return self._deadline_s - state.elapsed_s
        batch_s = (state.elapsed_s - self._from_s) / max(1, state.batch - self._from_batch)
        return (schedule.num_steps - state.step) * batch_s
