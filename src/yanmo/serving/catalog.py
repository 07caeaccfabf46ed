"""The models that are served, by name: what is known of each, and which of them are in memory.

A model is opened when it is first asked and stays until its memory is wanted by another; then the one that
was asked longest ago goes first. One that is in use never goes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from yanmo.config import format_size
from yanmo.errors import InputError
from yanmo.finetuning.skill import Prediction
from yanmo.generation.engine import Engine, Piece, TokenLogprob
from yanmo.generation.sampling import SamplingParams
from yanmo.reporting.progress import say
from yanmo.runtime import give_back_memory
from yanmo.serving import api_errors

# Where nothing is said.
_KEY_VALUE_BYTES = 2**30

OnProgress = Callable[[int], None]
ToolForm = Literal["tagged", "json"]
Cancelled = Callable[[], bool]
PromptLogprobs = Callable[[Sequence[int], int, Cancelled], list[TokenLogprob | None]]


class TextEngine(Protocol):
    """What serving asks of a decoding engine."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt, with all that the model wants around it."""

    def stream_samples(
        self, prompt_ids: Sequence[int], params: SamplingParams, *, num_samples: int, cancelled: Cancelled
    ) -> Iterator[tuple[int, Piece]]:
        """Continue a prompt, each piece with its answer's number; the last ones have a finish reason."""


class TextTokenizer(Protocol):
    """What serving asks of a tokenizer."""

    @property
    def vocab_size(self) -> int:
        """Number of ids."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[int]:
        """Token ids of a conversation in which tools may be called."""

    def decode(self, token_ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids."""

    def token_bytes(self, token_id: int) -> bytes:
        """Exact bytes of a token."""


class TextVectors(Protocol):
    """What serving asks of a sentence encoder."""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""

    @property
    def max_seq_len(self) -> int:
        """Tokens that a text is cut to."""

    def num_tokens(self, texts: Sequence[str], *, prompt: str | None = None) -> list[int]:
        """Tokens of each text before it is cut."""

    def encode(
        self, texts: Sequence[str], *, prompt: str | None = None, on_progress: OnProgress | None = None
    ) -> NDArray[np.float32]:
        """Vectors of texts, (texts, ``dim``)."""

    def similarity(self, a_BE: NDArray[np.float32], b_BE: NDArray[np.float32]) -> NDArray[np.float32]:
        """How alike vectors are, (A, B)."""


class TextTask(Protocol):
    """What serving asks of a fine-tuned model."""

    def predict(
        self, texts: Sequence[tuple[str, ...]], *, on_progress: OnProgress | None = None
    ) -> list[Prediction]:
        """What it says of texts, or of pairs of texts."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of a model without its weights.

    Attributes:
        name: its id in the API.
        routes: what of /v1 it answers, such as ``completions`` or ``classify``.
        task: that it was fine-tuned for, as on the Hugging Face hub, or None.
        chat: whether it was trained on conversations; a base model only continues text.
        tools: how its chat template has tools called: between tags, as JSON alone, or not at all.
        max_seq_len: longest context in tokens, or None.
        architecture: for people.
        num_parameters: for people; 0 where only the weights say it.
        num_bytes: memory that it needs, as far as is known.
        alone: why its answers share no steps with others (``generation.batching``); "" where they do.
        created: seconds since 1970.
    """

    name: str
    routes: tuple[str, ...]
    task: str | None = None
    chat: bool = False
    tools: ToolForm | None = None
    max_seq_len: int | None = None
    architecture: str = ""
    num_parameters: int = 0
    num_bytes: int = 0
    alone: str = "its engine takes one prompt at a time"
    created: int = field(default_factory=lambda: int(time.time()))

    def require(self, route: str) -> None:
        """Refuse a route that the model does not answer.

        Raises:
            ApiError: 400.
        """
        if route not in self.routes:
            raise api_errors.wrong_route(self.name, route, self.routes)

    def to_mapping(self) -> dict[str, Any]:
        """The model object of the API; what follows ``owned_by`` are additions that clients ignore."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "yanmo",
            "max_model_len": self.max_seq_len,
            "chat": self.chat,
            "tools": self.tools is not None,
            "task": self.task,
            "routes": list(self.routes),
            "architecture": self.architecture,
            "num_parameters": self.num_parameters,
        }


@dataclass(frozen=True, kw_only=True)
class OpenModel:
    """A model in memory, as far as it answers what.

    Attributes:
        tokenizer: of the model.
        engine: continues prompts.
        shared: the same, where its answers share steps with others.
        prompt_logprobs: how likely each token of a prompt was, and so many others at its place; None where
            nothing stands before it. Raises InputError where nobody predicts a prompt.
        vectors: makes the sentence encoder.
        task: answers what it was fine-tuned for.
        num_parameters: for people; 0 where the card knows it.
        num_bytes: memory that it holds; 0 where the card knows it.
        architecture: for people; "" where the card knows it.
    """

    tokenizer: TextTokenizer
    engine: TextEngine | None = None
    shared: Engine | None = None
    prompt_logprobs: PromptLogprobs | None = None
    vectors: Callable[[], TextVectors] | None = None
    task: TextTask | None = None
    num_parameters: int = 0
    num_bytes: int = 0
    architecture: str = ""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model at rest; ``open`` brings it into memory and may raise InputError."""

    card: Card
    open: Callable[[], OpenModel]


