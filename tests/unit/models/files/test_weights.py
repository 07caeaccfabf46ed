"""Filling a model from a source, and the memory that it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from yanmo import machine
from yanmo.errors import InputError
from yanmo.models.files.safetensors_files import SafetensorsFiles, write_safetensors
from yanmo.models.files.weights import fill, require_memory

# A file of 300 MB, a third of it one tensor, loaded into memory of its own size.
LOAD = """
import pathlib, re, sys
import torch
from yanmo.models.files.safetensors_files import SafetensorsFiles
from yanmo.models.files.weights import fill

def peak_bytes():
    # Not getrusage: that begins with the peak of the process which started this one.
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", status)[1])

torch.set_num_threads(1)
source = SafetensorsFiles(sys.argv[1])
torch.empty(4, dtype=torch.bfloat16).copy_(torch.ones(4, dtype=torch.bfloat16))
before_bytes = peak_bytes()
targets = {name: torch.empty(info.shape, dtype=info.dtype) for name, info in source.tensors.items()}
for name, target in targets.items():
    if sys.argv[2] == "fill":
        fill(target, source.read(name), source)
    else:
        target.copy_(source.read(name))
        if sys.argv[2] == "release":
            source.release()
grown_bytes = peak_bytes() - before_bytes
sums = [int(target.view(torch.int16).sum(dtype=torch.int64)) for target in targets.values()]
print(grown_bytes, sum(sums))
"""


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, int]:
    """A file, the bytes of its tensors, and the sum of their halves."""
    folder = tmp_path_factory.mktemp("weights")
    generator = torch.Generator().manual_seed(1)
    sizes = [50 * 2**20] + [10 * 2**20] * 10
    tensors = {
        f"w{i}": torch.randint(-30000, 30000, (size // 1024, 1024), dtype=torch.int16, generator=generator)
        for i, size in enumerate(sizes)
    }
    total = sum(int(tensor.sum(dtype=torch.int64)) for tensor in tensors.values())
    write_safetensors(folder, {name: tensor.view(torch.bfloat16) for name, tensor in tensors.items()})
    return folder, 2 * sum(sizes), total


def load_in_a_process(big_file: tuple[Path, int, int], how: str) -> float:
    """Peak memory of loading over the size of the weights."""
    folder, num_bytes, total = big_file
    command = [sys.executable, "-c", LOAD, str(folder), how]
    peak, found = map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert found == total
    return peak / num_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="pages are given back on Linux only")
def test_loading_takes_little_more_than_the_weights(big_file: tuple[Path, int, int]) -> None:
    share = load_in_a_process(big_file, "fill")
    assert 0.95 < share < 1.15


@pytest.mark.skipif(sys.platform != "linux", reason="pages are given back on Linux only")
def test_release_keeps_the_file_and_the_model_from_adding_up(big_file: tuple[Path, int, int]) -> None:
    # Without it, file and model stand in memory together; with it, only the largest tensor does (a third).
    assert load_in_a_process(big_file, "nothing") > 1.8
    assert load_in_a_process(big_file, "release") < 1.45


@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (5, 3), (2, 3, 4)])
def test_fill_copies_in_pieces_and_converts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr("yanmo.models.files.weights._PIECE_BYTES", 20)
    weight = torch.randn(shape).bfloat16()
    write_safetensors(tmp_path, {"w": weight})
    source = SafetensorsFiles(tmp_path)
    target = torch.nn.Parameter(torch.full(shape, torch.nan))
    fill(target, source.read("w"), source)
    assert torch.equal(target, weight.float())
    assert target.grad_fn is None


def test_require_memory_gives_both_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 3 * 2**30)
    require_memory(3 * 2**30, what="the model in float32", where="models/big")
    with pytest.raises(InputError) as refused:
        require_memory(5 * 2**30, what="the model in float32", where="models/big")
    message = str(refused.value)
    assert "models/big" in message
    assert "5.0 GB" in message
    assert "3.0 GB" in message
    assert "bfloat16" in message
