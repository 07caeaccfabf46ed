"""Addresses of networks: e-mail (also as people hide it from robots), IPv4, IPv6, MAC, secrets in URLs.

RFC 5322 (the common part of the local part), RFC 4291 (IPv6), RFC 3986 (userinfo and query). A mail's search
begins at its sign, an address's at a dot or colon, so that text without them costs one scan each.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from yanmo.corpus.personal.context import is_word, since_mask, words_before
from yanmo.corpus.personal.landmarks import Landmarks
from yanmo.corpus.personal.settings import Found, Kind

_LATIN = "A-Za-z0-9\u00c0-\u024f"
_BRACKETED_AT = re.compile(r"[\[({<（【〔](?i: ?(?:at|a|@) ?)[\])}>）】〕]")
_BRACKETED_ENDS = ("at]", "AT]", "at)", "AT)", "at}", "at>", "@]", "@)")
_WIDE_BRACKETED_ENDS = ("at）", "at】", "@）", "@】")
_PLAIN_AT = re.compile("@(?=[A-Za-z0-9\u00c0-\u024f])")
_SPOKEN_AT = re.compile(r" (?:at|AT|@) (?=[A-Za-z0-9])")
_HASH_AT = re.compile(r"#(?=(?:[A-Za-z0-9-]{1,63}+\.){1,4}(?:com|cn|net|org)(?![A-Za-z0-9]))")
_LOCAL_REVERSED = re.compile(rf"[{_LATIN}._%+-]{{1,65}}+")
_DOT = r"(?:\.| ?[\[({<（【〔] ?(?:dot|DOT|Dot|\.|点) ?[\])}>）】〕] ?| (?:dot|DOT) )"
_LABEL = rf"[{_LATIN}-]{{1,63}}+"
_DOMAIN = re.compile(rf"{_LABEL}(?:{_DOT}{_LABEL}){{1,8}}+")
_DOTS = re.compile(_DOT)
_TOP_LEVEL_WORDS = """
    com org net edu gov mil int info biz name pro io ai app dev xyz online site shop store tech cloud
    blog wiki top club vip work live email mail group team space website digital agency global network
    systems solutions services company center today news media design studio world life love fun link
    click asia mobi tel travel jobs museum aero coop cat post arpa law bank finance health care clinic
    school academy university college art music games community foundation international ltd gmbh inc
    llc berlin london paris tokyo nyc wien koeln hamburg swiss consulting engineering science software
    technology computer zone chat social support example test invalid local localhost internal corp lan
    home intranet onion
