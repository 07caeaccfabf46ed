"""Drafts: the distribution of plain sampling, the same greedy text, and less work for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_model import FakeModel
from scipy.stats import chisquare

from yanmo.errors import InputError
from yanmo.generation.engine import Engine, SamplingParams
from yanmo.generation.sampling import probabilities, shape_scores
from yanmo.generation.speculation import Proposal, Speculation, follow, verify
from yanmo.models.base import LanguageModel
from yanmo.models.families import qwen3, t5
from yanmo.models.generation_settings import GenerationSettings
from yanmo.models.lstm import LstmConfig, LstmModel
from yanmo.models.ngram.model import fit_ngram
from yanmo.models.registry import LoadedModel
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer

TEXTS = ["hello world, how do you do? " * 9, "你好世界，你好吗？" * 9]
SIZES = {"d_model": 16, "num_layers": 1, "num_heads": 2, "head_dim": 8, "d_ff": 32, "max_seq_len": 64}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return fit_bpe(TEXTS, 330)


def transformer(config: TransformerConfig, seed: int) -> Transformer:
    torch.manual_seed(seed)
    model = Transformer(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.6)
    return model


def decoder(tokenizer: Tokenizer, seed: int) -> Transformer:
    return transformer(qwen3.decoder(vocab_size=tokenizer.vocab_size, num_kv_heads=1, **SIZES), seed)


def loaded(
    model: LanguageModel, tokenizer: Tokenizer, settings: GenerationSettings | None = None
) -> LoadedModel:
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        path=Path("draft"),
        name="draft",
        architecture="tiny",
        num_parameters=0,
        chat=False,
        generation=settings or GenerationSettings(),
    )


def ngram(tokenizer: Tokenizer) -> LanguageModel:
    documents = [tokenizer.encode(text) for text in TEXTS]
    return fit_ngram(documents, order=3, vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id)


def drafts(tokenizer: Tokenizer, target: LanguageModel) -> dict[str, Speculation]:
    return {
        "look-up": Speculation(),
        "itself": Speculation(draft=loaded(target, tokenizer), num_tokens=4),
        "another": Speculation(draft=loaded(decoder(tokenizer, 8), tokenizer), num_tokens=3),
        "n-gram": Speculation(draft=loaded(ngram(tokenizer), tokenizer), num_tokens=2),
    }


NAMES = ["look-up", "itself", "another", "n-gram"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"repetition_penalty": 1.3, "presence_penalty": 0.5, "no_repeat_ngram": 3, "min_tokens": 5},
        {"stop": ("wo", "你好"), "num_logprobs": 2},
    ],
)
def test_the_likeliest_text_is_the_same(tokenizer: Tokenizer, name: str, settings: dict[str, Any]) -> None:
    target = decoder(tokenizer, 7)
    params = SamplingParams(temperature=0, max_tokens=30, **settings)
    plain = Engine(target, tokenizer)
    drafted = Engine(target, tokenizer, speculation=drafts(tokenizer, target)[name])
    for prompt in ("hello world, how do you do? hello", "你好世界，你好吗？你好", ""):
        ids = plain.encode(prompt)
        expected, found = list(plain.stream(ids, params)), list(drafted.stream(ids, params))
        assert [piece.text for piece in found] == [piece.text for piece in expected]
        assert [piece.token_ids for piece in found] == [piece.token_ids for piece in expected]
        assert found[-1].finish_reason == expected[-1].finish_reason
        for one, other in zip(found, expected, strict=True):
            assert [x.logprob for x in one.logprobs] == pytest.approx(
                [x.logprob for x in other.logprobs], abs=1e-4
            )


def exact_chances(
    score: Callable[[list[int]], torch.Tensor],
    prompt: list[int],
    params: SamplingParams,
    end_ids: Collection[int],
) -> dict[tuple[int, ...], float]:
    """Probabilities of all answers, from the model's scores and the definition."""
    ended: dict[tuple[int, ...], float] = {}
    going = {(): 1.0}
    for _ in range(params.max_tokens or 0):
        longer: dict[tuple[int, ...], float] = {}
        for answer, chance in going.items():
            scores_1V = score([*prompt, *answer])[None]
            counts_V = torch.bincount(torch.tensor(answer, dtype=torch.int64), minlength=scores_1V.shape[1])
            shares_V = probabilities(shape_scores(scores_1V, params, counts_BV=counts_V[None].float()))[0]
            for token in shares_V.nonzero().flatten().tolist():
                if token in end_ids:
                    ended[answer] = ended.get(answer, 0.0) + chance * float(shares_V[token])
                else:
                    longer[(*answer, token)] = chance * float(shares_V[token])
        going = longer
    return ended | going


