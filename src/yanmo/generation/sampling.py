"""From scores to a token: pure functions on scores, and the settings that choose them.

Shapes: B rows, V vocabulary. Scores are unnormalised log-probabilities; -inf means never.

Sources: top-k, Fan et al. 2018 (arXiv 1805.04833, section 5); top-p, Holtzman et al. 2020 (arXiv
1904.09751, section 3.1); min-p, Nguyen et al. 2024 (arXiv 2407.01082, section 3); typical sampling, Meister
et al. 2022 (arXiv 2202.00666, section 4); repetition penalty, Keskar et al. 2019 (CTRL, arXiv 1909.05858,
section 4.1), with negative scores multiplied instead of divided, as is usual since, so that the penalty
always lowers a score; no repeated n-grams, Paulus et al. 2017 (arXiv 1705.04304, section 2.5); presence and
frequency penalties and the bias, the OpenAI API's definitions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.generation.constraint import OutputForm

# Tokens that are sorted at first.
_FEW = (128, 2048)


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How a text is continued.

    Attributes:
        max_tokens: most tokens to generate, at least 1; None goes on to the end of the context.
        min_tokens: before there are so many, nothing ends the answer but a stop string or the context's end.
        temperature: scores are divided by it; 0 always takes the highest score.
        top_k: sample among this many tokens; 0 among all.
        top_p: sample among the fewest tokens whose probabilities reach this; above 0, at most 1.
        min_p: leave out tokens below this share of the highest probability; 0 to 1.
        typical_p: sample among the fewest tokens whose probabilities reach this, those first whose surprise
            is nearest to what the model expects; above 0, at most 1.
        repetition_penalty: above 1 lowers the scores of tokens in prompt and answer; above 0.
        presence_penalty: taken from the score of each token that the answer holds.
        frequency_penalty: the same, once for each time the answer holds it.
        logit_bias: added to the scores of tokens, by id; minus infinity never takes one.
        no_repeat_ngram: no so many tokens in a row come twice in prompt and answer; 0 lets them.
        form: what the answer must look like; None leaves it free. Then ``min_tokens`` counts for nothing.
        stop: strings that end the answer and are not shown.
        stop_token_ids: tokens that end the answer, besides the tokenizer's own.
        seed: of the sampling; None draws a new one each time.
        num_logprobs: report each token's log-probability and those of this many others; None reports none.
    """

    max_tokens: int | None = 256
    min_tokens: int = 0
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    no_repeat_ngram: int = 0
    form: OutputForm | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    seed: int | None = None
    num_logprobs: int | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            InputError: naming the setting and its range.
        """
        _require(self.max_tokens is None or self.max_tokens >= 1, "max_tokens", self.max_tokens, "1 or more")
        _require(self.min_tokens >= 0, "min_tokens", self.min_tokens, "0 or more")
        _require(0 <= self.temperature < math.inf, "temperature", self.temperature, "0 or more")
        _require(self.top_k >= 0, "top_k", self.top_k, "0 (off) or more")
        _require(0 < self.top_p <= 1, "top_p", self.top_p, "above 0, at most 1 (off)")
        _require(0 <= self.min_p <= 1, "min_p", self.min_p, "0 (off) to 1")
        _require(0 < self.typical_p <= 1, "typical_p", self.typical_p, "above 0, at most 1 (off)")
        _require(
            0 < self.repetition_penalty < math.inf,
            "repetition_penalty",
            self.repetition_penalty,
            "above 0; 1 is off",
        )
        _require(math.isfinite(self.presence_penalty), "presence_penalty", self.presence_penalty, "a number")
        _require(
            math.isfinite(self.frequency_penalty), "frequency_penalty", self.frequency_penalty, "a number"
        )
        for token_id, bias in self.logit_bias.items():
            _require(token_id >= 0, "logit_bias", {token_id: bias}, "ids of tokens")
            _require(bias < math.inf, "logit_bias", {token_id: bias}, "numbers, or minus infinity for never")
        _require(self.no_repeat_ngram >= 0, "no_repeat_ngram", self.no_repeat_ngram, "0 (off) or more")
        _require(all(self.stop), "stop", "", "a string that is not empty")
        _require(self.seed is None or -(2**63) <= self.seed < 2**64, "seed", self.seed, "a 64-bit number")
        _require(
            self.num_logprobs is None or self.num_logprobs >= 0,
            "num_logprobs",
            self.num_logprobs,
            "0 or more",
        )


def _require(is_right: bool, name: str, value: object, allowed: str) -> None:
    if not is_right:
        raise InputError(f"{name} cannot be {value!r}", remedy=f"choose {allowed}")


def penalize_repetition(scores_BV: Tensor, seen_BV: Tensor, penalty: float) -> Tensor:
    """Divide positive scores of seen tokens by ``penalty``, multiply negative ones by it.

    Args:
        scores_BV: float32 scores.
        seen_BV: bool, whether prompt or answer holds the token.
        penalty: above 0; 1 changes nothing.
    """
    lowered_BV = torch.where(scores_BV > 0, scores_BV / penalty, scores_BV * penalty)
    return torch.where(seen_BV, lowered_BV, scores_BV)


def penalize_counts(scores_BV: Tensor, counts_BV: Tensor, presence: float, frequency: float) -> Tensor:
    """Take ``presence`` once and ``frequency`` per occurrence from scores of tokens in the answer.

    Args:
        scores_BV: float32 scores.
        counts_BV: float32, how often the answer holds each token.
        presence: OpenAI's presence_penalty.
        frequency: OpenAI's frequency_penalty.
    """
    return scores_BV - presence * (counts_BV > 0) - frequency * counts_BV


def add_bias(scores_BV: Tensor, bias: Mapping[int, float]) -> Tensor:
    """Add to the scores of tokens, by id; minus infinity takes one out."""
    if not bias:
        return scores_BV
    added_N = torch.tensor(list(bias.values()), dtype=scores_BV.dtype)
    return scores_BV.index_add(1, torch.tensor(list(bias)), added_N.expand(len(scores_BV), -1))


def forbid_repeats(scores_BV: Tensor, texts: Sequence[Sequence[int]], size: int) -> Tensor:
    """Take out each token that would end an n-gram which the row's text already holds.

    Args:
        scores_BV: float32 scores.
        texts: token ids of each row, those of prompt and answer.
        size: tokens of an n-gram; 0 forbids nothing.
    """
    if size == 0:
        return scores_BV
    scores_BV = scores_BV.clone()
    for scores_V, text in zip(scores_BV, texts, strict=True):
        if len(text) < size:
            continue
        ngrams_NS = torch.tensor(text).unfold(0, size, 1)
        last = torch.tensor(text[len(text) - size + 1 :], dtype=torch.int64)
        begun_N = (ngrams_NS[:, :-1] == last).all(dim=1)
        scores_V[ngrams_NS[begun_N, -1]] = -math.inf
    return scores_BV


def apply_temperature(scores_BV: Tensor, temperature: float) -> Tensor:
    """Divide the distance to the highest score by ``temperature`` (above 0).

    The highest score becomes 0, which leaves the distribution as it is and cannot overflow.
    """
    highest_B1 = scores_BV.amax(dim=-1, keepdim=True)
    # Where nothing is left, nothing stays left.
    return (scores_BV - highest_B1.clamp_min(torch.finfo(scores_BV.dtype).min)) / temperature


def keep_top_k(scores_BV: Tensor, top_k: int) -> Tensor:
    """Keep the ``top_k`` highest scores (and ties of the last one); 0 keeps all."""
    if top_k == 0 or top_k >= scores_BV.shape[-1]:
        return scores_BV
    lowest_kept_B1 = torch.topk(scores_BV, top_k, dim=-1).values[:, -1:]
    return scores_BV.masked_fill(scores_BV < lowest_kept_B1, -math.inf)


def keep_top_p(scores_BV: Tensor, top_p: float) -> Tensor:
    """Keep the fewest highest scores whose probabilities add up to ``top_p`` or more; 1 keeps all."""
    if top_p >= 1:
        return scores_BV
    dropped_BV = _beyond(scores_BV, torch.softmax(scores_BV, dim=-1), top_p)
    return scores_BV.masked_fill(dropped_BV, -math.inf)


def keep_min_p(scores_BV: Tensor, min_p: float) -> Tensor:
    """Keep tokens whose probability is at least ``min_p`` times the highest; 0 keeps all."""
    if min_p <= 0:
        return scores_BV
    highest_B1 = scores_BV.amax(dim=-1, keepdim=True)
    return scores_BV.masked_fill(scores_BV < highest_B1 + math.log(min_p), -math.inf)


def keep_typical(scores_BV: Tensor, typical_p: float) -> Tensor:
    """Keep the fewest tokens of typical surprise whose probabilities reach ``typical_p``; 1 keeps all.

    A token is the more typical, the nearer its surprise -log p is to the expected one, the entropy.
    """
    if typical_p >= 1:
        return scores_BV
    logs_BV = torch.log_softmax(scores_BV, dim=-1)
    entropy_B1 = torch.special.entr(logs_BV.exp()).sum(dim=-1, keepdim=True)
    probabilities_BV = logs_BV.exp()
    dropped_BV = _beyond(-(-logs_BV - entropy_B1).abs(), probabilities_BV, typical_p)
    return scores_BV.masked_fill(dropped_BV, -math.inf)


def _beyond(ranks_BV: Tensor, probabilities_BV: Tensor, share: float) -> Tensor:
    """Which tokens are not among the fewest of highest rank whose probabilities reach ``share``."""
    dropped_BV = torch.ones_like(ranks_BV, dtype=torch.bool)
    for ranks_V, probabilities_V, dropped_V in zip(ranks_BV, probabilities_BV, dropped_BV, strict=True):
        # Nearly always few are enough, and to sort all takes longer than a step of a small model.
        for size in (*_FEW, len(ranks_V)):
            order_N = _highest(ranks_V, size)
            sums_N = probabilities_V[order_N].cumsum(dim=-1)
            if bool((sums_N[-1:] >= share).any()):
                break
        # A token is dropped where those before it already suffice, so the highest always stays.
        dropped_V[order_N] = sums_N - probabilities_V[order_N] >= share
    return dropped_BV


def _highest(ranks_V: Tensor, size: int) -> Tensor:
    """The ``size`` tokens of highest rank, and all that equal the last of them; equals by their number."""
    if size >= len(ranks_V):
        return torch.sort(ranks_V, descending=True, stable=True).indices
    lowest = torch.topk(ranks_V, size).values[-1]
    near_N = (ranks_V >= lowest).nonzero()[:, 0]
    return near_N[torch.sort(ranks_V[near_N], descending=True, stable=True).indices]


def shape_scores(
    scores_BV: Tensor,
    params: SamplingParams,
    *,
    seen_BV: Tensor | None = None,
    counts_BV: Tensor | None = None,
    texts: Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """All that the settings ask for: bias, penalties, temperature, top-k, top-p, min-p, typical.

    The order is that of transformers.

    Args:
        scores_BV: the model's scores.
        params: the settings; a temperature of 0 leaves only the bias, the penalties and what is forbidden.
        seen_BV: as ``penalize_repetition``; needed where ``repetition_penalty`` is not 1.
        counts_BV: as ``penalize_counts``; needed where one of those penalties is not 0.
        texts: as ``forbid_repeats``; needed where ``no_repeat_ngram`` is not 0.
    """
    scores_BV = add_bias(scores_BV, params.logit_bias)
    if params.repetition_penalty != 1:
        assert seen_BV is not None
        scores_BV = penalize_repetition(scores_BV, seen_BV, params.repetition_penalty)
    if params.presence_penalty or params.frequency_penalty:
        assert counts_BV is not None
        scores_BV = penalize_counts(scores_BV, counts_BV, params.presence_penalty, params.frequency_penalty)
    if params.no_repeat_ngram:
        assert texts is not None
        scores_BV = forbid_repeats(scores_BV, texts, params.no_repeat_ngram)
    if params.temperature == 0:
        return scores_BV
    scores_BV = apply_temperature(scores_BV, params.temperature)
    scores_BV = keep_top_k(scores_BV, params.top_k)
    scores_BV = keep_top_p(scores_BV, params.top_p)
    scores_BV = keep_min_p(scores_BV, params.min_p)
    return keep_typical(scores_BV, params.typical_p)


def likeliest(scores_BV: Tensor) -> Tensor:
    """The token of the highest score, the first of equals; int64 of shape (B,).

    Raises:
        InputError: the scores are not numbers, so the model is damaged, or no token is left.
    """
    highest_B, tokens_B = scores_BV.max(dim=-1)
    # What is no number counts as the highest.
    if not bool((highest_B > -math.inf).all()):
        raise _no_choice(scores_BV)
    return tokens_B


def probabilities(scores_BV: Tensor) -> Tensor:
    """softmax(scores), float64.

    Raises:
        InputError: the scores are not numbers, so the model is damaged, or no token is left.
    """
    chances_BV = torch.softmax(scores_BV.double(), dim=-1)
    if not bool(torch.isfinite(chances_BV[:, 0]).all()):
        raise _no_choice(scores_BV)
    return chances_BV


def draw(chances_BV: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw one token a row, by inversion of the cumulative distribution.

    Each row draws one number from its own generator, so what it draws does not depend on the others.

    Args:
        chances_BV: float64, not negative; in proportion to the probabilities.
        generators: one a row.

    Returns:
        Token ids, int64 of shape (B,).
    """
    cumulative_BV = chances_BV.cumsum(dim=-1)
    total_B1 = cumulative_BV[:, -1:].contiguous()
    draws = [torch.rand((), generator=generator, dtype=torch.float64) for generator in generators]
    # u is below 1 but u * total may round up to total: never go past the last token with a probability.
    last_B1 = torch.searchsorted(cumulative_BV, total_B1)
    tokens_B1 = torch.searchsorted(cumulative_BV, torch.stack(draws)[:, None] * total_B1, right=True)
    return torch.minimum(tokens_B1, last_B1)[:, 0]


def sample(scores_BV: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw one token a row from softmax(scores): ``probabilities`` and ``draw``."""
    return draw(probabilities(scores_BV), generators)


def _no_choice(scores_BV: Tensor) -> InputError:
    if bool(scores_BV.isnan().any()) or bool((scores_BV == math.inf).any()):
        remedy = "its weights are damaged; train it again"
        return InputError("the model's scores are not numbers", remedy=remedy)
    return InputError("no token is left that may come next", remedy="loosen what was asked for")
