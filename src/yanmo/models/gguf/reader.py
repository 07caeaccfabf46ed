"""A GGUF file as a Hugging Face folder would show it: config, tokenizer, tensors by Hugging Face's names.

Tensors of float types are views of the mapped file where llama.cpp keeps them as Hugging Face does. Others
are made afresh: quantised ones (the methods of llama.cpp, through the gguf package) as float32, a few rows
at a time, so that nothing but the result takes memory.
"""

from __future__ import annotations

import math
import mmap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import quants
from gguf.constants import GGMLQuantizationType as Kind
from gguf.constants import LlamaFileType
from torch import Tensor

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED, shorten
from yanmo.models.files.weights import TensorInfo
from yanmo.models.gguf.architectures import Architecture, Heads, Place, Rule
from yanmo.models.gguf.config import architecture_of_file, heads_of_file, read_config
from yanmo.models.gguf.header import Header, StoredTensor, Value, parse_header
from yanmo.models.gguf.metadata import Metadata
from yanmo.models.gguf.rope import ROPE_TENSORS, read_rope
from yanmo.models.gguf.tokenizer import read_special_ids, read_tokenizer

FLOATS = {
    Kind.F32: torch.float32,
    Kind.F16: torch.float16,
    Kind.BF16: torch.bfloat16,
    Kind.F64: torch.float64,
}
# What gguf.quants turns into numbers.
QUANTISED = frozenset(
    {
        *(Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0),
        *(Kind.Q2_K, Kind.Q3_K, Kind.Q4_K, Kind.Q5_K, Kind.Q6_K),
        *(Kind.IQ1_S, Kind.IQ1_M, Kind.IQ2_XXS, Kind.IQ2_XS, Kind.IQ2_S, Kind.IQ3_XXS, Kind.IQ3_S),
        *(Kind.IQ4_NL, Kind.IQ4_XS, Kind.TQ1_0, Kind.TQ2_0, Kind.MXFP4),
    }
)
# Numbers made at once from quantised rows: the working memory is a few times this.
_CHUNK = 2**20
_MAX_EXPERTS = 4096


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where a Hugging Face tensor comes from."""

    stored: StoredTensor
    rule: Rule | None
    expert: int | None


class GgufFile:
    """The weights, config and tokenizer of one GGUF file; a ``WeightSource``."""

    def __init__(self, path: Path | str) -> None:
        """Read and check the header; no tensor is read.

        Args:
            path: a file that ends in .gguf.

        Raises:
            InputError: it is no GGUF file, damaged, or of an architecture that is not read.
        """
        self.path = Path(path)
        self._data = _map(self.path)
        self._header = parse_header(self._data, where=self.path)
        self._metadata = Metadata(self._header.metadata, self.path)
        _require_whole(self._metadata)
        self._architecture = architecture_of_file(self._metadata)
        self._heads, self._head_dim = heads_of_file(self._metadata)
        self._sources, self.tensors = _name_tensors(
            self._header, self._architecture, self._heads, self._metadata
        )
        self.config: dict[str, Any] = self._read_config()

    @property
    def metadata(self) -> Mapping[str, Value]:
        """The file's metadata as plain values."""
        return self._header.metadata

    @cached_property
    def file_type(self) -> str:
        """How most weights are stored, such as "F16" or "Q4_K_M"."""
        number = self.metadata.get("general.file_type")
        known = {int(kind): kind.name for kind in LlamaFileType}
        if isinstance(number, int) and number in known:
            return known[number].removeprefix("ALL_").removeprefix("MOSTLY_")
        return self._main_kind.name

    @cached_property
    def generation_config(self) -> dict[str, Any]:
        """A Hugging Face generation_config: the tokens that begin, end and fill texts."""
        ids = read_special_ids(self._metadata, self.config["vocab_size"])
        found = {"bos_token_id": ids.bos, "pad_token_id": ids.pad}
        ends = list(ids.ends)
        return {
            **{key: token_id for key, token_id in found.items() if token_id is not None},
            **({"eos_token_id": ends if len(ends) > 1 else ends[0]} if ends else {}),
        }

    def tokenizer_files(self) -> dict[str, bytes]:
        """Content of tokenizer.json, tokenizer_config.json and, where there is one, chat_template.jinja.

        Raises:
            InputError: the tokenizer is missing, damaged, or of a kind that is not read.
        """
        max_len = self._metadata.integer(".context_length")
        return read_tokenizer(self._metadata, self.config["vocab_size"], max_len)

    def read(self, name: str) -> Tensor:
        """One tensor by its Hugging Face name; not to be written to.

        Raises:
            KeyError: there is no such tensor.
        """
        source = self._sources[name]
        tensor = self._read_stored(source.stored, source.expert)
        return tensor if source.rule is None else source.rule.from_gguf(tensor, self._heads)

    def release(self) -> None:
        """Give back the memory of all pages touched so far."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._data.madvise(mmap.MADV_DONTNEED)

    @cached_property
    def _main_kind(self) -> Kind:
        sizes: Counter[Kind] = Counter()
        for stored in self._header.tensors.values():
            sizes[stored.kind] += stored.num_bytes
        return max(sizes, key=lambda kind: sizes[kind])

    def _read_config(self) -> dict[str, Any]:
        rope = {
            name: self._read_stored(self._header.tensors[name]).float()
            for name in ROPE_TENSORS
            if name in self._header.tensors
        }
        config = read_config(self._metadata, self._architecture, self._header.tensors, self._head_dim)
        model_type = self._architecture.model_type
        if model_type != "gpt2":
            config |= read_rope(self._metadata, model_type, self._head_dim, rope)
        ids = read_special_ids(self._metadata, config["vocab_size"])
        dtype = FLOATS.get(self._main_kind, torch.float32)
        return config | {
            "bos_token_id": ids.bos,
            "eos_token_id": ids.eos,
            "pad_token_id": ids.pad,
            "dtype": str(dtype).removeprefix("torch."),
        }

    def _read_stored(self, stored: StoredTensor, expert: int | None = None) -> Tensor:
        """A tensor in llama.cpp's layout, or one expert's part of it."""
        shape, offset, num_bytes = stored.shape, stored.offset, stored.num_bytes
        if expert is not None:
            num_bytes //= shape[0]
            shape, offset = shape[1:], offset + expert * num_bytes
        bytes_1 = torch.frombuffer(self._data, dtype=torch.uint8, count=num_bytes, offset=offset)
        dtype = FLOATS.get(stored.kind)
        if dtype is not None:
            return bytes_1.view(dtype).view(shape)
        rows = bytes_1.numpy().reshape(math.prod(shape[:-1]), -1)
        values = torch.empty(len(rows), shape[-1])
        step = max(1, _CHUNK // shape[-1])
        for first in range(0, len(rows), step):
            # A damaged file may hold scales that are no numbers; they stay that.
            with np.errstate(all="ignore"):
                part = quants.dequantize(rows[first : first + step], stored.kind)
            values[first : first + step] = torch.from_numpy(part)
        return values.view(shape)


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            # Private to this process and writable: torch warns of buffers that are not.
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot be read: {reason}", where=path) from None


def _require_whole(metadata: Metadata) -> None:
    if metadata.has("split.count") and metadata.integer("split.count", low=0) > 1:
        raise InputError(
            "is one part of a model in several files",
            where=metadata.where,
            remedy="join them with llama-gguf-split --merge",
        )


def _name_tensors(
    header: Header, architecture: Architecture, heads: Heads, metadata: Metadata
) -> tuple[dict[str, _Source], dict[str, TensorInfo]]:
    """Every tensor under its Hugging Face name, one for each expert.

    Raises:
        InputError: a tensor is of a type or a name that is not read, or layers are missing.
    """
    sources: dict[str, _Source] = {}
    infos: dict[str, TensorInfo] = {}
    num_layers = metadata.integer(".block_count")
    layers = set()
    for stored in header.tensors.values():
        if stored.kind not in FLOATS and stored.kind not in QUANTISED:
            what = f"the tensor {shorten(stored.name)} is of the type {stored.kind.name}, which is not read"
            raise InputError(what, where=metadata.where)
        if stored.name in ROPE_TENSORS:
            continue
        place = architecture.place_of_gguf(stored.name)
        if place is None:
            what = f"the tensor {shorten(stored.name)} is none that {architecture.name} models have"
            raise InputError(what, where=metadata.where, remedy="this kind of model is not read")
        if place.layer is not None:
            layers.add(place.layer)
        for name, source in _sources_of(stored, place, architecture, metadata).items():
            sources[name] = source
            infos[name] = _info(source, heads, metadata)
    if len(layers) != num_layers or max(layers) >= num_layers:
        what = f"has {len(layers)} layers of tensors and says it has {num_layers}"
        raise InputError(what, where=metadata.where, remedy=DAMAGED)
    return sources, infos


def _sources_of(
    stored: StoredTensor, place: Place, architecture: Architecture, metadata: Metadata
) -> dict[str, _Source]:
    rule = architecture.rules.get(place.kind)
    if not architecture.has_experts(place.kind):
        return {architecture.hf_name(place): _Source(stored=stored, rule=rule, expert=None)}
    num_experts = metadata.integer(".expert_count", high=_MAX_EXPERTS)
    if len(stored.shape) != 3 or stored.shape[0] != num_experts:
        what = f"the tensor {shorten(stored.name)} has the shape {stored.shape} for {num_experts} experts"
        raise InputError(what, where=metadata.where, remedy=DAMAGED)
    return {
        architecture.hf_name(
            Place(kind=place.kind, suffix=place.suffix, layer=place.layer, expert=expert)
        ): _Source(stored=stored, rule=rule, expert=expert)
        for expert in range(num_experts)
    }


def _info(source: _Source, heads: Heads, metadata: Metadata) -> TensorInfo:
    """Shape and dtype as ``read`` gives them."""
    stored = source.stored
    shape = stored.shape if source.expert is None else stored.shape[1:]
    like = torch.empty(shape, dtype=FLOATS.get(stored.kind, torch.float32), device="meta")
    try:
        like = like if source.rule is None else source.rule.from_gguf(like, heads)
    except RuntimeError:
        what = f"the tensor {shorten(stored.name)} of shape {shape} has no room for {heads.num_heads} heads"
        raise InputError(what, where=metadata.where, remedy=DAMAGED) from None
    return TensorInfo(tuple(like.shape), like.dtype, like.nbytes)
