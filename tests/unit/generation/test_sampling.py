"""Each function against a slow reference, and the sampler against exact probabilities."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.stats import chisquare

from yanmo.errors import InputError
from yanmo.generation.sampling import (
    SamplingParams,
    apply_temperature,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical,
    likeliest,
    penalize_counts,
    penalize_repetition,
    sample,
    shape_scores,
)

SCORES_BV = torch.randn(6, 40, generator=torch.Generator().manual_seed(0)) * 3


def probabilities(row: list[float]) -> list[float]:
    top = max(row)
    weights = [math.exp(score - top) for score in row]
    return [weight / sum(weights) for weight in weights]


def kept(scores_BV: torch.Tensor) -> list[set[int]]:
    return [{v for v, score in enumerate(row) if score > -math.inf} for row in scores_BV.tolist()]


@pytest.mark.parametrize("top_k", [1, 3, 39, 40, 100])
def test_top_k_keeps_the_highest(top_k: int) -> None:
    for row, got in zip(SCORES_BV.tolist(), kept(keep_top_k(SCORES_BV, top_k)), strict=True):
        assert got == set(sorted(range(40), key=lambda v: -row[v])[:top_k])
    assert torch.equal(keep_top_k(SCORES_BV, 0), SCORES_BV)


@pytest.mark.parametrize("top_p", [1e-6, 0.3, 0.9, 0.999])
def test_top_p_keeps_the_fewest_that_reach_it(top_p: float) -> None:
    for row, got in zip(SCORES_BV.tolist(), kept(keep_top_p(SCORES_BV, top_p)), strict=True):
        probability, expected, total = probabilities(row), set(), 0.0
        for v in sorted(range(40), key=lambda v: -row[v]):
            if total >= top_p:
                break
            expected.add(v)
            total += probability[v]
        assert got == expected
    assert torch.equal(keep_top_p(SCORES_BV, 1.0), SCORES_BV)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9, 0.9999])
@pytest.mark.parametrize("spread", [0.05, 1.5, 6.0])
def test_sorting_few_of_many_tokens_keeps_the_same(share: float, spread: float) -> None:
    # Steps of a quarter: most scores have equals, which count by their number.
    scores_BV = torch.randn(3, 5000, generator=torch.Generator().manual_seed(1)).mul(spread * 4).round() / 4
    logs_BV = torch.log_softmax(scores_BV, dim=-1)
    entropy_B1 = torch.special.entr(logs_BV.exp()).sum(dim=-1, keepdim=True)
    for keep, ranks_BV in ((keep_top_p, scores_BV), (keep_typical, -(-logs_BV - entropy_B1).abs())):
        order_BV = torch.argsort(ranks_BV, dim=-1, descending=True, stable=True)
        sorted_BV = torch.softmax(scores_BV, dim=-1).gather(-1, order_BV)
        before_BV = sorted_BV.cumsum(dim=-1) - sorted_BV
        is_kept_BV = torch.zeros_like(scores_BV, dtype=torch.bool).scatter(-1, order_BV, before_BV < share)
        got_BV = keep(scores_BV, share) > -math.inf
        # At the border the sums may be rounded either way.
        assert (got_BV != is_kept_BV).sum() <= 3
        assert got_BV.any(dim=-1).all()


@pytest.mark.parametrize("min_p", [0.01, 0.2, 1.0])
def test_min_p_keeps_what_is_near_the_highest(min_p: float) -> None:
    for row, got in zip(SCORES_BV.tolist(), kept(keep_min_p(SCORES_BV, min_p)), strict=True):
        probability = probabilities(row)
        assert got == {v for v in range(40) if probability[v] >= min_p * max(probability) * (1 - 1e-6)}
    assert torch.equal(keep_min_p(SCORES_BV, 0.0), SCORES_BV)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 1e-30])
def test_temperature_raises_probabilities_to_a_power(temperature: float) -> None:
    got_BV = torch.softmax(apply_temperature(SCORES_BV, temperature), dim=-1)
    for row, got in zip(SCORES_BV.tolist(), got_BV.tolist(), strict=True):
        expected = probabilities([(score - max(row)) / temperature for score in row])
        assert got == pytest.approx(expected, abs=1e-6)


def test_penalties_follow_their_formulas() -> None:
    scores_BV = torch.tensor([[2.0, -2.0, 1.0, -1.0]])
    seen_BV = torch.tensor([[True, True, False, False]])
    assert penalize_repetition(scores_BV, seen_BV, 2.0).tolist() == [[1.0, -4.0, 1.0, -1.0]]
    counts_BV = torch.tensor([[3.0, 1.0, 0.0, 0.0]])
    assert penalize_counts(scores_BV, counts_BV, 0.5, 0.25).tolist() == [[0.75, -2.75, 1.0, -1.0]]


def test_filters_work_on_what_the_one_before_left() -> None:
    """top-p counts probabilities among the top-k only."""
    scores_BV = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1]]))
    params = SamplingParams(temperature=1.0, top_k=2, top_p=0.55)
    # Alone 0.4 < 0.55 would keep two; among the top two it is 0.57 and suffices.
    assert kept(shape_scores(scores_BV, params)) == [{0}]


def expected_probabilities(row: list[float], params: SamplingParams, text: list[int]) -> list[float]:
    """As the definitions say, in plain Python; ``text`` is the answer so far, which nothing stands before."""
    size = params.no_repeat_ngram
    scores = []
    for v, score in enumerate(row):
        score += params.logit_bias.get(v, 0.0)
        if v in text:
            penalty = params.repetition_penalty
            score = score / penalty if score > 0 else score * penalty
            score -= params.presence_penalty + params.frequency_penalty * text.count(v)
        ngrams = [tuple(text[start : start + size]) for start in range(len(text) - size + 1)]
        if size and (*text[len(text) - size + 1 :], v) in ngrams:
            score = -math.inf
        scores.append(score)
    chances = probabilities([(score - max(scores)) / params.temperature for score in scores])
    chances = keep_first(chances, sorted(range(len(row)), key=lambda v: -chances[v])[: params.top_k or None])
    by_size = sorted(range(len(row)), key=lambda v: -chances[v])
    chances = keep_first(chances, reaching(chances, by_size, params.top_p))
    chances = keep_first(chances, [v for v in by_size if chances[v] >= params.min_p * max(chances) - 1e-12])
    surprise = [-math.log(chance) if chance > 0 else math.inf for chance in chances]
    entropy = sum(chance * bits for chance, bits in zip(chances, surprise, strict=True) if chance > 0)
    by_type = sorted(range(len(row)), key=lambda v: abs(surprise[v] - entropy))
    return keep_first(chances, reaching(chances, by_type, params.typical_p))


def keep_first(chances: list[float], keep: list[int]) -> list[float]:
    total = sum(chances[v] for v in keep)
    return [chances[v] / total if v in keep else 0.0 for v in range(len(chances))]


def reaching(chances: list[float], order: list[int], share: float) -> list[int]:
    total, found = 0.0, []
    for v in order:
        if total >= share:
            break
        found.append(v)
        total += chances[v]
    return found


SAMPLERS: list[dict[str, Any]] = [
    {"temperature": 0.5},
    {"temperature": 1.7},
    {"top_k": 4},
    {"top_p": 0.8},
    {"min_p": 0.15},
    {"typical_p": 0.9},
    {"repetition_penalty": 1.8},
    {"presence_penalty": 1.1},
    {"frequency_penalty": 0.6},
    {"logit_bias": {3: 2.5, 7: -math.inf}},
    {"no_repeat_ngram": 2},
    {"no_repeat_ngram": 1},
    {
        "temperature": 0.8,
        "top_k": 6,
        "top_p": 0.95,
        "typical_p": 0.9,
        "repetition_penalty": 1.2,
        "frequency_penalty": 0.3,
        "logit_bias": {1: 1.0},
        "no_repeat_ngram": 2,
    },
]


@pytest.mark.parametrize("settings", SAMPLERS, ids=lambda settings: " ".join(settings))
def test_each_sampler_has_its_exact_probabilities(settings: dict[str, Any]) -> None:
    num_draws, text = 10_000, [2, 5, 2, 9, 5, 2]
    params = SamplingParams(**{"temperature": 1.0, **settings})
    row_1V = SCORES_BV[1:2, :12] / 2
    seen_1V = torch.zeros(1, 12, dtype=torch.bool)
    seen_1V[0, text] = True
    counts_1V = torch.bincount(torch.tensor(text), minlength=12)[None].float()
    shaped_1V = shape_scores(row_1V, params, seen_BV=seen_1V, counts_BV=counts_1V, texts=[text])
    expected = expected_probabilities(row_1V[0].tolist(), params, text)
    generator = torch.Generator().manual_seed(1)
    draws = sample(shaped_1V.expand(num_draws, -1), [generator] * num_draws)
    observed = torch.bincount(draws, minlength=12).tolist()
    used = [v for v in range(12) if expected[v] > 0]
    assert sum(observed[v] for v in used) == num_draws and len(used) > 1
    assert chisquare([observed[v] for v in used], [expected[v] * num_draws for v in used]).pvalue > 1e-3
    if set(settings) - {"temperature"}:
        plain = expected_probabilities(row_1V[0].tolist(), SamplingParams(temperature=1.0), text)
        assert chisquare(observed, [chance * num_draws for chance in plain]).pvalue < 1e-6


def test_nothing_left_is_said_and_is_not_the_models_fault() -> None:
    params = SamplingParams(temperature=1.0, logit_bias=dict.fromkeys(range(40), -math.inf), top_p=0.9)
    with pytest.raises(InputError, match="no token is left"):
        sample(shape_scores(SCORES_BV, params), [torch.Generator()] * 6)
    with pytest.raises(InputError, match="no token is left"):
        likeliest(torch.full((1, 3), -math.inf))


def test_a_row_draws_the_same_whatever_stands_beside_it() -> None:
    def generators(*seeds: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    together = sample(SCORES_BV, generators(*range(6))).tolist()
    apart = [int(sample(SCORES_BV[row : row + 1], generators(row))) for row in range(6)]
    assert together == apart
    assert len(set(together)) > 1


def test_a_token_without_probability_is_never_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    scores_BV = torch.tensor([[-math.inf, 0.0, -math.inf, 1.0, -math.inf]])
    for draw, expected in ((0.0, 1), (1.0, 3)):
        value = torch.tensor(draw, dtype=torch.float64)
        monkeypatch.setattr(torch, "rand", lambda *_, value=value, **__: value)
        assert sample(scores_BV, [torch.Generator()]).tolist() == [expected]


def test_scores_that_are_no_numbers_are_reported() -> None:
    with pytest.raises(InputError, match="not numbers"):
        sample(torch.tensor([[0.0, math.nan]]), [torch.Generator()])
    with pytest.raises(InputError, match="not numbers"):
        likeliest(torch.tensor([[0.0, math.nan, 1.0]]))
    assert likeliest(torch.tensor([[0.0, 2.0, 2.0], [math.inf, 0.0, -math.inf]])).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 0),
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_p", math.nan),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("repetition_penalty", 0.0),
        ("presence_penalty", math.inf),
        ("frequency_penalty", math.nan),
        ("typical_p", 0.0),
        ("typical_p", 1.5),
        ("logit_bias", {-1: 1.0}),
        ("logit_bias", {1: math.nan}),
        ("logit_bias", {1: math.inf}),
        ("no_repeat_ngram", -1),
        ("stop", ("a", "")),
        ("seed", 2**64),
        ("num_logprobs", -1),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{name} cannot be"):
        SamplingParams(**{name: value})