def check_distribution(answers: list[tuple[int, ...]], chances: dict[tuple[int, ...], float]) -> None:
    """Chi-square over the answers; the rare ones are counted together."""
    often = [answer for answer, chance in chances.items() if chance * len(answers) >= 5]
    assert set(answers) <= set(chances) and len(often) > 8
    observed = [answers.count(answer) for answer in often]
    expected = [chances[answer] * len(answers) for answer in often]
    rest = len(answers) - sum(expected)
    if rest > 1e-6 * len(answers):
        observed.append(len(answers) - sum(observed))
        expected.append(rest)
    # Chances that are sums of single precision do not add up to one exactly.
    scale = sum(observed) / sum(expected)
    assert chisquare(observed, [scale * count for count in expected]).pvalue > 1e-3


def test_a_draft_leaves_the_distribution_as_it_is(tokenizer: Tokenizer) -> None:
    target = decoder(tokenizer, 7)
    # A draft that is neither right nor hopeless: the model itself, a little disturbed.
    draft = decoder(tokenizer, 7)
    with torch.no_grad():
        for weight in draft.parameters():
            weight.add_(torch.randn(weight.shape) * 0.1)
    params = SamplingParams(temperature=1.5, top_k=3, presence_penalty=1.0, max_tokens=3, seed=1)
    engine = Engine(target, tokenizer, speculation=Speculation(draft=loaded(draft, tokenizer), num_tokens=2))
    prompt = tokenizer.encode("hello 你好")
    found = engine.generate_samples(prompt, params, num_samples=400)

    @torch.inference_mode()
    def score(ids: list[int]) -> torch.Tensor:
        return target.start(1).extend(torch.tensor([ids]))[0]

    assert 0.2 < found[0].num_kept / found[0].num_proposed < 0.95
    check_distribution([one.token_ids for one in found], exact_chances(score, prompt, params, engine.end_ids))


def test_looking_up_leaves_the_distribution_as_it_is(tokenizer: Tokenizer) -> None:
    model = FakeModel(tokenizer.vocab_size)
    params = SamplingParams(temperature=1.5, top_k=3, frequency_penalty=0.7, max_tokens=3, seed=1)
    tail = [40, 41, 42]
    first = model.scores(tail, 0).topk(3).indices.tolist()
    # What follows each first token in the prompt is likely in one case, and impossible in the others.
    prompt: list[int] = []
    for number, token in enumerate(first):
        then = model.scores([*tail[1:], token], 0).topk(3).indices.tolist()
        prompt += [42, token, then[0] if number == 0 else 43, 44]
    prompt += tail
    engine = Engine(model, tokenizer, speculation=Speculation(num_tokens=2))
    found = engine.generate_samples(prompt, params, num_samples=400)
    assert 0.1 < found[0].num_kept / found[0].num_proposed < 0.9
    answers = [one.token_ids for one in found]
    check_distribution(
        answers, exact_chances(lambda ids: model.scores(ids, 0), prompt, params, engine.end_ids)
    )


def test_a_proposal_that_is_verified_has_the_models_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    shaped_1V = torch.randn(1, 8, generator=generator) * 2
    proposed_1V = probabilities(torch.randn(1, 8, generator=generator) * 2)
    expected = probabilities(shaped_1V)[0]
    drawn = torch.multinomial(proposed_1V[0], 3000, replacement=True, generator=generator).tolist()
    for tokens, chances_1V in ((drawn, proposed_1V), ([3] * 3000, None)):
        found = [
            verify(shaped_1V, Proposal(token_id=token, chances_1V=chances_1V), generator) for token in tokens
        ]
        observed = torch.bincount(torch.tensor(found), minlength=8)
        assert chisquare(observed.numpy(), (expected * 3000).numpy()).pvalue > 1e-3
        assert tokens != found


