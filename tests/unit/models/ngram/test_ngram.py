"""The n-gram model against the textbook written as loops over dictionaries."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from yanmo.errors import InputError
from yanmo.models.base import LanguageModel
from yanmo.models.ngram import kneser_ney
from yanmo.models.ngram.model import NgramModel, fit_ngram, load_ngram

VOCAB_SIZE, EOS = 9, 8
Gram = tuple[int, ...]


def made_documents(num_documents: int = 40, seed: int = 0) -> list[list[int]]:
    """Documents of a small Markov chain with ids 0 to 6; 7 never occurs."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(7, 0.4), size=(7, 7))
    documents = []
    for length in rng.integers(1, 30, num_documents):
        ids = [int(i) for i in rng.integers(0, 7, 2)]
        while len(ids) < length:
            ids.append(int(rng.choice(7, p=weights[ids[-2], ids[-1]])))
        documents.append(ids[:length])
    return documents


def discounts_of(counts: Counter[Gram]) -> tuple[float, float, float]:
    n = Counter(counts.values())
    if not (n[1] and n[2] and n[3]):
        return kneser_ney.FALLBACK_DISCOUNTS
    y = n[1] / (n[1] + 2 * n[2])
    found = tuple(k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3))
    if all(0 < value <= k for k, value in enumerate(found, start=1)):
        return found[0], found[1], found[2]
    return kneser_ney.FALLBACK_DISCOUNTS


def textbook(documents: list[list[int]], order: int) -> Callable[[Gram, int], float]:
    """p(token | context) by Chen and Goodman's recursion, straight from the definition."""
    plain: dict[int, Counter[Gram]] = {n: Counter() for n in range(1, order + 1)}
    for document in documents:
        padded = (-1, *document, EOS)  # -1 is <s>
        for n in range(1, order + 1):
            for start in range(len(padded) - n + 1):
                plain[n][padded[start : start + n]] += 1
    adjusted: dict[int, Counter[Gram]] = {order: plain[order]}
    for n in range(1, order):
        adjusted[n] = Counter()
        for gram in plain[n + 1]:
            adjusted[n][gram[1:]] += 1
        for gram, number in plain[n].items():
            if gram[0] == -1 and n > 1:
                adjusted[n][gram] = number
    amounts = {n: (0.0, *discounts_of(adjusted[n])) for n in adjusted}
    followers: dict[int, dict[Gram, dict[int, int]]] = {n: defaultdict(dict) for n in adjusted}
    for n, counts in adjusted.items():
        for gram, number in counts.items():
            followers[n][gram[:-1]][gram[-1]] = number

    def probability(context: Gram, token: int) -> float:
        n = len(context) + 1
        below = 1 / VOCAB_SIZE if n == 1 else probability(context[1:], token)
        seen = followers[n].get(context, {})
        if not seen:
            return below
        total = sum(seen.values())
        freed = sum(amounts[n][min(number, 3)] for number in seen.values())
        number = seen.get(token, 0)
        return (number - amounts[n][min(number, 3)] + freed * below) / total

    return probability


@pytest.mark.parametrize("order", [2, 3, 5, 8])
def test_estimate_equals_the_textbook(order: int) -> None:
    documents = made_documents()
    probability = textbook(documents, order)
    stream = kneser_ney.join_documents(documents, eos_id=EOS)
    table = kneser_ney.estimate(stream, order=order, vocab_size=VOCAB_SIZE, eos_id=EOS)
    grams: list[Gram] = [()]
    for n in range(1, order + 1):
        prefixes, tokens = np.divmod(table.keys[n - 1], VOCAB_SIZE)
        grams = [(*grams[p], t) for p, t in zip(prefixes.tolist(), tokens.tolist(), strict=True)]
        for gram, found in zip(grams, table.probabilities[n - 1].tolist(), strict=True):
            context = tuple(-1 if token == EOS else token for token in gram[:-1])
            assert found == pytest.approx(probability(context, gram[-1]), abs=1e-9)


def test_discounts_of_a_hand_made_example() -> None:
    # n1 = 4, n2 = 2, n3 = 1, n4 = 1: Y = 1/2.
    found = kneser_ney.estimate_discounts(np.array([1, 1, 1, 1, 2, 2, 3, 4, 9]))
    assert found == kneser_ney.Discounts(one=0.5, two=1.25, three=1.0, estimated=True)


@pytest.mark.parametrize("counts", [[1, 1, 2, 2], [5, 6, 7], [*[1] * 10, 2, 3, 3]])
def test_discounts_fall_back_where_the_formula_gives_none(counts: list[int]) -> None:
    found = kneser_ney.estimate_discounts(np.array(counts))
    assert (found.one, found.two, found.three, found.estimated) == (0.5, 1.0, 1.5, False)


@pytest.fixture(scope="module")
def model() -> NgramModel:
    return fit_ngram(made_documents(), order=4, vocab_size=VOCAB_SIZE, eos_id=EOS)


def test_every_context_sums_to_one(model: NgramModel) -> None:
    assert isinstance(model, LanguageModel)
    for context in product(range(VOCAB_SIZE), repeat=3):
        total = np.exp(model.next_scores(context).astype(np.float64)).sum()
        assert total == pytest.approx(1.0, abs=1e-5)


