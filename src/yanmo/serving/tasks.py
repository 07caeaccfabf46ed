"""What fine-tuned models answer: /v1/classify, /v1/tag, /v1/answer, /v1/translate, /v1/summarize.

Every route takes ``input``, one thing or a list, and gives one entry of ``data`` for each, in its order. What
an entry says is what ``yanmo predict`` says of the same text (``finetuning.skill``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from yanmo.finetuning.skill import Prediction
from yanmo.serving.api_errors import ApiError
from yanmo.serving.errand import OnProgress, Service, bring, run_once
from yanmo.serving.limits import Limits
from yanmo.serving.schema import ApiRequest
from yanmo.serving.vectors import require_count

_Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class TaskRequest(ApiRequest, ABC):
    """What the routes of fine-tuned models share."""

    route: ClassVar[str]
    entry: ClassVar[str]
    # Texts that are written anew take as long as answers of a conversation, so fewer may come at once.
    writes: ClassVar[bool] = False

    @property
    @abstractmethod
    def questions(self) -> list[tuple[str, ...]]:
        """The texts of each question."""

    def check(self, limits: Limits) -> None:
        """Refuse an empty list, and too many texts."""
        require_count(len(self.questions), limits.max_choices if self.writes else limits.max_texts)


class TextsRequest(TaskRequest):
    """Texts, each a question."""

    input: str | list[str]

    @property
    def questions(self) -> list[tuple[str, ...]]:
        """One text each."""
        return [(self.input,)] if isinstance(self.input, str) else [(text,) for text in self.input]


class ClassifyRequest(TaskRequest):
    """Body of POST /v1/classify: texts, or pairs of texts for a model that compares two."""

    route, entry = "classify", "classification"
    input: str | list[str] | list[_Pair]

    @property
    def questions(self) -> list[tuple[str, ...]]:
        """One or two texts each."""
        if isinstance(self.input, str):
            return [(self.input,)]
        return [(item,) if isinstance(item, str) else tuple(item) for item in self.input]


class TagRequest(TextsRequest):
    """Body of POST /v1/tag."""

    route, entry = "tag", "tags"


class Question(BaseModel):
    """A question and the text that answers it."""

    model_config = ConfigDict(strict=True, extra="forbid")

    question: str
    context: str


class AnswerRequest(TaskRequest):
    """Body of POST /v1/answer."""

    route, entry = "answer", "answer"
    input: Question | list[Question]

    @property
    def questions(self) -> list[tuple[str, ...]]:
        """Question and text."""
        asked = [self.input] if isinstance(self.input, Question) else self.input
        return [(each.question, each.context) for each in asked]


class TranslateRequest(TextsRequest):
    """Body of POST /v1/translate."""

    route, entry, writes = "translate", "translation", True


class SummarizeRequest(TextsRequest):
    """Body of POST /v1/summarize."""

    route, entry, writes = "summarize", "summary", True


TASK_REQUESTS: tuple[type[TaskRequest], ...] = (
    ClassifyRequest,
    TagRequest,
    AnswerRequest,
    TranslateRequest,
    SummarizeRequest,
)


async def answer_task(request: Request, body: TaskRequest, service: Service) -> Response:
    """What a fine-tuned model says.

    Raises:
        ApiError: the model has another task or wants another number of texts, or whatever keeps it from
            being done.
    """
    card = service.catalog.find(body.model)
    card.require(body.route)
    questions = body.questions
    wanted = 2 if card.task in ("pair-classification", "question-answering") else 1
    if any(len(question) != wanted for question in questions):
        given = "a text each" if wanted == 1 else "a pair of texts each: [[first, second], ...]"
        raise ApiError(f"Invalid 'input': this model wants {given}.", param="input", code="invalid_value")

    def work(check: OnProgress) -> tuple[list[Prediction], int, int]:
        with service.catalog.opened(body.model) as opened:
            assert opened.task is not None, "the card promises a task"
            count = opened.tokenizer.encode
            num_read = sum(len(count(text)) for question in questions for text in question)
            check(0)
            found = opened.task.predict(questions, on_progress=check)
            num_written = sum(len(count(row["text"])) for row in found) if body.writes else 0
        return found, num_read, num_written

    await bring(request, service, card.name)
    found, num_read, num_written = await run_once(request, service, work)
    service.metrics.read(card.name, num_read)
    content: dict[str, Any] = {
        "object": "list",
        "data": [{"object": body.entry, "index": index, **row} for index, row in enumerate(found)],
        "model": card.name,
        "usage": {
            "prompt_tokens": num_read,
            "completion_tokens": num_written,
            "total_tokens": num_read + num_written,
        },
    }
    return JSONResponse(content, headers={"Cache-Control": "no-store"})
