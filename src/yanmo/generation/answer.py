"""One answer in the making: draws a token from the model's scores, and gives out the text that may be shown.

Shapes: V ids that both the model and the tokenizer have.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from yanmo.generation.sampling import SamplingParams, likeliest, sample
from yanmo.generation.shaping import Shaper
from yanmo.generation.speculation import Proposal, verify
from yanmo.generation.text_stream import TextStream
from yanmo.tokenizers.load import Tokenizer

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class TokenLogprob:
    """A token's log-probability under the model, before temperature and filters.

    Attributes:
        token_id: the token.
        logprob: in nats, at most 0.
        top: the likeliest tokens and their log-probabilities, likeliest first.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What one step gives.

    Attributes:
        text: text that may be shown now; often empty, as when a character is unfinished.
        token_ids: the tokens drawn (none in a last piece that only ends the answer).
        logprobs: one for each token, where asked for.
        finish_reason: set on the last piece: ``stop`` (end token, stop string, or all of a form),
            ``length`` (max_tokens or the end of the context) or ``cancelled``.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None


class Answer:
    """One answer in the making."""

    def __init__(self, tokenizer: Tokenizer, params: SamplingParams, shaper: Shaper, *, index: int) -> None:
        """Stand before the first token.

        Args:
            tokenizer: of the model.
            params: what is asked for; ``index`` is added to the seed.
            shaper: what may come next; the answer's own.
            index: number of the answer.
        """
        self.index, self.shaper, self._params = index, shaper, params
        self._text = TextStream(tokenizer, params.stop)
        self.generator = torch.Generator()
        seed = secrets.randbits(63) if params.seed is None else params.seed
        # Wrapped to the 64 bits that a generator takes.
        self.generator.manual_seed((seed + index) % 2**64)
        self.finish_reason: FinishReason | None = None

    @property
    def token_ids(self) -> list[int]:
        """Tokens so far; an end token is not among them."""
        return self.shaper.answer_ids

    @property
    def num_left(self) -> int | None:
        """How many more tokens may come, or None where only the context's end sets a limit."""
        limit = self._params.max_tokens
        return None if limit is None else limit - self.shaper.num_answered

    def step(self, scores_1V: Tensor, *, is_last: bool, proposal: Proposal | None = None) -> Piece:
        """Draw the next token.

        Args:
            scores_1V: the model's scores.
            is_last: there is no place for more.
            proposal: a token that a draft holds likely; the distribution stays as it is.
        """
        token_id = self._draw(self.shaper.shape(scores_1V), proposal)
        if token_id in self.shaper.end_ids:
            return self._finish("stop")
        self.shaper.push(token_id)
        logprobs = self._logprobs(scores_1V, token_id)
        text = self._text.push(token_id)
        if self._text.is_stopped or self.shaper.is_complete:
            return self._finish("stop", text, (token_id,), logprobs)
        if is_last or self.num_left == 0:
            return self._finish("length", text, (token_id,), logprobs)
        return Piece(text=text, token_ids=(token_id,), logprobs=logprobs)

    def cancel(self) -> Piece:
        """End it here."""
        return self._finish("cancelled")

    def _draw(self, shaped_1V: Tensor, proposal: Proposal | None) -> int:
        if self.shaper.is_greedy:
            return int(likeliest(shaped_1V))
        if proposal is None:
            return int(sample(shaped_1V, [self.generator]))
        return verify(shaped_1V, proposal, self.generator)

    def _finish(
        self,
        reason: FinishReason,
        text: str = "",
        token_ids: tuple[int, ...] = (),
        logprobs: tuple[TokenLogprob, ...] = (),
    ) -> Piece:
        text += self._text.finish()
        # An unfinished character at the end may complete nothing, but a stop string may end there.
        self.finish_reason = "stop" if self._text.is_stopped else reason
        return Piece(text=text, token_ids=token_ids, logprobs=logprobs, finish_reason=self.finish_reason)

    def _logprobs(self, scores_1V: Tensor, token_id: int) -> tuple[TokenLogprob, ...]:
        num_top = self._params.num_logprobs
        if num_top is None:
            return ()
        logprobs_V = torch.log_softmax(scores_1V[0], dim=-1)
        top = torch.topk(logprobs_V, min(num_top, len(logprobs_V)))
        pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        return (TokenLogprob(token_id=token_id, logprob=float(logprobs_V[token_id]), top=tuple(pairs)),)
