"""The filters against transformers' logits processors."""

from __future__ import annotations

import pytest
import torch

from yanmo.generation.sampling import (
    SamplingParams,
    add_bias,
    forbid_repeats,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical,
    penalize_repetition,
    shape_scores,
)

logits_process = pytest.importorskip("transformers.generation.logits_process")

SCORES_BV = torch.randn(16, 200, generator=torch.Generator().manual_seed(3)) * 4
IDS_BT = torch.randint(0, 200, (16, 30), generator=torch.Generator().manual_seed(4))
SEEN_BV = torch.zeros(16, 200, dtype=torch.bool).scatter(1, IDS_BT, True)


@pytest.mark.parametrize("top_k", [1, 7, 199])
def test_top_k(top_k: int) -> None:
    reference = logits_process.TopKLogitsWarper(top_k)
    assert torch.equal(keep_top_k(SCORES_BV, top_k), reference(IDS_BT, SCORES_BV))


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.95])
def test_top_p(top_p: float) -> None:
    reference = logits_process.TopPLogitsWarper(top_p)
    assert torch.equal(keep_top_p(SCORES_BV, top_p), reference(IDS_BT, SCORES_BV))


@pytest.mark.parametrize("min_p", [0.01, 0.1, 0.9])
def test_min_p(min_p: float) -> None:
    reference = logits_process.MinPLogitsWarper(min_p)
    assert torch.equal(keep_min_p(SCORES_BV, min_p), reference(IDS_BT, SCORES_BV))


@pytest.mark.parametrize("typical_p", [0.05, 0.5, 0.95])
def test_typical(typical_p: float) -> None:
    reference = logits_process.TypicalLogitsWarper(typical_p)
    assert torch.equal(keep_typical(SCORES_BV, typical_p), reference(IDS_BT, SCORES_BV))


def test_bias() -> None:
    bias = {3: 1.5, 150: -2.0, 7: float("-inf")}
    reference = logits_process.SequenceBiasLogitsProcessor(
        [[[token], value] for token, value in bias.items()]
    )
    assert torch.equal(add_bias(SCORES_BV, bias), reference(IDS_BT, SCORES_BV))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_repeated_ngrams(size: int) -> None:
    ids_BT = IDS_BT % 5
    reference = logits_process.NoRepeatNGramLogitsProcessor(size)
    got_BV = forbid_repeats(SCORES_BV, ids_BT.tolist(), size)
    assert torch.equal(got_BV, reference(ids_BT, SCORES_BV))
    assert bool(got_BV.isinf().any()) and not bool(SCORES_BV.isinf().any())


@pytest.mark.parametrize("penalty", [0.8, 1.3])
def test_repetition_penalty(penalty: float) -> None:
    reference = logits_process.RepetitionPenaltyLogitsProcessor(penalty)
    assert torch.equal(penalize_repetition(SCORES_BV, SEEN_BV, penalty), reference(IDS_BT, SCORES_BV))


def test_all_together_give_the_same_distribution() -> None:
    params = SamplingParams(temperature=0.6, top_k=50, top_p=0.9, min_p=0.02, repetition_penalty=1.2)
    processors = [
        logits_process.RepetitionPenaltyLogitsProcessor(1.2),
        logits_process.TemperatureLogitsWarper(0.6),
        logits_process.TopKLogitsWarper(50),
        logits_process.TopPLogitsWarper(0.9),
        logits_process.MinPLogitsWarper(0.02),
    ]
    scores_BV = SCORES_BV
    for processor in processors:
        scores_BV = processor(IDS_BT, scores_BV)
    got_BV = torch.softmax(shape_scores(SCORES_BV, params, seen_BV=SEEN_BV), dim=-1)
    torch.testing.assert_close(got_BV, torch.softmax(scores_BV, dim=-1), rtol=1e-4, atol=1e-6)
