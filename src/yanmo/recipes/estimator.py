"""Fine-tuning as estimators of scikit-learn: in pipelines, cross-validation and grids of parameters.

``fit`` is ``finetune_examples``: the same recipe, loop and model folder as ``yanmo finetune``. A tenth of the
rows, near duplicates kept together, chooses the best step; nothing is held out to be judged, as that is the
business of ``cross_val_score`` and ``GridSearchCV``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from yanmo.config import parse_duration_s
from yanmo.errors import InputError
from yanmo.finetuning.lora import LoraConfig
from yanmo.finetuning.skill import Prediction
from yanmo.finetuning.task_model import TaskModel
from yanmo.recipes.finetune import FinetuneSettings, finetune_examples
from yanmo.tasks.examples import ClassificationExample, Label, Origin
from yanmo.tasks.split import SplitBy, SplitSettings, split_examples

_TASK = "text-classification"
_LORA_RANK = 16


class _TextEstimator(BaseEstimator):
    """What both estimators share: parameters, texts, training."""

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        epochs: float | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        dropout: float | None = None,
        max_seq_len: int | None = None,
        lora: bool = False,
        budget: str | None = None,
        seed: int = 0,
        out: str | Path | None = None,
    ) -> None:
        """Keep the parameters; what is None follows from the rows.

        Args:
            model: to begin with: a folder, a run, a name in the local Hugging Face cache.
            epochs: passes over the rows.
            learning_rate: AdamW's, at its peak.
            batch_size: rows of a step.
            dropout: of what each block adds to the stream.
            max_seq_len: longest text in tokens; what is more is cut.
            lora: learn low-rank adapters instead of the weights.
            budget: longest time of a fit: ``90s``, ``10m``.
            seed: of the division, of what is drawn, and of the order.
            out: the run's folder, for one fit; a temporary one, removed afterwards, where not given.
        """
        self.model = model
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.dropout = dropout
        self.max_seq_len = max_seq_len
        self.lora = lora
        self.budget = budget
        self.seed = seed
        self.out = out

    def __sklearn_tags__(self) -> Tags:
        """Texts, one a row; no table of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags

    def _learn(self, texts: Sequence[str], labels: Sequence[Label]) -> Self:
        settings = self._settings()
        rows = [
            ClassificationExample(text=text, label=label, origin=Origin("X", number))
            for number, (text, label) in enumerate(zip(texts, labels, strict=True), 1)
        ]
        division = SplitSettings(by=SplitBy.DRAWN, test=0.0, seed=self.seed)
        splits = split_examples(rows, division)
        if self.out is not None:
            self.model_: TaskModel = finetune_examples(splits, self.out, settings=settings, quiet=True)
            return self
        with tempfile.TemporaryDirectory(prefix="yanmo-") as folder:
            self.model_ = finetune_examples(splits, Path(folder) / "run", settings=settings, quiet=True)
        return self

    def _settings(self) -> FinetuneSettings:
        if self.model is None:
            raise InputError("no model to begin with", remedy="give a folder: model=...")
        return FinetuneSettings(
            task=_TASK,
            model=Path(self.model),
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            dropout=self.dropout,
            max_seq_len=self.max_seq_len,
            lora=LoraConfig(rank=_LORA_RANK, alpha=2.0 * _LORA_RANK) if self.lora else None,
            budget_s=None if self.budget is None else parse_duration_s(self.budget),
            seed=self.seed,
        )

    def _answers(self, X: object) -> list[Prediction]:
        check_is_fitted(self)
        return self.model_.predict([(text,) for text in _texts(X)])


class TextClassifier(ClassifierMixin, _TextEstimator):
    """One class for each text.

    Attributes:
        classes_: those of ``fit``, sorted.
        model_: what was learned.
    """

    def fit(self, X: object, y: object) -> Self:
        """Learn from texts and their classes.

        Args:
            X: texts, (n,).
            y: classes, (n,): texts, whole numbers or truth values.

        Raises:
            InputError: they are not texts, too few, or of one class; there is no such model.
        """
        texts, given = _rows(X, y)
        check_classification_targets(given)
        self.classes_: npt.NDArray[Any] = np.unique(given)
        return self._learn(texts, [str(label) for label in given])

    def predict(self, X: object) -> npt.NDArray[Any]:
        """The most likely class of each text, (n,)."""
        found = [row["label"] for row in self._answers(X)]
        places = {str(name): place for place, name in enumerate(self.classes_)}
        return self.classes_[np.asarray([places[name] for name in found], dtype=np.intp)]

    def predict_proba(self, X: object) -> npt.NDArray[np.float64]:
        """Probabilities, (n, classes), in the order of ``classes_``.

        Of more than 100 classes those that are not among the 100 most likely have 0.
        """
        shares = [row["probabilities"] for row in self._answers(X)]
        names = [str(name) for name in self.classes_]
        return np.asarray([[row.get(name, 0.0) for name in names] for row in shares]).reshape(-1, len(names))


class TextRegressor(RegressorMixin, _TextEstimator):
    """A number for each text.

    Attributes:
        model_: what was learned.
    """

    def fit(self, X: object, y: object) -> Self:
        """Learn from texts and their numbers.

        Args:
            X: texts, (n,).
            y: numbers, (n,).

        Raises:
            InputError: they are not texts, too few, or all numbers are the same; there is no such model.
        """
        texts, given = _rows(X, y)
        numbers = given.astype(np.float64)
        if not np.isfinite(numbers).all():
            raise InputError(f"row {int(np.flatnonzero(~np.isfinite(numbers))[0])} of y is not finite")
        return self._learn(texts, numbers.tolist())

    def predict(self, X: object) -> npt.NDArray[np.float64]:
        """The number of each text, (n,)."""
        return np.asarray([row["score"] for row in self._answers(X)], dtype=np.float64)


def _rows(X: object, y: object) -> tuple[list[str], npt.NDArray[Any]]:
    if y is None:
        raise InputError("requires y to be passed, but the target y is None")
    texts, given = _texts(X), column_or_1d(y, warn=True)
    check_consistent_length(texts, given)
    return texts, given


def _texts(X: object) -> list[str]:
    """A list of texts from whatever has one text a row.

    Raises:
        InputError: it is one text, or has a row that is none, or columns.
    """
    if isinstance(X, str) or not hasattr(X, "__iter__"):
        raise InputError(f"expected texts, one a row, not {type(X).__name__}", remedy="give a list: [text]")
    if len(getattr(X, "shape", (0,))) > 1:
        raise InputError("expected texts, one a row, not a table", remedy="give its column of texts")
    texts = list(X)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"row {number} of X is {type(text).__name__}, not a text")
    return [str(text) for text in texts]
