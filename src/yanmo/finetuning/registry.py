"""The tasks that can be learned: examples become a skill, texts a question, a folder a skill again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from yanmo.errors import InputError
from yanmo.finetuning.answers.form import AnswerForm
from yanmo.finetuning.answers.preferences import DirectPreferences, Rewards
from yanmo.finetuning.answers.written import Chatting, Rewriting, TextWriting, WrittenAnswers
from yanmo.finetuning.calibration import Calibration
from yanmo.finetuning.embeddings import Embeddings, fit_embeddings
from yanmo.finetuning.relations import fit_relations, read_relations
from yanmo.finetuning.skill import Skill
from yanmo.finetuning.spans import AnswerSpans, fit_answers
from yanmo.finetuning.text_labels import fit_labels, read_labels
from yanmo.finetuning.token_tags import TokenTags, fit_tags
from yanmo.models.heads import HeadConfig, HeadKind
from yanmo.models.sentence_settings import MODULES_FILE
from yanmo.models.transformer import Transformer
from yanmo.tasks.examples import (
    ChatExample,
    ClassificationExample,
    Example,
    Message,
    Origin,
    PairExample,
    PreferenceExample,
    QuestionExample,
    Seq2SeqExample,
    SimilarityExample,
    SpanExample,
    TextExample,
)
from yanmo.tasks.relation import marked_example

_TYPED = Origin("--text")
# Whose models have no head that matters.
VECTOR_TASKS = ("sentence-similarity", "feature-extraction")


@dataclass(frozen=True, kw_only=True)
class TaskKind:
    """One task.

    Attributes:
        fit: from labelled examples to what a model has to learn; raises InputError where nothing can be.
        num_texts: texts of a question: 1, or 2.
        fewest_texts: that it may have, where it may have fewer.
        ask: from the texts of a question to an example without a label.
    """

    fit: Callable[[Sequence[Any]], Skill[Any]]
    num_texts: int
    ask: Callable[..., Example]
    fewest_texts: int | None = None


def _rewritten(text: str) -> Seq2SeqExample:
    return Seq2SeqExample(source=text, targets=None, origin=_TYPED)


def _embedded(first: str, second: str | None = None) -> SimilarityExample | TextExample:
    if second is None:
        return TextExample(text=first, origin=_TYPED)
    return SimilarityExample(first=first, second=second, origin=_TYPED)


def _compared(first: str, second: str | None = None) -> PreferenceExample | TextExample:
    if second is None:
        return TextExample(text=first, origin=_TYPED)
    return PreferenceExample(prompt=(), chosen=first, rejected=second, origin=_TYPED)


# Skills whose answers are texts; what they need to know of examples they learn with the model.
_WRITTEN: dict[str, Callable[[], WrittenAnswers[Any]]] = {
    "translation": partial(Rewriting, task="translation"),
    "summarization": partial(Rewriting, task="summarization"),
    "text-generation": partial(TextWriting, task="text-generation"),
    "chat": partial(Chatting, task="chat"),
}
KINDS: dict[str, TaskKind] = {
    "text-classification": TaskKind(
        fit=partial(fit_labels, task="text-classification"),
        num_texts=1,
        ask=lambda text: ClassificationExample(text=text, label=None, origin=_TYPED),
    ),
    "pair-classification": TaskKind(
        fit=partial(fit_labels, task="pair-classification"),
        num_texts=2,
        ask=lambda first, second: PairExample(first=first, second=second, label=None, origin=_TYPED),
    ),
    # The entities of a typed text are marked by its writer: <e1>...</e1>, <e2>...</e2>.
    "relation-extraction": TaskKind(
        fit=fit_relations,
        num_texts=1,
        ask=lambda text: marked_example(text, _TYPED),
    ),
    "token-classification": TaskKind(
        fit=fit_tags, num_texts=1, ask=lambda text: SpanExample(text=text, spans=None, origin=_TYPED)
    ),
    "question-answering": TaskKind(
        fit=fit_answers,
        num_texts=2,
        ask=lambda question, context: QuestionExample(
            question=question, context=context, answers=None, origin=_TYPED
        ),
    ),
    "translation": TaskKind(fit=lambda _: _WRITTEN["translation"](), num_texts=1, ask=_rewritten),
    "summarization": TaskKind(fit=lambda _: _WRITTEN["summarization"](), num_texts=1, ask=_rewritten),
    "text-generation": TaskKind(fit=lambda _: _WRITTEN["text-generation"](), num_texts=1, ask=_rewritten),
    "chat": TaskKind(
        fit=lambda _: _WRITTEN["chat"](),
        num_texts=1,
        ask=lambda text: ChatExample(messages=(Message("user", text),), origin=_TYPED),
    ),
    # The vector of one text, how alike two are.
    "sentence-similarity": TaskKind(fit=fit_embeddings, num_texts=2, ask=_embedded, fewest_texts=1),
    "feature-extraction": TaskKind(fit=fit_embeddings, num_texts=2, ask=_embedded, fewest_texts=1),
    # Of two answers whether the first is the better; a reward model's number of one.
    "preference": TaskKind(fit=lambda _: DirectPreferences(), num_texts=2, ask=_compared, fewest_texts=1),
}
_TASK_OF_HEAD = {
    HeadKind.SEQUENCE_CLASSIFICATION: "text-classification",
    HeadKind.TOKEN_CLASSIFICATION: "token-classification",
    HeadKind.SPAN: "question-answering",
}


def kind_of_task(task: str) -> TaskKind:
    """The task of a name.

    Raises:
        InputError: it cannot be learned.
    """
    if task not in KINDS:
        raise InputError(f"cannot be fine-tuned for {task!r}", remedy=f"tasks: {', '.join(KINDS)}")
    return KINDS[task]


def ask(task: str, texts: Sequence[str]) -> Example:
    """An example without a label.

    Raises:
        InputError: there are too few texts, or too many.
    """
    kind = kind_of_task(task)
    if not (kind.fewest_texts or kind.num_texts) <= len(texts) <= kind.num_texts:
        remedy = "give the second with --pair" if kind.num_texts == 2 else "leave --pair out"
        raise InputError(f"{task} wants {kind.num_texts} text{'s' * (kind.num_texts > 1)}", remedy=remedy)
    return kind.ask(*texts)


def task_of(config: Mapping[str, Any], heads: Sequence[HeadConfig], folder: Path) -> str | None:
    """What a model was made for; None for a bare one.

    Args:
        config: its config.json, which may name the task.
        heads: that it has, or that its config names.
        folder: that it lies in; the modules of sentence-transformers there say that it makes vectors.
    """
    named = config.get("finetuning_task")
    if named in KINDS:
        return str(named)
    kinds = [head.kind for head in heads]
    task = next((task for head, task in _TASK_OF_HEAD.items() if head in kinds), None)
    if task is None and (folder / MODULES_FILE).is_file():
        return "sentence-similarity"
    return task


def read_skill(task: str, model: Transformer, config: Mapping[str, Any], folder: Path) -> Skill[Any]:
    """The skill of a model that has learned a task; ``folder`` has its side files.

    Raises:
        InputError: one of these is damaged.
    """
    if task in VECTOR_TASKS:
        return Embeddings.read(config, folder, d_model=model.config.d_model)
    if task in _WRITTEN:
        skill = _WRITTEN[task]()
        skill.form = AnswerForm.read(config)
        return skill
    labels = {head.kind: head.labels for head in model.config.heads}
    if task == "preference" and HeadKind.SEQUENCE_CLASSIFICATION in labels:
        return Rewards.read(model, config)
    if task == "preference":
        return DirectPreferences(form=AnswerForm.read(config))
    if task == "token-classification":
        tags = labels[HeadKind.TOKEN_CLASSIFICATION]
        return TokenTags(labels=tags, calibration=Calibration.read(config, len(tags)))
    if task == "relation-extraction" and HeadKind.TOKEN_CLASSIFICATION in labels:
        return read_relations(labels[HeadKind.TOKEN_CLASSIFICATION], config, folder)
    if task == "question-answering":
        return AnswerSpans(may_refuse=bool(config.get("answers_may_be_missing", True)))
    return read_labels(labels[HeadKind.SEQUENCE_CLASSIFICATION], config, folder, task=task)
