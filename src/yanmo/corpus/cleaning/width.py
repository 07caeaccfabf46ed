"""Full-width forms made half-width, and half-width katakana full: what typesetting of the 1980s left in
texts.

Full-width punctuation is right in Chinese and Japanese and therefore a choice of its own.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from yanmo.corpus.edits import Edit, edit_pieces

Width = Literal["keep", "letters", "all"]

_LETTERS = re.compile("[０-９Ａ-Ｚａ-ｚ]+")
_ALL = re.compile("[！-～]+")
_KATAKANA = re.compile("[\uff66-\uff9f]+")


def unify_width(text: str, width: Width) -> list[Edit]:
    """Full-width letters and digits, or all of ASCII, become half-width; katakana become full-width."""
    if text.isascii() or width == "keep":
        return []
    wide = _LETTERS if width == "letters" else _ALL
    spans = sorted([m.span() for pattern in (wide, _KATAKANA) for m in pattern.finditer(text)])
    return edit_pieces(text, spans, lambda piece: unicodedata.normalize("NFKC", piece))
