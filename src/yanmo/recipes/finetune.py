"""Fine-tuning as one function: labelled examples in, a model folder with scores out; killed and repeated."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from yanmo import artifact, metrics, runtime
from yanmo.config import to_mapping
from yanmo.device import compute_dtype
from yanmo.energy import EnergyMeter
from yanmo.errors import InputError
from yanmo.evaluation.tasks import evaluate_task
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.recipe import FinetuneRecipe, choose_recipe, learning_rate_factors
from yanmo.finetuning.registry import kind_of_task
from yanmo.finetuning.skill import Skill
from yanmo.finetuning.task_model import TaskModel
from yanmo.machine import usable_cores
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.convert import merged_config
from yanmo.models.files.hf_folder import CONFIG_FILE
from yanmo.models.files.safetensors_files import write_safetensors
from yanmo.models.folder import CheckpointWeights
from yanmo.planning.probe import probe
from yanmo.recipes.listeners import Log, Narrator
from yanmo.recipes.run_folder import EVALUATION_FILE, METRICS_FILE, RESULT_FILE, RunFolder
from yanmo.reporting.metrics_log import MetricsLog
from yanmo.reporting.progress import say
from yanmo.runtime import StopSignal
from yanmo.tasks.base import ReadSettings
from yanmo.tasks.check import check_examples
from yanmo.tasks.columns import Columns
from yanmo.tasks.labels import LabelKind
from yanmo.tasks.read import load_examples
from yanmo.tasks.split import Splits, SplitSettings, split_examples
from yanmo.training.checkpoint import CheckpointStore
from yanmo.training.optimizer import Optimizer
from yanmo.training.schedule import Schedule
from yanmo.training.trainer import Trainer, TrainerConfig

_VALIDATIONS_AN_EPOCH = 2
_USUAL_MAX_SEQ_LEN = 256


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """What is learned, from what, and how; None leaves a number to the rules."""

    task: str
    model: Path
    columns: Columns = field(default_factory=dict)
    label_kind: str | None = None
    max_seq_len: int | None = None
    epochs: float | None = None
    batch_size: int | None = None
    micro_batch_size: int | None = None
    learning_rate: float | None = None
    dropout: float | None = None
    seed: int = 0
    checkpoint_every_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        kind_of_task(self.task)
        for name in ("max_seq_len", "epochs", "batch_size", "micro_batch_size", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"--{name.replace('_', '-')} must be above 0, not {value:g}")

    @property
    def reading(self) -> ReadSettings:
        """How the rows are read."""
        kind = None if self.label_kind is None else LabelKind(self.label_kind)
        return ReadSettings(columns=self.columns, label_kind=kind)

    def recipe(self, num_examples: int, d_model: int) -> FinetuneRecipe:
        """By the rules, and by hand where it was said."""
        chosen = choose_recipe(num_examples, d_model)
        said = {
            name: value
            for name in ("epochs", "batch_size", "learning_rate", "dropout")
            if (value := getattr(self, name)) is not None
        }
        return dataclasses.replace(chosen, **said)


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
    run.open(_recorded(sources, checkpoint, settings), earlier={}, force=force)
    with run.lock(), runtime.stop_signal() as stop:
        result = run.read(RESULT_FILE)
        if result is not None and (run.path / "model").is_dir():
            say(f"{run.path}: already finished; nothing to do")
            return result
        splits = _read(sources, settings)
        return _Finetuning(run, checkpoint, splits, settings, stop, began_s).run()


def _recorded(sources: Sequence[Path], checkpoint: Checkpoint, settings: FinetuneSettings) -> dict[str, Any]:
    plain = {key: value for key, value in to_mapping(settings).items() if value is not None}
    files = [
        path for source in sources for path in ([source] if source.is_file() else sorted(source.rglob("*")))
    ]
    hashed = {str(path): artifact.sha256_of_file(path) for path in files if path.is_file()}
    return {
        "command": "finetune",
        **plain,
        "model": str(checkpoint.path.resolve()),
        "data": [str(source.resolve()) for source in sources],
        "data_sha256": artifact.sha256_of_text(*(part for pair in hashed.items() for part in pair)),
    }


def _read(sources: Sequence[Path], settings: FinetuneSettings) -> Splits:
    """The examples, checked and divided."""
    loaded = load_examples(sources, settings.task, settings.reading)
    for note in loaded.notes:
        say(note)
    splits = split_examples(loaded.examples, SplitSettings(seed=settings.seed))
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
        self._recipe = settings.recipe(len(splits.train), self._network.config.d_model)
        self._encoder = InputEncoder.of(
            self._network, checkpoint.tokenizer, settings.max_seq_len or _USUAL_MAX_SEQ_LEN
        )

    def run(self) -> dict[str, Any]:
        torch.set_num_threads(usable_cores())
        self._network.embedding.weight.requires_grad_(self._recipe.moves_embedding)
        with EnergyMeter() as energy:
            trainer, optimizer, store = self._assemble(energy)
            trainer.run()
        state = trainer.state
        weights = dict(self._network.named_parameters()) | optimizer.masters()
        if state.best_step != state.step and (best := store.load_best()) is not None:
            say(f"step {best.step} was the best on the validation rows; the model is that one")
            weights |= best.weights
        return self._finish(trainer, {name: weight.detach().float() for name, weight in weights.items()})

    def _assemble(self, energy: EnergyMeter) -> tuple[Trainer[Any], Optimizer, CheckpointStore]:
        settings, recipe, skill = self._settings, self._recipe, self._skill
        batches = skill.batches(
            self._splits.train, self._encoder, batch_size=recipe.batch_size, seed=settings.seed
        )
        num_steps = max(1, round(recipe.epochs / batches.epochs(1)))
        optimizer = Optimizer(self._network, recipe.optimizer, rates=learning_rate_factors(self._network))
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
            skill.objective(),
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
            ),
            deadline_s=None,
            stop=self._stop,
            listeners=[Log(log, None, energy), Narrator(None, schedule)],
        )
        if trainer.resume():
            say(f"{self._run.path}: going on after step {trainer.state.step}")
        log.truncate_after(trainer.state.step, batch=trainer.state.batch)
        return trainer, optimizer, store

    def _finish(self, trainer: Trainer[Any], weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        state, run = trainer.state, self._run
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
