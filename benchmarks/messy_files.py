"""A folder as people have them: good text in files of many kinds, and what stands beside it in such folders.

Shares of the folder's text, by its bytes in UTF-8 before it becomes files: half is good English and Chinese
text, each passage once; 17% are copies of it (a third of them exact, the others with 0.5 to 5% of the words
changed; a tenth of the passages have all the copies); 15% is what machines write (server logs, tables of
numbers, base64, hex dumps, minified code); 10% is German and French; 8% is written for search engines
(keywords, menus, product pages put together from parts). The good text and its copies stand in plain text of
four encodings (one in 25 decoded wrongly once), in web pages with menus, sharing and cookie lines and a
notice that all pages of a site have, on pages with running heads, page numbers and broken lines (PDF
in English, plain text in Chinese), in Word files and in mails; one in ten carries somebody's e-mail address
and telephone number. Each share has a folder of its own.

The good text: WikiText-2 and passages of novels (LAMBADA) in English, four novels in Chinese. The last
twentieth of each source is never in the folder: ``held_out``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks import office_files
from benchmarks.cleaning import WEB_LINES, wrap
from benchmarks.junk_texts import JUNK, product_page, server_log
from benchmarks.personal_values import MAKERS
from benchmarks.planted_texts import LANGUAGES, edited, read_lines, read_records

SHARES = {"good": 0.50, "copies": 0.17, "machines": 0.15, "languages": 0.10, "search engines": 0.08}
"""Folder to its share of the text."""
_PAGE_CHARS = {"English": 4000, "Chinese": 1500}
_HELD_OUT, _HELD_OUT_BYTES = 20, 200_000
_COPIED, _EXACT_COPIES, _WRONGLY_DECODED, _PERSONAL = 0.1, 1 / 3, 0.04, 0.1
_EDITS = (0.005, 0.01, 0.02, 0.05)
_ENCODINGS = {
    "English": ("utf-8", "utf-8-sig", "cp1252", "utf-16"),
    "Chinese": ("utf-8", "gb18030", "utf-16"),
}
_PAGE_LINES = 40
_NOTICES = {
    "English": "This material is provided for general information only and without warranty of any kind. No "
    "part of it may be copied, stored or passed on in any form without the written permission of the owner. "
    "By reading on you agree to our terms of use, our privacy policy and our rules for the community.",
    "Chinese": "本站所有内容仅供参考，不构成任何建议。未经书面许可，任何单位和个人不得复制、转载、"
    "摘编或传播本站内容，违者将依法追究其法律责任。本站部分内容来自网络，版权归原作者所有，如有侵权请与我们联系，我们将在核实后尽快删除。"
    "继续阅读即表示您同意本站的使用条款、隐私政策和社区规则，并愿意接受其约束。本站保留随时修改上述条款的权利，"
    "修改后的条款自公布之日起生效，恕不另行通知，敬请谅解，谢谢合作。未尽事宜，以本站最新公告为准。",
}
_MENU_LINES = {"English": "Home | News | Contact", "Chinese": "首页 | 新闻 | 关于我们"}
_SIGNED = {
    "English": "For questions write to {} or call {}.",
    "Chinese": "如有疑问，请发邮件至{}或致电{}。",
}


def write_folder(folder: Path, megabytes: float) -> None:
    """Write the folder with so many megabytes of good text, or as many as there are.

    Args:
        folder: to write into; there already.
        megabytes: of good text, half of it in either language.
    """
    draw = random.Random(0)
    good = good_passages(megabytes)
    num_bytes = sum(len(text.encode()) for text, _ in good)
    writers = {"copies": _copies(good, draw), "machines": _machines(draw), "languages": _languages(draw)}
    writers["search engines"] = _for_search_engines(draw)
    for number, (text, language) in enumerate(good):
        _write(folder / "good", number, *_as_file(text, language, draw))
    for name, files in writers.items():
        left = num_bytes * SHARES[name] / SHARES["good"]
        for number, (size, suffix, data) in enumerate(files):
            _write(folder / name, number, suffix, data)
            left -= size
            if left <= 0:
                break


def good_passages(megabytes: float) -> list[tuple[str, str]]:
    """Passages of the good text with their languages, as they were written, shuffled; those to learn from.

    Args:
        megabytes: at most so many, half of them in either language.
    """
    draw, chosen = random.Random(0), []
    for language in LANGUAGES:
        passages = [passage for source in _sources(language) for passage in source[: -_num_held_out(source)]]
        draw.shuffle(passages)
        left = megabytes * 1e6 / 2
        for passage in passages:
            if left <= 0:
                break
            chosen.append((passage, language))
            left -= len(passage.encode())
    draw.shuffle(chosen)
    return chosen


def held_out(language: str) -> list[str]:
    """The passages that are never in the folder, some 200 KB."""
    found = [passage for source in _sources(language) for passage in source[-_num_held_out(source) :]]
    random.Random(0).shuffle(found)
    total, kept = 0, []
    for passage in found:
        if total < _HELD_OUT_BYTES:
            kept.append(passage)
            total += len(passage.encode())
    return kept


def _num_held_out(passages: list[str]) -> int:
    return max(1, len(passages) // _HELD_OUT)


def _sources(language: str) -> Iterator[list[str]]:
    """The passages of each source, in its order."""
    if language == "Chinese":
        for novel in ("sanguo", "shuihu", "xiyouji", "hongloumeng"):
            yield _pages(read_lines("zh_novels", f"{novel}.txt.gz"), _PAGE_CHARS[language])
        return
    for file in ("test.raw.txt.gz", "train_first_1MB.raw.txt.gz"):
        yield _pages(map(_as_written, read_lines("wikitext2", file)), _PAGE_CHARS[language])
    novels = (record["text"] for record in read_records("lambada", "test.openai.jsonl.gz"))
    yield _pages((text.replace("\n\n", "\n") for text in novels), _PAGE_CHARS[language])


def _as_written(line: str) -> str:
    """A line of WikiText without the spaces around its punctuation and the marks of its headings."""
    line = re.sub(r" @([-,.])@ ", r"\1", line.strip(" ="))
    return re.sub(r" +([,.;:!?)\]%]|'s|n't)", r"\1", re.sub(r"([(\[$]) ", r"\1", line))


def _pages(lines: Iterator[str] | map[str], num_chars: int) -> list[str]:
    """Whole lines of about so many characters together."""
    pages, page = [], ""
    for line in lines:
        if line.strip():
            page += f"{line.strip()}\n"
        if len(page) >= num_chars:
            pages.append(page.rstrip())
            page = ""
    return [*pages, page.rstrip()] if page else pages


File = tuple[str, bytes]
Sized = tuple[int, str, bytes]
"""Bytes of its text, its suffix, and its content."""


def _copies(good: list[tuple[str, str]], draw: random.Random) -> Iterator[Sized]:
    often = draw.sample(good, max(1, round(_COPIED * len(good))))
    while True:
        text, language = draw.choice(often)
        if draw.random() >= _EXACT_COPIES:
            text = edited(text, language, draw.choice(_EDITS), draw)
        yield (len(text.encode()), *_as_file(text, language, draw))


def _machines(draw: random.Random) -> Iterator[Sized]:
    kinds = [JUNK[name] for name in ("hex dumps", "base64", "tables of numbers", "minified code")]
    while True:
        for make in (server_log, *kinds, server_log):
            text = make(draw)[0]
            yield len(text.encode()), ".txt", text.encode()


def _languages(draw: random.Random) -> Iterator[Sized]:
    lines = [list(read_lines("multi30k", f"train.{code}.gz")) for code in ("de", "fr")]
    for start in range(0, 10**9, 40):
        own = lines[draw.randrange(2)]
        text = "\n".join(own[(start + n) % len(own)] for n in range(40))
        yield len(text.encode()), ".txt", text.encode()


def _for_search_engines(draw: random.Random) -> Iterator[Sized]:
    kinds = [JUNK[f"{kind} ({code})"] for kind in ("keywords", "menus") for code in ("en", "zh")]
    while True:
        for make in (*kinds, product_page, product_page):
            text = make(draw)[0]
            yield len(text.encode()), ".html", _web_page(text, "English", draw)


def _as_file(text: str, language: str, draw: random.Random) -> File:
    """A good text in one of the kinds of files."""
    if draw.random() < _PERSONAL:
        signed = _SIGNED[language].format(*(MAKERS[kind][0](draw) for kind in ("email", "phone")))
        text = f"{text}\n{signed}"
    kind = draw.choices(list(_KINDS), list(_KINDS.values()))[0]
    return kind(text, language, draw)


def _plain(text: str, language: str, draw: random.Random) -> File:
    if draw.random() < _WRONGLY_DECODED:
        return ".txt", text.encode().decode("latin-1").encode()
    return ".txt", text.encode(draw.choice(_ENCODINGS[language]), "ignore")


def _page_of_a_site(text: str, language: str, draw: random.Random) -> File:
    return ".html", _web_page(text, language, draw)


def _web_page(text: str, language: str, draw: random.Random) -> bytes:
    """A page with its menu in the body, lines of a site between the paragraphs, and a notice."""
    lines = [_MENU_LINES[language]]
    for line in text.split("\n"):
        lines += [line, draw.choice(WEB_LINES[language])] if draw.random() < 0.1 else [line]
    lines += [*draw.sample(WEB_LINES[language], 3), _NOTICES[language]]
    body = "".join(f"<p>{escape(line)}</p>" for line in lines)
    menu = "".join(f'<li><a href="/{n}">{n}</a></li>' for n in range(9))
    page = f"<head><title>A page</title></head><body><nav><ul>{menu}</ul></nav>{body}</body>"
    return f"<html>{page}</html>".encode()


def _printed(text: str, language: str, draw: random.Random) -> File:
    """Broken lines on pages with a running head and a number."""
    lines = "\n\n".join(wrap(paragraph, language) for paragraph in text.split("\n")).split("\n")
    number = draw.randrange(400)
    heads = {"English": "The Collected Readings", "Chinese": "文选读本"}
    pages = []
    for start in range(0, len(lines), _PAGE_LINES):
        number += 1
        foot = f"Page {number}" if language == "English" else f"第 {number} 页"
        body = "\n".join(lines[start : start + _PAGE_LINES])
        pages.append(f"{heads[language]}\n\n{body}\n\n{foot}")
    if language == "English":
        return ".pdf", office_files.pdf([page.encode("ascii", "ignore").decode() for page in pages])
    return ".txt", "\f".join(f"{page}\n" for page in pages).encode()


def _word(text: str, language: str, draw: random.Random) -> File:
    return ".docx", office_files.docx(text.split("\n"))


def _mail(text: str, language: str, draw: random.Random) -> File:
    return ".eml", office_files.eml(text.split("\n"))


_KINDS: dict[Callable[[str, str, random.Random], File], float] = {
    _plain: 0.35,
    _page_of_a_site: 0.30,
    _printed: 0.20,
    _word: 0.10,
    _mail: 0.05,
}


def _write(folder: Path, number: int, suffix: str, data: bytes) -> None:
    path = folder / f"{number // 500:02d}" / f"{number:05d}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
