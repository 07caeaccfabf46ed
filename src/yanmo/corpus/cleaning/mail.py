"""Steps for mails: what they quote from others, and the signatures below them."""

from __future__ import annotations

import re

from yanmo.corpus.edits import Edit

_MAX_SIGNATURE_LINES = 12
_MAX_SIGNATURE_CHARS = 1_000
# Who wrote what is quoted next, on one line or broken over two.
_ATTRIBUTION = re.compile(
    r"^(?:On [^\n]{6,200}(?:\n(?!>)[^\n]{1,100})?[ ]wrote:|(?:Am|Le|El) [^\n]{6,200}(?:schrieb|a "
    r"écrit|escribió)[^\n]{0,80}:"
    r"|(?:在 ?)?[^\n]{0,120}\d[^\n]{0,120}(?:写道|寫道|编写|來信說)[ ]?[:：])[ \t]*\n+(?=[ \t]*>)",
    re.MULTILINE,
)
_QUOTED = re.compile(r"^[ \t]*>[^\n]*(?:\n|\Z)", re.MULTILINE)
_ORIGINAL = re.compile(
    r"^[ \t>]*-{2,}[ ]?(?:Original Message|Forwarded message|原始邮件|原始郵件|转发邮件|轉寄郵件"
    r"|原邮件|邮件原件)[ ]?-{2,}[ \t]*\n"
    r"(?=(?:[^\n]*\n){0,2}[ \t]*(?:From|Von|发件人|寄件者|寄件人)[ ]?[:：])",
    re.MULTILINE,
)
_DELIMITER = re.compile(r"^--[ ]?\n", re.MULTILINE)
_SENT_FROM = re.compile(
    r"^[ \t]*(?:Sent from (?:my [^\n]{1,40}|Mail for Windows[^\n]{0,20}|Outlook[^\n]{0,20}"
    r"|Yahoo[^\n]{0,20})|Get Outlook for [^\n]{1,20}"
    r"|发自(?:我的|网易)[^\n]{1,20}|[从從]我的[ ]?[^\n]{1,20}[ ]?(?:发送|傳送)"
    r"|發自我的[^\n]{1,20})[ \t]*(?:\n|\Z)",
    re.MULTILINE,
)


def remove_quotations(text: str) -> list[Edit]:
    """Drop the lines after ``>`` below one that says whose they are, and the original below an answer."""
    original = _ORIGINAL.search(text)
    end = original.start() if original else len(text)
    edits = []
    attribution = _ATTRIBUTION.search(text, 0, end) if ">" in text else None
    if attribution:
        # What answers stand between quotations of one mail: each of its quotations goes.
        spans = [m.span() for m in _ATTRIBUTION.finditer(text, 0, end)]
        spans += [m.span() for m in _QUOTED.finditer(text, attribution.end(), end)]
        edits = [Edit(start, stop, "") for start, stop in sorted(spans)]
    return [*edits, Edit(end, len(text), "")] if original else edits


def remove_signatures(text: str) -> list[Edit]:
    """Drop the last lines of a mail below ``--``, and those that name the device it was written on."""
    end = len(text)
    edits = []
    for match in _DELIMITER.finditer(text, max(0, len(text) - _MAX_SIGNATURE_CHARS)):
        if text.count("\n", match.end()) <= _MAX_SIGNATURE_LINES:
            end = match.start()
            edits = [Edit(end, len(text), "")]
            break
    return [Edit(m.start(), m.end(), "") for m in _SENT_FROM.finditer(text, 0, end)] + edits
