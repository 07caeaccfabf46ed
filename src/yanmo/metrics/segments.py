"""Text cut into what scores count: words, or characters where a script writes none.

Chinese characters, kana and bopomofo stand alone; what lies between is words. So one rule serves Chinese,
English and sentences of both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Han with its extensions and compatibility forms, iteration mark and zero; kana; bopomofo.
ALONE = (
    "\u3005\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_PIECES = re.compile(rf"[{ALONE}]|[^\W_{ALONE}]+")
_ALONE_CHARACTER = re.compile(f"[{ALONE}]")
_LETTER = re.compile(r"[^\W\d_]")


def split_words(text: str) -> list[str]:
    """Lower-cased words and single Chinese characters, without punctuation."""
    return _PIECES.findall(text.lower())


def mostly_chinese(texts: Iterable[str]) -> bool:
    """Whether half the letters or more are of a script without spaces between words."""
    alone = letters = 0
    for text in texts:
        alone += len(_ALONE_CHARACTER.findall(text))
        letters += len(_LETTER.findall(text))
    return alone > 0 and 2 * alone >= letters
