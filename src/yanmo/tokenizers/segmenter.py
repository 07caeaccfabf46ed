"""Chinese words by the dictionary segmenter ``rjieba``, the one place that knows it.

Viterbi over a prefix dictionary, and a hidden Markov model for words that it lacks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import Any

from yanmo.errors import InputError

_SEGMENTER = "rjieba"


def chinese_words(run: str) -> list[str]:
    """The words of a run of Chinese characters; joined, they are the run again.

    Raises:
        InputError: the segmenter is not installed.
    """
    return _cut()(run)


def tagged_words(text: str) -> list[tuple[str, str]]:
    """The words of a Chinese text with their parts of speech; joined, the words are the text again.

    Tags are those of the Peking University corpus (Yu et al. 2002): n noun, nr name of a person, ns of a
    place, nt of an organisation, v verb, a adjective, d adverb, r pronoun, p preposition, c conjunction,
    m number, q measure word, u particle ...; eng for Latin letters, x for everything else.

    Raises:
        InputError: the segmenter is not installed.
    """
    return _module().tag(text)


def segmenter_version() -> str | None:
    """The segmenter with its version; None where there is none."""
    try:
        return f"{_SEGMENTER} {metadata.version(_SEGMENTER)}"
    except metadata.PackageNotFoundError:
        return None


def _module() -> Any:
    try:
        return importlib.import_module(_SEGMENTER)
    except ImportError:
        raise InputError(
            f"cutting Chinese into words needs the package {_SEGMENTER}",
            remedy="pip install yanmo[classical], or do without words (mask single tokens; take the "
            "analyser 'bigrams')",
        ) from None


@cache
def _cut() -> Callable[[str], list[str]]:
    cut: Callable[[str], list[str]] = _module().cut
    return cut
