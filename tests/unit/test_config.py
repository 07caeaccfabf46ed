"""Durations, sizes, and configs from and to TOML."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from yanmo import config
from yanmo.errors import InputError


class Shape(enum.Enum):
    DECODER = "decoder"
    ENCODER = "encoder"


@dataclass(frozen=True, kw_only=True)
class Inner:
    lr: float = 0.02
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    size: int
    shape: Shape = Shape.DECODER
    inner: Inner = Inner()
    names: tuple[str, ...] = ()
    interval: tuple[float, float] | None = None
    out: Path | None = None
    mode: Literal["fast", "slow"] = "fast"
    extra: dict[str, int] | None = None
    either: int | str = 0
    done: bool = False


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        (" 1.5 M ", 90),
        ("1h 5s", 3605),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert config.parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "m", "0s", "-5m", "3x", "1h30", "1.2.3h", "5m x", "9" * 400 + "d"]
)
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="duration"):
        config.parse_duration_s(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0s"),
        (8.44, "8.4s"),
        (9.97, "10s"),
        (59.4, "59s"),
        (59.7, "1m 00s"),
        (200, "3m 20s"),
        (3599.6, "1h 00m"),
        (7500, "2h 05m"),
        (math.inf, "?"),
        (math.nan, "?"),
    ],
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert config.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [("512", 512), ("512M", 512 * 2**20), ("8G", 2**33), ("1.5k", 1536), ("8GiB", 2**33), ("2 TB", 2**41)],
)
def test_sizes_are_read(text: str, num_bytes: int) -> None:
    assert config.parse_size_bytes(text) == num_bytes


@pytest.mark.parametrize("text", ["", "G", "-1G", "8X", "1e3", "9" * 400])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="size"):
        config.parse_size_bytes(text)


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (812, "812 B"),
        (1024, "1.0 KB"),
        (1023.99 * 1024, "1.0 MB"),
        (3.2 * 2**20, "3.2 MB"),
        (2**45, "32.0 TB"),
    ],
)
def test_sizes_are_written_for_people(num_bytes: float, text: str) -> None:
    assert config.format_size(num_bytes) == text


def test_a_config_survives_toml(tmp_path: Path) -> None:
    settings = Settings(
        size=3,
        shape=Shape.ENCODER,
        inner=Inner(lr=0.5, steps=7),
        names=("a", "墨"),
        interval=(1.0, 2.5),
        out=Path("runs/x"),
        mode="slow",
        extra={"a": 1},
        either="word",
        done=True,
    )
    file = tmp_path / "run.toml"
    file.write_text(config.to_toml(config.to_mapping(settings)), encoding="utf-8")
    assert config.from_mapping(Settings, config.read_toml(file)) == settings


def test_defaults_survive_toml() -> None:
    settings = Settings(size=1)
    assert config.from_mapping(Settings, config.to_mapping(settings)) == settings


def test_none_that_would_come_back_as_something_else_is_our_bug() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Odd:
        steps: int | None = 5

    with pytest.raises(AssertionError, match="steps"):
        config.to_mapping(Odd(steps=None))


def test_a_whole_number_is_taken_for_a_float() -> None:
    inner = config.from_mapping(Inner, {"lr": 1})
    assert inner.lr == 1.0
    assert isinstance(inner.lr, float)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({}, "'size' is missing"),
        ({"size": 1, "sise": 2}, "unknown setting 'sise'"),
        ({"size": "big"}, "'size' must be a whole number"),
        ({"size": True}, "'size' must be a whole number"),
        ({"size": 1.5}, "'size' must be a whole number"),
        ({"size": 1, "shape": "round"}, "one of: decoder, encoder"),
        ({"size": 1, "inner": 3}, "'inner' must be a table"),
        ({"size": 1, "inner": {"lr": "x"}}, "'inner.lr' must be a number"),
        ({"size": 1, "inner": {"rl": 1}}, "unknown setting 'inner.rl'"),
        ({"size": 1, "names": "abc"}, "'names' must be a list"),
        ({"size": 1, "names": [1]}, r"'names\[0\]' must be a string"),
        ({"size": 1, "interval": [1.0]}, "'interval' must hold 2 values, not 1"),
        ({"size": 1, "mode": "medium"}, "one of: fast, slow"),
        ({"size": 1, "extra": {"a": "b"}}, "'extra.a' must be a whole number"),
        ({"size": 1, "extra": 4}, "'extra' must be a table"),
        ({"size": 1, "either": 1.5}, "'either' must be"),
        ({"size": 1, "done": 1}, "'done' must be true or false"),
    ],
)
def test_wrong_settings_are_refused_by_name(mapping: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        config.from_mapping(Settings, mapping, where="run.toml")
    assert str(caught.value).startswith("run.toml: ")


def test_toml_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "bom.toml"
    file.write_bytes(b"\xef\xbb\xbfsize = 3\n")
    assert config.read_toml(file) == {"size": 3}


@pytest.mark.parametrize("content", [b"size = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_what_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    with pytest.raises(InputError, match="not a TOML file"):
        config.read_toml(file)


def test_a_folder_or_a_missing_file_is_not_toml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        config.read_toml(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        config.read_toml(tmp_path / "none.toml")
