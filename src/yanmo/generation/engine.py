"""The decoding engine: continues a prompt, or answers a source text, with any language model, token by token.

What it is made of: ``prompt`` says what stands before an answer, ``run`` drives the model's session,
``shaping`` and ``sampling`` say what may come next, ``speculation`` proposes several tokens a step,
``constraint`` holds an answer to a form, ``text_stream`` gives out its text.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from yanmo.errors import InputError
from yanmo.generation.answer import Answer, FinishReason, Piece, TokenLogprob
from yanmo.generation.constraint import Constrainer, Constraint, OutputForm
from yanmo.generation.prompt import Answered, Continued, Prompter
from yanmo.generation.run import Generation, Run, never
from yanmo.generation.sampling import SamplingParams
from yanmo.generation.search import Asked, SearchParams, answer_many
from yanmo.generation.shaping import Shaper
from yanmo.generation.speculation import Drafter, LookUp, ModelDrafter, Speculation, check_draft, reversible
from yanmo.models.base import LanguageModel
from yanmo.models.generation_settings import GenerationSettings
from yanmo.models.registry import LoadedModel, check_vocabularies, load
from yanmo.models.rows import TransformerRows
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.load import Tokenizer

__all__ = [
    "Engine",
    "FinishReason",
    "Generation",
    "Piece",
    "SamplingParams",
    "Speculation",
    "TokenLogprob",
    "generate",
]


class Engine:
    """Continues prompts with one model and its tokenizer; with an encoder-decoder it answers source texts."""

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        settings: GenerationSettings | None = None,
        *,
        speculation: Speculation | None = None,
    ) -> None:
        """Pair a model with the tokenizer it was trained with.

        Args:
            model: any language model.
            tokenizer: its tokenizer.
            settings: which tokens its answers begin and end with, beyond what the tokenizer says.
            speculation: proposes several tokens a step; what is said keeps its distribution.

        Raises:
            InputError: the tokenizer has ids that the model does not know, the model continues nothing, or
                the draft does not fit the model.
        """
        check_vocabularies(tokenizer, model)
        # A model that continues nothing says so here, before the first prompt.
        session = model.start(1)
        settings = settings or GenerationSettings()
        self.model, self.tokenizer = model, tokenizer
        self.end_ids = frozenset({*settings.end_ids, *tokenizer.end_ids})
        # Models may round their vocabulary up, and tokenizers name special tokens that no model learned.
        self.vocab_size = min(tokenizer.vocab_size, model.vocab_size)
        self.suppressed_ids = tuple(i for i in settings.suppressed_ids if i < self.vocab_size)
        self.prompter = _prompter(model, tokenizer, settings)
        self.speculation = speculation
        self._constrainer: Constrainer | None = None
        if speculation is not None:
            reversible(session)
            if speculation.draft is not None:
                check_draft(tokenizer, speculation.draft)

    @functools.cached_property
    def rows(self) -> TransformerRows:
        """Continues texts of several requests together; only where ``batching.why_not`` says nothing."""
        assert isinstance(self.model, Transformer)
        return TransformerRows(self.model)

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
        cancelled: Callable[[], bool] = never,
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
        run = Run(self, prompt_ids, params or SamplingParams(), use_cache=use_cache, cancelled=cancelled)
        return (piece for _, piece in run.steps())

    def stream_samples(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams | None = None,
        *,
        num_samples: int,
        cancelled: Callable[[], bool] = never,
    ) -> Iterator[tuple[int, Piece]]:
        """Continue a prompt several times at once, giving out text as it comes.

        Arguments and errors as ``stream``; seeds as ``generate_samples``.

        Yields:
            The number of an answer with a piece of it.
        """
        run = Run(
            self,
            prompt_ids,
            params or SamplingParams(),
            use_cache=True,
            num_rows=num_samples,
            cancelled=cancelled,
        )
        return run.steps()

    def answer(
        self,
        params: SamplingParams,
        *,
        first_ids: Sequence[int],
        index: int = 0,
        constraint: Constraint | None = None,
    ) -> Answer:
        """An answer that has no token yet, for a caller that runs the model itself.

        Args:
            params: how to continue.
            first_ids: tokens before the answer, from ``prompter.open``.
            index: added to the seed.
            constraint: of ``params.form``, from ``constraint``; the answer's own.

        Raises:
            InputError: ``params`` names a token that there is not.
        """
        shaper = Shaper(
            params,
            first_ids=first_ids,
            vocab_size=self.vocab_size,
            end_ids=self.end_ids,
            suppressed_ids=self.suppressed_ids,
            constraint=constraint,
        )
        return Answer(self.tokenizer, params, shaper, index=index)

    def constraint(self, form: OutputForm | None) -> Constraint | None:
        """How an empty answer stands to its form; None where it is free.

        Raises:
            InputError: the form is not described as it should be, or llguidance is not installed.
        """
        if form is None:
            return None
        if self._constrainer is None:
            self._constrainer = Constrainer(self.tokenizer, self.vocab_size)
        return self._constrainer.start(form)

    def drafter(self, prompt_ids: Sequence[int]) -> Drafter | None:
        """Who proposes tokens of the answer to a prompt; None where nobody does."""
        speculation = self.speculation
        if speculation is None:
            return None
        draft = speculation.draft
        if draft is None:
            return LookUp(prompt_ids, speculation.longest_match)
        opening = _prompter(draft.model, draft.tokenizer, draft.generation).open(prompt_ids)
        return ModelDrafter(opening, vocab_size=self.vocab_size, max_seq_len=draft.model.max_seq_len)

    def search(
        self,
        prompt_ids: Sequence[int],
        *,
        max_tokens: int | None = 256,
        num_beams: int = 4,
        num_groups: int = 1,
        diversity: float = 0.0,
        length_penalty: float = 1.0,
        num_best: int = 1,
    ) -> list[Generation]:
        """The likeliest answers to a prompt that beams find, the best first.

        Args:
            prompt_ids: as ``stream``.
            max_tokens: most tokens of an answer; None goes on to the end of the context.
            num_beams: this and the settings below are those of ``SearchParams``.
            num_groups: 1 is one search.
            diversity: between groups.
            length_penalty: 0 compares sums of log-probabilities.
            num_best: answers wanted; fewer come where groups found the same.

        Raises:
            InputError: as ``stream``, or a setting is out of range.
        """
        opening, limit = self.prompter.open(prompt_ids), max_tokens or self.model.max_seq_len
        if limit is None:
            raise InputError("the model's context has no end", remedy="give max_tokens")
        params = SearchParams(
            num_beams=num_beams,
            num_groups=num_groups,
            diversity=diversity,
            length_penalty=length_penalty,
            num_best=num_best,
            end_ids=self.end_ids,
            barred_ids=self.suppressed_ids,
            vocab_size=self.vocab_size,
        )
        source_ids = opening.prompt_ids if isinstance(self.prompter, Answered) else None
        asked = Asked(first_ids=opening.first_ids, source_ids=source_ids, max_tokens=limit)
        started_s = time.perf_counter()
        found = answer_many(self.model, [asked], params)[0]
        passed_s = max(time.perf_counter() - started_s, 1e-9)
        return [
            Generation(
                text=self.tokenizer.decode(answer.token_ids),
                token_ids=answer.token_ids,
                finish_reason="stop" if answer.has_ended else "length",
                num_prompt_tokens=len(opening.prompt_ids),
                tokens_per_s=len(answer.token_ids) / passed_s,
                # Of the prompt and the search together.
                prefill_tokens_per_s=len(opening.prompt_ids) / passed_s,
                score=answer.score,
            )
            for answer in found
        ]

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
        run = Run(self, prompt_ids, params or SamplingParams(), use_cache=use_cache, num_rows=num_samples)
        pieces: list[list[Piece]] = [[] for _ in range(num_samples)]
        for row, piece in run.steps():
            pieces[row].append(piece)
            if row == 0 and on_text is not None and piece.text:
                on_text(piece.text)
        return [run.collect(row_pieces) for row_pieces in pieces]


def _prompter(model: LanguageModel, tokenizer: Tokenizer, settings: GenerationSettings) -> Prompter:
    if not settings.first_ids:
        return Continued(model, tokenizer)
    assert isinstance(model, Transformer)
    return Answered(model, tokenizer, settings.first_ids)


def generate(
    model: str | Path | LoadedModel,
    prompt: str,
    *,
    num_samples: int = 1,
    speculation: Speculation | None = None,
    on_text: Callable[[str], None] | None = None,
    **settings: Any,
) -> list[Generation]:
    """Continue a prompt, or answer a source text with an encoder-decoder.

    Args:
        model: a model folder, or a model already loaded.
        prompt: the text to continue or to answer; an empty prompt begins a document.
        num_samples: how many answers.
        speculation: a draft, or look-up in the prompt, that makes it quicker.
        on_text: called with the first answer's text as it comes.
        settings: those of ``SamplingParams``, by name.

    Returns:
        One answer a sample.

    Raises:
        InputError: a setting out of range, a prompt too long, or no such model.
    """
    params = SamplingParams(**settings)
    loaded = model if isinstance(model, LoadedModel) else load(model)
    engine = Engine(loaded.model, loaded.tokenizer, loaded.generation, speculation=speculation)
    return engine.generate_samples(engine.encode(prompt), params, num_samples=num_samples, on_text=on_text)
