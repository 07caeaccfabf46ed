"""Pretraining as one function: corpus in, model folder out, killed and repeated freely.

What is trained and for what (``goal``), and what from (``start``), are parts; the run is the same for all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any, Protocol

import torch

from yanmo import runtime
from yanmo.config import from_mapping
from yanmo.corpus.store import Corpus
from yanmo.data.token_store import TokenStore
from yanmo.device import choose_device, compute_dtype, use_device
from yanmo.energy import EnergyMeter
from yanmo.machine import usable_cores
from yanmo.planning.candidate import Candidate
from yanmo.planning.plan import Plan, plan_table
from yanmo.planning.profile import profile_table
from yanmo.recipes.assembly import assemble
from yanmo.recipes.forgetting import Comparison
from yanmo.recipes.outcome import write_outcome
from yanmo.recipes.preparation import Prepared, goal_of, plan_run, subject_of
from yanmo.recipes.profiling import profile_run
from yanmo.recipes.run_folder import MACHINE_FILE, PLAN_FILE, PROFILE_FILE, RESULT_FILE, RunFolder
from yanmo.recipes.settings import PretrainSettings, recorded, recorded_before
from yanmo.recipes.start import Start, open_start
from yanmo.reporting.progress import say
from yanmo.runtime import StopSignal
from yanmo.tokenizers.load import Tokenizer
from yanmo.training.parallel import Group, first_ahead, open_group, threads_per_process

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
    return plan_run(source, tokenizer, settings, start, spent_s=0.0, reserve_s=lambda _: _FINISH_S)


def pretrain(
    corpus: Path | str,
    out: Path | str,
    *,
    settings: PretrainSettings,
    force: bool = False,
    spent_s: float = 0.0,
    epilogue: Epilogue | None = None,
) -> dict[str, Any]:
    """Train a model on a corpus; the same call goes on where an earlier one was stopped.

    Under torchrun every process makes this call, and all get the result that the first one wrote.

    Args:
        corpus: a corpus folder.
        out: the run's folder.
        settings: budget, or steps in ``settings.wishes``.
        force: begin again whatever is there.
        spent_s: seconds of the budget spent before this call.
        epilogue: what the caller does afterwards within the same budget.

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
        return _Pretraining(source, run, settings, began_s, epilogue, stop, group).run()


class Epilogue(Protocol):
    """What is done after training within the same budget."""

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Do before training what can be done before, so that its time is known."""

    def seconds(self, plan: Plan) -> float:
        """What the rest will take."""


class _Pretraining:
    """One call of ``pretrain``, part by part."""

    def __init__(
        self,
        corpus: Corpus,
        run: RunFolder,
        settings: PretrainSettings,
        began_s: float,
        epilogue: Epilogue | None,
        stop: StopSignal,
        group: Group,
    ) -> None:
        self._corpus, self._run, self._settings = corpus, run, settings
        self._began_s, self._epilogue = began_s, epilogue
        self._stop, self._group = stop, group

    def run(self) -> dict[str, Any]:
        run, settings, group = self._run, self._settings, self._group
        device = choose_device(settings.device)
        old = None if settings.replay is None else Corpus.open(settings.replay)
        with first_ahead(group):
            prepared = self._prepare(device, old)
        torch.set_num_threads(threads_per_process(usable_cores()))
        config = subject_of(settings, prepared.start, prepared.goal).model(prepared.chosen)
        with use_device(device), EnergyMeter() as energy:
            network = prepared.start.network(config).to(device)
            comparison = None
            if prepared.start.given is not None:
                comparison = Comparison(prepared, self._corpus, old, budget_s=settings.budget_s)
                with first_ahead(group):
                    comparison.before(run, network)
            assembly = assemble(
                prepared,
                network,
                self._corpus,
                run,
                settings,
                device=device,
                energy=energy,
                stop=self._stop,
                group=group,
            )
            assembly.trainer.run()
            # All processes hand over what they hold of it.
            masters = assembly.optimizer.masters()
            with first_ahead(group):
                if group.rank == 0:
                    write_outcome(
                        run,
                        self._corpus,
                        prepared,
                        assembly,
                        network,
                        masters,
                        comparison,
                        began_s=self._began_s,
                    )
        return run.read(RESULT_FILE) or {}

    def _prepare(self, device: torch.device, old: Corpus | None) -> Prepared:
        """Tokenizer, tokens and plan: made, or found as an earlier session or the first process made them."""
        settings, start = self._settings, open_start(self._settings)
        tokenizer = start.prepare_tokenizer(self._corpus, self._run.path / "tokenizer")
        goal = goal_of(settings, start, tokenizer)
        if start.objective != "causal":
            self._epilogue = None
        if self._epilogue is not None and self._group.rank == 0:
            self._epilogue.prepare(tokenizer)
        corpora = {"tokens": self._corpus} | ({} if old is None else {"tokens-replay": old})
        stores = [
            TokenStore.open_or_build(
                self._run.path / name,
                corpus.texts("train"),
                tokenizer,
                corpus_sha256=corpus.sha256,
                split="train",
                words=goal.words,
            )
            for name, corpus in corpora.items()
        ]
        chosen, training_s = self._plan(start, tokenizer, stores)
        machine = self._run.read(MACHINE_FILE) or {}
        on_cpu = torch.bfloat16 if machine.get("dtype") == "bfloat16" else torch.float32
        return Prepared(
            start=start,
            tokenizer=tokenizer,
            goal=goal,
            stores=tuple(stores),
            chosen=chosen,
            training_s=training_s,
            dtype=compute_dtype(device, on_cpu=on_cpu),
        )

    def _plan(
        self, start: Start, tokenizer: Tokenizer, stores: list[TokenStore]
    ) -> tuple[Candidate, float | None]:
        """The plan of an earlier session, or a new one; and the seconds of training in all."""
        saved = self._run.read(PLAN_FILE)
        if saved is not None:
            return from_mapping(Candidate, saved["chosen"]), saved["training_s"]
        made = plan_run(
            self._corpus,
            tokenizer,
            self._settings,
            start,
            spent_s=time.monotonic() - self._began_s,
            reserve_s=self._reserve_s,
        )
        say(plan_table(made))
        if self._settings.profile:
            made = self._profile(made, start, tokenizer, stores)
        self._run.write(MACHINE_FILE, made.machine.to_json())
        self._run.write(PLAN_FILE, made.to_json())
        return made.chosen, made.training_s

    def _reserve_s(self, made: Plan) -> float:
        """What follows the training of a plan; no more than half of what is left."""
        epilogue_s = 0.0 if self._epilogue is None else self._epilogue.seconds(made)
        return _FINISH_S + min(epilogue_s, 0.5 * (made.budget_s or 0.0))

    def _profile(self, made: Plan, start: Start, tokenizer: Tokenizer, stores: list[TokenStore]) -> Plan:
        """Write profile.json; the plan with what that took off its time."""
        began_s = time.monotonic()
        profile = profile_run(
            self._corpus,
            stores,
            tokenizer,
            self._settings,
            start,
            made.chosen,
            made.machine,
            training_s=made.training_s,
        )
        self._run.write(PROFILE_FILE, profile)
        say(profile_table(profile))
        if made.training_s is None:
            return made
        return dataclasses.replace(made, training_s=made.training_s - (time.monotonic() - began_s))
