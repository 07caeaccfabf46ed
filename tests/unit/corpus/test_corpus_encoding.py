"""Encodings are told apart, and binary data is not taken for text."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from yanmo.corpus.document import Document, Rejected
from yanmo.corpus.reader import read_documents

CHINESE = (
    "这是一个关于石头的故事，说的是从前有一座山，山上有一个庙，庙里有个老和尚在给小和尚讲他们的故事。" * 3
)
FRENCH = "L’été dernier, à la façade d’un café, j’ai goûté une crème brûlée très légère. " * 3
MIXED = "Plain words, then — “quoted” 中文 and émigré.\n" * 20


def one(folder: Path, data: bytes, name: str = "a.txt") -> tuple[Document | Rejected, list[str]]:
    (folder / name).write_bytes(data)
    notes: list[str] = []
    (item,) = read_documents(folder / name, note=notes.append)
    return item, notes


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (MIXED, "utf-8"),
        (MIXED, "utf-8-sig"),
        (MIXED, "utf-16"),
        (MIXED, "utf-32"),
        ("Plain English only, no mark at all.\n" * 5, "utf-16-le"),
        ("Plain English only, no mark at all.\n" * 5, "utf-16-be"),
        (CHINESE, "gb18030"),
        (CHINESE, "gbk"),
        ("标题：" + CHINESE, "gb2312"),
        (FRENCH, "cp1252"),
        (FRENCH.replace("’", "'"), "latin-1"),
        ("\ufeff" + MIXED, "utf-16-le"),
        ("\ufeff" + MIXED, "utf-16-be"),
    ],
)
def test_the_text_comes_back(tmp_path: Path, text: str, codec: str) -> None:
    item, notes = one(tmp_path, text.encode(codec))
    assert isinstance(item, Document), item
    assert item.text == text.removeprefix("\ufeff")
    assert bool(notes) == (not codec.startswith("utf-8"))


def test_gbk_found_late_in_a_large_csv(tmp_path: Path) -> None:
    rows = "id,text\n" + "".join(f"{n},plain row\n" for n in range(120_000)) + f"9,{CHINESE}\n"
    (tmp_path / "a.csv").write_bytes(rows.encode("gbk"))
    *_, last = read_documents(tmp_path / "a.csv")
    assert isinstance(last, Document)
    assert last.text == CHINESE


SENTENCES = {
    "gb18030": (
        "今天天气很好，我们去公园散步。",
        "北京大学计算机系",
        "请把这份合同的扫描件发给我",
        "关于召开年度总结会议的通知",
        "贾宝玉初试云雨情",
        "姓名 年龄 城市",
        "这个手机很好用，电池也耐用，就是有点贵。",
        "曾历过一番梦幻之后，故将真事隐去。",
    ),
    "big5hkscs": (
        "今天天氣很好，我們去公園散步。",
        "國立臺灣大學資訊工程學系",
        "請把這份合約的掃描檔寄給我",
        "關於召開年度總結會議的通知",
        "賈寶玉初試雲雨情",
        "香港特別行政區政府",
        "姓名 年齡 城市",
    ),
    "cp932": (
        "今日は天気がいいですね。",
        "これはテストの文章です。",
        "吾輩は猫である。名前はまだ無い。",
        "国境の長いトンネルを抜けると雪国であった。",
        "ありがとうございます",
    ),
    "cp949": (
        "오늘은 날씨가 좋습니다.",
        "파이썬은 배우기 쉽고 강력한 언어입니다",
        "서울대학교 컴퓨터공학부",
        "안녕하세요",
    ),
    "cp1251": (
        "Это просто текст на русском языке",
        "Все счастливые семьи похожи друг на друга",
        "Привет, мир!",
        "Москва",
    ),
    "cp1252": ("Müller geht über die Straße", "Él niño comió una manzana", "São Paulo é uma cidade"),
}
SENTENCES |= {"euc_jp": SENTENCES["cp932"], "koi8_r": SENTENCES["cp1251"]}


@pytest.mark.parametrize("codec", SENTENCES)
def test_single_sentences_in_the_older_encodings(tmp_path: Path, codec: str) -> None:
    for sentence in SENTENCES[codec]:
        item, notes = one(tmp_path, sentence.encode(codec))
        assert isinstance(item, Document), (sentence, item)
        assert item.text == sentence
        assert notes[0].startswith("a.txt: read as ")
        assert item.meta["encoding"].split()[0] == notes[0].removeprefix("a.txt: read as ").split(",")[0]


@pytest.mark.parametrize("codec", SENTENCES)
def test_longer_texts_leave_no_doubt(tmp_path: Path, codec: str) -> None:
    text = "\n".join(SENTENCES[codec] * 3)
    item, notes = one(tmp_path, text.encode(codec))
    assert (item.text, notes) == (text, [f"a.txt: read as {codec}"])


@pytest.mark.parametrize(
    ("codec", "text"), [("gb18030", "测试"), ("big5hkscs", "測試"), ("cp932", "東京大学情報理工学系")]
)
def test_what_is_too_short_to_be_sure_is_noted_as_uncertain(tmp_path: Path, codec: str, text: str) -> None:
    item, notes = one(tmp_path, text.encode(codec))
    if isinstance(item, Document):
        assert item.text == text or ("uncertain" in notes[0] and " or " in item.meta["encoding"])
    else:
        assert item.reason.value == "unknown encoding"


@pytest.mark.parametrize("codec", ["utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [MIXED, CHINESE, "Plain English only, no mark at all.\n" * 3])
def test_wide_encodings_without_a_mark(tmp_path: Path, codec: str, text: str) -> None:
    item, notes = one(tmp_path, text.encode(codec))
    assert isinstance(item, Document), item
    assert (item.text, notes) == (text, [f"a.txt: read as {codec}"])


@pytest.mark.parametrize("bad", [b"\xff", b"\xfe\xfe", b"\xe4\xb8"])
@pytest.mark.parametrize("text", [CHINESE, "Only plain words here. " * 20])
def test_a_few_bad_bytes_are_replaced_and_noted(tmp_path: Path, text: str, bad: bytes) -> None:
    raw = text.encode()
    item, notes = one(tmp_path, raw[:60] + bad + raw[60:])
    assert isinstance(item, Document), item
    assert item.text.replace("\ufffd", "") == text
    assert item.meta["encoding"] == "utf-8, invalid bytes replaced"
    assert "became U+FFFD" in notes[0]


@pytest.mark.parametrize(
    "data",
    [
        random.Random(0).randbytes(5000),
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10,
        b"\x7fELF" + b"\0" * 500,
        bytes(500),
        b"\xa7\r\r\n\0\0\0\0" + b"strings inside a compiled program \xff\xff" * 50,
    ],
)
def test_binary_is_refused_whatever_its_name(tmp_path: Path, data: bytes) -> None:
    item, _ = one(tmp_path, data)
    assert isinstance(item, Rejected)
    assert item.reason.value == "binary"


def test_a_stray_nul_does_not_make_a_text_binary(tmp_path: Path) -> None:
    item, _ = one(tmp_path, ("words\0 and more words " * 20).encode())
    assert isinstance(item, Document)
