"""From files to a corpus folder: counted, deterministic, without leaks, readable by others."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from corpus_made import chinese_prose, prose

from yanmo import artifact
from yanmo.corpus import part as part_module
from yanmo.corpus import shards, staging
from yanmo.corpus.build import CorpusSettings, build_corpus, read_texts, survey
from yanmo.corpus.files import find_files
from yanmo.corpus.reader import split_large
from yanmo.corpus.split import SplitBy
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError

SPLITS = ("train", "valid", "test")


def make_source(folder: Path) -> Path:
    folder.mkdir()
    rows = [f'{n},"Review number {n}: it was {"very " * (n % 7)}good, 真的很好。"' for n in range(300)]
    (folder / "reviews.csv").write_text("id,review\n" + "\n".join([*rows, rows[3]]) + "\n", encoding="utf-8")
    (folder / "bad.bin").write_bytes(bytes(range(256)) * 20)
    (folder / "page.html").write_text("<p>schÃ¶n</p>" + "<p>A page of its own.</p>" * 3, encoding="utf-8")
    (folder / ".hidden").write_text("x")
    return folder


def all_texts(corpus: Corpus) -> list[str]:
    return [text for split in SPLITS for text in corpus.texts(split)]


def test_everything_is_counted(tmp_path: Path) -> None:
    summary = build_corpus(make_source(tmp_path / "in"), tmp_path / "out")
    assert summary.num_documents == 301
    assert summary.rejected == {"binary": 1, "duplicate": 1, "hidden": 1}
    assert summary.cleaned["mojibake repaired"] == 1
    corpus = Corpus.open(tmp_path / "out")
    texts = all_texts(corpus)
    assert summary.num_documents == len(texts) == len(set(texts))
    assert summary.num_bytes == sum(len(text.encode()) for text in texts)
    assert summary.num_characters == sum(map(len, texts))
    for split in SPLITS:
        own = list(corpus.texts(split))
        assert corpus.splits[split]["num_documents"] == len(own) > 0
        assert corpus.num_bytes(split) == sum(len(text.encode()) for text in own)
    assert corpus.summary.to_json() == summary.to_json()
    value = json.loads((tmp_path / "out" / "corpus.json").read_text(encoding="utf-8"))
    assert value["settings"]["seed"] == 0
    assert value["notes"] == ["reviews.csv: text is the field review of id, review"]


def test_the_files_open_elsewhere(tmp_path: Path) -> None:
    build_corpus(make_source(tmp_path / "in"), tmp_path / "out")
    rows = duckdb.sql(f"SELECT * FROM '{tmp_path}/out/train-*.parquet' WHERE source = 'reviews.csv#row=2'")
    assert rows.columns == ["id", "text", "source", "language", "meta"]
    (row,) = rows.fetchall()
    assert row[1].startswith("Review number 0")
    assert json.loads(row[4]) == {"id": "0"}
    reasons = duckdb.sql(f"SELECT source, reason, text FROM '{tmp_path}/out/rejected.parquet' ORDER BY 1")
    assert [(source, reason) for source, reason, _ in reasons.fetchall()] == [
        (".hidden", "hidden"),
        ("bad.bin", "binary"),
        ("reviews.csv#row=302", "duplicate"),
    ]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in")
    first, second = (build_corpus(source, tmp_path / name) for name in ("one", "two"))
    assert first.sha256 == second.sha256
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    shards = [f"{split}-00000.parquet" for split in sorted(SPLITS)]
    others = [".origins.json", "alignments.parquet", "corpus.json", "rejected.parquet", "report.html"]
    assert names == sorted([*others, "yanmo.json", *shards])
    # The report and the manifest name the folder.
    for name in ("corpus.json", "rejected.parquet", *shards):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_seed_and_text_change_the_hash(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in")
    first = build_corpus(source, tmp_path / "one").sha256
    assert build_corpus(source, tmp_path / "two", settings=CorpusSettings(seed=1)).sha256 != first
    (source / "page.html").write_text("<p>Another page.</p>", encoding="utf-8")
    assert build_corpus(source, tmp_path / "three").sha256 != first


def test_repeating_does_nothing_and_changes_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = make_source(tmp_path / "in"), tmp_path / "out"
    made = build_corpus(source, out)
    stamp = (out / "yanmo.json").stat().st_mtime_ns
    capsys.readouterr()
    assert build_corpus(source, out).to_json() == made.to_json()
    assert "nothing to do" in capsys.readouterr().err
    with pytest.raises(InputError, match="made with other settings"):
        build_corpus(source, out, settings=CorpusSettings(seed=1))
    (source / "more.txt").write_text("one more")
    with pytest.raises(InputError, match="made with other sources"):
        build_corpus(source, out)
    assert (out / "yanmo.json").stat().st_mtime_ns == stamp
    assert build_corpus(source, out, force=True).num_documents == made.num_documents + 1


def test_an_output_inside_the_source_is_not_read_back(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in")
    made = build_corpus(source, source / "corpus")
    assert build_corpus(source, source / "corpus", force=True).num_documents == made.num_documents
    assert build_corpus(source, tmp_path / "other").rejected["written by yanmo"] == 1


def test_a_corpus_can_be_a_source(tmp_path: Path) -> None:
    build_corpus(make_source(tmp_path / "in"), tmp_path / "one")
    again = build_corpus([tmp_path / "one"], tmp_path / "two")
    assert again.splits == Corpus.open(tmp_path / "one").splits
    for split in SPLITS:
        one, two = (sorted(Corpus.open(tmp_path / name).texts(split)) for name in ("one", "two"))
        assert one == two


def test_a_named_test_set_is_never_trained_on(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shared = "This very sentence is in train and in test."
    train = [f"Training sentence number {n} with some words." for n in range(200)] + [shared]
    test = [f"Test sentence number {n} with other words." for n in range(50)] + [shared]
    for name, texts in (("train", train), ("test", test)):
        lines = "\n".join(json.dumps({"text": text}) for text in texts)
        (tmp_path / "in" / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    for order in (["train.jsonl", "test.jsonl"], ["test.jsonl", "train.jsonl"]):
        out = tmp_path / order[0]
        summary = build_corpus([tmp_path / "in" / name for name in order], out)
        corpus = Corpus.open(out)
        assert sorted(corpus.texts("test")) == sorted(test)
        assert shared not in [*corpus.texts("train"), *corpus.texts("valid")]
        assert summary.rejected == {"in test split": 1}
        assert sorted([*corpus.texts("train"), *corpus.texts("valid")]) == sorted(train[:-1])
        (row,) = duckdb.sql(f"SELECT text, reason FROM '{out}/rejected.parquet'").fetchall()
        assert row == (shared, "in test split")


def test_a_novel_is_cut_and_joins_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    novel = "".join(f"第{n}回\n　　话说此事如何，且听下回分解。\n\n" for n in range(1000))
    (tmp_path / "novel.txt").write_text(novel, encoding="utf-8")
    build_corpus(tmp_path / "novel.txt", tmp_path / "out", settings=CorpusSettings(test_fraction=0.1))
    assert "held out pieces of 1 document" in capsys.readouterr().err
    corpus = Corpus.open(tmp_path / "out")
    documents = [document for split in SPLITS for document in corpus.documents(split)]
    assert "".join(document.text for document in documents) == novel
    assert [document.source for document in documents] == [f"novel.txt#part={n}" for n in (1, 2, 3)]
    assert documents[1].meta["part"] == "2 of 3"
    assert len(documents[2].text) / len(novel) == pytest.approx(0.1, rel=0.02)


def test_shards_stay_below_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_source(tmp_path / "in")
    whole = build_corpus(source, tmp_path / "one")
    monkeypatch.setattr(shards, "SHARD_BYTES", 4000)
    many = build_corpus(source, tmp_path / "two")
    assert len(list((tmp_path / "two").glob("train-*.parquet"))) > 3
    assert many.sha256 == whole.sha256
    for split in SPLITS:
        one, two = (list(Corpus.open(tmp_path / name).texts(split)) for name in ("one", "two"))
        assert one == two


def test_short_documents_are_refused_by_wish(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in")
    (source / "tiny.txt").write_text("tiny")
    summary = build_corpus(source, tmp_path / "out", settings=CorpusSettings(min_chars=10))
    assert summary.rejected["too short"] == 1


def test_several_sources_keep_their_names_apart(tmp_path: Path) -> None:
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(prose(len(name), 100))
    build_corpus([tmp_path / "left", tmp_path / "right"], tmp_path / "out")
    sources = {document.source for document in Corpus.open(tmp_path / "out").documents("train")}
    assert sources == {"left/a.txt#part=1", "right/a.txt#part=1"}


def test_read_texts_of_files_and_of_a_corpus(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in")
    build_corpus(source, tmp_path / "out")
    corpus = Corpus.open(tmp_path / "out")
    assert read_texts(tmp_path / "out") == list(corpus.texts("test"))
    assert read_texts(tmp_path / "out", "valid") == list(corpus.texts("valid"))
    assert read_texts(source / "page.html") == ["schön\n\n" + "\n\n".join(["A page of its own."] * 3)]
    assert len(read_texts(source)) == 302
    with pytest.raises(InputError, match=r"no text found.*1 binary"):
        read_texts(source / "bad.bin")


def test_survey_counts_without_reading(tmp_path: Path) -> None:
    found = survey(make_source(tmp_path / "in"))
    assert found["num_files"] == 3
    assert found["suffixes"] == {".csv": 1, ".bin": 1, ".html": 1}
    assert found["passed_over"] == {"hidden": 1}


@pytest.mark.parametrize(
    "values", [{"valid_fraction": 0.0}, {"test_fraction": -0.1}, {"test_fraction": 0.6}, {"min_chars": 0}]
)
def test_settings_that_make_no_corpus_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(InputError):
        CorpusSettings(**values)  # type: ignore[arg-type]


def test_split_by_pieces_by_wish(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in")
    for n in range(30):
        (source / f"{n}.txt").write_text(prose(n, 30))
    build_corpus(source, tmp_path / "out", settings=CorpusSettings(split=SplitBy.PIECES))
    parts = [d.source for d in Corpus.open(tmp_path / "out").documents("test")]
    assert "7.txt#part=3" in parts


def test_corpus_open_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such corpus folder"):
        Corpus.open(tmp_path / "absent")
    with pytest.raises(InputError, match="is not a corpus"):
        Corpus.open(tmp_path)
    build_corpus(make_source(tmp_path / "in"), tmp_path / "out")
    with pytest.raises(InputError, match="no split 'tset'"):
        list(Corpus.open(tmp_path / "out").texts("tset"))


def test_a_folder_written_whole_by_yanmo_is_a_source_like_any_other(tmp_path: Path) -> None:
    with artifact.new_folder(tmp_path / "source", kind="source", details={}) as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        for index in range(30):
            (folder / "deep" / "er" / f"{index}.txt").write_text(prose(index, 8))
    summary = build_corpus(tmp_path / "source", tmp_path / "corpus")
    assert summary.num_documents == 30 and not summary.rejected


def make_many(folder: Path) -> Path:
    """Files of several parts, some of which become several chunks."""
    folder.mkdir()
    for index in range(12):
        rows = [prose(100 * index + row, 12) + chinese_prose(100 * index + row, 6) for row in range(60)]
        (folder / f"{index:02d}.jsonl").write_text(
            "".join(json.dumps({"text": text}) + "\n" for text in rows), encoding="utf-8"
        )
    (folder / "bad.bin").write_bytes(bytes(range(256)) * 20)
    return folder


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_module, "PART_BYTES", 300_000)
    monkeypatch.setattr(staging, "CHUNK_ROWS", 50)


def bytes_of(corpus: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in corpus.iterdir()}


def test_the_number_of_processes_changes_nothing(tmp_path: Path, small_parts: None) -> None:
    source = make_many(tmp_path / "in")
    for num_workers in (0, 1, 3):
        build_corpus(source, tmp_path / str(num_workers) / "corpus", num_workers=num_workers)
    alone = bytes_of(tmp_path / "0" / "corpus")
    assert alone == bytes_of(tmp_path / "1" / "corpus") == bytes_of(tmp_path / "3" / "corpus")


@pytest.mark.parametrize("num_files", [1, 5, 9, 14, 20])
def test_work_that_stops_anywhere_goes_on_to_the_same_bytes(
    tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch, num_files: int
) -> None:
    source = make_many(tmp_path / "in")
    build_corpus(source, tmp_path / "whole" / "out", num_workers=0)
    written = 0
    real = staging.copy_to

    def stop_after(*args: Any) -> None:
        nonlocal written
        written += 1
        if written > num_files:
            raise KeyboardInterrupt
        real(*args)

    for module in (staging, shards):
        monkeypatch.setattr(module, "copy_to", stop_after)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        build_corpus(source, out, num_workers=0)
    assert [path.name for path in out.iterdir()] == [".partial"]
    for module in (staging, shards):
        monkeypatch.setattr(module, "copy_to", real)
    build_corpus(source, out, num_workers=0)
    assert bytes_of(out) == bytes_of(tmp_path / "whole" / "out")


def test_other_files_begin_anew_where_work_was_stopped(tmp_path: Path, small_parts: None) -> None:
    source = make_many(tmp_path / "in")
    with artifact.partial_work(tmp_path / "out", kind="corpus", details={"sources": "others"}) as parts:
        (parts / "documents-00000-000.parquet").write_bytes(b"of other files")
        (parts / "chunk-00000-000.json").write_text('{"num_items": 9, "is_last": true, "tally": {}}')
    build_corpus(source, tmp_path / "out", num_workers=0)
    build_corpus(source, tmp_path / "whole" / "out", num_workers=0)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole" / "out")


def test_wrong_input_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("too little")
    with pytest.raises(InputError, match="too small to split"):
        build_corpus(tmp_path / "a.txt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_commands_do_not_write_the_same_corpus(tmp_path: Path) -> None:
    source = make_source(tmp_path / "in")
    with (
        artifact.partial_work(tmp_path / "out", kind="corpus", details={}),
        pytest.raises(InputError, match="another process is working on this corpus"),
    ):
        build_corpus(source, tmp_path / "out")


def test_a_large_file_is_read_in_slices_to_the_same_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    rows = [json.dumps({"text": prose(n, 12)}) for n in range(500)]
    (tmp_path / "in" / "large.jsonl").write_text("\n".join(rows) + "\n")
    corpora = []
    monkeypatch.setattr(part_module, "PART_BYTES", 100_000)
    for slice_bytes in (60_000, 150_000):
        cut = functools.partial(split_large, slice_bytes=slice_bytes)
        monkeypatch.setattr(part_module, "split_large", cut)
        assert len(part_module.make_parts(find_files([tmp_path / "in"]))) > 2
        build_corpus(tmp_path / "in", tmp_path / str(slice_bytes) / "corpus", num_workers=2)
        corpora.append(bytes_of(tmp_path / str(slice_bytes) / "corpus"))
    assert corpora[0] == corpora[1]
    assert Corpus.open(tmp_path / "60000" / "corpus").summary.num_documents == 500
