"""Masked pretraining for 20 minutes, and what it is worth on SST-2 after fine-tuning.

    python -m benchmarks masked [BUDGET]

BERT's shape with next-sentence prediction on Python's reference, ModernBERT's without it on English prose and
on three Chinese novels, there with whole words masked: accuracy on masked tokens and on pairs of held-out
text. Then the two English encoders, and ones that were never pretrained, learn SST-2's sentences (mean of
the hidden states, one linear layer, all weights trained, no phrases), beside TF-IDF of words and pairs with
logistic regression. Settings of both are chosen on a tenth of the training set; the development set judges.
"""

from __future__ import annotations

import gzip
import json
import random
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.kept_runs import runs_folder, source, yanmo
from benchmarks.machine import data_folder, describe
from yanmo.machine import usable_cores
from yanmo.models.registry import load
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import Segments
from yanmo.tokenizers.load import Tokenizer
from yanmo.training.optimizer import Optimizer, OptimizerConfig
from yanmo.training.schedule import Schedule, ScheduleConfig

RUNS = (
    ("bert", "python", ("--next-sentence",)),
    ("modernbert", "prose", ()),
    ("modernbert", "novels", ("--whole-words",)),
)
EPOCHS, ROWS, SEEDS = 6, 32, (0, 1, 2)
DROPOUTS, FACTORS = (0.1, 0.3), (0.1, 0.3)


def main() -> None:
    """Print both tables."""
    budget = sys.argv[2] if sys.argv[2:] else "20m"
    torch.set_num_threads(usable_cores())
    print(f"masked pretraining, {budget}. {describe()}")
    print("| shape | text | parameters | steps | masked accuracy | next-sentence accuracy |")
    print("|---|---|---|---|---|---|")
    encoders: dict[str, Path] = {}
    for shape, text, flags in RUNS:
        corpus = runs_folder() / f"{text}-corpus"
        run = runs_folder() / f"masked-{shape}-{text}-{budget}"
        sizes = ("--shape", "encoder", "--budget", budget, *flags)
        yanmo("corpus", str(source(text)), "--out", str(corpus))
        result = yanmo("pretrain", str(corpus), "--out", str(run), *sizes)
        valid = result["valid"]
        pairs = f"{valid['next_sentence_accuracy']:.4f}" if "next_sentence_accuracy" in valid else ""
        print(
            f"| {shape} | {text} | {result['num_parameters'] / 1e6:.2f} M | {result['steps']} "
            f"| {valid['masked_accuracy']:.4f} | {pairs} |",
            flush=True,
        )
        if text != "novels":
            encoders[f"{shape}, {text}"] = run / "model"
    _probe(encoders)


def _probe(encoders: dict[str, Path]) -> None:
    train, dev, test = _sentences()
    print(f"SST-2, {len(train)} sentences to learn from, {len(test)} to be judged on")
    print("| what | chosen by | accuracy |")
    print("|---|---|---|")
    print(
        "| TF-IDF of words and pairs, logistic regression | {:.4f} | {:.4f} |".format(*_bag(train, dev, test))
    )
    settings = [(path, name, True) for name, path in encoders.items()]
    settings += [(path, f"{name}'s sizes, never pretrained", False) for name, path in encoders.items()]
    for path, name, pretrained in settings:
        choices = [(dropout, factor) for dropout in DROPOUTS for factor in FACTORS]
        by_dev = {
            choice: _finetune(path, *choice, train, dev, test, SEEDS[0], pretrained) for choice in choices
        }
        best = max(by_dev, key=lambda choice: by_dev[choice][0])
        scores = [by_dev[best]]
        scores += [_finetune(path, *best, train, dev, test, seed, pretrained) for seed in SEEDS[1:]]
        dev_score, test_score = (statistics.mean(score[index] for score in scores) for index in (0, 1))
        low, high = (pick(score[1] for score in scores) for pick in (min, max))
        print(
            f"| {name}, {len(SEEDS)} seeds | {dev_score:.4f} | {test_score:.4f} ({low:.4f} to {high:.4f}) |"
        )


Rows = list[tuple[str, int]]


