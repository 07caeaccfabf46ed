"""pytorch_model.bin: tensors and nothing else."""

from __future__ import annotations

import collections
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from yanmo import machine
from yanmo.errors import InputError
from yanmo.models.files.pickled import PickledWeights, has_pickled_weights
from yanmo.models.files.safetensors_files import SafetensorsFiles, write_safetensors


def some_weights() -> dict[str, torch.Tensor]:
    weights = {"a": torch.randn(100, 50), "b": torch.arange(5), "c": torch.randn(4, 6).bfloat16().t()}
    return weights | {"tied": weights["a"], "rows": weights["a"][10:20]}


class RunsCode:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_weights_are_read_and_stay_right_after_release(tmp_path: Path, zipped: bool) -> None:
    weights = some_weights()
    torch.save(
        collections.OrderedDict(weights),
        tmp_path / "pytorch_model.bin",
        _use_new_zipfile_serialization=zipped,
    )
    assert has_pickled_weights(tmp_path)
    source = PickledWeights(tmp_path)
    assert source.tensors.keys() == weights.keys()
    for _ in range(2):
        for name, weight in weights.items():
            assert torch.equal(source.read(name), weight), name
            info = source.tensors[name]
            assert (info.shape, info.dtype) == (tuple(weight.shape), weight.dtype)
            assert info.num_bytes == weight.nbytes
        source.release()


def test_release_gives_the_pages_back(tmp_path: Path) -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("the memory of a process is read from /proc")
    torch.save({"w": torch.ones(10_000_000)}, tmp_path / "pytorch_model.bin")
    source = PickledWeights(tmp_path)
    before = resident_bytes()
    assert source.read("w").sum() == 10_000_000
    touched = resident_bytes()
    source.release()
    assert touched - before > 35e6
    assert resident_bytes() - before < 5e6


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_shards(tmp_path: Path) -> None:
    weights = some_weights()
    names = {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin", "c": "pytorch_model-2.bin"}
    for file in sorted(set(names.values())):
        torch.save({name: weights[name] for name in names if names[name] == file}, tmp_path / file)
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}))
    source = PickledWeights(tmp_path)
    assert {name: source.read(name).shape for name in source.tensors} == {
        name: weights[name].shape for name in names
    }
    index.write_text(json.dumps({"weight_map": names | {"ghost": "pytorch_model-1.bin"}}))
    with pytest.raises(InputError, match="'ghost' of"):
        PickledWeights(tmp_path)
    index.write_text(json.dumps({"weight_map": names | {"a": "../pytorch_model.bin"}}))
    with pytest.raises(InputError, match="outside its folder"):
        PickledWeights(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_not_run(tmp_path: Path, zipped: bool) -> None:
    marker = tmp_path / "ran"
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": RunsCode(marker)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match="can run code and is not read") as refused:
        PickledWeights(tmp_path)
    assert not marker.exists()
    assert "\n" not in str(refused.value)
    # The specimen would have run it.
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_a_bare_pickle_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(RunsCode(marker)))
    with pytest.raises(InputError):
        PickledWeights(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"a": 3}, "'a' is no plain tensor"),
        ({"a": {"b": torch.ones(1)}}, "'a' is no plain tensor"),
        ({3: torch.ones(1)}, "3 is no plain tensor"),
        ([torch.ones(1)], "holds no table of tensors"),
        ({"a": torch.ones(3, 3).to_sparse()}, "'a' is no plain tensor"),
        ({"a": torch.empty(2**40, device="meta")}, "'a' is no plain tensor"),
    ],
)
def test_only_plain_tensors(tmp_path: Path, content: object, what: str) -> None:
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=what):
        PickledWeights(tmp_path)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save(some_weights(), path)
    whole = path.read_bytes()
    for damaged in (b"", b"abc", whole[: len(whole) // 2], b"PK\3\4" + whole[200:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError) as refused:
            PickledWeights(tmp_path)
        assert "\n" not in str(refused.value)
    path.unlink()
    with pytest.raises(InputError, match=r"has no pytorch_model\.bin"):
        PickledWeights(tmp_path)


def test_an_old_file_that_does_not_fit_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(some_weights(), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 1000)
    with pytest.raises(InputError, match="1000 B is available"):
        PickledWeights(tmp_path)


def test_conversion_to_safetensors(tmp_path: Path) -> None:
    weights = some_weights()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    source = PickledWeights(tmp_path)
    write_safetensors(tmp_path, {name: source.read(name) for name in source.tensors if name != "rows"})
    written = SafetensorsFiles(tmp_path)
    assert set(written.tensors) == {"a", "b", "c"}
    for name in written.tensors:
        assert torch.equal(written.read(name), weights[name]), name
