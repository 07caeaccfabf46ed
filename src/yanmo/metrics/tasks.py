"""Which scores a task has, which of them decides, and which way is better.

Tasks are named as on the Hugging Face hub; a stroke parts off a kind of the same task. The deciding score is
what models are compared by, and the best step and the best settings chosen by, unless another one chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from yanmo.errors import InputError
from yanmo.metrics.answers import answer_scores
from yanmo.metrics.classification import classification, multi_label
from yanmo.metrics.entities import entity_scores, tagging
from yanmo.metrics.regression import regression
from yanmo.metrics.relations import relation_extraction
from yanmo.metrics.retrieval import retrieval
from yanmo.metrics.scores import Scores
from yanmo.metrics.summaries import rouge
from yanmo.metrics.translation import bleu, chrf

Unit = Literal["share", "points", "correlation", "of the labels", "nats", "bits", "ratio"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a score's number means.

    Attributes:
        en: its name in English.
        zh: its name in Chinese.
        unit: ``share`` 0 to 1, ``points`` 0 to 100, ``correlation`` -1 to 1, ``of the labels`` in their own
            unit.
        larger_is_better: False for errors and losses.
    """

    en: str
    zh: str
    unit: Unit = "share"
    larger_is_better: bool = True


@dataclass(frozen=True, kw_only=True)
class TaskMetrics:
    """The scores of a task.

    Attributes:
        scored_by: functions of (gold, predicted), each giving several scores; none where the loss says all.
        decides: the score that says which of two models is better.
        shown: the scores of a short table, the deciding one first.
        choosing: the score of validation rows by which the best step and the best settings are chosen; the
            deciding one where empty.
    """

    scored_by: tuple[Callable[..., Scores], ...]
    decides: str
    shown: tuple[str, ...]
    choosing: str = ""

    @property
    def chooses(self) -> str:
        """The score by which the best step and the best settings are chosen."""
        return self.choosing or self.decides


METRICS: dict[str, Metric] = {
    "accuracy": Metric(en="accuracy", zh="准确率"),
    "accuracy_macro": Metric(en="accuracy, mean of groups", zh="准确率（各组平均）"),
    "accuracy_per_character": Metric(en="accuracy per character", zh="准确率（按字符归一）"),
    "accuracy_per_byte": Metric(en="accuracy per byte", zh="准确率（按字节归一）"),
    "balanced_accuracy": Metric(en="balanced accuracy", zh="均衡准确率"),
    "exact_match": Metric(en="exact match", zh="完全匹配率"),
    "exact_match_answered": Metric(en="exact match, answerable", zh="完全匹配率（有答案）"),
    "f1_answered": Metric(en="F1, answerable", zh="F1（有答案）"),
    "no_answer_accuracy": Metric(en="accuracy, unanswerable", zh="准确率（无答案）"),
    "precision": Metric(en="precision", zh="精确率"),
    "recall": Metric(en="recall", zh="召回率"),
    "f1": Metric(en="F1", zh="F1"),
    "precision_micro": Metric(en="precision, micro", zh="微平均精确率"),
    "recall_micro": Metric(en="recall, micro", zh="微平均召回率"),
    "f1_micro": Metric(en="F1, micro", zh="微平均 F1"),
    "precision_macro": Metric(en="precision, macro", zh="宏平均精确率"),
    "recall_macro": Metric(en="recall, macro", zh="宏平均召回率"),
    "f1_macro": Metric(en="F1, macro", zh="宏平均 F1"),
    "precision_weighted": Metric(en="precision, weighted", zh="加权精确率"),
    "recall_weighted": Metric(en="recall, weighted", zh="加权召回率"),
    "f1_weighted": Metric(en="F1, weighted", zh="加权 F1"),
    "f1_samples": Metric(en="F1 by example", zh="样本平均 F1"),
    "jaccard_samples": Metric(en="Jaccard by example", zh="样本平均 Jaccard"),
    "hamming_loss": Metric(en="Hamming loss", zh="汉明损失", larger_is_better=False),
    "mcc": Metric(en="Matthews correlation", zh="马修斯相关系数", unit="correlation"),
    "token_accuracy": Metric(en="token accuracy", zh="词元准确率"),
    "sentence_accuracy": Metric(en="sentence accuracy", zh="整句准确率"),
    "pearson": Metric(en="Pearson correlation", zh="皮尔逊相关系数", unit="correlation"),
    "spearman": Metric(en="Spearman correlation", zh="斯皮尔曼相关系数", unit="correlation"),
    "concordance": Metric(
        en="concordance (quadratic kappa)", zh="一致性系数（二次加权 kappa）", unit="correlation"
    ),
    "r2": Metric(en="R²", zh="R²", unit="ratio"),
    "mae": Metric(en="mean absolute error", zh="平均绝对误差", unit="of the labels", larger_is_better=False),
    "rmse": Metric(
        en="root mean squared error", zh="均方根误差", unit="of the labels", larger_is_better=False
    ),
    "roc_auc": Metric(en="ROC area", zh="ROC 曲线下面积"),
    "average_precision": Metric(en="average precision", zh="平均精确率"),
    "mrr": Metric(en="mean reciprocal rank", zh="平均倒数排名"),
    "map": Metric(en="mean average precision", zh="平均精度均值"),
    "ndcg": Metric(en="nDCG", zh="nDCG"),
    "hit": Metric(en="hit rate", zh="命中率"),
    "bleu": Metric(en="BLEU", zh="BLEU", unit="points"),
    "chrf": Metric(en="chrF", zh="chrF", unit="points"),
    "length_ratio": Metric(en="length ratio", zh="长度比", unit="ratio"),
    "rouge1": Metric(en="ROUGE-1", zh="ROUGE-1"),
    "rouge2": Metric(en="ROUGE-2", zh="ROUGE-2"),
    "rougeL": Metric(en="ROUGE-L", zh="ROUGE-L"),
    "ece": Metric(en="calibration error", zh="校准误差", larger_is_better=False),
    "brier": Metric(en="Brier score", zh="Brier 分数", larger_is_better=False),
    "nll": Metric(en="negative log likelihood", zh="负对数似然", unit="nats", larger_is_better=False),
    "bits_per_byte": Metric(en="bits per byte", zh="每字节比特数", unit="bits", larger_is_better=False),
    "perplexity": Metric(en="perplexity", zh="困惑度", unit="ratio", larger_is_better=False),
}

