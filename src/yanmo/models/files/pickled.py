"""PyTorch's own weight files (pytorch_model.bin), read only where the user asks for a conversion.

Such a file is a pickle: a program that makes objects. torch's restricted reader (weights_only) runs only
the few steps that make tensors; a file that asks for more is not read.
"""

from __future__ import annotations

import ctypes
import mmap
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED, inside, shorten
from yanmo.models.files.safetensors_files import read_index
from yanmo.models.files.weights import TensorInfo, require_memory

WEIGHTS_FILE = "pytorch_model.bin"
INDEX_FILE = "pytorch_model.bin.index.json"


def has_pickled_weights(folder: Path) -> bool:
    """Whether a folder has weights that only a conversion reads."""
    return (folder / WEIGHTS_FILE).exists() or (folder / INDEX_FILE).exists()


class PickledWeights:
    """The weights of pytorch_model.bin, or of an index and its shards; a ``WeightSource``."""

    def __init__(self, folder: Path | str) -> None:
        """Map every file; files from before torch 1.6 cannot be mapped and are read whole.

        Args:
            folder: a model folder.

        Raises:
            InputError: there are no such files, one is damaged, or one could run code.
        """
        self.path = Path(folder)
        file_of = self._index()
        self._tensors: dict[str, Tensor] = {}
        self._mapped: list[Tensor] = []
        for file in sorted(set(file_of.values())) or [inside(self.path, WEIGHTS_FILE, where=self.path)]:
            is_mapped = zipfile.is_zipfile(file)
            found = _load(file, is_mapped=is_mapped)
            named = {name: tensor for name, tensor in found.items() if file_of.get(name, file) == file}
            self._tensors |= named
            self._mapped += named.values() if is_mapped else ()
        for name in file_of.keys() - self._tensors.keys():
            what = f"the weight {shorten(name)} of {INDEX_FILE} is missing"
            raise InputError(what, where=file_of[name], remedy="copy the whole folder again")
        self.tensors: Mapping[str, TensorInfo] = {
            name: TensorInfo(tuple(tensor.shape), tensor.dtype, tensor.nbytes)
            for name, tensor in self._tensors.items()
        }

    def _index(self) -> dict[str, Path]:
        """The file of every tensor as the index names it; empty where there is one file."""
        if not has_pickled_weights(self.path):
            raise InputError(f"has no {WEIGHTS_FILE}", where=self.path, remedy="give the folder of a model")
        return {} if (self.path / WEIGHTS_FILE).exists() else read_index(self.path, INDEX_FILE)

    def read(self, name: str) -> Tensor:
        """One tensor; not to be written to. Tied weights are the same memory, as they were saved.

        Raises:
            KeyError: there is no such tensor.
        """
        return self._tensors[name]

    def release(self) -> None:
        """Give back the pages of the mapped files; tensors stay right, their pages are read again."""
        for tensor in self._mapped:
            _drop_pages(tensor)


def _load(path: Path, *, is_mapped: bool) -> dict[str, Tensor]:
    if not is_mapped:
        require_memory(path.stat().st_size, what="this file of an old format", where=path)
    try:
        with warnings.catch_warnings():
            # Of the age of the format, which its reader cannot change.
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except Exception as error:  # a foreign pickle can make torch's reader fail in any way
        refused = "weights_only" in str(error).lower() or "Weights only load failed" in str(error)
        if refused:
            raise InputError(
                "holds more than tensors; such a file can run code and is not read",
                where=path,
                remedy="get this model as safetensors",
            ) from None
        reason = shorten(str(error).splitlines()[0] if str(error) else type(error).__name__, 120)
        raise InputError(f"not a file of weights: {reason}", where=path, remedy=DAMAGED) from None
    if not isinstance(loaded, dict):
        raise InputError("holds no table of tensors", where=path, remedy="get this model as safetensors")
    weights: dict[str, Tensor] = {}
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or not _is_plain(value):
            what = f"{shorten(name)} is no plain tensor"
            raise InputError(what, where=path, remedy="get this model as safetensors")
        weights[name] = value.detach()
    return weights


def _is_plain(tensor: Tensor) -> bool:
    """Dense, in memory, and within what the file holds for it."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return False
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    end = (tensor.storage_offset() + last + 1) * tensor.element_size()
    return tensor.numel() == 0 or end <= tensor.untyped_storage().nbytes()


def _drop_pages(tensor: Tensor) -> None:
    """The whole pages that a tensor of a private mapping covers; nobody has written to them."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return
    storage = tensor.untyped_storage()
    first = -(-storage.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    last = (storage.data_ptr() + storage.nbytes()) // mmap.PAGESIZE * mmap.PAGESIZE
    if last > first:
        size = ctypes.c_size_t(last - first)
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), size, ctypes.c_int(mmap.MADV_DONTNEED))
