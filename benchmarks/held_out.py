"""Bits per byte on text that training never saw, beside cheaper ways to predict it.

    python -m benchmarks held_out novels [BUDGET]
    python -m benchmarks held_out python [BUDGET]

``yanmo train`` has the whole budget (30 minutes where none is given). Beside it: modified Kneser-Ney n-grams;
the LSTM of ``yanmo pretrain --shape lstm`` with the same budget and tokens; the held-out text as ``xz -9e``
compresses it, alone and after the training text (the bytes that it adds).
"""

from __future__ import annotations

import lzma
import sys
from typing import Any

from benchmarks.kept_runs import train, yanmo
from benchmarks.machine import describe
from yanmo.corpus.store import Corpus
from yanmo.evaluation.baselines import TokenNgramBaseline
from yanmo.models.ngram.model import fit_ngram
from yanmo.tokenizers.load import Tokenizer


def main() -> None:
    """Print the table of one text."""
    text = sys.argv[2] if sys.argv[2:] else "novels"
    budget = sys.argv[3] if sys.argv[3:] else "30m"
    result = train(text, budget)
    run = result["run"]
    lstm = run.with_name(f"{run.name}-lstm")
    flags = ("--shape", "lstm", "--budget", budget, "--tokenizer", str(run / "tokenizer"))
    recurrent = yanmo("pretrain", str(run / "corpus"), "--out", str(lstm), *flags)
    judged = yanmo("evaluate", str(lstm / "model"), str(run / "corpus"))
    _print(text, budget, result, recurrent, judged)


def _print(
    text: str, budget: str, result: dict[str, Any], recurrent: dict[str, Any], judged: dict[str, Any]
) -> None:
    corpus = Corpus.open(result["run"] / "corpus")
    low, high = result["evaluation"]["interval"]
    best = result["evaluation"]["baseline"]
    train_bytes, test_bytes = ("\n".join(corpus.texts(split)).encode() for split in ("train", "test"))
    added = len(_xz(train_bytes + test_bytes)) - len(_xz(train_bytes))
    sizes = f"{len(train_bytes) / 1e6:.1f} MB to learn from, {len(test_bytes) / 1e6:.2f} MB to be judged on"
    print(f"{text}, {budget}: {sizes}. {describe()}")
    print("| what | parameters | time | bits/byte |")
    print("|---|---|---|---|")
    rows = (
        ("Transformer", result, f"{result['bits_per_byte']:.4f} ({low:.4f} to {high:.4f})"),
        ("LSTM", recurrent, f"{judged['bits_per_byte']:.4f}"),
    )
    for name, made, bits in rows:
        print(f"| {name} | {made['num_parameters'] / 1e6:.2f} M | {made['wall_s']:.0f} s | {bits} |")
    print(f"| Kneser-Ney 5-gram of the same tokens | | | {_five_gram(result, corpus):.4f} |")
    print(f"| {best['name']}, the best of four | | | {best['bits_per_byte']:.4f} |")
    print(f"| xz -9e of the held-out text alone | | | {8 * len(_xz(test_bytes)) / len(test_bytes):.4f} |")
    print(f"| xz -9e, what it adds to the training text | | | {8 * added / len(test_bytes):.4f} |")


def _five_gram(result: dict[str, Any], corpus: Corpus) -> float:
    tokenizer = Tokenizer.load(result["run"] / "tokenizer")
    ids = tokenizer.encode_batch(list(corpus.texts("train")))
    model = fit_ngram(ids, order=5, vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id)
    return TokenNgramBaseline(model=model, tokenizer=tokenizer).score(corpus.texts("test")).bits_per_byte


def _xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


if __name__ == "__main__":
    main()
