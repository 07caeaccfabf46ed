"""Cleaning: megabytes a second of each step, what is found of planted faults, what is lost of good text.

    python -m benchmarks cleaning [MEGABYTES]

The steps on English (WikiText-2) and Chinese (novels) in documents of 16 KB, on one core. Planted truth:
paragraphs broken at a width with hyphens, laid out on pages with headers and footers, scattered with lines of
web pages, damaged in encoding; how many come back as they were. Spelling: codespell's pairs, and how many
words of running text are changed that should not be. The shares that tell noise, on clean text and on text
that was read badly.
"""

from __future__ import annotations

import gzip
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchmarks.machine import data_folder, describe
from yanmo.corpus.cleaning.cleaner import STEPS, Cleaner
from yanmo.corpus.cleaning.noise import measure_noise
from yanmo.corpus.cleaning.settings import CleaningSettings, Job
from yanmo.corpus.cleaning.spelling import correct_spelling, correct_word

_DOCUMENT_CHARS = 16_000
_PARAGRAPHS = 300
_EVERYTHING = CleaningSettings(
    boilerplate=("cookies", "sharing", "navigation", "copyright"),
    quotations=True,
    signatures=True,
    width="letters",
    script="traditional",
    spaces=True,
    spelling="correct",
)
WEB_LINES = {
    "English": [
        "We use cookies to improve your experience.",
        "Share on Facebook",
        "Home | News | Contact",
        "Back to top",
        "Read more »",
        "Tweet | Like",
        "« Previous 1 2 3 Next »",
        "Accept all cookies",
    ],
    "Chinese": [
        "本网站使用Cookie以改善服务。",
        "分享到：微信 微博",
        "首页 | 新闻 | 关于我们",
        "返回顶部",
        "上一页 下一页",
        "点赞 收藏 举报",
        "上一篇：昨天的事",
        "当前位置：首页 > 新闻",
    ],
}


def main() -> None:
    """Print the tables."""
    megabytes = float(sys.argv[2]) if sys.argv[2:] else 8.0
    texts = {"English": _english(), "Chinese": _chinese()}
    print(f"Cleaning, one core, documents of {_DOCUMENT_CHARS // 1000} KB. {describe()}\n")
    _print_speed(texts, megabytes)
    print()
    _print_planted(texts)
    print()
    _print_spelling(texts["English"])
    print()
    _print_noise(texts)


def _english() -> str:
    text = _read("wikitext2", "train_first_1MB.raw.txt.gz")
    # The set separates punctuation by spaces; nobody writes so.
    text = re.sub(r" @([-,.])@ ", r"\1", text)
    return re.sub(r" +([,.;:!?)\]%]|'s|n't)", r"\1", re.sub(r"([(\[$]) ", r"\1", text))


def _chinese() -> str:
    return "\n".join(_read("zh_novels", f"{name}.txt.gz") for name in ("sanguo", "hongloumeng"))


def _read(folder: str, name: str) -> str:
    return gzip.decompress((data_folder(folder) / name).read_bytes()).decode()


def _documents(text: str, megabytes: float) -> list[str]:
    pieces = [text[i : i + _DOCUMENT_CHARS] for i in range(0, len(text), _DOCUMENT_CHARS)]
    size = sum(len(piece.encode()) for piece in pieces)
    return pieces * max(1, round(megabytes * 1e6 / size))


def _print_speed(texts: dict[str, str], megabytes: float) -> None:
    kinds = {**texts, "English, CRLF": texts["English"].replace("\n", "\r\n")}
    corpora = {name: _documents(text, megabytes) for name, text in kinds.items()}
    print(f"| MB/s | {' | '.join(corpora)} |")
    print(f"|---|{'---|' * len(corpora)}")
    for documents in corpora.values():
        Cleaner(_EVERYTHING).clean(documents[0] + " schÃ¶n")
    job = Job(_EVERYTHING)
    for step in STEPS:
        work = partial(_take_step, step, job)
        speeds = (_speed(documents, work) for documents in corpora.values())
        print(f"| {step} | {' | '.join(f'{speed:.0f}' for speed in speeds)} |")
    wholes: dict[str, Callable[[str], object]] = {
        "all usual steps": Cleaner(CleaningSettings(flags=False)).clean,
        "measuring noise": measure_noise,
        "the default": Cleaner(CleaningSettings()).clean,
        "everything there is": Cleaner(_EVERYTHING).clean,
    }
    for name, work in wholes.items():
        print(
            f"| {name} | {' | '.join(f'{_speed(documents, work):.0f}' for documents in corpora.values())} |"
        )


