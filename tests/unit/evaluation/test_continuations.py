"""Costs of continuations are those of whole texts, whatever is shared, batched or cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.evaluation.continuations import Request, continuation_costs, encode_prompts
from yanmo.models.base import LanguageModel
from yanmo.models.families import FAMILIES
from yanmo.models.lstm import LstmConfig, LstmModel
from yanmo.models.ngram.model import fit_ngram
from yanmo.models.transformer import Transformer

VOCAB = 97


def transformer(max_position_embeddings: int = 64, model_type: str = "llama", **more: object) -> Transformer:
    config = {
        "model_type": model_type,
        "vocab_size": VOCAB,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": max_position_embeddings,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        **more,
    }
    torch.manual_seed(0)
    model = Transformer(FAMILIES[model_type].read_config(config, where=Path("config.json"))).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.3)
    return model


def lstm() -> LstmModel:
    torch.manual_seed(0)
    return LstmModel(LstmConfig(vocab_size=VOCAB, d_model=16, d_hidden=24, num_layers=2)).eval()


def ngram() -> LanguageModel:
    rng = np.random.default_rng(0)
    return fit_ngram([rng.integers(1, 20, 40) for _ in range(30)], order=3, vocab_size=VOCAB, eos_id=0)


MODELS = {"transformer": transformer, "lstm": lstm, "ngram": ngram}


def made_requests(*, high: int = 20) -> list[Request]:
    rng = np.random.default_rng(1)
    shared = rng.integers(1, high, 9)
    requests = []
    for number in range(12):
        own = rng.integers(1, high, int(rng.integers(1, 5)))
        context = np.concatenate([shared, own]) if number % 3 else own
        lengths = rng.integers(1, 7, int(rng.integers(1, 5)))
        requests.append(
            Request(context=context, continuations=tuple(rng.integers(1, high, n) for n in lengths))
        )
    return requests


def whole(model: LanguageModel, context: np.ndarray, ids: np.ndarray) -> float:
    tokens = torch.from_numpy(np.concatenate([context, ids]))[None]
    return float(model.token_losses(tokens)[0, len(context) - 1 :].sum())


def greedy(model: LanguageModel, context: np.ndarray, length: int) -> list[int]:
    session = model.start(1)
    scores = session.extend(torch.from_numpy(context)[None])
    found: list[int] = []
    for _ in range(length):
        found.append(int(scores.argmax()))
        scores = session.extend(torch.tensor([[found[-1]]]))
    return found


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("batch_tokens", [1, 60, 4096])
def test_costs_are_those_of_the_whole_text(kind: str, batch_tokens: int) -> None:
    model, requests = MODELS[kind](), made_requests()
    told: list[int] = []
    costs = continuation_costs(model, requests, batch_tokens=batch_tokens, on_progress=told.append)
    assert sum(told) == len(requests) and costs.num_cut == 0
    for request, answers in zip(requests, costs.of_requests, strict=True):
        assert len(answers) == len(request.continuations)
        for ids, cost in zip(request.continuations, answers, strict=True):
            assert cost.num_tokens == len(ids)
            assert cost.loss_nats == pytest.approx(whole(model, request.context, ids), rel=1e-4)


@pytest.mark.parametrize("kind", MODELS)
def test_the_greedy_answer_is_known(kind: str) -> None:
    model = MODELS[kind]()
    context = np.array([3, 5, 8])
    right = greedy(model, context, 3)
    wrong = [*right[:2], (right[2] + 1) % VOCAB]
    request = Request(context=context, continuations=(np.array(right), np.array(wrong), np.array(right[:1])))
    found = continuation_costs(model, [request]).of_requests[0]
    assert [cost.is_likeliest for cost in found] == [True, False, True]


@pytest.mark.parametrize("kind", MODELS)
def test_asking_takes_nothing_in(kind: str) -> None:
    asked, silent = MODELS[kind]().start(2), MODELS[kind]().start(2)
    first, then = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[7], [8]])
    for session in (asked, silent):
        session.extend(first)
    before = asked.costs(torch.tensor([[9, 10, 11, 12], [13, 14, 15, 16]]))
    again = asked.costs(torch.tensor([[9, 10, 11, 12], [13, 14, 15, 16]]))
    assert torch.equal(before.loss_BT, again.loss_BT) and asked.num_tokens == 3
    assert torch.allclose(asked.extend(then), silent.extend(then), atol=1e-5)


def test_many_continuations_of_a_long_context_are_asked_a_few_at_a_time() -> None:
    model = transformer()
    rows: list[int] = []
    start = model.start

    def watched(batch_size: int = 1) -> object:
        session = start(batch_size)
        costs = session.costs
        session.costs = lambda tokens_BT: rows.append(len(tokens_BT)) or costs(tokens_BT)
        return session

    model.start = watched
    context, rng = np.arange(1, 41), np.random.default_rng(0)
    continuations = tuple(rng.integers(1, VOCAB, int(rng.integers(1, 6))) for _ in range(17))
    request = Request(context=context, continuations=continuations)
    (costs,) = continuation_costs(model, [request], batch_tokens=180).of_requests
    # Four rows of 45 tokens, and the one that keeps the context.
    assert rows == [5, 5, 5, 5, 1]
    for ids, cost in zip(continuations, costs, strict=True):
        assert cost.loss_nats == pytest.approx(whole(model, context, ids), rel=1e-4)


def test_a_long_context_loses_its_beginning() -> None:
    model = transformer(max_position_embeddings=16)
    context, ids = np.arange(1, 31), np.arange(40, 44)
    costs = continuation_costs(model, [Request(context=context, continuations=(ids, ids[:1]))])
    assert costs.num_cut == 1
    kept = context[-13:]
    assert costs.of_requests[0][0].loss_nats == pytest.approx(whole(model, kept, ids), rel=1e-4)
    with pytest.raises(InputError, match="an answer of 17 tokens does not fit"):
        continuation_costs(model, [Request(context=context, continuations=(np.arange(1, 18),))])


def test_positions_that_outdate_the_cache_are_read_anew() -> None:
    scaling = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [3.0] * 4}
    more = {"rope_scaling": scaling, "original_max_position_embeddings": 16}
    model = transformer(model_type="phi3", max_position_embeddings=64, **more)
    context, ids = np.arange(1, 13), np.arange(60, 72)
    request = Request(context=context, continuations=(ids, ids[:4]))
    session = model.start(1)
    session.extend(torch.from_numpy(context)[None])
    short, long = (session.costs(torch.from_numpy(row)[None]).loss_BT.sum() for row in (ids[:4], ids))
    assert float(short) == pytest.approx(whole(model, context, ids[:4]), rel=1e-4)
    assert float(long) == pytest.approx(whole(model, context, ids), rel=1e-4)
    assert continuation_costs(model, [request]).of_requests[0][0].loss_nats == pytest.approx(float(long))


class Merging:
    """Characters are tokens, but "：A" is one; documents begin with 1 where ``bos_id`` says so."""

    eos_id = 0

    def __init__(self, bos_id: int | None = None) -> None:
        self.bos_id = bos_id

    def encode_batch(self, texts: list[str]) -> list[np.ndarray]:
        return [np.array([ord(c) for c in text.replace("：A", "Ⅰ")], np.int64) for text in texts]


def test_a_prompt_is_parted_where_its_context_ends() -> None:
    prompts = [("q:", [" A", " BC"]), ("", ["x"]), ("答：", ["A", "B"])]
    first, empty, merged = encode_prompts(Merging(), prompts)
    assert first.context.tolist() == [113, 58]
    assert [ids.tolist() for ids in first.continuations] == [[32, 65], [32, 66, 67]]
    assert empty.context.tolist() == [0] and empty.continuations[0].tolist() == [120]
    # All answers have the context as it is alone, though one would run into it.
    assert merged.context.tolist() == [ord("答"), ord("：")]
    assert [ids.tolist() for ids in merged.continuations] == [[65], [66]]


def test_documents_begin_as_the_tokenizer_begins_them() -> None:
    found = list(encode_prompts(Merging(bos_id=1), [("a", ["b"]), ("", ["b"]), ("\x01a", ["b"])]))
    assert [request.context.tolist() for request in found] == [[1, 97], [1], [1, 97]]


def test_an_answer_without_tokens_is_refused() -> None:
    with pytest.raises(InputError, match="makes no token of ''"):
        list(encode_prompts(Merging(), [("a", ["b", ""])]))


class Broken:
    """A model whose scores are no numbers."""

    vocab_size, max_seq_len = VOCAB, None

    def start(self, batch_size: int = 1) -> object:
        session = transformer().start(batch_size)
        session._model.embedding.weight.data.fill_(float("nan"))
        return session

    def token_losses(self, tokens_BT: Tensor) -> Tensor:
        raise NotImplementedError


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="not numbers"):
        continuation_costs(Broken(), made_requests())