def test_what_is_impossible_is_never_kept() -> None:
    shaped_1V = torch.tensor([[0.0, -torch.inf]])
    generator = torch.Generator().manual_seed(0)
    assert {verify(shaped_1V, Proposal(token_id=1), generator) for _ in range(50)} == {0}
    certain_1V = probabilities(shaped_1V)
    assert verify(shaped_1V, Proposal(token_id=0, chances_1V=certain_1V), generator) == 0


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ([1, 2, 3, 4, 1, 2], 2, [3, 4]),
        ([1, 2, 3, 4, 1, 2], 9, [3, 4, 1, 2]),
        # Three tokens count before two, and of equals the last that is followed by enough.
        ([9, 1, 2, 7, 8, 1, 2, 5, 6, 9, 1, 2], 2, [7, 8]),
        ([1, 2, 7, 8, 1, 2, 5, 6, 1, 2], 2, [5, 6]),
        ([1, 2, 7, 8, 1, 2, 5, 6, 1, 2], 5, [7, 8, 1, 2, 5]),
        ([1, 2, 3, 4], 2, []),
        ([1], 2, []),
        ([5, 5, 5, 5, 5], 3, [5, 5]),
    ],
)
def test_looking_up(text: list[int], most: int, expected: list[int]) -> None:
    assert follow(text, longest_match=3, most=most) == expected


def test_a_good_draft_saves_steps_of_the_model(tokenizer: Tokenizer) -> None:
    script = [*tokenizer.encode("hello world 你好世界")] * 9
    params = SamplingParams(temperature=0, max_tokens=40)
    model = FakeModel(tokenizer.vocab_size, script=script)
    engine = Engine(model, tokenizer, speculation=Speculation(num_tokens=6))
    answer = engine.generate([1], params)
    assert answer.token_ids == Engine(model, tokenizer).generate([1], params).token_ids
    assert answer.num_kept > 20 and answer.num_kept <= answer.num_proposed
    assert answer.tokens_per_s > 0


def test_the_end_of_either_context_is_respected(tokenizer: Tokenizer) -> None:
    target = FakeModel(tokenizer.vocab_size, max_seq_len=20)
    params = SamplingParams(temperature=0, max_tokens=None)
    expected = Engine(target, tokenizer).generate([1, 2], params)
    for limit in (3, 9, 64):
        draft = loaded(FakeModel(tokenizer.vocab_size, max_seq_len=limit), tokenizer)
        engine = Engine(target, tokenizer, speculation=Speculation(draft=draft))
        assert engine.generate([1, 2], params).token_ids == expected.token_ids
    assert len(expected.token_ids) == 19


def test_cancelling_ends_within_a_step(tokenizer: Tokenizer) -> None:
    model = FakeModel(tokenizer.vocab_size, script=[7, 8, 9])
    engine = Engine(model, tokenizer, speculation=Speculation(num_tokens=6))
    pieces = []
    params = SamplingParams(temperature=0, max_tokens=40)
    for piece in engine.stream([1], params, cancelled=lambda: len(pieces) >= 20):
        pieces.append(piece)
    assert sum(len(piece.token_ids) for piece in pieces) == 20
    assert pieces[-1].finish_reason == "cancelled"


def test_an_encoder_decoder_looks_up_in_its_source(tokenizer: Tokenizer) -> None:
    config = t5.encoder_decoder(vocab_size=tokenizer.vocab_size, **SIZES)
    model, settings = transformer(config, 2), GenerationSettings(first_ids=(tokenizer.pad_id,))
    source = tokenizer.encode("hello world, how do you do? 你好世界")
    for temperature in (0.0, 1.0):
        params = SamplingParams(temperature=temperature, max_tokens=20, seed=0, top_k=1)
        expected = Engine(model, tokenizer, settings).generate(source, params)
        for draft in (None, loaded(transformer(config, 3), tokenizer, settings)):
            engine = Engine(model, tokenizer, settings, speculation=Speculation(draft=draft))
            found = engine.generate(source, params)
            assert found.token_ids == expected.token_ids and found.num_proposed > 0


def test_a_draft_must_fit_the_model(tokenizer: Tokenizer) -> None:
    target = FakeModel(tokenizer.vocab_size)
    other = fit_bpe(["something else entirely " * 9], 330)
    with pytest.raises(InputError, match="draft: the draft has another tokenizer"):
        Engine(target, tokenizer, speculation=Speculation(draft=loaded(FakeModel(other.vocab_size), other)))
    lstm = LstmModel(LstmConfig(vocab_size=tokenizer.vocab_size, d_model=8, d_hidden=8, num_layers=1))
    with pytest.raises(InputError, match=r"^this model cannot take back tokens"):
        Engine(lstm, tokenizer, speculation=Speculation())
    with pytest.raises(InputError, match=r"^draft: this model cannot take back tokens"):
        Engine(target, tokenizer, speculation=Speculation(draft=loaded(lstm, tokenizer)))
    with pytest.raises(InputError, match="num_tokens of a draft cannot be 0"):
        Speculation(num_tokens=0)
    with pytest.raises(InputError, match="longest_match cannot be 1"):
        dataclasses.replace(Speculation(), longest_match=1)
