"""What the report of a task calls things, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanmo import metrics
from yanmo.reporting.axes import Words

_TASKS = {
    "text-classification": "文本分类",
    "pair-classification": "句对分类",
    "relation-extraction": "关系抽取",
    "token-classification": "序列标注",
    "question-answering": "抽取式问答",
    "summarization": "摘要",
    "translation": "翻译",
    "text-generation": "文本生成",
    "chat": "对话",
    "preference": "偏好学习",
}
_BASELINES = {
    "the network alone": "仅网络本身",
    "always the mean": "总答平均值",
    "never any": "总答无",
    "TF-IDF and a linear SVM": "TF-IDF 加线性支持向量机",
    "TF-IDF and NB-SVM": "TF-IDF 加朴素贝叶斯支持向量机（NB-SVM）",
    "TF-IDF and ridge regression": "TF-IDF 加岭回归",
    "the names that were seen": "见过的名称",
    "each word's most frequent tag": "每个词最常见的标注",
    "the sentence most like the question": "与问题最像的句子",
    "the source itself": "照抄原文",
    "always the most frequent answer": "总答最常见的答案",
    "the longer answer": "较长的回答",
    "the first 3 sentences": "前 3 句",
    "an n-gram of 6 characters": "6 元字符模型",
}
_SPLITS = {
    "train": Words("training rows", "行训练数据"),
    "valid": Words("validation rows", "行验证数据"),
    "test": Words("test rows", "行测试数据"),
    "folds": Words("rows, each by the model of the other folds", "行数据（交叉验证）"),
}
_SEVERITIES = {
    "error": Words("error", "错误"),
    "warning": Words("warning", "警告"),
    "note": Words("note", "提示"),
}
_STATES = {
    "right": Words("right", "正确"),
    "borders": Words("other borders", "边界不符"),
    "mistaken": Words("another kind", "类型不符"),
    "missed": Words("missed", "遗漏"),
    "invented": Words("invented", "多报"),
}


def task_words(name: str) -> Words:
    """A task."""
    return Words(name, _TASKS.get(name, name))


def baseline_words(name: str) -> Words:
    """A cheap model."""
    if name in _BASELINES:
        return Words(name, _BASELINES[name])
    return Words(name, f"总答 {name[7:]}") if name.startswith("always ") else Words(name, name)


def split_words(name: str) -> Words:
    """Rows of a split."""
    return _SPLITS.get(name, Words("rows", "行数据"))


def severity_words(name: str) -> Words:
    """How bad a finding is."""
    return _SEVERITIES.get(name, Words(name, name))


def state_words(name: str) -> Words:
    """What became of a name."""
    return _STATES.get(name, Words(name, name))


def metric_words(name: str) -> Words:
    """A score."""
    found = metrics.metric(name)
    return Words(found.en, found.zh)


def written(name: str, value: float) -> str:
    """A score's number, as precise as its unit asks."""
    return f"{value:.2f}" if metrics.metric(name).unit == "points" else f"{value:.3f}"


def score_cells(name: str, score: Mapping[str, Any] | None) -> tuple[str, str]:
    """A score's value and its interval, for a table."""
    if score is None:
        return "–", ""
    low, high = (written(name, edge) for edge in score["interval"])
    return written(name, score["value"]), f"{low} – {high}"
