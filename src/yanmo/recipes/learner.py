"""One training on labelled examples: from a checkpoint to a model folder with scores, part by part."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from yanmo import artifact, metrics, runtime
from yanmo.config import to_mapping
from yanmo.device import compute_dtype
from yanmo.energy import EnergyMeter
from yanmo.errors import InputError
from yanmo.evaluation.tasks import evaluate_task
from yanmo.finetuning.adversarial import Adversarial
from yanmo.finetuning.calibrate import calibrate
from yanmo.finetuning.embeddings import Embeddings
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.freezing import begins, freeze, joined_rates, layer_rates
from yanmo.finetuning.hidden_words import HiddenWords
from yanmo.finetuning.lora import adapter_rates, add_lora, has_lora, merge, merged_weights
from yanmo.finetuning.peft_files import write_adapters
from yanmo.finetuning.r_drop import RDrop
from yanmo.finetuning.recipe import FinetuneRecipe
from yanmo.finetuning.skill import HeadSkill, Validate
from yanmo.finetuning.task_model import TaskModel
from yanmo.finetuning.text_labels import (
    OneClass,
    SeveralClasses,
    TextSkill,
    fit_linear_terms,
    weigh_classes,
)
from yanmo.machine import usable_cores
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.convert import merged_config
from yanmo.models.features.linear_terms import LinearTerms
from yanmo.models.files.hf_folder import CONFIG_FILE, LINEAR_TERMS_FOLDER
from yanmo.models.files.safetensors_files import write_safetensors
from yanmo.models.folder import CheckpointWeights
from yanmo.planning.probe import probe
from yanmo.recipes.beginning import begin
from yanmo.recipes.finetune_settings import DISTURBANCES, FinetuneSettings
from yanmo.recipes.listeners import Log, Narrator
from yanmo.recipes.run_folder import EVALUATION_FILE, METRICS_FILE, RunFolder
from yanmo.reporting.metrics_log import MetricsLog
from yanmo.reporting.progress import say
from yanmo.runtime import StopSignal
from yanmo.tasks.examples import Example
from yanmo.tasks.split import Splits
from yanmo.training.checkpoint import CheckpointStore
from yanmo.training.listeners import Listener
from yanmo.training.objective import Objective
from yanmo.training.optimizer import Optimizer
from yanmo.training.schedule import Schedule
from yanmo.training.state import TrainingState
from yanmo.training.trainer import Trainer, TrainerConfig

_VALIDATIONS_AN_EPOCH = 2
# Of a budget, for writing the model and judging it.
_JUDGING_SHARE = 0.05


class Learner:
    """One network that learns from one division of examples, in the folder of one run.

    ``learn``, ``keep`` and ``judge`` are called once each, in this order; who wants no judgement leaves the
    last out, who wants no model the last two. ``recipe`` is known from the beginning, ``num_steps`` once it
    learns.
    """

    def __init__(
        self,
        run: RunFolder,
        checkpoint: Checkpoint | None,
        splits: Splits,
        settings: FinetuneSettings,
        stop: StopSignal,
        *,
        began_s: float | None = None,
        listeners: Sequence[Listener] = (),
        num_validations: int | None = None,
        quiet: bool = False,
    ) -> None:
        """Open the model with what the task needs.

        Args:
            run: an opened folder.
            checkpoint: the model to begin with; None for a fresh one.
            splits: validation rows may be missing; those of training stand for them then.
            settings: what is fixed by hand.
            stop: asks to save and leave.
            began_s: when the time of the budget began, by ``time.monotonic``; now where not given.
            listeners: hear the loop, after the log.
            num_validations: how many there are; by the passes where not given.
            quiet: show no progress.

        Raises:
            InputError: there is nothing to learn, or the model cannot.
        """
        self._run, self._splits, self._settings = run, splits, settings
        self._stop, self._began_s = stop, time.monotonic() if began_s is None else began_s
        self._beginning = begin(run, checkpoint, splits, settings)
        self._listeners, self._num_validations, self._quiet = listeners, num_validations, quiet
        self._checkpoint, self._network = self._beginning.checkpoint, self._beginning.network
        self._skill, self.recipe = self._beginning.skill, self._beginning.recipe
        self.num_steps = 0
        self._kept: dict[str, torch.Tensor] = {}
        self._encoder = InputEncoder.of(
            self._network,
            self._checkpoint.tokenizer,
            settings.max_seq_len or self._beginning.usual_max_seq_len,
        )
        if settings.class_weights is not None:
            self._skill = weigh_classes(self._skill, splits.train, settings.class_weights)
        self._state: TrainingState | None = None
        self._energy: dict[str, Any] = {}
        self._store = CheckpointStore(run.path / "checkpoints")
        self._weights: dict[str, torch.Tensor] = {}
        self._words: LinearTerms | None = None

    @property
    def chooses(self) -> str:
        """The score of the validation rows by which steps and settings are compared."""
        return metrics.task_metrics(self._skill.metrics_name).chooses

    def learn(self) -> TrainingState:
        """Train, or go on with it; the weights of the best validation are what is kept.

        Raises:
            InputError: a text or a label cannot be learned from.
            TrainingDiverged: it would not converge.
            Interrupted: a signal came.
        """
        torch.set_num_threads(usable_cores())
        self._choose_weights()
        with EnergyMeter() as energy:
            trainer, optimizer = self._assemble(energy)
            trainer.run()
        self._energy = energy.to_mapping()
        self._state = state = trainer.state
        weights = self._kept | optimizer.masters()
        if state.best_step != state.step and (best := self._store.load_best()) is not None:
            say(f"step {best.step} was the best on the validation rows; the model is that one")
            weights |= best.weights
        self._weights = {name: weight.detach().float() for name, weight in weights.items()}
        return state

    def settle(self) -> None:
        """Wait until nothing is being written; for listeners that have ended the training."""
        self._store.wait()

    def keep(self) -> TaskModel:
        """Calibrate the model on the validation rows, write it, and its adapters; give it as it answers.

        Raises:
            YanmoError: the disk is full or cannot be written.
        """
        exported = self._skill.exported(self._weights)
        if has_lora(self._network):
            self._write_adapters(exported)
            exported = merged_weights(self._network, exported)
            merge(self._network)
        # What judges is what is written, not what was computed with.
        self._network.float().eval()
        with torch.no_grad():
            for name, weight in self._network.named_parameters():
                weight.copy_(exported[name])
        self._skill = calibrate(
            self._skill.learned(),
            self._network,
            self._unseen,
            self._encoder,
            words=self._learn_words(),
            decide_by=self._settings.decide_by,
        )
        self._write_model(exported)
        return TaskModel(
            self._network,
            self._checkpoint.tokenizer,
            self._skill,
            name=self._run.path.resolve().name,
            task=self._settings.task,
            max_seq_len=self._encoder.max_seq_len,
        )

    def judge(self, model: TaskModel) -> dict[str, Any]:
        """Score the test rows, else the validation rows, beside a cheap model; what result.json says."""
        run, state = self._run, self._state
        assert state is not None
        judged, name = (self._splits.test, "test") if self._splits.test else (self._splits.valid, "valid")
        evaluation = evaluate_task(
            model, judged, train=self._splits.train, words=self._words, seed=self._settings.seed
        )
        run.write(EVALUATION_FILE, {"split": name, **evaluation.to_json()})
        say(evaluation.to_text())
        return {
            "model": str(run.path / "model"),
            "report": str(run.path / "report.html"),
            "task": self._settings.task,
            "split": name,
            "num_examples": evaluation.num_examples,
            "num_train_examples": len(self._splits.train),
            "metrics": dict(evaluation.model.metrics),
            "alone": None if evaluation.alone is None else evaluation.alone.to_json(),
            "baseline": evaluation.baselines[-1].to_json() if evaluation.baselines else {},
            "slices": evaluation.analysis["slices"],
            "calibration": evaluation.analysis["calibration"],
            "valid": state.best,
            "blend": self._blend(),
            "recipe": to_mapping(self.recipe),
            "num_parameters": self._network.config.num_parameters,
            "steps": state.step,
            "wall_s": time.monotonic() - self._began_s,
            "training_s": state.elapsed_s,
            "peak_memory_bytes": runtime.peak_memory_bytes(),
            **self._energy,
        }

    @cached_property
    def _unseen(self) -> list[Example]:
        """The validation rows that are not among those that were learned from; all where no other is left."""
        learned = {example.inputs() for example in self._splits.train}
        valid = self._splits.valid
        return [example for example in valid if example.inputs() not in learned] or valid

    def _learn_words(self) -> LinearTerms | None:
        """A linear model of the same rows, where one may speak beside the network."""
        settings, skill = self._settings, self._skill
        if not settings.blend or settings.class_weights is not None or not self._splits.valid:
            return None
        if isinstance(skill, OneClass | SeveralClasses):
            self._words = fit_linear_terms(skill, self._splits.train)
        return self._words

    def _blend(self) -> dict[str, Any] | None:
        """The words that speak beside the network, and what that gives on the validation rows."""
        blend = self._skill.blend if isinstance(self._skill, TextSkill) else None
        if blend is None or blend.fitted is None:
            return None
        return {
            "words": blend.words.name,
            "weight": blend.weight,
            "valid_loss_nats": blend.fitted.blended_nats,
            "valid_loss_nats_alone": blend.fitted.alone_nats,
        }

    def _choose_weights(self) -> None:
        """Which weights are trained: all but the table of tokens, the upper ones, or adapters."""
        network, settings = self._network, self._settings
        if settings.lora is not None:
            add_lora(network, self._checkpoint.model_type, settings.lora, seed=settings.seed)
        else:
            network.embedding.weight.requires_grad_(self.recipe.moves_embedding)
            freeze(network, settings.freezing)

    def _objective(self) -> Objective[Any]:
        settings, objective = self._settings, self._skill.objective()
        if isinstance(self.recipe, FinetuneRecipe) and self.recipe.hide_words:
            self._require_labels("--hide-words leaves gaps in texts")
            objective = HiddenWords(objective, self._encoder.tokenizer, share=self.recipe.hide_words)
        if settings.adversarial is not None:
            return Adversarial(objective, DISTURBANCES[settings.adversarial])
        if settings.r_drop:
            self._require_labels("--r-drop compares labels")
            assert isinstance(self._skill, HeadSkill)
            return RDrop(objective, self._skill.divergence, weight=settings.r_drop)
        return objective

    def _require_labels(self, what: str) -> None:
        if not isinstance(self._skill, HeadSkill):
            raise InputError(f"{what}, and {self._settings.task} answers with texts", remedy="leave it out")

    def _validation(self) -> Validate:
        validate = self._skill.validation(self._unseen or self._splits.train, self._encoder)
        # A correlation with answers that are all the same is not defined: it says nothing. Errors always are.
        return lambda model: {self.chooses: 0.0, **validate(model)}

    def _optimizer(self) -> Optimizer:
        network, freezing = self._network, self._settings.freezing
        rates = joined_rates(self._beginning.rates, adapter_rates(network), layer_rates(network, freezing))
        return Optimizer(network, self.recipe.optimizer, rates=rates, begins=begins(network, freezing))

    def _assemble(self, energy: EnergyMeter) -> tuple[Trainer[Any], Optimizer]:
        settings, recipe = self._settings, self.recipe
        batches = self._skill.batches(
            self._splits.train, self._encoder, batch_size=recipe.batch_size, seed=settings.seed
        )
        self.num_steps = num_steps = max(1, round(recipe.epochs / batches.epochs(1)))
        optimizer = self._optimizer()
        # What is not trained comes out as it went in, not as it was computed with.
        moved = optimizer.masters().keys()
        self._kept = {
            name: weight.detach().clone()
            for name, weight in self._network.named_parameters()
            if name not in moved
        }
        on_cpu = getattr(torch, probe().dtype)
        self._network.to(compute_dtype(torch.device("cpu"), on_cpu=on_cpu))
        schedule = Schedule(recipe.schedule(num_steps), num_steps)
        log, chooses = MetricsLog(self._run.path / METRICS_FILE), self.chooses
        usual = min(self._beginning.most_validations, max(2, round(_VALIDATIONS_AN_EPOCH * recipe.epochs)))
        shown = [] if self._quiet else [Narrator(None, schedule)]
        trainer = Trainer(
            self._network,
            self._objective(),
            batches,
            optimizer,
            schedule,
            self._store,
            self._validation(),
            config=TrainerConfig(
                seed=settings.seed,
                dropout=recipe.dropout,
                micro_batch_size=settings.micro_batch_size or batches.batch_size,
                num_validations=self._num_validations or usual,
                checkpoint_every_s=settings.checkpoint_every_s,
                decides=chooses,
                larger_is_better=metrics.metric(chooses).larger_is_better,
                most_steps=num_steps,
            ),
            deadline_s=self._deadline_s(),
            stop=self._stop,
            listeners=[Log(log, None, energy), *shown, *self._listeners],
        )
        if trainer.resume():
            say(f"{self._run.path}: going on after step {trainer.state.step}")
        log.truncate_after(trainer.state.step, batch=trainer.state.batch)
        return trainer, optimizer

    def _deadline_s(self) -> float | None:
        """Seconds of training that the budget leaves beside reading and judging."""
        budget_s = self._settings.budget_s
        if budget_s is None:
            return None
        left_s = budget_s - (time.monotonic() - self._began_s)
        return max(1.0, left_s - _JUDGING_SHARE * budget_s)

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
        learned = merged_config(checkpoint, network)
        # What an earlier task did with its outputs is not this one's.
        config = {name: value for name, value in learned.items() if not name.startswith("finetuning_")}
        config |= self._skill.settings | {
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
            shutil.rmtree(folder / LINEAR_TERMS_FOLDER, ignore_errors=True)
            if isinstance(self._skill, TextSkill) and self._skill.blend is not None:
                self._skill.blend.save(folder)
            if isinstance(self._skill, Embeddings):
                self._skill.write_side_files(folder, max_seq_len=self._encoder.max_seq_len)
            if self._settings.task == "chat" and not checkpoint.tokenizer.chat_tuned:
                checkpoint.tokenizer.chat_tuned = checkpoint.tokenizer.chat_template is not None
                checkpoint.tokenizer.save(folder)
