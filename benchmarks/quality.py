"""What is refused for its quality: by rules, by a model of good text, by a classifier; and speed.

    python -m benchmarks quality [DOCUMENTS]

At most 300 documents of a kind if no number is given. Text to keep: encyclopedia, plays and contracts in
English; novels, abstracts, answers and poems in Chinese; program code (Python's own library). Junk,
planted in both languages with a fixed seed: one line repeated, menus, keywords strung together, hex
dumps, base64, tables of numbers, minified code. Contracts' clauses, answers and poems are short: the
published sets, made for pages of the web, refuse them for their length. In the encyclopedia's text
punctuation stands between spaces, where Gopher counts it as words without letters.

Model and classifier learn from two thirds of the first five kinds, the classifier from planted junk too. They
are asked about the last third and about kinds that neither was shown; besides, about the last third with its
words shuffled (Chinese: characters), and with a tenth of its letters wrong. The last column is a classifier
that was shown no junk of the kind in its row.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import partial
from itertools import islice
from pathlib import Path

from benchmarks.junk_texts import JUNK
from benchmarks.machine import data_folder, describe
from yanmo.corpus.cleaning.settings import CleaningSettings
from yanmo.corpus.quality.judge import Judge, QualitySettings, measure
from yanmo.corpus.quality.rules import RULE_SETS
from yanmo.recipes.corpus_models import Surprise, Worth
from yanmo.recipes.quality_models import classifier_folder, limits_of, surprise_folder

_PAGE_CHARS = 4_000
_GOOD_KINDS, _KEPT_KINDS = 5, 8
Document = tuple[str, str]
"""A text with its language."""


def main() -> None:
    """Print the tables."""
    most = int(sys.argv[2]) if sys.argv[2:] else 300
    kinds = {name: list(islice(texts, most)) for name, texts in _kinds()}
    judges = {name: Judge(QualitySettings(sets=(name,))) for name in RULE_SETS}
    print(f"{describe()}\n\nPercent refused, and the rule that refused most:\n")
    print("| kind | documents | " + " | ".join(judges) + " |")
    print("|---" * (len(judges) + 2) + "|")
    for name, documents in kinds.items():
        cells = [_refused(judge, documents) for judge in judges.values()]
        print(f"| {name} | {len(documents)} | " + " | ".join(cells) + " |")
    _print_models(kinds)
    _print_speed(kinds, judges)


def _refused(judge: Judge, documents: Sequence[Document]) -> str:
    rules = Counter(
        refusal.rule.partition(".")[2]
        for refusal in (judge.judge(text, language) for text, language in documents)
        if refusal is not None
    )
    share = 100 * rules.total() / max(1, len(documents))
    return f"{share:.1f} ({rules.most_common(1)[0][0]})" if rules else "0"


def _print_models(kinds: Mapping[str, Sequence[Document]]) -> None:
    """What a model of good text and a classifier refuse of texts that they were not shown."""
    names = list(kinds)
    good, others, junk = names[:_GOOD_KINDS], names[_GOOD_KINDS:_KEPT_KINDS], names[_KEPT_KINDS:]
    learnt = {name: texts[: len(texts) * 2 // 3] for name, texts in kinds.items() if name not in others}
    asked = {name: texts[len(learnt.get(name, ())) :] for name, texts in kinds.items()}
    rng = random.Random(1)
    held_out = [document for name in good for document in asked[name]]
    spoilt = {
        "words shuffled (en, zh)": [(_shuffled(text, rng), language) for text, language in held_out],
        "a tenth of the letters wrong (en, zh)": [(_misread(text, rng), code) for text, code in held_out],
    }
    with tempfile.TemporaryDirectory() as folder:
        surprise = _surprise_judge(Path(folder), [text for name in good for text, _ in learnt[name]])
        worth = {kind: _worth_judge(Path(folder), learnt, good, set(junk) - {kind}) for kind in ("", *junk)}
        print("\nPercent refused by models, of texts they were not shown:\n")
        print("| kind | documents | model of good text | classifier | not shown the kind |")
        print("|---|---|---|---|---|")
        for name, documents in [*asked.items(), *spoilt.items()]:
            judges = [surprise, worth[""], *([worth[name]] if name in worth else [])]
            cells = [f"{100 * _share_refused(judge, documents):.1f}" for judge in judges]
            row = [name, str(len(documents)), *cells, *([""] * (3 - len(cells)))]
            print(f"| {' | '.join(row)} |")


def _surprise_judge(folder: Path, good: Sequence[str]) -> Judge:
    settings = QualitySettings(sets=(), surprise=(_written(folder / "good.jsonl", good),))
    place = surprise_folder(settings, CleaningSettings(), folder / "surprise")
    return Judge(QualitySettings(sets=()), surprise=Surprise(place), limits=limits_of(settings, place)[0])


def _worth_judge(
    folder: Path, learnt: Mapping[str, Sequence[Document]], good: Sequence[str], junk: Set[str]
) -> Judge:
    """By a classifier of the good kinds and some kinds of junk."""
    like, unlike = ([text for name in names for text, _ in learnt[name]] for names in (good, sorted(junk)))
    settings = QualitySettings(
        sets=(),
        like=(_written(folder / "like.jsonl", like),),
        unlike=(_written(folder / "unlike.jsonl", unlike),),
    )
    place = Path(tempfile.mkdtemp(dir=folder)) / "classifier"
    return Judge(
        QualitySettings(sets=()), worth=Worth(classifier_folder(settings, CleaningSettings(), place))
    )


def _written(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def _share_refused(judge: Judge, documents: Sequence[Document]) -> float:
    return sum(judge.judge(*document) is not None for document in documents) / max(1, len(documents))


def _shuffled(text: str, rng: random.Random) -> str:
    """The words in another order; the characters where hardly any space is."""
    parts = text.split() if text.count(" ") * 20 > len(text) else list(text)
    rng.shuffle(parts)
    return (" " if len(parts) < len(text) / 2 else "").join(parts)


def _misread(text: str, rng: random.Random) -> str:
    """A tenth of the letters become others of the text."""
    letters = [character for character in text if character.isalpha()]
    return "".join(
        rng.choice(letters) if character.isalpha() and rng.random() < 0.1 else character for character in text
    )


def _print_speed(kinds: Mapping[str, Sequence[Document]], judges: Mapping[str, Judge]) -> None:
    print("\nSpeed, MB/s of a core (UTF-8):\n")
    print("| text | bytes a document | " + " | ".join(judges) + " | all measures |")
    print("|---" * (len(judges) + 3) + "|")
    for name in ("encyclopedia (en)", "clauses (en)", "novels (zh)", "answers (zh)", "program code"):
        documents = kinds[name]
        num_bytes = sum(len(text.encode()) for text, _ in documents)
        speeds = [_speed(judge.judge, documents, num_bytes) for judge in judges.values()]
        speeds.append(_speed(measure, documents, num_bytes))
        print(f"| {name} | {num_bytes // len(documents)} | " + " | ".join(speeds) + " |")


def _speed(function: Callable[[str, str], object], documents: Sequence[Document], num_bytes: int) -> str:
    start = time.process_time()
    for text, language in documents:
        function(text, language)
    return f"{num_bytes / (time.process_time() - start) / 1e6:.1f}"


def _kinds() -> Iterator[tuple[str, Iterator[Document]]]:
    # First those that models learn from, then other good ones, then junk: _GOOD_KINDS, _KEPT_KINDS.
    articles = re.split(r"\n (?== [^=]+ = \n)", _read("wikitext2", "test.raw.txt.gz"))
    yield "encyclopedia (en)", _in("en", articles)
    yield "clauses (en)", _in("en", _field("cuad_clauses", "clauses.dev.jsonl.gz", "text"))
    yield "novels (zh)", _in("zh", _pages(_read("zh_novels", "hongloumeng.txt.gz")))
    yield "abstracts (zh)", _in("zh", _field("csl_title", "dev.jsonl.gz", "abstract"))
    yield "answers (zh)", _in("zh", _field("alpaca_zh", "dev.jsonl.gz", "output"))
    yield "plays (en)", _in("en", _pages(_read("tinyshakespeare", "input.txt")))
    yield "Tang poems (zh)", _in("zh", _field("tang_poems", "dev.jsonl.gz", "lines"))
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    yield "program code", _in("en", (path.read_text("utf-8") for path in library))
    rng = random.Random(0)
    for name, make in JUNK.items():
        yield name, _many(partial(make, rng))


def _many(make: Callable[[], Document]) -> Iterator[Document]:
    while True:
        yield make()


def _in(language: str, texts: Iterator[str] | Sequence[str]) -> Iterator[Document]:
    return ((text, language) for text in texts if text.strip())


def _pages(text: str) -> Iterator[str]:
    """Whole lines of some four thousand characters together."""
    page: list[str] = []
    size = 0
    for line in text.split("\n"):
        page.append(line)
        size += len(line)
        if size >= _PAGE_CHARS:
            yield "\n".join(page)
            page, size = [], 0


def _read(folder: str, name: str) -> str:
    path = data_folder(folder) / name
    with (gzip.open if name.endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
        return file.read()


def _field(folder: str, name: str, field: str) -> Iterator[str]:
    for line in _read(folder, name).split("\n"):
        if line:
            value = json.loads(line)[field]
            yield value if isinstance(value, str) else "\n".join(value)


if __name__ == "__main__":
    main()
