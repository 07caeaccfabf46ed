"""The models that are served, by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from yanmo.errors import InputError
from yanmo.generation.engine import Engine, Piece
from yanmo.generation.sampling import SamplingParams
from yanmo.models import registry
from yanmo.serving import api_errors


class TextEngine(Protocol):
    """What serving asks of a decoding engine."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt, with all that the model wants around it."""

    def stream(
        self, prompt_ids: Sequence[int], params: SamplingParams, *, cancelled: Callable[[], bool]
    ) -> Iterator[Piece]:
        """Continue a prompt piece by piece; the last piece has a finish reason."""


class TextTokenizer(Protocol):
    """What serving asks of a tokenizer."""

    @property
    def vocab_size(self) -> int:
        """Number of ids."""

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True
    ) -> list[int]:
        """Token ids of a conversation."""

    def decode(self, token_ids: Iterable[int], *, skip_special_tokens: bool = True) -> str:
        """Text of token ids."""

    def token_bytes(self, token_id: int) -> bytes:
        """Exact bytes of a token."""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One model with what answers for it.

    Attributes:
        name: its id in the API.
        engine: continues prompts.
        tokenizer: of the model.
        chat: whether it was trained on conversations; a base model only continues text.
        max_seq_len: longest context in tokens, or None.
        architecture: for people.
        num_parameters: for people.
        created: seconds since 1970.
    """

    name: str
    engine: TextEngine
    tokenizer: TextTokenizer
    chat: bool = False
    max_seq_len: int | None = None
    architecture: str = ""
    num_parameters: int = 0
    created: int = field(default_factory=lambda: int(time.time()))

    def to_mapping(self) -> dict[str, Any]:
        """The model object of the API; the last four keys are additions that clients ignore."""
        return {
            "id": self.name,
            "object": "model",
            "created": self.created,
            "owned_by": "yanmo",
            "max_model_len": self.max_seq_len,
            "chat": self.chat,
            "architecture": self.architecture,
            "num_parameters": self.num_parameters,
        }


class Catalog:
    """Models by name, in the order given."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        """Take the models.

        Raises:
            InputError: there is none, or two share a name.
        """
        self._models = {model.name: model for model in models}
        if not models:
            raise InputError("no model to serve", remedy="yanmo serve MODEL...")
        if len(self._models) < len(models):
            names = sorted(model.name for model in models)
            raise InputError(
                f"two models have the same name: {', '.join(names)}", remedy="rename one of the folders"
            )

    def __iter__(self) -> Iterator[ServedModel]:
        """The models in order."""
        return iter(self._models.values())

    def find(self, name: str) -> ServedModel:
        """The model of that name.

        Raises:
            ApiError: 404, there is none.
        """
        if name not in self._models:
            raise api_errors.model_not_found(name)
        return self._models[name]


def load(paths: Sequence[Path], *, dtype: torch.dtype = torch.float32) -> Catalog:
    """Load models, their weights as ``dtype``.

    Raises:
        InputError: one cannot be loaded, or two have the same name.
    """
    return Catalog([_serve(registry.load(path, dtype=dtype)) for path in paths])


def _serve(loaded: registry.LoadedModel) -> ServedModel:
    return ServedModel(
        name=loaded.name,
        engine=Engine(loaded.model, loaded.tokenizer, loaded.generation),
        tokenizer=loaded.tokenizer,
        chat=loaded.chat,
        max_seq_len=loaded.model.max_seq_len,
        architecture=loaded.architecture,
        num_parameters=loaded.num_parameters,
        created=int(loaded.path.stat().st_mtime),
    )
