"""Where the steps of a run will spend their time: ``profile.json``, made before training."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from yanmo.corpus.store import Corpus
from yanmo.data.token_store import TokenStore
from yanmo.planning.candidate import Candidate
from yanmo.planning.probe import Machine
from yanmo.planning.profile import Occasion, profile_steps, training_step
from yanmo.planning.shapes import build_model
from yanmo.recipes.preparation import (
    goal_of,
    mixture,
    num_validations,
    scored_texts,
    subject_of,
    validation_s,
)
from yanmo.recipes.settings import PretrainSettings
from yanmo.recipes.start import Start
from yanmo.tokenizers.load import Tokenizer
from yanmo.training.checkpoint import Checkpoint, CheckpointStore
from yanmo.training.optimizer import Optimizer
from yanmo.training.schedule import Schedule, ScheduleConfig
from yanmo.training.state import TrainingState


def profile_run(
    corpus: Corpus,
    stores: Sequence[TokenStore],
    tokenizer: Tokenizer,
    settings: PretrainSettings,
    start: Start,
    chosen: Candidate,
    machine: Machine,
    *,
    training_s: float | None,
) -> dict[str, Any]:
    """Make a few of the planned steps with weights of their own, and say where their time goes.

    Args:
        corpus: whose held-out text is validated on.
        stores: training tokens.
        tokenizer: of the run.
        settings: of the run.
        start: where weights come from.
        chosen: what was planned.
        machine: as it was measured.
        training_s: seconds of training in all; None where steps are counted.

    Returns:
        As ``profile_steps``.
    """
    goal = goal_of(settings, start, tokenizer)
    model = build_model(subject_of(settings, start, goal).model(chosen))
    optimizer = Optimizer(model, chosen.optimizer)
    model.to(getattr(torch, machine.dtype))
    model.set_dropout(chosen.dropout)
    objective, batches = mixture(goal, chosen, stores, settings)
    rows = settings.micro_batch_size or chosen.micro_batch_size or chosen.batch_size
    step = training_step(model, objective, batches, optimizer, micro_batch_size=rows)
    texts = scored_texts(corpus, "valid", chosen, validation_s(training_s))
    score = goal.validation(texts, seq_len=chosen.max_seq_len)
    times = num_validations(texts, chosen, training_s)
    state = TrainingState.fresh(Schedule(ScheduleConfig(), chosen.num_steps).state()).to_json()

    def validate() -> None:
        model.eval()
        score(model)
        model.train()

    def save() -> None:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Checkpoint(weights=optimizer.masters(), optimizer=optimizer.state(), state=state)
            CheckpointStore(Path(folder)).save(checkpoint)

    return profile_steps(
        step,
        peak_flop_per_s=machine.gemm_flop_per_s,
        occasions=(
            Occasion(name="validation", call=validate, every_steps=chosen.num_steps / times),
            Occasion(
                name="saving",
                call=save,
                every_steps=max(1.0, settings.checkpoint_every_s / chosen.predicted_step_s),
            ),
        ),
    )
