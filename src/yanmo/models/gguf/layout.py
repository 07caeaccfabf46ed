"""Which tensors a GGUF file of a model holds: what each is made of, and how it is stored.

Storage follows llama.cpp's own conversion: vectors (norms, biases), the router of experts and learned
positions in float32, matrices in the type asked for, and in float16 where that stores blocks of 32 numbers
and a row is no multiple of it. With q4_0 the embedding and the output matrix are kept as q8_0: in them each
row is a token, they are much of a small model, and llama.cpp too stores the output more finely.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from gguf.constants import GGML_QUANT_SIZES
from gguf.constants import MODEL_TENSOR as T
from gguf.constants import GGMLQuantizationType as Kind

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import shorten
from yanmo.models.gguf.architectures import Architecture, Heads, Place, Rule

_ALWAYS_F32 = (T.FFN_GATE_INP, T.POS_EMBD)
# Architectures whose output matrix llama.cpp wants in the file even where it is the embedding.
_UNTIED = ("gptneox", "olmo2")
_TIED_BY_DEFAULT = ("gpt2", "gemma3_text")
# Tables that old files hold and that are computed anew.
_COMPUTED = re.compile(r".*\.(attn\.bias|attention\.bias|masked_bias|rotary_emb\.inv_freq)")


@dataclass(frozen=True, kw_only=True)
class Output:
    """One tensor of a GGUF file.

    Attributes:
        name: llama.cpp's.
        shape: outermost dimension first.
        kind: how it is stored.
        parts: Hugging Face's tensors that it is made of: one, or one for each expert.
        rule: how each part is rearranged, if it is.
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind
    parts: Sequence[str]
    rule: Rule | None = None

    @property
    def num_bytes(self) -> int:
        """Size in the file."""
        block_size, block_bytes = GGML_QUANT_SIZES[self.kind]
        return math.prod(self.shape) // block_size * block_bytes


def plan(
    shapes: Mapping[str, tuple[int, ...]],
    config: Mapping[str, Any],
    architecture: Architecture,
    heads: Heads,
    kind: Kind,
) -> list[Output]:
    """The tensors of a file in llama.cpp's order.

    Args:
        shapes: of the model's tensors, by Hugging Face's names.
        config: of the model.
        architecture: its own.
        heads: its numbers of heads.
        kind: how matrices are to be stored.

    Raises:
        InputError: a tensor is missing, of the wrong shape, or has no place in a GGUF file.
    """
    tied = bool(config.get("tie_word_embeddings", architecture.model_type in _TIED_BY_DEFAULT))
    parts = _group(shapes, architecture)
    embedding, output = (Place(kind=kind, suffix="weight") for kind in (T.TOKEN_EMBD, T.OUTPUT))
    if tied:
        parts.pop(output, None)
        if architecture.name in _UNTIED and embedding in parts:
            parts[output] = parts[embedding]
    _require_all(parts, config, architecture, tied=tied)
    rows = shapes[parts[embedding][0]][0]
    if rows != config["vocab_size"]:
        what = f"the embedding has {rows} rows and vocab_size is {config['vocab_size']}"
        raise InputError(what, where="config.json")
    order = list(architecture.tensors)
    places = sorted(parts, key=lambda p: (-1 if p.layer is None else p.layer, order.index(p.kind), p.suffix))
    return [_output(place, parts[place], shapes, architecture, heads, kind) for place in places]


def _group(shapes: Mapping[str, tuple[int, ...]], architecture: Architecture) -> dict[Place, dict[int, str]]:
    """The names of each tensor's parts by the expert, 0 where there are none."""
    parts: dict[Place, dict[int, str]] = {}
    for name in shapes:
        place = architecture.place_of_hf(name)
        if place is not None:
            parts.setdefault(replace(place, expert=None), {})[place.expert or 0] = name
        elif not _COMPUTED.fullmatch(name):
            raise InputError(f"the tensor {shorten(name)} has no place in a GGUF file of {architecture.name}")
    return parts


def _require_all(
    parts: Mapping[Place, Mapping[int, str]],
    config: Mapping[str, Any],
    architecture: Architecture,
    *,
    tied: bool,
) -> None:
    layers_key = next(key for key, value in architecture.sizes.items() if value == ".block_count")
    num_experts = config.get("num_experts", config.get("num_local_experts"))
    for kind, stem in architecture.tensors.items():
        if kind is T.OUTPUT and tied:
            continue
        experts = range(num_experts or 0) if architecture.has_experts(kind) else range(1)
        for layer in range(config[layers_key]) if "{bid}" in stem else [None]:
            place = Place(kind=kind, suffix="weight", layer=layer)
            for expert in experts:
                if expert not in parts.get(place, {}):
                    name = architecture.hf_name(replace(place, expert=expert))
                    raise InputError(f"the tensor {name} is missing", remedy="the model is damaged")


def _output(
    place: Place,
    parts: Mapping[int, str],
    shapes: Mapping[str, tuple[int, ...]],
    architecture: Architecture,
    heads: Heads,
    kind: Kind,
) -> Output:
    names = [parts[expert] for expert in sorted(parts)]
    rule = architecture.rules.get(place.kind)
    if any(shapes[name] != shapes[names[0]] for name in names):
        raise InputError(f"the experts of {place.gguf_name} are of different shapes")
    like = torch.empty(shapes[names[0]], device="meta")
    try:
        like = like if rule is None else rule.to_gguf(like, heads)
    except RuntimeError:
        what = f"the tensor {names[0]} of shape {tuple(like.shape)} has no room for {heads.num_heads} heads"
        raise InputError(what) from None
    shape = tuple(like.shape)
    if architecture.has_experts(place.kind):
        shape = (len(names), *shape)
    return Output(
        name=place.gguf_name, shape=shape, kind=_storage(place.kind, shape, kind), parts=names, rule=rule
    )


def _storage(kind: T, shape: tuple[int, ...], wanted: Kind) -> Kind:
    """How a tensor is stored."""
    if len(shape) == 1 or kind in _ALWAYS_F32:
        return Kind.F32
    block_size, _ = GGML_QUANT_SIZES[wanted]
    if shape[-1] % block_size:
        return Kind.F16
    return Kind.Q8_0 if wanted is Kind.Q4_0 and kind in (T.TOKEN_EMBD, T.OUTPUT) else wanted
