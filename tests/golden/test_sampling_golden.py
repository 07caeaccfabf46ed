"""The filters against transformers' logits processors."""

from __future__ import annotations

import pytest
import torch

from yanmo.generation.sampling import (
    SamplingParams,
    keep_min_p,
    keep_top_k,
    keep_top_p,
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
