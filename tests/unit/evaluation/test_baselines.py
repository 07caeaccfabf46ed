"""The baseline is the better n-gram, chosen on text that it was not trained on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation_made import made_documents

from yanmo.errors import InputError
from yanmo.evaluation.baselines import (
    CharacterNgramBaseline,
    ScoredBaseline,
    TokenNgramBaseline,
    fit_baseline,
    fit_character_ngram,
)
from yanmo.models.ngram.model import fit_ngram
from yanmo.tokenizers.bpe import fit_bpe

DOCUMENTS = made_documents(150)
TRAIN, VALID, TEST = DOCUMENTS[:100], DOCUMENTS[100:120], DOCUMENTS[120:]


def test_the_best_candidate_on_the_validation_text_is_chosen() -> None:
    tokenizer = fit_bpe(TRAIN, 300)
    chosen = fit_baseline(TRAIN, VALID, tokenizer=tokenizer)
    characters = [CharacterNgramBaseline(model=fit_character_ngram(TRAIN, order=n)) for n in (5, 7)]
    ids = tokenizer.encode_batch(TRAIN)
    sizes = {"vocab_size": tokenizer.vocab_size, "eos_id": tokenizer.eos_id}
    tokens = [TokenNgramBaseline(model=fit_ngram(ids, order=n, **sizes), tokenizer=tokenizer) for n in (3, 5)]
    best = min([*characters, *tokens], key=lambda candidate: candidate.score(VALID).bits_per_byte)
    assert (chosen.name, chosen.order) == (best.name, best.order)
    assert chosen.score(TEST).loss_nats == pytest.approx(best.score(TEST).loss_nats, rel=1e-6)


def chain(rng: np.random.Generator) -> str:
    """Letters of a cycle, a tenth of them drawn anew."""
    letters = "abcdefghijkl"
    places = [0]
    for _ in range(40):
        fresh = rng.random() < 0.1
        places.append(int(rng.integers(12)) if fresh else (places[-1] + 1) % 12)
    return "".join(letters[place] for place in places)


def test_both_kinds_can_win() -> None:
    # Each word follows from the one before, whose beginning lies too far back for seven characters.
    rng = np.random.default_rng(0)
    lines = [" ".join(f"{letter}longending" for letter in chain(rng)) for _ in range(120)]
    tokenizer = fit_bpe(lines[:100], 500)
    assert "tokens" in fit_baseline(lines[:100], lines[100:], tokenizer=tokenizer).name
    # A tokenizer made for other text cuts this one into bytes.
    stranger = fit_bpe(["zzzz yyyy"] * 10, 300)
    assert "characters" in fit_baseline(TRAIN, VALID, tokenizer=stranger).name


def test_without_validation_text_only_characters_compete() -> None:
    tokenizer = fit_bpe(TRAIN, 300)
    for texts in (TRAIN, [" ".join(TRAIN)]):
        chosen = fit_baseline(texts, tokenizer=tokenizer)
        assert chosen.name == f"Kneser-Ney {chosen.order}-gram of characters"
        # The whole text is trained on in the end, the part held out for the choice too.
        whole = CharacterNgramBaseline(model=fit_character_ngram(texts, order=chosen.order))
        assert chosen.score(TEST).loss_nats == pytest.approx(whole.score(TEST).loss_nats)


def test_score_of_characters_is_honest() -> None:
    baseline = CharacterNgramBaseline(model=fit_character_ngram(TRAIN, order=5))
    score = baseline.score(TEST)
    assert score.num_bytes == sum(len(text.encode()) for text in TEST)
    assert score.num_tokens == sum(map(len, TEST))
    assert score.num_documents == len(TEST)
    assert score.interval[0] < score.bits_per_byte < score.interval[1]


def test_perplexity_is_per_token_of_the_model() -> None:
    baseline = CharacterNgramBaseline(model=fit_character_ngram(TRAIN, order=5))
    score = baseline.score(TEST)
    scored = ScoredBaseline(name=baseline.name, order=baseline.order, score=score)
    found = scored.beside(500)
    assert ScoredBaseline.from_json(scored.to_json()) == scored
    assert found["perplexity"] == pytest.approx(math.exp(score.loss_nats / 500))
    assert found["bits_per_byte"] == score.bits_per_byte
    assert (found["name"], found["order"]) == ("Kneser-Ney 5-gram of characters", 5)


def test_too_much_text_is_sampled_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    small = fit_baseline(TRAIN, VALID, max_train_bytes=4096)
    whole = fit_baseline(TRAIN, VALID)
    assert "trained on 4.0 KB of" in capsys.readouterr().err
    assert small.score(TEST).bits_per_byte > whole.score(TEST).bits_per_byte


def test_no_training_text_is_refused() -> None:
    with pytest.raises(InputError, match="no text to train a baseline on"):
        fit_baseline([], [])
    with pytest.raises(InputError, match="no text"):
        fit_baseline([""], VALID)
