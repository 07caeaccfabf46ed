"""Chinese words by the dictionary segmenter ``rjieba``, the one place that knows it.

Viterbi over a prefix dictionary, and a hidden Markov model for words that it lacks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from importlib import metadata

from yanmo.errors import InputError

_SEGMENTER = "rjieba"


def chinese_words(run: str) -> list[str]:
    """The words of a run of Chinese characters; joined, they are the run again.

    Raises:
        InputError: the segmenter is not installed.
    """
    return _cut()(run)


def segmenter_version() -> str | None:
    """The segmenter with its version; None where there is none."""
    try:
        return f"{_SEGMENTER} {metadata.version(_SEGMENTER)}"
    except metadata.PackageNotFoundError:
        return None


@cache
def _cut() -> Callable[[str], list[str]]:
    try:
        cut: Callable[[str], list[str]] = importlib.import_module(_SEGMENTER).cut
    except ImportError:
        raise InputError(
            f"cutting Chinese into words needs the package {_SEGMENTER}",
            remedy="pip install yanmo[classical], or do without words (mask single tokens; take the "
            "analyser 'bigrams')",
        ) from None
    return cut
