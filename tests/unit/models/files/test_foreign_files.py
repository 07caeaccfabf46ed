"""JSON within limits, and names that lead nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import inside, parse_json, read_json, shorten

NESTED = b'{"a":' * 31 + b"[]" + b"}" * 31


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b'{"a": 1, "a": 1}', "the key 'a' is there twice"),
        (b'{"x": {"b": 1, "b": 2}}', "the key 'b' is there twice"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": [-Infinity]}', "-Infinity is no number"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number is too large"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' + NESTED + b"}", "nested too deep"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (rb'{"a": ["\ud800"]}', "lone surrogate"),
        (rb'{"\uDC00": 1}', "lone surrogate"),
        (b"[1, 2]", "not a JSON object"),
        (b'{"a": 1', "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_bad_json_is_refused_in_one_line(text: bytes, what: str) -> None:
    with pytest.raises(InputError, match=what) as refused:
        parse_json(text, where="config.json")
    message = str(refused.value)
    assert message.startswith("config.json: ")
    assert "\n" not in message
    assert len(message) < 300


def test_good_json_is_read_as_it_is() -> None:
    no_limit = 1000000000000000019884624838656
    text = f'{{"n": {no_limit}, "名": [1.5, -2, true, null, "é"]}}'.encode()
    assert parse_json(text, where="x") == {"n": no_limit, "名": [1.5, -2, True, None, "é"]}
    assert parse_json(rb'{"\ud83d\uDE00": "\\ud800"}', where="x") == {"😀": r"\ud800"}
    assert "a" in parse_json(NESTED, where="x")


def test_size_is_checked_and_only_regular_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": 1}')
    assert read_json(path, max_bytes=8) == {"a": 1}
    with pytest.raises(InputError, match="larger than 7 B"):
        read_json(path, max_bytes=7)
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "b.json")
    os.mkfifo(tmp_path / "pipe.json")  # opening it would wait for ever
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "pipe.json")


@pytest.mark.parametrize(
    "name",
    ["../out", "/etc/passwd", "a/../../out", "", ".", "a//b", "..\\out", "a\nb", "a\0b", "./w"],
)
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "out").write_text("x")
    (folder / "w").write_text("x")
    with pytest.raises(InputError, match="outside its folder") as refused:
        inside(folder, name, where="index.json")
    assert "\n" not in str(refused.value)


def test_links(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "w").write_text("x")
    (tmp_path / "out").write_text("x")
    (folder / "own").symlink_to("w")
    (folder / "foreign").symlink_to(tmp_path / "out")
    (folder / "deep" / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    assert inside(folder, "own", where="i") == folder / "own"
    assert inside(folder, "deep/up/w", where="i").read_text() == "x"
    with pytest.raises(InputError, match="link to a file outside"):
        inside(folder, "foreign", where="i")
    for missing in ("loop", "gone", "w/x", "x" * 300):
        with pytest.raises(InputError, match="is missing"):
            inside(folder, missing, where="i")
    with pytest.raises(InputError, match="is not a file"):
        inside(folder, "deep", where="i")
    # The folder itself may be reached by a link.
    (tmp_path / "alias").symlink_to(folder)
    assert inside(tmp_path / "alias", "w", where="i").read_text() == "x"


def test_links_into_the_blobs_of_the_same_model_only(tmp_path: Path) -> None:
    model, other = tmp_path / "models--a--b", tmp_path / "models--a--c"
    snapshot = model / "snapshots" / "0123"
    for folder in (snapshot, model / "blobs", other / "blobs"):
        folder.mkdir(parents=True)
    (model / "blobs" / "f00").write_text("mine")
    (other / "blobs" / "f00").write_text("theirs")
    (snapshot / "mine").symlink_to("../../blobs/f00")
    (snapshot / "theirs").symlink_to("../../../models--a--c/blobs/f00")
    assert inside(snapshot, "mine", where="i").read_text() == "mine"
    with pytest.raises(InputError, match="link to a file outside"):
        inside(snapshot, "theirs", where="i")


def test_a_foreign_value_is_shown_short_and_on_one_line() -> None:
    assert shorten("a\nb\x1b[2J") == r"'a\nb\x1b[2J'"
    assert len(shorten("x" * 10_000)) == 60
    assert len(shorten([10**30] * 10_000)) == 60
