"""Where answers begin and end: continued prompts, and source texts that are answered."""

from __future__ import annotations

import pytest
import torch
from fake_model import FakeModel
from tokenizers import processors

from yanmo.errors import InputError
from yanmo.generation.conversation import Conversation
from yanmo.generation.engine import Engine, SamplingParams
from yanmo.models.families import bart, bert
from yanmo.models.generation_settings import GenerationSettings
from yanmo.models.transformer import Transformer
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer

FIRST_IDS = (7, 9)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return fit_bpe(["hello world, how do you do? " * 9, "你好世界，你好吗？" * 9], 300)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Transformer:
    sides = {"layers": 2, "attention_heads": 2, "ffn_dim": 24}
    config = {f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in sides.items()}
    sizes = {"vocab_size": tokenizer.vocab_size + 4, "d_model": 16, "max_position_embeddings": 40}
    model = Transformer(bart.read_config({"model_type": "bart", **config, **sizes}))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.3)
    return model.eval()


@pytest.fixture
def engine(model: Transformer, tokenizer: Tokenizer) -> Engine:
    return Engine(model, tokenizer, GenerationSettings(first_ids=FIRST_IDS, end_ids=(5, 6)))


def test_the_answer_is_drawn_after_the_first_tokens_and_the_source(
    engine: Engine, model: Transformer
) -> None:
    source = engine.encode("你好, hello")
    params = SamplingParams(temperature=0, max_tokens=6, num_logprobs=0)
    answer = engine.generate(source, params)
    memory = model.encode(torch.tensor([source]))
    whole = torch.tensor([[*FIRST_IDS, *answer.token_ids]])
    scores_TV = model(whole, memory=memory)[0]
    given = torch.tensor([entry.logprob for entry in answer.logprobs])
    chosen_T = torch.arange(len(given)) + len(FIRST_IDS) - 1
    expected = torch.log_softmax(scores_TV[:, : engine.tokenizer.vocab_size], -1)
    torch.testing.assert_close(given, expected[chosen_T, list(answer.token_ids)])
    assert answer.num_prompt_tokens == len(source)
    assert engine.generate(source[:2], params).logprobs != answer.logprobs


def test_the_cache_changes_nothing(engine: Engine) -> None:
    source = engine.encode("how do you do?")
    params = SamplingParams(seed=3, max_tokens=12)
    with_cache, without = (
        engine.generate_samples(source, params, num_samples=3, use_cache=use_cache)
        for use_cache in (True, False)
    )
    assert [answer.token_ids for answer in with_cache] == [answer.token_ids for answer in without]
    assert len({answer.token_ids for answer in with_cache}) == 3
    alone = engine.generate(source, SamplingParams(seed=4, max_tokens=12))
    assert alone.token_ids == with_cache[1].token_ids


def test_a_source_has_the_special_tokens_of_its_tokenizer(model: Transformer, tokenizer: Tokenizer) -> None:
    end = tokenizer.special_ids["<|im_end|>"]
    backend = fit_bpe(["hello world, how do you do? " * 9, "你好世界，你好吗？" * 9], 300)._backend
    backend.post_processor = processors.TemplateProcessing(
        single="$A <|im_end|>", special_tokens=[("<|im_end|>", end)]
    )
    framing = Tokenizer(backend.to_str(), eos_token="<|endoftext|>")
    engine = Engine(model, framing, GenerationSettings(first_ids=FIRST_IDS))
    assert engine.encode("hello") == [*framing.encode("hello"), end]
    assert engine.encode("") == [end]
    assert Engine(FakeModel(framing.vocab_size), framing).encode("hello") == framing.encode("hello")


def test_an_answer_is_as_long_as_the_decoder_allows(engine: Engine) -> None:
    source = engine.encode("hello")
    params = SamplingParams(seed=0, max_tokens=None, min_p=0.0)
    answers = engine.generate_samples(source, params, num_samples=6)
    longest = [answer for answer in answers if answer.finish_reason == "length"]
    assert longest and all(len(answer.token_ids) == 40 - len(FIRST_IDS) + 1 for answer in longest)


def test_a_source_must_be_there_and_fit(engine: Engine) -> None:
    with pytest.raises(InputError, match="the source text is empty"):
        engine.generate([])
    with pytest.raises(InputError, match="41 tokens, the model's context holds 40"):
        engine.generate([1] * 41)
    with pytest.raises(InputError, match="the prompt holds token"):
        engine.generate([engine.tokenizer.vocab_size])


def test_an_answer_may_begin_after_a_token_without_a_name(model: Transformer, tokenizer: Tokenizer) -> None:
    engine = Engine(model, tokenizer, GenerationSettings(first_ids=(tokenizer.vocab_size + 3,)))
    assert engine.generate([1, 2], SamplingParams(temperature=0, max_tokens=3)).token_ids


def test_a_conversation_is_a_source_too(engine: Engine) -> None:
    conversation = Conversation(engine, SamplingParams(seed=1, max_tokens=8))
    said = "".join(piece.text for piece in conversation.ask("hello"))
    assert conversation.messages[-1] == {"role": "assistant", "content": said}


def test_every_end_token_ends_and_suppressed_ones_are_never_drawn(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(" hello")
    greedy = SamplingParams(temperature=0, max_tokens=20)
    for end in (3, 4, tokenizer.eos_id):
        model = FakeModel(tokenizer.vocab_size, script=[*ids, end])
        engine = Engine(model, tokenizer, GenerationSettings(end_ids=(3, 4)))
        answer = engine.generate([1], greedy)
        assert answer.token_ids == tuple(ids) and answer.finish_reason == "stop"
    model = FakeModel(tokenizer.vocab_size, script=ids)
    engine = Engine(model, tokenizer, GenerationSettings(suppressed_ids=(ids[0], 10**6)))
    for params in (greedy, SamplingParams(seed=0, temperature=5.0, max_tokens=20)):
        drawn = engine.generate([1], params).token_ids
        assert ids[0] not in drawn and len(drawn) == 20


def test_an_encoder_is_refused_before_the_first_prompt(tokenizer: Tokenizer) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = {"model_type": "bert", "vocab_size": 400, "max_position_embeddings": 8, **sizes}
    encoder = Transformer(bert.read_config(config))
    with pytest.raises(InputError, match="this encoder does not continue texts"):
        Engine(encoder, tokenizer)


def test_an_encoder_decoder_scores_nothing_without_a_source(model: Transformer) -> None:
    with pytest.raises(InputError, match="needs a source text"):
        model.token_losses(torch.tensor([[1, 2, 3]]))
