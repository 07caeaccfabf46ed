"""Safetensors files: every number in the header is checked before a byte is allocated; tensors are views.

The format (https://github.com/huggingface/safetensors#format): 8 bytes with the length N of the header,
little-endian; N bytes of JSON, name to dtype, shape and two offsets; the data. Large models are split
into shards beside ``model.safetensors.index.json``, which names the shard of every tensor.

The header is read here and not by the library because views of a private mapping, whose pages can be
given back while loading, are what keeps memory at the size of the model. Writing is the library's.
"""

from __future__ import annotations

import math
import mmap
import os
import re
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from yanmo.artifact import disk_error, write_json
from yanmo.config import format_size
from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED, inside, parse_json, read_json, shorten
from yanmo.models.files.weights import TensorInfo

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
MAX_SHARD_BYTES = 5 * 2**30

_MAX_HEADER_BYTES = 100 * 10**6
# An index holds a line a tensor: real ones have some 10 MB at most.
_MAX_INDEX_BYTES = 100 * 10**6
_MAX_NAME_CHARS = 512
_MAX_DIMENSIONS = 16
_MAX_BYTES = 2**62
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class SafetensorsFiles:
    """The weights of one file, or of an index and its shards; a ``WeightSource``.

    ``read`` gives views of the mapped file. They stay right after ``release``: their pages are then read
    from the file again.
    """

    def __init__(self, folder_or_file: Path | str) -> None:
        """Read and check the headers; no data is read.

        Args:
            folder_or_file: a model folder, or one .safetensors file.

        Raises:
            InputError: there are no such files, or one of them is damaged.
        """
        self.path = Path(folder_or_file)
        self._places = _places(self.path)
        self.tensors: Mapping[str, TensorInfo] = {name: place.info for name, place in self._places.items()}
        self._maps: dict[Path, mmap.mmap] = {}

    def read(self, name: str) -> Tensor:
        """One tensor: a view of the file, or a copy where the file did not align it; not to be written to.

        Raises:
            KeyError: there is no such tensor.
            InputError: the file has become shorter since, or there is no room to map it.
        """
        place = self._places[name]
        info = place.info
        if info.num_bytes == 0:
            return torch.empty(info.shape, dtype=info.dtype)
        bytes_1 = torch.frombuffer(
            self._map(place), dtype=torch.uint8, count=info.num_bytes, offset=place.offset
        )
        if info.dtype is torch.bool:
            # Any other byte than 0 and 1 would be a truth value that torch does not know.
            return bytes_1.ne(0).view(info.shape)
        if place.offset % info.dtype.itemsize:
            bytes_1 = bytes_1.clone()
        return bytes_1.view(info.dtype).view(info.shape)

    def release(self) -> None:
        """Give back the memory of all pages touched so far."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped in self._maps.values():
                mapped.madvise(mmap.MADV_DONTNEED)

    def _map(self, place: _Place) -> mmap.mmap:
        mapped = self._maps.get(place.path)
        if mapped is None:
            try:
                with place.path.open("rb") as file:
                    # Private to this process and writable: torch warns of buffers that are not.
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            except (OSError, ValueError) as error:
                raise InputError(f"cannot be mapped: {error}", where=place.path) from None
            if len(mapped) < place.offset + place.info.num_bytes:
                raise InputError("has become shorter", where=place.path, remedy=DAMAGED)
            self._maps[place.path] = mapped
        return mapped


def write_safetensors(
    folder: Path,
    tensors: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]],
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write ``model.safetensors``, or shards and their index where that would be too large.

    Args:
        folder: where to; it exists.
        tensors: names and tensors. An iterable is read one shard at a time, so that what it makes is
            never all in memory. Of tensors that are the same memory (tied weights) the first is written.
        max_shard_bytes: most data in one file; one larger tensor has a file of its own.
        metadata: kept in the header of each file.

    Raises:
        YanmoError: the disk is full or the folder cannot be written.
    """
    metadata = {"format": "pt"} if metadata is None else dict(metadata)
    pairs = tensors.items() if isinstance(tensors, Mapping) else tensors
    shards: list[list[str]] = []
    total_bytes = 0
    for shard in _shards(pairs, max_shard_bytes):
        save_tensors(shard, folder / _part_name(len(shards)), metadata)
        shards.append(list(shard))
        total_bytes += sum(tensor.nbytes for tensor in shard.values())
    if len(shards) == 1:
        (folder / _part_name(0)).replace(folder / WEIGHTS_FILE)
        return
    weight_map: dict[str, str] = {}
    for index, names in enumerate(shards):
        final_name = f"model-{index + 1:05d}-of-{len(shards):05d}.safetensors"
        (folder / _part_name(index)).replace(folder / final_name)
        weight_map |= dict.fromkeys(names, final_name)
    write_json(folder / INDEX_FILE, {"metadata": {"total_size": total_bytes}, "weight_map": weight_map})


