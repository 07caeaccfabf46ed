"""Fine-tuning as one function: labelled examples in, a model folder with scores out; killed and repeated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from yanmo import artifact, metrics, runtime
from yanmo.config import to_mapping
from yanmo.device import compute_dtype
from yanmo.energy import EnergyMeter
from yanmo.evaluation.tasks import evaluate_task
from yanmo.finetuning.adversarial import Adversarial
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.freezing import begins, freeze, joined_rates, layer_rates
from yanmo.finetuning.lora import adapter_rates, add_lora, has_lora, merge, merged_weights
from yanmo.finetuning.peft_files import write_adapters
from yanmo.finetuning.r_drop import RDrop
from yanmo.finetuning.recipe import learning_rate_factors
from yanmo.finetuning.registry import kind_of_task
from yanmo.finetuning.skill import HeadSkill, Skill
from yanmo.finetuning.task_model import TaskModel
from yanmo.machine import usable_cores
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.convert import merged_config
from yanmo.models.files.hf_folder import CONFIG_FILE
from yanmo.models.files.safetensors_files import write_safetensors
from yanmo.models.folder import CheckpointWeights
from yanmo.planning.probe import probe
from yanmo.recipes.finetune_settings import DISTURBANCES, FinetuneSettings
from yanmo.recipes.listeners import Log, Narrator
from yanmo.recipes.run_folder import EVALUATION_FILE, METRICS_FILE, RESULT_FILE, RunFolder
from yanmo.reporting.metrics_log import MetricsLog
from yanmo.reporting.progress import say
from yanmo.runtime import StopSignal
from yanmo.tasks.check import check_examples
from yanmo.tasks.read import load_examples
from yanmo.tasks.split import Splits, SplitSettings, split_examples
from yanmo.training.checkpoint import CheckpointStore
from yanmo.training.objective import Objective
from yanmo.training.optimizer import Optimizer
from yanmo.training.schedule import Schedule
from yanmo.training.trainer import Trainer, TrainerConfig

_VALIDATIONS_AN_EPOCH = 2
_USUAL_MAX_SEQ_LEN = 256
# Of a budget, for writing the model and judging it.
_JUDGING_SHARE = 0.05

__all__ = ["FinetuneSettings", "finetune"]


def finetune(
    data: Path | Sequence[Path], out: Path | str, *, settings: FinetuneSettings, force: bool = False
) -> dict[str, Any]:
    """Learn a task from labelled examples; the same call goes on where an earlier one was stopped.

    Args:
        data: files and folders of examples.
        out: the run's folder.
        settings: task, model, and what is fixed by hand.
        force: begin again whatever is there.

    Returns:
        model, metrics (of the test rows, else of the validation rows), num_examples, wall_s and more, as in
        result.json.

    Raises:
        InputError: bad input. TrainingDiverged: it would not converge. Interrupted: a signal came.
    """
    began_s = time.monotonic()
    run = RunFolder(Path(out))
    if force:
        run.clear()
    sources = [data] if isinstance(data, Path) else list(data)
    checkpoint = Checkpoint.open(settings.model)
    run.open(settings.recorded(sources, checkpoint), earlier={}, force=force)
    with run.lock(), runtime.stop_signal() as stop:
        result = run.read(RESULT_FILE)
        if result is not None and (run.path / "model").is_dir():
            say(f"{run.path}: already finished; nothing to do")
            return result
        splits = _read(sources, settings)
        return _Finetuning(run, checkpoint, splits, settings, stop, began_s).run()


def _read(sources: Sequence[Path], settings: FinetuneSettings) -> Splits:
    """The examples, checked and divided."""
    loaded = load_examples(sources, settings.task, settings.reading)
    apart = {
        name: load_examples(path, settings.task, settings.reading)
        for name, path in (("valid", settings.valid), ("test", settings.test))
        if path is not None
    }
    for note in dict.fromkeys(note for each in (loaded, *apart.values()) for note in each.notes):
        say(note)
    given = {name: each.examples for name, each in apart.items()}
    splits = split_examples(loaded.examples, SplitSettings(seed=settings.seed), given=given)
    counts = ", ".join(f"{len(rows):,} {name}" for name, rows in splits.by_name().items())
    say(f"rows: {counts} ({splits.how})")
    report = check_examples(splits.by_name(), broken=loaded.broken)
    for finding in report.findings:
        say(f"{finding.severity}: {finding.what.en}")
    return splits


class _Finetuning:
    """One call of ``finetune``, part by part."""

    def __init__(
        self,
        run: RunFolder,
        checkpoint: Checkpoint,
        splits: Splits,
        settings: FinetuneSettings,
        stop: StopSignal,
        began_s: float,
    ) -> None:
        self._run, self._checkpoint, self._splits, self._settings = run, checkpoint, splits, settings
        self._stop, self._began_s = stop, began_s
        self._skill: Skill[Any] = kind_of_task(settings.task).fit(splits.train)
        torch.manual_seed(settings.seed)
        self._network = self._skill.network(checkpoint)
        self._kept: dict[str, torch.Tensor] = {}
        self._recipe = settings.recipe(len(splits.train), self._network.config.d_model)
        self._encoder = InputEncoder.of(
            self._network, checkpoint.tokenizer, settings.max_seq_len or _USUAL_MAX_SEQ_LEN
        )

    def run(self) -> dict[str, Any]:
        torch.set_num_threads(usable_cores())
        self._choose_weights()
        with EnergyMeter() as energy:
            trainer, optimizer, store = self._assemble(energy)
            trainer.run()
        state = trainer.state
        weights = self._kept | optimizer.masters()
        if state.best_step != state.step and (best := store.load_best()) is not None:
            say(f"step {best.step} was the best on the validation rows; the model is that one")
            weights |= best.weights
        return self._finish(trainer, {name: weight.detach().float() for name, weight in weights.items()})

    def _choose_weights(self) -> None:
        """Which weights are trained: all but the table of tokens, the upper ones, or adapters."""
        network, settings = self._network, self._settings
        if settings.lora is not None:
            add_lora(network, self._checkpoint.model_type, settings.lora, seed=settings.seed)
        else:
            network.embedding.weight.requires_grad_(self._recipe.moves_embedding)
            freeze(network, settings.freezing)

    def _objective(self) -> Objective[Any]:
        settings, objective = self._settings, self._skill.objective()
        if settings.adversarial is not None:
            return Adversarial(objective, DISTURBANCES[settings.adversarial])
        if settings.r_drop and isinstance(self._skill, HeadSkill):
            return RDrop(objective, self._skill.divergence, weight=settings.r_drop)
        return objective

    def _optimizer(self) -> Optimizer:
        network, freezing = self._network, self._settings.freezing
        rates = joined_rates(
            learning_rate_factors(network), adapter_rates(network), layer_rates(network, freezing)
        )
        return Optimizer(network, self._recipe.optimizer, rates=rates, begins=begins(network, freezing))

    def _assemble(self, energy: EnergyMeter) -> tuple[Trainer[Any], Optimizer, CheckpointStore]:
        settings, recipe, skill = self._settings, self._recipe, self._skill
        batches = skill.batches(
            self._splits.train, self._encoder, batch_size=recipe.batch_size, seed=settings.seed
        )
        num_steps = max(1, round(recipe.epochs / batches.epochs(1)))
        optimizer = self._optimizer()
        # What is not trained comes out as it went in, not as it was computed with.
        self._kept = {name: weight.detach().clone() for name, weight in self._network.named_parameters()}
        on_cpu = getattr(torch, probe().dtype)
        self._network.to(compute_dtype(torch.device("cpu"), on_cpu=on_cpu))
        schedule = Schedule(recipe.schedule(num_steps), num_steps)
        log, store = (
            MetricsLog(self._run.path / METRICS_FILE),
            CheckpointStore(self._run.path / "checkpoints"),
        )
        decides = metrics.task_metrics(skill.metrics_name).decides
        trainer = Trainer(
            self._network,
            self._objective(),
            batches,
            optimizer,
            schedule,
            store,
            skill.validation(self._splits.valid or self._splits.train, self._encoder),
            config=TrainerConfig(
                seed=settings.seed,
                dropout=recipe.dropout,
                micro_batch_size=settings.micro_batch_size or batches.batch_size,
                num_validations=max(2, round(_VALIDATIONS_AN_EPOCH * recipe.epochs)),
                checkpoint_every_s=settings.checkpoint_every_s,
                decides=decides,
                larger_is_better=metrics.metric(decides).larger_is_better,
                most_steps=num_steps,
            ),
            deadline_s=self._deadline_s(),
            stop=self._stop,
            listeners=[Log(log, None, energy), Narrator(None, schedule)],
        )
        if trainer.resume():
            say(f"{self._run.path}: going on after step {trainer.state.step}")
        log.truncate_after(trainer.state.step, batch=trainer.state.batch)
        return trainer, optimizer, store

    def _deadline_s(self) -> float | None:
        """Seconds of training that the budget leaves beside reading and judging."""
        budget_s = self._settings.budget_s
        if budget_s is None:
            return None
        left_s = budget_s - (time.monotonic() - self._began_s)
        return max(1.0, left_s - _JUDGING_SHARE * budget_s)

    def _finish(self, trainer: Trainer[Any], weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        state, run = trainer.state, self._run
        if has_lora(self._network):
            self._write_adapters(weights)
            weights = merged_weights(self._network, weights)
            merge(self._network)
        exported = self._skill.exported(weights)
        self._write_model(exported)
        with torch.no_grad():
            for name, weight in self._network.named_parameters():
                weight.copy_(exported[name])
        self._network.float().eval()
        judged, name = (self._splits.test, "test") if self._splits.test else (self._splits.valid, "valid")
        self._skill = self._skill.learned()
        model = TaskModel(
            self._network,
            self._checkpoint.tokenizer,
            self._skill,
            name=run.path.resolve().name,
            task=self._settings.task,
            max_seq_len=self._encoder.max_seq_len,
        )
        evaluation = evaluate_task(model, judged, train=self._splits.train, seed=self._settings.seed)
        run.write(EVALUATION_FILE, {"split": name, **evaluation.to_json()})
        result = {
            "model": str(run.path / "model"),
            "task": self._settings.task,
            "split": name,
            "num_examples": evaluation.num_examples,
            "num_train_examples": len(self._splits.train),
            "metrics": dict(evaluation.model.metrics),
            "baseline": evaluation.baselines[-1].to_json(),
            "valid": state.best,
            "recipe": to_mapping(self._recipe),
            "num_parameters": self._network.config.num_parameters,
            "steps": state.step,
            "wall_s": time.monotonic() - self._began_s,
            "training_s": state.elapsed_s,
            "peak_memory_bytes": runtime.peak_memory_bytes(),
        }
        run.write(RESULT_FILE, result)
        say(evaluation.to_text())
        return result

    def _write_adapters(self, weights: dict[str, torch.Tensor]) -> None:
        """Beside the whole model: what was learned alone, as other programs read it."""
        checkpoint, name = self._checkpoint, self._run.path.name
        with artifact.new_folder(
            self._run.path / "adapters", kind="adapters", details={"run": name}
        ) as folder:
            write_adapters(
                folder,
                self._network,
                weights,
                model_type=checkpoint.model_type,
                base_model=str(checkpoint.path.resolve()),
            )

    def _write_model(self, weights: dict[str, torch.Tensor]) -> None:
        checkpoint, network = self._checkpoint, self._network
        config = merged_config(checkpoint, network) | self._skill.settings
        config |= {
            "finetuning_task": self._settings.task,
            "finetuning_max_seq_len": self._encoder.max_seq_len,
            "dtype": "float32",
        }
        with artifact.new_folder(
            self._run.path / "model", kind="model", details={"run": self._run.path.name}
        ) as folder:
            kept = CheckpointWeights(network, checkpoint.model_type, weights=weights, dtype=torch.float32)
            write_safetensors(folder, kept)
            artifact.write_json(folder / CONFIG_FILE, config)
            checkpoint.copy_side_files(folder)
