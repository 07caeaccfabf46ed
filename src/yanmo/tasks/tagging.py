"""token-classification: tokens with tags, or a text with the entities in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from yanmo.reporting.axes import Words
from yanmo.tasks import conll
from yanmo.tasks.base import Cells, How, Item, Shape, Task
from yanmo.tasks.broken import Flaw, FlawError
from yanmo.tasks.cells import as_text, list_in, mapping_in, span_in, text_in
from yanmo.tasks.columns import Holds, Role
from yanmo.tasks.examples import Origin, Span, SpanExample, TokenExample
from yanmo.tasks.labels import LabelKind, read_label
from yanmo.tasks.tags import guess_scheme, to_bio

_TOKENS = Role(name="tokens", names=("tokens words token word chars characters 词 字 分词",))
_TAGS = Role(
    name="tags",
    names=("tags nertags ner labels bio biotags iob 标注 标签", "label tag entities postags pos upos 词性"),
    is_target=True,
)
_TEXT = Role(
    name="text", names=("text sentence content document 文本 句子 内容 正文 原文",), holds=Holds.TEXT
)
_ENTITIES = Role(
    name="entities",
    names=("entities entity spans ner annotations 实体 命名实体", "label labels annotation 标签 标注"),
    is_target=True,
)
_STARTS = ("start", "start_offset", "startoffset", "begin", "start_idx", "start_index", "from", "开始")
_ENDS = ("end", "end_offset", "endoffset", "stop", "end_idx", "end_index", "to", "结束")
_KINDS = (
    "label",
    "type",
    "entity",
    "entity_type",
    "labels",
    "tag",
    "category",
    "entity_group",
    "类型",
    "标签",
)
_SURFACES = ("text", "word", "value", "name", "mention", "surface", "entity_text", "文本")


def _build_tokens(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    tokens = [
        as_text(token, f"token {i}", how) for i, token in enumerate(_parts(cells["tokens"], "tokens"), 1)
    ]
    if not tokens:
        raise FlawError(Flaw.EMPTY_TEXT, "no tokens", "write the tokens, or leave the row out")
    cell = cells.get("tags")
    if cell is None and not how.labelled:
        return (TokenExample(tokens=tuple(tokens), tags=None, origin=origin),)
    if cell is None:
        raise FlawError(Flaw.NO_LABEL, "no tags", "write one tag a token")
    tags = [str(read_label(tag, how.kind, how.classes.get("tags", ()))) for tag in _parts(cell, "tags")]
    if len(tags) != len(tokens):
        raise FlawError(
            Flaw.UNEVEN, f"{len(tokens)} tokens and {len(tags)} tags", "write one tag a token, O for none"
        )
    return (TokenExample(tokens=tuple(tokens), tags=to_bio(tags, how.scheme), origin=origin),)


def _study(sample: Sequence[Cells], how: How) -> How:
    """The scheme of a file's tags, by its first rows."""
    names = how.classes.get("tags", ())
    sentences = []
    for row in sample:
        with contextlib.suppress(FlawError):
            tags = _parts(row.get("tags"), "tags")
            sentences.append([str(read_label(tag, how.kind, names)) for tag in tags])
    return replace(how, scheme=how.settings.tag_scheme or guess_scheme(sentences))


def _parts(cell: Any, what: str) -> list[Any]:
    """A list, or the words of a text."""
    if isinstance(cell, str) and not cell.lstrip().startswith("["):
        return cell.split()
    return list_in(cell, what)


def _build_spans(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    text = text_in(cells, "text", how)
    cell = cells.get("entities")
    if cell is None:
        if how.labelled:
            raise FlawError(Flaw.NO_LABEL, "no entities", "write an empty list where the text has none")
        return (SpanExample(text=text, spans=None, origin=origin),)
    found = sorted({_span(text, entity, number) for number, entity in enumerate(_entities(cell), 1)})
    for before, after in pairwise(found):
        if after.start < before.end:
            raise FlawError(
                Flaw.OVERLAP,
                f"{before.label} {before.start}-{before.end} and {after.label} {after.start}-{after.end}",
                "keep one of them: a token has one tag",
            )
    return (SpanExample(text=text, spans=tuple(found), origin=origin),)


def _entities(cell: Any) -> list[Any]:
    """The entities of a cell; of an object by kind and text (as CLUENER has it) one for each place."""
    by_kind = mapping_in(cell)
    if by_kind is None or any(name in by_kind for name in _STARTS):
        return list_in(cell, "entities")
    flat: list[Any] = []
    for kind, texts in by_kind.items():
        for surface, places in texts.items() if isinstance(texts, Mapping) else ():
            for place in places if isinstance(places, list) else ():
                start, end = (*place, None, None)[:2] if isinstance(place, list) else (None, None)
                flat.append({"start": start, "end": end, "label": kind, "text": surface})
    return flat


def _span(text: str, entity: Any, number: int) -> Span:
    if isinstance(entity, Mapping):
        start, end = _first(entity, _STARTS), _first(entity, _ENDS)
        kind, surface = _first(entity, _KINDS), _first(entity, _SURFACES)
        kind = kind[0] if isinstance(kind, list) and kind else kind
        if start is None and isinstance(entity.get("offsets"), list):
            start, end = (*entity["offsets"], None, None)[:2]
    elif isinstance(entity, list | tuple) and len(entity) == 3:
        (start, end, kind), surface = entity, None
    else:
        raise FlawError(
            Flaw.ROW,
            f"entity {number} is {repr(entity)[:50]}",
            'write it as {"start": 0, "end": 3, "label": "PER"} or [0, 3, "PER"]',
        )
    if kind is None or kind == "":
        raise FlawError(Flaw.NO_LABEL, f"entity {number} has no kind", 'write its kind: "label": "PER"')
    try:
        return span_in(text, start, end, str(read_label(kind, LabelKind.ONE)), surface)[0]
    except FlawError as flaw:
        flaw.within = f"entity {number}"
        raise


def _first(entity: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((entity[name] for name in names if entity.get(name) is not None), None)


TOKEN_CLASSIFICATION = Task(
    name="token-classification",
    what=Words("tokens with a tag each, or a text with entities", "逐词标注，或带实体的文本"),
    shapes=(
        Shape(roles=(_TOKENS, _TAGS), build=_build_tokens, study=_study),
        Shape(roles=(_TEXT, _ENTITIES), build=_build_spans),
    ),
    layouts=(conll.LAYOUT,),
)
