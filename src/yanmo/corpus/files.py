"""Files on disk, and blobs: bytes of a file or an archive member that can be opened again and again.

Compressed input is held to a ratio, so a decompression bomb ends as one refused file. What has to be
searched back and forth is held in memory, or in an unnamed temporary file where it is large, so the name of
an archive's member can lead nowhere.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

import zstandard

from yanmo.artifact import MANIFEST, read_manifest, sha256_of_file, sha256_of_text
from yanmo.corpus.document import Reason, RefusedError, Rejected
from yanmo.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 1 << 20
# Text compresses 3 to 50 times; what passes both limits is no text worth reading.
MAX_RATIO = 200
MIN_ALLOWED_BYTES = 32 << 20
_BOMB = f"gives more than {MAX_RATIO} times its size"
_SPOOL_BYTES = 16 << 20
# What the Hugging Face ``datasets`` library writes beside the rows, and what it only keeps for itself.
_DATASET_FILES = ("dataset_info.json", "state.json", "dataset_dict.json")

REPAIRED = ", invalid bytes replaced"

Meter = Callable[[int], None]
Opener = Callable[[], contextlib.AbstractContextManager[BinaryIO]]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How to decode a blob."""

    name: str
    num_bad: int = 0
    """Places where bytes are not valid and U+FFFD stands instead."""
    rival: str = ""
    """Another encoding that the text looks about as good in."""

    @property
    def is_ascii_compatible(self) -> bool:
        """Whether ASCII bytes are ASCII characters, and line feeds nothing else."""
        return not self.name.startswith(("utf-16", "utf-32"))

    @property
    def errors(self) -> str:
        """The ``errors`` argument of ``bytes.decode``."""
        return "replace" if self.num_bad else "strict"

    def meta(self, text: str) -> dict[str, str]:
        """What a document keeps of it: the encoding if not UTF-8, and that bytes were replaced."""
        repaired = self.num_bad > 0 and "\ufffd" in text
        if repaired or not self.name.startswith("utf-8"):
            rival = f" or {self.rival}" if self.rival else ""
            return {"encoding": self.name + rival + (REPAIRED if repaired else "")}
        return {}


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The lines of a file that begin in a stretch of bytes."""

    begin: int
    end: int
    encoding: Encoding
    """Of the whole file."""


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A regular file found below one of the sources, or a slice of one."""

    path: Path
    label: str
    """Path relative to its source, with ``/``, always valid Unicode."""
    num_bytes: int
    """Size of the whole file."""
    slice: Slice | None = None


class Allowance:
    """Bytes that one compressed file may still give."""

    def __init__(self, num_bytes: int) -> None:
        """Start with what a file of ``num_bytes`` may give."""
        self._left = max(MIN_ALLOWED_BYTES, MAX_RATIO * num_bytes)

    def spend(self, num_bytes: int) -> None:
        """Take ``num_bytes`` off, or refuse the file."""
        self._left -= num_bytes
        if self._left < 0:
            raise RefusedError(Reason.BOMB, _BOMB)


def refuse_bomb(given: int, taken: int) -> None:
    """Refuse what gives so many bytes for so many compressed ones, before they are all read.

    Raises:
        RefusedError: it is out of proportion.
    """
    if given > MIN_ALLOWED_BYTES and given > MAX_RATIO * taken:
        raise RefusedError(Reason.BOMB, _BOMB)


@dataclass(frozen=True, kw_only=True)
class Blob:
    """The uncompressed bytes of a file or archive member."""

    label: str
    suffix: str
    """Lower-case suffix below the compression suffixes: ``.csv`` for ``a.csv.gz``."""
    path: Path | None
    """The file itself where it is neither compressed nor in an archive."""
    opener: Opener
    allowance: Allowance | None = None

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open for reading; damage of any layer is refused with its reason."""
        with refusing_damage(), self.opener() as stream:
            yield stream

    def blocks(self) -> Iterator[bytes]:
        """The bytes in blocks of at most ``BLOCK_BYTES``."""
        with self.open() as stream:
            while block := stream.read(BLOCK_BYTES):
                yield block

    def head(self, num_bytes: int = 4096) -> bytes:
        """The first bytes."""
        with self.open() as stream:
            return stream.read(num_bytes)

    @contextlib.contextmanager
    def seekable(self) -> Iterator[BinaryIO]:
        """Open for reading back and forth."""
        if self.path is not None:
            with self.open() as stream:
                yield stream
            return
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as copy:
            for block in self.blocks():
                self.spend(len(block))
                copy.write(block)
            copy.seek(0)
            with refusing_damage():
                yield cast(BinaryIO, copy)

    @contextlib.contextmanager
    def on_disk(self, name: str) -> Iterator[Path]:
        """A path that a library can open: the blob's own, or a temporary one that ends in ``name``."""
        if self.path is not None and not any(char in str(self.path) for char in "*?["):
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="yanmo-") as folder:
            path = Path(folder) / name
            if self.path is not None:
                path.symlink_to(self.path.resolve())
            else:
                with path.open("wb") as file:
                    for block in self.blocks():
                        self.spend(len(block))
                        file.write(block)
            yield path

    def spend(self, num_bytes: int) -> None:
        """Take bytes off what the file may give; a blob is read more than once and spends only once."""
        if self.allowance is not None:
            self.allowance.spend(num_bytes)


