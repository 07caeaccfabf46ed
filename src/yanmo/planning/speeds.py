"""Measured steps of a few sizes, and what they say of all others."""

from __future__ import annotations

import math

import numpy as np

from yanmo.planning.candidate import Candidate
from yanmo.planning.shapes import Sizes


class Speeds:
    """What real steps took beside what the cost model says, by the size of the network."""

    def __init__(self) -> None:
        self._ratios: dict[float, float] = {}
        self._measured: set[tuple[Sizes, int]] = set()

    def add(self, candidate: Candidate, measured_s: float) -> None:
        """Note that a step of a candidate took so long."""
        size = math.log(candidate.num_parameters)
        self._ratios[size] = self.correction(candidate.num_parameters) * (
            measured_s / candidate.predicted_step_s
        )
        self._measured.add((candidate.sizes, candidate.batch_size))

    def know(self, candidate: Candidate) -> bool:
        """Whether steps of just this candidate were measured."""
        return (candidate.sizes, candidate.batch_size) in self._measured

    def correction(self, num_parameters: int) -> float:
        """Factor on the model's seconds: between two sizes in proportion, beyond them the nearest."""
        if not self._ratios:
            return 1.0
        sizes = sorted(self._ratios)
        return float(np.interp(math.log(num_parameters), sizes, [self._ratios[size] for size in sizes]))
