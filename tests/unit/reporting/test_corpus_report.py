"""The report of a corpus: everything of its account, in two languages, without anything from outside."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from yanmo.reporting.axes import Axis, Words
from yanmo.reporting.charts import Layer, bar_chart, histogram
from yanmo.reporting.corpus_report import corpus_report
from yanmo.reporting.corpus_words import action_words, language_words, personal_words, reason_words

SVG = "{http://www.w3.org/2000/svg}"
X = Words("x", "横")


def example(name: str, detail: str = "") -> dict[str, str]:
    return {
        "id": f"{name}0123456789abcdef"[:32],
        "source": f"{name}.txt",
        "detail": detail,
        "text": f"<{name}>",
    }


def summary(**changes: Any) -> dict[str, Any]:
    row = {"num_documents": 3, "num_bytes": 3000, "num_refused": 1}
    account = {
        "languages": [{"name": "zh", **row}, {"name": "", **row}, {"name": "xx", **row}],
        "sources": [
            *({"name": f"folder-{n}", **row} for n in range(30)),
            {"name": None, "num_names": 1234, **row},
        ],
        "kinds": [{"name": "txt", **row}, {"name": "", **row}],
        "refused": [
            {
                "reason": "poor quality",
                "rule": "c4.lines",
                "num_items": 2,
                "examples": [example("bad", "c4.lines 3")],
            },
            {"reason": "duplicate", "rule": "", "num_items": 1, "examples": [example("twice")]},
        ],
        "personal": [{"kind": "email", "num_found": 1500, "action": "pseudonym"}],
        "lengths": [
            {"min_chars": 8, "num_read": 5, "num_kept": 1},
            {"min_chars": 64, "num_read": 2, "num_kept": 2},
        ],
        "passages": {
            "num_passages": 7,
            "num_taken_out": 4321,
            "most": [{"text": "<passage>", "num_documents": 99}],
        },
        "copies": [{**example("copied"), "num_copies": 17}],
        "clusters": {
            "num_clusters": 2,
            "num_documents": 9,
            "largest": [
                {
                    "num_documents": 7,
                    "num_dropped": 6,
                    "num_files": 5,
                    "similarity": [0.912, 0.998],
                    "members": [example("first"), example("second")],
                }
            ],
        },
    }
    return {
        "num_documents": 6,
        "num_bytes": 9000,
        "rejected": {"duplicate": 1, "poor quality": 2},
        "cleaned": {"mojibake repaired": 4},
        "account": {**account, **changes},
        "split_by": "whole documents",
    }


def shown(page: str, language: str) -> str:
    """All that the page says in a language, and in none."""
    other = {"en": "zh", "zh": "en"}[language]
    plain = re.sub(rf'<(\w+)[^>]*lang="{other}">.*?</\1>', " ", page)
    return " ".join(re.sub(r"<[^>]*>", " ", plain).split())


def test_everything_of_the_account_is_told_in_both_languages() -> None:
    page = corpus_report(summary(), name="mine")
    english, chinese = shown(page, "en"), shown(page, "zh")
    for words in (
        *("Chinese", "unknown", "xx", "folder-29", "1,234 others", ".txt", "without a suffix"),
        *("poor quality", "c4.lines 3", "bad.txt", "e-mail address", "replaced by pseudonyms"),
        *("Taken out 4,321 times", "17 copies dropped", "first.txt", "second.txt"),
        "7 documents in 5 files, 6 dropped; similarity 0.91 – 1.0",
    ):
        assert words in english, words
    for words in (
        *("中文", "未知", "其余 1,234 项", "无后缀", "质量过低", "电子邮箱", "已换成化名", "语言", "来源"),
        *("文件类型", "文档长度", "重复内容", "共删去 4,321 处", "舍去 17 份副本"),
        "7 篇文档（5 个文件），舍去 6 篇；相似度 0.91 – 1.0",
    ):
        assert words in chinese, words
    # Texts of documents are no markup.
    assert "<passage>" not in page and "&lt;passage&gt;" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_report_without_an_account_has_none_of_it() -> None:
    bare = {key: value for key, value in summary().items() if key != "account"}
    page = shown(corpus_report(bare, name="old"), "en")
    assert "mojibake repaired" in page
    for words in ("Languages", "Personal data", "more than once"):
        assert words not in page
    nothing = summary(passages=None, clusters=None, copies=[], personal=[])
    page = shown(corpus_report(nothing, name="new"), "en")
    assert "Languages" in page
    for words in ("Personal data", "more than once"):
        assert words not in page


def test_every_kind_of_personal_data_and_every_action_has_words() -> None:
    from yanmo.corpus.cleaning.cleaner import STEPS
    from yanmo.corpus.document import Reason
    from yanmo.corpus.personal.settings import Action, Kind

    for names, words_of in (
        ([kind.value for kind in Kind], personal_words),
        ([action.value for action in Action], action_words),
        ([*(reason.value for reason in Reason), *STEPS], reason_words),
    ):
        untold = [name for name in names if words_of(name).zh == name]
        assert untold == []
    assert language_words("en") == Words("English", "英语")


def columns(chart: str) -> list[tuple[float, float, str]]:
    """Width, height and colour of each column; the key above has no fraction."""
    root = ElementTree.fromstring(chart)
    found = [rect for rect in root.iter(f"{SVG}rect") if "." in rect.get("x", "")]
    return [
        (float(rect.get("width", "")), float(rect.get("height", "")), rect.get("fill", "")) for rect in found
    ]


def test_columns_are_as_high_as_their_counts() -> None:
    layers = [
        Layer(name=Words("read", "读入"), counts=[10, 20, 0], color="grey"),
        Layer(name=Words("kept", "保留"), counts=[5, 20, 0], color="red"),
    ]
    axis = {"x": Axis(name=X, log=True), "y": Axis(name=X)}
    chart = histogram([1, 2, 4, 8], layers, name="h", title=X, **axis)
    grey = [(width, height) for width, height, color in columns(str(chart)) if color == "grey"]
    red = [(width, height) for width, height, color in columns(str(chart)) if color == "red"]
    assert len(grey) == len(red) == 2
    assert grey[1][1] == pytest.approx(2 * grey[0][1], rel=0.02)
    assert red[0][1] == pytest.approx(grey[0][1] / 2, rel=0.02)
    assert red[0][0] < grey[0][0] == pytest.approx(grey[1][0], abs=0.2)
    assert {"read", "读入", "kept", "保留"} <= set(re.findall(r">([^<>]+)<", str(chart)))
    empty = [Layer(name=X, counts=[0, 0, 0], color="grey")]
    assert histogram([1, 2, 4, 8], empty, name="h", title=X, **axis) == ""


def test_long_names_of_bars_keep_their_ends() -> None:
    name = "a-very-long-folder-name-" * 6 + "end.txt"
    chart = str(bar_chart([(Words(name, name), 2048.0)], name="b", title=X, write=lambda value: "2 KB"))
    drawn = re.findall(r"<text[^>]*>([^<]*)</text>", chart)
    assert "2 KB" in drawn
    short = next(word for word in drawn if "…" in word)
    assert short.startswith("a-very-long") and short.endswith("end.txt")
    assert len(short) < 60
