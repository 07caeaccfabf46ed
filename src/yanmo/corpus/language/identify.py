"""The language of a text and of each of its paragraphs.

Scripts decide first: what is written in Hangul or Thai needs no model, and Chinese and Japanese are told
apart by kana and by ideographs that only one of them has. Only among the languages of one script (Latin,
Cyrillic, Arabic, Devanagari ...) a model of byte n-grams decides (``model``), among those that are
written so.

What has too few letters, or is plainly program code, is in no language: its code is "".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yanmo.corpus.language import scripts
from yanmo.corpus.language.model import NO_LANGUAGE, load_language_model
from yanmo.corpus.language.scripts import CODE_MARK, FIRST_SCRIPT, HAN, KANA, SCRIPTS

SAMPLE_CHARS: Final = 320
"""Of a paragraph that a model must judge, no more than this many characters are read, from its middle."""

_WINDOWS = 16
_WINDOW_CHARS = 256

_ONE_LANGUAGE: Final = MappingProxyType(
    {
        "Grek": "el",
        "Armn": "hy",
        "Hebr": "he",
        "Thaa": "dv",
        "Guru": "pa",
        "Gujr": "gu",
        "Orya": "or",
        "Taml": "ta",
        "Telu": "te",
        "Knda": "kn",
        "Mlym": "ml",
        "Sinh": "si",
        "Thai": "th",
        "Laoo": "lo",
        "Tibt": "bo",
        "Mymr": "my",
        "Geor": "ka",
        "Hang": "ko",
        "Ethi": "am",
        "Khmr": "km",
        "Mong": "mn",
    }
)
_CHOICES: Final = MappingProxyType(
    {
        "Latn": (
            "af an az br ca cs cy da de en eo es et eu fi fo fr fy ga gd gl ha hr ht hu id ig is it jv"
            " ku la lb lg ln lt lv mg ms mt nl no oc om pl pt qu ro rw se sk sl sn so sq sr st sv sw tk"
            " tl tr uz vi vo wa xh yo zu"
        ),
        "Cyrl": "ba be bg kk ky mk mn ru sr tg tt uk uz",
        "Arab": "ar fa ku ps ug ur",
        "Deva": "hi mr ne sa",
        "Beng": "as bn",
    }
)
_RARE_CODES = (
    "an as ba br fo fy gd ha ht ig jv ku ky la lb lg ln mg oc om qu rw sa se sn so st tg tk tt vo wa xh yo zu"
)
_RARE: Final = frozenset(_RARE_CODES.split())
"""Told only where the model is surer than of others: a wrong guess is likelier than a short text in them."""

LANGUAGES: Final = frozenset(
    [*_ONE_LANGUAGE.values(), "zh", "ja", *(code for codes in _CHOICES.values() for code in codes.split())]
)
"""Every language that can be told, by its ISO 639-1 code."""

_RARE_PENALTY = 0.7
_HANGUL: Final = FIRST_SCRIPT + SCRIPTS.index("Hang")
_MIN_LETTERS: Final = MappingProxyType({"Latn": 8, "Cyrl": 8, "Arab": 6, "Deva": 6, "Beng": 6})
_MIN_LETTERS_OTHER = 2
_MIN_CONFIDENCE, _MIN_CONFIDENCE_OF_RARE = 0.2, 0.5
# Paragraphs of one document: the logarithm of each language's share of it, as far as it is sure, is
# added so much.
_SURE, _LEAST_SHARE, _PULL = 0.8, 0.02, 0.6
# Ideographs stand for more than a letter does; so they count for more where scripts are mixed.
_WEIGHT_OF_HAN, _WEIGHT_OF_KANA, _WEIGHT_OF_HANGUL = 4.0, 2.0, 2.5
_MIN_HANGUL_SHARE = 0.2
_MIN_KANA, _MIN_KANA_SHARE, _MIN_JAPANESE_SHARE = 2, 0.1, 0.04
_MAX_CODE_MARKS, _MIN_SHARE_OF_LETTERS = 0.065, 0.3


class Language(NamedTuple):
    """What a text is in."""

    code: str
    """ISO 639-1; "" where it cannot be told or the text is in no language."""

    confidence: float
    """From 0 to 1: the share of the letters that are of its script, times the model's probability."""

    script: str = ""
    """ISO 15924: ``Latn``, ``Cyrl``, ``Hans``, ``Hant``, ``Jpan`` ...; "" where there are no letters."""


