"""What makes probabilities of a fine-tuned model mean what they say, kept in its config.json.

A temperature divides the outputs of the head, and thresholds part what is answered from what is not. The
weights stay as they are: a program that does not know of it reads the plain outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from yanmo.errors import InputError

DecideBy = Literal["f1", "probability"]
_TEMPERATURE, _THRESHOLDS = "finetuning_temperature", "finetuning_thresholds"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How outputs become probabilities, and probabilities answers.

    Attributes:
        temperature: what outputs are divided by; above 1 where the model is surer than it is right.
        thresholds: one a label, above 0 and below 1; empty for a half, or for the most likely one.
    """

    temperature: float = 1.0
    thresholds: tuple[float, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """What config.json says of it; nothing where it changes nothing."""
        said: dict[str, Any] = {}
        if self.temperature != 1.0:
            said[_TEMPERATURE] = self.temperature
        if self.thresholds:
            said[_THRESHOLDS] = list(self.thresholds)
        return said

    @classmethod
    def read(cls, config: Mapping[str, Any], num_labels: int) -> Calibration:
        """From a config.json, which may be anybody's.

        Raises:
            InputError: it is no temperature, or not a threshold a label.
        """
        temperature, thresholds = config.get(_TEMPERATURE, 1.0), config.get(_THRESHOLDS, [])
        if not _is_between(temperature, 0.0, math.inf):
            raise InputError(
                f"config.json has the temperature {temperature!r}", remedy="it is a number above 0"
            )
        fits = isinstance(thresholds, list) and len(thresholds) in (0, num_labels)
        if not fits or not all(_is_between(one, 0.0, 1.0) for one in thresholds):
            raise InputError(
                f"config.json has the thresholds {str(thresholds)[:60]}",
                remedy=f"they are {num_labels} numbers between 0 and 1, one a label",
            )
        return cls(temperature=float(temperature), thresholds=tuple(map(float, thresholds)))


UNCALIBRATED = Calibration()


def _is_between(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low < value < high
