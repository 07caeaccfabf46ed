"""Quantised folders: matrices as codes with their scales beside them, read as if they were float matrices.

A matrix NAME is stored as codes under its own name (int8, or two of 4 bits in a uint8), and under NAME.scale
what goes with them: float16 scales, of 4 bits with least numbers behind them (``nn/quantization.py``).
config.json says so under ``quantization_config``. All else is as in any folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED
from yanmo.models.files.weights import TensorInfo, WeightSource
from yanmo.nn.quantization import GROUP_SIZE, QuantizedMatrix, num_scales

METHOD = "yanmo"
SCALE = ".scale"
_COLUMNS_A_CODE = {torch.int8: 1, torch.uint8: 2}


def quantization_config(bits: int) -> dict[str, Any]:
    """What config.json says of a quantised folder."""
    return {"quant_method": METHOD, "bits": bits, "group_size": GROUP_SIZE}


def is_quantized(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a quantised folder of ours."""
    said = config.get("quantization_config")
    return isinstance(said, Mapping) and said.get("quant_method") == METHOD


class QuantizedWeights:
    """The weights of a quantised folder, as float32; a ``WeightSource``."""

    def __init__(self, stored: WeightSource) -> None:
        """Nothing is read yet.

        Args:
            stored: what lies in the files.

        Raises:
            InputError: scales do not fit their codes.
        """
        self._stored = stored
        self._coded = {name.removesuffix(SCALE) for name in stored.tensors if name.endswith(SCALE)}
        for name in self._coded:
            self._check(name)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._stored.path

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        """All tensors, matrices in the shape that they have as numbers."""
        infos = {}
        for name, info in self._stored.tensors.items():
            if name in self._coded:
                rows, columns = info.shape[0], info.shape[1] * _COLUMNS_A_CODE[info.dtype]
                infos[name] = TensorInfo((rows, columns), torch.float32, 4 * rows * columns)
            elif not name.endswith(SCALE):
                infos[name] = info
        return infos

    def read(self, name: str) -> Tensor:
        """One tensor."""
        matrix = self.matrix(name)
        return self._stored.read(name) if matrix is None else matrix.dequantized()

    def matrix(self, name: str) -> QuantizedMatrix | None:
        """A matrix as codes; None for what is stored as floats."""
        if name not in self._coded:
            return None
        return QuantizedMatrix(codes=self._stored.read(name), scales_RS=self._stored.read(name + SCALE))

    def bits(self, name: str) -> int | None:
        """Of the codes of a matrix: 8 or 4; None for what is stored as floats."""
        if name not in self._coded:
            return None
        return 8 // _COLUMNS_A_CODE[self._stored.tensors[name].dtype]

    def stored_bytes(self, name: str) -> int:
        """What a tensor takes in the file, its scales with it."""
        names = (name, name + SCALE) if name in self._coded else (name,)
        return sum(self._stored.tensors[one].num_bytes for one in names)

    def release(self) -> None:
        """Give back the memory of what was read."""
        self._stored.release()

    def _check(self, name: str) -> None:
        codes, scales = self._stored.tensors.get(name), self._stored.tensors[name + SCALE]
        if codes is not None and len(codes.shape) == 2 and codes.dtype in _COLUMNS_A_CODE:
            columns = codes.shape[1] * _COLUMNS_A_CODE[codes.dtype]
            wanted = (codes.shape[0], num_scales(columns, 8 // _COLUMNS_A_CODE[codes.dtype]))
            if columns % GROUP_SIZE == 0 and scales.shape == wanted and scales.dtype == torch.float16:
                return
        raise InputError(f"weight {name} does not fit its scales", where=self.path, remedy=DAMAGED)
