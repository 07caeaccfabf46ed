"""From texts to terms, in English, Chinese and mixtures of both."""

from __future__ import annotations

import importlib

import pytest

from yanmo.errors import InputError
from yanmo.models.features.analyser import Analyser
from yanmo.tokenizers import segmenter


@pytest.mark.parametrize("kind", [Analyser.JIEBA, Analyser.BIGRAMS])
def test_words_of_languages_with_spaces(kind: Analyser) -> None:
    assert kind.terms("The CAT's 2 cats, naïve_x!") == ["the", "cat", "s", "2", "cats", "naïve_x"]
    assert kind.terms("ＡＢＣ ﬁne") == ["abc", "fine"]  # full width and a ligature
    assert kind.terms("हिन्दी شُكْرًا") == ["हिन्दी", "شُكْرًا"]  # marks belong to their words
    assert kind.terms("❤️ 👍🏽 … 。") == []


def test_chinese_by_bigrams() -> None:
    terms = Analyser.BIGRAMS.terms("研墨者，用iPhone15拍照。墨")
    assert terms == ["研墨", "墨者", "用", "iphone15", "拍照", "墨"]


def test_subwords_are_runs_of_a_words_characters_between_its_borders() -> None:
    assert Analyser.SUBWORDS.terms("Ink! ＩＮＫ") == ["<in", "ink", "nk>", "<ink", "ink>", "<ink>"] * 2
    assert Analyser.SUBWORDS.terms("墨很好x") == ["墨", "很", "好", "墨很", "很好", "墨很好", "<x>"]
    assert Analyser.SUBWORDS.terms("…") == []


def test_chinese_by_the_segmenter() -> None:
    pytest.importorskip("rjieba", reason="the extra 'classical' is not installed")
    terms = Analyser.JIEBA.terms("我来到北京清华大学，用iPhone拍照。")
    assert terms == ["我", "来到", "北京", "清华大学", "用", "iphone", "拍照"]


def test_without_the_segmenter_english_is_cut_and_chinese_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    segmenter._cut.cache_clear()
    monkeypatch.setattr(importlib, "import_module", missing)
    assert Analyser.JIEBA.terms("Plain English") == ["plain", "english"]
    with pytest.raises(InputError, match=r"pip install yanmo\[classical\], or .*the analyser 'bigrams'"):
        Analyser.JIEBA.terms("研墨")
    assert Analyser.BIGRAMS.terms("研墨") == ["研墨"]
    segmenter._cut.cache_clear()
