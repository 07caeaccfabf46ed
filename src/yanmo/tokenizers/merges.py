"""Further merges on top of a tokenizer's own tokens: which pairs of neighbours save the most tokens.

Byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909) that begins from the tokens a tokenizer gives
instead of from characters. Each merge saves as many tokens as its pair occurs; ties go to the lowest ids.
A pair whose text is a token already is never merged, so no token is made twice and the old tokenizer's own
merges never meet a new one.
"""

from __future__ import annotations

import codecs
import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Two neighbouring tokens that become a new one.

    Attributes:
        left: id of the first, old or new.
        right: id of the second.
        text: the new token as the vocabulary writes it.
        count: how often the pair occurred when it was merged: tokens saved.
    """

    left: int
    right: int
    text: str
    count: int


def learn_merges(
    words: Mapping[tuple[int, ...], int],
    first_id: int,
    join: Callable[[int, int], str | None],
    *,
    min_count: int = 2,
) -> Iterator[Merge]:
    """The merges that save most, one by one; the n-th makes the token ``first_id + n``.

    Args:
        words: how often each stretch of tokens occurs, across whose ends nothing is merged.
        first_id: id of the first new token, above all old ones.
        join: text of the token that two tokens become, or None where they may not.
        min_count: rarest pair that is merged.
    """
    ordered = sorted(words.items())
    sequences = [list(word) for word, _ in ordered]
    times = [count for _, count in ordered]
    counts: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, sequence in enumerate(sequences):
        for pair in itertools.pairwise(sequence):
            counts[pair] += times[index]
            where[pair].add(index)
    heap = [(-count, pair) for pair, count in counts.items() if count >= min_count]
    heapq.heapify(heap)
    next_id = first_id
    while heap:
        negated, pair = heapq.heappop(heap)
        count = counts[pair]
        if count != -negated:
            if count >= min_count:
                heapq.heappush(heap, (-count, pair))
            continue
        text = join(*pair)
        if text is None:
            continue
        yield Merge(left=pair[0], right=pair[1], text=text, count=count)
        changed: set[Pair] = set()
        for index in sorted(where.pop(pair)):
            before = sequences[index]
            after = _merged(before, pair, next_id)
            for old in itertools.pairwise(before):
                counts[old] -= times[index]
            for new in itertools.pairwise(after):
                counts[new] += times[index]
                where[new].add(index)
                if next_id in new:
                    changed.add(new)
            sequences[index] = after
        for new in changed:
            if counts[new] >= min_count:
                heapq.heappush(heap, (-counts[new], new))
        next_id += 1


def _merged(sequence: list[int], pair: Pair, token_id: int) -> list[int]:
    """The sequence with the pair merged wherever it stands, from the left."""
    merged: list[int] = []
    index = 0
    while index < len(sequence):
        if index + 1 < len(sequence) and (sequence[index], sequence[index + 1]) == pair:
            merged.append(token_id)
            index += 2
        else:
            merged.append(sequence[index])
            index += 1
    return merged


def is_whole(raw: bytes) -> bool:
    """Whether bytes are characters, or the beginning of one: never the end of one with more behind it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(raw)
    except UnicodeDecodeError:
        return False
    return not text or not decoder.getstate()[0]
