"""The text of HTML pages and Markdown files.

HTML keeps what a reader would read: scripts, styles, navigation, forms and hidden parts are
dropped, block elements begin lines, ``pre`` keeps its spaces. Markdown stays as written, code
included, without the front matter that is there for programs.
"""

from __future__ import annotations

import re

import lxml.html
from lxml import etree

_DROPPED_TAGS = (
    "script style noscript template nav header footer aside form button select iframe object svg canvas"
)
_DROPPED = _DROPPED_TAGS.split()
_PARAGRAPH_TAGS = "article blockquote dl figure h1 h2 h3 h4 h5 h6 ol p pre section table ul"
_LINE_TAGS = (
    "address body caption dd details dialog div dt fieldset figcaption hr li main summary tbody thead tr"
)
_PARAGRAPHS = frozenset(_PARAGRAPH_TAGS.split())
_BLOCKS = _PARAGRAPHS | frozenset(_LINE_TAGS.split())
_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?:[\w-]+:.*\n|[ \t#-].*\n|\n){1,200}?---[ \t]*(?:\n|\Z)")
_SPACE = re.compile(r"[ \t\r\n\f\v]+")
# Marks for "a line, a paragraph begins or ends here"; neighbouring ones become one.
_LINE, _PARAGRAPH = "\v", "\f"
_MARKS = re.compile(r"(?:[ \n]?[\v\f])+")


def declared_charset(head: bytes) -> str | None:
    """The encoding that an HTML page names in its first 4 KB."""
    match = _CHARSET.search(head[:4096])
    return match[1].decode("ascii").lower() if match else None


def strip_front_matter(text: str) -> str:
    """Markdown without YAML front matter."""
    return _FRONT_MATTER.sub("", text.replace("\r\n", "\n"), count=1).lstrip("\n")


def html_text(html: str) -> tuple[str, str]:
    """Read a page.

    Returns:
        Its main text and its title; both may be empty.
    """
    # As bytes, because lxml refuses a str that declares an encoding; lone surrogates cannot be bytes.
    raw = html.encode("utf-8", "replace")
    parser = lxml.html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = lxml.html.document_fromstring(raw, parser=parser)
    except etree.ParserError:
        return "", ""
    title = _SPACE.sub(" ", root.findtext(".//title") or "").strip()
    body = root.find("body") if root.find("body") is not None else root
    for element in list(body.iter(*_DROPPED, "title")):
        # An article's own header holds its headline; a page's header holds the menu.
        if element.tag == "header" and any(up.tag in ("article", "main") for up in element.iterancestors()):
            continue
        element.drop_tree()
    for element in list(body.xpath("//*[@hidden or @aria-hidden='true']")):
        if element is not body and element.getparent() is not None:
            element.drop_tree()
    whole = _render(body)
    mains = body.xpath(".//main | .//*[@role='main']") or body.xpath(".//article")
    main = _render(mains[0]) if len(mains) == 1 else ""
    # A main element that holds little is a mistake of the page's author.
    return (main if len(main) >= 0.25 * len(whole) else whole), title


def _render(root: lxml.html.HtmlElement) -> str:
    parts: list[str] = []
    in_pre = 0
    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag == "br":
            parts.append("\n" if event == "start" else "")
        elif tag in _BLOCKS:
            parts.append(_PARAGRAPH if tag in _PARAGRAPHS else _LINE)
        elif tag in ("td", "th") and event == "end":
            parts.append("\t")
        in_pre += (1 if event == "start" else -1) if tag in ("pre", "textarea") else 0
        text = element.text if event == "start" else (element.tail if element is not root else None)
        if text:
            parts.append(re.sub(r"[\v\f]", "", text) if in_pre else _SPACE.sub(" ", text))
    return _tidy("".join(parts))


def _tidy(text: str) -> str:
    text = _MARKS.sub(lambda marks: "\n\n" if _PARAGRAPH in marks[0] else "\n", text)
    lines = (line.rstrip() for line in text.split("\n"))
    # One leading space is what is left of the space around a tag; more are meant (pre).
    joined = "\n".join(re.sub(r"^ (?! )", "", line) for line in lines)
    return re.sub(r"\n{3,}", "\n\n", joined).strip("\n")
