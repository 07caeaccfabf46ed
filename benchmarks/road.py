"""The road from n-gram to Transformer: three models on one corpus, in the same time, in one table.

    python -m benchmarks road [BUDGET [SOURCE]]

``yanmo train`` goes first with the whole budget and leaves its corpus, tokenizer and sizes. The LSTM is
trained by the same loop on the same tokens for as long as the Transformer's training took, with about as
many parameters; the n-gram, the better of a few, takes what it needs, which is seconds. All are scored
on the corpus's test split. SOURCE is a file or folder of text; tinyshakespeare where none is given.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import YANMO, data_folder, describe
from yanmo.artifact import read_json
from yanmo.corpus.store import Corpus
from yanmo.data.loader import Loader
from yanmo.data.token_store import TokenStore
from yanmo.evaluation.baselines import CharacterNgramBaseline, TokenNgramBaseline, fit_baseline
from yanmo.evaluation.scoring import TextScore, evaluate_texts
from yanmo.models.base import Trainable
from yanmo.models.lstm import LstmConfig, LstmModel
from yanmo.models.ngram.characters import sample_texts
from yanmo.models.registry import load
from yanmo.planning.probe import usable_cores
from yanmo.runtime import stop_signal
from yanmo.tokenizers.load import Tokenizer
from yanmo.training.checkpoint import CheckpointStore
from yanmo.training.objective import causal
from yanmo.training.optimizer import Optimizer, OptimizerConfig
from yanmo.training.recurrent import PenalisedCausal
from yanmo.training.schedule import Schedule, ScheduleConfig
from yanmo.training.trainer import Trainer, TrainerConfig

_BUDGET = "5m"
_NUM_LAYERS = 2
_VALID_BYTES = 48_000
_TEST_BYTES = 512 * 1024
_NUM_VALIDATIONS = 5


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
        run = Path(folder) / "run"
        command = [*YANMO, "train", str(source), "--out", str(run), "--budget", budget, "--json"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
        result = json.loads(done.stdout.splitlines()[-1])
        print(f"{source.name}, budget {budget}, test split. {describe()}")
        print("| model | parameters | training | steps | bits/byte | 95% interval |")
        print("|---|---|---|---|---|---|")
        for row in (_ngram(run), _lstm(run, result["training_s"]), _transformer(run, result)):
            print(row, flush=True)


def _tinyshakespeare(source: Path) -> Path:
    text = (data_folder("tinyshakespeare") / "input.txt").read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    source.mkdir()
    (source / "train.txt").write_text(text[:cut], encoding="utf-8")
    (source / "test.txt").write_text(text[cut:], encoding="utf-8")
    return source


def _ngram(run: Path) -> Row:
    corpus, tokenizer = Corpus.open(run / "corpus"), Tokenizer.load(run / "tokenizer")
    began_s = time.monotonic()
    baseline = fit_baseline(corpus.texts("train"), corpus.texts("valid"), tokenizer=tokenizer)
    training_s = time.monotonic() - began_s
    assert isinstance(baseline, CharacterNgramBaseline | TokenNgramBaseline)
    table = baseline.model.model if isinstance(baseline, CharacterNgramBaseline) else baseline.model
    return Row(baseline.name, table.num_parameters, training_s, None, baseline.score(_test_texts(run)))


def _lstm(run: Path, training_s: float) -> Row:
    corpus, tokenizer = Corpus.open(run / "corpus"), Tokenizer.load(run / "tokenizer")
    chosen: dict[str, Any] = read_json(run / "plan.json")["chosen"]
    store = TokenStore.open_or_build(
        run / "tokens", corpus.texts("train"), tokenizer, corpus_sha256=corpus.sha256, split="train"
    )
    torch.set_num_threads(usable_cores())
    torch.manual_seed(0)
    sizes = _sizes(chosen["vocab_size"], chosen["d_model"], chosen["num_parameters"])
    model = LstmModel(sizes)
    optimizer = Optimizer(model, OptimizerConfig(adam_learning_rate=chosen["adam_learning_rate"]))
    if read_json(run / "machine.json")["dtype"] == "bfloat16":
        model.to(torch.bfloat16)
    valid_texts = sample_texts(corpus.texts("valid"), max_bytes=_VALID_BYTES)

    def validate(validated: Trainable) -> dict[str, float]:
        score = evaluate_texts(validated, tokenizer, valid_texts)
        return {"loss_nats": score.loss_nats / score.num_tokens, "bits_per_byte": score.bits_per_byte}

    checkpoints = CheckpointStore(run / "lstm")
    with stop_signal() as stop:
        state = Trainer(
            model,
            PenalisedCausal() if chosen["dropout"] else causal,
            Loader(store.tokens, batch_size=chosen["batch_size"], seq_len=chosen["max_seq_len"], seed=0),
            optimizer,
            Schedule(ScheduleConfig(), chosen["num_steps"]),
            checkpoints,
            validate,
            config=TrainerConfig(
                dropout=chosen["dropout"],
                micro_batch_size=chosen["batch_size"],
                num_validations=_NUM_VALIDATIONS,
            ),
            deadline_s=training_s,
            stop=stop,
        ).run()
    weights = optimizer.masters()
    if state.best_step != state.step and (best := checkpoints.load_best()) is not None:
        weights = best.weights
    model.float().load_state_dict(weights)
    score = evaluate_texts(model.eval(), tokenizer, _test_texts(run))
    return Row(f"LSTM, {_NUM_LAYERS} layers", sizes.num_parameters, state.elapsed_s, state.step, score)


def _sizes(vocab_size: int, d_model: int, num_parameters: int) -> LstmConfig:
    """The narrowest LSTM, in steps of 16, that has at least so many parameters."""
    d_hidden = 0
    while True:
        d_hidden += 16
        config = LstmConfig(vocab_size=vocab_size, d_model=d_model, d_hidden=d_hidden, num_layers=_NUM_LAYERS)
        if config.num_parameters >= num_parameters:
            return config


def _transformer(run: Path, result: dict[str, Any]) -> Row:
    loaded = load(run / "model")
    score = evaluate_texts(loaded.model, loaded.tokenizer, _test_texts(run))
    return Row("Transformer", loaded.num_parameters, result["training_s"], result["steps"], score)


def _test_texts(run: Path) -> list[str]:
    corpus = Corpus.open(run / "corpus")
    split = "test" if corpus.num_bytes("test") else "valid"
    return sample_texts(corpus.texts(split), max_bytes=_TEST_BYTES)


if __name__ == "__main__":
    main()
