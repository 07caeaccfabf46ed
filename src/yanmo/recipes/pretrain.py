"""Pretraining as one function: corpus in, model folder out, killed and repeated freely.

What is trained and for what (``goal``), and what from (``start``), are parts; the run is the same for all.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from yanmo import runtime
from yanmo.config import from_mapping
from yanmo.corpus.store import Corpus
from yanmo.data.loader import Batches
from yanmo.data.token_store import TokenStore
from yanmo.planning.candidate import Candidate
from yanmo.planning.plan import Plan, plan_table
from yanmo.planning.probe import usable_cores
from yanmo.recipes import preparation
from yanmo.recipes.forgetting import Comparison
from yanmo.recipes.goal import Goal
from yanmo.recipes.listeners import Log, Narrator, Sampler
from yanmo.recipes.model_card import model_card
from yanmo.recipes.run_folder import MACHINE_FILE, METRICS_FILE, PLAN_FILE, RESULT_FILE, RunFolder
from yanmo.recipes.settings import PretrainSettings, recorded, recorded_before
from yanmo.recipes.start import Network, Start, open_start
from yanmo.reporting.html import write_run_report
from yanmo.reporting.metrics_log import MetricsLog
from yanmo.reporting.progress import say
from yanmo.runtime import StopSignal
from yanmo.tokenizers.load import Tokenizer
from yanmo.training.checkpoint import CheckpointStore
from yanmo.training.objective import Objective
from yanmo.training.optimizer import Optimizer
from yanmo.training.parallel import Group, first_ahead, open_group, threads_per_process
from yanmo.training.replay import OverParts, Replay
from yanmo.training.schedule import Schedule, ScheduleConfig
from yanmo.training.state import TrainingState
from yanmo.training.trainer import Listener, Trainer, TrainerConfig

__all__ = ["PretrainSettings", "plan", "pretrain"]

# What follows training (the model folder, the report) and what precedes it are inside the budget.
_FINISH_S = 1.5


def plan(corpus: Path | str, *, settings: PretrainSettings) -> Plan:
    """Choose sizes for a corpus and a budget without training.

    Args:
        corpus: a corpus folder.
        settings: the budget and what is fixed by hand.

    Raises:
        InputError: there is no such corpus, or nothing fits.
    """
    source, start = Corpus.open(Path(corpus)), open_start(settings)
    tokenizer = start.fit_tokenizer(source)
    return preparation.plan_run(source, tokenizer, settings, start, spent_s=0.0, reserve_s=_FINISH_S)


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
        model, steps, tokens, wall_s, tokens_per_s, valid_loss_nats, valid_bits_per_byte (None where the
        objective gives none) and more, as in result.json.

    Raises:
        InputError: bad input. TrainingDiverged: it would not converge. Interrupted: a signal came.
    """
    began_s = time.monotonic() - spent_s
    source, run = Corpus.open(Path(corpus)), RunFolder(Path(out))
    with open_group() as group, contextlib.ExitStack() as stack:
        with first_ahead(group):
            if group.rank == 0:
                if force:
                    run.clear()
                run.open(recorded(source, settings), earlier=recorded_before(), force=force)
                stack.enter_context(run.lock())
        stop = stack.enter_context(runtime.stop_signal())
        result = run.read(RESULT_FILE)
        if result is not None and (run.path / "model").is_dir():
            say(f"{run.path}: already finished; nothing to do")
            return result
        return _Pretraining(source, run, settings, began_s, reserve_s, stop, group).run()


