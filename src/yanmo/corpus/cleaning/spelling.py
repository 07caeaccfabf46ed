"""English spelling corrected where what was meant is plain, by SymSpell (W. Garbe 2012; symspellpy, MIT
licence).

A word is corrected only if it is in no dictionary, also not with its endings off or as a compound; is
written in small letters, or with one capital where a sentence begins (elsewhere that is a name); is not
part of an address, a path, a number or code; is not used again and again in the text (then it is a term);
and one word, far commoner than any other, lies nearest to it by insertions, deletions, substitutions and
transpositions: one of them in short words, up to two in long ones. The order is for precision: a typing
error left costs a model less than a right word made wrong.

Chinese is not corrected: there each wrong character is itself a right one, and only a model of the
sentence can tell.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal

from yanmo.corpus.cleaning.words import english_words, is_english, is_english_word
from yanmo.corpus.edits import Edit

if TYPE_CHECKING:
    from symspellpy import SymSpell

Spelling = Literal["keep", "correct"]

_MIN_CHARS, _MAX_CHARS = 4, 20
_TWO_EDITS_FROM = 8
_TERM = 3
_LEAST_COUNT, _LEAST_COUNT_OF_CAPITALS = 1_000_000, 20_000_000
_SHORT = 6
_AMBIGUOUS = 0.05
# A word between white space, quotes and the punctuation of prose: nothing of an address, a path, a name in
# code.
_WORD = re.compile(
    rf"(?<![^\s(\"'“‘—])([A-Z]?[a-z]{{{_MIN_CHARS - 1},{_MAX_CHARS}}})(?=(?:['’]s)?[.,;:!?)\"'”’—]*(?:\s|\Z))"
)
_SENTENCE_START = re.compile(r"(?:\A|[.!?][\"'”’)]*\s|\n)[\s(\"'“‘]*\Z")
_LOOK_BACK = 8


def correct_spelling(text: str, *, language: str = "") -> list[Edit]:
    """Words of an English text that are none become those that were plainly meant.

    Args:
        text: the whole text.
        language: as far as it is known; where it is empty, English is recognised by its commonest words.
    """
    if language != "en" and (language or not is_english(text)):
        return []
    found = [(m.start(1), m[1]) for m in _WORD.finditer(text)]
    counts = Counter(word for _, word in found)
    wrong = {word: right for word, count in counts.items() if count < _TERM and (right := correct_word(word))}
    edits = []
    for start, word in found:
        if word not in wrong:
            continue
        if word[0].isupper() and not _SENTENCE_START.search(text, max(0, start - _LOOK_BACK), start):
            continue
        edits.append(Edit(start, start + len(word), wrong[word]))
    return edits


def correct_word(word: str) -> str:
    """What was plainly meant by a word that is none, with its capital; empty where nothing is plain."""
    right, count = _correction(word.lower())
    if not word[0].isupper():
        return right
    # The first word of a sentence may be a name.
    return right.capitalize() if count >= _LEAST_COUNT_OF_CAPITALS else ""


@lru_cache(maxsize=100_000)
def _correction(word: str) -> tuple[str, int]:
    if not _MIN_CHARS <= len(word) <= _MAX_CHARS or is_english_word(word):
        return "", 0
    found = _nearest(word)
    if word[-1] == "s" and word[-2] != "s":
        # Not every plural is in the dictionary.
        singular = [
            (distance, count, right + "s")
            for distance, count, right in _nearest(word[:-1])
            if right[-1] != "s"
        ]
        if singular and (not found or singular[0][0] < found[0][0]):
            found = singular
    if not found:
        return "", 0
    _, count, right = found[0]
    rivals = [rival for _, other, rival in found[1:] if other > _AMBIGUOUS * count]
    if rivals or count < _LEAST_COUNT or not _is_slip(word, right):
        return "", 0
    return right, count


def _nearest(word: str) -> list[tuple[int, int, str]]:
    """Distance, count and word of what is nearest in the dictionary, the commonest first."""
    from symspellpy import Verbosity

    distance = 2 if len(word) >= _TWO_EDITS_FROM else 1
    found = _speller().lookup(word, Verbosity.CLOSEST, max_edit_distance=distance)
    return [(item.distance, item.count, item.term) for item in found]


def _is_slip(word: str, right: str) -> bool:
    """Whether a hand makes this mistake: seldom in the first letter, or one for another in a short word."""
    if word[0] != right[0] and word[:2] != right[1::-1]:
        return False
    return len(word) > _SHORT or len(word) != len(right) or sorted(word) == sorted(right)


@cache
def _speller() -> SymSpell:
    """The index of deletions; takes seconds and some 200 MB, once a process."""
    from symspellpy import SymSpell

    speller = SymSpell(max_dictionary_edit_distance=2, prefix_length=7)
    for word, count in english_words().items():
        speller.create_dictionary_entry(word, count)
    return speller
