"""The decoding engine: continues a prompt, or answers a source text, with any language model, token by token.

The prompt is taken in once; each step then feeds one token a row to the model's session (whose cache
makes that cheap), shapes the scores, draws a token, and gives out what text may be shown. Rows are
samples of one prompt; a row that has ended leaves the session.

Shapes: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.generation.prompt import Answered, Continued, Opening, Prompter
from yanmo.generation.sampling import SamplingParams, likeliest, sample, shape_scores
from yanmo.generation.text_stream import TextStream
from yanmo.models.base import LanguageModel, Session
from yanmo.models.generation_settings import GenerationSettings
from yanmo.models.registry import LoadedModel, check_vocabularies, load
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.load import Tokenizer

__all__ = [
    "Engine",
    "FinishReason",
    "Generation",
    "Piece",
    "SamplingParams",
    "TokenLogprob",
    "generate",
]

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
        finish_reason: set on the last piece: ``stop`` (end token or stop string), ``length`` (max_tokens
            or the end of the context) or ``cancelled``.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A whole answer.

    Attributes:
        text: what may be shown; without the stop string.
        token_ids: every token drawn except an end token; those of a stop string are among them.
        finish_reason: as ``Piece``.
        num_prompt_tokens: tokens of the prompt, or of the source text.
        tokens_per_s: steps after the first token per second, all rows together; 0 where there was none.
        prefill_tokens_per_s: prompt tokens taken in per second.
        logprobs: one for each token, where asked for.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    num_prompt_tokens: int
    tokens_per_s: float
    prefill_tokens_per_s: float
    logprobs: tuple[TokenLogprob, ...] = ()


def _never() -> bool:
    return False


class Engine:
    """Continues prompts with one model and its tokenizer; with an encoder-decoder it answers source texts."""

    def __init__(
        self, model: LanguageModel, tokenizer: Tokenizer, settings: GenerationSettings | None = None
    ) -> None:
        """Pair a model with the tokenizer it was trained with.

        Args:
            model: any language model.
            tokenizer: its tokenizer.
            settings: which tokens its answers begin and end with, beyond what the tokenizer says.

        Raises:
            InputError: the tokenizer has ids that the model does not know, or the model continues nothing.
        """
        check_vocabularies(tokenizer, model)
        # A model that continues nothing says so here, before the first prompt.
        model.start(1)
        settings = settings or GenerationSettings()
        self.model, self.tokenizer = model, tokenizer
        self.end_ids = frozenset({*settings.end_ids, *tokenizer.end_ids})
        # Models may round their vocabulary up, and tokenizers name special tokens that no model learned.
        self.vocab_size = min(tokenizer.vocab_size, model.vocab_size)
        self.suppressed_ids = tuple(i for i in settings.suppressed_ids if i < self.vocab_size)
        self.prompter: Prompter = Continued(model, tokenizer)
        if settings.first_ids:
            assert isinstance(model, Transformer)
            self.prompter = Answered(model, tokenizer, settings.first_ids)

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt or source text, with all that the model wants around it.

        Raises:
            InputError: the text is not valid Unicode.
        """
        return self.prompter.encode(text)

    def stream(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams | None = None,
        *,
        cancelled: Callable[[], bool] = _never,
        use_cache: bool = True,
    ) -> Iterator[Piece]:
        """Continue a prompt, giving out text as it comes.

        Args:
            prompt_ids: token ids; an empty prompt begins a document. Of an encoder-decoder they are the
                source, with its special tokens, as ``encode`` gives it.
            params: how to continue; None takes the defaults.
            cancelled: asked before each step; True ends the answer.
            use_cache: False takes in the whole text anew for each token (slow; to check the cache).

        Yields:
            Pieces; the last one has a ``finish_reason``.

        Raises:
            InputError: the prompt is longer than the model's context, or holds an unknown id.
        """
        run = _Run(self, prompt_ids, params or SamplingParams(), use_cache=use_cache, cancelled=cancelled)
        return (piece for _, piece in run.steps())

    def generate(self, prompt_ids: Sequence[int], params: SamplingParams | None = None) -> Generation:
        """Continue a prompt to the end; arguments and errors as ``stream``."""
        return self.generate_samples(prompt_ids, params, num_samples=1)[0]

    def generate_samples(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams | None = None,
        *,
        num_samples: int,
        on_text: Callable[[str], None] | None = None,
        use_cache: bool = True,
    ) -> list[Generation]:
        """Continue a prompt several times at once; the prompt is taken in once.

        Sample number i draws from a generator of its own, seeded with ``params.seed + i``.

        Args:
            prompt_ids: as ``stream``.
            params: how to continue; None takes the defaults.
            num_samples: how many answers, at least 1.
            on_text: called with the first answer's text as it comes.
            use_cache: as ``stream``.

        Returns:
            The answers, in the order of their seeds.

        Raises:
            InputError: as ``stream``, or ``num_samples`` is below 1.
        """
        if num_samples < 1:
            raise InputError(f"num_samples cannot be {num_samples}", remedy="choose 1 or more")
        run = _Run(self, prompt_ids, params or SamplingParams(), use_cache=use_cache, num_rows=num_samples)
        pieces: list[list[Piece]] = [[] for _ in range(num_samples)]
        for row, piece in run.steps():
            pieces[row].append(piece)
            if row == 0 and on_text is not None and piece.text:
                on_text(piece.text)
        return [run.collect(row_pieces) for row_pieces in pieces]