NOTHING: Final = Language("", 0.0)
NO_SCRIPT: Final = -1


def identify(text: str) -> Language:
    """The language that most of a text is in.

    Of a text over 4,096 characters sixteen windows of 256 are read, evenly spread.
    """
    if len(text) > _WINDOWS * _WINDOW_CHARS:
        step = (len(text) - _WINDOW_CHARS) // (_WINDOWS - 1)
        text = "\n".join(text[place : place + _WINDOW_CHARS] for place in range(0, step * _WINDOWS, step))
    return identify_all([text], most_chars=len(text))[0]


def identify_all(
    texts: Sequence[str], *, most_chars: int = SAMPLE_CHARS, together: bool = False
) -> list[Language]:
    """The language of each of several texts, as ``identify``, but quicker than one after the other.

    Args:
        texts: such as the paragraphs of a document.
        most_chars: how much of a text is shown to the model: this many characters from its middle.
        together: they are of one document: where the model is in doubt, it prefers a language that others of
            them are surely in.
    """
    found = [_by_script(counts) for counts in _count_classes(texts).tolist()]
    asked = [index for index, language in enumerate(found) if language.confidence and not language.code]
    if not asked:
        return found
    samples = [_middle(texts[index], most_chars) for index in asked]
    scores = load_language_model().scores(samples)
    for script in _CHOICES:
        rows = [row for row, index in enumerate(asked) if found[index].script == script]
        if rows:
            chosen = _choose(scores[rows], script, [len(samples[row]) for row in rows], together=together)
            for row, (code, probability) in zip(rows, chosen, strict=True):
                share = found[asked[row]].confidence
                found[asked[row]] = Language(code, round(probability * share, 4) if code else 0.0, script)
    return found


def main_scripts(texts: Sequence[str]) -> list[int]:
    """A number for the script that most of each text is in (kana as ideographs), or ``NO_SCRIPT``."""
    weights = _count_classes(texts) * _weights()
    weights[:, HAN] = weights[:, HAN:FIRST_SCRIPT].sum(1)
    weights[:, HAN + 1 : FIRST_SCRIPT] = 0
    return [
        int(best) if most else NO_SCRIPT for best, most in zip(weights.argmax(1), weights.max(1), strict=True)
    ]


def _count_classes(texts: Sequence[str]) -> NDArray[np.int64]:
    """How often each class of character is in each text: shape (num_texts, ``scripts.NUM_CLASSES``)."""
    width = scripts.NUM_CLASSES
    if len(texts) == 1:
        return np.bincount(scripts.classes_of(scripts.codes_of(texts[0])), minlength=width)[None]
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    keys = owner * width + scripts.classes_of(scripts.codes_of("".join(texts)))
    return np.bincount(keys, minlength=len(texts) * width).reshape(-1, width)


def _by_script(counts: Sequence[int]) -> Language:
    """What scripts alone say of a text; a confidence without a code is for a model to choose.

    Args:
        counts: of each class of character.
    """
    weighed = [float(count) for count in counts[FIRST_SCRIPT:]]
    weighed[_HANGUL - FIRST_SCRIPT] *= _WEIGHT_OF_HANGUL
    num_han, hangul, most = sum(counts[HAN:KANA]), counts[_HANGUL], max(weighed)
    ideographs = _WEIGHT_OF_HAN * num_han + _WEIGHT_OF_KANA * counts[KANA]
    total = ideographs + sum(weighed)
    if not total:
        return NOTHING
    # Korean may hold more Chinese characters than Hangul.
    if ideographs >= most and hangul > _MIN_HANGUL_SHARE * (hangul + num_han):
        return _letters("Hang", hangul, 1.0, _is_code(counts))
    share = max(ideographs, most) / total
    if ideographs >= most:
        return _han_or_kana(counts[HAN:FIRST_SCRIPT], share)
    script = weighed.index(most)
    return _letters(SCRIPTS[script], counts[FIRST_SCRIPT + script], share, _is_code(counts))


