"""A fine-tuned model folder that answers: texts in, labels with probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from yanmo.errors import InputError
from yanmo.finetuning.encoding import encode_texts
from yanmo.finetuning.predictor import Outputs, predict
from yanmo.finetuning.text_labels import Number, OneClass, TextSkill, read_labels
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.families import FAMILIES
from yanmo.models.folder import load_transformer
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import Transformer
from yanmo.tasks.examples import Example
from yanmo.tokenizers.load import Tokenizer

_USUAL_MAX_SEQ_LEN, _USUAL_TASK = 512, "text-classification"


def answers_a_task(path: Path | str) -> bool:
    """Whether a model folder has a head that says something of whole texts; no weight is read.

    Raises:
        InputError: there is no such model.
    """
    checkpoint = Checkpoint.open(path)
    if checkpoint.model_type not in FAMILIES:
        return False
    config = FAMILIES[checkpoint.model_type].read_config(checkpoint.config, where=checkpoint.config_path)
    return any(head.kind is HeadKind.SEQUENCE_CLASSIFICATION for head in config.heads)


class TaskModel:
    """A model, its tokenizer, and the skill that its head has."""

    def __init__(
        self, model: Transformer, tokenizer: Tokenizer, skill: TextSkill, *, name: str, task: str
    ) -> None:
        """Join the parts."""
        self.model, self.tokenizer, self.skill = model, tokenizer, skill
        self.name, self.task = name, task
        longest = tokenizer.max_seq_len or _USUAL_MAX_SEQ_LEN
        self.max_seq_len = min(longest, model.max_seq_len)

    @classmethod
    def load(cls, path: Path | str, *, dtype: torch.dtype = torch.float32) -> TaskModel:
        """Load a folder, a run, or a name in the local Hugging Face cache.

        Raises:
            InputError: the model is missing or damaged, or has no head that answers a task.
        """
        checkpoint = Checkpoint.open(path)
        model = load_transformer(
            checkpoint.config, checkpoint.source(), where=checkpoint.config_path, dtype=dtype
        )
        heads = [head for head in model.config.heads if head.kind is HeadKind.SEQUENCE_CLASSIFICATION]
        if not heads:
            has = ", ".join(head.kind for head in model.config.heads) or "none"
            raise InputError(
                "has no head that answers a task",
                where=checkpoint.path,
                remedy=f"its heads: {has}; yanmo finetune gives it one",
            )
        task = str(checkpoint.config.get("finetuning_task") or _USUAL_TASK)
        skill = read_labels(heads[0].labels, checkpoint.config, task=task)
        return cls(model, checkpoint.tokenizer, skill, name=checkpoint.name, task=task)

    def outputs(
        self, inputs: Sequence[tuple[str, ...]], *, on_progress: Callable[[int], None] | None = None
    ) -> Outputs:
        """What the head says of texts, or of pairs of texts.

        Raises:
            InputError: a text is not valid Unicode.
        """
        encoded = encode_texts(
            inputs,
            self.tokenizer,
            max_seq_len=self.max_seq_len,
            num_types=self.model.config.last_stack.input.num_token_types,
        )
        return predict(self.model, self.skill, encoded, on_progress=on_progress)

    def predict(
        self, inputs: Sequence[tuple[str, ...]], *, on_progress: Callable[[int], None] | None = None
    ) -> list[dict[str, Any]]:
        """Of each text its label, or labels, with all probabilities; or its number.

        Raises:
            InputError: a text is not valid Unicode.
        """
        outputs, skill = self.outputs(inputs, on_progress=on_progress), self.skill
        if isinstance(skill, Number):
            return [{"score": value} for value in outputs.predictions]
        if not outputs.of_texts:
            return []
        shares = skill.probabilities(torch.stack(outputs.of_texts)).tolist()
        key = "label" if isinstance(skill, OneClass) else "labels"
        return [
            {key: prediction, "probabilities": dict(zip(skill.labels, row, strict=True))}
            for prediction, row in zip(outputs.predictions, shares, strict=True)
        ]

    def predictions(self, examples: Sequence[Example]) -> list[Any]:
        """Predictions for labelled examples, as the skill scores them."""
        return self.outputs([example.inputs() for example in examples]).predictions
