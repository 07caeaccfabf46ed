"""Personal data planted among numbers that only look like it: recall and precision by kind and language.

    python -m benchmarks personal_data [SEED] [SHOW]

2,000 values of 17 kinds stand in English and Chinese sentences in many forms (separators, brackets, full
width, glued to Chinese, line ends, tables, CSV, JSON, code, URLs, mails hidden from robots) among 4,000
numbers and words that are none. They are made from the standards, apart from the rules that find them; what
was missed in early runs bettered the rules, so that the figures speak of these forms. A value counts as found
when a finding of its kind covers all of it; whatever else is found is false. Then what is found in real text,
by MB and kind, where each can be looked at with SHOW (the number of findings to print), and the speed.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import data_folder, describe
from benchmarks.personal_lookalikes import LOOKALIKES
from benchmarks.personal_values import (
    ALNUM,
    CARRIERS,
    EITHER_BARE,
    EN_BARE,
    EN_NAMES,
    MAKERS,
    ONLY_IN_WORDS,
    ZH_BARE,
    Draw,
    password,
    text_of,
)
from yanmo.corpus.personal.find import find
from yanmo.corpus.personal.settings import PersonalSettings

NUM_PLANTED, NUM_NEGATIVES = 2_000, 4_000
CHECKED = ("resident-id", "credit-code", "payment-card", "iban", "national-id", "crypto-address")
USUAL = ("email", "phone", "ip-address")


class Case(NamedTuple):
    """A text with a value from ``start`` to ``end``; without one where ``kind`` is empty."""

    kind: str
    language: str
    text: str
    start: int = 0
    end: int = 0


def sentences_of(language: str) -> list[str]:
    """Sentences of 20 characters and more without digits, mail signs and links."""
    if language == "en":
        with gzip.open(data_folder("wikitext2") / "test.raw.txt.gz", "rt", encoding="utf-8") as file:
            pieces = file.read().replace("\n", " . ").split(" . ")
    else:
        with gzip.open(data_folder("cmrc2018") / "dev.jsonl.gz", "rt", encoding="utf-8") as file:
            pieces = "".join(json.loads(line)["context"] for line in file).split("。")
    found = sorted({p.strip() + ("。" if language == "zh" else " .") for p in pieces if 20 <= len(p) <= 200})
    return [p for p in found if not any(c.isdecimal() or c in "@=" for c in p) and "://" not in p]


def real_texts() -> Iterator[tuple[str, str]]:
    """Names and texts: an encyclopedia, novels, reviews, instructions, and Python's own library."""
    for name, folder, file in (
        ("wikitext2, English encyclopedia", "wikitext2", "test.raw.txt.gz"),
        ("zh_novels, Chinese novels", "zh_novels", "hongloumeng.txt.gz"),
        ("ag_news, English news", "ag_news", "train.jsonl.gz"),
        ("cmrc2018, Chinese encyclopedia", "cmrc2018", "dev.jsonl.gz"),
        ("chnsenticorp, Chinese reviews", "chnsenticorp", "train.jsonl.gz"),
        ("alpaca_zh, Chinese instructions", "alpaca_zh", "train.jsonl.gz"),
        ("cuad_clauses, English contracts", "cuad_clauses", "contracts.train.jsonl.gz"),
    ):
        path = data_folder(folder) / file
        if path.is_file():
            with gzip.open(path, "rt", encoding="utf-8") as opened:
                yield name, opened.read()
    library = Path(sysconfig.get_paths()["stdlib"])
    files = (
        sorted(library.glob("*.py"))
        + sorted(library.glob("email/*.py"))
        + sorted(library.glob("asyncio/*.py"))
    )
    yield "Python's library", "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


def planted(draw: Draw, kind: str, language: str, sentences: list[str]) -> Case:
    """One value in a sentence."""
    second = language == "zh"
    if kind == "url-credentials":
        user, secret = draw.choice(EN_NAMES), password(draw).replace("#", "-")
        value = draw.choice((f"{user}:{secret}", text_of(draw, ALNUM, 24)))
        url = (
            f"https://{value}@db{draw.randint(1, 9)}.acme.net/x"
            if ":" in value
            else f"https://acme.net/a?id=7&access_token={value}"
        )
        carrier = draw.choice(CARRIERS[kind][second]).format(url)
        return placed(draw, kind, language, carrier, value, sentences)
    value = MAKERS[kind][second](draw)
    bare = (*(ZH_BARE if second else EN_BARE), *EITHER_BARE)
    use_words = kind in ONLY_IN_WORDS or draw.random() < 0.55
    carrier = draw.choice(CARRIERS[kind][second] if use_words else bare).format(value)
    return placed(draw, kind, language, carrier, value, sentences)


def placed(draw: Draw, kind: str, language: str, carrier: str, value: str, sentences: list[str]) -> Case:
    """The carrier before, after or between sentences: on its own line, or in theirs."""
    before, after = draw.choice(sentences), draw.choice(sentences)
    # Chinese sentences follow without a space, but none is glued to a letter or digit.
    glued = language == "zh" and not after[0].isascii() and not (carrier[0] + carrier[-1]).isspace()
    joint = draw.choice(("\n", "" if glued else " ", "\n\n"))
    text = draw.choice(
        (f"{before}{joint}{carrier}{joint}{after}", f"{before}{joint}{carrier}", f"{carrier}\n{after}")
    )
    # The value is looked for in its carrier: the sentences might hold the same digits.
    start = text.index(carrier) + carrier.index(value)
    return Case(kind, language, text, start, start + len(value))


