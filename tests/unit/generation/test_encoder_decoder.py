"""Sampling, drafts and beams of a T5-shaped model: all that decoders do, of a source text."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.stats import chisquare

from yanmo.errors import InputError
from yanmo.generation.engine import Engine, SamplingParams, Speculation
from yanmo.models.families import t5
from yanmo.models.generation_settings import GenerationSettings
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer

SIZES = {"d_model": 16, "num_layers": 1, "num_heads": 2, "head_dim": 8, "d_ff": 32, "max_seq_len": 64}
SOURCE = "hello world, 你好世界 hello world, 你好"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return fit_bpe(["hello world, how do you do? " * 9, "你好世界，你好吗？" * 9], 330)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    torch.manual_seed(4)
    model = Transformer(t5.encoder_decoder(vocab_size=tokenizer.vocab_size, **SIZES)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.5)
    return model


def settings(tokenizer: Tokenizer) -> GenerationSettings:
    return GenerationSettings(first_ids=(tokenizer.pad_id,), end_ids=(tokenizer.eos_id,))


def log_shares(model: Transformer, tokenizer: Tokenizer, answer: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        memory = model.encode(torch.tensor([tokenizer.encode(SOURCE)]))
        scores_1V = model.start(1, memory=memory).extend(torch.tensor([[tokenizer.pad_id, *answer]]))
    # In double precision, as the test compares sums.
    return scores_1V[0].double().log_softmax(-1)


@pytest.mark.parametrize("speculation", [None, Speculation(num_tokens=2)], ids=["plain", "look-up"])
def test_samples_have_the_exact_probabilities(
    model: Transformer, tokenizer: Tokenizer, speculation: Speculation | None
) -> None:
    engine = Engine(model, tokenizer, settings(tokenizer), speculation=speculation)
    params = SamplingParams(temperature=1.0, top_k=3, max_tokens=2, seed=0)
    found = engine.generate_samples(tokenizer.encode(SOURCE), params, num_samples=400)
    expected: dict[tuple[int, ...], float] = {}
    first = log_shares(model, tokenizer, []).topk(3)
    for token, share in zip(first.indices.tolist(), first.values.softmax(-1).tolist(), strict=True):
        then = log_shares(model, tokenizer, [token]).topk(3)
        for other, part in zip(then.indices.tolist(), then.values.softmax(-1).tolist(), strict=True):
            assert not {token, other} & engine.end_ids
            expected[token, other] = share * part * 400
    observed = [sum(answer.token_ids == pair for answer in found) for pair in expected]
    assert sum(observed) == 400 and len(expected) == 9
    assert chisquare(observed, list(expected.values())).pvalue > 1e-3


def test_beams_are_ranked_by_the_models_own_probabilities(model: Transformer, tokenizer: Tokenizer) -> None:
    engine = Engine(model, tokenizer, settings(tokenizer))
    source = engine.tokenizer.encode(SOURCE)
    for groups in ({}, {"num_groups": 3, "diversity": 1.0}):
        found = engine.search(source, max_tokens=5, num_beams=6, num_best=4, length_penalty=0.0, **groups)
        assert len(found) > 1 and found[0].num_prompt_tokens == len(source)
        for answer in found:
            ids = [*answer.token_ids, *([tokenizer.eos_id] if answer.finish_reason == "stop" else [])]
            logs = [
                float(log_shares(model, tokenizer, ids[:place])[token]) for place, token in enumerate(ids)
            ]
            assert answer.score == pytest.approx(sum(logs), abs=1e-3)
            assert answer.text == tokenizer.decode(answer.token_ids)
        assert all(one.score >= other.score for one, other in itertools.pairwise(found))
    with pytest.raises(InputError, match="the source text is empty"):
        engine.search([])
