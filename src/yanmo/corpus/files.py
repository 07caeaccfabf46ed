"""Files on disk and members of archives, as streams of bytes that can be opened again and again.

Nothing is unpacked to disk: members are read in memory, block by block, so a member's name can
lead nowhere. Compressed input is held to a ratio, so a decompression bomb ends as one refused file.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import stat
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
MIN_ALLOWED_BYTES = 128 << 20

Meter = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A regular file found below one of the sources."""

    path: Path
    label: str
    """Path relative to its source, with ``/``, always valid Unicode."""
    num_bytes: int


class Allowance:
    """Bytes that one compressed file may still give."""

    def __init__(self, num_bytes: int) -> None:
        """Start with what a file of ``num_bytes`` may give."""
        self._left = max(MIN_ALLOWED_BYTES, MAX_RATIO * num_bytes)

    def spend(self, num_bytes: int) -> None:
        """Take ``num_bytes`` off, or refuse the file."""
        self._left -= num_bytes
        if self._left < 0:
            raise RefusedError(Reason.BOMB, f"gives more than {MAX_RATIO} times its size")


@dataclass(frozen=True, kw_only=True)
class Blob:
    """The uncompressed bytes of a file or archive member."""

    label: str
    suffix: str
    """Lower-case suffix below the compression suffixes: ``.csv`` for ``a.csv.gz``."""
    path: Path | None
    """The file itself where it is neither compressed nor in an archive."""
    opener: Callable[[], contextlib.AbstractContextManager[BinaryIO]]
    allowance: Allowance | None = None

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open for reading; damage of any layer is refused with its reason."""
        try:
            with self.opener() as stream:
                yield stream
        except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zstandard.ZstdError) as error:
            raise RefusedError(Reason.DAMAGED, f"compressed data: {error}") from None
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise RefusedError(Reason.DAMAGED, f"zip: {error}") from None
        except OSError as error:
            raise RefusedError(Reason.UNREADABLE, error.strerror or str(error)) from None

    def blocks(self) -> Iterator[bytes]:
        """The bytes in blocks of at most ``BLOCK_BYTES``."""
        with self.open() as stream:
            while block := stream.read(BLOCK_BYTES):
                yield block


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
        prefix = _printable(source.resolve().name) if len(sources) > 1 or not source.is_dir() else ""
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


def open_file(file: SourceFile, *, meter: Meter | None = None) -> Iterator[Blob | Rejected]:
    """The blobs of one file: itself, or the members of a zip archive.

    Args:
        file: the file.
        meter: told the bytes read from disk, as they are read.
    """
    layers, suffix = _layers(file.label)
    allowance = Allowance(file.num_bytes)

    @contextlib.contextmanager
    def raw() -> Iterator[BinaryIO]:
        with io.BufferedReader(_MeteredFile(file.path, meter)) as stream:
            yield cast(BinaryIO, stream)

    if suffix == ".zip" and not layers:
        yield from _zip_members(file, raw, allowance)
        return
    yield Blob(
        label=file.label,
        suffix=suffix,
        path=None if layers else file.path,
        opener=_stacked(raw, layers),
        allowance=allowance if layers else None,
    )


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
    for name in names:
        path, label = folder / name, f"{prefix}/{_printable(name)}".lstrip("/")
        if only is not None and name not in only:
            continue
        if name.startswith(".") or name == "__MACOSX":
            yield Rejected(source=label, reason=Reason.HIDDEN)
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


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "replace")


def _layers(label: str) -> tuple[list[str], str]:
    """Compression suffixes from the outside in, and the suffix below them."""
    name, layers = PurePosixPath(label), []
    while name.suffix.lower() in DECOMPRESSORS:
        layers.append(name.suffix.lower())
        name = name.with_suffix("")
    return layers, name.suffix.lower()


def _stacked(
    raw: Callable[[], contextlib.AbstractContextManager[BinaryIO]], layers: Sequence[str]
) -> Callable[[], contextlib.AbstractContextManager[BinaryIO]]:
    @contextlib.contextmanager
    def opened() -> Iterator[BinaryIO]:
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(raw())
            for layer in layers:
                stream = stack.enter_context(DECOMPRESSORS[layer](stream))
            yield stream

    return opened


def _zip_members(
    file: SourceFile,
    raw: Callable[[], contextlib.AbstractContextManager[BinaryIO]],
    allowance: Allowance,
) -> Iterator[Blob | Rejected]:
    try:
        with raw() as stream, zipfile.ZipFile(stream) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        yield Rejected(source=file.label, reason=Reason.DAMAGED, detail=f"zip: {error}")
        return
    for member in members:
        name = _member_name(member)
        label = f"{file.label}/{name}"
        layers, suffix = _layers(name)
        reason = _refuse_member(member, name, suffix)
        if reason is not None:
            yield Rejected(source=label, reason=reason)
            continue
        yield Blob(
            label=label,
            suffix=suffix,
            path=None,
            opener=_stacked(_member_opener(raw, member), layers),
            allowance=allowance,
        )


def _member_opener(
    raw: Callable[[], contextlib.AbstractContextManager[BinaryIO]], member: zipfile.ZipInfo
) -> Callable[[], contextlib.AbstractContextManager[BinaryIO]]:
    @contextlib.contextmanager
    def opened() -> Iterator[BinaryIO]:
        with raw() as stream, zipfile.ZipFile(stream) as archive, archive.open(member) as inner:
            yield cast(BinaryIO, inner)

    return opened


def _refuse_member(member: zipfile.ZipInfo, name: str, suffix: str) -> Reason | None:
    parts = PurePosixPath(name).parts
    if any((part.startswith(".") and part != "..") or part == "__MACOSX" for part in parts):
        return Reason.HIDDEN
    if member.flag_bits & 0x1:
        return Reason.ENCRYPTED
    if suffix == ".zip":
        return Reason.NESTED
    return Reason.EMPTY if member.file_size == 0 else None


def _member_name(member: zipfile.ZipInfo) -> str:
    """The name as its author saw it: zip programs in China write GBK without saying so."""
    if member.flag_bits & 0x800:
        return member.filename
    try:
        raw = member.filename.encode("cp437")
    except UnicodeEncodeError:
        return member.filename
    for encoding in ("utf-8", "gb18030"):
        with contextlib.suppress(UnicodeDecodeError):
            return raw.decode(encoding)
    return member.filename


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


class _ZstdReader(io.RawIOBase):
    """Decompressed Zstandard frames; unlike the library's reader it tells when the end is missing."""

    # One compressed block can be 4 bytes for 128 KB: small reads bound what comes out at once.
    _READ_BYTES = 4096

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._ready = stream, b""
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while not self._ready:
            data = self._stream.read(self._READ_BYTES)
            if not data:
                if self._inside:
                    raise EOFError("ends in the middle of a frame")
                return 0
            self._ready = self._decompress(data)
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _decompress(self, data: bytes) -> bytes:
        parts = []
        while data:
            self._inside = True
            parts.append(self._frame.decompress(data))
            if not self._frame.eof:
                break
            data = self._frame.unused_data
            self._frame, self._inside = zstandard.ZstdDecompressor().decompressobj(), False
        return b"".join(parts)


def _open_gzip(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=stream, mode="rb"))


def _open_bz2(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, bz2.BZ2File(stream))


def _open_xz(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, lzma.LZMAFile(stream))


def _open_zstd(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_ZstdReader(stream), BLOCK_BYTES))


DECOMPRESSORS: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": _open_gzip,
    ".bz2": _open_bz2,
    ".xz": _open_xz,
    ".zst": _open_zstd,
}
