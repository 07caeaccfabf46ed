"""What stands around a number: the words before it, and the characters that touch it."""

from __future__ import annotations

import re

_WIDE = re.compile("[０-９Ａ-Ｚａ-ｚ＠．－＿＋／＝％＆？＃]+")
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
_WINDOW_CHARS = 40
# As masks and tags are written, or the end of one that the window cuts.
_MASK = re.compile(r"[\[〔](?:[^\W\d]|[ -]){1,32}(?:-[0-9a-f]{8})?[\]〕]|\A[^\s\[〔]{0,16}[\]〕]")

_BREAK = re.compile("[\0。！？]|[0-9][0-9 ()./-]{4,}")
_PHONE = re.compile(
    r"\b(?:tel|cell(?=:)|calls?|called|dial|fax|whatsapp|sms|hotline|telegram)\b"
    r"|phone|mobile|tel(?:efono|éfono|efon)?[:.]"
    r"|手机|电话|联系方式|热线|传真|致电|拨打|座机|短信|電話|手機|聯絡|联系人?[:：]",
    re.ASCII,
)
_ORDER = re.compile(
    r"(?:isbn|issn|doi|arxiv|\border|invoice|serial|tracking|ticket|\bref|reference|\bitem|\bpart|\bsku\b|model|build"
    r"|commit|revision|\bno\b|\bid\b|barcode|\bean\b|\bupc\b|\blot\b|batch|case|docket|patent|version"
    r"|订单|单号|编号|序号|流水|批次|批号|型号|货号|运单|快递|发票|合同|案号|学号|工号|票号|条码|条形码|商品|专利"
    r"|訂單|編號|單號|序號|備案|备案|期刊|书号|刊号|版本|\bqq(?!\.))[^0-9\n。]{0,12}$",
    re.ASCII,
)
_UNIT = re.compile(
    r" ?(?:[%‰°]|元|万|亿|千|美元|日元|吨|公里|米|克|人次|人口|usd|eur|rmb|cny|km|kg|bytes?\b|ms\b|ns\b)",
    re.I,
)
_MONEY = "$€£¥￥₹"


def narrow(text: str) -> str:
    """Full-width digits, letters and signs of addresses in their usual width; every place stays the same."""
    return text if text.isascii() else _WIDE.sub(lambda wide: wide[0].translate(_NARROW), text)


def words_before(text: str, start: int, chars: int = _WINDOW_CHARS) -> str:
    """The end of what stands before a place, in small letters, with a NUL for each mask of ours."""
    return _MASK.sub("\0", text[max(0, start - chars) : start]).lower()


def since_mask(before: str) -> str:
    """The part of ``words_before`` that can announce a value: not before another sentence, number or mask."""
    return _BREAK.split(before)[-1]


def speaks_of_phones(before: str) -> bool:
    """Whether the words before a number call it a telephone's."""
    return _PHONE.search(since_mask(before)) is not None


def speaks_of_orders(before: str) -> bool:
    """Whether the words just before a number call it an order's, a book's, a part's, and no telephone's."""
    return _ORDER.search(before[-24:]) is not None and not speaks_of_phones(before[-14:])


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no letter, digit, sign of money or unit touches ``text[start:end]``."""
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    if is_word(before) or is_word(after) or before in _MONEY:
        return False
    return _UNIT.match(text, end) is None


def is_word(character: str) -> bool:
    """Whether a character goes on a name or number: Chinese does not, as it is written without spaces."""
    return character == "_" or (character.isascii() and character.isalnum())