def _take_step(step: str, job: Job, text: str) -> object:
    return STEPS[step](text, job)


def _speed(documents: Sequence[str], work: Callable[[str], object]) -> float:
    start = time.process_time()
    for document in documents:
        work(document)
    seconds = time.process_time() - start
    return sum(len(document.encode()) for document in documents) / 1e6 / seconds


def _print_planted(texts: dict[str, str]) -> None:
    cleaner = Cleaner(CleaningSettings(flags=False))
    print("| planted | language | planted | found | paragraphs | restored | clean twice is clean once |")
    print("|---|---|---|---|---|---|---|")
    for language, text in texts.items():
        paragraphs = _paragraphs(text)
        for name, plant in _PLANTS.items():
            raw, planted, steps, paged = plant(paragraphs, language)
            cleaned = cleaner.clean(raw, paged=paged)
            assert cleaned.alignment.fits(cleaned.text, raw)
            found = sum(cleaned.changed.get(step, 0) for step in steps)
            restored = set(re.split(r"\n+", cleaned.text)) & set(paragraphs)
            stable = cleaner.clean(cleaned.text, paged=paged).text == cleaned.text
            kept = f"{len(restored) / len(set(paragraphs)):.1%}"
            counts = f"{planted} | {found} | {len(paragraphs)} | {kept} | {'yes' if stable else 'no'}"
            print(f"| {name} | {language} | {counts} |")


def _paragraphs(text: str) -> list[str]:
    lines = [" ".join(line.split()) for line in text.split("\n")]
    return [line for line in lines if len(line.encode()) > 400][:_PARAGRAPHS]


Planted = tuple[str, int, tuple[str, ...], bool]


def _plant_wraps(paragraphs: list[str], language: str) -> Planted:
    wrapped = [wrap(paragraph, language) for paragraph in paragraphs]
    breaks = sum(text.count("\n") for text in wrapped)
    return "\n\n".join(wrapped), breaks, ("lines joined",), False


def _plant_pages(paragraphs: list[str], language: str) -> Planted:
    lines = "\n\n".join(wrap(paragraph, language) for paragraph in paragraphs).split("\n")
    titles = {"English": ("A Title of the Book", "Chapter One"), "Chinese": ("书的名字", "第一章 开头")}[
        language
    ]
    pages = []
    for number, start in enumerate(range(0, len(lines), 40), 1):
        body = "\n".join(lines[start : start + 40])
        footer = f"Page {number}" if language == "English" else f"第 {number} 页"
        pages.append(f"{titles[number % 2]}\n\n{body}\n\n{footer}\n")
    return "\f".join(pages), 2 * len(pages), ("headers and footers removed",), True


def _plant_lines(paragraphs: list[str], language: str) -> Planted:
    rng = random.Random(1)
    lines = [line for paragraph in paragraphs for line in (paragraph, rng.choice(WEB_LINES[language]))]
    steps = ("cookies lines removed", "sharing lines removed", "navigation lines removed")
    return "\n".join(lines), len(paragraphs), steps, False


def _plant_mojibake(paragraphs: list[str], language: str) -> Planted:
    if language == "Chinese":
        broken = [_wrongly_decoded(paragraph) for paragraph in paragraphs]
        return "\n".join(broken), len(broken), ("mojibake repaired",), False
    accented = {paragraph for paragraph in paragraphs if re.search("[à-ÿ]", paragraph)}
    broken = [p.encode().decode("latin-1") if p in accented else p for p in paragraphs]
    return "\n".join(broken), len(accented), ("mojibake repaired",), False


def _wrongly_decoded(paragraph: str) -> str:
    """As GBK where that loses nothing, else as Latin-1."""
    try:
        return paragraph.encode().decode("gbk")
    except UnicodeDecodeError:
        return paragraph.encode().decode("latin-1")


