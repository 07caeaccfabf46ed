"""yanmo: the whole life of a language model on text and hardware that its user owns.

Every verb of the command line has its function here; heavy modules are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "build_corpus": "yanmo.recipes.corpus",
    "train_tokenizer": "yanmo.tokenizers.train",
    "plan": "yanmo.recipes.pretrain",
    "pretrain": "yanmo.recipes.pretrain",
    "train": "yanmo.recipes.train",
    "finetune": "yanmo.recipes.finetune",
    "TextClassifier": "yanmo.recipes.estimator",
    "TextRegressor": "yanmo.recipes.estimator",
    "demo": "yanmo.recipes.demo",
    "evaluate": "yanmo.evaluation.evaluate",
    "evaluate_suite": "yanmo.evaluation.suites",
    "evaluate_few_shot": "yanmo.evaluation.few_shot",
    "score": "yanmo.evaluation.evaluate",
    "generate": "yanmo.generation.engine",
    "load": "yanmo.models.registry",
    "embed": "yanmo.models.sentence",
    "convert": "yanmo.models.convert",
    "inspect": "yanmo.models.inspect",
    "serve": "yanmo.serving.app",
    "runs": "yanmo.reporting.runs",
    "doctor": "yanmo.planning.doctor",
}

__all__ = [*_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'yanmo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_NAMES])
