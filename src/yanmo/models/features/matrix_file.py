"""A sparse matrix written row by row in bounded memory, in the form of ``scipy.sparse.save_npz``.

A .npz is a zip of .npy files. The three arrays of a matrix in compressed rows grow in files of their own
and are packed when their lengths are known; the same rows give the same bytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from scipy.sparse import csr_matrix

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_BLOCK_BYTES = 1 << 20


class MatrixFile:
    """Rows of a matrix on their way into a .npz; use as a context."""

    def __init__(self, path: Path, num_columns: int) -> None:
        """Nothing is written yet.

        Args:
            path: of the .npz.
            num_columns: columns of every row.
        """
        self._path, self._num_columns = path, num_columns
        self._num_rows = self._num_values = 0

    def __enter__(self) -> MatrixFile:
        """Open the files of the arrays."""
        self._data, self._indices, self._ends = (
            self._path.with_name(f".{self._path.name}.{name}").open("w+b")
            for name in ("data", "indices", "ends")
        )
        return self

    def append(self, rows: csr_matrix) -> None:
        """Add rows; values are kept as float32."""
        self._data.write(rows.data.astype("<f4").tobytes())
        self._indices.write(rows.indices.astype("<i4").tobytes())
        self._ends.write((rows.indptr[1:].astype("<i8") + self._num_values).tobytes())
        self._num_rows += rows.shape[0]
        self._num_values += rows.nnz

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Pack the arrays, unless something failed, and remove their files."""
        try:
            if error is None:
                self._pack()
        finally:
            for file in (self._data, self._indices, self._ends):
                file.close()
                Path(file.name).unlink()

    def _pack(self) -> None:
        shape = np.array([self._num_rows, self._num_columns], "<i8")
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            self._add(archive, "indices", "<i4", self._num_values, _blocks(self._indices))
            self._add(archive, "indptr", self._place_type, self._num_rows + 1, self._places())
            self._add(archive, "data", "<f4", self._num_values, _blocks(self._data))
            for name, array in (("format", np.array(b"csr")), ("shape", shape)):
                made = io.BytesIO()
                npy.write_array(made, array, allow_pickle=False)
                archive.writestr(_entry(name), made.getvalue())

    @property
    def _place_type(self) -> str:
        """As wide as scipy wants it: the type of the column numbers where that is enough."""
        return "<i4" if self._num_values < 2**31 else "<i8"

    def _places(self) -> Iterator[bytes]:
        yield np.zeros(1, self._place_type).tobytes()
        self._ends.seek(0)
        while block := self._ends.read(_BLOCK_BYTES):
            yield np.frombuffer(block, "<i8").astype(self._place_type).tobytes()

    @staticmethod
    def _add(archive: zipfile.ZipFile, name: str, kind: str, length: int, blocks: Iterator[bytes]) -> None:
        with archive.open(_entry(name), "w", force_zip64=True) as file:
            header = {"descr": kind, "fortran_order": False, "shape": (length,)}
            npy.write_array_header_1_0(file, header)
            for block in blocks:
                file.write(block)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(_BLOCK_BYTES):
        yield block


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{name}.npy", date_time=_EARLIEST)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
