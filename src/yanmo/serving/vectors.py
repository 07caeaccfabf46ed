"""Vectors of texts, and how alike two texts are: /v1/embeddings and /v1/similarity.

The first is OpenAI's (platform.openai.com/docs/api-reference/embeddings). Added are ``prompt_name``, which of
the model's prompts stands before each text, and ``truncate_prompt_tokens``: cut texts that are too long
instead of refusing them (-1 to the model's length).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from yanmo.serving.api_errors import ApiError, context_exceeded
from yanmo.serving.catalog import OpenModel, TextVectors
from yanmo.serving.errand import OnProgress, Service, bring, run_once
from yanmo.serving.limits import Limits
from yanmo.serving.schema import ApiRequest

_Tokens = Annotated[list[int], Field(min_length=1)]


class EmbeddingRequest(ApiRequest):
    """Body of POST /v1/embeddings."""

    input: str | list[str] | _Tokens | list[_Tokens]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, ge=1)
    prompt_name: str | None = None
    truncate_prompt_tokens: int | None = Field(None, ge=-1, le=-1)

    @property
    def inputs(self) -> list[str | list[int]]:
        """A text or a list of token ids for each vector."""
        if isinstance(self.input, str):
            return [self.input]
        token_ids = [item for item in self.input if isinstance(item, int)]
        return [token_ids] if token_ids else [item for item in self.input if not isinstance(item, int)]

    def check(self, limits: Limits) -> None:
        """Refuse an empty list, and too many texts."""
        require_count(len(self.inputs), limits.max_texts)


class SimilarityRequest(ApiRequest):
    """Body of POST /v1/similarity: pairs of texts."""

    input: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    prompt_name: str | None = None

    def check(self, limits: Limits) -> None:
        """Refuse an empty list, and too many texts."""
        require_count(2 * len(self.input), limits.max_texts)


def require_count(num_texts: int, most: int) -> None:
    """Refuse none, and too many.

    Raises:
        ApiError: 400.
    """
    if num_texts == 0:
        raise ApiError("Invalid 'input': the list is empty.", param="input", code="invalid_value")
    if num_texts > most:
        message = f"Invalid 'input': {num_texts} texts; one request may have {most}."
        raise ApiError(message, param="input", code="array_above_max_length")


async def embed(request: Request, body: EmbeddingRequest, service: Service) -> Response:
    """Vectors of texts.

    Raises:
        ApiError: a text is too long or there are no such dimensions, or whatever keeps it from being done.
    """
    card = service.catalog.find(body.model)
    card.require("embeddings")

    def work(check: OnProgress) -> dict[str, Any]:
        with service.catalog.opened(body.model) as opened:
            vectors = _vectors_of(opened)
            if body.dimensions not in (None, vectors.dim):
                raise ApiError(
                    f"This model gives vectors of {vectors.dim} numbers, not of {body.dimensions}.",
                    param="dimensions",
                    code="invalid_value",
                )
            texts = [_text_of(each, opened) for each in body.inputs]
            cut = body.truncate_prompt_tokens is not None
            num_tokens = _count(texts, vectors, prompt=body.prompt_name, cut=cut)
            found = vectors.encode(texts, prompt=body.prompt_name, on_progress=check)
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _encoded(vector, body.encoding_format)}
                for index, vector in enumerate(found)
            ],
            "model": card.name,
            "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
        }

    await bring(request, service, card.name)
    return _answer(await run_once(request, service, work), service)


async def compare(request: Request, body: SimilarityRequest, service: Service) -> Response:
    """How alike the texts of each pair are, by the model's own measure.

    Raises:
        ApiError: a text is too long, or whatever keeps it from being done.
    """
    card = service.catalog.find(body.model)
    card.require("similarity")

    def work(check: OnProgress) -> dict[str, Any]:
        with service.catalog.opened(body.model) as opened:
            vectors = _vectors_of(opened)
            texts = list(dict.fromkeys(text for pair in body.input for text in pair))
            num_tokens = _count(texts, vectors, prompt=body.prompt_name, cut=False)
            found = vectors.encode(texts, prompt=body.prompt_name, on_progress=check)
            of = {text: vector[None] for text, vector in zip(texts, found, strict=True)}
            scores = [float(vectors.similarity(of[first], of[second])[0, 0]) for first, second in body.input]
        return {
            "object": "list",
            "data": [
                {"object": "similarity", "index": index, "score": score} for index, score in enumerate(scores)
            ],
            "model": card.name,
            "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
        }

    await bring(request, service, card.name)
    return _answer(await run_once(request, service, work), service)


def _answer(content: dict[str, Any], service: Service) -> Response:
    service.metrics.read(content["model"], content["usage"]["prompt_tokens"])
    return JSONResponse(content, headers={"Cache-Control": "no-store"})


def _vectors_of(opened: OpenModel) -> TextVectors:
    assert opened.vectors is not None, "the card promises vectors"
    return opened.vectors()


def _text_of(item: str | list[int], opened: OpenModel) -> str:
    """Clients that count tokens send those; what they meant is the text."""
    if isinstance(item, str):
        return item
    wrong = next((token for token in item if not 0 <= token < opened.tokenizer.vocab_size), None)
    if wrong is not None:
        message = f"Invalid 'input': there is no token {wrong}; ids end at {opened.tokenizer.vocab_size - 1}."
        raise ApiError(message, param="input", code="invalid_value")
    return opened.tokenizer.decode(item)


def _count(texts: Sequence[str], vectors: TextVectors, *, prompt: str | None, cut: bool) -> int:
    """Tokens that the model reads.

    Raises:
        ApiError: 400, a text is longer than the model reads, and may not be cut.
    """
    counts = vectors.num_tokens(texts, prompt=prompt)
    if max(counts) > vectors.max_seq_len and not cut:
        raise context_exceeded(max(counts), vectors.max_seq_len, param="input")
    return sum(min(count, vectors.max_seq_len) for count in counts)


def _encoded(vector: np.ndarray[Any, np.dtype[np.float32]], form: str | None) -> str | list[float]:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(value) for value in vector]
