"""Every key of a checkpoint taken away, every file of it changed: refused with a clear line, never used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from training_made import Run, digest, digest_of

from yanmo import artifact
from yanmo.artifact import MANIFEST, sha256_of_file
from yanmo.errors import YanmoError

RUN = Run(num_steps=6, num_validations=2, keep=2)
TENSORS = ("weights.safetensors", "optimizer.safetensors")
# Of the newest two checkpoints.
NEWEST, BEFORE = 6, 5


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "checkpoints"
    RUN.finish(folder)
    return folder


@pytest.fixture(scope="module")
def expected(whole: Path) -> str:
    made, optimizer, _ = RUN.make(whole)
    assert made.resume()
    return digest(optimizer)


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Path:
    """A copy of all checkpoints, to be damaged."""
    shutil.copytree(whole, tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def newest(folder: Path) -> Path:
    return folder / f"batch-{NEWEST:08d}"


def renew(folder: Path, whole: Path) -> None:
    shutil.rmtree(newest(folder))
    shutil.copytree(newest(whole), newest(folder))


def seal(folder: Path) -> None:
    """Let the manifest agree with what is there, so that only the content can be found wrong."""
    manifest = artifact.read_json(folder / MANIFEST)
    for name, entry in manifest["files"].items():
        entry |= {"num_bytes": (folder / name).stat().st_size, "sha256": sha256_of_file(folder / name)}
    artifact.write_json(folder / MANIFEST, manifest)


def assert_refused(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> None:
    capsys.readouterr()
    made, _, _ = RUN.make(folder)
    assert made.resume(), "the one before was not used"
    assert made.state.batch == BEFORE, words
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "checkpoint not used" in message
    for word in (*words, str(newest(folder))):
        assert word in message, message


def state_paths(values: dict[str, Any], *above: str) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from state_paths(value, *above, key)


def change_state(folder: Path, path: tuple[str, ...], change: Callable[[dict[str, Any], str], None]) -> None:
    state = artifact.read_json(newest(folder) / "state.json")
    inner = state
    for key in path[:-1]:
        inner = inner[key]
    change(inner, path[-1])
    artifact.write_json(newest(folder) / "state.json", state)
    seal(newest(folder))


def remove(values: dict[str, Any], key: str) -> None:
    del values[key]


def misname(values: dict[str, Any], key: str) -> None:
    values[key + "s"] = values.pop(key)


def add(values: dict[str, Any], key: str) -> None:
    values[f"another_{key}"] = 1


def test_each_key_of_the_state(damaged: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = artifact.read_json(newest(whole) / "state.json")
    paths = list(state_paths(state))
    assert len(paths) > 20
    for path in paths:
        for change in (remove, misname, add):
            change_state(damaged, path, change)
            assert_refused(damaged, capsys, path[-1], "state.json")
            renew(damaged, whole)


@pytest.mark.parametrize("value", ["text", None, True, [1], 0.5, {"a": "b"}])
def test_each_value_of_the_state_of_another_type(
    damaged: Path, whole: Path, capsys: pytest.CaptureFixture[str], value: Any
) -> None:
    def replace(values: dict[str, Any], key: str) -> None:
        values[key] = value

    state = artifact.read_json(newest(whole) / "state.json")
    for path in state_paths(state):
        inner: Any = state
        for key in path:
            inner = inner[key]
        if isinstance(value, float) and (
            isinstance(inner, float) or path[0] in ("schedule", "valid", "best")
        ):
            continue
        change_state(damaged, path, replace)
        assert_refused(damaged, capsys, path[0], "state.json")
        renew(damaged, whole)


def change_tensors(folder: Path, file: str, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(newest(folder) / file)
    change(tensors)
    save_file(tensors, newest(folder) / file)
    seal(newest(folder))


def tensor_changes(name: str) -> dict[str, Callable[[dict[str, Tensor]], None]]:
    def take(tensors: dict[str, Tensor]) -> None:
        del tensors[name]

    def add_one(tensors: dict[str, Tensor]) -> None:
        tensors[f"{name}.more"] = torch.zeros(1)

    def reshape(tensors: dict[str, Tensor]) -> None:
        tensors[name] = tensors[name].reshape(1, *tensors[name].shape).contiguous()

    def retype(tensors: dict[str, Tensor]) -> None:
        tensors[name] = tensors[name].double()

    return {"is missing": take, "does not belong": add_one, "has shape": reshape, "has dtype": retype}


@pytest.mark.parametrize("file", TENSORS)
def test_each_tensor(damaged: Path, whole: Path, capsys: pytest.CaptureFixture[str], file: str) -> None:
    names = load_file(newest(whole) / file).keys()
    assert len(names) >= 10
    for name in names:
        for words, change in tensor_changes(name).items():
            change_tensors(damaged, file, change)
            assert_refused(damaged, capsys, name, words, file)
            renew(damaged, whole)


@pytest.mark.parametrize("file", [*TENSORS, "state.json", MANIFEST])
@pytest.mark.parametrize("how", ["removed", "emptied", "shortened", "lengthened", "zeros"])
def test_each_file(damaged: Path, capsys: pytest.CaptureFixture[str], file: str, how: str) -> None:
    path = newest(damaged) / file
    raw = path.read_bytes()
    if how == "removed":
        path.unlink()
    else:
        changed = {"emptied": b"", "shortened": raw[:-1], "lengthened": raw + b"x", "zeros": bytes(len(raw))}
        # A manifest without its last line feed says the same.
        path.write_bytes(raw[:-3] if (how, file) == ("shortened", MANIFEST) else changed[how])
    assert_refused(damaged, capsys, MANIFEST if how == "removed" and file == MANIFEST else file)


@pytest.mark.parametrize("file", [*TENSORS, "state.json"])
def test_a_flipped_bit_anywhere_in_a_file(
    damaged: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    path = newest(damaged) / file
    raw = path.read_bytes()
    for place in {0, 7, 8, 9, len(raw) // 3, len(raw) // 2, len(raw) - 2, len(raw) - 1}:
        for bit in (1, 128):
            changed = bytearray(raw)
            changed[place] ^= bit
            path.write_bytes(changed)
            assert_refused(damaged, capsys, file, "does not match its checksum")
    path.write_bytes(raw)


def test_a_flipped_bit_anywhere_in_the_manifest(
    damaged: Path, whole: Path, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = newest(damaged) / MANIFEST
    raw = path.read_bytes()
    num_refused = 0
    for place in range(0, len(raw), 3):
        changed = bytearray(raw)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        made, optimizer, _ = RUN.make(damaged)
        assert made.resume()
        # What is not refused is a space become another sign that JSON passes over.
        if made.state.batch == NEWEST:
            assert digest(optimizer) == expected
            assert json.loads(bytes(changed)) == json.loads(raw)
        else:
            num_refused += 1
    assert num_refused > len(raw) / 3 * 0.5


def test_files_of_another_checkpoint_are_refused(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = damaged / f"batch-{BEFORE:08d}"
    shutil.rmtree(newest(damaged))
    shutil.copytree(before, newest(damaged))
    assert_refused(damaged, capsys, "is of another batch than its folder says")
    shutil.copyfile(before / "state.json", newest(damaged) / "state.json")
    seal(newest(damaged))
    assert_refused(damaged, capsys, "is of another batch than its folder says")


def test_a_manifest_that_leaves_a_file_out_is_refused(
    damaged: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (*TENSORS, "state.json"):
        manifest = artifact.read_json(newest(damaged) / MANIFEST)
        del manifest["files"][name]
        artifact.write_json(newest(damaged) / MANIFEST, manifest)
        assert_refused(damaged, capsys, MANIFEST, "does not list the files of a checkpoint")
        renew(damaged, whole)


def test_a_refused_one_is_passed_and_the_end_is_the_same(
    damaged: Path, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (newest(damaged) / "weights.safetensors").write_bytes(b"")
    assert RUN.finish(damaged) == expected
    made, optimizer, _ = RUN.make(damaged)
    assert made.resume() and made.state.batch == NEWEST and digest(optimizer) == expected


def test_nothing_left_is_an_error_and_not_a_new_beginning(
    damaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in damaged.glob("batch-*"):
        (path / "weights.safetensors").write_bytes(b"")
    made, optimizer, _ = RUN.make(damaged)
    before = digest_of(optimizer.masters())
    with pytest.raises(YanmoError, match="every checkpoint is damaged") as failed:
        made.resume()
    assert failed.value.exit_code == 1 and digest_of(optimizer.masters()) == before


def test_a_damaged_best_is_said_and_not_used(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, store = RUN.make(damaged)
    best = store.load_best()
    assert best is not None
    (damaged / f"batch-{best.batch:08d}" / "weights.safetensors").write_bytes(b"")
    assert store.load_best() is None
    assert "best checkpoint not used" in capsys.readouterr().err
