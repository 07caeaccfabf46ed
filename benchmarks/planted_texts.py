"""Documents of two languages with known truth: recombined from real clauses, and copies with edits.

There are too few real paragraphs for 50,000 documents, so each is put together from clauses drawn from all
over the sources: no clause is more than a fifth of a document, so two documents that share one are not near
duplicates.
"""

from __future__ import annotations

import functools
import gzip
import json
import random
import re
from collections.abc import Iterator

from benchmarks.machine import data_folder

LANGUAGES = ("English", "Chinese")
MIN_CHARS, MAX_CHARS = 200, 3000
_SPLIT = {"English": re.compile(r"(?<=[.;:,!?])\s+"), "Chinese": re.compile(r"(?<=[。；：，！？])")}
_LENGTHS = {"English": (15, 60), "Chinese": (5, 30)}
_JOIN = {"English": " ", "Chinese": ""}


def read_records(name: str, file: str) -> Iterator[dict[str, str]]:
    """The records of a JSON-lines file of a data set, packed or not."""
    for line in read_lines(name, file):
        yield json.loads(line)


def read_lines(name: str, file: str) -> Iterator[str]:
    """The lines of a file of a data set, packed or not."""
    path = data_folder(name) / file
    data = path.read_bytes()
    yield from (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()


def source_texts(language: str) -> Iterator[str]:
    """Real text of a language."""
    if language == "English":
        yield from read_lines("wikitext2", "test.raw.txt.gz")
        yield from read_lines("wikitext2", "train_first_1MB.raw.txt.gz")
        yield from (record["text"] for record in read_records("ag_news", "train.jsonl.gz"))
        yield from (record["source"] for record in read_records("scitldr", "train.jsonl.gz"))
    else:
        for novel in ("hongloumeng", "sanguo", "shuihu", "xiyouji"):
            yield from read_lines("zh_novels", f"{novel}.txt.gz")
        for part in ("dev", "test"):
            yield from (record["abstract"] for record in read_records("csl_title", f"{part}.jsonl.gz"))
        yield from (record["context"] for record in read_records("cmrc2018", "dev.jsonl.gz"))


@functools.cache
def clauses(language: str) -> list[str]:
    """Different clauses of 15 to 60 characters of English, 5 to 30 of Chinese."""
    least, most = _LENGTHS[language]
    found: dict[str, None] = {}
    for text in source_texts(language):
        for clause in _SPLIT[language].split(text.strip()):
            if least <= len(clause) <= most:
                found[clause] = None
    return list(found)


def make_documents(language: str, count: int, seed: int) -> list[str]:
    """Documents of 200 to 3,000 characters, short ones more often than long ones."""
    rng, pool = random.Random(f"{language} {seed}"), clauses(language)
    documents = []
    for _ in range(count):
        wanted = MIN_CHARS * (MAX_CHARS / MIN_CHARS) ** rng.random()
        parts: list[str] = []
        num_chars = 0
        while num_chars < wanted:
            parts.append(rng.choice(pool))
            num_chars += len(parts[-1])
        documents.append(_JOIN[language].join(parts))
    return documents


def edited(text: str, language: str, rate: float, rng: random.Random, *, in_one_place: bool = False) -> str:
    """A copy with a share of its words (characters, in Chinese) replaced, deleted, inserted or swapped.

    Args:
        text: what is copied.
        language: of the text.
        rate: edits for each word or character.
        rng: decides.
        in_one_place: all next to each other, as where a paragraph is written anew.
    """
    units = text.split(" ") if language == "English" else list(text)
    others = list(units)
    count = max(1, round(rate * len(units)))
    first = rng.randrange(max(1, len(units) - count))
    places = range(first, first + count) if in_one_place else rng.sample(range(len(units)), count)
    for place in sorted(places, reverse=True):
        kind = rng.randrange(4)
        if kind == 0:
            units[place] = _another(others, units[place], rng)
        elif kind == 1:
            del units[place]
        elif kind == 2:
            units.insert(place, rng.choice(others))
        elif place + 1 < len(units):
            units[place], units[place + 1] = units[place + 1], units[place]
    return _JOIN[language].join(units)


def _another(units: list[str], than: str, rng: random.Random) -> str:
    for _ in range(20):
        unit = rng.choice(units)
        if unit != than:
            return unit
    return than + "x"
