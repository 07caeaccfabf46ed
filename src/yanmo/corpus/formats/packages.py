"""Office documents are zip files of XML: their parts, and XML read as a stream of events.

No tree is built, so memory does not grow with the document; a part that declares entities is refused, which
no office program writes, and nesting is held to what libxml2 allows: a hostile part costs no more than its
bytes.
"""

from __future__ import annotations

import contextlib
import posixpath
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import BinaryIO, Protocol, cast
from urllib.parse import unquote

from lxml import etree

from yanmo.corpus.document import Reason, RefusedError
from yanmo.corpus.files import Allowance, Blob, refuse_bomb, refusing_damage
from yanmo.corpus.formats.archives import open_zip

_FEED_BYTES = 1 << 16
# A tag of a real document takes more than two thirds of a byte in the file.
_MIN_ALLOWED_TAGS, _MAX_TAGS_A_BYTE = 500_000, 1.5
_MAX_META_CHARS = 500


class Package:
    """The parts of one office document."""

    def __init__(self, archive: zipfile.ZipFile, num_bytes: int) -> None:
        """Over an open zip file of ``num_bytes``, which holds what it may give to a ratio."""
        self._archive, self._allowance = archive, Allowance(num_bytes)
        self._tags = int(_MIN_ALLOWED_TAGS + _MAX_TAGS_A_BYTE * num_bytes)
        self.names = frozenset(archive.namelist())

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a part.

        Raises:
            RefusedError: it is missing, encrypted or damaged.
        """
        if name not in self.names:
            raise RefusedError(Reason.DAMAGED, f"has no {name}")
        part = self._archive.getinfo(name)
        if part.flag_bits & 0x1:
            raise RefusedError(Reason.ENCRYPTED)
        refuse_bomb(part.file_size, part.compress_size)
        with refusing_damage(), self._archive.open(name) as stream:
            yield cast(BinaryIO, stream)

    def blocks(self, name: str) -> Iterator[bytes]:
        """The bytes of a part, block by block."""
        with self.open(name) as stream:
            while block := stream.read(_FEED_BYTES):
                self._allowance.spend(len(block))
                self._tags -= block.count(b"<")
                if self._tags < 0:
                    raise RefusedError(Reason.BOMB, "holds far more tags than its size explains")
                yield block

    def read(self, name: str, most: int) -> bytes:
        """All bytes of a part that is no larger than ``most``."""
        data = b""
        for block in self.blocks(name):
            data += block
            if len(data) > most:
                raise RefusedError(Reason.TOO_LARGE, f"{name} is larger than {most} bytes")
        return data

    def pieces(self, name: str, target: Target) -> Iterator[str]:
        """The pieces of text that ``target`` finds in an XML part, as they are found."""
        for _ in feed_xml(self.blocks(name), target, name):
            if target.out:
                yield "".join(target.out)
                target.out.clear()

    def parse(self, name: str, target: _Target) -> None:
        """Show an XML part to ``target``; nothing where there is no such part."""
        if name in self.names:
            for _ in feed_xml(self.blocks(name), target, name):
                pass

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """What a part of an Office Open XML document refers to: id to the kind and the part's name."""
        folder, base = posixpath.split(name)
        found = _Relations()
        self.parse(f"{folder}/_rels/{base}.rels".lstrip("/"), found)
        return {key: (kind, resolve(folder, target)) for key, (kind, target) in found.targets.items()}

    def core_meta(self) -> dict[str, str]:
        """Title, author and date of an Office Open XML document."""
        return self.dublin_core("docProps/core.xml")

    def dublin_core(self, name: str) -> dict[str, str]:
        """Title, author and date that a part holds; damage there is not the text's."""
        found = Fields(_META_FIELDS)
        with contextlib.suppress(RefusedError):
            self.parse(name, found)
        return found.meta()


@contextlib.contextmanager
def open_package(blob: Blob) -> Iterator[Package]:
    """Open a blob that is a zip file of parts."""
    with blob.seekable() as stream, open_zip(stream) as archive:
        yield Package(archive, stream.seek(0, 2))


def resolve(folder: str, target: str) -> str:
    """The name of the part that a reference leads to."""
    path = unquote(target.partition("#")[0])
    return posixpath.normpath(path.lstrip("/") if path.startswith("/") else posixpath.join(folder, path))


class _Target(Protocol):
    def start(self, tag: str, attributes: Mapping[str, str]) -> None: ...

    def end(self, tag: str) -> None: ...

    def data(self, text: str) -> None: ...


class Target:
    """Receives the events of an XML part; what it puts into ``out`` is the text."""

    def __init__(self) -> None:
        """Nothing found yet."""
        self.out: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""

    def end(self, tag: str) -> None:
        """An element ends."""

    def data(self, text: str) -> None:
        """Text inside an element, maybe not all of it."""

    def close(self) -> None:
        """The part ends."""


@lru_cache(maxsize=4096)
def local(tag: str) -> str:
    """A tag without its namespace."""
    return tag.rpartition("}")[2]


def attribute(attributes: Mapping[str, str], name: str) -> str:
    """The value of an attribute, whatever its namespace; empty where there is none."""
    return next((value for key, value in attributes.items() if local(key) == name), "")


def feed_xml(blocks: Iterator[bytes], target: _Target, name: str) -> Iterator[None]:
    """Feed XML to ``target``; stops after every block for what was found to be taken.

    Raises:
        RefusedError: the XML is damaged, or declares entities.
    """
    # libxml2 expands entities that stand inside a document even where it is told not to.
    last = b""
    parser = etree.XMLParser(target=target, resolve_entities=False, huge_tree=False, no_network=True)
    try:
        for block in blocks:
            seen = (last + block).replace(b"\0", b"")
            if b"<!ENTITY" in seen:
                raise RefusedError(Reason.DAMAGED, f"{name}: declares entities")
            last = seen[-8:]
            parser.feed(block)
            yield
        parser.close()
        yield
    except etree.LxmlError as error:
        raise RefusedError(Reason.DAMAGED, f"{name}: {str(error)[:200]}") from None


class _Relations(Target):
    def __init__(self) -> None:
        super().__init__()
        self.targets: dict[str, tuple[str, str]] = {}

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if local(tag) == "Relationship" and attributes.get("TargetMode") != "External":
            kind = attributes.get("Type", "").rpartition("/")[2]
            self.targets[attributes.get("Id", "")] = (kind, attributes.get("Target", ""))


_META_FIELDS = {
    "title": "title",
    "creator": "author",
    "initial-creator": "author",
    "created": "date",
    "date": "date",
    "creation-date": "date",
    "language": "language",
}


class Fields(Target):
    """The texts of a few elements."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Keep the first text of each of these tags under the name it is given."""
        super().__init__()
        self._names, self._name = names, ""
        self._found: dict[str, str] = {}
        self._parts: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Begin to keep."""
        self._name, self._parts = self._names.get(local(tag), ""), []

    def data(self, text: str) -> None:
        """Keep what belongs to a known tag."""
        if self._name:
            self._parts.append(text)

    def end(self, tag: str) -> None:
        """Take what was kept."""
        value = " ".join("".join(self._parts).split())[:_MAX_META_CHARS]
        if self._name and value:
            self._found.setdefault(self._name, value)
        self._name = ""

    def meta(self) -> dict[str, str]:
        """What was found."""
        return self._found