def negative(draw: Draw, place: int, language: str, sentences: list[str]) -> Case:
    """Something that is not personal."""
    value = LOOKALIKES[place % len(LOOKALIKES)](draw)
    bare = (*(ZH_BARE if language == "zh" else EN_BARE), *EITHER_BARE)
    carrier = draw.choice(bare).format(value)
    return placed(draw, "", language, carrier, value, sentences)._replace(start=place % len(LOOKALIKES))


def judge(cases: list[Case], settings: PersonalSettings, show: int) -> None:
    """Print recall, precision and what is missed, by kind and language."""
    planted_counts, hits, false = (
        Counter[tuple[str, str]](),
        Counter[tuple[str, str]](),
        Counter[tuple[str, str]](),
    )
    for case in cases:
        found = find(case.text, settings)
        key = (case.kind, case.language)
        right = [
            f for f in found if case.kind == f.kind.value and f.start <= case.start and f.end >= case.end
        ]
        if case.kind:
            planted_counts[key] += 1
            hits[key] += bool(right)
            if not right and show:
                print(f"  missed {case.kind}: {case.text[max(0, case.start - 25) : case.end + 15]!r} {found}")
        for f in found:
            if f not in right:
                false[f.kind.value, case.language] += 1
                if show:
                    around = case.text[max(0, f.start - 25) : f.end + 15]
                    print(f"  false {f.kind}: {around!r} in {case.kind or case.start}")
    print_scores(planted_counts, hits, false)


def print_scores(
    planted_counts: Counter[tuple[str, str]], hits: Counter[tuple[str, str]], false: Counter[tuple[str, str]]
) -> None:
    """The table of kinds, and the three figures in all."""
    print("| kind | planted en | recall en | planted zh | recall zh | false en | false zh | precision |")
    print("|---|---|---|---|---|---|---|---|")
    kinds = list(dict.fromkeys(kind for kind, _ in planted_counts)) + sorted(
        {k for k, _ in false} - {k for k, _ in planted_counts}
    )
    for kind in kinds:
        cells = []
        for language in ("en", "zh"):
            count = planted_counts[kind, language]
            cells += [str(count), f"{hits[kind, language] / count:.1%}" if count else ""]
        right, errors = hits[kind, "en"] + hits[kind, "zh"], false[kind, "en"] + false[kind, "zh"]
        precision = f"{right / (right + errors):.1%}" if right + errors else ""
        print(f"| {kind} | {' | '.join(cells)} | {false[kind, 'en']} | {false[kind, 'zh']} | {precision} |")
    for name, group in (
        ("kinds with a checksum", CHECKED),
        ("e-mail, phone, IP", USUAL),
        ("all kinds", tuple(kinds)),
    ):
        count = sum(planted_counts[k, lang] for k in group for lang in ("en", "zh"))
        right = sum(hits[k, lang] for k in group for lang in ("en", "zh"))
        errors = sum(false[k, lang] for k in group for lang in ("en", "zh"))
        print(
            f"{name}: recall {right / count:.2%} of {count}, precision {right / max(1, right + errors):.2%}"
        )


def judge_real(settings: PersonalSettings, show: int) -> None:
    """Print what is found in real text, by MB, and the speed."""
    print("| text | MB | found a MB | by kind | MB/s a core |")
    print("|---|---|---|---|---|")
    for name, text in real_texts():
        size = len(text.encode("utf-8")) / 1e6
        start = time.process_time()
        found = find(text, settings)
        seconds = time.process_time() - start
        kinds = ", ".join(
            f"{kind.value} {count}" for kind, count in Counter(f.kind for f in found).most_common()
        )
        print(f"| {name} | {size:.2f} | {len(found) / size:.2f} | {kinds} | {size / seconds:.1f} |")
        for f in random.Random(0).sample(found, min(show, len(found))):
            print(f"  {f.kind}: {text[max(0, f.start - 30) : f.end + 20]!r} ({text[f.start : f.end]!r})")


def main() -> None:
    """Print the tables."""
    seed = int(sys.argv[2]) if sys.argv[2:] else 0
    show = int(sys.argv[3]) if sys.argv[3:] else 0
    draw, settings = random.Random(seed), PersonalSettings()
    kinds, languages = list(CARRIERS), ("en", "zh")
    # Mails, telephones and IP addresses are planted twice as often.
    kinds += USUAL
    sentences = {language: sentences_of(language) for language in languages}
    cases = []
    for place in range(NUM_PLANTED):
        language = languages[place % 2]
        cases.append(planted(draw, kinds[place // 2 % len(kinds)], language, sentences[language]))
    for place in range(NUM_NEGATIVES):
        language = languages[place // len(LOOKALIKES) % 2]
        cases.append(negative(draw, place, language, sentences[language]))
    draw.shuffle(cases)
    print(f"{NUM_PLANTED} planted, {NUM_NEGATIVES} that only look so, seed {seed}. {describe()}")
    judge(cases, settings, show)
    judge_real(settings, show)


if __name__ == "__main__":
    main()
