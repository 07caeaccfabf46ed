"""From a path to a model that can be served: what it answers by its settings alone, then the model itself.

One folder may answer several things with the same weights: a decoder continues texts and makes vectors of
them, a fine-tuned translator answers the translation route and completions.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import torch

from yanmo.finetuning.registry import VECTOR_TASKS, read_skill, task_of
from yanmo.finetuning.task_model import TaskModel
from yanmo.generation.engine import Engine
from yanmo.generation.prompt_scores import prompt_logprobs
from yanmo.machine import available_memory_bytes
from yanmo.models import registry
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.families import any_architecture, family_of, named_architecture
from yanmo.models.heads import HeadKind
from yanmo.models.rows import why_alone
from yanmo.models.sentence import SentenceEncoder
from yanmo.models.sentence_settings import read_sentence_settings
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.serving.catalog import Card, Catalog, OpenModel, ServedModel
from yanmo.serving.tools import wraps_calls

# Of /v1, by what a model was fine-tuned for; tasks that are not here are answered as a conversation is.
ROUTE_OF_TASK = {
    "text-classification": "classify",
    "pair-classification": "classify",
    "relation-extraction": "classify",
    "token-classification": "tag",
    "question-answering": "answer",
    "translation": "translate",
    "summarization": "summarize",
}
_WRITTEN_ROUTES = ("completions", "chat/completions", "responses")
_VECTOR_ROUTES = ("embeddings", "similarity")
_LANGUAGE_HEADS = (HeadKind.CAUSAL_LM, HeadKind.SEQ2SEQ_LM)
# Of the memory that is free, what may be taken where nothing is said; the rest is for what models compute.
_MEMORY_SHARE = 0.7
# Of that, most and least for keys and values.
_MOST_KEY_VALUE_SHARE, _LEAST_KEY_VALUE_SHARE = 1 / 4, 1 / 16


def load(
    paths: Sequence[Path], *, dtype: torch.dtype = torch.float32, memory_bytes: int | None = None
) -> Catalog:
    """Read what models are; their weights come, as ``dtype``, when they are asked.

    Args:
        paths: model folders, runs, .gguf files or cached names.
        dtype: type of the weights in memory.
        memory_bytes: that models in memory, and the keys and values of their answers, may need together;
            None takes most of what is free.

    Raises:
        InputError: one is missing or of a kind that is not known, or two have the same name.
    """
    budget = int(available_memory_bytes() * _MEMORY_SHARE) if memory_bytes is None else memory_bytes
    models = [describe(path, dtype=dtype) for path in paths]
    for_answers = key_value_bytes(budget, [model.card for model in models])
    return Catalog(models, memory_bytes=budget - for_answers, key_value_bytes=for_answers)


def key_value_bytes(memory_bytes: int, cards: Sequence[Card]) -> int:
    """What of the memory is for keys and values: a quarter, less where the largest model needs more of it.

    A sixteenth is always theirs, and nothing where no model's answers share steps.
    """
    if all(card.alone for card in cards):
        return 0
    most, least = (int(memory_bytes * share) for share in (_MOST_KEY_VALUE_SHARE, _LEAST_KEY_VALUE_SHARE))
    largest = max((card.num_bytes for card in cards if card.num_bytes <= memory_bytes), default=0)
    return max(least, min(most, memory_bytes - largest))


def describe(path: Path, *, dtype: torch.dtype = torch.float32) -> ServedModel:
    """Read what a model is; no weight is read.

    Raises:
        InputError: it is missing, damaged, or of a kind that is not known.
    """
    checkpoint = Checkpoint.open(path)
    if checkpoint.model_type.startswith("yanmo-"):
        routes: tuple[str, ...] = _WRITTEN_ROUTES
        task, known = None, {"num_bytes": _weight_bytes(checkpoint.path), "num_parameters": 0}
        alone = "its state is not kept token by token"
    else:
        ours = _config_of(checkpoint)
        task = task_of(checkpoint.config, ours.heads, checkpoint.path)
        routes = _routes(checkpoint, ours, task)
        alone = why_alone(ours) or ""
        known = {
            "num_parameters": ours.num_parameters,
            "num_bytes": ours.num_parameters * dtype.itemsize,
        }
    tokenizer = checkpoint.tokenizer
    template = tokenizer.chat_template or ""
    card = Card(
        name=checkpoint.name,
        routes=routes,
        task=task,
        chat=tokenizer.chat_tuned and "chat/completions" in routes,
        tools=("tagged" if wraps_calls(template) else "json") if "tools" in template else None,
        max_seq_len=None if checkpoint.model_type.startswith("yanmo-") else ours.max_seq_len,
        architecture=named_architecture(checkpoint.config),
        alone=alone,
        created=int(checkpoint.path.stat().st_mtime),
        **known,
    )
    return ServedModel(card=card, open=functools.partial(_open, path, card, dtype))


def _config_of(checkpoint: Checkpoint) -> TransformerConfig:
    config = any_architecture(checkpoint.config)
    return family_of(config, where=checkpoint.config_path).read_config(config, where=checkpoint.config_path)


def _routes(checkpoint: Checkpoint, ours: TransformerConfig, task: str | None) -> tuple[str, ...]:
    if task in VECTOR_TASKS:
        return _VECTOR_ROUTES
    own = (ROUTE_OF_TASK[task],) if task in ROUTE_OF_TASK else ()
    # A class name that is not known says nothing of its heads.
    exact = any_architecture(checkpoint.config) is checkpoint.config
    continues = exact and any(head.kind in _LANGUAGE_HEADS for head in ours.heads)
    if own and not continues:
        return own
    return own + (_WRITTEN_ROUTES if continues else ()) + _VECTOR_ROUTES


def _open(path: Path, card: Card, dtype: torch.dtype) -> OpenModel:
    if "completions" in card.routes:
        return _open_language_model(path, card, dtype)
    if "embeddings" in card.routes:
        checkpoint = Checkpoint.open(path)
        encoder = SentenceEncoder.load(path, dtype=dtype)
        return OpenModel(tokenizer=checkpoint.tokenizer, vectors=lambda: encoder)
    tasked = TaskModel.load(path, dtype=dtype)
    return OpenModel(tokenizer=tasked.tokenizer, task=tasked, num_bytes=_bytes_of(tasked.model))


def _open_language_model(path: Path, card: Card, dtype: torch.dtype) -> OpenModel:
    loaded = registry.load(path, dtype=dtype)
    model, engine = loaded.model, Engine(loaded.model, loaded.tokenizer, loaded.generation)
    vectors, task = None, None
    if isinstance(model, Transformer):
        checkpoint = Checkpoint.open(path)
        if card.task in ROUTE_OF_TASK:
            task = TaskModel(
                model,
                loaded.tokenizer,
                read_skill(card.task or "", model, checkpoint.config, checkpoint.path),
                name=card.name,
                task=card.task or "",
                max_seq_len=checkpoint.config.get("finetuning_max_seq_len"),
            )

        @functools.cache
        def vectors() -> SentenceEncoder:
            settings = read_sentence_settings(checkpoint.path, d_model=model.config.d_model)
            return SentenceEncoder(model, loaded.tokenizer, settings)

    return OpenModel(
        tokenizer=loaded.tokenizer,
        engine=engine,
        shared=None if card.alone else engine,
        prompt_logprobs=functools.partial(prompt_logprobs, engine),
        vectors=vectors,
        task=task,
        architecture=loaded.architecture,
        num_parameters=loaded.num_parameters,
        num_bytes=_bytes_of(model) if isinstance(model, torch.nn.Module) else _weight_bytes(loaded.path),
    )


def _bytes_of(model: torch.nn.Module) -> int:
    held = {tensor.data_ptr(): tensor.nbytes for tensor in (*model.parameters(), *model.buffers())}
    return sum(held.values())


def _weight_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
