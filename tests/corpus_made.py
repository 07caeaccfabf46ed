"""Texts for corpora: sentences of random words, so that no two are alike and none repeats itself."""

from __future__ import annotations

import random

_NOUNS = (
    "ink paper brush stone water mountain river cloud letter silence morning window garden winter lantern "
    "scholar village market bridge temple harvest soldier merchant sailor island harbour weather journey "
    "memory question answer promise secret danger courage patience labour wisdom sorrow laughter music "
    "colour shadow mirror candle thunder feather basket hammer needle ribbon kettle saddle ladder anchor"
)
_OTHERS = (
    "carries watches remembers follows answers finds leaves opens breaks mends paints counts teaches learns "
    "old young quiet heavy narrow bitter golden distant broken gentle sudden patient careful honest early"
)
_WORDS = f"{_NOUNS} {_OTHERS}".split(" ")
_CHARACTERS = "山水墨纸笔砚人心天地日月风云花鸟鱼虫江河湖海城门桥路春夏秋冬东西南北老少新旧来去见闻读写画歌"


def prose(seed: int, num_sentences: int) -> str:
    """English sentences, a few a line."""
    draw = random.Random(seed)
    sentences = []
    for _ in range(num_sentences):
        words = [draw.choice(_WORDS) for _ in range(draw.randrange(6, 14))]
        sentences.append(
            f"The {' '.join(words)}.".replace("  ", " ") + ("\n" if draw.random() < 0.2 else " ")
        )
    return "".join(sentences).strip() + "\n"


def chinese_prose(seed: int, num_sentences: int) -> str:
    """Chinese sentences, a few a line."""
    draw = random.Random(seed)
    sentences = []
    for _ in range(num_sentences):
        length = draw.randrange(8, 20)
        text = "".join(draw.choice(_CHARACTERS) for _ in range(length))
        sentences.append(
            f"{text[: length // 2]}，{text[length // 2 :]}。" + ("\n" if draw.random() < 0.2 else "")
        )
    return "".join(sentences).strip() + "\n"
