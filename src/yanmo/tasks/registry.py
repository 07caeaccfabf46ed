"""All tasks by name."""

from __future__ import annotations

from yanmo.errors import InputError
from yanmo.tasks.base import Task
from yanmo.tasks.chat import CHAT
from yanmo.tasks.classification import TEXT_CLASSIFICATION
from yanmo.tasks.embedding import SENTENCE_SIMILARITY
from yanmo.tasks.language_modeling import FEATURE_EXTRACTION, FILL_MASK, TEXT_GENERATION
from yanmo.tasks.pair import PAIR_CLASSIFICATION
from yanmo.tasks.preference import PREFERENCE
from yanmo.tasks.question_answering import QUESTION_ANSWERING
from yanmo.tasks.relation import RELATION_EXTRACTION
from yanmo.tasks.seq2seq import SUMMARIZATION, TRANSLATION
from yanmo.tasks.tagging import TOKEN_CLASSIFICATION

TASKS: dict[str, Task] = {
    "text-classification": TEXT_CLASSIFICATION,
    "token-classification": TOKEN_CLASSIFICATION,
    "relation-extraction": RELATION_EXTRACTION,
    "pair-classification": PAIR_CLASSIFICATION,
    "sentence-similarity": SENTENCE_SIMILARITY,
    "question-answering": QUESTION_ANSWERING,
    "summarization": SUMMARIZATION,
    "translation": TRANSLATION,
    "text-generation": TEXT_GENERATION,
    "fill-mask": FILL_MASK,
    "feature-extraction": FEATURE_EXTRACTION,
    "chat": CHAT,
    "preference": PREFERENCE,
}


def find_task(name: str) -> Task:
    """The task of that name.

    Raises:
        InputError: there is none.
    """
    if name not in TASKS:
        raise InputError(f"there is no task {name!r}", remedy=f"tasks: {', '.join(TASKS)}")
    return TASKS[name]
