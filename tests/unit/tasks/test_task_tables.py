"""Tables of every container to the same examples; labels of every kind; where each example came from."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from yanmo.errors import InputError
from yanmo.tasks.base import ReadSettings
from yanmo.tasks.examples import ClassificationExample, Origin, PairExample, SimilarityExample, TextExample
from yanmo.tasks.labels import LabelKind
from yanmo.tasks.read import load_examples, read_examples

ROWS = [
    {"评论": "房间干净，服务员也很热情", "标签": "好评"},
    {"评论": "早餐太差，隔音几乎没有", "标签": "差评"},
    {"评论": "it left me smiling all the way home", "标签": "好评"},
]
TASK = "text-classification"


def write_csv(path: Path) -> None:
    path.write_text(
        "评论,标签\n" + "".join(f"{row['评论']},{row['标签']}\n" for row in ROWS), encoding="utf-8"
    )


def write_tsv(path: Path) -> None:
    path.write_text(
        "评论\t标签\n" + "".join(f"{row['评论']}\t{row['标签']}\n" for row in ROWS), encoding="utf-8"
    )


def write_gbk(path: Path) -> None:
    rows = "".join(f"{row['评论']},{row['标签']}\n" for row in ROWS * 8)
    path.write_bytes(f"评论,标签\n{rows}".encode("gb18030"))


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), encoding="utf-8")


def write_json(path: Path) -> None:
    path.write_text(json.dumps({"version": 1, "data": ROWS}), encoding="utf-8")


def write_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in ROWS).encode()))


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data/rows.jsonl", "\n".join(json.dumps(row) for row in ROWS))


def write_parquet(path: Path) -> None:
    values = ", ".join(f"('{row['评论']}', '{row['标签']}')" for row in ROWS)
    duckdb.execute(f"COPY (SELECT * FROM (VALUES {values}) AS t(评论, 标签)) TO '{path}' (FORMAT parquet)")


def write_xlsx(path: Path) -> None:
    rows = [["评论", "标签"], *(list(row.values()) for row in ROWS)]
    cells = "".join(
        f'<row r="{r}">'
        + "".join(
            f'<c r="{"AB"[c]}{r}" t="inlineStr"><is><t>{cell}</t></is></c>' for c, cell in enumerate(row)
        )
        + "</row>"
        for r, row in enumerate(rows, 1)
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets><sheet name="S" sheetId="1" r:id="r1"/>'
            "</sheets></workbook>",
        )
        file.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}"><Relationship Id="r1" Type="{office}/worksheet"'
            ' Target="worksheets/sheet1.xml"/></Relationships>',
        )
        file.writestr(
            "xl/worksheets/sheet1.xml",
            f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>',
        )


@pytest.mark.parametrize(
    ("name", "write", "second"),
    [
        ("a.csv", write_csv, "a.csv line 3"),
        ("a.tsv", write_tsv, "a.tsv line 3"),
        ("gbk.csv", write_gbk, "gbk.csv line 3"),
        ("a.jsonl", write_jsonl, "a.jsonl line 2"),
        ("a.json", write_json, "a.json row 2"),
        ("a.jsonl.gz", write_gzip, "a.jsonl.gz line 2"),
        ("a.zip", write_zip, "a.zip/data/rows.jsonl line 2"),
        ("a.parquet", write_parquet, "a.parquet row 2"),
        ("a.xlsx", write_xlsx, "a.xlsx row 3 sheet=S"),
    ],
)
def test_containers(name: str, write: Callable[[Path], None], second: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    loaded = load_examples(tmp_path / name, TASK)
    found = [(e.text, e.label) for e in loaded.examples[:3] if isinstance(e, ClassificationExample)]
    assert found == [tuple(row.values()) for row in ROWS]
    assert str(loaded.examples[1].origin) == second
    assert any("text = 评论 (by its name), label = 标签 (by its name)" in note for note in loaded.notes)
    assert len(loaded.broken) == 0


def test_a_folder_of_splits_in_arrow(tmp_path: Path) -> None:
    nanoarrow = pytest.importorskip("nanoarrow")
    from nanoarrow import ipc

    for split, names in (("train", ["房间干净", "早餐太差"]), ("test", ["it left me smiling"])):
        texts = nanoarrow.c_array(names, nanoarrow.string())
        labels = nanoarrow.c_array([1, 0][: len(names)], nanoarrow.int64())
        columns = nanoarrow.struct({"text": nanoarrow.string(), "label": nanoarrow.int64()})
        rows = nanoarrow.c_array_from_buffers(columns, len(names), [None], children=[texts, labels])
        buffer = io.BytesIO()
        with ipc.StreamWriter.from_writable(buffer) as writer:
            writer.write_array(rows)
        folder = tmp_path / split
        folder.mkdir()
        (folder / "data-00000-of-00001.arrow").write_bytes(buffer.getvalue())
        feature = {"_type": "ClassLabel", "names": ["差评", "好评"]}
        (folder / "dataset_info.json").write_text(json.dumps({"features": {"label": feature}}))
        (folder / "state.json").write_text("{}")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    loaded = load_examples(tmp_path, TASK)
    assert [(e.inputs()[0], e.labels()) for e in loaded.examples] == [
        ("it left me smiling", ("好评",)),
        ("房间干净", ("好评",)),
        ("早餐太差", ("差评",)),
    ]
    assert str(loaded.examples[2].origin) == "train/data-00000-of-00001.arrow row 2"
    assert len(loaded.broken) == 0


def test_a_datasets_folder_names_its_classes(tmp_path: Path) -> None:
    rows = "SELECT 'so it is' AS text, 1 AS label UNION ALL SELECT 'as it was', 0"
    duckdb.execute(f"COPY ({rows}) TO '{tmp_path / 'train.parquet'}' (FORMAT parquet)")
    names = {"_type": "ClassLabel", "names": ["neg", "pos"]}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": {"label": names}}))
    loaded = load_examples(tmp_path, TASK)
    assert sorted(e.label for e in loaded.examples if isinstance(e, ClassificationExample)) == ["neg", "pos"]


@pytest.mark.parametrize("wrapped", [True, False])
def test_tags_by_number(wrapped: bool, tmp_path: Path) -> None:
    rows = "SELECT ['张', '伟', 'ran'] AS tokens, [1, 2, 0] AS ner_tags, [0, 0, 1] AS pos_tags"
    duckdb.execute(f"COPY ({rows}) TO '{tmp_path / 'a.parquet'}' (FORMAT parquet)")
    names = {"_type": "ClassLabel", "names": ["O", "B-PER", "I-PER"]}
    feature: Any = {"_type": "Sequence", "feature": names} if wrapped else [names]
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": {"ner_tags": feature}}))
    (example,) = load_examples(tmp_path, "token-classification").examples
    assert example.target() == ("B-PER", "I-PER", "O")


def test_a_parquet_file_names_its_classes(tmp_path: Path) -> None:
    features = {"label": {"_type": "ClassLabel", "names": ["负面", "正面"]}}
    info = json.dumps({"info": {"features": features}}, ensure_ascii=False)
    duckdb.execute(
        f"COPY (SELECT 'so it is' AS text, 1 AS label) TO '{tmp_path / 'a.parquet'}'"
        f" (FORMAT parquet, KV_METADATA {{huggingface: '{info}'}})"
    )
    (example,) = load_examples(tmp_path, TASK).examples
    assert example.labels() == ("正面",)


@pytest.mark.parametrize("name", ["train.txt", "train"])
def test_tables_under_another_name(name: str, tmp_path: Path) -> None:
    write_tsv(tmp_path / name)
    assert [example.labels() for example in load_examples(tmp_path, TASK).examples[:2]] == [
        ("好评",),
        ("差评",),
    ]
    write_jsonl(tmp_path / name)
    assert len(load_examples(tmp_path / name, TASK).examples) == 3


def labels(folder: Path, rows: list[Any], **settings: Any) -> list[Any]:
    """The labels of rows with these cells."""
    lines = [json.dumps({"text": f"text {i}", "label": cell}) for i, cell in enumerate(rows)]
    (folder / "a.jsonl").write_text("\n".join(lines))
    found = load_examples(folder / "a.jsonl", TASK, ReadSettings(**settings)).examples
    return [example.label for example in found if isinstance(example, ClassificationExample)]


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        ([0, 1, 1], ["0", "1", "1"]),
        ([0.0, 1.0], ["0", "1"]),
        ([True, False], ["true", "false"]),
        ([" 好 ", "坏"], ["好", "坏"]),
        ([["a", "b"], [], ["b"]], [("a", "b"), (), ("b",)]),
        (["a|b", "b", "a", "b|a"], [("a", "b"), ("b",), ("a",), ("b", "a")]),
        (["rock; pop", "pop", "rock"], [("rock", "pop"), ("pop",), ("rock",)]),
        (["yes; and no", "no"], ["yes; and no", "no"]),
        ([i / 4 for i in range(12)], [i / 4 for i in range(12)]),
    ],
)
def test_kinds_of_labels(cells: list[Any], wanted: list[Any], tmp_path: Path) -> None:
    assert labels(tmp_path, cells) == wanted


def test_files_that_show_another_kind_follow_the_others(tmp_path: Path) -> None:
    rows = "".join(f"甲{i}\t乙{i}\t{i / 4}\n" for i in range(20))
    (tmp_path / "train.tsv").write_text(f"句子1\t句子2\t相似度\n{rows}", encoding="utf-8")
    (tmp_path / "test.tsv").write_text("句子1\t句子2\t相似度\n丙\t丁\t3\n戊\t己\t0\n", encoding="utf-8")
    found = load_examples(tmp_path, "pair-classification").examples
    assert [example.target() for example in found[:2]] == [3.0, 0.0]
    (tmp_path / "a.jsonl").write_text('{"text": "so", "label": "x"}\n')
    (tmp_path / "b.jsonl").write_text('{"text": "as", "label": ["x", "y"]}\n')
    both = load_examples([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], TASK).examples
    assert [example.target() for example in both] == [("x",), ("x", "y")]


def test_the_kind_of_labels_can_be_said(tmp_path: Path) -> None:
    assert labels(tmp_path, [1, 2, 3], label_kind=LabelKind.NUMBER) == [1.0, 2.0, 3.0]
    assert labels(tmp_path, [0.5] + [i / 4 for i in range(12)], label_kind=LabelKind.ONE)[0] == "0.5"


def test_a_column_for_each_class(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "text,toxic,rude\nso it goes,1,0\n又来,0,0\nwell then,1,是\n", encoding="utf-8"
    )
    settings = ReadSettings(columns={"label": ("toxic", "rude")})
    found = load_examples(tmp_path / "a.csv", TASK, settings).examples
    assert [e.label for e in found if isinstance(e, ClassificationExample)] == [
        ("toxic",),
        (),
        ("toxic", "rude"),
    ]


def test_lines_and_rows_of_texts_with_line_breaks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\n"one\ntwo",x\nthree,y\n')
    origins = [example.origin for example in load_examples(tmp_path / "a.csv", TASK).examples]
    assert origins == [Origin("a.csv", 2, 2), Origin("a.csv", 3, 4)]
    assert str(origins[1]) == "a.csv row 3 (line 4)"


def test_rows_to_predict_on_need_no_label(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("review,stars\nso it goes,\nas it was,4\n")
    found = load_examples(tmp_path, TASK, ReadSettings(labelled=False)).examples
    assert [e.label for e in found if isinstance(e, ClassificationExample)] == [None, "4"]
    (tmp_path / "a.csv").write_text("review\nso it goes\nas it was\n")
    assert len(load_examples(tmp_path, TASK, ReadSettings(labelled=False)).examples) == 2


def test_a_folder_a_class(tmp_path: Path) -> None:
    for split, label, number in (("train", "正面", 1), ("train", "负面", 2), ("test", "正面", 3)):
        folder = tmp_path / split / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_text(f"第{number}条评论", encoding="utf-8")
    (tmp_path / "README.txt").write_text("What this is.")
    loaded = load_examples(tmp_path, TASK)
    found = [
        (e.text, e.label, e.origin.file) for e in loaded.examples if isinstance(e, ClassificationExample)
    ]
    assert found == [
        ("第3条评论", "正面", "test/正面/3.txt"),
        ("第1条评论", "正面", "train/正面/1.txt"),
        ("第2条评论", "负面", "train/负面/2.txt"),
    ]
    assert [str(row.origin) for row in loaded.broken] == ["README.txt"]


def test_fasttext_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("__label__a so it is\n__label__a __label__b 又来了\n", encoding="utf-8")
    found = load_examples(tmp_path / "a.txt", TASK).examples
    assert [(e.text, e.label) for e in found if isinstance(e, ClassificationExample)] == [
        ("so it is", ("a",)),
        ("又来了", ("a", "b")),
    ]


def test_pairs_and_triples(tmp_path: Path) -> None:
    rows = "甲\t乙\t3.5\n丙\t丁\t0\n" * 8
    (tmp_path / "a.tsv").write_text(f"句子1\t句子2\t相似度\n{rows}", encoding="utf-8")
    pair = load_examples(tmp_path / "a.tsv", "pair-classification").examples[0]
    assert isinstance(pair, PairExample)
    assert (pair.first, pair.second) == ("甲", "乙")
    alike = load_examples(tmp_path / "a.tsv", "sentence-similarity").examples[0]
    assert isinstance(alike, SimilarityExample)
    assert (alike.first, alike.second, alike.score) == ("甲", "乙", 3.5)
    (tmp_path / "b.jsonl").write_text('{"query": "a", "positive": "b", "negative": "c"}\n')
    triple = load_examples(tmp_path / "b.jsonl", "sentence-similarity").examples[0]
    assert isinstance(triple, SimilarityExample)
    assert triple.inputs() == ("a", "b", "c")


def test_texts_alone_are_documents(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "甲"}\n{"text": "乙"}\n', encoding="utf-8")
    found = load_examples(tmp_path, "text-generation").examples
    assert [(e.text, str(e.origin)) for e in found if isinstance(e, TextExample)] == [
        ("甲", "a.jsonl line 1"),
        ("乙", "a.jsonl line 2"),
    ]


def test_a_column_of_splits(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label,fold\nso,x,Train\nas,y,dev\nit,x,TEST\n")
    found = load_examples(tmp_path, TASK, ReadSettings(split_column="fold")).examples
    assert [example.origin.split for example in found] == ["train", "valid", "test"]


def test_rows_are_given_as_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + "so it goes,x\n" * 50_000)
    items = read_examples(tmp_path, TASK, note=lambda line: None)
    assert isinstance(next(items), ClassificationExample)


def test_wrong_use_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nso,x\n")
    with pytest.raises(InputError, match=r"there is no task 'sentiment' \(tasks: text-classification"):
        load_examples(tmp_path, "sentiment")
    with pytest.raises(InputError, match=r"has no column 'summary' \(it has: text, label"):
        load_examples(tmp_path, TASK, ReadSettings(columns={"summary": "text"}))
    with pytest.raises(InputError, match="no such file or folder"):
        load_examples(tmp_path / "none", TASK)
