"""Files to blobs: compressed files are seen through, zip and tar archives become their members.

What a file is, its content decides and not its name. An archive inside an archive is refused: what is
packed twice is as a rule a program's or a bomb. Members keep the names they have inside, as labels only.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from yanmo.corpus.document import Reason, RefusedError, Rejected
from yanmo.corpus.files import (
    Allowance,
    Blob,
    Meter,
    Opener,
    SourceFile,
    printable,
    raw_opener,
    refuse_bomb,
)
from yanmo.corpus.formats.compression import DECOMPRESSORS
from yanmo.corpus.formats.kinds import compression_of, kind_by_content

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_SHORT_NAMES = {
    ".tgz": ".tar.gz",
    ".tbz2": ".tar.bz2",
    ".tbz": ".tar.bz2",
    ".txz": ".tar.xz",
    ".tzst": ".tar.zst",
}
_MAX_LAYERS = 3
_SPOOL_BYTES, _BUFFER_BYTES = 16 << 20, 1 << 16
# A zip file's table of members is read whole; half a million of them take 300 MB.
_MAX_DIRECTORY_BYTES = 32 << 20
_MAX_TAR_HEADER_BYTES = 1 << 20
_MOST_EMPTY_READS = 64
_LONG_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def open_file(file: SourceFile, *, meter: Meter | None = None) -> Iterator[Blob | Rejected]:
    """The blobs of one file: itself, or the members of an archive.

    A blob must be read before the next one is asked for.

    Args:
        file: the file.
        meter: told the bytes read from disk, as they are read.
    """
    try:
        blob = _uncompressed(file, raw_opener(file, meter))
        kind = kind_by_content(blob)
        if kind == ".zip":
            yield from _zip_members(blob)
        elif kind == ".tar" or (kind is None and blob.suffix == ".tar"):
            yield from _tar_members(blob)
        else:
            yield blob
    except RefusedError as refused:
        yield Rejected(source=file.label, reason=refused.reason, detail=refused.detail)


def _uncompressed(file: SourceFile, raw: Opener) -> Blob:
    layers, suffix = _layers(file.label)
    if not layers:
        with contextlib.ExitStack() as stack:
            blob = Blob(label=file.label, suffix=suffix, path=file.path, opener=raw)
            stack.enter_context(blob.open())
            found = compression_of(blob.head())
        if found is None:
            return blob
        layers = [found]
    if len(layers) > _MAX_LAYERS:
        raise RefusedError(Reason.NESTED, f"compressed {len(layers)} times")
    return Blob(label=file.label, suffix=suffix, path=None, opener=_stacked(raw, layers))


def _layers(label: str) -> tuple[list[str], str]:
    """Compression suffixes from the outside in, and the suffix below them."""
    name, layers = PurePosixPath(label), []
    if name.suffix.lower() in _SHORT_NAMES:
        name = name.with_suffix(_SHORT_NAMES[name.suffix.lower()])
    while name.suffix.lower() in DECOMPRESSORS:
        layers.append(name.suffix.lower())
        name = name.with_suffix("")
    return layers, name.suffix.lower()


def _stacked(raw: Opener, layers: Sequence[str]) -> Opener:
    if not layers:
        return raw

    @contextlib.contextmanager
    def opened() -> Iterator[BinaryIO]:
        with contextlib.ExitStack() as stack:
            source = stream = stack.enter_context(raw())
            for layer in layers:
                stream = stack.enter_context(DECOMPRESSORS[layer](stream))
            yield cast(BinaryIO, io.BufferedReader(_Proportioned(stream, source), _BUFFER_BYTES))

    return opened


class _Proportioned(io.RawIOBase):
    """A decompressed stream that ends where it gives too much for what it has taken of its source."""

    def __init__(self, stream: BinaryIO, source: BinaryIO) -> None:
        self._stream, self._source, self._given = stream, source, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        data = self._stream.read(memoryview(buffer).nbytes)
        memoryview(buffer).cast("B")[: len(data)] = data
        self._given += len(data)
        refuse_bomb(self._given, self._source.tell())
        return len(data)


def open_zip(stream: BinaryIO) -> zipfile.ZipFile:
    """Open a zip file whose table of members has a size that can be held.

    Raises:
        RefusedError: it is damaged, or has too many members.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - (1 << 16) - 22))
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at >= 0 and int.from_bytes(tail[at + 12 : at + 16], "little") > _MAX_DIRECTORY_BYTES:
        raise RefusedError(Reason.TOO_LARGE, "zip: too many members")
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError) as error:
        raise RefusedError(Reason.DAMAGED, f"zip: {error}") from None
    if sum(len(member.filename) for member in archive.filelist) > _MAX_DIRECTORY_BYTES:
        raise RefusedError(Reason.TOO_LARGE, "zip: too many members")
    return archive


