"""The road from n-gram to Transformer: three models on one corpus, in the same time, in one table.

    python -m benchmarks road [BUDGET [SOURCE]]

``yanmo train`` goes first with the whole budget and leaves its corpus and tokenizer. ``yanmo pretrain
--shape lstm`` has as long for the same corpus with the same tokenizer, and chooses sizes of its own; the
n-gram, the better of a few, takes what it needs, which is seconds. All are scored on the corpus's test
split. SOURCE is a file or folder of text; tinyshakespeare where none is given.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kept_runs import yanmo
from benchmarks.machine import data_folder, describe
from yanmo.corpus.store import Corpus
from yanmo.evaluation.baselines import CharacterNgramBaseline, TokenNgramBaseline, fit_baseline
from yanmo.evaluation.scoring import TextScore, evaluate_texts
from yanmo.models.ngram.characters import sample_texts
from yanmo.models.registry import load
from yanmo.tokenizers.load import Tokenizer

_BUDGET = "5m"
_TEST_BYTES = 512 * 1024


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    num_parameters: int
    training_s: float
    num_steps: int | None
    score: TextScore

    def __str__(self) -> str:
        low, high = self.score.interval
        steps = "" if self.num_steps is None else f"{self.num_steps:,}"
        return (
            f"| {self.name} | {self.num_parameters / 1e6:.2f} M | {self.training_s:.1f} s | {steps} "
            f"| {self.score.bits_per_byte:.4f} | {low:.3f} to {high:.3f} |"
        )


def main() -> None:
    """Print a row a model."""
    budget = sys.argv[2] if len(sys.argv) > 2 else _BUDGET
    with tempfile.TemporaryDirectory() as folder:
        source = Path(sys.argv[3]) if len(sys.argv) > 3 else _tinyshakespeare(Path(folder) / "source")
        run, lstm = Path(folder) / "run", Path(folder) / "lstm"
        result = yanmo("train", str(source), "--out", str(run), "--budget", budget)
        recurrent = yanmo(
            "pretrain", str(run / "corpus"), "--out", str(lstm), "--shape", "lstm", "--budget", budget,
            "--tokenizer", str(run / "tokenizer"),
        )  # fmt: skip
        corpus = Corpus.open(run / "corpus")
        print(f"{source.name}, budget {budget}, test split. {describe()}")
        print("| model | parameters | training | steps | bits/byte | 95% interval |")
        print("|---|---|---|---|---|---|")
        print(_ngram(corpus, Tokenizer.load(run / "tokenizer")), flush=True)
        print(_network("LSTM", corpus, recurrent), flush=True)
        print(_network("Transformer", corpus, result), flush=True)


def _tinyshakespeare(source: Path) -> Path:
    text = (data_folder("tinyshakespeare") / "input.txt").read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    source.mkdir()
    (source / "train.txt").write_text(text[:cut], encoding="utf-8")
    (source / "test.txt").write_text(text[cut:], encoding="utf-8")
    return source


def _ngram(corpus: Corpus, tokenizer: Tokenizer) -> Row:
    began_s = time.monotonic()
    baseline = fit_baseline(corpus.texts("train"), corpus.texts("valid"), tokenizer=tokenizer)
    training_s = time.monotonic() - began_s
    assert isinstance(baseline, CharacterNgramBaseline | TokenNgramBaseline)
    table = baseline.model.model if isinstance(baseline, CharacterNgramBaseline) else baseline.model
    return Row(baseline.name, table.num_parameters, training_s, None, baseline.score(_test_texts(corpus)))


def _network(name: str, corpus: Corpus, result: dict[str, Any]) -> Row:
    loaded = load(result["model"])
    score = evaluate_texts(loaded.model, loaded.tokenizer, _test_texts(corpus))
    return Row(name, loaded.num_parameters, result["training_s"], result["steps"], score)


def _test_texts(corpus: Corpus) -> list[str]:
    split = "test" if corpus.num_bytes("test") else "valid"
    return sample_texts(corpus.texts(split), max_bytes=_TEST_BYTES)


if __name__ == "__main__":
    main()