class _Pretraining:
    """One call of ``pretrain``, part by part."""

    def __init__(
        self,
        corpus: Corpus,
        run: RunFolder,
        settings: PretrainSettings,
        began_s: float,
        reserve_s: float,
        stop: StopSignal,
        group: Group,
    ) -> None:
        self._corpus, self._run, self._settings = corpus, run, settings
        self._began_s, self._reserve_s = began_s, reserve_s + _FINISH_S
        self._stop, self._group = stop, group

    def run(self) -> dict[str, Any]:
        settings = self._settings
        start = open_start(settings)
        old = None if settings.replay is None else Corpus.open(settings.replay)
        with first_ahead(self._group):
            tokenizer = start.prepare_tokenizer(self._corpus, self._run.path / "tokenizer")
            goal = preparation.goal_of(settings, start, tokenizer)
            stores = [self._tokens("tokens", self._corpus, tokenizer, words=goal.words)]
            if old is not None:
                stores.append(self._tokens("tokens-replay", old, tokenizer, words=goal.words))
            chosen, training_s = self._prepare_plan(start, tokenizer)
        torch.set_num_threads(threads_per_process(usable_cores()))
        network = start.network(preparation.subject_of(settings, start, goal).model(chosen))
        optimizer = Optimizer(network, chosen.optimizer)
        self._dtype = _compute_dtype(self._run)
        network.to(self._dtype)
        comparison = None
        if start.given is not None:
            comparison = Comparison(goal, chosen, self._corpus, old, budget_s=settings.budget_s)
            with first_ahead(self._group):
                comparison.take_before(self._run, network)
        store = CheckpointStore(self._run.path / "checkpoints")
        sampled = tokenizer if start.objective == "causal" else None
        trainer = self._trainer(chosen, goal, stores, training_s, network, optimizer, store, sampled)
        state = trainer.run()
        with first_ahead(self._group):
            if self._group.rank == 0:
                self._finish(chosen, start, tokenizer, network, optimizer, store, state, comparison)
        return self._run.read(RESULT_FILE) or {}

    def _tokens(self, name: str, corpus: Corpus, tokenizer: Tokenizer, *, words: bool) -> TokenStore:
        return TokenStore.open_or_build(
            self._run.path / name,
            corpus.texts("train"),
            tokenizer,
            corpus_sha256=corpus.sha256,
            split="train",
            words=words,
        )

    def _prepare_plan(self, start: Start, tokenizer: Tokenizer) -> tuple[Candidate, float | None]:
        """The plan of an earlier session, or a new one; and the seconds of training in all."""
        saved = self._run.read(PLAN_FILE)
        if saved is not None:
            return from_mapping(Candidate, saved["chosen"]), saved["training_s"]
        made = preparation.plan_run(
            self._corpus,
            tokenizer,
            self._settings,
            start,
            spent_s=time.monotonic() - self._began_s,
            reserve_s=self._reserve_s,
        )
        self._run.write(MACHINE_FILE, made.machine.to_json())
        self._run.write(PLAN_FILE, made.to_json())
        say(plan_table(made))
        return made.chosen, made.training_s

    def _trainer(
        self,
        chosen: Candidate,
        goal: Goal,
        stores: list[TokenStore],
        training_s: float | None,
        network: Network,
        optimizer: Optimizer,
        store: CheckpointStore,
        sampled: Tokenizer | None,
    ) -> Trainer[Any]:
        settings, group = self._settings, self._group
        schedule = Schedule(
            ScheduleConfig(warmup_steps=max(1, min(20, chosen.num_steps // 10))), chosen.num_steps
        )
        log = MetricsLog(self._run.path / METRICS_FILE)
        objective, batches = _mixture(goal, chosen, stores, settings)
        texts = preparation.scored_texts(self._corpus, "valid", chosen, preparation.validation_s(training_s))
        trainer = Trainer(
            network,
            objective,
            batches,
            optimizer,
            schedule,
            store,
            goal.validation(texts, seq_len=chosen.max_seq_len),
            config=TrainerConfig(
                seed=settings.seed,
                dropout=chosen.dropout,
                micro_batch_size=preparation.micro_batch_size(chosen, settings, group),
                checkpoint_every_s=settings.checkpoint_every_s,
            ),
            deadline_s=training_s,
            stop=self._stop,
            listeners=self._listeners(log, stores[0], schedule, sampled),
            group=group,
        )
        if trainer.resume():
            say(f"{self._run.path}: going on after step {trainer.state.step}")
        if group.rank == 0:
            log.truncate_after(trainer.state.step)
        return trainer

    def _listeners(
        self, log: MetricsLog, train: TokenStore, schedule: Schedule, sampled: Tokenizer | None
    ) -> list[Listener]:
        """``sampled`` is the tokenizer of a model that continues text, which is shown as training goes."""
        bytes_per_token = train.num_bytes / train.num_tokens
        listeners: list[Listener] = [Log(log, bytes_per_token), Narrator(bytes_per_token, schedule)]
        if sampled is not None:
            listeners.append(Sampler(log, sampled, schedule, seed=self._settings.seed))
        return listeners

    def _finish(
        self,
        chosen: Candidate,
        start: Start,
        tokenizer: Tokenizer,
        network: Network,
        optimizer: Optimizer,
        store: CheckpointStore,
        state: TrainingState,
        comparison: Comparison | None,
    ) -> None:
        """Write the model, the result and the report."""
        weights, valid = optimizer.masters(), state.valid
        if state.best_step != state.step and (best := store.load_best()) is not None:
            say(f"step {best.step} was the best on the validation text; the model is that one")
            weights, valid = best.weights, state.best
        run, name = self._run, self._run.path.resolve().name
        folder = run.path / "model"
        start.save(
            folder,
            network,
            weights,
            tokenizer,
            dtype=self._dtype,
            details={"run": name, "corpus": self._corpus.sha256},
            card=model_card(name, chosen, self._corpus.summary, state, valid, start=start.name),
        )
        result = {
            "model": str(folder),
            "report": str(run.path / "report.html"),
            "shape": start.shape,
            "objective": start.objective,
            "num_parameters": chosen.num_parameters,
            "steps": state.step,
            "tokens": state.num_tokens,
            "training_s": state.elapsed_s,
            "tokens_per_s": state.num_tokens / max(1e-9, state.elapsed_s),
            "valid_loss_nats": valid["loss_nats"],
            "valid_bits_per_byte": valid.get("bits_per_byte"),
            "valid": valid,
            **({} if comparison is None else comparison.take_after(run, network, weights)),
            "peak_memory_bytes": runtime.peak_memory_bytes(),
            "wall_s": time.monotonic() - self._began_s,
        }
        run.write(RESULT_FILE, result)
        write_run_report(run.path)


def _mixture(
    goal: Goal, chosen: Candidate, stores: list[TokenStore], settings: PretrainSettings
) -> tuple[Objective[Any], Batches[Any]]:
    """The rows of every step, new ones and replayed ones, and the loss of both."""
    objective = goal.objective(chosen)
    new, *old = (
        goal.batches(store, batch_size=rows, seq_len=chosen.max_seq_len, seed=settings.seed)
        for store, rows in zip(stores, preparation.split_rows(chosen, settings), strict=False)
    )
    return (OverParts(objective), Replay(new, old[0])) if old else (objective, new)


def _compute_dtype(run: RunFolder) -> torch.dtype:
    machine: Mapping[str, Any] = run.read(MACHINE_FILE) or {}
    return torch.bfloat16 if machine.get("dtype") == "bfloat16" else torch.float32