class _Row:
    """One answer in the making."""

    def __init__(self, engine: Engine, params: SamplingParams, first_ids: Sequence[int], index: int) -> None:
        tokenizer = engine.tokenizer
        self.index, self._params = index, params
        self._text = TextStream(tokenizer, params.stop)
        self._generator = torch.Generator()
        seed = secrets.randbits(63) if params.seed is None else params.seed
        # Wrapped to the 64 bits that a generator takes.
        self._generator.manual_seed((seed + index) % 2**64)
        self._end_ids = {*engine.end_ids, *params.stop_token_ids}
        self._suppressed = torch.tensor(engine.suppressed_ids, dtype=torch.int64)
        ends = sorted(token_id for token_id in self._end_ids if token_id < engine.vocab_size)
        self._ends = torch.tensor(ends, dtype=torch.int64)
        self._counts_1V = torch.zeros(1, engine.vocab_size)
        self._seen_1V = torch.zeros(1, engine.vocab_size, dtype=torch.bool)
        # An answer may begin after a token that the tokenizer has no name for.
        named = [token_id for token_id in first_ids if token_id < engine.vocab_size]
        self._seen_1V[0, torch.tensor(named, dtype=torch.int64)] = True
        self.token_ids: list[int] = []
        self.finish_reason: FinishReason | None = None

    def step(self, scores_1V: Tensor, *, is_last: bool) -> Piece:
        """Draw the next token from the model's scores; ``is_last`` where there is no place for more."""
        params = self._params
        allowed_1V = scores_1V.index_fill(1, self._suppressed, -math.inf)
        if len(self.token_ids) < params.min_tokens:
            allowed_1V = allowed_1V.index_fill(1, self._ends, -math.inf)
        shaped_1V = shape_scores(allowed_1V, params, seen_BV=self._seen_1V, counts_BV=self._counts_1V)
        if params.temperature == 0:
            token_id = int(likeliest(shaped_1V))
        else:
            token_id = int(sample(shaped_1V, [self._generator]))
        if token_id in self._end_ids:
            return self._finish("stop")
        self.token_ids.append(token_id)
        self._counts_1V[0, token_id] += 1
        self._seen_1V[0, token_id] = True
        logprobs = self._logprobs(scores_1V, token_id)
        text = self._text.push(token_id)
        if self._text.is_stopped:
            return self._finish("stop", text, (token_id,), logprobs)
        if is_last or len(self.token_ids) == params.max_tokens:
            return self._finish("length", text, (token_id,), logprobs)
        return Piece(text=text, token_ids=(token_id,), logprobs=logprobs)

    def cancel(self) -> Piece:
        return self._finish("cancelled")

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


