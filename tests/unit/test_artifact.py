"""Folders written whole or not at all, and verified when read."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from yanmo import artifact
from yanmo.errors import InputError, YanmoError


def make(folder: Path, *, text: str = "ink", **details: object) -> None:
    with artifact.new_folder(folder, kind="corpus", details=details) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "a.txt").write_text(text, encoding="utf-8")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dead_process_id() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_folder_appears_whole_and_verifies(tmp_path: Path) -> None:
    make(tmp_path / "deep" / "out", seed=3)
    manifest = artifact.verify(tmp_path / "deep" / "out")
    assert manifest["kind"] == "corpus"
    assert manifest["details"] == {"seed": 3}
    assert manifest["files"]["inner/a.txt"]["sha256"] == artifact.sha256_of_file(
        tmp_path / "deep" / "out" / "inner" / "a.txt"
    )
    assert names(tmp_path / "deep") == ["out"]


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path / "out", text="old")
    with (
        pytest.raises(RuntimeError, match="boom"),
        artifact.new_folder(tmp_path / "out", kind="corpus", details={}) as temporary,
    ):
        (temporary / "b.txt").write_text("new", encoding="utf-8")
        raise RuntimeError("boom")
    assert (tmp_path / "out" / "inner" / "a.txt").read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["out"]


def test_an_old_folder_is_replaced_whole(tmp_path: Path) -> None:
    make(tmp_path / "out", text="old")
    (tmp_path / "out" / "stray").write_text("x", encoding="utf-8")
    make(tmp_path / "out", text="new")
    assert names(tmp_path / "out") == ["inner", "yanmo.json"]
    assert (tmp_path / "out" / "inner" / "a.txt").read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["out"]


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path: Path) -> None:
    make(tmp_path / "target", text="old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    make(tmp_path / "link", text="new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target" / "inner" / "a.txt").read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["link", "target"]


def test_what_a_killed_command_left_is_removed(tmp_path: Path) -> None:
    dead = dead_process_id()
    (tmp_path / f".out.{dead}.tmp").mkdir()
    (tmp_path / f".out.{os.getpid()}.old").mkdir()
    (tmp_path / f".outer.{dead}.tmp").mkdir()
    make(tmp_path / "out")
    assert names(tmp_path) == [f".out.{os.getpid()}.old", f".outer.{dead}.tmp", "out"]


def test_a_folder_set_aside_by_a_killed_command_comes_back(tmp_path: Path) -> None:
    make(tmp_path / "out", text="old")
    (tmp_path / "out").rename(tmp_path / f".out.{dead_process_id()}.old")
    with (
        pytest.raises(RuntimeError),
        artifact.new_folder(tmp_path / "out", kind="corpus", details={}),
    ):
        raise RuntimeError
    assert (tmp_path / "out" / "inner" / "a.txt").read_text(encoding="utf-8") == "old"


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    with (
        pytest.raises(YanmoError, match=r"out: the disk is full \(free some space") as caught,
        artifact.new_folder(tmp_path / "out", kind="corpus", details={}),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.exit_code == 1
    assert names(tmp_path) == []


def test_an_input_that_cannot_be_read_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError) as caught,
        artifact.new_folder(tmp_path / "out", kind="corpus", details={}),
    ):
        (tmp_path / "input.txt").read_text(encoding="utf-8")
    assert caught.value.filename == str(tmp_path / "input.txt")


def test_a_file_in_the_way_of_the_folder_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        make(tmp_path / "file" / "out")


@pytest.mark.parametrize(
    ("number", "words", "exit_code"),
    [
        (errno.ENOSPC, "the disk is full", 1),
        (errno.EDQUOT, "the disk is full", 1),
        (errno.EACCES, "cannot be written", 2),
        (errno.EROFS, "cannot be written", 2),
        (errno.ENOTDIR, "cannot be written", 2),
        (errno.EIO, "Input/output error", 1),
    ],
)
def test_errors_of_the_disk_are_told_apart(number: int, words: str, exit_code: int) -> None:
    error = artifact.disk_error(OSError(number, os.strerror(number)), Path("out"))
    assert words in str(error)
    assert error.exit_code == exit_code


def test_verify_finds_a_changed_a_short_and_a_missing_file(tmp_path: Path) -> None:
    make(tmp_path / "out")
    file = tmp_path / "out" / "inner" / "a.txt"
    file.write_text("inc", encoding="utf-8")
    with pytest.raises(InputError, match="checksum"):
        artifact.verify(tmp_path / "out")
    file.write_text("in", encoding="utf-8")
    with pytest.raises(InputError, match="another size"):
        artifact.verify(tmp_path / "out")
    file.unlink()
    with pytest.raises(InputError, match=r"a\.txt: is missing"):
        artifact.verify(tmp_path / "out")


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "corpus"}', '{"files": {"a": 3}}', '{"files": 1}'])
def test_a_damaged_manifest_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / artifact.MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=artifact.MANIFEST):
        artifact.verify(tmp_path)


def test_a_folder_without_a_manifest_does_not_verify(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no yanmo"):
        artifact.verify(tmp_path)


def test_claim_knows_its_own_work(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert not artifact.claim(out, kind="corpus", details={"seed": 1})
    out.mkdir()
    assert not artifact.claim(out, kind="corpus", details={"seed": 1})
    make(out, seed=1, sizes=(1, 2))
    assert artifact.claim(out, kind="corpus", details={"seed": 1, "sizes": (1, 2)})
    assert not artifact.claim(out, kind="corpus", details={"seed": 1, "sizes": (1, 2)}, force=True)


def test_claim_refuses_what_is_not_its_own(tmp_path: Path) -> None:
    make(tmp_path / "out", seed=1)
    with pytest.raises(InputError, match="made with other seed"):
        artifact.claim(tmp_path / "out", kind="corpus", details={"seed": 2})
    with pytest.raises(InputError, match="not a model"):
        artifact.claim(tmp_path / "out", kind="model", details={"seed": 1})
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="already exists"):
        artifact.claim(tmp_path / "file", kind="corpus", details={})


def test_claim_does_not_take_a_damaged_folder_for_done(tmp_path: Path) -> None:
    make(tmp_path / "out", seed=1)
    (tmp_path / "out" / "inner" / "a.txt").unlink()
    with pytest.raises(InputError, match="is missing"):
        artifact.claim(tmp_path / "out", kind="corpus", details={"seed": 1})


def test_the_current_folder_and_home_are_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for out in (Path(), Path(".."), tmp_path):
        with pytest.raises(InputError, match="the current folder cannot be replaced"):
            artifact.claim(out, kind="corpus", details={}, force=True)
    with pytest.raises(InputError, match="the home folder"):
        artifact.claim(Path.home(), kind="corpus", details={}, force=True)


def test_write_bytes_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    artifact.write_bytes(file, b"old")
    artifact.write_bytes(file, b"new")
    assert file.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


def test_write_bytes_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.bin"
    artifact.write_bytes(file, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(YanmoError, match="disk is full"):
        artifact.write_bytes(file, b"new")
    assert file.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_json_keeps_chinese_and_order(tmp_path: Path) -> None:
    artifact.write_json(tmp_path / "a.json", {"z": "墨", "a": 1})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "墨" in text
    assert list(json.loads(text)) == ["z", "a"]
    assert artifact.read_json(tmp_path / "a.json") == {"z": "墨", "a": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"{", "not JSON"), (b"\xff", "not JSON"), (b"[1]", "not a JSON object"), (b"[" * 100_000, "not JSON")],
)
def test_damaged_json_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=words):
        artifact.read_json(tmp_path / "a.json")


def test_hashes_of_texts_do_not_run_together() -> None:
    assert artifact.sha256_of_text("ab", "c") != artifact.sha256_of_text("a", "bc")
    assert artifact.sha256_of_text("a") != artifact.sha256_of_text("a", "")
    assert artifact.sha256_of_text("\ud800") == artifact.sha256_of_text("\ud800")
