"""From a document of a corpus back to the file that it was read from.

A corpus names its sources by labels, relative to what was read, so that it says nothing of its maker's
machine and is the same wherever it is made. Where the sources lay is written into a hidden file that is no
part of what is sealed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from yanmo.artifact import read_json, write_json
from yanmo.corpus.document import Document, Rejected
from yanmo.corpus.files import REPAIRED, Encoding, Slice, SourceFile, find_files
from yanmo.corpus.reader import read_file
from yanmo.errors import InputError

ORIGINS_FILE = ".origins.json"
_PART = re.compile(r"#part=\d+$")
_BYTE = re.compile(r"#byte=(\d+)$")


def remember_origins(corpus: Path, sources: Sequence[Path]) -> None:
    """Write down where the sources of a finished corpus lie."""
    write_json(corpus / ORIGINS_FILE, {"sources": [str(source.absolute()) for source in sources]})


def known_origins(corpus: Path) -> list[Path]:
    """Where the sources of a corpus lay when it was made; nothing where that was lost."""
    file = corpus / ORIGINS_FILE
    if not file.is_file():
        return []
    found = read_json(file).get("sources")
    if not isinstance(found, list) or not all(isinstance(source, str) for source in found):
        raise InputError("does not name the sources", where=file, remedy="name them with --source")
    return [Path(source) for source in found]


def label_of(source: str) -> str:
    """The source of a document without the number of its piece."""
    return _PART.sub("", source)


def find_file(label: str, sources: Sequence[Path]) -> SourceFile | None:
    """The file that the label of a document begins with; None where it is no longer there.

    Args:
        label: as of ``label_of``, such as ``mails/a.zip/b.csv#row=12``.
        sources: the files and folders that were read, in their order.
    """
    for source in sources:
        # As find_files names them.
        prefix = Path(source).resolve().name if len(sources) > 1 or not source.is_dir() else ""
        if not prefix:
            found = _below(source, label, "")
        elif label == prefix or label.startswith((f"{prefix}/", f"{prefix}#")):
            found = _below(source, label.removeprefix(prefix).removeprefix("/"), prefix)
        else:
            continue
        if found is not None:
            return found
    present = (source for source in sources if source.exists())
    # Names that are not valid Unicode are found by looking at all.
    return next((file for source in present for file in _named(source, label, sources)), None)


def read_again(
    label: str, meta: Mapping[str, str], file: SourceFile, *, text_column: str | None
) -> Document | Rejected | None:
    """What its reader gives under a label now; None where there is no longer such a document.

    Args:
        label: as of ``label_of``.
        meta: of the document.
        file: where it was read.
        text_column: as when the corpus was made.
    """
    place = _BYTE.search(label)
    if place is not None:
        begin = int(place[1])
        file = replace(file, slice=Slice(begin=begin, end=begin + 1, encoding=_encoding(meta)))
    items = read_file(file, text_column=text_column, note=lambda line: None)
    return next((item for item in items if item.source == label), None)


def _below(source: Path, rest: str, prefix: str) -> SourceFile | None:
    """The first file on the way down; what is behind it is a member, a row, or a section."""
    path, label = source, prefix
    if path.is_file():
        return _file(path, label)
    for part in PurePosixPath(rest).parts:
        if part in ("..", "/"):
            return None
        # A name may hold the sign that rows begin with.
        names = ["#".join(part.split("#")[:count]) for count in range(part.count("#") + 1, 0, -1)]
        name = next((name for name in names if name and (path / name).exists()), None)
        if name is None:
            return None
        path, label = path / name, f"{label}/{name}".lstrip("/")
        if path.is_file():
            return _file(path, label)
    return None


def _named(source: Path, label: str, sources: Sequence[Path]) -> Iterator[SourceFile]:
    several = len(sources) > 1
    for file in find_files([source]):
        if isinstance(file, SourceFile):
            own = f"{source.resolve().name}/{file.label}" if several and source.is_dir() else file.label
            if label == own or label.startswith((f"{own}#", f"{own}/")):
                yield replace(file, label=own)


def _file(path: Path, label: str) -> SourceFile:
    return SourceFile(path=path, label=label, num_bytes=path.stat().st_size)


def _encoding(meta: Mapping[str, str]) -> Encoding:
    """How the lines of a slice are decoded, from what its documents keep of it."""
    written = meta.get("encoding", "utf-8")
    name = written.removesuffix(REPAIRED).split(" or ")[0]
    return Encoding(name=name, num_bad=int(written.endswith(REPAIRED)))
