"""Which field of a record is the text: by its name, else the one with the longest texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SAMPLE_RECORDS = 200
_TEXT_NAMES = (
    "text content body document article review sentence message comment passage context paragraph"
    " 文本 内容 正文 评论 文章 句子 段落 內容 評論"
)
TEXT_NAMES = tuple(_TEXT_NAMES.split())
DIALOGUES = ("messages", "conversations", "conversation", "dialogue")
# Several fields that only together are one text, in reading order.
_TOGETHER = (
    ("instruction", "input", "output"),
    ("instruction", "output"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
)
ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
_MIN_SINGLE_CHARS = 100
_MAX_DEPTH = 64
_MAX_META_FIELDS, _MAX_META_CHARS = 20, 200


def choose_fields(sample: Sequence[Mapping[str, Any]], wanted: str | None) -> tuple[str, ...]:
    """The fields whose texts, joined, are the document.

    Args:
        sample: the first records of a file.
        wanted: the field the user asked for; chosen if any record has it, and nothing else then.

    Returns:
        Names of fields; empty where no field holds text.
    """
    names = list(dict.fromkeys(name for record in sample for name in record))
    if wanted is not None:
        return (wanted,) if wanted in names else ()
    by_name = {name.strip().lower(): name for name in reversed(names)}
    for known in (*DIALOGUES, *TEXT_NAMES):
        if known in by_name and any(field_text(record.get(by_name[known])) for record in sample):
            return (by_name[known],)
    for group in _TOGETHER:
        if all(name in by_name for name in group):
            return tuple(by_name[name] for name in group)
    lengths = {name: sum(len(field_text(record.get(name)) or "") for record in sample) for name in names}
    longest = max(names, key=lambda name: lengths[name], default=None)
    # One object alone is as often a program's settings as a text: it has to show some length.
    needed = _MIN_SINGLE_CHARS if len(sample) == 1 else 1
    return (longest,) if longest is not None and lengths[longest] >= needed else ()


def record_text(record: Mapping[str, Any], fields: Sequence[str]) -> str | None:
    """The text of one record, or None where its fields hold none."""
    parts = [field_text(record.get(name)) for name in fields]
    return "\n".join(part for part in parts if part) if any(part is not None for part in parts) else None


def field_text(value: Any, *, depth: int = 0) -> str | None:
    """The text in a value: a string, a list of them, messages with roles, or an object with a text.

    Args:
        value: as JSON or a table has it.
        depth: of the value in what holds it; below ``_MAX_DEPTH`` there is no text.
    """
    if isinstance(value, str):
        return value
    if depth > _MAX_DEPTH:
        return None
    # By JSON's and the tables' own kinds: asking for abstract ones takes longer than all else here.
    if isinstance(value, dict):
        return _object_text(value, depth + 1)
    if isinstance(value, list | tuple):
        parts = [field_text(item, depth=depth + 1) for item in value]
        return "\n".join(part for part in parts if part) if any(parts) else None
    return None


def record_meta(record: Mapping[str, Any], fields: Iterable[str]) -> dict[str, str]:
    """The short values beside the text (labels, titles, addresses), as strings."""
    meta: dict[str, str] = {}
    used = set(fields)
    for name, value in record.items():
        if name in used or isinstance(value, Mapping | list | tuple) or value is None or value == "":
            continue
        if len(str(value)) <= _MAX_META_CHARS and len(meta) < _MAX_META_FIELDS:
            meta[str(name)] = str(value)
    return meta


def _object_text(value: Mapping[str, Any], depth: int) -> str | None:
    role = value.get("role", value.get("from"))
    said = value.get("content", value.get("value"))
    if isinstance(role, str) and said is not None:
        text = field_text(said, depth=depth)
        return f"{ROLES.get(role, role)}: {text}" if text else None
    for name in (*DIALOGUES, *TEXT_NAMES):
        if name in value:
            return field_text(value[name], depth=depth)
    return None
