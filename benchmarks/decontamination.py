"""Evaluation items found in documents that they were planted in, and false alarms on documents without any.

    python -m benchmarks decontamination [DOCUMENTS]      50,000 documents

100 items of English and 100 of Chinese, questions and sentences from 4 words (8 characters) up, stand at a
random place of a document each: as they are, with one word (character) replaced, with other punctuation and
case, or with a typo. The other documents are clean; they are made of the texts that ``planted_texts`` names,
the items of others. Beside it the rule of GPT-3: 13 words in a row are in common, whole items where they are
shorter (words of Chinese are characters).
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

from benchmarks.machine import describe
from benchmarks.planted_texts import LANGUAGES, make_documents, read_lines, read_records
from yanmo.corpus.duplicates.contamination import Contamination

ITEMS, OTHER_ITEMS = 100, 1000
_CJK = re.compile(r"[一-鿿]")
_WORD = re.compile(r"[一-鿿]|[^\W一-鿿]+")


def main() -> None:
    """Print how many of the planted items are found, and the false alarms."""
    count = int(sys.argv[2]) if sys.argv[2:] else 50_000
    rng = random.Random(0)
    items, clean = [], []
    for language in LANGUAGES:
        items += _items(language, rng)
        clean += make_documents(language, count // 2, seed=1)
    # The first items of each language are planted; the others are only looked for.
    planted = [i for i in range(len(items)) if i % (ITEMS + OTHER_ITEMS) < ITEMS]
    kinds = list(CHANGES)
    copies = [(number, kinds[place % len(kinds)]) for place, number in enumerate(planted)]
    hosts = rng.sample(range(len(clean)), len(planted))
    texts = [
        _plant(clean[host], CHANGES[kind](items[number], rng), rng)
        for host, (number, kind) in zip(hosts, copies, strict=True)
    ]
    start = time.perf_counter()
    index = Contamination(items)
    ready = time.perf_counter()
    ours = [{span.item for span in index.find(text)} for text in texts]
    alarms = Counter(span.item for text in clean for span in index.find(text))
    end = time.perf_counter()
    num_bytes = sum(len(text.encode()) for text in clean + texts)
    theirs = _thirteen_words(items)
    print(f"{len(items):,} items, {len(planted)} planted, {len(clean):,} clean documents. {describe()}")
    print(f"index: {ready - start:.2f} s; search: {num_bytes / 1e6 / (end - ready):.1f} MB/s")
    print("| planted | items | found | 13 words in a row |")
    print("|---|---|---|---|")
    for kind in kinds:
        of_kind = [place for place, copy in enumerate(copies) if copy[1] == kind]
        found = sum(copies[place][0] in ours[place] for place in of_kind)
        by_rule = sum(copies[place][0] in theirs(texts[place]) for place in of_kind)
        print(f"| {kind} | {len(of_kind)} | {found} | {by_rule} |")
    print(f"\nfalse alarms: {alarms.total()} in {len(clean):,} clean documents, of {len(alarms)} items")
    for number, times in alarms.most_common(5):
        print(f"  {times} times: {items[number]}")
    for place, (number, kind) in enumerate(copies):
        if number not in ours[place]:
            print(f"  missed, {kind}: {items[number]}")


def _items(language: str, rng: random.Random) -> list[str]:
    if language == "English":
        found = [record["question"] for record in read_records("gsm8k", "test.jsonl.gz")]
        found += [record["question"] for record in read_records("mc_arc_easy", "test.jsonl.gz")]
        found += [record["text"] for record in read_records("trec", "test.jsonl")]
        found += [line.split("\t")[0] for line in read_lines("tatoeba_en_zh", "dev.tsv")]
    else:
        found = [record["sentence1"] for record in read_records("ocnli", "dev.jsonl.gz")]
        found += [record["sentence1"] for record in read_records("fewclue_bustm", "test.jsonl.gz")]
        found += [line.split("\t")[1] for line in read_lines("tatoeba_en_zh", "dev.tsv")]
    least = 4 if language == "English" else 8
    # Chinese items count characters of Chinese; the few Latin words among them do not matter.
    long_enough = [item for item in dict.fromkeys(found) if len(_WORD.findall(item)) >= least]
    return rng.sample(long_enough, ITEMS + OTHER_ITEMS)


def _plant(text: str, item: str, rng: random.Random) -> str:
    space = "" if _CJK.search(text) else " "
    words = list(text) if space == "" else text.split(" ")
    place = rng.randrange(len(words) + 1)
    return space.join([*words[:place], item, *words[place:]])


def _one_word_replaced(item: str, rng: random.Random) -> str:
    spans = [match.span() for match in _WORD.finditer(item)]
    # Of five words or fewer, one is more than a small edit.
    if len(spans) < 6:
        return item
    start, end = rng.choice(spans)
    return item[:start] + ("某" if _CJK.match(item[start]) else "something") + item[end:]


def _other_punctuation(item: str, rng: random.Random) -> str:
    signs = "，。！？" if _CJK.search(item) else ",.!?"
    return re.sub(r"[^\w\s]", lambda _: rng.choice(signs), item.upper()) + rng.choice(signs)


def _typo(item: str, rng: random.Random) -> str:
    spans = [match.span() for match in _WORD.finditer(item)]
    if len(spans) < 6:
        return item
    start, end = rng.choice(spans)
    if end - start > 1:
        place = rng.randrange(start, end - 1)
        return item[:place] + item[place + 1] + item[place] + item[place + 2 :]
    return item[:start] + item[end:]


CHANGES: dict[str, Callable[[str, random.Random], str]] = {
    "verbatim": lambda item, _: item,
    "a word replaced": _one_word_replaced,
    "punctuation and case": _other_punctuation,
    "a typo": _typo,
}


def _thirteen_words(items: Sequence[str]) -> Callable[[str], set[int]]:
    def grams(words: list[str], size: int) -> set[tuple[str, ...]]:
        return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}

    found: dict[int, dict[tuple[str, ...], set[int]]] = {}
    for number, item in enumerate(items):
        words = _WORD.findall(item.lower())
        size = min(13, len(words))
        for gram in grams(words, size):
            found.setdefault(size, {}).setdefault(gram, set()).add(number)

    def find(text: str) -> set[int]:
        words = _WORD.findall(text.lower())
        return {
            number
            for size, table in found.items()
            for gram in grams(words, size) & table.keys()
            for number in table[gram]
        }

    return find


if __name__ == "__main__":
    main()
