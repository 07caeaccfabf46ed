"""Texts of different lengths in one row: who is who, runs, padding, and which pairs attend together."""

from __future__ import annotations

import pytest
import torch

from yanmo.errors import InputError
from yanmo.models.heads import Select, select
from yanmo.nn.dropout import RowDropout
from yanmo.nn.packing import Run, Segments, pack, pack_lists, paired_runs


def test_positions_texts_and_runs() -> None:
    segments = Segments([2, 3, 3, 1])
    assert segments.positions_N.tolist() == [0, 1, 0, 1, 2, 0, 1, 2, 0]
    assert segments.texts_N.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert segments.starts_B.tolist() == [0, 2, 5, 8]
    assert segments.runs == (Run(0, 1, 2), Run(2, 2, 3), Run(8, 1, 1))
    assert segments.runs[1].tokens == slice(2, 8)


def test_runs_of_pairs_are_joined_only_where_both_sides_are_of_equal_length() -> None:
    pairs = paired_runs(Segments([2, 2, 2]), Segments([5, 5, 4]))
    assert pairs == ((Run(0, 2, 2), Run(0, 2, 5)), (Run(4, 1, 2), Run(10, 1, 4)))
    with pytest.raises(ValueError, match="shorter"):
        paired_runs(Segments([2, 2]), Segments([5]))


@pytest.mark.parametrize("left", [True, False])
def test_padding_goes_and_comes_back(left: bool) -> None:
    texts = [[1, 2, 3], [4], [5, 6]]
    rows = [[0] * (3 - len(t)) + t if left else t + [0] * (3 - len(t)) for t in texts]
    tokens = torch.tensor(rows)
    packed, segments = pack(tokens, tokens != 0)
    assert packed.tolist() == [[1, 2, 3, 4, 5, 6]] and segments.lengths == (3, 1, 2)
    assert pack_lists(texts)[0].equal(packed)
    assert segments.pad(packed, value=9).tolist() == [[1, 2, 3], [4, 9, 9], [5, 6, 9]]


def test_a_text_without_tokens_is_refused() -> None:
    for lengths in ([], [2, 0]):
        with pytest.raises(InputError, match="at least one token"):
            Segments(lengths)


def test_what_a_head_selects_of_packed_texts_is_what_it_selects_of_each() -> None:
    torch.manual_seed(0)
    texts = [torch.randn(1, length, 5) for length in (2, 4, 4, 1)]
    packed, segments = torch.cat(texts, 1), Segments([2, 4, 4, 1])
    for which in (Select.FIRST, Select.LAST, Select.MEAN):
        expected = torch.cat([select(text, which, None) for text in texts])
        torch.testing.assert_close(select(packed, which, segments), expected)
    assert select(packed, Select.ALL, segments) is packed


def test_dropout_has_one_mask_a_text() -> None:
    torch.manual_seed(0)
    dropout = RowDropout().train()
    dropout.probability = 0.5
    dropped = dropout(torch.ones(1, 7, 64), Segments([3, 4]))[0]
    assert set(dropped.flatten().tolist()) == {0.0, 2.0}
    assert all(dropped[t].equal(dropped[0]) for t in (1, 2)) and all(
        dropped[t].equal(dropped[3]) for t in (4, 5, 6)
    )
    assert not dropped[0].equal(dropped[3])