def read_index(folder: Path, index_file: str) -> dict[str, Path]:
    """The file of every tensor, as an index names them.

    Args:
        folder: the model folder.
        index_file: name of the index inside it.

    Raises:
        InputError: the index is damaged, or names a file that is missing or outside the folder.
    """
    where = folder / index_file
    weight_map = read_json(inside(folder, index_file, where=folder), max_bytes=_MAX_INDEX_BYTES).get(
        "weight_map"
    )
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError("has no weight_map", where=where, remedy=DAMAGED)
    for name, file_name in weight_map.items():
        if not isinstance(file_name, str):
            raise InputError(f"the file of {shorten(name)} is no string", where=where, remedy=DAMAGED)
    paths = {name: inside(folder, name, where=where) for name in sorted(set(weight_map.values()))}
    return {name: paths[file_name] for name, file_name in weight_map.items()}


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where in which file a tensor begins, in bytes."""

    path: Path
    offset: int
    info: TensorInfo


def _places(path: Path) -> dict[str, _Place]:
    if path.is_file():
        return _read_header(path)
    if (path / WEIGHTS_FILE).exists():
        return _read_header(inside(path, WEIGHTS_FILE, where=path))
    if not (path / INDEX_FILE).exists():
        raise InputError(f"has no {WEIGHTS_FILE}", where=path, remedy="give the folder of a model")
    file_of = read_index(path, INDEX_FILE)
    headers = {file: _read_header(file) for file in sorted(set(file_of.values()))}
    for name, file in file_of.items():
        if name not in headers[file]:
            what = f"the weight {shorten(name)} of {INDEX_FILE} is missing"
            raise InputError(what, where=file, remedy="copy the whole folder again")
    return {name: headers[file][name] for name, file in file_of.items()}


def _read_header(path: Path) -> dict[str, _Place]:
    """Every tensor of one file, checked against the format and against the size of the file."""
    try:
        with path.open("rb") as file:
            num_file_bytes = path.stat().st_size
            length = int.from_bytes(file.read(8), "little")
            if num_file_bytes < 8 or length > num_file_bytes - 8:
                what = f"is cut short, or not a safetensors file ({format_size(num_file_bytes)})"
                raise InputError(what, where=path, remedy=DAMAGED)
            if length > _MAX_HEADER_BYTES:
                raise InputError("the header is larger than 100 MB", where=path, remedy=DAMAGED)
            raw = file.read(length)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path) from None
    if not raw.startswith(b"{"):
        raise InputError("not a safetensors file: no header", where=path, remedy=DAMAGED)
    header = parse_json(raw, where=path)
    _check_metadata(header.pop("__metadata__", {}), path)
    begin = 8 + length
    num_data_bytes = num_file_bytes - begin
    places = {}
    spans = []
    for name, entry in header.items():
        info, first, last = _read_entry(name, entry, num_data_bytes, path)
        places[name] = _Place(path=path, offset=begin + first, info=info)
        spans.append((first, last, name))
    _check_cover(sorted(spans), num_data_bytes, path)
    return places


def _check_metadata(metadata: object, path: Path) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise InputError("__metadata__ is no table of strings", where=path, remedy=DAMAGED)


def _read_entry(name: str, entry: Any, num_data_bytes: int, path: Path) -> tuple[TensorInfo, int, int]:
    """What the header says of one tensor, and where its data begin and end."""
    shown = shorten(name)

    def refuse(what: str) -> InputError:
        return InputError(f"the tensor {shown} {what}", where=path, remedy=DAMAGED)

    if not 0 < len(name) <= _MAX_NAME_CHARS or not name.isprintable():
        raise refuse("has no sound name")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise refuse("is not described by dtype, shape and data_offsets")
    dtype = _DTYPES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if dtype is None:
        raise refuse(f"has the unknown dtype {shorten(entry['dtype'])}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _are_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise refuse(f"has the impossible shape {shorten(shape)}")
    if not _are_sizes(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= num_data_bytes:
        raise refuse(f"has data_offsets {shorten(offsets)} outside the file's {num_data_bytes} bytes of data")
    # A 0 among the sizes must not hide others that torch cannot count.
    if math.prod(size or 1 for size in shape) * dtype.itemsize > _MAX_BYTES:
        raise refuse(f"has the impossible shape {shorten(shape)}")
    num_bytes = math.prod(shape) * dtype.itemsize
    if num_bytes != offsets[1] - offsets[0]:
        raise refuse(f"needs {num_bytes} bytes for its shape and has {offsets[1] - offsets[0]}")
    return TensorInfo(tuple(shape), dtype, num_bytes), offsets[0], offsets[1]


def _are_sizes(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_cover(spans: list[tuple[int, int, str]], num_data_bytes: int, path: Path) -> None:
    """The tensors cover the data from end to end, and no byte belongs to two of them."""
    at = 0
    for first, last, name in spans:
        if first != at:
            what = "overlaps another" if first < at else "leaves a hole before it"
            raise InputError(f"the tensor {shorten(name)} {what}", where=path, remedy=DAMAGED)
        at = last
    if at != num_data_bytes:
        what = f"{num_data_bytes - at} bytes at the end belong to no tensor"
        raise InputError(what, where=path, remedy=DAMAGED)


def _shards(pairs: Iterable[tuple[str, Tensor]], max_bytes: int) -> Iterable[dict[str, Tensor]]:
    """Tensors in files of at most ``max_bytes``; at least one file."""
    shard: dict[str, Tensor] = {}
    num_bytes, made = 0, False
    # By place in memory. A tensor that is gone may have left its place to another, so that only one
    # that is still alive counts.
    written: dict[tuple[object, ...], weakref.ref[Tensor]] = {}
    for name, tensor in pairs:
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.nbytes and key in written and written[key]() is not None:
            continue
        written[key] = weakref.ref(tensor)
        if shard and num_bytes + tensor.nbytes > max_bytes:
            yield shard
            shard, num_bytes, made = {}, 0, True
        assert name not in shard, name
        shard[name] = tensor
        num_bytes += tensor.nbytes
    if shard or not made:
        yield shard


def _part_name(index: int) -> str:
    """The name that a shard has until it is known how many there are."""
    return f".model-{index + 1:05d}.safetensors.tmp"


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write one safetensors file.

    Raises:
        YanmoError: the disk is full or the file cannot be written.
    """
    try:
        data = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        save_file(data, path, metadata=dict(metadata))
    except OSError as error:
        raise disk_error(error, path) from error
    except SafetensorError as error:
        # The library wraps the system's errors in its own, with the number in the text.
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        number = int(found[1])
        raise disk_error(OSError(number, os.strerror(number)), path) from error
