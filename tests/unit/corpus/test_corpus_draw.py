"""An even sample of files: the same at every draw, of everything, and of about the size asked for."""

from __future__ import annotations

import gzip
import json
import random
import zipfile
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest
from corpus_made import prose

from yanmo.corpus.draw import NUM_WINDOWS, Drawn, draw
from yanmo.corpus.files import SourceFile, find_files


def files_in(folder: Path) -> list[SourceFile]:
    return [file for file in find_files([folder]) if isinstance(file, SourceFile)]


def drawn_from(folder: Path, scratch: Path, num_bytes: int) -> list[Drawn]:
    scratch.mkdir(exist_ok=True)
    return [drawn for window in draw(files_in(folder), scratch, num_bytes=num_bytes) for drawn in window]


def covered(drawn: Sequence[Drawn]) -> int:
    return sum(one.num_bytes for one in drawn)


def test_little_is_drawn_whole(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(200):
        (tmp_path / "in" / f"{n:03}.txt").write_text("x" * (n % 17 + 1))
    (tmp_path / "in" / "large.txt").write_text("long " * 1000)
    drawn = drawn_from(tmp_path / "in", tmp_path / "scratch", 1 << 20)
    assert [one.file for one in drawn] == files_in(tmp_path / "in")
    assert not any(one.is_cut or one.is_archive for one in drawn)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_of_many_small_files_an_even_share_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(3000):
        (tmp_path / "in" / f"{n:04}.txt").write_text("x" * 100)
    drawn = drawn_from(tmp_path / "in", tmp_path / "scratch", 30_000)
    assert covered(drawn) == pytest.approx(30_000, rel=0.25)
    numbers = [int(one.file.path.stem) for one in drawn]
    assert numbers == sorted(set(numbers))
    for low in range(0, 3000, 300):
        assert len([n for n in numbers if low <= n < low + 300]) == pytest.approx(30, abs=10)
    assert drawn == drawn_from(tmp_path / "in", tmp_path / "scratch", 30_000)


def test_lines_of_a_large_file_come_from_all_over_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    lines = [json.dumps({"text": f"{n} " + "word " * (n % 7)}) for n in range(20_000)]
    for name in ("large.jsonl", "large.log"):
        (tmp_path / "in" / name).write_text("\n".join(lines) + "\n")
    drawn = drawn_from(tmp_path / "in", tmp_path / "scratch", 128_000)
    assert covered(drawn) == pytest.approx(128_000, rel=0.05)
    assert all(one.is_cut for one in drawn)
    assert {one.file.label for one in drawn} == {"large.jsonl", "large.log"}
    assert len(drawn) >= NUM_WINDOWS
    known, first = set(lines), []
    for one in drawn:
        found = one.file.path.read_text().splitlines()
        assert known.issuperset(found)
        assert len(one.file.path.read_bytes()) == one.file.num_bytes
        if one.file.label == "large.log":
            first.append(int(json.loads(found[0])["text"].split()[0]))
    assert first == sorted(first)
    assert first[0] < 700 and first[-1] > 19_000


def test_of_tables_the_beginning_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    table = "id,text\n" + "".join(f'{n},"row number {n}"\n' for n in range(20_000))
    (tmp_path / "in" / "a.csv").write_text(table)
    (tmp_path / "in" / "b.csv.gz").write_bytes(gzip.compress(table.encode(), mtime=0))
    duckdb.execute(
        f"COPY (SELECT range AS id, 'row ' || range AS text FROM range(100000))"
        f" TO '{tmp_path}/in/c.parquet' (FORMAT parquet)"
    )
    drawn = {one.file.label: one for one in drawn_from(tmp_path / "in", tmp_path / "scratch", 200_000)}
    assert list(drawn) == ["a.csv", "b.csv", "c.parquet"]
    for name in ("a.csv", "b.csv"):
        text = drawn[name].file.path.read_text()
        assert table.startswith(text) and text.endswith("\n")
    assert drawn["a.csv"].num_bytes == pytest.approx(len(drawn["a.csv"].file.path.read_bytes()), abs=70_000)
    # Bytes on disk, of which the text is many.
    packed = (tmp_path / "in" / "b.csv.gz").stat().st_size
    assert 0 < drawn["b.csv"].num_bytes < min(packed, drawn["b.csv"].file.num_bytes)
    ((rows,),) = duckdb.execute(
        "SELECT count(*) FROM read_parquet(?)", [str(drawn["c.parquet"].file.path)]
    ).fetchall()
    share = drawn["c.parquet"].num_bytes / (tmp_path / "in" / "c.parquet").stat().st_size
    assert rows == pytest.approx(100_000 * share, rel=0.01)
    assert 0 < share < 1


def test_archives_are_limited_and_what_cannot_be_cut_is_whole(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as archive:
        for n in range(300):
            archive.writestr(f"{n}.txt", prose(n, 10))
    damaged = gzip.compress(random.Random(0).randbytes(30_000), mtime=0)[:-10_000]
    (tmp_path / "in" / "b.txt.gz").write_bytes(damaged)
    (tmp_path / "in" / "b.parquet").write_bytes(b"PAR1" + damaged)
    page = "<html><body>" + f"<p>{prose(1, 2000)}</p>" + "</body></html>"
    (tmp_path / "in" / "c.html").write_text(page)
    drawn = {one.file.label: one for one in drawn_from(tmp_path / "in", tmp_path / "scratch", 60_000)}
    assert drawn["a.zip"].is_archive
    assert drawn["a.zip"].num_bytes < drawn["a.zip"].file.num_bytes
    others = [one for one in drawn.values() if one.file.label != "a.zip"]
    assert all(not one.is_cut and one.num_bytes == one.file.num_bytes for one in others)


def test_what_cannot_be_cut_is_drawn_where_it_begins(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(400):
        (tmp_path / "in" / f"{n:03}.html").write_text("<p>page</p>" * 1000)
    drawn = drawn_from(tmp_path / "in", tmp_path / "scratch", 1_000_000)
    assert covered(drawn) == pytest.approx(1_000_000, rel=0.35)
    assert not any(one.is_cut for one in drawn)
