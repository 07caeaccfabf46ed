"""The engine: the cache changes nothing, stop strings never show, and every end has its reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fake_model import FakeModel

from yanmo.errors import InputError
from yanmo.generation.engine import Engine, Generation, SamplingParams, generate
from yanmo.models.registry import LoadedModel
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return fit_bpe(["hello world, how do you do? " * 9, "你好世界，你好吗？" * 9], 330)


@pytest.fixture
def engine(tokenizer: Tokenizer) -> Engine:
    return Engine(FakeModel(tokenizer.vocab_size), tokenizer)


def saying(tokenizer: Tokenizer, ids: list[int], **options: int | None) -> Engine:
    """An engine whose model says the given tokens, then the end of the text."""
    script = [*ids, tokenizer.eos_id]
    return Engine(FakeModel(tokenizer.vocab_size, script=script, **options), tokenizer)


SETTINGS = [
    SamplingParams(max_tokens=20, temperature=0),
    SamplingParams(max_tokens=20, seed=5),
    SamplingParams(
        max_tokens=20, seed=5, top_k=9, repetition_penalty=1.5, presence_penalty=1.0, frequency_penalty=0.5
    ),
]


@pytest.mark.parametrize("params", SETTINGS)
def test_the_same_text_with_and_without_the_cache(engine: Engine, params: SamplingParams) -> None:
    prompt_ids = engine.tokenizer.encode("hello 你好")
    with_cache = list(engine.stream(prompt_ids, params))
    assert engine.model.num_extended < len(prompt_ids) + 20
    assert with_cache == list(engine.stream(prompt_ids, params, use_cache=False))
    # Without the cache the prompt is taken in again and again.
    num_tokens = sum(len(piece.token_ids) for piece in with_cache)
    assert num_tokens >= 3
    assert engine.model.num_extended > num_tokens * len(prompt_ids)


def test_temperature_zero_takes_the_highest_score(engine: Engine) -> None:
    prompt_ids = engine.tokenizer.encode("hello")
    answer = engine.generate(prompt_ids, SamplingParams(max_tokens=8, temperature=0))
    tokens = list(prompt_ids)
    for token_id in answer.token_ids:
        assert token_id == int(engine.model.scores(tokens, 0).argmax())
        tokens.append(token_id)


def test_the_seed_decides(engine: Engine) -> None:
    def texts(seed: int | None) -> set[str]:
        params = SamplingParams(max_tokens=12, temperature=1.5, seed=seed)
        return {engine.generate([1], params).text for _ in range(3)}

    assert len(texts(3)) == 1
    assert texts(3) != texts(4)
    assert len(texts(None)) == 3


@pytest.mark.parametrize("params", SETTINGS[1:])
def test_samples_together_equal_samples_apart(engine: Engine, params: SamplingParams) -> None:
    together = engine.generate_samples([1, 2], params, num_samples=4)
    assert params.seed is not None
    for number, sample in enumerate(together):
        settings = {**vars(params), "seed": params.seed + number}
        apart = engine.generate([1, 2], SamplingParams(**settings))
        assert (sample.text, sample.token_ids) == (apart.text, apart.token_ids)
    assert len({sample.token_ids for sample in together}) == 4


def test_rows_that_end_leave_the_others_alone(tokenizer: Tokenizer) -> None:
    """With an end token likely, rows end at different steps; each equals its run alone."""

    class Ending(FakeModel):
        def scores(self, tokens: list[int], num_first: int) -> torch.Tensor:
            scores_V = super().scores(tokens, num_first)
            scores_V[tokenizer.eos_id] += 7
            return scores_V

    engine = Engine(Ending(tokenizer.vocab_size), tokenizer)
    together = engine.generate_samples([7], SamplingParams(seed=0, temperature=1.0), num_samples=8)
    assert len({len(sample.token_ids) for sample in together}) > 2
    for number, sample in enumerate(together):
        apart = engine.generate([7], SamplingParams(seed=number, temperature=1.0))
        assert (sample.token_ids, sample.finish_reason) == (apart.token_ids, "stop")


@pytest.mark.parametrize("end", ["eos", "im_end", "own"])
def test_end_tokens_end_the_answer_and_are_not_shown(tokenizer: Tokenizer, end: str) -> None:
    ids = tokenizer.encode("hello 你好")
    own = tokenizer.encode("?")[0]
    end_id = {"eos": tokenizer.eos_id, "im_end": tokenizer.im_end_id, "own": own}[end]
    engine = Engine(FakeModel(tokenizer.vocab_size, script=[*ids, end_id, *ids]), tokenizer)
    answer = engine.generate([1], SamplingParams(temperature=0, stop_token_ids=(own,)))
    assert answer.text == "hello 你好"
    assert list(answer.token_ids) == ids
    assert answer.finish_reason == "stop"


def test_nothing_ends_an_answer_before_it_has_so_many_tokens(tokenizer: Tokenizer) -> None:
    engine = saying(tokenizer, tokenizer.encode("hello"))
    num_tokens = len(tokenizer.encode("hello"))
    assert len(engine.generate([1], SamplingParams(temperature=0)).token_ids) == num_tokens
    longer = engine.generate([1], SamplingParams(temperature=0, min_tokens=num_tokens + 2))
    assert len(longer.token_ids) >= num_tokens + 2
    assert tokenizer.eos_id not in longer.token_ids
    with pytest.raises(InputError, match="min_tokens cannot be -1"):
        SamplingParams(min_tokens=-1)


def test_max_tokens_ends_the_answer(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("hello world hello world")
    answer = saying(tokenizer, ids).generate([1], SamplingParams(temperature=0, max_tokens=3))
    assert list(answer.token_ids) == ids[:3]
    assert answer.finish_reason == "length"


def byte_ids(text: str) -> list[int]:
    """The text in single-byte tokens, so that everything crosses token boundaries."""
    return list(text.encode())


@pytest.mark.parametrize(
    ("said", "stop", "shown"),
    [
        ("hello STOP more", ("STOP",), "hello "),
        ("hello STO", ("STOP",), "hello STO"),
        ("hello SSTOP", ("STOP",), "hello S"),
        ("aabaabaaab!", ("aabaaab",), "aab"),
        ("你好。再见", ("。",), "你好"),
        ("你好再见", ("再再", "再见"), "你好"),
        ("one two", ("two", "one two"), ""),
        ("hello", ("l",), "he"),
        ("ends with STOP", ("STOP",), "ends with "),
        ("🙂🙃", ("🙃",), "🙂"),
    ],
)
@pytest.mark.parametrize("by_bytes", [True, False])
def test_stop_strings_are_found_and_never_shown(
    tokenizer: Tokenizer, said: str, stop: tuple[str, ...], shown: str, by_bytes: bool
) -> None:
    engine = saying(tokenizer, byte_ids(said) if by_bytes else tokenizer.encode(said))
    pieces = list(engine.stream([1], SamplingParams(temperature=0, stop=stop)))
    assert "".join(piece.text for piece in pieces) == shown
    assert pieces[-1].finish_reason == "stop"
    so_far = ""
    for piece in pieces:
        so_far += piece.text
        assert shown.startswith(so_far)
        assert "\ufffd" not in piece.text


def test_text_is_held_back_no_longer_than_needed(tokenizer: Tokenizer) -> None:
    engine = saying(tokenizer, byte_ids("aSTxb"))
    pieces = list(engine.stream([1], SamplingParams(temperature=0, stop=("STOP",))))
    assert [piece.text for piece in pieces] == ["a", "", "", "STx", "b", ""]


def test_a_character_cut_by_max_tokens_shows_as_a_replacement(tokenizer: Tokenizer) -> None:
    engine = saying(tokenizer, byte_ids("a龘"))
    pieces = list(engine.stream([1], SamplingParams(temperature=0, max_tokens=3)))
    assert [piece.text for piece in pieces] == ["a", "", "\ufffd"]


def test_the_end_of_the_context_ends_the_answer(tokenizer: Tokenizer) -> None:
    engine = saying(tokenizer, byte_ids("a" * 99), max_seq_len=10)
    params = SamplingParams(temperature=0, max_tokens=None)
    answer = engine.generate([1] * 4, params)
    # 4 of the prompt and 6 of the answer fill the context; the last token needs no place in it.
    assert (len(answer.token_ids), answer.finish_reason) == (7, "length")
    assert len(engine.generate([1] * 10, params).token_ids) == 1
    with pytest.raises(InputError, match="prompt has 11 tokens, the model's context holds 10"):
        engine.generate([1] * 11, params)


def test_without_a_context_limit_the_answer_needs_one(tokenizer: Tokenizer) -> None:
    engine = saying(tokenizer, byte_ids("abc"), max_seq_len=None)
    with pytest.raises(InputError, match="max_tokens"):
        engine.generate([1], SamplingParams(max_tokens=None))
    assert engine.generate([1], SamplingParams(temperature=0)).text == "abc"


def test_an_empty_prompt_begins_a_document(engine: Engine) -> None:
    params = SamplingParams(temperature=0, max_tokens=9)
    empty = engine.generate([], params)
    assert empty.token_ids == engine.generate([engine.tokenizer.eos_id], params).token_ids
    assert empty.num_prompt_tokens == 1


def test_cancelling_ends_the_stream(tokenizer: Tokenizer) -> None:
    engine = saying(tokenizer, byte_ids("abcdef"))
    pieces = []
    for piece in engine.stream([1], SamplingParams(temperature=0), cancelled=lambda: len(pieces) >= 2):
        pieces.append(piece)
    assert "".join(piece.text for piece in pieces) == "ab"
    assert pieces[-1].finish_reason == "cancelled"


def test_logprobs_are_the_models_own(engine: Engine) -> None:
    params = SamplingParams(temperature=0.3, top_k=3, max_tokens=6, seed=1, num_logprobs=4)
    answer = engine.generate([3, 4], params)
    tokens = [3, 4]
    assert len(answer.logprobs) == len(answer.token_ids) == 6
    for token_id, logprob in zip(answer.token_ids, answer.logprobs, strict=True):
        expected_V = torch.log_softmax(engine.model.scores(tokens, 0), dim=-1)
        assert logprob.token_id == token_id
        assert logprob.logprob == pytest.approx(float(expected_V[token_id]), abs=1e-5)
        assert [value for _, value in logprob.top] == pytest.approx(
            expected_V.topk(4).values.tolist(), abs=1e-5
        )
        tokens.append(token_id)
    without = engine.generate([3, 4], SamplingParams(temperature=0.3, top_k=3, max_tokens=6, seed=1))
    assert without.token_ids == answer.token_ids and without.logprobs == ()


def test_penalties_keep_repetition_away(tokenizer: Tokenizer) -> None:
    def answer(**settings: float) -> Generation:
        class Constant(FakeModel):
            def scores(self, tokens: list[int], num_first: int) -> torch.Tensor:
                return torch.linspace(1, 2, self.vocab_size).roll(-4)

        params = SamplingParams(temperature=0, max_tokens=10, **settings)
        return Engine(Constant(tokenizer.vocab_size), tokenizer).generate([1], params)

    assert len(set(answer().token_ids)) == 1
    assert len(set(answer(repetition_penalty=3.0).token_ids)) == 10
    assert len(set(answer(presence_penalty=2.0).token_ids)) == 10
    assert 1 < len(set(answer(frequency_penalty=0.002).token_ids)) < 10


def test_a_rounded_up_vocabulary_never_gives_an_unknown_id(tokenizer: Tokenizer) -> None:
    class Beyond(FakeModel):
        def scores(self, tokens: list[int], num_first: int) -> torch.Tensor:
            scores_V = super().scores(tokens, num_first)
            scores_V[tokenizer.vocab_size :] = 100
            return scores_V

    engine = Engine(Beyond(tokenizer.vocab_size + 54), tokenizer)
    for temperature in (0.0, 1.0):
        answer = engine.generate([1], SamplingParams(temperature=temperature, max_tokens=9, seed=2))
        assert max(answer.token_ids) < tokenizer.vocab_size


def test_mismatches_are_refused(engine: Engine) -> None:
    size, num_text_ids = engine.tokenizer.vocab_size, engine.tokenizer.num_text_ids
    # Special tokens stand behind the others; a model that never learned them never draws them.
    assert num_text_ids < size
    assert Engine(FakeModel(num_text_ids), engine.tokenizer).vocab_size == num_text_ids
    message = f"the tokenizer has {num_text_ids} ids, the model {num_text_ids - 1}"
    with pytest.raises(InputError, match=message):
        Engine(FakeModel(num_text_ids - 1), engine.tokenizer)
    with pytest.raises(InputError, match=f"the prompt holds token {size}"):
        engine.generate([1, size])
    with pytest.raises(InputError, match="num_samples cannot be 0"):
        engine.generate_samples([1], num_samples=0)


def test_speeds_are_told(engine: Engine) -> None:
    answer = engine.generate([1, 2, 3], SamplingParams(max_tokens=5, seed=0))
    assert answer.num_prompt_tokens == 3
    assert answer.tokens_per_s > 0 and answer.prefill_tokens_per_s > 0


def test_the_verb_generates_from_text(tokenizer: Tokenizer) -> None:
    loaded = LoadedModel(
        model=FakeModel(tokenizer.vocab_size, script=[*tokenizer.encode(" 世界 world"), tokenizer.eos_id]),
        tokenizer=tokenizer,
        path=Path("m"),
        name="m",
        architecture="Fake",
        num_parameters=0,
        chat=False,
    )
    shown: list[str] = []
    answers = generate(loaded, "你好", temperature=0, num_samples=2, on_text=shown.append, stop=("orl",))
    assert [answer.text for answer in answers] == [" 世界 w"] * 2
    assert "".join(shown) == " 世界 w" and len(shown) > 1
