"""Damaged, hostile and oversized input: one clear reason each, the rest kept, the disk left clean."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import zstandard
from corpus_made import prose

from yanmo.corpus import files, reader
from yanmo.corpus.build import build_corpus
from yanmo.corpus.document import Document, Note, Rejected, make_document
from yanmo.corpus.quality.judge import QualitySettings
from yanmo.corpus.reader import read_documents, read_file
from yanmo.corpus.settings import CorpusSettings
from yanmo.corpus.staging import copy_to
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError, YanmoError

PROSE = "".join(f"Sentence number {n} is here to be read. 第{n}句话。\n" for n in range(300))


def good_source(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "good.txt").write_text(PROSE, encoding="utf-8")
    return folder


def refused(folder: Path) -> dict[str, str]:
    """Source to reason of everything refused; the good text must have been kept."""
    items = list(read_documents(folder))
    assert [item.text for item in items if isinstance(item, Document)] == [PROSE]
    return {item.source: item.reason.value for item in items if isinstance(item, Rejected)}


def encrypted_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "secret")
    data = bytearray(buffer.getvalue())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[bytes(data).index(mark) + offset] |= 1
    return bytes(data)


def zip_with_wrong_checksum() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.txt", "the right words")
    return buffer.getvalue().replace(b"right", b"wrong")


@pytest.mark.parametrize(
    ("name", "data", "source", "reason"),
    [
        ("a.txt.gz", gzip.compress(PROSE.encode(), mtime=0)[:-20], "a.txt.gz", "damaged"),
        ("a.csv.gz", gzip.compress(b"text\n" + b"row\n" * 50_000, mtime=0)[:-9], "a.csv.gz", "damaged"),
        ("a.txt.gz", b"not gzip at all", "a.txt.gz", "damaged"),
        ("a.txt.zst", zstandard.ZstdCompressor().compress(PROSE.encode())[:-9], "a.txt.zst", "damaged"),
        ("a.txt.zst", b"\x28\xb5\x2f\xfdrubbish", "a.txt.zst", "damaged"),
        ("a.zip", b"PK\x03\x04 cut", "a.zip", "damaged"),
        ("a.zip", zip_with_wrong_checksum(), "a.zip/a.txt", "damaged"),
        ("a.zip", encrypted_zip(), "a.zip/a.txt", "encrypted"),
        ("a.parquet", b"PAR1 nothing PAR1", "a.parquet", "damaged"),
        ("a.txt", b"", "a.txt", "empty"),
        ("a.html", b"<p>x<a " + b" ".join(b"k%d=1" % n for n in range(40_000)), "a.html", "too large"),
        ("a.json", b"{broken", "a.json", "broken JSON"),
        ("a.json", b"[" * 100_000, "a.json#item=1", "broken JSON"),
        ("a.txt.gz", gzip.compress(b"", mtime=0), "a.txt.gz", "empty"),
    ],
)
def test_damage_is_refused_and_the_rest_is_kept(
    tmp_path: Path, name: str, data: bytes, source: str, reason: str
) -> None:
    (good_source(tmp_path) / name).write_bytes(data)
    assert refused(tmp_path) == {source: reason}


@pytest.mark.parametrize("kind", ["gz", "zst", "zip"])
def test_a_decompression_bomb_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(files, "MIN_ALLOWED_BYTES", 1 << 20)
    path, bomb = good_source(tmp_path) / f"a.txt.{kind}", b"a" * (64 << 20)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.txt", bomb)
    elif kind == "gz":
        path.write_bytes(gzip.compress(bomb, 1))
    else:
        path.write_bytes(zstandard.ZstdCompressor().compress(bomb))
    assert list(refused(tmp_path).values()) == ["decompression bomb"]


def test_members_of_a_zip_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first.txt", PROSE)
        archive.writestr("alone.txt", PROSE)
        # Listed again under another name: the bytes of the first stand for two.
        again = zipfile.ZipInfo("again.txt")
        for name in ("CRC", "compress_size", "file_size", "header_offset", "compress_type"):
            setattr(again, name, getattr(archive.getinfo("first.txt"), name))
        archive.filelist.append(again)
    path = tmp_path / "a.zip"
    path.write_bytes(inner.getvalue())
    items = list(read_documents(path))
    assert [item.source for item in items if isinstance(item, Document)] == ["a.zip/alone.txt"]
    found = {item.source: item.detail for item in items if isinstance(item, Rejected)}
    assert found == dict.fromkeys(["a.zip/first.txt", "a.zip/again.txt"], "zip: overlaps another member")


def test_a_bomb_ends_before_it_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MIN_ALLOWED_BYTES", 1 << 20)
    data = b"".join(gzip.compress(bytes(1 << 20), 9, mtime=0) for _ in range(400))
    (good_source(tmp_path) / "a.txt.gz").write_bytes(data)
    num_read = 0

    def count(num_bytes: int) -> None:
        nonlocal num_read
        num_read += num_bytes

    (file,) = (file for file in files.find_files([tmp_path]) if file.label != "good.txt")
    (item,) = read_file(file, text_column=None, note=str, meter=count)
    assert isinstance(item, Rejected)
    assert item.reason.value == "decompression bomb"
    assert num_read < len(data) / 2


def test_rows_without_end_of_hardly_a_character_are_left(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "x\n" * 50_000)
    (tmp_path / "b.csv").write_text("text\n" + "字词\n" * 50_000, encoding="utf-8")
    items = list(read_documents(tmp_path))
    kept = [item.source.partition("#")[0] for item in items if isinstance(item, Document)]
    assert (kept.count("a.csv"), kept.count("b.csv")) == (20_000, 50_000)
    (left,) = (item for item in items if isinstance(item, Rejected))
    assert left.source == "a.csv#row=20001"
    assert "the rest is not read" in left.detail


def test_links_pipes_and_loops_do_not_hang(tmp_path: Path) -> None:
    source = good_source(tmp_path / "in")
    (source / "sub").mkdir()
    (source / "sub" / "up").symlink_to(source)
    (source / "nowhere").symlink_to(source / "absent")
    (source / "self").symlink_to(source / "self")
    os.mkfifo(source / "pipe.txt")
    assert refused(source) == {
        "nowhere": "unreadable",
        "pipe.txt": "not a regular file",
        "self": "unreadable",
        "sub/up": "link loop",
    }


def test_a_linked_folder_is_read(tmp_path: Path) -> None:
    good_source(tmp_path / "elsewhere")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    assert refused(tmp_path / "in") == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    (good_source(tmp_path) / "locked.txt").write_text("x")
    (tmp_path / "locked.txt").chmod(0)
    assert refused(tmp_path) == {"locked.txt": "unreadable"}


def test_a_file_that_vanishes_or_fails_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (good_source(tmp_path) / "a.txt").write_text("x")
    original = files._MeteredFile.__init__

    def failing(self: files._MeteredFile, path: Path, meter: files.Meter | None) -> None:
        if path.name == "a.txt":
            raise OSError(5, "Input/output error")
        original(self, path, meter)

    monkeypatch.setattr(files._MeteredFile, "__init__", failing)
    assert refused(tmp_path) == {"a.txt": "unreadable"}


@pytest.mark.parametrize("error", [KeyError("shape"), MemoryError(), RecursionError("deep")])
def test_what_a_reader_did_not_foresee_costs_its_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def stumbling(blob: files.Blob, *, text_column: str | None, note: Note) -> Iterator[Document]:
        yield make_document("read before\n", blob.label)
        raise error

    monkeypatch.setitem(reader.READERS, ".md", stumbling)
    source = good_source(tmp_path / "in")
    (source / "a.md").write_text("# x")
    with zipfile.ZipFile(source / "b.zip", "w") as archive:
        archive.writestr("one.md", "# x")
        archive.writestr("two.txt", "read after\n")
    items = list(read_documents(source))
    texts = {item.source: item.text for item in items if isinstance(item, Document)}
    assert texts["good.txt"] == PROSE
    assert texts["a.md"] == texts["b.zip/one.md"] == "read before\n"
    assert texts["b.zip/two.txt"] == "read after\n"
    details = {item.source: item.detail for item in items if isinstance(item, Rejected)}
    assert details == dict.fromkeys(("a.md", "b.zip/one.md"), f"unforeseen {type(error).__name__}: {error}")
    assert build_corpus(source, tmp_path / "out", num_workers=0).num_documents


def test_a_full_disk_is_not_a_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(blob: files.Blob, *, text_column: str | None, note: Note) -> Iterator[Document]:
        yield make_document("read before\n", blob.label)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(reader.READERS, ".txt", full)
    with pytest.raises(OSError, match="No space left"):
        list(read_documents(good_source(tmp_path / "in")))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "absent", "no such file or folder"),
        (lambda folder: folder, "no text found"),
        (lambda folder: _file(folder / "b.bin", bytes(1000)), r"no text found \(1 binary\)"),
        (lambda folder: _file(folder / "tiny.txt", b"a few words"), "too small to split: 1 document"),
        (lambda folder: _file(folder / "blank.txt", b" \n" * 9000), r"no text found \(1 empty\)"),
    ],
)
def test_useless_input_is_one_line_and_leaves_nothing(tmp_path: Path, make, message: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "in").mkdir()
    source = make(tmp_path / "in")
    with pytest.raises(InputError, match=message) as caught:
        build_corpus(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_another_folder_is_not_overwritten(tmp_path: Path) -> None:
    source, out = good_source(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("dear")
    with pytest.raises(InputError, match="not a corpus"):
        build_corpus(source, out)
    assert (out / "thesis.txt").read_text() == "dear"


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_corpus_is_not_opened(tmp_path: Path, damage: str) -> None:
    build_corpus(good_source(tmp_path / "in"), tmp_path / "out")
    path = tmp_path / "out" / "train-00000.parquet"
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-7] if damage == "cut" else data[:99] + b"?" + data[100:])
    with pytest.raises(InputError, match=r"train-00000\.parquet"):
        Corpus.open(tmp_path / "out")


def test_a_full_disk_is_one_line_and_the_command_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """Files are held to a size by the process's file-size limit, as a full disk would."""
    source = good_source(tmp_path / "in")
    for n in range(40):
        (source / f"{n}.txt").write_text(prose(n, 3000))
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        # The tables of the language model are unpacked into a large temporary file.
        "from yanmo.corpus.language.model import load_language_model; load_language_model();"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20));"
        "from yanmo.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "corpus", str(source), "--out", str(tmp_path / "out")]
    command += ["--workers", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "yanmo: " in done.stderr.splitlines()[-1]
    assert "written" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".partial"]
    assert build_corpus(source, tmp_path / "out").num_documents > 40
    assert not (tmp_path / "out" / ".partial").exists()


