"""Scores of ranked lists: search, matching, finding the nearest sentence.

Means over queries of what each list earns (Manning, Raghavan and Schütze 2008, chapter 8; nDCG: Järvelin and
Kekäläinen 2002, with the grade itself as gain and log2(rank + 1) as discount, as trec_eval has it).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from yanmo.errors import InputError
from yanmo.metrics.scores import Scores, check_pairs, from_ratios

Item = TypeVar("Item", bound=Hashable)


def retrieval(
    relevant: Sequence[Mapping[Item, float] | Collection[Item]],
    ranked: Sequence[Sequence[Item]],
    *,
    cutoffs: Sequence[int] = (1, 5, 10),
) -> Scores:
    """Scores of one ranked list a query; shares from 0 to 1.

    - ``mrr``: mean of 1 / rank of the first relevant item; 0 where the list has none.
    - ``map``: mean of the average precision, Σ over relevant items in the list of the precision at their
      rank, over the number of relevant items.
    - ``ndcg@k``: Σ_{i<=k} grade_i / log2(i + 1) over the same for the best possible list.
    - ``recall@k``: share of the relevant items among the first k. ``hit@k``: whether there is one at all.

    Args:
        relevant: of each query, the relevant items, or a grade above 0 for each (0: not relevant).
        ranked: of each query, what was found, best first; as deep as the scores are to look.
        cutoffs: the k.

    Raises:
        InputError: the lengths differ or are 0, a query has nothing relevant, a list names an item twice,
            or a cutoff is below 1.
    """
    check_pairs(relevant, ranked)
    if not cutoffs or min(cutoffs) < 1:
        raise InputError(f"cutoffs {list(cutoffs)} are not ranks, which start at 1")
    rows = np.array(
        [
            _of_query(_grades(items), found, cutoffs, f"query {query}")
            for query, (items, found) in enumerate(zip(relevant, ranked, strict=True))
        ]
    )
    names = ["mrr", "map"]
    for cutoff in cutoffs:
        names += [f"ndcg@{cutoff}", f"recall@{cutoff}", f"hit@{cutoff}"]
    return from_ratios(names, rows)


def _grades(items: Mapping[Item, float] | Collection[Item]) -> dict[Item, float]:
    if isinstance(items, Mapping):
        return {item: grade for item, grade in items.items() if grade > 0}
    return dict.fromkeys(items, 1.0)


def _of_query(
    grades: dict[Item, float], found: Sequence[Item], cutoffs: Sequence[int], where: str
) -> list[float]:
    if not grades:
        raise InputError("a query has nothing relevant", where=where, remedy="leave it out")
    if len(set(found)) < len(found):
        raise InputError("a ranked list names an item twice", where=where)
    gains = [grades.get(item, 0.0) for item in found]
    hits = [rank for rank, gain in enumerate(gains, 1) if gain > 0]
    best = sorted(grades.values(), reverse=True)
    values = [
        1 / hits[0] if hits else 0.0,
        sum(index / rank for index, rank in enumerate(hits, 1)) / len(grades),
    ]
    for cutoff in cutoffs:
        num_hits = sum(rank <= cutoff for rank in hits)
        values += [
            _discounted(gains[:cutoff]) / _discounted(best[:cutoff]),
            num_hits / len(grades),
            float(num_hits > 0),
        ]
    return values


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
