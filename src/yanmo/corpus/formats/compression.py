"""Streams of compressed bytes: gzip, bzip2, xz and Zstandard."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, cast

import zstandard

from yanmo.corpus.files import BLOCK_BYTES

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class _ZstdReader(io.RawIOBase):
    """Decompressed Zstandard frames; unlike the library's reader it tells when the end is missing."""

    # One compressed block can be 4 bytes for 128 KB: small reads bound what comes out at once.
    _READ_BYTES = 1024

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._ready = stream, memoryview(b"")
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while not self._ready:
            data = self._stream.read(self._READ_BYTES)
            if not data:
                if self._inside:
                    raise EOFError("ends in the middle of a frame")
                return 0
            self._ready = memoryview(self._decompress(data))
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _decompress(self, data: bytes) -> bytes:
        parts = []
        while data:
            self._inside = True
            parts.append(self._frame.decompress(data))
            if not self._frame.eof:
                break
            data = self._frame.unused_data
            self._frame, self._inside = zstandard.ZstdDecompressor().decompressobj(), False
        return b"".join(parts)


def _open_gzip(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=stream, mode="rb"))


def _open_bz2(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, bz2.BZ2File(stream))


def _open_xz(stream: BinaryIO) -> BinaryIO:
    # The older format has no mark by which to know it: zeros would be searched to their end.
    return cast(BinaryIO, lzma.LZMAFile(stream, format=lzma.FORMAT_XZ))


def _open_zstd(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_ZstdReader(stream), BLOCK_BYTES))


DECOMPRESSORS: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": _open_gzip,
    ".bz2": _open_bz2,
    ".xz": _open_xz,
    ".zst": _open_zstd,
}