@contextlib.contextmanager
def refusing_damage() -> Iterator[None]:
    """Turn what libraries raise for damaged layers into a refusal with its reason."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zstandard.ZstdError) as error:
        raise RefusedError(Reason.DAMAGED, f"compressed data: {error}") from None
    except (zipfile.BadZipFile, NotImplementedError, struct.error) as error:
        raise RefusedError(Reason.DAMAGED, f"zip: {error}") from None
    except tarfile.TarError as error:
        raise RefusedError(Reason.DAMAGED, f"tar: {error}") from None
    except OSError as error:
        # bz2 says of damaged data that it is invalid, by an OSError without a number.
        reason = Reason.UNREADABLE if error.errno else Reason.DAMAGED
        raise RefusedError(reason, error.strerror or str(error)) from None


def find_files(sources: Sequence[Path], *, exclude: Path | None = None) -> list[SourceFile | Rejected]:
    """All files below the sources, in a fixed order, and what was passed over.

    Args:
        sources: files and folders; several get their own name as the first part of the labels.
        exclude: a folder to leave out without a word (the output).

    Raises:
        InputError: a source does not exist, or there is none.
    """
    if not sources:
        raise InputError("no source given", remedy="name files or folders of text")
    found: list[SourceFile | Rejected] = []
    excluded = exclude.resolve() if exclude else None
    for source in sources:
        if not os.path.lexists(source):
            raise InputError("no such file or folder", where=source)
        # Links may lead round in circles, which Path.resolve would not survive.
        name = printable(Path(os.path.realpath(source)).name)
        prefix = name if len(sources) > 1 or not source.is_dir() else ""
        if source.is_dir():
            found.extend(_walk(source, prefix, _own_files(source), excluded, frozenset()))
        else:
            found.append(_one(source, prefix))
    return found


def fingerprint(files: Iterable[SourceFile | Rejected]) -> str:
    """Hash of the names and contents of the files: changes when, and only when, they do."""
    parts: list[str] = []
    for file in files:
        if isinstance(file, SourceFile):
            try:
                digest = sha256_of_file(file.path)
            except OSError as error:
                digest = f"unreadable: {error.strerror}"
            parts += [file.label, digest]
    return sha256_of_text(*parts)


def raw_opener(file: SourceFile, meter: Meter | None) -> Opener:
    """Opens the bytes on disk; ``meter`` is told how many are read, as they are read."""

    @contextlib.contextmanager
    def raw() -> Iterator[BinaryIO]:
        with io.BufferedReader(_MeteredFile(file.path, meter)) as stream:
            yield cast(BinaryIO, stream)

    return raw


def printable(name: str) -> str:
    """The name of a file as valid Unicode."""
    return os.fsencode(name).decode("utf-8", "replace")


def _walk(
    folder: Path,
    prefix: str,
    only: frozenset[str] | None,
    excluded: Path | None,
    above: frozenset[tuple[int, int]],
) -> Iterator[SourceFile | Rejected]:
    try:
        status = folder.stat()
        names = sorted((path.name for path in folder.iterdir()), key=os.fsencode)
    except OSError as error:
        yield Rejected(source=prefix or ".", reason=Reason.UNREADABLE, detail=error.strerror or "")
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        yield Rejected(source=prefix, reason=Reason.LINK_LOOP)
        return
    is_dataset = "dataset_info.json" in names or "dataset_dict.json" in names
    for name in names:
        path, label = folder / name, f"{prefix}/{printable(name)}".lstrip("/")
        if only is not None and name not in only:
            continue
        if name.startswith(".") or name == "__MACOSX":
            yield Rejected(source=label, reason=Reason.HIDDEN)
        elif is_dataset and (
            name in _DATASET_FILES or (name.startswith("cache-") and name.endswith(".arrow"))
        ):
            yield Rejected(source=label, reason=Reason.TEXTLESS, detail="describes or caches a dataset")
        elif not path.is_dir():
            yield _one(path, label)
        elif excluded is None or path.resolve() != excluded:
            if (path / MANIFEST).exists():
                yield Rejected(source=label, reason=Reason.GENERATED)
            else:
                yield from _walk(path, label, None, excluded, above | {here})


def _one(path: Path, label: str) -> SourceFile | Rejected:
    try:
        status = path.stat()
    except OSError as error:
        # A link to nothing, or to itself.
        return Rejected(source=label, reason=Reason.UNREADABLE, detail=error.strerror or "")
    if not stat.S_ISREG(status.st_mode):
        # A pipe would be waited on for ever.
        return Rejected(source=label, reason=Reason.NOT_A_FILE)
    if not os.access(path, os.R_OK):
        return Rejected(source=label, reason=Reason.UNREADABLE, detail="permission denied")
    if status.st_size == 0:
        return Rejected(source=label, reason=Reason.EMPTY)
    return SourceFile(path=path, label=label, num_bytes=status.st_size)


def _own_files(source: Path) -> frozenset[str] | None:
    """The names in the folder that yanmo itself wrote as documents; of any other folder: all (None)."""
    manifest = read_manifest(source)
    if manifest is None:
        return None
    names = manifest["files"]
    if manifest.get("kind") != "corpus":
        return frozenset(PurePosixPath(name).parts[0] for name in names)
    return frozenset(n for n in names if n.endswith(".parquet") and n != "rejected.parquet")


class _MeteredFile(io.FileIO):
    """A file that tells how many bytes were read from it."""

    def __init__(self, path: Path, meter: Meter | None) -> None:
        super().__init__(path, "r")
        self._meter = meter

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        count = super().readinto(buffer)
        if self._meter is not None and count:
            self._meter(count)
        return count
