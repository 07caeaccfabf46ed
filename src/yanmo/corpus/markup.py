"""The text of HTML pages and Markdown files.

HTML keeps what a reader came for: scripts, styles, forms and hidden parts are dropped, and so is what
surrounds the content: navigation and the like by their elements, by the names that authors give them, and by
the share of their text that is links (Kohlschütter, Fankhauser, Nejdl 2010, "Boilerplate detection using
shallow text features", section 4: the density of links tells most). Block elements begin lines, ``pre`` keeps
its spaces. Markdown stays as written, code included, without the front matter that is there for programs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import lxml.html
from lxml import etree

from yanmo.corpus.document import Reason, RefusedError

MAX_PAGE_BYTES = 32 << 20
_MAX_TAGS = 400_000
_DROPPED_TAGS = (
    "script style noscript template form button select iframe object svg canvas title head datalist dialog"
    " input audio video map math-renderer"
)
_DROPPED = frozenset(_DROPPED_TAGS.split())
_AROUND = frozenset(("nav", "header", "footer", "aside"))
_PARAGRAPH_TAGS = "article blockquote dl figure h1 h2 h3 h4 h5 h6 ol p pre section table ul"
_LINE_TAGS = (
    "address body caption dd details dialog div dt fieldset figcaption hr li main summary tbody thead tr"
)
_PARAGRAPHS = frozenset(_PARAGRAPH_TAGS.split())
_BLOCKS = _PARAGRAPHS | frozenset(_LINE_TAGS.split())
# What may turn out to be links only, or carry a name that says it is no content.
_BOXES = frozenset(("div", "section", "ul", "ol", "dl", "table", "td", "span", "p"))
_ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "menu", "menubar", "dialog", "alert"))
_AROUND_NAMES = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navigation|menu|footer|sidebar|side-bar|breadcrumbs?|cookies?|consent|banner|"
    r"advert(?:isement)?s?|ads?|social|share|sharing|related|recommend(?:ed|ations)?|newsletter|subscribe|"
    r"pop-?up|modal|pagination|pager|copyright|skip-?link|noprint|login|searchbox)(?:$|[\s_-])"
)
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden")
_LINK_SHARE, _MIN_LINKS, _MAX_LINK_CHARS = 0.6, 3, 3000
# libxml2 compares each attribute of a tag with all before it.
_MAX_ATTRIBUTES = 1000
_MANY_ATTRIBUTES = re.compile(
    r"<[a-zA-Z][^\s<>]*+(?:[\s/]++[^\s<>=/]++(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s\"'<>]++))?+)"
    f"{{{_MAX_ATTRIBUTES}}}"
)
_CHARSET = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?:\w[\w-]*:.*\n|[ \t#-].*\n|\n){1,200}?---[ \t]*(?:\n|\Z)")
_SPACE = re.compile(r"[ \t\r\n\f\v]+")
# Marks for "a line, a paragraph begins or ends here"; neighbouring ones become one.
_LINE, _PARAGRAPH = "\v", "\f"
_MARKS = re.compile(r"(?:[ \n]?[\v\f])+")
_META_NAMES = {
    "author": "author",
    "article:author": "author",
    "date": "date",
    "article:published_time": "date",
    "dc.date": "date",
}
_MAX_META_CHARS = 500


def declared_charset(head: bytes) -> str | None:
    """The encoding that an HTML page names in its first 4 KB."""
    match = _CHARSET.search(head[:4096])
    return match[1].decode("ascii").lower() if match else None


def strip_front_matter(text: str) -> str:
    """Markdown without YAML front matter."""
    return _FRONT_MATTER.sub("", text.replace("\r\n", "\n"), count=1).lstrip("\n")


def html_text(html: str, *, main_only: bool = True) -> tuple[str, dict[str, str]]:
    """Read a page.

    Args:
        html: the page.
        main_only: leave out what surrounds the content; a letter or a chapter has nothing around it.

    Returns:
        Its text, and what it tells of its title, author and date; both may be empty.

    Raises:
        RefusedError: it has too many tags to be held, or one of too many attributes.
    """
    if html.count("<") > _MAX_TAGS:
        raise RefusedError(Reason.TOO_LARGE, f"more than {_MAX_TAGS} tags")
    if _MANY_ATTRIBUTES.search(html):
        raise RefusedError(Reason.TOO_LARGE, f"a tag of more than {_MAX_ATTRIBUTES} attributes")
    # As bytes, because lxml refuses a str that declares an encoding; lone surrogates cannot be bytes.
    raw = html.replace("\0", "").encode("utf-8", "replace")
    parser = lxml.html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = lxml.html.document_fromstring(raw, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return "", {}
    body = root.find("body") if root.find("body") is not None else root
    around = _around(body) if main_only else {}
    whole = _render(body, around)
    main = ""
    if main_only:
        mains = body.xpath(".//main | .//*[@role='main']") or body.xpath(".//article")
        main = _render(mains[0], around) if len(mains) == 1 and mains[0] not in around else ""
    # A main element that holds little is a mistake of the page's author.
    return (main if len(main) >= 0.25 * len(whole) else whole), _meta(root)


@dataclass(slots=True)
class _Box:
    """What is inside an element."""

    element: lxml.html.HtmlElement
    num_chars: int = 0
    link_chars: int = 0
    num_links: int = 0
    named: bool = False
    """Whether its name says that it surrounds the content."""


def _around(body: lxml.html.HtmlElement) -> dict[lxml.html.HtmlElement, None]:
    """The elements that surround the content of a page."""
    found: dict[lxml.html.HtmlElement, None] = {}
    named: list[_Box] = []
    stack = [_Box(body)]
    in_link = in_content = 0
    walk = etree.iterwalk(body, events=("start", "end"))
    for event, element in walk:
        tag = element.tag if isinstance(element.tag, str) else ""
        if event == "end":
            if tag == "a":
                in_link -= 1
            elif tag in ("article", "main"):
                in_content -= 1
            if stack[-1].element is element and element is not body:
                _close(stack, found, named)
            text = element.tail if element is not body else None
        else:
            if tag in _DROPPED or _is_hidden(element):
                walk.skip_subtree()
                text = None
            else:
                text = element.text
            if tag == "a":
                in_link += 1
                stack[-1].num_links += 1
            elif tag in ("article", "main"):
                in_content += 1
            if element is not body and (tag in _BOXES or tag in _AROUND):
                # An article's own header holds its headline; a page's header holds the menu.
                is_around = tag in _AROUND and not (tag == "header" and in_content)
                stack.append(_Box(element, named=is_around or _is_named(element)))
        if text:
            length = len(text) - text.count(" ") - text.count("\n")
            stack[-1].num_chars += length
            stack[-1].link_chars += length if in_link else 0
    # A name may deceive: what holds most of the text is the content.
    for box in named:
        if box.element.tag in _AROUND or box.num_chars < 0.5 * stack[0].num_chars:
            found[box.element] = None
    return found


def _close(stack: list[_Box], found: dict[lxml.html.HtmlElement, None], named: list[_Box]) -> None:
    box = stack.pop()
    outer = stack[-1]
    outer.num_chars += box.num_chars
    outer.link_chars += box.link_chars
    outer.num_links += box.num_links
    if box.named:
        named.append(box)
    elif (
        box.num_links >= _MIN_LINKS
        and box.num_chars <= _MAX_LINK_CHARS
        and box.link_chars > _LINK_SHARE * box.num_chars
    ):
        found[box.element] = None


def _is_hidden(element: lxml.html.HtmlElement) -> bool:
    attributes = element.attrib
    if not attributes:
        return False
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    style = attributes.get("style")
    return style is not None and _HIDING.search(style[:1000]) is not None


def _is_named(element: lxml.html.HtmlElement) -> bool:
    if element.get("role") in _ROLES:
        return True
    names = f"{element.get('class', '')} {element.get('id', '')}"
    return len(names) > 2 and _AROUND_NAMES.search(names[:300].lower()) is not None


def _render(root: lxml.html.HtmlElement, around: dict[lxml.html.HtmlElement, None]) -> str:
    parts: list[str] = []
    in_pre = 0
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, element in walk:
        tag = element.tag if isinstance(element.tag, str) else ""
        text = element.text if event == "start" else (element.tail if element is not root else None)
        inside = event == "start" and element is not root
        if inside and (tag in _DROPPED or element in around or _is_hidden(element)):
            walk.skip_subtree()
            text = None
        if tag == "br":
            parts.append("\n" if event == "start" else "")
        elif tag in _BLOCKS:
            parts.append(_PARAGRAPH if tag in _PARAGRAPHS else _LINE)
        elif tag in ("td", "th") and event == "end":
            parts.append("\t")
        if tag in ("pre", "textarea"):
            in_pre += 1 if event == "start" else -1
        if text:
            parts.append(re.sub(r"[\v\f]", "", text) if in_pre else _SPACE.sub(" ", text))
    return _tidy("".join(parts))


def _tidy(text: str) -> str:
    text = _MARKS.sub(lambda marks: "\n\n" if _PARAGRAPH in marks[0] else "\n", text)
    lines = (line.rstrip() for line in text.split("\n"))
    # One leading space is what is left of the space around a tag; more are meant (pre).
    joined = "\n".join(re.sub(r"^ (?! )", "", line) for line in lines)
    return re.sub(r"\n{3,}", "\n\n", joined).strip("\n")


def _meta(root: lxml.html.HtmlElement) -> dict[str, str]:
    meta = {}
    title = _clean(root.findtext(".//title") or "")
    if title:
        meta["title"] = title
    for element in root.iterfind(".//meta"):
        name = _META_NAMES.get(str(element.get("name") or element.get("property") or "").lower())
        value = _clean(element.get("content") or "")
        if name and value:
            meta.setdefault(name, value)
    return meta


def _clean(value: str) -> str:
    return _SPACE.sub(" ", value[: 2 * _MAX_META_CHARS]).strip()[:_MAX_META_CHARS]