def test_no_space_is_called_a_full_disk(tmp_path: Path) -> None:
    class Full:
        def execute(self, query: str) -> None:
            raise duckdb.IOException("IO Error: Could not write file: No space left on device")

    with pytest.raises(YanmoError, match="the disk is full"):
        copy_to(Full(), "SELECT 1", tmp_path / "a.parquet")  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_killed_while_building_and_repeated(tmp_path: Path, number: int) -> None:
    source = good_source(tmp_path / "in")
    rows = "\n".join(json.dumps({"text": prose(n, 2)}) for n in range(20_000))
    (source / "rows.jsonl").write_text(rows)
    command = [sys.executable, "-c", "from yanmo.cli.main import main; main()"]
    command += ["corpus", str(source), "--workers", "2", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline_s = time.monotonic() + 60
    while not list(tmp_path.glob("out/.partial/work.json")) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGKILL), errors
    # Whoever kills the parent outright may hear from a child that was half begun.
    assert number == signal.SIGKILL or b"Traceback" not in errors
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".partial"]
    assert build_corpus(source, tmp_path / "out").num_documents > 19_000
    Corpus.open(tmp_path / "out")


def test_a_long_single_line_takes_bounded_time(tmp_path: Path) -> None:
    """A long text in one line must not cost more than a few times what it costs in many lines."""
    words = "words “quoted” und schÃ¶n 中文 " * 8_000
    seconds, no_rules = [], QualitySettings(sets=())
    for index, text in enumerate((words, words.replace("und ", "und\n"))):
        path = tmp_path / f"{index}.txt"
        path.write_text(text, encoding="utf-8")
        started_s = time.process_time()
        build_corpus(path, tmp_path / f"out{index}", settings=CorpusSettings(quality=no_rules))
        seconds.append(time.process_time() - started_s)
    assert seconds[0] < 5 * seconds[1] + 1
