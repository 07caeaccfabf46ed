"""Entities in tagged tokens, and how many of them are found.

Schemes of tags, each a letter, a hyphen and a type (Ramshaw and Marcus 1995, arXiv cmp-lg/9505040; Ratinov
and Roth 2009):

- BIO (also IOB2): B begins an entity, I goes on with it, O is outside;
- BIOES (also BILOU): E (L) ends one and S (U) is one token alone, as well;
- IO: I alone; neighbouring entities of one type are one.

*Lenient* reading, as the CoNLL tasks' ``conlleval`` and seqeval's default have it: a tag that breaks the
scheme begins an entity of its own (I after O, I of another type). *Strict*: only an entity whose tags follow
the scheme from first to last is one. A right entity has the right type, first and last token.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from yanmo.errors import InputError
from yanmo.metrics.label_counts import (
    AVERAGED_NAMES,
    averages,
    scores_of_labels,
    set_counts,
    single_counts,
)
from yanmo.metrics.scores import FloatArray, Scores, check_pairs, divide, from_rows

Scheme = Literal["BIO", "BIOES", "IO"]

_LETTERS = {"BIO": "BIO", "BIOES": "BIOES", "IO": "IO"}
_SAME = {"L": "E", "U": "S"}


class Entity(NamedTuple):
    """A typed run of tokens: ``start`` to before ``end``, counted from 0."""

    type: str
    start: int
    end: int


def read_entities(tags: Sequence[str], *, scheme: Scheme = "BIO", strict: bool = False) -> list[Entity]:
    """The entities that a sentence's tags name, in order.

    Args:
        tags: ``O`` or a letter, a hyphen and a type (``B-PER``, ``I-地点``); a letter alone has the type "".
        scheme: what the letters mean.
        strict: read broken runs of tags as no entity, rather than as conlleval does.

    Raises:
        InputError: a tag's letter is not of the scheme.
    """
    split = [_split(tag, scheme, index) for index, tag in enumerate(tags)]
    return _read_strict(split, scheme) if strict else _read_lenient(split)


def _split(tag: str, scheme: Scheme, index: int) -> tuple[str, str]:
    letter, _, kind = tag.partition("-")
    letter = _SAME.get(letter, letter) if scheme == "BIOES" else letter
    if letter not in tuple(_LETTERS[scheme]):
        raise InputError(
            f"{tag!r} is no tag of the scheme {scheme}",
            where=f"token {index}",
            remedy="tags are O, or a letter of the scheme, a hyphen and a type, such as B-PER",
        )
    return letter, "" if letter == "O" else kind


def _read_lenient(tags: list[tuple[str, str]]) -> list[Entity]:
    entities: list[Entity] = []
    begin, before = 0, ("O", "")
    for index, tag in enumerate([*tags, ("O", "")]):
        (letter, kind), (letter_before, kind_before) = tag, before
        open_before = letter_before != "O"
        goes_on = open_before and kind == kind_before and letter in "IE" and letter_before in "BI"
        if open_before and not goes_on:
            entities.append(Entity(kind_before, begin, index))
        if not goes_on:
            begin = index
        before = tag
    return entities


def _read_strict(tags: list[tuple[str, str]], scheme: Scheme) -> list[Entity]:
    first = {"BIO": "B", "BIOES": "BS", "IO": "I"}[scheme]
    entities: list[Entity] = []
    index = 0
    while index < len(tags):
        letter, kind = tags[index]
        begin, index = index, index + 1
        if letter not in first:
            continue
        if letter == "S":
            entities.append(Entity(kind, begin, index))
            continue
        while index < len(tags) and tags[index] == ("I", kind):
            index += 1
        if scheme != "BIOES":
            entities.append(Entity(kind, begin, index))
        elif index < len(tags) and tags[index] == ("E", kind):
            index += 1
            entities.append(Entity(kind, begin, index))
    return entities


def entity_scores(gold: Sequence[Collection[Entity]], predicted: Sequence[Collection[Entity]]) -> Scores:
    """Scores of found entities, or of any things whose first part is a type (triples, for instance).

    ``precision``, ``recall`` and ``f1`` over all entities (micro: the figure of the CoNLL tasks), the same
    ``_macro`` and ``_weighted`` over types; see ``label_counts``. Shares from 0 to 1. The example that is
    resampled is the sentence.

    Args:
        gold: the entities of each sentence.
        predicted: those that were found.

    Raises:
        InputError: the lengths differ or are 0.
    """
    _, counts = set_counts(gold, predicted, lambda entity: entity[0])

    def formula(sums: FloatArray) -> FloatArray:
        return averages(*np.split(sums, 3, axis=1))

    return from_rows([name.removesuffix("_micro") for name in AVERAGED_NAMES], counts, formula)


def entity_scores_by_type(
    gold: Sequence[Collection[Entity]],
    predicted: Sequence[Collection[Entity]],
    *,
    types: Sequence[str] | None = None,
) -> Scores:
    """``precision/TYPE``, ``recall/TYPE`` and ``f1/TYPE``; shares from 0 to 1.

    Args:
        gold: the entities of each sentence.
        predicted: those that were found.
        types: those wanted; None: every one that occurs.

    Raises:
        InputError: the lengths differ or are 0.
    """
    known, counts = set_counts(gold, predicted, lambda entity: entity[0])
    return scores_of_labels(known, counts, types)


def tagging(gold: Sequence[Sequence[Hashable]], predicted: Sequence[Sequence[Hashable]]) -> Scores:
    """Scores of a tag a token, as for parts of speech; shares from 0 to 1.

    - ``token_accuracy``: share of tokens with the right tag (for entities mostly O: look at F1).
    - ``sentence_accuracy``: share of sentences with no wrong tag.
    - ``f1_macro``, ``f1_weighted``: over tags, counted by token; see ``label_counts``.

    Raises:
        InputError: sentences or tokens are not paired, or there is no token at all.
    """
    from scipy.sparse import coo_array, csr_array, hstack

    check_pairs(gold, predicted)
    lengths = np.fromiter((len(tags) for tags in gold), np.int64, len(gold))
    for index, (first, second) in enumerate(zip(gold, predicted, strict=True)):
        if len(first) != len(second):
            raise InputError(
                f"{len(first)} gold tags and {len(second)} predicted ones", where=f"sentence {index}"
            )
    flat_gold = [tag for tags in gold for tag in tags]
    flat_predicted = [tag for tags in predicted for tag in tags]
    _, of_tokens = single_counts(flat_gold, flat_predicted)
    sentence_of = np.repeat(np.arange(len(gold)), lengths)
    ones = np.ones(len(sentence_of))
    shape = (len(gold), len(sentence_of))
    counts = coo_array((ones, (sentence_of, np.arange(len(sentence_of)))), shape=shape).tocsr() @ of_tokens
    right = [float(list(first) == list(second)) for first, second in zip(gold, predicted, strict=True)]
    extra = np.column_stack([right, np.ones(len(right))])

    def formula(sums: FloatArray) -> FloatArray:
        hits, got, wanted = np.split(sums[:, :-2], 3, axis=1)
        of_averages = averages(hits, got, wanted)
        chosen = [AVERAGED_NAMES.index("f1_macro"), AVERAGED_NAMES.index("f1_weighted")]
        return np.column_stack(
            [
                divide(hits.sum(1), wanted.sum(1), otherwise=np.nan),
                divide(sums[:, -2], sums[:, -1], otherwise=np.nan),
                of_averages[:, chosen],
            ]
        )

    names = ["token_accuracy", "sentence_accuracy", "f1_macro", "f1_weighted"]
    return from_rows(names, csr_array(hstack([counts, extra])), formula)
