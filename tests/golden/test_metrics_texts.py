"""Scores of generated text against sacreBLEU and rouge-score."""

from __future__ import annotations

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from yanmo import metrics

ENGLISH = [
    *("the", "a", "cat", "dog", "sat", "ran", "on", "in", "under", "mat", "park,", "today.", "quickly"),
    *("(slowly)", "it's", "3.5%", "of", "U.S.", '"Hello!"', "e-mail"),
]
CHINESE = [*"今天天气很好我们去公园玩，。！《书》", "iPhone", "2024", "年", " ", "、", "３", "，"]


def _texts(language: str, seed: int, count: int = 60) -> list[str]:
    rng = np.random.default_rng(seed)
    words, joint = (ENGLISH, " ") if language == "en" else (CHINESE, "")
    return [joint.join(rng.choice(words, rng.integers(0, 25))) for _ in range(count)]


def _noisy(texts: list[str], language: str, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    joint = " " if language == "en" else ""
    pieces = [text.split() if language == "en" else list(text) for text in texts]
    return [joint.join(piece for piece in row if rng.random() < 0.8) for row in pieces]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("seed", range(3))
def test_bleu_and_chrf_of_one_reference(language: str, seed: int) -> None:
    wanted = _texts(language, seed)
    made = _noisy(wanted, language, seed)
    tokenizer = {"en": "13a", "zh": "zh"}[language]
    assert metrics.bleu_tokenizer(wanted) == tokenizer
    ours = metrics.bleu(wanted, made)
    theirs = BLEU(tokenize=tokenizer).corpus_score(made, [wanted])
    assert ours["bleu"] == pytest.approx(theirs.score, rel=1e-9)
    assert ours["length_ratio"] == pytest.approx(theirs.sys_len / theirs.ref_len)
    assert 20 < ours["bleu"] < 90
    assert metrics.chrf(wanted, made)["chrf"] == pytest.approx(
        CHRF().corpus_score(made, [wanted]).score, rel=1e-9
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_bleu_and_chrf_of_several_references(language: str) -> None:
    wanted = _texts(language, 7)
    others = [_noisy(wanted, language, seed) for seed in (8, 9)]
    made = _noisy(wanted, language, 10)
    references = [list(texts) for texts in zip(wanted, *others, strict=True)]
    theirs = BLEU(tokenize={"en": "13a", "zh": "zh"}[language]).corpus_score(made, [wanted, *others])
    assert metrics.bleu(references, made)["bleu"] == pytest.approx(theirs.score, rel=1e-9)
    theirs = CHRF().corpus_score(made, [wanted, *others])
    assert metrics.chrf(references, made)["chrf"] == pytest.approx(theirs.score, rel=1e-9)


@pytest.mark.parametrize("made", ["the cat", "a b c d e", "the cat sat on", ""])
def test_bleu_where_an_order_has_no_match(made: str) -> None:
    wanted = "the cat sat under the mat"
    theirs = BLEU().corpus_score([made], [[wanted]]).score
    assert metrics.bleu([wanted], [made])["bleu"] == pytest.approx(theirs)


@pytest.mark.parametrize("seed", range(3))
def test_rouge_of_ascii_text(seed: int) -> None:
    wanted = _texts("en", seed)
    made = _noisy(wanted, "en", seed)[::-1]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    theirs = [scorer.score(first, second) for first, second in zip(wanted, made, strict=True)]
    ours = metrics.rouge(wanted, made)
    for name in ("rouge1", "rouge2", "rougeL"):
        assert ours[name] == pytest.approx(np.mean([scores[name].fmeasure for scores in theirs]))


def test_rouge_of_several_references() -> None:
    wanted, others = _texts("en", 1), _texts("en", 2)
    made = _noisy(others, "en", 3)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    theirs = [
        scorer.score_multi(list(texts), text) for *texts, text in zip(wanted, others, made, strict=True)
    ]
    ours = metrics.rouge(list(zip(wanted, others, strict=True)), made)
    for name in ("rouge1", "rouge2", "rougeL"):
        assert ours[name] == pytest.approx(np.mean([scores[name].fmeasure for scores in theirs]))


def test_rouge_of_chinese_is_that_of_its_characters_as_words() -> None:
    """rouge-score gives 0 to Chinese; written in ASCII, a word a character, it must agree with ours."""
    wanted = ["今天天气很好，我们去公园玩。", "深度学习改变了自然语言处理"]
    made = ["今天我们去公园玩", "自然语言处理被深度学习改变"]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    assert scorer.score(wanted[0], made[0])["rouge1"].fmeasure == 0
    in_ascii = [
        [" ".join(f"u{ord(character):x}" for character in text if character.isalpha()) for text in texts]
        for texts in (wanted, made)
    ]
    theirs = [scorer.score(first, second) for first, second in zip(*in_ascii, strict=True)]
    ours = metrics.rouge(wanted, made)
    for name in ("rouge1", "rouge2", "rougeL"):
        assert ours[name] == pytest.approx(np.mean([scores[name].fmeasure for scores in theirs]))
        assert ours[name] > 0.3
