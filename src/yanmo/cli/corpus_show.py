"""``yanmo corpus show``: a document of a corpus, before and after."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from yanmo.cli.output import Json, emit

if TYPE_CHECKING:
    from yanmo.corpus.show import Segment, Shown

# A document of more characters is shown by its changes, with so much around them.
_WHOLE_CHARS, _AROUND_CHARS = 6000, 160
_MARKS = {"=": ("", ""), "-": ("[-", "-]"), "+": ("{+", "+}")}
_STYLES = {"=": "", "-": "red strike", "+": "green"}
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def show(
    corpus: Path,
    document: str,
    *,
    source: Annotated[
        list[Path] | None,
        Parameter(
            consume_multiple=True, negative="", help="What the corpus was made of, if it has moved since."
        ),
    ] = None,
    unmasked: Annotated[bool, Parameter(negative="", help="Show personal data that was masked.")] = False,
    whole: Annotated[bool, Parameter(negative="", help="Show all of a long document.")] = False,
    json: Json = False,
) -> None:
    """Show a document of a corpus before and after, or why it was refused.

    Args:
        corpus: The corpus folder.
        document: Its id, the beginning of its id, or its source.
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.text import Text

    from yanmo.corpus.show import show_document

    shown = show_document(corpus, document, sources=source or (), unmasked=unmasked)
    parts = list(_body(shown, whole=whole))
    console = Console(highlight=False, soft_wrap=True)
    if console.is_terminal and not console.no_color and not json:
        styled = [(visible(text), _STYLES[sign]) for sign, text in parts]
        console.print(Text.assemble(*_head(shown, bold="bold"), *styled))
        return
    head = "".join(text for text, _ in _head(shown))
    body = "".join(visible(text).join(_MARKS[sign]) for sign, text in parts)
    emit(asdict(shown), head + body.rstrip("\n"), as_json=json)


def visible(text: str) -> str:
    """The text with characters that would move a terminal's cursor, or turn its text round, as symbols."""
    return _UNSEEN.sub(lambda found: _symbol(ord(found[0])), text)


def _symbol(code: int) -> str:
    return chr(0x2400 + code) if code < 0x20 else f"<U+{code:04X}>"


def _head(shown: Shown, *, bold: str = "") -> Iterator[tuple[str, str]]:
    detail = f" ({shown.detail})" if shown.detail else ""
    told = {
        "id": shown.id,
        "split": shown.split,
        "refused": shown.reason and f"{shown.reason}{detail}",
        "source": shown.source,
        "file": "" if shown.file is None else str(shown.file),
        "language": shown.language,
        **shown.meta,
        "cleaned": ", ".join(f"{name} {count:,}" for name, count in shown.steps.items()),
        "changes": f"{len(shown.changes):,}" if shown.changes else "",
        "note": shown.note,
    }
    for name, value in told.items():
        if value:
            yield f"{visible(name):<9} ", bold
            yield f"{visible(value)}\n", ""
    yield "\n", ""


def _body(shown: Shown, *, whole: bool) -> Iterator[Segment]:
    """What is shown of the document, with what was changed."""
    from yanmo.corpus.show import Segment, segments

    if shown.changes is None and shown.before is not None:
        before = shown.before if whole else _ends(shown.before, _WHOLE_CHARS // 2)
        yield Segment("-", before)
        yield Segment("=", "\n")
    is_long = not whole and len(shown.text) > _WHOLE_CHARS
    for sign, text in segments(shown):
        around = _AROUND_CHARS if shown.changes else _WHOLE_CHARS // 2
        yield Segment(sign, _ends(text, around) if is_long or (sign == "-" and not whole) else text)


def _ends(text: str, around: int) -> str:
    """The beginning and the end of a long text, and how much is between them."""
    left_out = len(text) - 2 * around
    if left_out <= around:
        return text
    return f"{text[:around]} […{left_out:,}…] {text[-around:]}"
