"""The header of a GGUF file: metadata and where each tensor lies, read without trusting a byte of it.

The format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3): the magic "GGUF";
the version; the numbers of tensors and of metadata pairs; the pairs; name, dimensions, type and offset of
each tensor; padding; the data. Every count, length, offset and size is compared with what is left of the
file before anything is allocated or looped over.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED, shorten

Value = str | int | float | bool | list[str] | list[int] | list[float] | list[bool]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32

# Far beyond any file in use: the largest vocabularies have some 500,000 tokens and as many merges.
_MAX_ARRAY_ITEMS = 2**24
_MAX_TENSORS = 2**20
_MAX_PAIRS = 2**16
_MAX_KEY_BYTES = 2**16 - 1
_MAX_NAME_BYTES = 64
_MAX_DIMENSIONS = 4
_MAX_ALIGNMENT = 2**20
# Bytes that a pair (length, key, type, value) and a tensor (length, name, count, one size, type, offset)
# take at least: how many of them the file can hold.
_MIN_PAIR_BYTES = 8 + 1 + 4 + 1
_MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8

_NUMBERS = {
    GGUFValueType.UINT8: "<u1",
    GGUFValueType.INT8: "<i1",
    GGUFValueType.UINT16: "<u2",
    GGUFValueType.INT16: "<i2",
    GGUFValueType.UINT32: "<u4",
    GGUFValueType.INT32: "<i4",
    GGUFValueType.UINT64: "<u8",
    GGUFValueType.INT64: "<i8",
    GGUFValueType.FLOAT32: "<f4",
    GGUFValueType.FLOAT64: "<f8",
    GGUFValueType.BOOL: "<u1",
}


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor as the file holds it.

    Attributes:
        name: llama.cpp's name.
        shape: outermost dimension first, as in torch; the file has it the other way round.
        kind: how numbers are stored.
        offset: from the beginning of the file, in bytes.
        num_bytes: size in the file.
    """

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    offset: int
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """All that a file says before its data; ``tensors`` by llama.cpp's names, in the file's order."""

    version: int
    metadata: Mapping[str, Value]
    tensors: Mapping[str, StoredTensor]


def parse_header(data: mmap | bytes, *, where: Path) -> Header:
    """Read and check everything before the data.

    Args:
        data: the whole file.
        where: its path, for messages.

    Raises:
        InputError: it is no GGUF file, one of a kind that is not read, cut short, or damaged.
    """
    cursor = _Cursor(data, where)
    version = _version(cursor)
    num_tensors = cursor.count("tensors", "<Q", _MIN_TENSOR_BYTES, _MAX_TENSORS)
    num_pairs = cursor.count("metadata pairs", "<Q", _MIN_PAIR_BYTES, _MAX_PAIRS)
    metadata: dict[str, Value] = {}
    for _ in range(num_pairs):
        key = cursor.name("a key", _MAX_KEY_BYTES)
        if key in metadata:
            raise cursor.damaged(f"the key {shorten(key)} is there twice")
        metadata[key] = cursor.value(key)
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(alignment) is not int or not 8 <= alignment <= _MAX_ALIGNMENT or alignment % 8:
        raise cursor.damaged(f"the alignment {shorten(alignment)} is no multiple of 8")
    tensors = _tensors(cursor, num_tensors, alignment)
    return Header(version=version, metadata=metadata, tensors=tensors)


def _version(cursor: _Cursor) -> int:
    if cursor.take(4) != MAGIC:
        raise InputError("not a GGUF file", where=cursor.where, remedy="a GGUF file begins with GGUF")
    (version,) = cursor.unpack("<I")
    if version & 0xFFFF == 0:
        raise InputError(
            "a GGUF file of a big-endian machine is not read",
            where=cursor.where,
            remedy="convert it with gguf-convert-endian, of the gguf package",
        )
    if version not in VERSIONS:
        raise InputError(
            f"GGUF version {version} is not read",
            where=cursor.where,
            remedy="versions 2 and 3 are; convert the model again",
        )
    return int(version)


def _tensors(cursor: _Cursor, num_tensors: int, alignment: int) -> dict[str, StoredTensor]:
    """The table of tensors, with offsets from the beginning of the file."""
    entries: dict[str, tuple[tuple[int, ...], GGMLQuantizationType, int, int]] = {}
    for _ in range(num_tensors):
        name = cursor.name("the name of a tensor", _MAX_NAME_BYTES)
        if name in entries:
            raise cursor.damaged(f"the tensor {shorten(name)} is there twice")
        entries[name] = _entry(cursor, name, alignment)
    begin = -(-cursor.at // alignment) * alignment
    tensors = {
        name: StoredTensor(name=name, shape=shape, kind=kind, offset=begin + offset, num_bytes=num_bytes)
        for name, (shape, kind, offset, num_bytes) in entries.items()
    }
    end = begin
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.offset):
        if tensor.offset < end:
            raise cursor.damaged(f"the tensor {shorten(tensor.name)} overlaps another")
        end = tensor.offset + tensor.num_bytes
        if end > cursor.size:
            missing = f"{end - cursor.size} bytes are missing at the end of the file"
            raise cursor.damaged(f"the tensor {shorten(tensor.name)} is cut short: {missing}")
    return tensors