"""
_TOP_LEVELS = frozenset(_TOP_LEVEL_WORDS.split())
_NOT_TOP_LEVELS = frozenset(
    (
        "js",
        "py",
        "md",
        "sh",
        "rs",
        "so",
        "pl",
        "ps",
        "cc",
        "png",
        "jpg",
        "gif",
        "svg",
        "webp",
        "htm",
        "css",
        "txt",
        "pdf",
    )
)
_NOT_PERSONS = frozenset({"git", "hg", "svn"})

_FOUR = re.compile(r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9A-Za-z_]|\.[0-9]|-[A-Za-z])")
_VERSION = re.compile(
    r"(?:(?:\bver|\bv|\brev|version|release|build|section|\bsect?|chapter|§|clause|article|appendix|\bfig|figure|table"
    r"|\boid|firmware|update|patch|\bstep|\bitem)s?[^0-9a-z\n]{0,4}(?:number|no|is|to|of)?[^0-9a-z\n]{0,3}"
    r"|(?:版本|版|第|章|节|節|条|條|图|圖|表|附录|固件|补丁|编号|升级|步骤)[^0-9\n]{0,8}|[a-z][/-])$"
)
_HOST = re.compile(
    r"\bips?\b|ipv4|address|\baddr|host|server|from|client|ping|\bdns|gateway|login|proxy|://$|@$"
    r"|地址|服务器|主机|网关|登录|来自|访问|代理|节点"
)
_SMALL_OCTET = 32

_COLONS = re.compile(r":(?:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:|:[0-9A-Fa-f])")
_HEX_REVERSED = re.compile("[0-9A-Fa-f:]{0,40}+")
_HEX = re.compile("[0-9A-Fa-f:]{1,45}+(?:(?:\\.[0-9]{1,3}){3})?")
_MAC = re.compile("[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_MAC_DASHED = re.compile("-[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){4}(?![0-9A-Za-z_-])")
_MAC_DOTTED = re.compile(r"\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?!\.?[0-9A-Za-z_])")
_MAC_WORDS = re.compile(r"\bmac\b|physical|hardware|ether|物理地址|硬件|网卡")

_URL = re.compile(r"""://[^\s"'<>，。；、）】》]{1,2048}""")
_USER = re.compile(r"[^\s/?#@:]{0,64}:[^\s/?#@]{1,128}(?=@)")
_QUERY = re.compile(
    r"[?&#;](?:[a-z0-9-]{0,12}[_-])?(?:access_?token|auth_?token|token|api_?key|appkey|key|sig|sign|signature"
    r"|secret|passw(?:or)?d|pwd|session_?id|sid|credential|ticket|auth|jwt)=([^&#;\s]{8,})",
    re.I,
)
_PLACEHOLDER = re.compile(
    r"[\[<{$*%〔]|x{3,}|\.{3}|(?:your|my|some|the)?[-_]?"
    r"(?:pass(?:word|wd)?|pwd|secret|token|key|user(?:name)?|example|test|changeme)$",
    re.I,
)


def find_emails(marks: Landmarks) -> Iterator[Found]:
    """Mail addresses, also with words or brackets for their signs."""
    text = marks.text
    for mark in _marks(text):
        start, end = mark.span()
        bare = end - start == 1 and text[start] in "@#"
        local_end = start - (not bare and text[start - 1 : start] == " ")
        local = _LOCAL_REVERSED.match(text[max(0, local_end - 66) : local_end][::-1])
        if local is None or len(local[0]) > 64:
            continue
        name = local[0][::-1].lstrip(".-%+")
        domain = _DOMAIN.match(text, end + (not bare and text[end : end + 1] == " "))
        if domain is None or not name or name[-1] == "." or name.lower() in _NOT_PERSONS:
            continue
        stop = _end_of_domain(text, domain)
        if stop:
            yield Found(Kind.EMAIL, local_end - len(name), stop)


def _marks(text: str) -> Iterator[re.Match[str]]:
    yield from _PLAIN_AT.finditer(text)
    ends = _BRACKETED_ENDS if text.isascii() else (*_BRACKETED_ENDS, *_WIDE_BRACKETED_ENDS)
    if any(end in text for end in ends):
        yield from _BRACKETED_AT.finditer(text)
    if " @ " in text or " dot " in text or " DOT " in text:
        yield from (mark for mark in _SPOKEN_AT.finditer(text) if _is_spoken(text, mark))
    yield from _HASH_AT.finditer(text)


def _is_spoken(text: str, mark: re.Match[str]) -> bool:
    domain = _DOMAIN.match(text, mark.end())
    return domain is not None and ("@" in mark[0] or re.search(" (?:dot|DOT) ", domain[0]) is not None)


def _end_of_domain(text: str, domain: re.Match[str]) -> int:
    """Where the domain ends: labels are taken off until the last is a top level; 0 where none is."""
    end = domain.end()
    dots = [dot.span() for dot in _DOTS.finditer(text, domain.start(), end)]
    for dot_start, dot_end in reversed(dots):
        label = text[dot_end:end].rstrip("-").lower()
        end = dot_end + len(label)
        calls = text[end : end + 1] in ("(", "[") and text[end : end + 1] != ""
        if label in _TOP_LEVELS or label.startswith("xn--"):
            return end
        if label.isalpha() and label.isascii() and label not in _NOT_TOP_LEVELS and not calls:
            first = dots[0] == (dot_start, dot_end)
            if len(label) == 2 or (first and 3 <= len(label) <= 12 and label == text[dot_end:end]):
                return end
        end = dot_start
    return 0


