"""A fine-tuned model folder that answers: texts in, predictions out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from yanmo.errors import InputError
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.registry import VECTOR_TASKS, ask, read_skill, task_of
from yanmo.finetuning.skill import OnProgress, Prediction, Skill
from yanmo.finetuning.text_labels import TextSkill
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.families import FAMILIES
from yanmo.models.folder import load_transformer
from yanmo.models.transformer import Transformer
from yanmo.tasks.examples import Example
from yanmo.tokenizers.load import Tokenizer


def answers_a_task(path: Path | str) -> bool:
    """Whether a model folder was made for a task; no weight is read.

    Raises:
        InputError: there is no such model.
    """
    return _named_task(Checkpoint.open(path)) is not None


def _named_task(checkpoint: Checkpoint) -> str | None:
    """The task that settings and side files name."""
    if checkpoint.model_type not in FAMILIES:
        return None
    config = FAMILIES[checkpoint.model_type].read_config(checkpoint.config, where=checkpoint.config_path)
    return task_of(checkpoint.config, config.heads, checkpoint.path)


class TaskModel:
    """A model, its tokenizer, and the skill that it has."""

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        skill: Skill[Any],
        *,
        name: str,
        task: str,
        max_seq_len: int | None = None,
    ) -> None:
        """Join the parts; ``model`` is in evaluation mode."""
        self.model, self.tokenizer, self.skill = model, tokenizer, skill
        self.name, self.task = name, task
        self._encoder = InputEncoder.of(model, tokenizer, max_seq_len)

    @classmethod
    def load(
        cls, path: Path | str, *, task: str | None = None, dtype: torch.dtype = torch.float32
    ) -> TaskModel:
        """Load a folder, a run, or a name in the local Hugging Face cache.

        Args:
            path: the model; one of sentence-transformers answers ``sentence-similarity`` as it is.
            task: what a model that names no task is asked: any model can make the vectors of
                ``sentence-similarity`` and ``feature-extraction``.
            dtype: type of the weights in memory.

        Raises:
            InputError: the model is missing or damaged, or answers no task.
        """
        checkpoint = Checkpoint.open(path)
        model = load_transformer(
            checkpoint.config,
            checkpoint.source(),
            where=checkpoint.config_path,
            dtype=dtype,
            bare=(_named_task(checkpoint) or task) in VECTOR_TASKS,
        )
        own = task_of(checkpoint.config, model.config.heads, checkpoint.path)
        task = own or (task if task in VECTOR_TASKS else None)
        if task is None:
            has = ", ".join(head.kind for head in model.config.heads) or "none"
            raise InputError(
                "has no head that answers a task",
                where=checkpoint.path,
                remedy=f"its heads: {has}; yanmo finetune gives it one",
            )
        skill = read_skill(task, model, checkpoint.config, checkpoint.path)
        # What it was trained on was cut or parted at this length.
        longest = checkpoint.config.get("finetuning_max_seq_len")
        return cls(model, checkpoint.tokenizer, skill, name=checkpoint.name, task=task, max_seq_len=longest)

    def predict(
        self, texts: Sequence[tuple[str, ...]], *, on_progress: OnProgress | None = None
    ) -> list[Prediction]:
        """What it says of texts, or of pairs of texts.

        Raises:
            InputError: a text is not valid Unicode, or the task wants one more or one less.
        """
        return self.answer([ask(self.task, each) for each in texts], on_progress=on_progress)

    def answer(
        self, examples: Sequence[Example], *, on_progress: OnProgress | None = None
    ) -> list[Prediction]:
        """What it says of examples, whether they have labels or not.

        Raises:
            InputError: a text is not valid Unicode.
        """
        return self.skill.answer(self.model, examples, self._encoder, on_progress=on_progress)

    def answer_with_network_alone(
        self, examples: Sequence[Any]
    ) -> tuple[list[Prediction], list[Prediction] | None]:
        """What it says of examples, and what the network says alone where words speak beside it.

        Raises:
            InputError: a text is not valid Unicode.
        """
        skill = self.skill
        if not isinstance(skill, TextSkill) or (alone := skill.network_alone()) is None:
            return self.answer(examples), None
        both, network = skill.answer_as([skill, alone], self.model, examples, self._encoder)
        return both, network
