"""Texts that are none, of the kinds that people's files are full of, made from random numbers."""

from __future__ import annotations

import base64
import datetime
import random
from collections.abc import Callable

Document = tuple[str, str]
"""A text with its language, "" where it is in none."""

_MENU = (
    "Home About Contact Products Services Blog Login Register Cart Help Careers Press Events Gallery Store"
)
_MENU_ZH = "首页 关于我们 联系方式 产品中心 新闻动态 登录 注册 购物车 帮助 招聘 活动 图片 下载 论坛 返回顶部"
_SPAM = "cheap best buy online casino loan insurance discount shoes watch replica free download crack bonus"
_SPAM_ZH = "代开发票 贷款 办证 彩票 优惠 批发 刷单 兼职 网赚 加微信 点击 领红包 折扣 招商 加盟"
_PRODUCTS = (
    (
        ("watch", "sofa", "lamp", "phone case", "knife"),
        ("best", "cheapest", "finest"),
        (
            "Looking for the {word} {product}? You have found the {word} {product} of all.",
            "Our {product} is the {word} {product} that money can buy, from ${number} only.",
            "Customers who bought this {product} also bought the {word} {product} of the month.",
            "Order your {product} now and save ${number}; free shipping on each {product}.",
        ),
        "en",
    ),
    (
        ("手表", "沙发", "台灯", "手机壳", "菜刀"),
        ("最好", "最便宜", "最优质"),
        (
            "想买{word}的{product}吗？全网{word}的{product}就在这里。",
            "我们的{product}是{word}的{product}，只要{number}元。",
            "购买了这款{product}的顾客还购买了本月{word}的{product}。",
            "现在订购{product}立减{number}元，每款{product}全国包邮。",
        ),
        "zh",
    ),
)


def _repeated_line(rng: random.Random) -> Document:
    line, language = rng.choice(
        [("Click here to subscribe to our newsletter", "en"), ("版权所有，违者必究。", "zh")]
    )
    return f"{line}\n" * rng.randint(20, 200), language


def _hex_dump(rng: random.Random) -> Document:
    data = rng.choice([rng.randbytes(1600), (_MENU + _SPAM).encode() * 8])
    rows = (data[place : place + 16] for place in range(0, len(data), 16))
    lines = (f"{16 * index:08x}  {row.hex(' ')}  |{_shown(row)}|" for index, row in enumerate(rows))
    return "\n".join(lines), ""


def _shown(row: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)


def _numbers(rng: random.Random) -> Document:
    return "\n".join(" ".join(f"{rng.gauss(0, 100):.2f}" for _ in range(8)) for _ in range(50)), ""


def _minified(rng: random.Random) -> Document:
    names = ["".join(rng.choices("abcdefghijk", k=2)) for _ in range(300)]
    code = "".join(
        f"function {a}({b}){{var {b}={a}[{rng.randrange(9)}];return {b}?{a}({b}):{{{b}:{a}}}}}"
        for a, b in zip(names[::2], names[1::2], strict=True)
    )
    return code, ""


def server_log(rng: random.Random) -> Document:
    """Forty lines of a web server."""
    moment = datetime.datetime(2025, 1, 1) + datetime.timedelta(seconds=rng.randrange(10**7))
    lines = []
    for _ in range(40):
        moment += datetime.timedelta(seconds=rng.randrange(60))
        client = ".".join(str(rng.randrange(1, 255)) for _ in range(4))
        path, status = rng.choice(("/", "/login", "/api/v1/items")), rng.choice((200, 200, 304, 404, 500))
        lines.append(f'{client} - - [{moment:%d/%b/%Y:%H:%M:%S}] "GET {path}" {status} {rng.randrange(9999)}')
    return "\n".join(lines), ""


def product_page(rng: random.Random) -> Document:
    """Thirty sentences put together from parts, in English or Chinese."""
    goods, words, sentences, code = rng.choice(_PRODUCTS)
    product = rng.choice(goods)
    parts = [
        sentence.format(product=product, word=rng.choice(words), number=rng.randint(5, 999))
        for sentence in rng.choices(sentences, k=30)
    ]
    return (" " if code == "en" else "").join(parts), code


JUNK: dict[str, Callable[[random.Random], Document]] = {
    "one line repeated (en, zh)": _repeated_line,
    "menus (en)": lambda rng: ("\n".join(rng.sample(_MENU.split(), 12)), "en"),
    "menus (zh)": lambda rng: ("\n".join(rng.sample(_MENU_ZH.split(), 12)), "zh"),
    "keywords (en)": lambda rng: (" ".join(rng.choices(_SPAM.split(), k=200)), "en"),
    "keywords (zh)": lambda rng: ("".join(rng.choices(_SPAM_ZH.split(), k=150)), "zh"),
    "hex dumps": _hex_dump,
    "base64": lambda rng: (base64.encodebytes(rng.randbytes(2000)).decode(), ""),
    "tables of numbers": _numbers,
    "minified code": _minified,
}
"""A maker for each kind."""
