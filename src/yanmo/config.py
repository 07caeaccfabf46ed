"""Durations, sizes, and frozen dataclasses read from and written to TOML.

A config is a frozen, keyword-only dataclass. ``from_mapping`` builds one from a table and
refuses unknown keys and wrong types with the name of the field; ``to_toml`` writes it back.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from yanmo.errors import InputError

T = TypeVar("T")

_DURATION_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "true or false",
    Path: "a path",
}
_SIZE_UNITS_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def parse_duration_s(text: str) -> float:
    """Read a duration such as ``90s``, ``30m``, ``1h30m``, ``2h`` or ``1d``.

    Returns:
        Seconds, greater than 0.

    Raises:
        InputError: the text is not a duration, or is zero.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip().lower())
    compact = re.sub(r"\s", "", text.lower())
    if not parts or "".join(n + u for n, u in parts) != compact:
        raise InputError(f"{text!r} is not a duration", remedy="write it as 90s, 30m, 2h or 1d")
    seconds = sum(float(number) * _DURATION_UNITS_S[unit] for number, unit in parts)
    if seconds <= 0:
        raise InputError(f"the duration {text!r} is zero", remedy="write it as 90s, 30m, 2h or 1d")
    if not math.isfinite(seconds):
        raise InputError("the duration is too long", remedy="write it as 90s, 30m, 2h or 1d")
    return seconds


def format_duration(seconds: float) -> str:
    """Write seconds for people: ``8.4s``, ``3m 20s``, ``2h 05m``; ``?`` for what is not finite."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 59.5:
        return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"
    total = round(seconds)
    if total < 3600:
        return f"{total // 60}m {total % 60:02d}s"
    return f"{total // 3600}h {total % 3600 // 60:02d}m"


def parse_size_bytes(text: str) -> int:
    """Read a size such as ``512M`` or ``8G`` (powers of 1024).

    Raises:
        InputError: the text is not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if match is None:
        raise InputError(f"{text!r} is not a size", remedy="write it as 512M or 8G")
    size = float(match[1]) * _SIZE_UNITS_BYTES[match[2].upper()]
    if not math.isfinite(size):
        raise InputError("the size is too large", remedy="write it as 512M or 8G")
    return int(size)


def format_size(num_bytes: float) -> str:
    """Write a number of bytes for people: ``812 B``, ``3.2 MB`` (powers of 1024)."""
    for unit in ("B", "KB", "MB", "GB"):
        # What would be rounded up to 1024 of a unit is written as 1 of the next.
        if abs(num_bytes) < (1023.5 if unit == "B" else 1023.95):
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} TB"


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: it is missing or not TOML.
    """
    try:
        # utf-8-sig: some editors put a byte order mark in front, which TOML does not know.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a TOML file: {error}", where=path) from None


def to_mapping(config: Any) -> dict[str, Any]:
    """Turn a config dataclass into plain values; fields that are None are left out (TOML has no null)."""
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value is not None:
            plain[field.name] = _plain(value)
        else:
            # Left out, it would come back as its default.
            assert field.default is None or field.default is dataclasses.MISSING, field.name
    return plain


def to_toml(mapping: Mapping[str, Any]) -> str:
    """Write a table of plain values as TOML."""
    return tomli_w.dumps(mapping)


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, where: object = None) -> T:
    """Build the config dataclass ``cls`` from plain values.

    Args:
        cls: a dataclass, whose fields may be dataclasses, enums, literals, paths, numbers, strings,
            tuples and string-keyed dicts of these, or None.
        mapping: field names to values; missing fields keep their default.
        where: file the values come from, for messages.

    Raises:
        InputError: an unknown key, a missing field, or a value of the wrong type.
    """
    return typing.cast(T, _build(cls, mapping, "", where))


def _build(cls: Any, mapping: Any, path: str, where: object) -> Any:
    """``path`` is the dotted name of the table, with a dot at its end."""
    if not isinstance(mapping, Mapping):
        raise InputError(f"setting {path[:-1]!r} must be a table, not {mapping!r}", where=where)
    hints = typing.get_type_hints(cls)
    known = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for key in mapping:
        if key not in known:
            names = ", ".join(sorted(known))
            raise InputError(f"unknown setting {path + str(key)!r}", where=where, remedy=f"known: {names}")
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name in mapping:
            values[name] = _convert(hints[name], mapping[name], path + name, where)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            if type(None) not in typing.get_args(hints[name]):
                raise InputError(f"setting {path + name!r} is missing", where=where)
            values[name] = None
    return cls(**values)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_mapping(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _convert(hint: Any, value: Any, name: str, where: object) -> Any:
    origin, parameters = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _convert_union(parameters, value, name, where)
    if origin in (tuple, list):
        return origin(_convert_items(origin, parameters, value, name, where))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise InputError(f"setting {name!r} must be a table, not {value!r}", where=where)
        return {key: _convert(parameters[1], item, f"{name}.{key}", where) for key, item in value.items()}
    if origin is typing.Literal:
        if value not in parameters or isinstance(value, bool) not in {
            isinstance(p, bool) for p in parameters
        }:
            raise _not_one_of(parameters, value, name, where)
        return value
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, f"{name}.", where)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(value)
        except ValueError:
            raise _not_one_of([member.value for member in hint], value, name, where) from None
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise InputError(
            f"setting {name!r} must be {_TYPE_NAMES.get(hint, hint.__name__)}, not {value!r}", where=where
        )
    return value


def _convert_union(options: tuple[Any, ...], value: Any, name: str, where: object) -> Any:
    """The first option that takes the value as it is; the message is that of the first."""
    if value is None and type(None) in options:
        return None
    refused: InputError | None = None
    for option in (option for option in options if option is not type(None)):
        try:
            return _convert(option, value, name, where)
        except InputError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _convert_items(
    kind: type, parameters: tuple[Any, ...], value: Any, name: str, where: object
) -> Iterator[Any]:
    if not isinstance(value, list | tuple):
        raise InputError(f"setting {name!r} must be a list, not {value!r}", where=where)
    same = kind is list or (len(parameters) == 2 and parameters[1] is ...)
    if not same and len(value) != len(parameters):
        raise InputError(
            f"setting {name!r} must hold {len(parameters)} values, not {len(value)}", where=where
        )
    for index, item in enumerate(value):
        yield _convert(parameters[0 if same else index], item, f"{name}[{index}]", where)


def _not_one_of(choices: Iterable[Any], value: Any, name: str, where: object) -> InputError:
    remedy = "one of: " + ", ".join(map(str, choices))
    return InputError(f"setting {name!r} cannot be {value!r}", where=where, remedy=remedy)
