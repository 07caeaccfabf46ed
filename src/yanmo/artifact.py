"""Folders that pass between the stages: written whole or not at all, verified when read.

A folder is written under a temporary name beside its destination, fsynced, and renamed into
place, so a reader sees the old one or the new one and never half of one. ``yanmo.json``,
written last, names the command that made the folder and the sha256 of every file in it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from yanmo.errors import InputError, YanmoError

MANIFEST, PARTIAL = "yanmo.json", ".partial"
_WORK_FILE = "work.json"
_DAMAGED = "the folder is damaged; make it again with --force"


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
        raise disk_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_file(destination: Path) -> Iterator[Path]:
    """Write a large file whole: yields a temporary path, fsynced and renamed into place on success.

    On failure the temporary file is removed and ``destination`` is untouched. What a killed command left
    beside ``destination`` is removed first.

    Raises:
        YanmoError: the disk is full or the place cannot be written.
    """
    destination = _real(destination)
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.tmp")
    try:
        _make_folders(destination.parent)
        _clear_leftovers(destination)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(destination)
        _fsync_folder(destination.parent)
    except OSError as error:
        # The work inside may have failed on a file elsewhere, such as its input.
        if not _is_about(error, temporary, destination):
            raise
        raise disk_error(error, destination) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


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
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path) from None
    except (ValueError, RecursionError) as error:
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
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP):
        return InputError(
            f"cannot be written: {error.strerror}", where=path, remedy="choose another place for it"
        )
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

    What a killed command left beside ``destination`` is removed first. Where ``destination`` is a link,
    the folder that it points to is written and the link stays.

    Raises:
        YanmoError: the disk is full or the place cannot be written.
    """
    destination = _real(destination)
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.tmp")
    try:
        _make_folders(destination.parent)
        _clear_leftovers(destination)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        _seal(temporary, kind, details)
        _replace_folder(temporary, destination)
    except OSError as error:
        # The work inside may have failed on a file elsewhere, such as its input.
        if not _is_about(error, temporary, destination):
            raise
        raise disk_error(error, destination) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Keep a second process out of a folder while this one works on it.

    Raises:
        InputError: another process is at work here.
    """
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"another process is working on this {what}", where=folder, remedy="wait for it or stop it"
            ) from None
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextlib.contextmanager
def partial_work(destination: Path, *, kind: str, details: Mapping[str, Any]) -> Iterator[Path]:
    """A folder inside ``destination`` for what long work has done so far.

    Work that is stopped leaves it, and the same work goes on from it; other work begins anew. It goes when
    ``new_folder`` replaces the destination, or when the input turns out to be wrong.

    Args:
        destination: the folder that the work will write at last.
        kind: of that folder.
        details: what makes it, as in ``new_folder``.

    Raises:
        InputError: another process does the same work.
        YanmoError: the disk is full or the place cannot be written.
    """
    destination = _real(destination)
    folder = destination / PARTIAL
    try:
        _make_folders(destination.parent)
        _clear_leftovers(destination)
        was_there = destination.is_dir()
        _make_folders(folder)
    except OSError as error:
        raise disk_error(error, destination) from error
    with locked(folder, kind):
        wanted = json.loads(json.dumps({"kind": kind, "details": dict(details)}))
        work = folder / _WORK_FILE
        if not work.is_file() or read_json(work) != wanted:
            for path in folder.iterdir():
                if path.name != ".lock":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            write_json(work, wanted)
        try:
            yield folder
        except InputError:
            shutil.rmtree(folder, ignore_errors=True)
            if not was_there:
                with contextlib.suppress(OSError):
                    destination.rmdir()
            raise


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
    _check_sizes(folder, manifest)
    for name, expected in manifest["files"].items():
        if sha256_of_file(folder / name) != expected["sha256"]:
            raise InputError("does not match its checksum", where=folder / name, remedy=_DAMAGED)
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
        InputError: something else is there, or what is there is damaged, and ``force`` was not given; or
            the folder to replace holds the current or the home folder.
    """
    if force or not destination.exists() or (destination.is_dir() and _is_free(destination)):
        _refuse_to_replace_home(destination)
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
    _check_sizes(destination, manifest)
    return True


def _is_free(folder: Path) -> bool:
    """Whether there is nothing but work that was stopped."""
    return all(path.name == PARTIAL for path in folder.iterdir())


def _refuse_to_replace_home(destination: Path) -> None:
    real = _real(destination)
    for place, name in ((Path.cwd(), "the current folder"), (Path.home(), "the home folder")):
        if place.resolve().is_relative_to(real):
            raise InputError(f"{name} cannot be replaced", where=destination, remedy="choose another --out")


def _check_sizes(folder: Path, manifest: Mapping[str, Any]) -> None:
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(
        isinstance(entry, dict) and entry.keys() >= {"num_bytes", "sha256"} for entry in files.values()
    ):
        raise InputError("does not list its files", where=folder / MANIFEST, remedy=_DAMAGED)
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise InputError("is missing", where=path, remedy=_DAMAGED)
        if path.stat().st_size != expected["num_bytes"]:
            raise InputError("has another size than when it was written", where=path, remedy=_DAMAGED)


def _real(destination: Path) -> Path:
    """The absolute path without links, so that ``.`` and a link have a name and a parent."""
    return Path(os.path.realpath(destination))


def _clear_leftovers(destination: Path) -> None:
    """Undo what a killed command left half done.

    Its temporary folder goes. A folder set aside comes back if the new one never took its place.
    """
    pattern = re.compile(rf"\.{re.escape(destination.name)}\.(\d+)\.(tmp|old)")
    for path in sorted(destination.parent.iterdir()):
        match = pattern.fullmatch(path.name)
        if match is None or _is_alive(int(match[1])):
            continue
        if match[2] == "old" and not destination.exists():
            path.rename(destination)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_about(error: OSError, *places: Path) -> bool:
    """True where the error names no file, or one in, or on the way to, one of ``places``."""
    if not isinstance(error.filename, str):
        return True
    named = Path(error.filename).absolute()
    return any(named.is_relative_to(place) or place.is_relative_to(named) for place in places)


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
    for inner in (p for p in folder.rglob("*") if p.is_dir()):
        _fsync_folder(inner)
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


def _make_folders(folder: Path) -> None:
    missing = [made for made in (folder, *folder.parents) if not made.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _fsync_folder(made.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