def _zip_members(blob: Blob) -> Iterator[Blob | Rejected]:
    with blob.seekable() as stream, open_zip(stream) as archive:
        allowance = Allowance(stream.seek(0, io.SEEK_END))
        overlapping = _overlapping(archive)
        for member in archive.infolist():
            if member.is_dir():
                continue
            name = _member_name(member)
            label = f"{blob.label}/{name}"
            layers, suffix = _layers(name)
            reason = _refused_by_name(name)
            if reason is None and member.flag_bits & 0x1:
                reason = Reason.ENCRYPTED
            if reason is None and member.file_size == 0:
                reason = Reason.EMPTY
            if reason is not None:
                yield Rejected(source=label, reason=reason)
                continue
            try:
                if member.header_offset in overlapping:
                    raise RefusedError(Reason.DAMAGED, "zip: overlaps another member")
                refuse_bomb(member.file_size, member.compress_size)
            except RefusedError as refused:
                yield Rejected(source=label, reason=refused.reason, detail=refused.detail)
                continue
            opener = _stacked(_member_opener(archive, member), layers)
            yield from _member_blob(label, suffix, opener, allowance)


def _overlapping(archive: zipfile.ZipFile) -> set[int]:
    """Where members begin that claim bytes of the next: a bomb's members share one stretch (Fifield 2019)."""
    members = sorted(archive.filelist, key=lambda member: member.header_offset)
    ends = [member.header_offset for member in members[1:]] + [archive.start_dir]
    return {
        member.header_offset
        for member, end in zip(members, ends, strict=True)
        if member.header_offset + member.compress_size > end
    }


def _member_opener(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Opener:
    @contextlib.contextmanager
    def opened() -> Iterator[BinaryIO]:
        with archive.open(member) as inner:
            yield cast(BinaryIO, inner)

    return opened


def _member_name(member: zipfile.ZipInfo) -> str:
    """The name as its author saw it: zip programs in China write GBK without saying so."""
    name = member.filename
    if not member.flag_bits & 0x800:
        with contextlib.suppress(UnicodeEncodeError):
            raw = name.encode("cp437")
            for encoding in ("utf-8", "gb18030"):
                with contextlib.suppress(UnicodeDecodeError):
                    return raw.decode(encoding)
    return printable(name)


def _tar_members(blob: Blob) -> Iterator[Blob | Rejected]:
    """Members in the order of the archive; one that was stored badly ends the reading."""
    with (
        blob.open() as stream,
        tarfile.open(fileobj=cast(BinaryIO, _Ended(stream)), mode="r|", tarinfo=_Header) as archive,
    ):
        num_members = 0
        for member in archive:
            num_members += 1
            # The library remembers every member, which nobody asks for.
            cast(Any, archive).members = []
            if member.isdir():
                continue
            name = printable(member.name)
            label = f"{blob.label}/{name}"
            reason = _refused_by_name(name)
            if reason is None and (not member.isreg() or member.issparse()):
                reason = Reason.NOT_A_FILE
            if reason is None and member.size == 0:
                reason = Reason.EMPTY
            inner = archive.extractfile(member) if reason is None else None
            if inner is None:
                yield Rejected(source=label, reason=reason or Reason.NOT_A_FILE)
                continue
            with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as copy:
                shutil.copyfileobj(inner, copy)
                layers, suffix = _layers(name)
                opener = _stacked(_copy_opener(cast(BinaryIO, copy)), layers)
                yield from _member_blob(label, suffix, opener, None)
        if num_members == 0:
            raise RefusedError(Reason.EMPTY, "tar: no members")


class _Ended:
    """A stream that says when it has ended: the library goes on asking for all that a header claims."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._num_empty = stream, 0

    def read(self, size: int) -> bytes:
        """As of a file; an error where the end was met often."""
        data = self._stream.read(size)
        self._num_empty = 0 if data else self._num_empty + 1
        if self._num_empty > _MOST_EMPTY_READS:
            raise tarfile.ReadError("ends before what it claims to hold")
        return data


def _copy_opener(copy: BinaryIO) -> Opener:
    @contextlib.contextmanager
    def opened() -> Iterator[BinaryIO]:
        copy.seek(0)
        yield copy

    return opened


class _Header(tarfile.TarInfo):
    """A member's header; long ones, which the library reads into memory, are held to a size."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _LONG_HEADERS and self.size > _MAX_TAR_HEADER_BYTES:
            raise RefusedError(Reason.TOO_LARGE, "tar: a header of more than 1 MB")
        return super()._proc_member(archive)  # type: ignore[misc]


def _refused_by_name(name: str) -> Reason | None:
    parts = PurePosixPath(name).parts
    if any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts):
        return Reason.HIDDEN
    return None


def _member_blob(
    label: str, suffix: str, opener: Opener, allowance: Allowance | None
) -> Iterator[Blob | Rejected]:
    """The blob of a member, unless it is an archive or cannot even be opened."""
    if suffix in (".zip", ".tar"):
        yield Rejected(source=label, reason=Reason.NESTED)
        return
    blob = Blob(label=label, suffix=suffix, path=None, opener=opener, allowance=allowance)
    try:
        head = blob.head()
        nested = compression_of(head) is not None or kind_by_content(blob, head=head) in (".zip", ".tar")
    except RefusedError as refused:
        yield Rejected(source=label, reason=refused.reason, detail=refused.detail)
        return
    yield Rejected(source=label, reason=Reason.NESTED) if nested else blob