_PLANTS: dict[str, Callable[[list[str], str], Planted]] = {
    "line breaks, hyphens": _plant_wraps,
    "headers and footers": _plant_pages,
    "lines of web pages": _plant_lines,
    "paragraphs decoded wrongly": _plant_mojibake,
}


def wrap(paragraph: str, language: str) -> str:
    """A paragraph in lines of 72 letters or 36 ideographs, long words broken by hyphens."""
    return "\n".join(
        _english_lines(paragraph, 72) if language == "English" else _chinese_lines(paragraph, 36)
    )


def _english_lines(paragraph: str, width: int) -> Iterator[str]:
    """Filled greedily; long words are broken by hyphens."""
    line = ""
    for word in paragraph.split():
        room = width - len(line) - 2
        if len(line) + 1 + len(word) <= width or not line:
            line = f"{line} {word}".strip()
        elif word.isalpha() and word.islower() and 3 <= room <= len(word) - 3:
            yield f"{line} {word[:room]}-"
            line = word[room:]
        else:
            yield line
            line = word
    yield line


def _chinese_lines(paragraph: str, width: int) -> Iterator[str]:
    """Filled; no line begins with a mark."""
    start = 0
    while start < len(paragraph):
        end = min(len(paragraph), start + width)
        while end < len(paragraph) and paragraph[end] in "，。！？；：”、）》’":
            end -= 1
        yield paragraph[start:end]
        start = end


def _print_spelling(english: str) -> None:
    rows = _read("spelling_en", "codespell.tsv.gz").splitlines()
    pairs = [(wrong, right.split(", ")) for wrong, _, right in (row.partition("\t") for row in rows)]
    pairs = [
        (wrong, rights) for wrong, rights in pairs if wrong.isascii() and wrong.isalpha() and wrong.islower()
    ]
    sample = random.Random(0).sample(pairs, min(10_000, len(pairs)))
    corrections = [(correct_word(wrong), rights) for wrong, rights in sample]
    right = sum(found in rights for found, rights in corrections) / len(sample)
    wrong = sum(bool(found) and found not in rights for found, rights in corrections) / len(sample)
    edits = correct_spelling(english, language="en")
    words = len(re.findall(r"[A-Za-z]+", english))
    print("| spelling | share |")
    print("|---|---|")
    print(f"| of {len(sample):,} misspellings of codespell: corrected rightly | {right:.1%} |")
    print(f"| corrected wrongly | {wrong:.1%} |")
    print(f"| left | {1 - right - wrong:.1%} |")
    changed = f"{len(edits) / words:.3%}"
    print(f"| of {words:,} words of WikiText-2: changed (misspelt there, or damaged) | {changed} |")


def _print_noise(texts: dict[str, str]) -> None:
    shares = ("unknown words", "broken words", "rare characters", "replaced characters")
    print(f"| read with | {' | '.join(shares)} |")
    print(f"|---|{'---|' * len(shares)}")
    for language, text in texts.items():
        for rate in (0.0, 0.02, 0.1):
            noisy = [_misread(document, rate, language) for document in _documents(text, 0)[:50]]
            measured = [measure_noise(document) for document in noisy]
            means = (sum(m.get(share, 0.0) for m in measured) / len(measured) for share in shares)
            print(f"| {language}, {rate:.0%} errors | {' | '.join(f'{mean:.2%}' for mean in means)} |")


def _misread(text: str, rate: float, language: str) -> str:
    """Every character misread at a rate: look-alikes in English, any other ideograph in Chinese."""
    rng = random.Random(2)
    alike = {
        "l": "1",
        "o": "0",
        "i": "l",
        "m": "rn",
        "e": "c",
        "h": "b",
        "d": "cl",
        "s": "5",
        "u": "ii",
        " ": "",
    }
    if language == "English":
        return "".join(alike.get(char, char) if rng.random() < rate else char for char in text)
    return "".join(chr(rng.randrange(0x4E00, 0x9FA6)) if rng.random() < rate else char for char in text)


if __name__ == "__main__":
    main()
