"""Our features against scikit-learn and gensim used directly on the same texts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from yanmo.models.features.analyser import Analyser
from yanmo.models.features.terms import BagOfWords, TermConfig, TfIdf, TfIdfConfig
from yanmo.models.features.word2vec import Predicts, Word2Vec, Word2VecConfig

ENGLISH = [
    "It was the best of times, it was the worst of times,",
    "it was the age of wisdom, it was the age of foolishness...",
    "We had everything before us; we had nothing before us!",
]
CHINESE = [
    "我来到北京清华大学",
    "他来到了网易杭研大厦",
    "小明硕士毕业于中国科学院计算所，后在日本京都大学深造",
]
TEXTS = [*ENGLISH, *CHINESE] * 3
NEW = ["the worst of 清华大学 and nothing", "", "北京 times"]


def test_english_terms_are_those_of_scikit_learn() -> None:
    theirs = CountVectorizer(token_pattern=r"(?u)\b\w+\b").fit(ENGLISH)
    ours = BagOfWords().fit(ENGLISH)
    assert ours.terms == theirs.get_feature_names_out().tolist()
    assert (ours.transform(ENGLISH) != theirs.transform(ENGLISH)).nnz == 0


@pytest.mark.parametrize("sublinear", [False, True])
def test_tf_idf_is_scikit_learns(sublinear: bool) -> None:
    theirs = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 2), sublinear_tf=sublinear)
    expected = theirs.fit(ENGLISH).transform([*ENGLISH, *NEW]).toarray()
    ours = TfIdf(TfIdfConfig(analyser=Analyser.BIGRAMS, max_ngram=2, sublinear=sublinear)).fit(ENGLISH)
    assert ours.terms == theirs.get_feature_names_out().tolist()
    np.testing.assert_allclose(ours.transform([*ENGLISH, *NEW]).toarray(), expected, rtol=1e-5, atol=1e-7)


def test_chinese_counts_are_those_of_rjieba_and_scikit_learn() -> None:
    rjieba = pytest.importorskip("rjieba", reason="the extra 'classical' is not installed")
    theirs = CountVectorizer(analyzer=lambda text: [w for w in rjieba.cut(text) if w != "，"]).fit(CHINESE)
    ours = BagOfWords(TermConfig(analyser=Analyser.JIEBA)).fit(CHINESE)
    assert ours.terms == theirs.get_feature_names_out().tolist()
    assert (ours.transform(CHINESE) != theirs.transform(CHINESE)).nnz == 0


@pytest.mark.parametrize("predicts", list(Predicts))
def test_word2vec_is_gensims(predicts: Predicts) -> None:
    models = pytest.importorskip("gensim.models", reason="the extra 'classical' is not installed")
    config = Word2VecConfig(
        analyser=Analyser.BIGRAMS, dim=20, predicts=predicts, window=3, min_count=2, num_epochs=4, seed=7
    )
    ours = Word2Vec(config).fit(TEXTS)
    sentences = [Analyser.BIGRAMS.terms(text) for text in TEXTS]
    theirs = models.Word2Vec(
        sentences,
        vector_size=20,
        sg=int(predicts is Predicts.CONTEXT),
        window=3,
        min_count=2,
        epochs=4,
        seed=7,
        workers=1,
    ).wv
    assert ours.terms == theirs.index_to_key
    np.testing.assert_array_equal(ours.vectors, theirs.vectors)
    for word in ("times", "来到"):
        names, cosines = zip(*ours.most_similar(word, 5), strict=True)
        their_names, their_cosines = zip(*theirs.most_similar(word, topn=5), strict=True)
        assert names == their_names
        np.testing.assert_allclose(cosines, their_cosines, rtol=1e-4, atol=1e-6)
    for text in NEW:
        words = [word for word in Analyser.BIGRAMS.terms(text) if word in theirs]
        mean = theirs.get_mean_vector(words, pre_normalize=False) if words else np.zeros(20)
        np.testing.assert_allclose(ours.transform([text])[0], mean, rtol=1e-4, atol=1e-6)


def test_long_texts_are_learnt_from_whole() -> None:
    pytest.importorskip("gensim", reason="the extra 'classical' is not installed")
    text = " ".join(f"word{i % 2000}" for i in range(12_000)) + " late thing" * 10
    # A word that training never comes to keeps the vector that the seed gave it.
    once, twice = (Word2Vec(Word2VecConfig(dim=4, num_epochs=n)).fit([text]) for n in (1, 2))
    assert not np.allclose(once.vector("late"), twice.vector("late"), atol=1e-6)