def _letters(script: str, num_letters: int, share: float, is_code: bool) -> Language:
    """A script of letters: its one language, or none yet."""
    if num_letters < _MIN_LETTERS.get(script, _MIN_LETTERS_OTHER) or (is_code and script in _CHOICES):
        return Language("", 0.0, script)
    return Language(_ONE_LANGUAGE.get(script, ""), round(share, 4), script)


def _han_or_kana(counts: Sequence[int], share: float) -> Language:
    """Chinese with its script, or Japanese; the counts are of the classes from ``HAN`` to ``KANA``."""
    _, simplified, traditional, japanese, kana = counts
    total = sum(counts)
    if total < _MIN_LETTERS_OTHER:
        return Language("", 0.0, "Hani")
    if (kana >= _MIN_KANA and kana >= _MIN_KANA_SHARE * total) or (
        japanese > simplified + traditional and japanese >= _MIN_JAPANESE_SHARE * total
    ):
        return Language("ja", round(share, 4), "Jpan")
    forms = "Hani" if simplified == traditional else "Hans" if simplified > traditional else "Hant"
    return Language("zh", round(share, 4), forms)


def _is_code(counts: Sequence[int]) -> bool:
    """Whether the marks of program code are so many, or letters so few, that a text is no prose."""
    visible = sum(counts) - counts[scripts.SPACE]
    few_letters = sum(counts[HAN:]) < _MIN_SHARE_OF_LETTERS * visible
    return counts[CODE_MARK] > _MAX_CODE_MARKS * visible or few_letters


def _choose(
    scores: NDArray[np.float32], script: str, lengths: Sequence[int], *, together: bool
) -> list[tuple[str, float]]:
    """The language of each row of scores and its probability; "" where the model doubts or says none."""
    codes, columns, penalty = _candidates(script)
    # A language may have several columns: its best one stands for it.
    scores = np.maximum.reduceat(scores[:, columns[0]], columns[1], axis=1) - penalty
    if together and len(scores) > 1:
        probabilities = _softmax(scores)
        weight = np.minimum(np.array(lengths), SAMPLE_CHARS)[:, None] * (probabilities > _SURE)
        shares = (probabilities * weight).sum(0) / max(1.0, float(weight.sum()))
        scores = scores + _PULL * np.log(shares + _LEAST_SHARE, dtype=np.float32)
    probabilities = _softmax(scores)
    best = probabilities.argmax(1)
    found = [(codes[column], float(row[column])) for column, row in zip(best, probabilities, strict=True)]
    return [(code, probability) if _is_sure(code, probability) else ("", 0.0) for code, probability in found]


def _is_sure(code: str, probability: float) -> bool:
    least = _MIN_CONFIDENCE_OF_RARE if code in _RARE else _MIN_CONFIDENCE
    return code != NO_LANGUAGE and probability >= least


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@cache
def _candidates(
    script: str,
) -> tuple[list[str], tuple[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]:
    """The languages of a script, the model's columns with where each language's begin, and penalties."""
    labels = load_language_model().labels
    codes = [*_CHOICES[script].split(), NO_LANGUAGE]
    columns = [[column for column, label in enumerate(labels) if label == code] for code in codes]
    known = [(code, places) for code, places in zip(codes, columns, strict=True) if places]
    starts = np.cumsum([0, *(len(places) for _, places in known[:-1])])
    flat = np.array([place for _, places in known for place in places])
    penalty = np.array([_RARE_PENALTY if code in _RARE else 0.0 for code, _ in known], np.float32)
    return [code for code, _ in known], (flat, starts), penalty


@cache
def _weights() -> NDArray[np.float64]:
    weights = np.zeros(scripts.NUM_CLASSES)
    weights[HAN:KANA], weights[KANA], weights[FIRST_SCRIPT:] = _WEIGHT_OF_HAN, _WEIGHT_OF_KANA, 1.0
    weights[_HANGUL] = _WEIGHT_OF_HANGUL
    return weights


def _middle(text: str, most_chars: int) -> str:
    start = max(0, (len(text) - most_chars) // 2)
    return text[start : start + most_chars]