def find_addresses(marks: Landmarks) -> Iterator[Found]:
    """IPv4, IPv6 and MAC addresses."""
    text = marks.text
    for match in _FOUR.finditer(text):
        start = match.start()
        while start > match.start() - 3 and text[start - 1 : start].isdecimal() and text[start - 1].isascii():
            start -= 1
        if start < match.start() and _is_ipv4(text, start, match.end()):
            yield Found(Kind.IP, start, match.end())
    yield from _find_with_colons(text)
    for form, width in ((_MAC_DASHED, 2), (_MAC_DOTTED, 4)):
        for match in form.finditer(text):
            start = match.start() - width
            first = text[max(0, start) : match.start()]
            if len(first) == width and re.fullmatch("[0-9A-Fa-f]+", first) and not _is_glued(text, start):
                value = text[start : match.end()]
                mixed = any(c.isalpha() for c in value) and any(c.isdigit() for c in value)
                if mixed or _MAC_WORDS.search(since_mask(words_before(text, start))):
                    yield Found(Kind.MAC, start, match.end())


def _is_glued(text: str, start: int) -> bool:
    before = text[start - 1 : start]
    return is_word(before) or before in (".", "-", ":") if before else False


def _is_ipv4(text: str, start: int, end: int) -> bool:
    octets = text[start:end].split(".")
    if any(int(octet) > 255 or (octet[0] == "0" and octet != "0") for octet in octets):
        return False
    before = words_before(text, start, 24)
    if _is_glued(text, start) and before[-1:] != ":":
        return False
    near = since_mask(before)
    named = (
        _HOST.search(near) is not None
        or re.match(r":[0-9]{2,5}\b|/[0-9]{1,2}\b", text[end : end + 7]) is not None
    )
    if _VERSION.search(before) and not (named and _HOST.search(near[-12:])):
        return False
    return named or max(map(int, octets)) >= _SMALL_OCTET


def _find_with_colons(text: str) -> Iterator[Found]:
    done = 0
    for match in _COLONS.finditer(text):
        if match.start() < done:
            continue
        place = match.start()
        back = _HEX_REVERSED.match(text[max(0, place - 41) : place][::-1])
        start = place - (len(back[0]) if back else 0)
        token = _HEX.match(text, start)
        if token is None:
            continue
        end = token.end() - (token[0].endswith(":") and not token[0].endswith("::"))
        done = max(end, match.end())
        before, after = text[start - 1 : start], text[end : end + 1]
        if is_word(before) or before == "." or is_word(after):
            continue
        value = text[start:end]
        if _MAC.fullmatch(value):
            yield Found(Kind.MAC, start, end)
        elif _is_ipv6(value):
            yield Found(Kind.IP, start, end)


def _is_ipv6(value: str) -> bool:
    groups = [group for group in value.split(":") if group]
    if "::" in value and len(groups) < 3 and not (groups and len(groups[0]) == 4 and groups[0][0] in "23fF"):
        return False
    try:
        ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return True


def find_url_secrets(marks: Landmarks) -> Iterator[Found]:
    """Names with passwords before a host, and secrets among the parameters of a URL."""
    text = marks.text
    for match in _URL.finditer(text):
        start, end = match.start() + 3, match.end()
        user = _USER.match(text, start, end)
        if user is not None and not is_placeholder(user[0].partition(":")[2]):
            yield Found(Kind.URL_CREDENTIALS, start, user.end())
        for query in _QUERY.finditer(text, start, end):
            value = query[1]
            if any(c.isdigit() for c in value) and not is_placeholder(value):
                yield Found(Kind.URL_CREDENTIALS, query.start(1), query.start(1) + len(value.rstrip(".,)")))


def is_placeholder(value: str) -> bool:
    """Whether a value only shows where a secret belongs, or is a mask."""
    return _PLACEHOLDER.match(value) is not None
