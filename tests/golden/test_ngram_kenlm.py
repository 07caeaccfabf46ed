"""Our n-gram model against KenLM: its estimation (lmplz) and its queries on our ARPA files.

data/lmplz.arpa.gz is what KenLM's ``lmplz -o 4 --discount_fallback`` made of data/lmplz.txt (lines of
made-up English, then of Chinese characters); the kenlm package for Python can only query.
"""

from __future__ import annotations

import math
from pathlib import Path

import kenlm
import numpy as np
import pytest
import torch

from yanmo.models.ngram.arpa import read_arpa, write_arpa
from yanmo.models.ngram.model import NgramModel, fit_ngram

DATA = Path(__file__).parent / "data"
UNK, EOS = 0, 1


def lines() -> list[list[str]]:
    return [line.split() for line in (DATA / "lmplz.txt").read_text(encoding="utf-8").splitlines()]


ENGLISH, CHINESE = lines()[:160], lines()[160:]
HELD_OUT = {"english": ENGLISH[140:], "chinese": CHINESE[140:], "both": ENGLISH[150:] + CHINESE[150:]}
TRAIN = {"english": ENGLISH[:140], "chinese": CHINESE[:140], "both": ENGLISH[:150] + CHINESE[:150]}
# Words that no line holds: at the start, in the middle, twice, alone.
STRANGE = [
    ["unheard", "the", "cat"],
    ["天", "地", "猫", "人"],
    ["the", "qq", "qq", "a"],
    ["qq"],
    ["日", "月"],
]


def fitted(train: list[list[str]], order: int) -> tuple[NgramModel, list[str]]:
    words = ["<unk>", "</s>", *sorted({word for line in train for word in line})]
    ids = {word: index for index, word in enumerate(words)}
    documents = [[ids[word] for word in line] for line in train]
    return fit_ngram(documents, order=order, vocab_size=len(words), eos_id=EOS, unk_id=UNK), words


def queried(path: Path) -> kenlm.Model:
    config = kenlm.Config()
    config.show_progress = False
    return kenlm.Model(str(path), config)


def our_log10(model: NgramModel, words: list[str], line: list[str]) -> tuple[list[float], list[int]]:
    ids = {word: index for index, word in enumerate(words)}
    eos, unk = model.config.eos_id, model.config.unk_id
    assert unk is not None
    row = np.array([[eos, *(ids.get(word, unk) for word in line), eos]])
    log_p, matched = model.log_probabilities_of(row)
    return (log_p[0, 1:] / math.log(10)).tolist(), matched[0, 1:].tolist()


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("language", ["english", "chinese", "both"])
def test_kenlm_reads_our_file_as_we_do(language: str, order: int, tmp_path: Path) -> None:
    model, words = fitted(TRAIN[language], order)
    path = tmp_path / "ours.arpa"
    write_arpa(model, path, words)
    reference = queried(path)
    assert reference.order == order
    for line in [*HELD_OUT[language], *STRANGE, *TRAIN[language][:10]]:
        sentence = " ".join(line)
        ours, matched = our_log10(model, words, line)
        theirs = list(reference.full_scores(sentence, bos=True, eos=True))
        np.testing.assert_allclose(ours, [score for score, _, _ in theirs], atol=1e-5)
        assert sum(ours) == pytest.approx(reference.score(sentence, bos=True, eos=True), abs=1e-4)
        known = [index for index, (_, _, is_unknown) in enumerate(theirs) if not is_unknown]
        assert [matched[i] for i in known] == [theirs[i][1] for i in known]
        perplexity = 10 ** (-sum(ours) / len(ours))
        assert perplexity == pytest.approx(reference.perplexity(sentence), rel=1e-4)


def test_token_losses_are_kenlm_scores(tmp_path: Path) -> None:
    model, words = fitted(TRAIN["both"], 5)
    write_arpa(model, tmp_path / "ours.arpa.gz", words)
    reference = queried(tmp_path / "ours.arpa.gz")
    line = HELD_OUT["english"][0]
    row = torch.tensor([[EOS, *(words.index(word) if word in words else UNK for word in line), EOS]])
    theirs = [-score * math.log(10) for score, _, _ in reference.full_scores(" ".join(line))]
    np.testing.assert_allclose(model.token_losses(row)[0].numpy(), theirs, atol=1e-4)


def test_estimation_equals_lmplz() -> None:
    theirs, their_words = read_arpa(DATA / "lmplz.arpa.gz")
    ours, our_words = fitted(ENGLISH + CHINESE, 4)
    assert set(our_words) == set(their_words)
    # lmplz counts <s> among its 50 types of 1-grams; in the model it is one with </s>.
    assert ours.num_ngrams == theirs.num_ngrams == (49, 1019, 2145, 2169)
    found = [(d.one, d.two, d.three) for d in ours.config.discounts[1:]]
    np.testing.assert_allclose(
        found,
        [(0.36701, 1.3401, 2.37768), (0.774601, 1.73987, 2.58688), (0.94432, 1.86292, 1.74091)],
        rtol=1e-5,
    )
    assert [d.estimated for d in ours.config.discounts] == [False, True, True, True]
    for line in [*ENGLISH, *CHINESE, *STRANGE]:
        scores, _ = our_log10(ours, our_words, line)
        reference, _ = our_log10(theirs, their_words, line)
        np.testing.assert_allclose(scores, reference, atol=1e-5)


@pytest.mark.parametrize(("name", "rows_at_once"), [("model.arpa", 100_000), ("model.arpa.gz", 100)])
def test_round_trip(name: str, rows_at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanmo.models.ngram.arpa._ROWS_AT_ONCE", rows_at_once)
    model, words = fitted(TRAIN["both"], 4)
    write_arpa(model, tmp_path / name, words)
    again, again_words = read_arpa(tmp_path / name)
    assert again_words == words
    assert (again.config.eos_id, again.config.unk_id, again.order) == (EOS, UNK, 4)
    for n in range(4):
        assert np.array_equal(again.keys[n], model.keys[n])
        np.testing.assert_allclose(again.log_probabilities[n], model.log_probabilities[n], atol=1e-5)
    for n in range(3):
        np.testing.assert_allclose(again.log_backoffs[n], model.log_backoffs[n], atol=1e-5)
    write_arpa(again, tmp_path / f"again-{name}", again_words)
    once, twice = queried(tmp_path / name), queried(tmp_path / f"again-{name}")
    assert once.score("the cat 天 地") == pytest.approx(twice.score("the cat 天 地"), abs=1e-5)