@dataclass(kw_only=True)
class _Place:
    """A model with what is in memory of it."""

    model: ServedModel
    card: Card
    opened: OpenModel | None = None
    is_loading: bool = False
    num_users: int = 0
    last_use: int = 0


class Catalog:
    """Models by name, in the order given, within a budget of memory."""

    def __init__(
        self,
        models: Sequence[ServedModel],
        *,
        memory_bytes: int | None = None,
        key_value_bytes: int = _KEY_VALUE_BYTES,
    ) -> None:
        """Take the models; none is opened.

        Args:
            models: what is served.
            memory_bytes: that the models in memory may need together; None is no bound.
            key_value_bytes: that the keys and values of their answers may need, beside that.

        Raises:
            InputError: there is none, or two share a name.
        """
        self._places = {model.card.name: _Place(model=model, card=model.card) for model in models}
        self.memory_bytes, self.key_value_bytes = memory_bytes, key_value_bytes
        # Whoever computes meanwhile is let past, and what else holds on to a model is told when it goes.
        self.while_waiting: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        self.on_evicted: Callable[[OpenModel], None] = _do_nothing
        self.num_opened = self.num_evicted = 0
        # Held for moments: whoever loads a model does not hold it.
        self._changed = threading.Condition()
        self._clock = itertools.count(1)
        if not models:
            raise InputError("no model to serve", remedy="yanmo serve MODEL...")
        if len(self._places) < len(models):
            names = sorted(model.card.name for model in models)
            raise InputError(
                f"two models have the same name: {', '.join(names)}", remedy="rename one of the folders"
            )
        for card in self:
            if not self._may_ever_fit(card):
                say(
                    f"yanmo: {card.name} needs {format_size(card.num_bytes)}, more than --memory "
                    f"{format_size(memory_bytes or 0)}: requests for it are refused"
                )

    def __iter__(self) -> Iterator[Card]:
        """What is known of the models, in order."""
        return iter([place.card for place in self._places.values()])

    def find(self, name: str) -> Card:
        """What is known of the model of that name.

        Raises:
            ApiError: 404, there is none.
        """
        if name not in self._places:
            raise api_errors.model_not_found(name)
        return self._places[name].card

    def open_first(self) -> None:
        """Bring the first model into memory, so that what is wrong with it is told at once.

        Raises:
            InputError: it cannot be loaded.
        """
        place = next(iter(self._places.values()))
        if self._may_ever_fit(place.card):
            place.is_loading = True
            self._load(place)

    def is_open(self, name: str) -> bool:
        """Whether the model of that name is in memory; False where there is none."""
        place = self._places.get(name)
        return place is not None and place.opened is not None

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[OpenModel]:
        """The model of that name, in memory at least as long as the block runs.

        Raises:
            ApiError: 404, there is none; 503, it does not fit or cannot be loaded.
        """
        self.find(name)
        place = self._places[name]
        with self.while_waiting():
            opened = self._use(place)
        try:
            yield opened
        finally:
            with self._changed:
                place.num_users -= 1

    def _use(self, place: _Place) -> OpenModel:
        """One more user of a model, which is loaded first where it is not there; others go on meanwhile."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not place.is_loading)
                if place.opened is not None:
                    place.num_users += 1
                    place.last_use = next(self._clock)
                    return place.opened
                card = place.card
                if not self._may_ever_fit(card):
                    raise api_errors.model_too_large(card.name, card.num_bytes, self.memory_bytes or 0)
                self._make_room(card.num_bytes)
                place.is_loading = True
            try:
                self._load(place)
            except InputError as error:
                # For the log alone: it names files of this machine.
                say(f"yanmo: {card.name} cannot be loaded: {error}")
                raise api_errors.model_not_loaded(card.name) from None

    def bytes_in_memory(self) -> dict[str, int]:
        """What each model that is in memory needs."""
        return {name: place.card.num_bytes for name, place in self._places.items() if place.opened}

    def _load(self, place: _Place) -> None:
        """Bring in a model that is marked as loading, which it is no longer afterwards."""
        opened: OpenModel | None = None
        try:
            opened = place.model.open()
        finally:
            with self._changed:
                place.is_loading = False
                if opened is not None:
                    self._settle(place, opened)
                self._changed.notify_all()

    def _settle(self, place: _Place, opened: OpenModel) -> None:
        known = {
            name: value
            for name in ("num_parameters", "num_bytes", "architecture")
            if (value := getattr(opened, name))
        }
        place.card = dataclasses.replace(place.card, **known)
        place.opened = opened
        place.last_use = next(self._clock)
        self.num_opened += 1

    def _make_room(self, num_bytes: int) -> None:
        """Let models go until so many bytes are free.

        Raises:
            ApiError: 503, all that are left are in use.
        """
        if self.memory_bytes is None:
            return
        places = self._places.values()
        while (
            sum(place.card.num_bytes for place in places if place.opened or place.is_loading) + num_bytes
            > self.memory_bytes
        ):
            idle = [place for place in places if place.opened and not place.num_users]
            if not idle:
                raise api_errors.models_in_use()
            oldest = min(idle, key=lambda place: place.last_use)
            assert oldest.opened is not None
            self.on_evicted(oldest.opened)
            oldest.opened = None
            self.num_evicted += 1
            give_back_memory()

    def _may_ever_fit(self, card: Card) -> bool:
        return self.memory_bytes is None or card.num_bytes <= self.memory_bytes


def _do_nothing(_: OpenModel) -> None:
    """Nobody else holds on to a model."""