def _sentences() -> tuple[Rows, Rows, Rows]:
    """Nine tenths of the training set, the other tenth, and the development set."""
    train, judged = (_rows(data_folder("sst2") / f"{split}.jsonl.gz") for split in ("train", "dev"))
    random.Random(0).shuffle(train)
    cut = len(train) * 9 // 10
    return train[:cut], train[cut:], judged


def _rows(path: Path) -> Rows:
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [(row["text"], row["label"]) for row in rows]


def _bag(train: Rows, dev: Rows, test: Rows) -> tuple[float, float]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    found = []
    for longest in (1, 2):
        for strength in (1, 3, 10, 30):
            words = TfidfVectorizer(ngram_range=(1, longest), sublinear_tf=True, token_pattern=r"\S+")
            model = make_pipeline(words, LogisticRegression(C=strength, max_iter=1000))
            model.fit([text for text, _ in train], [label for _, label in train])
            scores = [
                model.score([text for text, _ in rows], [label for _, label in rows]) for rows in (dev, test)
            ]
            found.append((scores[0], scores[1]))
    return max(found)


class _Classifier(nn.Module):
    """An encoder whose mean hidden state a linear layer judges."""

    def __init__(self, encoder: Transformer) -> None:
        super().__init__()
        self.encoder = encoder
        self.output = nn.Linear(encoder.config.d_model, 2)

    def forward(self, texts: list[list[int]]) -> Tensor:
        tokens_1N = torch.tensor([[token for text in texts for token in text]])
        segments = Segments([len(text) for text in texts])
        hidden_ND = self.encoder.hidden(tokens_1N, segments=segments)[0]
        sums_BD = torch.zeros(len(texts), hidden_ND.shape[1], dtype=hidden_ND.dtype)
        sums_BD = sums_BD.index_add(0, segments.texts_N, hidden_ND)
        logits: Tensor = self.output(sums_BD / segments.lengths_B[:, None].to(hidden_ND.dtype)).float()
        return logits


def _finetune(
    folder: Path,
    dropout: float,
    factor: float,
    train: Rows,
    dev: Rows,
    test: Rows,
    seed: int,
    pretrained: bool,
) -> tuple[float, float]:
    """Accuracy on the development and the test set after training on the training set."""
    torch.manual_seed(seed)
    tokenizer = Tokenizer.load(folder)
    encoder = load(folder).model
    assert isinstance(encoder, Transformer)
    if not pretrained:
        encoder.initialise()
        factor = 1.0
    model = _Classifier(encoder.float())
    encoder.set_dropout(dropout)
    rates = OptimizerConfig(
        muon_learning_rate=0.02 * factor, adam_learning_rate=0.01 * factor, muon_weight_decay=0.5
    )
    optimizer = Optimizer(model, rates)
    ids = [tokenizer.encode_with_specials(text)[: encoder.max_seq_len] for text, _ in train]
    labels = [label for _, label in train]
    num_steps = EPOCHS * len(train) // ROWS
    schedule = Schedule(ScheduleConfig(warmup_steps=num_steps // 10, decay_from=0.1), num_steps)
    order = random.Random(seed)
    places: list[int] = []
    model.train()
    for step in range(num_steps):
        if len(places) < ROWS:
            fresh = list(range(len(train)))
            order.shuffle(fresh)
            places += fresh
        rows, places = sorted(places[:ROWS], key=lambda row: len(ids[row])), places[ROWS:]
        targets_B = torch.tensor([labels[row] for row in rows])
        loss = functional.cross_entropy(model([ids[row] for row in rows]), targets_B, reduction="sum")
        loss.backward()
        optimizer.accumulate()
        optimizer.step(factor=schedule.factor(step), num_tokens=ROWS)
    model.eval()
    return _accuracy(model, tokenizer, dev), _accuracy(model, tokenizer, test)


@torch.inference_mode()
def _accuracy(model: _Classifier, tokenizer: Any, rows: Rows) -> float:
    right = 0
    ranked = sorted(rows, key=lambda row: len(row[0]))
    for start in range(0, len(ranked), 128):
        part = ranked[start : start + 128]
        texts = [tokenizer.encode_with_specials(text)[: model.encoder.max_seq_len] for text, _ in part]
        right += int((model(texts).argmax(-1) == torch.tensor([label for _, label in part])).sum())
    return right / len(rows)


if __name__ == "__main__":
    main()
