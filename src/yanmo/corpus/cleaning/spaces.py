"""White space that carries nothing: many kinds of it become one, and no more of it than there are breaks."""

from __future__ import annotations

import re

from yanmo.corpus.edits import Edit

# Joiners between letters (U+200C, U+200D) carry meaning, the ideographic space indents.
_BLANK = "\t\xa0\u1680\u2000-\u200a\u202f\u205f"
_SPACES = re.compile(
    f"(?<=\\S)(?:[ {_BLANK}]{{2,}}|[{_BLANK}])(?=\\S)"
    "|[\u200b\u2060]+"
    f"|(?<![ {_BLANK}\u3000])[ {_BLANK}\u3000]+(?=\\n|\\Z)"
    "|\\n{3,}"
)


def normalise_spaces(text: str) -> list[Edit]:
    """One plain space within a line, none at its end, at most one blank line; indents stay."""
    edits = []
    for match in _SPACES.finditer(text):
        start, end = match.span()
        if text[start] == "\n":
            edits.append(Edit(start, end, "\n\n"))
        else:
            inner = text[start] not in "\u200b\u2060" and end < len(text) and text[end] != "\n"
            edits.append(Edit(start, end, " " if inner else ""))
    return edits