TASKS: dict[str, TaskMetrics] = {
    # Macro F1 and accuracy agree where labels are even; where they are not, accuracy rewards the largest
    # label.
    "text-classification": TaskMetrics(
        scored_by=(classification,), decides="f1_macro", shown=("f1_macro", "accuracy", "mcc")
    ),
    "text-classification/multi-label": TaskMetrics(
        scored_by=(multi_label,), decides="f1_macro", shown=("f1_macro", "f1_micro", "exact_match")
    ),
    # STS-B and its kind report both correlations (GLUE: Wang et al. 2018, arXiv 1804.07461, section 3), which
    # no shift or stretch of the answers changes: by them alone a step is chosen whose numbers may be far off.
    # The squared error sees both: of answers at their best scale it is the variance times 1 - Pearson².
    "text-classification/regression": TaskMetrics(
        scored_by=(regression,),
        decides="spearman",
        shown=("spearman", "pearson", "mae", "rmse"),
        choosing="rmse",
    ),
    "text-classification/ordinal": TaskMetrics(
        scored_by=(regression, classification),
        decides="concordance",
        shown=("concordance", "mae", "accuracy"),
    ),
    "token-classification": TaskMetrics(
        scored_by=(entity_scores,), decides="f1", shown=("f1", "precision", "recall")
    ),
    "token-classification/tags": TaskMetrics(
        scored_by=(tagging,), decides="token_accuracy", shown=("token_accuracy", "f1_macro")
    ),
    "pair-classification": TaskMetrics(
        scored_by=(classification,), decides="f1_macro", shown=("f1_macro", "accuracy", "mcc")
    ),
    "relation-extraction": TaskMetrics(
        scored_by=(relation_extraction,), decides="f1_macro", shown=("f1_macro", "f1_micro", "accuracy")
    ),
    "sentence-similarity": TaskMetrics(
        scored_by=(regression,), decides="spearman", shown=("spearman", "pearson")
    ),
    "text-ranking": TaskMetrics(
        scored_by=(retrieval,), decides="ndcg@10", shown=("ndcg@10", "mrr", "recall@10")
    ),
    "question-answering": TaskMetrics(scored_by=(answer_scores,), decides="f1", shown=("f1", "exact_match")),
    "summarization": TaskMetrics(scored_by=(rouge,), decides="rougeL", shown=("rougeL", "rouge1", "rouge2")),
    "translation": TaskMetrics(
        scored_by=(bleu, chrf), decides="bleu", shown=("bleu", "chrf", "length_ratio")
    ),
    # Scored by its loss on held-out text, not by answers.
    "text-generation": TaskMetrics(
        scored_by=(), decides="bits_per_byte", shown=("bits_per_byte", "perplexity")
    ),
    "chat": TaskMetrics(scored_by=(), decides="bits_per_byte", shown=("bits_per_byte", "perplexity")),
    "fill-mask": TaskMetrics(scored_by=(), decides="nll", shown=("nll", "perplexity")),
    # Which of two answers is preferred: a label of two.
    "preference": TaskMetrics(scored_by=(classification,), decides="accuracy", shown=("accuracy",)),
}


def metric(name: str) -> Metric:
    """What a score of this name means; ``ndcg@10`` is an ``ndcg``, ``f1/PER`` an ``f1``.

    Raises:
        InputError: there is no such score.
    """
    base = name.split("/", 1)[0].split("@", 1)[0]
    if base not in METRICS:
        raise InputError(f"no score is named {name!r}", remedy=f"there are {', '.join(METRICS)}")
    return METRICS[base]


def task_metrics(task: str) -> TaskMetrics:
    """The scores of a task.

    Raises:
        InputError: there is no such task.
    """
    if task not in TASKS:
        raise InputError(f"no task is named {task!r}", remedy=f"there are {', '.join(TASKS)}")
    return TASKS[task]


def all_scores(task: str, gold: Any, predicted: Any, **settings: Any) -> list[Scores]:
    """Every group of scores of a task; each answers ``values``, ``bootstrap`` and the tests of significance.

    Args:
        task: its name.
        gold: what each example should have got, as the task's functions want it.
        predicted: what it got.
        settings: further arguments of the task's functions, such as ``counted="characters"``.

    Raises:
        InputError: there is no such task, or the examples do not fit it.
    """
    return [score(gold, predicted, **settings) for score in task_metrics(task).scored_by]