def _entry(
    cursor: _Cursor, name: str, alignment: int
) -> tuple[tuple[int, ...], GGMLQuantizationType, int, int]:
    """Shape, kind, offset from the beginning of the data, and size in bytes."""
    shown = shorten(name)
    (num_dimensions,) = cursor.unpack("<I")
    if not 1 <= num_dimensions <= _MAX_DIMENSIONS:
        raise cursor.damaged(f"the tensor {shown} has {num_dimensions} dimensions")
    dimensions = cursor.unpack(f"<{num_dimensions}Q")
    number, offset = cursor.unpack("<IQ")
    try:
        kind = GGMLQuantizationType(number)
    except ValueError:
        raise cursor.damaged(f"the tensor {shown} is of the unknown type {number}") from None
    block_size, block_bytes = GGML_QUANT_SIZES[kind]
    if min(dimensions) < 1 or dimensions[0] % block_size:
        raise cursor.damaged(f"the tensor {shown} has the impossible shape {shorten(dimensions)}")
    num_bytes = math.prod(dimensions) // block_size * block_bytes
    if offset % alignment or num_bytes > cursor.size or offset > cursor.size - num_bytes:
        raise cursor.damaged(f"the tensor {shown} ({num_bytes} bytes) does not fit into the file")
    return tuple(reversed(dimensions)), kind, offset, num_bytes


class _Cursor:
    """A place in the file that only moves forward and never past the end."""

    def __init__(self, data: mmap | bytes, where: Path) -> None:
        self.where = where
        self.size = len(data)
        self.at = 0
        self._data = data
        self._readers: Mapping[GGUFValueType, Callable[[str], Value]] = {
            GGUFValueType.STRING: lambda key: self._text(),
            GGUFValueType.ARRAY: self._array,
        }

    def damaged(self, what: str) -> InputError:
        """The error for something that cannot be."""
        return InputError(what, where=self.where, remedy=DAMAGED)

    def take(self, num_bytes: int) -> bytes:
        """The next bytes."""
        if num_bytes > self.size - self.at:
            raise self.damaged(f"the header is cut short at byte {self.at}")
        self.at += num_bytes
        return self._data[self.at - num_bytes : self.at]

    def unpack(self, layout: str) -> tuple[int, ...]:
        """The next numbers."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def count(self, what: str, layout: str, min_item_bytes: int, limit: int) -> int:
        """A number of things, each of which takes some bytes of what is left."""
        (number,) = self.unpack(layout)
        if number > limit or number > (self.size - self.at) // min_item_bytes:
            raise self.damaged(f"the header promises {number} {what}, which the file cannot hold")
        return number

    def name(self, what: str, max_bytes: int) -> str:
        """A name: UTF-8, printable, not empty."""
        raw = self._raw_text(max_bytes)
        text = raw.decode("utf-8", "replace")
        if not text.isprintable() or not text or "�" in text:
            raise self.damaged(f"{what} is no sound name: {shorten(text)}")
        return text

    def value(self, key: str) -> Value:
        """The value of a metadata pair: a type, then what it says."""
        kind = self._kind(key)
        if kind in self._readers:
            return self._readers[kind](key)
        return self._numbers(key, kind, 1)[0]

    def _kind(self, key: str) -> GGUFValueType:
        (number,) = self.unpack("<I")
        try:
            return GGUFValueType(number)
        except ValueError:
            raise self.damaged(f"the value of {shorten(key)} is of the unknown type {number}") from None

    def _array(self, key: str) -> Value:
        kind = self._kind(key)
        if kind is GGUFValueType.ARRAY:
            raise self.damaged(f"the value of {shorten(key)} is an array of arrays")
        if kind is GGUFValueType.STRING:
            length = self.count(f"strings in {shorten(key)}", "<Q", 8, _MAX_ARRAY_ITEMS)
            return [self._text() for _ in range(length)]
        item_bytes = np.dtype(_NUMBERS[kind]).itemsize
        length = self.count(f"numbers in {shorten(key)}", "<Q", item_bytes, _MAX_ARRAY_ITEMS)
        return self._numbers(key, kind, length)

    def _numbers(self, key: str, kind: GGUFValueType, length: int) -> list[int] | list[float] | list[bool]:
        numbers = np.frombuffer(self.take(length * np.dtype(_NUMBERS[kind]).itemsize), dtype=_NUMBERS[kind])
        if kind is GGUFValueType.BOOL:
            if length and numbers.max() > 1:
                raise self.damaged(f"the value of {shorten(key)} is neither true nor false")
            numbers = numbers.astype(bool)
        values: list[int] | list[float] | list[bool] = numbers.tolist()
        return values

    def _raw_text(self, max_bytes: int) -> bytes:
        (length,) = struct.unpack("<Q", self.take(8))
        if length > max_bytes:
            raise self.damaged(f"a string of {length} bytes at byte {self.at}")
        return self.take(length)

    def _text(self) -> str:
        # What others wrote about a model may be in any encoding; it must not keep the model from loading.
        return self._raw_text(self.size).decode("utf-8", "replace")
