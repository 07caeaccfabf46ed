"""Pure scores: numbers and strings in, numbers out, no model and no file.

Scores over examples are ``Scores``: values by name, and a function of weights that ``bootstrap`` and the
tests of significance ask for intervals and p-values (``scores`` says how). One module a family of tasks;
``TASKS`` says which scores a task has and which of them decides.

    scores = classification(["好", "坏", "好"], ["好", "好", "好"])
    scores["f1_macro"], bootstrap(scores)["f1_macro"]
"""

from __future__ import annotations

from yanmo.metrics.answers import (
    NoAnswerThreshold,
    answer_scores,
    answer_values,
    best_no_answer_threshold,
    normalize_characters,
    normalize_words,
)
from yanmo.metrics.calibration import (
    ReliabilityBin,
    calibration,
    decision_calibration,
    fit_decision_temperature,
    fit_temperature,
    reliability_bins,
    softmax,
)
from yanmo.metrics.classification import (
    Confusion,
    classification,
    classification_by_label,
    confusion_matrix,
    multi_label,
    multi_label_by_label,
)
from yanmo.metrics.entities import Entity, entity_scores, entity_scores_by_type, read_entities, tagging
from yanmo.metrics.intervals import (
    Interval,
    SeedsInterval,
    bootstrap,
    clopper_pearson,
    mean_over_folds,
    mean_over_seeds,
    ratio_interval,
    wilson,
)
from yanmo.metrics.language_modeling import bits_per_byte, perplexity
from yanmo.metrics.ranking_curves import ranking_curves, roc_auc_macro
from yanmo.metrics.regression import regression
from yanmo.metrics.relations import relation_extraction, relation_of, relations_by_label
from yanmo.metrics.retrieval import retrieval
from yanmo.metrics.scores import Scores, from_ratios, from_rows, joined
from yanmo.metrics.significance import Difference, approximate_randomisation, mcnemar, paired_bootstrap
from yanmo.metrics.summaries import distinct_n, rouge
from yanmo.metrics.tasks import METRICS, TASKS, Metric, TaskMetrics, all_scores, metric, task_metrics
from yanmo.metrics.thresholds import best_threshold, tune_thresholds
from yanmo.metrics.translation import bleu, bleu_tokenizer, chrf

__all__ = [
    "METRICS",
    "TASKS",
    "Confusion",
    "Difference",
    "Entity",
    "Interval",
    "Metric",
    "NoAnswerThreshold",
    "ReliabilityBin",
    "Scores",
    "SeedsInterval",
    "TaskMetrics",
    "all_scores",
    "answer_scores",
    "answer_values",
    "approximate_randomisation",
    "best_no_answer_threshold",
    "best_threshold",
    "bits_per_byte",
    "bleu",
    "bleu_tokenizer",
    "bootstrap",
    "calibration",
    "chrf",
    "classification",
    "classification_by_label",
    "clopper_pearson",
    "confusion_matrix",
    "decision_calibration",
    "distinct_n",
    "entity_scores",
    "entity_scores_by_type",
    "fit_decision_temperature",
    "fit_temperature",
    "from_ratios",
    "from_rows",
    "joined",
    "mcnemar",
    "mean_over_folds",
    "mean_over_seeds",
    "metric",
    "multi_label",
    "multi_label_by_label",
    "normalize_characters",
    "normalize_words",
    "paired_bootstrap",
    "perplexity",
    "ranking_curves",
    "ratio_interval",
    "read_entities",
    "regression",
    "relation_extraction",
    "relation_of",
    "relations_by_label",
    "reliability_bins",
    "retrieval",
    "roc_auc_macro",
    "rouge",
    "softmax",
    "tagging",
    "task_metrics",
    "tune_thresholds",
    "wilson",
]
