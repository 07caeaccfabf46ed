"""Answers that share steps are those that each gets alone, whoever comes, goes or is short of memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from answers_made import decoder, encoder_decoder
from fake_model import FakeModel

from yanmo.errors import InputError
from yanmo.generation.answer import Piece
from yanmo.generation.batching import Batch, BatchLimits, Request, why_not
from yanmo.generation.constraint import FormKind, OutputForm
from yanmo.generation.engine import Engine, SamplingParams, Speculation
from yanmo.models.registry import load

PLENTY = 2**26
PROMPTS = ["a cat", "hello! what do you do? i rest. a man is eating food, and", "你好！你在做什么？", "一个"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    loaded = load(decoder(tmp_path_factory.mktemp("model")).path)
    return Engine(loaded.model, loaded.tokenizer, loaded.generation)


@dataclass
class Reader:
    """What came of one request."""

    pieces: dict[int, list[Piece]] = field(default_factory=dict)
    errors: list[Exception] = field(default_factory=list)
    is_admitted: bool = False
    has_left: bool = False

    def take(self, index: int, piece: Piece) -> None:
        self.pieces.setdefault(index, []).append(piece)

    @property
    def is_ended(self) -> bool:
        return bool(self.pieces) and all(each[-1].finish_reason for each in self.pieces.values())

    @property
    def num_tokens(self) -> int:
        return sum(len(piece.token_ids) for each in self.pieces.values() for piece in each)


def ask(batch: Batch, engine: Engine, prompt: str | Sequence[int], **settings: Any) -> Reader:
    reader, num_samples = Reader(), settings.pop("num_samples", 1)
    batch.add(
        Request(
            engine=engine,
            prompt_ids=engine.encode(prompt) if isinstance(prompt, str) else prompt,
            params=SamplingParams(**settings),
            num_samples=num_samples,
            on_piece=reader.take,
            on_error=reader.errors.append,
            on_admitted=lambda: setattr(reader, "is_admitted", True),
            cancelled=lambda: reader.has_left,
        )
    )
    return reader


def run(batch: Batch, *, most_steps: int = 2000, check: Callable[[], None] = lambda: None) -> None:
    for _ in range(most_steps):
        if not batch.has_work:
            return
        batch.step()
        check()
    raise AssertionError("it does not end")


def alone(engine: Engine, prompt: str | Sequence[int], **settings: Any) -> list[Piece]:
    prompt_ids = engine.encode(prompt) if isinstance(prompt, str) else prompt
    return list(engine.stream(prompt_ids, SamplingParams(**settings)))


def unscored(pieces: Sequence[Piece]) -> list[Piece]:
    return [replace(piece, logprobs=()) for piece in pieces]


SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"max_tokens": 20, "temperature": 0},
    "drawn": {"max_tokens": 20, "seed": 5, "top_p": 0.9, "repetition_penalty": 1.3},
    "to the context's end": {"max_tokens": None, "seed": 6, "temperature": 1.5},
    "stop strings": {"max_tokens": 40, "seed": 7, "temperature": 2.0, "stop": ("e", "。")},
}


@pytest.mark.parametrize("chunk_tokens", [3, 64])
def test_answers_that_join_at_different_steps_are_those_alone(engine: Engine, chunk_tokens: int) -> None:
    limits = BatchLimits(most_answers=5, chunk_tokens=chunk_tokens, idle_chunk_tokens=7)
    batch = Batch(memory_bytes=PLENTY, limits=limits)
    asked = []
    for number, settings in enumerate(SETTINGS.values()):
        for prompt in PROMPTS:
            asked.append((prompt, settings, ask(batch, engine, prompt, **settings)))
            for _ in range(number):
                batch.step()
    run(batch)
    for prompt, settings, reader in asked:
        assert not reader.errors
        assert reader.pieces[0] == alone(engine, prompt, **settings)
    assert {reader.pieces[0][-1].finish_reason for _, _, reader in asked} == {"stop", "length"}


def test_log_probabilities_are_those_alone(engine: Engine) -> None:
    batch = Batch(memory_bytes=PLENTY)
    settings = {"max_tokens": 9, "seed": 1, "num_logprobs": 2}
    readers = [ask(batch, engine, prompt, **settings) for prompt in PROMPTS]
    run(batch)
    for prompt, reader in zip(PROMPTS, readers, strict=True):
        expected = alone(engine, prompt, **settings)
        assert unscored(reader.pieces[0]) == unscored(expected)
        for piece, other in zip(reader.pieces[0], expected, strict=True):
            for scored, as_alone in zip(piece.logprobs, other.logprobs, strict=True):
                assert scored.logprob == pytest.approx(as_alone.logprob, abs=1e-4)


def test_forms_are_held_in_each_answer_by_itself(engine: Engine) -> None:
    pytest.importorskip("llguidance")
    form = OutputForm(kind=FormKind.REGEX, text="(cat|rest|food)( (cat|rest|food)){1,3}")
    settings = [{"form": form, "max_tokens": 30, "seed": seed} for seed in range(4)]
    batch = Batch(memory_bytes=PLENTY)
    readers = [ask(batch, engine, "a", **each) for each in settings]
    readers.append(ask(batch, engine, "a", max_tokens=9, seed=0))
    run(batch)
    for each, reader in zip(settings, readers, strict=False):
        assert reader.pieces[0] == alone(engine, "a", **each)
    assert readers[-1].pieces[0] == alone(engine, "a", max_tokens=9, seed=0)


@pytest.mark.parametrize("most_answers", [2, 8])
def test_samples_of_one_prompt_read_it_once(engine: Engine, most_answers: int) -> None:
    batch = Batch(memory_bytes=PLENTY, limits=BatchLimits(most_answers=most_answers))
    prompt_ids = engine.encode(PROMPTS[1])
    reader = ask(batch, engine, prompt_ids, num_samples=5, max_tokens=12, seed=3)
    run(batch)
    assert batch.counts.prompt_tokens == len(prompt_ids)
    assert batch.counts.prefix_hits == 4
    expected: dict[int, list[Piece]] = {}
    for index, piece in engine.stream_samples(
        prompt_ids, SamplingParams(max_tokens=12, seed=3), num_samples=5
    ):
        expected.setdefault(index, []).append(piece)
    assert reader.pieces == expected


def test_a_long_prompt_does_not_stall_the_others(engine: Engine) -> None:
    batch = Batch(memory_bytes=PLENTY, limits=BatchLimits(chunk_tokens=8))
    running = ask(batch, engine, "a cat", max_tokens=60, seed=1)
    batch.step()
    long = ask(batch, engine, [5, 6, 7, 8] * 20, max_tokens=4, seed=1)
    short = ask(batch, engine, [9, 8, 7], max_tokens=4, seed=1)
    taken = []
    while not long.pieces:
        before = running.num_tokens
        batch.step()
        taken.append(running.num_tokens - before)
    # 80 tokens in pieces of 8, and one of them left to the short prompt, which did not wait for the long one.
    assert taken == [1] * len(taken) and 10 <= len(taken) <= 12
    assert short.is_ended
    run(batch)
    assert long.pieces[0] == alone(engine, [5, 6, 7, 8] * 20, max_tokens=4, seed=1)


def test_short_prompts_do_not_starve_a_long_one(engine: Engine) -> None:
    batch = Batch(memory_bytes=PLENTY, limits=BatchLimits(chunk_tokens=8, most_answers=4))
    ask(batch, engine, "a cat", max_tokens=80, seed=1)
    batch.step()
    long = ask(batch, engine, [5, 6, 7, 8] * 20, max_tokens=4, seed=1)
    for number in range(30):
        ask(batch, engine, [9, 10 + number] * 4, max_tokens=1, seed=1)
        batch.step()
        if long.pieces:
            break
    # Every second piece is the long one's.
    assert number <= 21


def test_whoever_came_first_begins_first(engine: Engine) -> None:
    batch = Batch(memory_bytes=PLENTY, limits=BatchLimits(most_answers=2))
    readers = [ask(batch, engine, prompt, max_tokens=5, temperature=0) for prompt in PROMPTS * 2]
    while batch.has_work:
        batch.step()
        assert batch.num_running <= 2
        admitted = [reader.is_admitted for reader in readers]
        assert admitted == sorted(admitted, reverse=True)


def test_what_an_answer_left_behind_serves_the_next(engine: Engine) -> None:
    batch = Batch(memory_bytes=PLENTY)
    first_ids = [3 + place % 40 for place in range(40)]
    reader = ask(batch, engine, first_ids, max_tokens=10, seed=1)
    run(batch)
    answer_ids = [token_id for piece in reader.pieces[0] for token_id in piece.token_ids]
    assert batch.counts.prefix_tokens == 0 and batch.memory.num_kept == 1
    # A conversation goes on: all but the last token of the answer, which was never taken in, is there.
    longer_ids = [*first_ids, *answer_ids, 8, 9, 4]
    settings = {"max_tokens": 10, "seed": 2}
    goes_on = ask(batch, engine, longer_ids, **settings)
    run(batch)
    assert batch.counts.prefix_tokens == len(longer_ids) - 4
    assert (batch.counts.prefix_hits, batch.memory.num_kept) == (1, 1)
    assert goes_on.pieces[0] == alone(engine, longer_ids, **settings)
    # Another begins as it did, and goes on otherwise.
    other_ids = [*first_ids[:25], 60, 61]
    other = ask(batch, engine, other_ids, **settings)
    run(batch)
    assert batch.counts.prefix_tokens == len(longer_ids) - 4 + 25
    assert other.pieces[0] == alone(engine, other_ids, **settings)
    assert batch.memory.num_kept == 2
    # The same again needs nothing but its scores.
    num_read = batch.counts.prompt_tokens
    again = ask(batch, engine, other_ids, **settings)
    run(batch)
    assert batch.counts.prompt_tokens == num_read
    assert again.pieces == other.pieces


def test_prompts_that_come_together_share_their_beginning(engine: Engine) -> None:
    batch = Batch(memory_bytes=PLENTY)
    common = [3 + place % 40 for place in range(50)]
    prompts = [[*common, 70 + number] for number in range(4)]
    readers = [ask(batch, engine, prompt, max_tokens=5, seed=1) for prompt in prompts]
    run(batch)
    assert batch.counts.prompt_tokens == 51 + 3
    for prompt, reader in zip(prompts, readers, strict=True):
        assert reader.pieces[0] == alone(engine, prompt, max_tokens=5, seed=1)


def test_the_budget_is_held_and_everyone_is_answered(engine: Engine) -> None:
    token_bytes = engine.rows.start().bytes_for(1)
    # Room for one whole context and little more: answers have to give way to those before them.
    budget_bytes = 140 * token_bytes + 4 * engine.model.vocab_size
    batch = Batch(memory_bytes=budget_bytes, limits=BatchLimits(headroom_tokens=8))
    memory, most = batch.memory, []

    def check() -> None:
        most.append(memory.used_bytes)
        assert memory.used_bytes <= memory.budget_bytes

    settings = {"max_tokens": None, "seed": 4, "temperature": 1.5}
    readers = [ask(batch, engine, prompt, **settings) for prompt in PROMPTS * 2]
    run(batch, check=check)
    assert batch.counts.given_back > 0
    assert max(most) > 0.5 * memory.budget_bytes
    for prompt, reader in zip(PROMPTS * 2, readers, strict=True):
        assert reader.pieces[0] == alone(engine, prompt, **settings)


def test_kept_texts_go_first_those_needed_longest_ago_before_others(engine: Engine) -> None:
    token_bytes = engine.rows.start().bytes_for(1)
    memory_bytes = 3 * 30 * token_bytes + 12 * engine.model.vocab_size
    batch = Batch(memory_bytes=memory_bytes, limits=BatchLimits(kept_share=1.0))
    prompts = [[10 + number] * 30 for number in range(3)]

    def hits(prompt: list[int]) -> bool:
        before = batch.counts.prefix_hits
        ask(batch, engine, prompt, max_tokens=1, seed=1)
        run(batch)
        return batch.counts.prefix_hits > before

    assert [hits(prompt) for prompt in prompts[:2]] == [False, False]
    assert hits(prompts[0])
    assert not hits(prompts[2])
    assert not hits([30] * 30)
    assert hits(prompts[2]) and not hits(prompts[1])


def test_texts_that_have_ended_keep_their_share_and_the_last_is_always_kept(engine: Engine) -> None:
    most_bytes = 70 * engine.rows.start().bytes_for(1) + 8 * engine.model.vocab_size
    batch = Batch(memory_bytes=4 * most_bytes, limits=BatchLimits(kept_share=0.25))
    for number in range(6):
        ask(batch, engine, [10 + number] * 30, max_tokens=1, seed=1)
        run(batch)
        assert batch.memory.used_bytes <= most_bytes
    assert batch.memory.num_kept == 2
    ask(batch, engine, [30] * 95, max_tokens=1, seed=1)
    run(batch)
    assert batch.memory.num_kept == 1 and batch.memory.used_bytes > most_bytes


def test_what_can_never_fit_is_refused(engine: Engine) -> None:
    token_bytes = engine.rows.start().bytes_for(1)
    batch = Batch(memory_bytes=20 * token_bytes + 4 * engine.model.vocab_size)
    assert batch.most_tokens(engine) == 20
    with pytest.raises(InputError, match=r"keys and values of 21 tokens need .*, there are .* for them"):
        ask(batch, engine, [1] * 10, max_tokens=12)
    reader = ask(batch, engine, [1] * 10, max_tokens=11, seed=1)
    run(batch)
    assert reader.is_ended and not batch.has_work


def test_who_leaves_frees_the_place_within_a_step(engine: Engine) -> None:
    batch = Batch(memory_bytes=PLENTY, limits=BatchLimits(most_answers=2, chunk_tokens=4))
    first, second, third = (ask(batch, engine, [7] * 30, max_tokens=60, seed=seed) for seed in range(3))
    fourth = ask(batch, engine, "a", max_tokens=3, seed=1)
    for _ in range(12):
        batch.step()
    assert (batch.num_running, batch.num_waiting) == (2, 2) and not third.is_admitted
    second.has_left = third.has_left = True
    batch.step()
    assert second.pieces[0][-1].finish_reason == "cancelled"
    assert third.pieces == {0: [Piece(text="", finish_reason="cancelled")]} and not third.is_admitted
    assert fourth.is_admitted and batch.num_waiting == 0
    run(batch)
    assert first.pieces[0] == alone(engine, [7] * 30, max_tokens=60, seed=0)
    assert fourth.pieces[0] == alone(engine, "a", max_tokens=3, seed=1)


def test_models_take_turns_step_by_step(engine: Engine, tmp_path: Path) -> None:
    loaded = load(decoder(tmp_path).path)
    other = Engine(loaded.model, loaded.tokenizer, loaded.generation)
    batch = Batch(memory_bytes=PLENTY)
    readers = [ask(batch, each, "a cat", max_tokens=30, seed=1) for each in (engine, other, engine)]
    for _ in range(10):
        batch.step()
        counts = {reader.num_tokens for reader in readers}
        assert max(counts) - min(counts) <= 1
    run(batch)
    assert all(reader.pieces[0] == readers[0].pieces[0] for reader in readers)
    batch.forget(other)
    run(batch)
    assert batch.memory.num_kept == 1


def test_an_answer_that_cannot_go_on_harms_no_other(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch(memory_bytes=PLENTY)
    bias = {token_id: float("-inf") for token_id in range(engine.vocab_size)}
    bad = ask(batch, engine, "a cat", max_tokens=5, logit_bias=bias)
    good = ask(batch, engine, "a cat", max_tokens=5, seed=1)
    run(batch)
    assert [str(error) for error in bad.errors] and "no token is left" in str(bad.errors[0])
    assert good.pieces[0] == alone(engine, "a cat", max_tokens=5, seed=1)

    class Broken(RuntimeError):
        pass

    def fail(*_: object) -> torch.Tensor:
        raise Broken

    readers = [ask(batch, engine, prompt, max_tokens=5, seed=1) for prompt in PROMPTS]
    batch.step()
    with monkeypatch.context() as patched:
        patched.setattr(type(engine.rows), "step", fail)
        batch.step()
    assert [type(error) for reader in readers for error in reader.errors] == [Broken] * 4
    assert not batch.has_work
    again = ask(batch, engine, "a cat", max_tokens=5, seed=1)
    run(batch)
    assert again.pieces[0] == good.pieces[0]


def test_who_cannot_share_steps_says_why(engine: Engine, tmp_path: Path) -> None:
    assert why_not(engine) is None
    drafted = Engine(engine.model, engine.tokenizer, speculation=Speculation())
    assert why_not(drafted) == "a draft proposes its tokens"
    fake = Engine(FakeModel(engine.tokenizer.vocab_size), engine.tokenizer)
    assert why_not(fake) == "its state is not kept token by token"
    loaded = load(encoder_decoder(tmp_path).path)
    assert why_not(Engine(loaded.model, loaded.tokenizer, loaded.generation)) == "it has an encoder"
