"""64-bit hashes that are the same in every process and on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


def mix(values: Hashes) -> Hashes:
    """Spread every bit over all 64, by the last step of splitmix64 (Steele, Lea and Flood 2014).

    ``values`` are overwritten.
    """
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values
