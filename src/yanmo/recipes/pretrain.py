"""Pretraining as one function: corpus in, model folder out, killed and repeated freely."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from yanmo import runtime
from yanmo.artifact import claim, new_folder
from yanmo.config import format_duration, from_mapping, to_mapping
from yanmo.corpus.store import Corpus
from yanmo.data.loader import Loader
from yanmo.data.token_store import TokenStore
from yanmo.errors import InputError
from yanmo.evaluation.scoring import evaluate_texts
from yanmo.models.base import Trainable
from yanmo.models.folder import save_model
from yanmo.models.ngram.characters import quick_baseline, sample_texts
from yanmo.models.transformer import Transformer
from yanmo.planning.plan import Candidate, CorpusFacts, Plan, Wishes, make_plan, plan_table
from yanmo.planning.probe import probe, usable_cores
from yanmo.recipes.listeners import Log, Narrator, Sampler
from yanmo.recipes.model_card import model_card
from yanmo.recipes.run_folder import MACHINE_FILE, METRICS_FILE, PLAN_FILE, RESULT_FILE, RunFolder
from yanmo.reporting.html import write_run_report
from yanmo.reporting.metrics_log import MetricsLog
from yanmo.reporting.progress import say
from yanmo.runtime import StopSignal
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.train import fit_tokenizer, prepare_tokenizer
from yanmo.training.checkpoint import CheckpointStore
from yanmo.training.objective import causal
from yanmo.training.optimizer import Optimizer
from yanmo.training.schedule import Schedule, ScheduleConfig
from yanmo.training.trainer import Trainer, TrainerConfig, TrainingState

# What follows training (the model folder, the report) and what precedes it are inside the budget.
_FINISH_S = 1.5
_VALID_BYTES = 48_000
_VALID_TIME_SHARE = 0.04


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """What decides a pretraining run."""

    budget_s: float | None = None
    """Wall time of the whole command."""
    vocab_size: int | None = None
    tokenizer: Path | None = None
    """A tokenizer folder to use instead of training one."""
    seed: int = 0
    micro_batch_size: int | None = None
    """Rows whose gradients are computed at once; those of a step are summed. All of them where None."""
    checkpoint_every_s: float = 30.0
    wishes: Wishes = field(default_factory=Wishes)


def plan(corpus: Path | str, *, settings: PretrainSettings) -> Plan:
    """Choose sizes for a corpus and a budget without training.

    Args:
        corpus: a corpus folder.
        settings: the budget and what is fixed by hand.

    Raises:
        InputError: there is no such corpus, or nothing fits.
    """
    source = Corpus.open(Path(corpus))
    if settings.tokenizer is not None:
        tokenizer = Tokenizer.load(settings.tokenizer)
    else:
        tokenizer = fit_tokenizer(source, vocab_size=settings.vocab_size)
    return _plan(source, tokenizer, settings, spent_s=0.0, reserve_s=_FINISH_S)


def pretrain(
    corpus: Path | str,
    out: Path | str,
    *,
    settings: PretrainSettings,
    force: bool = False,
    spent_s: float = 0.0,
    reserve_s: float = 0.0,
) -> dict[str, Any]:
    """Train a model on a corpus; the same call goes on where an earlier one was stopped.

    Args:
        corpus: a corpus folder.
        out: the run's folder.
        settings: budget, or steps in ``settings.wishes``.
        force: begin again whatever is there.
        spent_s: seconds of the budget spent before this call.
        reserve_s: seconds of the budget that the caller needs afterwards.

    Returns:
        model, steps, tokens, wall_s, tokens_per_s, valid_loss_nats, valid_bits_per_byte and more, as in
        result.json.

    Raises:
        InputError: bad input. TrainingDiverged: it would not converge. Interrupted: a signal came.
    """
    began = time.monotonic() - spent_s
    source, run = Corpus.open(Path(corpus)), RunFolder(Path(out))
    if force:
        run.clear()
    run.open(_run_settings(source, settings), force=force)
    with run.lock(), runtime.stop_signal() as stop:
        result = run.read(RESULT_FILE)
        if result is not None and (run.path / "model").is_dir():
            say(f"{run.path}: already finished; nothing to do")
            return result
        return _Pretraining(source, run, settings, began, reserve_s, stop).run()


class _Pretraining:
    """One call of ``pretrain``, part by part."""

    def __init__(
        self,
        corpus: Corpus,
        run: RunFolder,
        settings: PretrainSettings,
        began: float,
        reserve_s: float,
        stop: StopSignal,
    ) -> None:
        self._corpus, self._run, self._settings = corpus, run, settings
        self._began, self._reserve_s, self._stop = began, reserve_s + _FINISH_S, stop

    def run(self) -> dict[str, Any]:
        tokenizer = self._prepare_tokenizer()
        tokens = TokenStore.open_or_build(
            self._run.path / "tokens",
            self._corpus.texts("train"),
            tokenizer,
            corpus_sha256=self._corpus.sha256,
            split="train",
        )
        chosen, training_s = self._prepare_plan(tokenizer)
        trainer = self._build_trainer(chosen, tokenizer, tokens, training_s)
        state = trainer.run()
        return self._finish(chosen, tokenizer, trainer, state)

    def _prepare_tokenizer(self) -> Tokenizer:
        folder, settings = self._run.path / "tokenizer", self._settings
        if settings.tokenizer is None:
            return prepare_tokenizer(self._corpus, folder, vocab_size=settings.vocab_size)
        details = {"corpus": self._corpus.sha256, "vocab_size": settings.vocab_size}
        if not claim(folder, kind="tokenizer", details=details):
            with new_folder(folder, kind="tokenizer", details=details) as temporary:
                Tokenizer.load(settings.tokenizer).save(temporary)
        return Tokenizer.load(folder)

    def _prepare_plan(self, tokenizer: Tokenizer) -> tuple[Candidate, float | None]:
        """The plan of an earlier session, or a new one; and the seconds of training in all."""
        saved = self._run.read(PLAN_FILE)
        if saved is None:
            made = _plan(
                self._corpus,
                tokenizer,
                self._settings,
                spent_s=time.monotonic() - self._began,
                reserve_s=self._reserve_s,
            )
            self._run.write(MACHINE_FILE, made.machine.to_json())
            self._run.write(PLAN_FILE, made.to_json())
            say(plan_table(made))
            return made.chosen, made.training_s
        return from_mapping(Candidate, saved["chosen"]), saved["training_s"]

    def _build_trainer(
        self, chosen: Candidate, tokenizer: Tokenizer, train: TokenStore, training_s: float | None
    ) -> Trainer[Any]:
        settings, run = self._settings, self._run
        torch.set_num_threads(usable_cores())
        torch.manual_seed(settings.seed)
        model = Transformer(chosen.model)
        optimizer = Optimizer(model, chosen.optimizer)
        self._dtype = _compute_dtype(run)
        model.to(self._dtype)
        loader = Loader(
            train.tokens, batch_size=chosen.batch_size, seq_len=chosen.max_seq_len, seed=settings.seed
        )
        schedule = Schedule(
            ScheduleConfig(warmup_steps=max(1, min(20, chosen.num_steps // 10))), chosen.num_steps
        )
        log = MetricsLog(run.path / METRICS_FILE)
        bytes_per_token = train.num_bytes / train.num_tokens
        self._valid_texts = _sample_valid(self._corpus, chosen, training_s)
        self._model, self._tokenizer, self._optimizer = model, tokenizer, optimizer
        self._store = CheckpointStore(run.path / "checkpoints")
        trainer = Trainer(
            model,
            causal,
            loader,
            optimizer,
            schedule,
            self._store,
            self._validate,
            config=TrainerConfig(
                seed=settings.seed,
                dropout=chosen.dropout,
                micro_batch_size=settings.micro_batch_size or chosen.batch_size,
                checkpoint_every_s=settings.checkpoint_every_s,
            ),
            deadline_s=training_s,
            stop=self._stop,
            listeners=(
                Log(log, bytes_per_token),
                Narrator(bytes_per_token, schedule),
                Sampler(log, tokenizer, schedule, seed=settings.seed),
            ),
        )
        if trainer.resume():
            say(f"{run.path}: going on after step {trainer.state.step}")
        log.truncate_after(trainer.state.step)
        return trainer

    def _validate(self, model: Trainable) -> dict[str, float]:
        score = evaluate_texts(model, self._tokenizer, self._valid_texts, stride=_valid_stride(self._model))
        return {"loss_nats": score.loss_nats / score.num_tokens, "bits_per_byte": score.bits_per_byte}

    def _finish(
        self, chosen: Candidate, tokenizer: Tokenizer, trainer: Trainer[Any], state: TrainingState
    ) -> dict[str, Any]:
        weights, valid = self._optimizer.masters(), state.valid
        if state.best_step != state.step and (best := self._store.load_best()) is not None:
            say(f"step {best.step} was the best on the validation text; the model is that one")
            weights, valid = best.weights, best.state["valid"]
        folder = self._run.path / "model"
        save_model(
            folder,
            self._model,
            weights,
            tokenizer,
            dtype=self._dtype,
            details={"run": self._run.path.resolve().name, "corpus": self._corpus.sha256},
            card=model_card(self._run.path.resolve().name, chosen, self._corpus.summary, state, valid),
        )
        result = {
            "model": str(folder),
            "report": str(self._run.path / "report.html"),
            "num_parameters": chosen.num_parameters,
            "steps": state.step,
            "tokens": state.num_tokens,
            "wall_s": time.monotonic() - self._began,
            "training_s": state.elapsed_s,
            "tokens_per_s": state.num_tokens / max(1e-9, state.elapsed_s),
            "valid_loss_nats": valid["loss_nats"],
            "valid_bits_per_byte": valid["bits_per_byte"],
            "peak_memory_bytes": runtime.peak_memory_bytes(),
        }
        self._run.write(RESULT_FILE, result)
        write_run_report(self._run.path)
        return result


def _plan(
    corpus: Corpus, tokenizer: Tokenizer, settings: PretrainSettings, *, spent_s: float, reserve_s: float
) -> Plan:
    began_s = time.monotonic()
    torch.set_num_threads(usable_cores())
    machine = probe()
    facts = _corpus_facts(corpus, tokenizer)
    budget_s = None
    if settings.budget_s is not None:
        already_s, spent_s = spent_s, spent_s + time.monotonic() - began_s
        budget_s = settings.budget_s - spent_s - reserve_s
        if budget_s <= 0:
            least = format_duration(spent_s + reserve_s + 10)
            raise InputError(
                f"the budget of {format_duration(settings.budget_s)} is spent before training begins",
                remedy=f"this corpus and machine need at least {least}",
            )
    made = make_plan(facts, machine, budget_s=budget_s, wishes=settings.wishes)
    if settings.budget_s is None:
        return made
    # Measuring real steps took its time too.
    planning_s = time.monotonic() - began_s
    training_s = settings.budget_s - already_s - planning_s - reserve_s
    return dataclasses.replace(made, training_s=training_s)


def _corpus_facts(corpus: Corpus, tokenizer: Tokenizer) -> CorpusFacts:
    sample = sample_texts(corpus.texts("train"), max_bytes=200_000)
    num_tokens = sum(len(ids) for ids in tokenizer.encode_batch(sample)) + len(sample)
    return CorpusFacts(
        num_train_bytes=corpus.num_bytes("train"),
        num_valid_bytes=corpus.num_bytes("valid"),
        num_test_bytes=corpus.num_bytes("test"),
        bytes_per_token=sum(len(text.encode()) for text in sample) / num_tokens,
        vocab_size=tokenizer.vocab_size,
        ngram_bits_per_byte=quick_baseline(corpus.texts("train"), corpus.texts("valid")),
    )


def _sample_valid(corpus: Corpus, chosen: Candidate, training_s: float | None) -> list[str]:
    """Validation text that takes a small share of the time: 20 passes, each token read twice."""
    limit = _VALID_BYTES
    if training_s is not None:
        seconds_per_token = chosen.predicted_step_s / chosen.batch_tokens / 3
        limit = int(_VALID_TIME_SHARE * training_s / 20 / seconds_per_token)
        limit = max(8_000, min(4 * _VALID_BYTES, limit))
    return sample_texts(corpus.texts("valid"), max_bytes=limit)


def _valid_stride(model: Transformer) -> int:
    return max(1, model.max_seq_len * 3 // 4)


def _compute_dtype(run: RunFolder) -> torch.dtype:
    machine: Mapping[str, Any] = run.read(MACHINE_FILE) or {}
    return torch.bfloat16 if machine.get("dtype") == "bfloat16" else torch.float32


def _run_settings(corpus: Corpus, settings: PretrainSettings) -> dict[str, Any]:
    plain = to_mapping(settings)
    del plain["checkpoint_every_s"]
    return {
        "command": "pretrain",
        "corpus": str(corpus.path.resolve()),
        "corpus_sha256": corpus.sha256,
        **plain,
    }
