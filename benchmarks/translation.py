"""Translation from nothing but pairs, with a budget: German to English, Chinese to English and back.

    python -m benchmarks translation [BUDGET [SETS [SPLIT [ROWS]]]]

BUDGET is that of ``yanmo finetune translation --model scratch``, 30m where nothing is given; SETS, separated
by commas, are of ``SETS``; SPLIT is valid (usual: what is tried is judged on development rows) or test; ROWS,
the most of the training file, is for trying. BLEU is sacreBLEU's, cased, of tokens 13a (Chinese: zh), chrF is
chrF2, both with the interval of a bootstrap over sentences; answers by five beams. Beside it: the source
copied, and the most frequent answer. Seconds are of everything, from the files to the score. Every run is
kept, and found again.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kept_runs import runs_folder, yanmo
from benchmarks.machine import data_folder, describe

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """A set of pairs.

    Attributes:
        folder: of the data set.
        files: to learn from, to validate on, to be judged on.
        read: from the data set's folder and one of its files to pairs.
    """

    folder: str
    files: tuple[str, str, str]
    read: Callable[[Path, str], Iterator[Pair]]

    def write(self, place: Path, most: int) -> None:
        """``train.jsonl``, ``valid.jsonl`` and ``test.jsonl``."""
        place.mkdir(parents=True, exist_ok=True)
        for name, file in zip(("train", "valid", "test"), self.files, strict=True):
            pairs = list(self.read(data_folder(self.folder), file))
            kept = pairs[:most] if most and name == "train" else pairs
            rows = (json.dumps({"source": s, "target": t}, ensure_ascii=False) for s, t in kept)
            (place / f"{name}.jsonl").write_text("\n".join(rows), encoding="utf-8")


def _parallel(folder: Path, file: str) -> Iterator[Pair]:
    return zip(_lines(folder, f"{file}.de"), _lines(folder, f"{file}.en"), strict=True)


def _columns(folder: Path, file: str, *, source: int) -> Iterator[Pair]:
    for line in _lines(folder, f"{file}.tsv"):
        cells = line.split("\t")
        yield cells[source], cells[1 - source]


def _lines(folder: Path, name: str) -> list[str]:
    path = folder / name
    if path.is_file():
        return path.read_text(encoding="utf-8").splitlines()
    with gzip.open(folder / f"{name}.gz", "rt", encoding="utf-8") as stream:
        return stream.read().splitlines()


SETS = {
    "multi30k-de-en": Pairs(folder="multi30k", files=("train", "dev", "test_2016"), read=_parallel),
    "tatoeba-zh-en": Pairs(
        folder="tatoeba_en_zh",
        files=("train", "dev", "test"),
        read=lambda folder, file: _columns(folder, file, source=1),
    ),
    "tatoeba-en-zh": Pairs(
        folder="tatoeba_en_zh",
        files=("train", "dev", "test"),
        read=lambda folder, file: _columns(folder, file, source=0),
    ),
}


def main() -> None:
    """Print a table of the sets."""
    given = [*sys.argv[2:], *[""] * 4]
    budget, split, most = given[0] or "30m", given[2] or "valid", int(given[3] or 0)
    print(f"translation from nothing, a budget of {budget}, scored on {split} rows. {describe()}")
    print("| set | what | BLEU (95%) | chrF (95%) | parameters | steps | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name in given[1].split(",") if given[1] else SETS:
        _print_rows(name, _run(name, budget, split, most), split)


def _run(name: str, budget: str, split: str, most: int) -> dict[str, Any]:
    place = runs_folder() / "sources" / "translation" / f"{name}{f'-{most}' if most else ''}"
    SETS[name].write(place, most)
    run = runs_folder() / "translation" / f"{place.name}-{budget}-{split}"
    files = ("--valid", str(place / "valid.jsonl"), "--test", str(place / f"{split}.jsonl"))
    result = yanmo(
        *("finetune", "translation", str(place / "train.jsonl"), "--model", "scratch"),
        *("--out", str(run), "--budget", budget, *files),
    )
    evaluation = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    return {**result, "baselines": evaluation["baselines"]}


def _print_rows(name: str, result: dict[str, Any], split: str) -> None:
    size, steps = f"{result['num_parameters'] / 1e6:.1f} M", f"{result['steps']:,}"
    rows = [("yanmo", result["metrics"], size, steps, f"{result['wall_s']:.0f}")]
    rows += [(one["name"], one["metrics"], "", "", "") for one in reversed(result["baselines"])]
    for what, scores, *rest in rows:
        cells = (f"{name}, {split}", what, _score(scores["bleu"]), _score(scores["chrf"]), *rest)
        print("| " + " | ".join(cells) + " |", flush=True)


def _score(score: dict[str, Any]) -> str:
    low, high = score["interval"]
    return f"{score['value']:.1f} ({low:.1f} to {high:.1f})"
