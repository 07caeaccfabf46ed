"""A model with Hugging Face's names as a GGUF file that llama.cpp runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from gguf import GGUFWriter, quants
from gguf.constants import GGMLQuantizationType as Kind
from gguf.constants import LlamaFileType
from numpy.typing import NDArray
from torch import Tensor

from yanmo.artifact import new_file
from yanmo.errors import InputError
from yanmo.models.files.foreign_files import shorten
from yanmo.models.files.weights import WeightSource
from yanmo.models.gguf.architectures import GPT2, Architecture, Heads
from yanmo.models.gguf.config import architecture_of_config, write_config
from yanmo.models.gguf.header import DEFAULT_ALIGNMENT, Value
from yanmo.models.gguf.layout import Output, plan
from yanmo.models.gguf.reader import GgufFile
from yanmo.models.gguf.rope import write_rope
from yanmo.models.gguf.tokenizer import write_tokenizer

_KINDS: dict[str, tuple[Kind, LlamaFileType]] = {
    "f32": (Kind.F32, LlamaFileType.ALL_F32),
    "f16": (Kind.F16, LlamaFileType.MOSTLY_F16),
    "bf16": (Kind.BF16, LlamaFileType.MOSTLY_BF16),
    "q8_0": (Kind.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (Kind.Q4_0, LlamaFileType.MOSTLY_Q4_0),
}
DTYPES = tuple(_KINDS)

_QUANTISATION_VERSION = 2
# llama.cpp looks these tokens up in any model of such a name, and does not open it without them.
_PHI_NAMES = ("phi-3", "phi3")
_PHI_TOKENS = frozenset({"</s>", "<unk>", "<s>", "<|endoftext|>"})
# Numbers converted at once.
_CHUNK = 2**20


def write_gguf(
    path: Path | str,
    *,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor] | WeightSource,
    tokenizer_json: str,
    tokenizer_config: Mapping[str, Any],
    chat_template: str | None,
    dtype: str,
    name: str,
    generation_config: Mapping[str, Any] | None = None,
) -> None:
    """Write a model as one GGUF file, whole or not at all, with one tensor in memory at a time.

    Args:
        path: where to; replaced if it exists.
        config: content of config.json.
        tensors: by Hugging Face's names.
        tokenizer_json: content of tokenizer.json.
        tokenizer_config: content of tokenizer_config.json.
        chat_template: Jinja template of conversations, or None.
        dtype: how matrices are stored; see ``layout`` for the exceptions.
        name: the model's, for those who look at the file.
        generation_config: content of generation_config.json, which may name more tokens that end an answer.

    Raises:
        InputError: llama.cpp does not compute such a model or reads its text otherwise, or tensors, config
            and tokenizer do not belong together.
        YanmoError: the disk is full or the place cannot be written.
    """
    if dtype not in _KINDS:
        raise InputError(f"unknown type {shorten(dtype)}", remedy=f"one of {', '.join(DTYPES)}")
    architecture = architecture_of_config(config)
    sizes, heads, extra = _translate(config, architecture)
    vocabulary = write_tokenizer(
        tokenizer_json,
        tokenizer_config,
        chat_template,
        config=config,
        generation_config=generation_config or {},
    )
    entries = _general(_safe_name(name, vocabulary), dtype) | sizes | vocabulary
    shapes, read, release = _open(tensors)
    outputs = plan(shapes, config, architecture, heads, _KINDS[dtype][0])
    outputs += [
        Output(name=key, shape=tuple(tensor.shape), kind=Kind.F32, parts=[key])
        for key, tensor in extra.items()
    ]
    with new_file(Path(path)) as temporary:
        _write_header(temporary, architecture.name, entries, outputs)
        with temporary.open("ab") as file:
            _pad(file)
            for output in outputs:
                for chunk in _chunks(output, extra.__getitem__ if output.name in extra else read, heads):
                    file.write(chunk.data)
                _pad(file)
                release()
        _require_readable(temporary)


def _general(name: str, dtype: str) -> dict[str, Value]:
    """What a file says of itself."""
    kind, file_type = _KINDS[dtype]
    entries: dict[str, Value] = {
        "general.type": "model",
        "general.name": name,
        "general.file_type": int(file_type),
    }
    if kind in (Kind.Q8_0, Kind.Q4_0):
        entries["general.quantization_version"] = _QUANTISATION_VERSION
    return entries


def _safe_name(name: str, vocabulary: Mapping[str, Value]) -> str:
    """The model's name, but for one that sends llama.cpp after tokens that the vocabulary lacks."""
    tokens = vocabulary["tokenizer.ggml.tokens"]
    known = set(tokens) if isinstance(tokens, list) else set()
    is_phi = any(part in name.lower() for part in _PHI_NAMES)
    return "model" if is_phi and _PHI_TOKENS - known else name


