"""Safetensors: headers checked before anything is allocated, views, shards, and writing."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from yanmo.errors import InputError, YanmoError
from yanmo.models.files.safetensors_files import SafetensorsFiles, write_safetensors

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
SMALL_FLOATS = [torch.float8_e4m3fn, torch.float8_e5m2]
WHOLE = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8]
UNSIGNED = [torch.uint16, torch.uint32, torch.uint64]


def some_tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        str(dtype).removeprefix("torch."): torch.randn(3, 5, generator=generator).mul(9).to(dtype)
        for dtype in (*FLOATS, *SMALL_FLOATS, *WHOLE)
    }
    tensors |= {str(dtype): torch.arange(6).to(dtype) for dtype in UNSIGNED}
    tensors["flag"] = torch.tensor([True, False, True])
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.empty(4, 0)
    return tensors


def same(one: Tensor, other: Tensor) -> bool:
    raw = [t.contiguous().reshape(-1).view(torch.uint8) for t in (one, other)]
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*raw)


def write_raw(path: Path, header: Any, data: bytes = b"", *, length: int | None = None) -> None:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw + data)


def entry(shape: list[Any], begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_every_dtype_reads_as_the_library_reads_it(tmp_path: Path) -> None:
    tensors = some_tensors()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    source = SafetensorsFiles(tmp_path)
    expected = load_file(tmp_path / "model.safetensors")
    assert source.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read = source.read(name)
        assert same(read, tensor), name
        info = source.tensors[name]
        assert (info.shape, info.dtype, info.num_bytes) == (tuple(read.shape), read.dtype, read.nbytes)
        source.release()
        assert same(read, tensor), f"{name} after release"


def test_views_are_not_copies_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    save_file({"w": torch.ones(1000)}, tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    source = SafetensorsFiles(tmp_path / "model.safetensors")
    view = source.read("w")
    assert view.data_ptr() == source.read("w").data_ptr()
    view.zero_()
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_data_that_the_file_did_not_align(tmp_path: Path) -> None:
    header = {"a": entry([3], 0, 3, "U8"), "b": entry([2], 3, 11)}
    raw = json.dumps(header).encode()
    write_raw(tmp_path / "x.safetensors", raw, b"\1\2\3" + bytes(torch.tensor([1.5, -2.0]).numpy().data))
    source = SafetensorsFiles(tmp_path / "x.safetensors")
    assert source.read("b").tolist() == [1.5, -2.0]
    assert source.read("b").data_ptr() % 4 == 0


def test_a_bool_is_0_or_1_whatever_the_byte(tmp_path: Path) -> None:
    write_raw(tmp_path / "x.safetensors", {"a": entry([3], 0, 3, "BOOL")}, b"\0\1\7")
    assert SafetensorsFiles(tmp_path / "x.safetensors").read("a").view(torch.uint8).tolist() == [0, 1, 1]


BAD: dict[str, tuple[Any, int, str]] = {
    "no tensor, but data": ({}, 4, "4 bytes at the end belong to no tensor"),
    "list": ([1], 0, "no header"),
    "cut JSON": (b'{"a": ', 0, "not JSON"),
    "not UTF-8": (b'{"\xff": 1}', 0, "not UTF-8"),
    "key twice": (b'{"a": {"dtype":"U8","shape":[1],"data_offsets":[0,1]}, "a": 1}', 1, "twice"),
    "metadata": ({"__metadata__": {"a": 1}}, 0, "__metadata__ is no table of strings"),
    "metadata list": ({"__metadata__": []}, 0, "__metadata__ is no table of strings"),
    "entry is no object": ({"a": 3}, 0, "is not described"),
    "entry lacks shape": ({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, 4, "is not described"),
    "entry has more": ({"a": entry([1], 0, 4) | {"code": "x"}}, 4, "is not described"),
    "dtype": ({"a": entry([1], 0, 4, "F33")}, 4, "unknown dtype 'F33'"),
    "dtype is no string": ({"a": entry([1], 0, 4, ["F32"])}, 4, "unknown dtype"),
    "shape is no list": ({"a": entry([1], 0, 4) | {"shape": 1}}, 4, "impossible shape"),
    "negative": ({"a": entry([-1], 0, 4)}, 4, "impossible shape"),
    "minus twice": ({"a": entry([-2, -2], 0, 16)}, 16, "impossible shape"),
    "fraction": ({"a": entry([1.0], 0, 4)}, 4, "impossible shape"),
    "truth value": ({"a": entry([True], 0, 4)}, 4, "impossible shape"),
    "string": ({"a": entry(["1"], 0, 4)}, 4, "impossible shape"),
    "overflow to 0": ({"a": entry([2**32, 2**32], 0, 0)}, 0, "impossible shape"),
    "huge beside 0": ({"a": entry([0, 2**63], 0, 0)}, 0, "impossible shape"),
    "many dimensions": ({"a": entry([1] * 65, 0, 4)}, 4, "impossible shape"),
    "shape and span": ({"a": entry([2], 0, 4)}, 4, "needs 8 bytes for its shape and has 4"),
    "behind the end": ({"a": entry([2], 0, 8)}, 4, "outside the file's 4 bytes"),
    "backwards": ({"a": entry([1], 4, 0)}, 4, "outside the file's 4 bytes"),
    "negative offset": ({"a": entry([1], -4, 0)}, 4, "outside the file's 4 bytes"),
    "three offsets": ({"a": entry([1], 0, 4) | {"data_offsets": [0, 4, 8]}}, 8, "outside"),
    "overlap": ({"a": entry([2], 0, 8), "b": entry([1], 4, 8)}, 8, "'b' overlaps another"),
    "same place": ({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, 4, "'b' overlaps another"),
    "hole": ({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, 12, "'b' leaves a hole"),
    "hole in front": ({"a": entry([1], 4, 8)}, 8, "'a' leaves a hole"),
    "rest": ({"a": entry([1], 0, 4)}, 5, "1 bytes at the end"),
    "empty name": ({"": entry([1], 0, 4)}, 4, "no sound name"),
    "long name": ({"a" * 513: entry([1], 0, 4)}, 4, "no sound name"),
    "name of two lines": ({"a\nb": entry([1], 0, 4)}, 4, "no sound name"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_headers_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    header, num_bytes, what = BAD[case]
    path = tmp_path / "x.safetensors"
    write_raw(path, header, bytes(num_bytes))
    with pytest.raises(InputError) as refused:
        SafetensorsFiles(path)
    message = str(refused.value)
    assert what in message
    assert str(path) in message
    assert "damaged" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "cut short"),
        (b"\2\0\0\0", "cut short"),
        ((3).to_bytes(8, "little") + b"{}", "cut short"),
        ((2**64 - 1).to_bytes(8, "little") + b"{}", "cut short"),
        ((100 * 10**6 + 1).to_bytes(8, "little"), "larger than 100 MB"),
        ((0).to_bytes(8, "little"), "no header"),
        (b"<!DOCTYPE html><html>", "cut short"),
    ],
)
def test_bad_lengths(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    if "100 MB" in what:
        with path.open("r+b") as file:
            file.truncate(2**28)  # sparse: takes no room
    with pytest.raises(InputError, match=what):
        SafetensorsFiles(path)


def test_a_file_that_shrinks_before_it_is_read(tmp_path: Path) -> None:
    save_file({"w": torch.ones(1000)}, tmp_path / "model.safetensors")
    source = SafetensorsFiles(tmp_path)
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(InputError, match="shorter"):
        source.read("w")


def test_no_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        SafetensorsFiles(tmp_path)
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        SafetensorsFiles(tmp_path / "gone")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    write_safetensors(folder, some_tensors(), max_shard_bytes=100)
    return folder


def edit_index(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


def test_shards_and_their_index(sharded: Path) -> None:
    tensors = some_tensors()
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in sharded.glob("*.safetensors"))
    count = len(files)
    assert count > 3
    assert files == [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
    assert index["metadata"] == {"total_size": sum(tensor.nbytes for tensor in tensors.values())}
    assert set(index["weight_map"]) == set(tensors)
    assert not list(sharded.glob(".*"))
    for name in files:
        held = load_file(sharded / name)
        assert {key for key, file in index["weight_map"].items() if file == name} == set(held)
        assert len(held) == 1 or sum(tensor.nbytes for tensor in held.values()) <= 100
    source = SafetensorsFiles(sharded)
    for name, tensor in tensors.items():
        assert same(source.read(name), tensor), name


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda index: index.pop("weight_map"), "has no weight_map"),
        (lambda index: index.update(weight_map=[]), "has no weight_map"),
        (lambda index: index["weight_map"].update(flag=3), "is no string"),
        (lambda index: index["weight_map"].update(flag="../out.safetensors"), "outside its folder"),
        (lambda index: index["weight_map"].update(flag="/etc/passwd"), "outside its folder"),
        (lambda index: index["weight_map"].update(flag="link.safetensors"), "link to a file outside"),
        (lambda index: index["weight_map"].update(flag="gone.safetensors"), "is missing"),
        (lambda index: index["weight_map"].update(flag="config.json"), "cut short"),
        (lambda index: index["weight_map"].update(ghost=index["weight_map"]["flag"]), "'ghost' of"),
    ],
)
def test_bad_indexes(sharded: Path, change: Callable[[dict[str, Any]], None], what: str) -> None:
    save_file({"flag": torch.ones(1)}, sharded.parent / "out.safetensors")
    (sharded / "link.safetensors").symlink_to(sharded.parent / "out.safetensors")
    (sharded / "config.json").write_text("{}")
    edit_index(sharded, change)
    with pytest.raises(InputError, match=what):
        SafetensorsFiles(sharded)


def test_one_file_has_no_index_and_carries_the_format(tmp_path: Path) -> None:
    write_safetensors(tmp_path, some_tensors())
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    write_safetensors(tmp_path, {}, metadata={"made": "of nothing"})
    assert SafetensorsFiles(tmp_path).tensors == {}


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    embedding = torch.randn(6, 4)
    slices = {"first": embedding[:2], "rest": embedding[2:], "turned": embedding.t()}
    write_safetensors(tmp_path, {"embedding": embedding, "head": embedding, "view": embedding.view(6, 4)})
    assert set(SafetensorsFiles(tmp_path).tensors) == {"embedding"}
    write_safetensors(tmp_path, slices)
    source = SafetensorsFiles(tmp_path)
    for name, tensor in slices.items():
        assert torch.equal(source.read(name), tensor), name


def test_a_stream_of_new_tensors_is_never_taken_for_tied(tmp_path: Path) -> None:
    # Each tensor is made when the one before is gone, mostly at the same place in memory.
    def stream() -> Iterator[tuple[str, Tensor]]:
        for index in range(50):
            yield f"w{index}", torch.full((1000,), float(index))

    write_safetensors(tmp_path, stream(), max_shard_bytes=1)
    source = SafetensorsFiles(tmp_path)
    assert len(source.tensors) == 50
    for index in range(50):
        assert source.read(f"w{index}").unique().tolist() == [float(index)]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    code = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from yanmo.errors import YanmoError\n"
        "from yanmo.models.files.safetensors_files import write_safetensors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    write_safetensors(Path(sys.argv[1]), {'w': torch.zeros(1000)})\n"
        "except YanmoError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert run.stdout.startswith(str(tmp_path)), run.stderr
    assert run.stdout.count("\n") == 1
    assert "too large" in run.stdout


def test_a_missing_folder_to_write_to(tmp_path: Path) -> None:
    with pytest.raises(YanmoError, match="gone"):
        write_safetensors(tmp_path / "gone", {"w": torch.zeros(3)})