class _Run:
    """One prompt being continued in one or more rows."""

    def __init__(
        self,
        engine: Engine,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        *,
        use_cache: bool,
        num_rows: int = 1,
        cancelled: Callable[[], bool] = _never,
    ) -> None:
        self._opening: Opening = engine.prompter.open(prompt_ids)
        limit = engine.model.max_seq_len
        if limit is None and params.max_tokens is None:
            raise InputError("the model's context has no end", remedy="give max_tokens")
        self._engine, self._limit = engine, limit
        self._use_cache, self._cancelled = use_cache, cancelled
        self._rows = [_Row(engine, params, self._opening.first_ids, index) for index in range(num_rows)]
        self._prefill_s = self._decode_s = 0.0
        self._num_decoded = 0

    def steps(self) -> Iterator[tuple[int, Piece]]:
        """Pieces of all rows as they come, each with the number of its row."""
        session, scores_BV = self._prefill()
        rows = self._rows
        num_taken_in = len(self._opening.first_ids)
        while rows:
            is_last = num_taken_in == self._limit
            for index, row in enumerate(rows):
                started_s = time.perf_counter()
                with torch.inference_mode():
                    piece = row.step(scores_BV[index : index + 1], is_last=is_last)
                # Timed apart from what the reader of the pieces does with them.
                self._decode_s += time.perf_counter() - started_s
                yield row.index, piece
            going = [index for index, row in enumerate(rows) if row.finish_reason is None]
            if going and self._cancelled():
                yield from [(rows[index].index, rows[index].cancel()) for index in going]
                return
            num_before, rows = len(rows), [rows[index] for index in going]
            if rows:
                chosen_B = torch.tensor(going) if len(going) < num_before else None
                session, scores_BV = self._advance(session, rows, chosen_B)
                num_taken_in += 1

    def collect(self, pieces: Sequence[Piece]) -> Generation:
        """One row's pieces as a whole, with the speeds of the run."""
        reason = pieces[-1].finish_reason
        assert reason is not None
        return Generation(
            text="".join(piece.text for piece in pieces),
            token_ids=tuple(token_id for piece in pieces for token_id in piece.token_ids),
            finish_reason=reason,
            num_prompt_tokens=len(self._opening.prompt_ids),
            tokens_per_s=self._num_decoded / max(self._decode_s, 1e-9),
            prefill_tokens_per_s=len(self._opening.prompt_ids) / max(self._prefill_s, 1e-9),
            logprobs=tuple(logprob for piece in pieces for logprob in piece.logprobs),
        )

    @torch.inference_mode()
    def _prefill(self) -> tuple[Session, Tensor]:
        started_s = time.perf_counter()
        session = self._opening.start(1)
        scores_BV = session.extend(torch.tensor([self._opening.first_ids]))
        if len(self._rows) > 1:
            session.select(torch.zeros(len(self._rows), dtype=torch.int64))
            scores_BV = scores_BV.expand(len(self._rows), -1)
        self._prefill_s = time.perf_counter() - started_s
        return session, self._known(scores_BV)

    @torch.inference_mode()
    def _advance(
        self, session: Session, rows: Sequence[_Row], chosen_B: Tensor | None
    ) -> tuple[Session, Tensor]:
        started_s = time.perf_counter()
        if self._use_cache:
            if chosen_B is not None:
                session.select(chosen_B)
            scores_BV = session.extend(torch.tensor([[row.token_ids[-1]] for row in rows]))
        else:
            session = self._opening.start(len(rows))
            whole = [self._opening.first_ids + row.token_ids for row in rows]
            scores_BV = session.extend(torch.tensor(whole))
        self._decode_s += time.perf_counter() - started_s
        self._num_decoded += len(rows)
        return session, self._known(scores_BV)

    def _known(self, scores_BV: Tensor) -> Tensor:
        """The scores of ids that both the model and the tokenizer have."""
        return scores_BV[:, : self._engine.vocab_size].float()


def generate(
    model: str | Path | LoadedModel,
    prompt: str,
    *,
    max_tokens: int | None = 256,
    temperature: float = 0.8,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    presence_penalty: float = 0.0,
    frequency_penalty: float = 0.0,
    stop: Sequence[str] = (),
    seed: int | None = None,
    num_logprobs: int | None = None,
    num_samples: int = 1,
    on_text: Callable[[str], None] | None = None,
) -> list[Generation]:
    """Continue a prompt, or answer a source text with an encoder-decoder.

    Args:
        model: a model folder, or a model already loaded.
        prompt: the text to continue or to answer; an empty prompt begins a document.
        max_tokens: this and the settings below are those of ``SamplingParams``.
        temperature: 0 always takes the likeliest token.
        top_k: 0 is off.
        top_p: 1 is off.
        min_p: 0 is off.
        repetition_penalty: 1 is off.
        presence_penalty: 0 is off.
        frequency_penalty: 0 is off.
        stop: strings that end the answer.
        seed: None draws a new one.
        num_logprobs: None reports none.
        num_samples: how many answers.
        on_text: called with the first answer's text as it comes.

    Returns:
        One answer a sample.

    Raises:
        InputError: a setting out of range, a prompt too long, or no such model.
    """
    params = SamplingParams(
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        presence_penalty=presence_penalty,
        frequency_penalty=frequency_penalty,
        stop=tuple(stop),
        seed=seed,
        num_logprobs=num_logprobs,
    )
    loaded = model if isinstance(model, LoadedModel) else load(model)
    engine = Engine(loaded.model, loaded.tokenizer, loaded.generation)
    return engine.generate_samples(engine.encode(prompt), params, num_samples=num_samples, on_text=on_text)
