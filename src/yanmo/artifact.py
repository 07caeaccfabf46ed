"""Folders that pass between the stages: written whole or not at all, verified when read.

A folder is written under a temporary name beside its destination, fsynced, and renamed into
place, so a reader sees the old one or the new one and never half of one. ``yanmo.json``,
written last, names the command that made the folder and the sha256 of every file in it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from yanmo.errors import InputError, YanmoError

MANIFEST = "yanmo.json"


def sha256_of_file(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(*parts: str) -> str:
    """Hex sha256 of the parts, each preceded by its length so that parts cannot run together."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(f"{len(raw)}:".encode() + raw)
    return digest.hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file atomically: temporary name, fsync, rename, fsync of the folder.

    Raises:
        YanmoError: the disk is full or the folder cannot be written; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _fsync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise disk_error(error, path) from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a JSON file atomically (UTF-8, indented, keys in the order given)."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: the file is missing, damaged, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not JSON: {error}", where=path, remedy="the file is damaged") from None
    if not isinstance(value, dict):
        raise InputError("not a JSON object", where=path)
    return value


def disk_error(error: OSError, path: Path) -> YanmoError:
    """The one line for an OSError met while writing ``path``."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return YanmoError("the disk is full", where=path, remedy="free some space and repeat the command")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError("cannot be written", where=path, remedy="choose a folder you may write to")
    return YanmoError(f"cannot be written: {error.strerror or error}", where=path)


@contextlib.contextmanager
def new_folder(destination: Path, *, kind: str, details: Mapping[str, Any]) -> Iterator[Path]:
    """Write a folder whole: yields a temporary folder, and renames it into place on success.

    On success the manifest is added, everything is fsynced, and ``destination`` (if it exists) is
    replaced. On failure the temporary folder is removed and ``destination`` is untouched.

    Args:
        destination: the folder to make or replace.
        kind: what the folder is: ``corpus``, ``tokenizer``, ``model``, ``checkpoint`` ...
        details: what made it (settings, hashes of its inputs), kept in the manifest.

    Raises:
        YanmoError: the disk is full or the place cannot be written.
    """
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.tmp")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        _seal(temporary, kind, details)
        _replace_folder(temporary, destination)
    except OSError as error:
        raise disk_error(error, destination) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder that yanmo wrote, or None where there is none."""
    path = folder / MANIFEST
    return read_json(path) if path.is_file() else None


def verify(folder: Path) -> dict[str, Any]:
    """Check every file of a folder against its manifest.

    Returns:
        The manifest.

    Raises:
        InputError: the manifest is missing, or a file is missing, cut short or changed.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise InputError(f"has no {MANIFEST}", where=folder, remedy="it was not written whole by yanmo")
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise InputError("is missing", where=path, remedy="the folder is damaged; make it again")
        if path.stat().st_size != expected["num_bytes"] or sha256_of_file(path) != expected["sha256"]:
            raise InputError("does not match its checksum", where=path, remedy="the file is damaged")
    return manifest


def claim(destination: Path, *, kind: str, details: Mapping[str, Any], force: bool = False) -> bool:
    """Decide what an existing destination means, by the one rule of the command line.

    Args:
        destination: the folder that a command is about to write.
        kind: as in ``new_folder``.
        details: what would make it; equal details mean that the work is already done.
        force: replace whatever is there.

    Returns:
        True if the folder is already there, whole, and made by the same command (nothing to do).

    Raises:
        InputError: something else is there and ``force`` was not given.
    """
    if force or not destination.exists() or (destination.is_dir() and not any(destination.iterdir())):
        return False
    manifest = read_manifest(destination) if destination.is_dir() else None
    if manifest is None or manifest.get("kind") != kind:
        raise InputError(
            f"already exists and is not a {kind} of yanmo's",
            where=destination,
            remedy="choose another --out, or replace it with --force",
        )
    made, wanted = manifest.get("details", {}), json.loads(json.dumps(details))
    changed = sorted(key for key in made.keys() | wanted.keys() if made.get(key) != wanted.get(key))
    if changed:
        raise InputError(
            f"was made with other {', '.join(changed)}",
            where=destination,
            remedy="choose another --out, or replace it with --force",
        )
    return True


def _seal(folder: Path, kind: str, details: Mapping[str, Any]) -> None:
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        files[path.relative_to(folder).as_posix()] = {
            "num_bytes": path.stat().st_size,
            "sha256": sha256_of_file(path),
        }
    write_json(folder / MANIFEST, {"kind": kind, "details": dict(details), "files": files})
    _fsync_folder(folder)


def _replace_folder(temporary: Path, destination: Path) -> None:
    if destination.exists():
        # A folder cannot be renamed over a full one: move the old one aside first, under a name
        # that tells what it is should the machine stop between the two renames.
        old = destination.with_name(f".{destination.name}.{os.getpid()}.old")
        shutil.rmtree(old, ignore_errors=True)
        destination.rename(old)
        temporary.rename(destination)
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)
    else:
        temporary.rename(destination)
    _fsync_folder(destination.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