def test_scoring_equals_the_textbook_on_unseen_text(model: NgramModel) -> None:
    probability = textbook(made_documents(), 4)
    text = [EOS, *made_documents(seed=5)[0], 7, 3, 2, 2, EOS]
    losses = model.token_losses(torch.tensor([text]))[0]
    expected = []
    for t in range(1, len(text)):
        context = tuple(-1 if token == EOS else token for token in text[max(0, t - 3) : t])
        expected.append(-math.log(probability(context, text[t])))
    assert losses.dtype == torch.float32
    np.testing.assert_allclose(losses.numpy(), expected, rtol=1e-5)


def test_a_boundary_hides_what_is_before_it(model: NgramModel) -> None:
    first, second = [1, 2, 3, 4], [2, 0, 5, 1]
    joined = model.token_losses(torch.tensor([[EOS, *first, EOS, *second]]))[0]
    alone = model.token_losses(torch.tensor([[EOS, *second]]))[0]
    np.testing.assert_allclose(joined[len(first) + 1 :].numpy(), alone.numpy(), rtol=1e-6)


def test_rows_are_scored_apart(model: NgramModel) -> None:
    rows = torch.tensor([[1, 2, 3, 4, 5], [6, 5, 4, 3, 2], [EOS, 1, 2, 3, 4]])
    together = model.token_losses(rows)
    for row, losses in zip(rows, together, strict=True):
        assert torch.equal(model.token_losses(row[None])[0], losses)


def test_session_gives_what_scoring_gives(model: NgramModel) -> None:
    tokens = torch.tensor([[EOS, 1, 2, 3, 4, 5, 6, 0, 1], [EOS, 6, 6, 6, 7, 0, 1, 2, 2]])
    losses = model.token_losses(tokens)
    session = model.start(2)
    scores = session.extend(tokens[:, :2])
    for t in range(2, tokens.shape[1]):
        assert session.num_tokens == t
        assert scores.shape == (2, VOCAB_SIZE) and scores.dtype == torch.float32
        found = -scores.gather(1, tokens[:, t : t + 1])[:, 0]
        np.testing.assert_allclose(found.numpy(), losses[:, t - 1].numpy(), rtol=1e-5)
        scores = session.extend(tokens[:, t : t + 1])


def test_select_reorders_rows(model: NgramModel) -> None:
    session = model.start(2)
    session.extend(torch.tensor([[EOS, 1, 2], [EOS, 3, 4]]))
    session.select(torch.tensor([1, 1, 0]))
    scores = session.extend(torch.tensor([[5], [6], [5]]))
    assert torch.equal(scores[0], torch.from_numpy(model.next_scores([3, 4, 5])))
    assert torch.equal(scores[2], torch.from_numpy(model.next_scores([1, 2, 5])))


def test_save_and_load(model: NgramModel, tmp_path: Path) -> None:
    model.save(tmp_path / "m")
    again = load_ngram(tmp_path / "m")
    assert again.config == model.config
    assert json.loads((tmp_path / "m" / "config.json").read_text())["model_type"] == "yanmo-ngram"
    tokens = torch.tensor([[EOS, 1, 2, 3, 4, 5, 7, 0]])
    assert torch.equal(again.token_losses(tokens), model.token_losses(tokens))


def test_damaged_folders_are_refused(model: NgramModel, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    model.save(folder)
    weights = folder / "ngram.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="missing or damaged"):
        load_ngram(folder)
    weights.unlink()
    with pytest.raises(InputError, match="missing or damaged"):
        load_ngram(folder)
    (folder / "config.json").write_text('{"model_type": "qwen3"}')
    with pytest.raises(InputError, match="not an n-gram model"):
        load_ngram(folder)


def test_a_table_that_does_not_fit_its_config_is_refused(model: NgramModel, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    model.save(folder)
    config = json.loads((folder / "config.json").read_text())
    config["num_ngrams"][2] += 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="does not fit"):
        load_ngram(folder)


@pytest.mark.parametrize(
    ("documents", "order", "message"),
    [([[1, 2]], 1, "order 1"), ([[1, 2]], 17, "order 17"), ([], 3, "no text"), ([[], []], 3, "no text")],
)
def test_what_cannot_be_estimated(documents: list[list[int]], order: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_ngram(documents, order=order, vocab_size=VOCAB_SIZE, eos_id=EOS)


def test_ids_outside_the_vocabulary_are_refused(model: NgramModel) -> None:
    with pytest.raises(InputError, match="outside 0 to 8"):
        fit_ngram([[1, 9]], order=2, vocab_size=VOCAB_SIZE, eos_id=EOS)
    with pytest.raises(InputError, match="outside 0 to 8"):
        model.token_losses(torch.tensor([[1, 9]]))


def test_a_document_shorter_than_the_order_is_enough() -> None:
    tiny = fit_ngram([[3]], order=6, vocab_size=VOCAB_SIZE, eos_id=EOS)
    assert int(np.argmax(tiny.next_scores([EOS]))) == 3
    assert int(np.argmax(tiny.next_scores([EOS, 3]))) == EOS
    assert np.exp(tiny.next_scores([EOS, 3]).astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-6)
