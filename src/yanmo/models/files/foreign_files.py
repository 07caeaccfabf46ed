"""Files that others made: JSON within limits, and paths that stay inside their folder.

A model folder may come from anyone. Nothing in it is trusted: sizes are checked before anything is read,
JSON may say a thing only once and hold only finite numbers, and a name in a file leads nowhere else.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from yanmo.config import format_size
from yanmo.errors import InputError

DAMAGED = "the file is damaged; copy or make it again"
MAX_JSON_BYTES = 10 * 2**20
MAX_JSON_DEPTH = 32
# Whole numbers in use have at most 31 digits (what transformers writes for "no limit").
_MAX_DIGITS = 40


def read_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read a JSON object from a regular file.

    Args:
        path: the file.
        max_bytes: a larger file is refused unread.

    Raises:
        InputError: the file is missing, too large, or not as ``parse_json`` wants it.
    """
    return parse_json(_read(path, max_bytes), where=path)


def read_json_list(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> list[Any]:
    """As ``read_json``, of a file that holds a list."""
    value = _parse(_read(path, max_bytes), where=path)
    if not isinstance(value, list):
        raise InputError("not a JSON list", where=path, remedy=DAMAGED)
    return value


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise InputError("no such file", where=path, remedy="copy the whole folder again")
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path) from None
    if len(raw) > max_bytes:
        raise InputError(f"is larger than {format_size(max_bytes)}", where=path, remedy=DAMAGED)
    return raw


def parse_json(raw: bytes, *, where: object) -> dict[str, Any]:
    """Read a JSON object: UTF-8, no key twice, only finite numbers, not nested deeper than 32.

    Args:
        raw: the text.
        where: its file, for the message.

    Raises:
        InputError: it is anything else.
    """
    value = _parse(raw, where=where)
    if not isinstance(value, dict):
        raise InputError("not a JSON object", where=where, remedy=DAMAGED)
    return value


def _parse(raw: bytes, *, where: object) -> Any:
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_no_key_twice,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_short_int,
        )
    except RecursionError:
        raise InputError("the JSON is nested too deep", where=where, remedy=DAMAGED) from None
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 at byte {error.start}", where=where, remedy=DAMAGED) from None
    except ValueError as error:
        raise InputError(f"not JSON: {error}", where=where, remedy=DAMAGED) from None
    if _is_deeper(value, MAX_JSON_DEPTH):
        raise InputError("the JSON is nested too deep", where=where, remedy=DAMAGED)
    if b"\\ud" in raw or b"\\uD" in raw:
        # Half a surrogate pair, which only an escape can write, could be neither shown nor saved.
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise InputError("not valid Unicode: a lone surrogate", where=where, remedy=DAMAGED) from None
    return value


def shorten(value: object, max_chars: int = 60) -> str:
    """A foreign value for a message: on one line, printable, and never long."""
    # Slicing first: the whole of a large value is never written out.
    text = repr(value[:max_chars]) if isinstance(value, str | list) else repr(value)
    return text if len(text) <= max_chars else text[: max_chars - 3] + "..."


def inside(folder: Path, name: str, *, where: object) -> Path:
    """The regular file ``name`` of a folder, wherever the name was read.

    Args:
        folder: the model folder.
        name: a relative path that a foreign file, or a listing of the folder, gives.
        where: the file that names it, for messages.

    Returns:
        ``folder / name``.

    Raises:
        InputError: it is missing, or it (or what it links to) lies outside. Links from a snapshot of the
            Hugging Face cache into the same model's ``blobs`` are how that cache is made, and allowed.
    """
    shown = shorten(name)
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name or not name.isprintable():
        remedy = "weights lie beside the file that names them; do not use this folder unless you trust it"
        raise InputError(f"names a file outside its folder: {shown}", where=where, remedy=remedy)
    path = folder / name
    try:
        real = path.resolve(strict=True)
        is_file = real.is_file()
    except (OSError, RuntimeError):
        raise InputError(f"{shown} is missing", where=where, remedy="copy the whole folder again") from None
    if not any(real.is_relative_to(root) for root in _roots(folder.resolve())):
        raise InputError(
            f"{shown} is a link to a file outside its folder",
            where=where,
            remedy="put the file itself into the folder",
        )
    if not is_file:
        raise InputError(f"{shown} is not a file", where=where, remedy="copy the whole folder again")
    return path


def _roots(folder: Path) -> list[Path]:
    """Where the files of a folder may really lie: models--org--name/{snapshots/<hash>,blobs} in the cache."""
    model = folder.parent.parent
    in_cache = folder.parent.name == "snapshots" and model.name.startswith("models--")
    return [folder, model / "blobs"] if in_cache else [folder]


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shorten(key)} is there twice")
        found[key] = value
    return found


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {shorten(text)} is too large")
    return number


def _short_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("a number is too large")
    return int(text)


def _is_deeper(value: object, depth: int) -> bool:
    """Level by level, so that nothing here nests."""
    level = [value]
    for _ in range(depth):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, dict | list) for item in level)
