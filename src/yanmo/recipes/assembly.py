"""The parts of a run put together: the network on its device, its optimizer, the loop, and who hears it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from yanmo.corpus.store import Corpus
from yanmo.data.on_device import OnDevice
from yanmo.energy import EnergyMeter
from yanmo.recipes import preparation
from yanmo.recipes.listeners import Log, Narrator, Sampler
from yanmo.recipes.preparation import Prepared
from yanmo.recipes.run_folder import METRICS_FILE, RunFolder
from yanmo.recipes.settings import PretrainSettings
from yanmo.recipes.start import Network
from yanmo.recipes.tensorboard import TensorBoard
from yanmo.reporting.metrics_log import MetricsLog
from yanmo.reporting.progress import say
from yanmo.runtime import StopSignal
from yanmo.training.checkpoint import CheckpointStore
from yanmo.training.optimizer import Optimizer
from yanmo.training.parallel import Group
from yanmo.training.schedule import Schedule, ScheduleConfig
from yanmo.training.sharding import Parallelism, lay_out, require_equal_shares
from yanmo.training.trainer import Listener, Trainer, TrainerConfig


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """What trains, and what the result is read from afterwards."""

    trainer: Trainer[Any]
    optimizer: Optimizer
    store: CheckpointStore
    energy: EnergyMeter


def assemble(
    prepared: Prepared,
    network: Network,
    corpus: Corpus,
    run: RunFolder,
    settings: PretrainSettings,
    *,
    device: torch.device,
    energy: EnergyMeter,
    stop: StopSignal,
    group: Group,
) -> Assembly:
    """Join the parts, and go on from the run's last checkpoint where there is one.

    Args:
        prepared: goal, plan and tokens.
        network: with its first weights in float32, on the device; laid out over the processes here.
        corpus: whose held-out text is validated on.
        run: where metrics and checkpoints go.
        settings: of the run.
        device: that computes.
        energy: a meter that runs.
        stop: asks to save and leave.
        group: the processes.

    Raises:
        InputError: the batch cannot be dealt out over the processes, or no checkpoint is this run's.
    """
    chosen, goal = prepared.chosen, prepared.goal
    rows_at_once = preparation.micro_batch_size(chosen, settings, group)
    parallelism = Parallelism(settings.parallelism)
    if parallelism is Parallelism.SHARDED:
        require_equal_shares(chosen.batch_size, rows_at_once, group)
    layout = lay_out(network, group, parallelism)
    optimizer = Optimizer(network, chosen.optimizer, layout)
    network.to(prepared.dtype)
    schedule = Schedule(
        ScheduleConfig(warmup_steps=max(1, min(20, chosen.num_steps // 10))), chosen.num_steps
    )
    objective, batches = preparation.mixture(goal, chosen, prepared.stores, settings)
    valid_s = preparation.validation_s(prepared.training_s)
    texts = preparation.scored_texts(corpus, "valid", chosen, valid_s)
    log, store = MetricsLog(run.path / METRICS_FILE), CheckpointStore(run.path / "checkpoints")
    trainer = Trainer(
        network,
        objective,
        batches if device.type == "cpu" else OnDevice(batches, device),
        optimizer,
        schedule,
        store,
        goal.validation(texts, seq_len=chosen.max_seq_len),
        config=TrainerConfig(
            seed=settings.seed,
            dropout=chosen.dropout,
            micro_batch_size=rows_at_once,
            num_validations=preparation.num_validations(texts, chosen, prepared.training_s),
            checkpoint_every_s=settings.checkpoint_every_s,
        ),
        deadline_s=prepared.training_s,
        stop=stop,
        listeners=_listeners(prepared, run, settings, log, schedule, energy, group),
        group=group,
    )
    if trainer.resume():
        say(f"{run.path}: going on after step {trainer.state.step}")
    if group.rank == 0:
        log.truncate_after(trainer.state.step, batch=trainer.state.batch)
    return Assembly(trainer=trainer, optimizer=optimizer, store=store, energy=energy)


def _listeners(
    prepared: Prepared,
    run: RunFolder,
    settings: PretrainSettings,
    log: MetricsLog,
    schedule: Schedule,
    energy: EnergyMeter,
    group: Group,
) -> list[Listener]:
    if group.rank > 0:
        return []
    continues_text = prepared.start.objective == "causal"
    train = prepared.stores[0]
    bytes_per_token = train.num_bytes / train.num_tokens if continues_text else None
    heard: list[Listener] = [Log(log, bytes_per_token, energy), Narrator(bytes_per_token, schedule)]
    shown = TensorBoard(run.path / "tensorboard", bytes_per_token) if settings.tensorboard else None
    # A model that is parted over processes can only be asked by all of them.
    if continues_text and (group.size == 1 or settings.parallelism == "replicated"):
        also = () if shown is None else (shown.sampled,)
        heard.append(Sampler(log, prepared.tokenizer, schedule, seed=settings.seed, also=also))
    return heard if shown is None else [*heard, shown]