def _require_readable(path: Path) -> None:
    """Sizes that do not belong together are found by reading what was written."""
    try:
        GgufFile(path)
    except InputError as error:
        what = f"config and tensors do not belong together: {error.what}"
        raise InputError(what, where="config.json") from None


def _translate(
    config: Mapping[str, Any], architecture: Architecture
) -> tuple[dict[str, Value], Heads, dict[str, Tensor]]:
    """The metadata of a config, and the tensors that llama.cpp keeps a part of it in."""
    try:
        entries, heads, head_dim = write_config(config, architecture)
        if architecture is GPT2:
            return entries, heads, {}
        rope, extra = write_rope(config, head_dim)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        what = f"a setting is missing or impossible: {type(error).__name__}: {error}"
        raise InputError(what, where="config.json") from None
    return entries | rope, heads, extra


def _open(
    tensors: Mapping[str, Tensor] | WeightSource,
) -> tuple[dict[str, tuple[int, ...]], Callable[[str], Tensor], Callable[[], None]]:
    """Shapes, how to read one tensor, and how to give back what was read."""
    if isinstance(tensors, Mapping):
        return {k: tuple(v.shape) for k, v in tensors.items()}, tensors.__getitem__, lambda: None
    return {k: info.shape for k, info in tensors.tensors.items()}, tensors.read, tensors.release


def _write_header(
    path: Path, architecture: str, entries: Mapping[str, Value], outputs: Sequence[Output]
) -> None:
    """Everything before the data but the padding."""
    writer = GGUFWriter(path, architecture)
    for key, value in entries.items():
        _add(writer, architecture + key if key.startswith(".") else key, value)
    for output in outputs:
        any_dtype = np.dtype(np.float32)  # not looked at where the kind is given
        writer.add_tensor_info(output.name, output.shape, any_dtype, output.num_bytes, raw_dtype=output.kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()


def _add(writer: GGUFWriter, key: str, value: Value) -> None:
    # A truth value is a number to Python: it comes first.
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % DEFAULT_ALIGNMENT))


def _chunks(output: Output, read: Callable[[str], Tensor], heads: Heads) -> Iterator[NDArray[Any]]:
    """The bytes of a tensor, some rows at a time."""
    for part in output.parts:
        tensor = read(part).detach()
        if output.rule is not None:
            tensor = output.rule.to_gguf(tensor, heads)
        rows = tensor.reshape(-1, tensor.shape[-1])
        step = max(1, _CHUNK // tensor.shape[-1])
        for first in range(0, len(rows), step):
            yield _encode(rows[first : first + step], output)


def _encode(rows: Tensor, output: Output) -> NDArray[Any]:
    if not bool(rows.isfinite().all()):
        raise InputError(f"the tensor {output.parts[0]} holds numbers that are not finite")
    if output.kind is Kind.BF16:
        return rows.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
    if output.kind is Kind.F16:
        halves = rows.half()
        if not bool(halves.isfinite().all()):
            what = f"the tensor {output.parts[0]} holds numbers too large for float16"
            raise InputError(what, remedy="write the model as bf16")
        return halves.contiguous().numpy()
    return quants.quantize(rows.float().contiguous().numpy(), output.kind)
