"""Bits per byte on text that training never saw, beside cheaper ways to predict it.

    python -m benchmarks held_out novels [BUDGET]      three Chinese novels to learn from, one to be judged on
    python -m benchmarks held_out python [BUDGET]      Python's reference and docstrings, as ``yanmo demo`` reads them

``yanmo train`` has the whole budget (30 minutes where none is given). Beside it: modified Kneser-Ney 5-grams of
characters and of the same tokens; the LSTM of ``yanmo pretrain --shape lstm`` with the same budget; the
held-out text as ``xz -9e`` compresses it, alone and after the training text (the bytes that it adds).
"""

from __future__ import annotations

import gzip
import json
import lzma
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import YANMO, data_folder, describe
from yanmo.corpus.store import Corpus
from yanmo.recipes.demo import write_python_reference

LEARNED, JUDGED = ("sanguo", "shuihu", "xiyouji"), "hongloumeng"


def main() -> None:
    """Print the table of one text."""
    name = sys.argv[2] if sys.argv[2:] else "novels"
    budget = sys.argv[3] if sys.argv[3:] else "30m"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = _novels(work) if name == "novels" else _python(work)
        run, lstm = work / "run", work / "lstm"
        result = _yanmo("train", str(source), "--out", str(run), "--budget", budget)
        recurrent = _yanmo(
            "pretrain", str(run / "corpus"), "--out", str(lstm), "--shape", "lstm", "--budget", budget,
            "--tokenizer", str(run / "tokenizer"),
        )  # fmt: skip
        judged = _yanmo("evaluate", str(lstm / "model"), str(run / "corpus"))
        corpus = Corpus.open(run / "corpus")
        _print(name, budget, result, recurrent, judged, corpus)


def _print(
    name: str,
    budget: str,
    result: dict[str, Any],
    recurrent: dict[str, Any],
    judged: dict[str, Any],
    corpus: Corpus,
) -> None:
    evaluation = json.loads(Path(result["model"]).with_name("evaluation.json").read_text(encoding="utf-8"))
    low, high = evaluation["interval"]
    ngram = evaluation["baseline"]
    train, test = (_bytes(corpus, split) for split in ("train", "test"))
    alone = 8 * len(_xz(test)) / len(test)
    after = 8 * (len(_xz(train + test)) - len(_xz(train))) / len(test)
    sizes = f"{len(train) / 1e6:.1f} MB to learn from, {len(test) / 1e3:.0f} KB to be judged on"
    print(f"{name}, {budget}: {sizes}. {describe()}")
    print("| what | parameters | time | bits/byte |")
    print("|---|---|---|---|")
    print(
        f"| Transformer | {result['num_parameters'] / 1e6:.2f} M | {result['wall_s']:.0f} s "
        f"| {result['bits_per_byte']:.4f} ({low:.4f} to {high:.4f}) |"
    )
    print(
        f"| LSTM | {recurrent['num_parameters'] / 1e6:.2f} M | {recurrent['wall_s']:.0f} s "
        f"| {judged['bits_per_byte']:.4f} |"
    )
    print(f"| {ngram.get('name', 'Kneser-Ney')} | | | {ngram['bits_per_byte']:.4f} |")
    print(f"| xz -9e of the held-out text alone | | | {alone:.4f} |")
    print(f"| xz -9e, what it adds to the training text | | | {after:.4f} |")


def _yanmo(*arguments: str) -> dict[str, Any]:
    command = [*YANMO, *arguments, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _novels(folder: Path) -> Path:
    source = folder / "novels"
    source.mkdir()
    for title in (*LEARNED, JUDGED):
        text = gzip.decompress((data_folder("zh_novels") / f"{title}.txt.gz").read_bytes())
        # A file called test is the test split.
        (source / ("test.txt" if title == JUDGED else f"{title}.txt")).write_bytes(text)
    return source


def _python(folder: Path) -> Path:
    source = folder / "python"
    write_python_reference(source)
    return source


def _bytes(corpus: Corpus, split: str) -> bytes:
    return "\n".join(corpus.texts(split)).encode()


def _xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


if __name__ == "__main__":
    main()
