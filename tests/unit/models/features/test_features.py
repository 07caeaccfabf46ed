"""Bag of words, TF-IDF and Word2Vec: what they give, and that it comes back from a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from yanmo.errors import InputError
from yanmo.models.features.analyser import Analyser
from yanmo.models.features.base import TextFeatures
from yanmo.models.features.load import load_features
from yanmo.models.features.terms import BagOfWords, TermConfig, TfIdf, TfIdfConfig
from yanmo.models.features.word2vec import Predicts, Word2Vec, Word2VecConfig

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "A dog and a fox are not the same.",
    "研墨者，磨墨也。墨磨成而后书。",
    "磨墨要慢，写书要快。the end",
]
BIGRAMS = Analyser.BIGRAMS


def dense(features: TextFeatures, texts: list[str]) -> NDArray[np.float32]:
    rows = features.transform(texts)
    return rows if isinstance(rows, np.ndarray) else rows.toarray()


def small_vectors() -> Word2VecConfig:
    return Word2VecConfig(analyser=BIGRAMS, dim=12, min_count=1, num_epochs=3, seed=4)


def made(kind: str) -> TextFeatures:
    if kind == "word2vec":
        pytest.importorskip("gensim", reason="the extra 'classical' is not installed")
        return Word2Vec(small_vectors()).fit(TEXTS)
    if kind == "tf-idf":
        return TfIdf(TfIdfConfig(analyser=BIGRAMS, max_ngram=2, sublinear=True)).fit(iter(TEXTS))
    return BagOfWords(TermConfig(analyser=BIGRAMS)).fit(iter(TEXTS))


def test_counts_are_of_the_terms() -> None:
    bag = BagOfWords(TermConfig(analyser=BIGRAMS)).fit(TEXTS)
    row = dense(bag, ["the fox, the 磨墨 and unknown things"])[0]
    counted = {bag.terms[place]: row[place] for place in np.flatnonzero(row)}
    assert counted == {"the": 2, "fox": 1, "磨墨": 1, "and": 1}
    assert bag.dim == len(bag.terms) == len(set(bag.terms))


def test_settings_choose_the_terms() -> None:
    common = BagOfWords(TermConfig(analyser=BIGRAMS, min_documents=2)).fit(TEXTS)
    assert common.terms == ["dog", "fox", "the", "磨墨"]
    assert BagOfWords(TermConfig(analyser=BIGRAMS, max_terms=1)).fit(TEXTS).terms == ["the"]
    assert "lazy dog" in BagOfWords(TermConfig(analyser=BIGRAMS, max_ngram=2)).fit(TEXTS).terms
    with pytest.raises(InputError, match="min_documents must be at least 1"):
        TermConfig(min_documents=0)
    with pytest.raises(InputError, match="no terms were found"):
        BagOfWords(TermConfig(min_documents=9)).fit(["a b", "b"])


@pytest.mark.parametrize("kind", ["bag-of-words", "tf-idf", "word2vec"])
def test_a_folder_gives_back_the_same_features(tmp_path: Path, kind: str) -> None:
    features = made(kind)
    features.save(tmp_path / "f")
    again = load_features(tmp_path / "f")
    assert type(again) is type(features) and again.dim == features.dim
    texts = [*TEXTS, "", "???", "磨墨 dog"]
    np.testing.assert_array_equal(dense(again, texts), dense(features, texts))
    assert dense(again, texts).dtype == np.float32 and dense(again, texts).shape == (7, features.dim)
    assert not dense(again, texts)[4:6].any() and dense(again, texts)[6].any()
    assert json.loads((tmp_path / "f" / "features.json").read_text())["config"]["analyser"] == "bigrams"
    again.save(tmp_path / "g")
    for name in ("features.json", "terms.json"):
        assert (tmp_path / "g" / name).read_bytes() == (tmp_path / "f" / name).read_bytes()
    if kind != "word2vec":
        assert again.fit(["one two", "two"]).dim < features.dim


@pytest.mark.parametrize("features", [BagOfWords(), TfIdf(), Word2Vec()])
def test_nothing_comes_of_nothing(tmp_path: Path, features: TextFeatures) -> None:
    for unfitted in (lambda: features.transform(["a"]), lambda: features.save(tmp_path / "f")):
        with pytest.raises(InputError, match="not fitted"):
            unfitted()
    with pytest.raises(InputError):
        features.fit(["", "…"])
    assert not (tmp_path / "f").exists()


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    made("tf-idf").save(tmp_path / "f")
    folder, numbers = tmp_path / "f", load_file(tmp_path / "f" / "features.safetensors")
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    summary = json.loads(whole["features.json"])
    damages = {
        "features.json": [
            json.dumps({**summary, "kind": "pickle"}),
            json.dumps({**summary, "config": {"analyser": "mystery"}}),
            json.dumps({**summary, "config": []}),
            "{",
        ],
        "terms.json": ['{"terms": []}', '{"terms": ["a", "a"]}', '{"terms": [1]}', "[]", '{"terms": ["a"]}'],
        "features.safetensors": ["", "nonsense"],
    }
    for name, contents in damages.items():
        for content in contents:
            (folder / name).write_text(content)
            with pytest.raises(InputError):
                load_features(folder)
        (folder / name).write_bytes(whole[name])
    for other in ({"idf": numbers["idf"][:-1]}, {"x": numbers["idf"]}, {"idf": numbers["idf"][:, None]}):
        save_file(
            {name: np.ascontiguousarray(array) for name, array in other.items()},
            folder / "features.safetensors",
        )
        with pytest.raises(InputError, match="has no idf"):
            load_features(folder)
    with pytest.raises(InputError, match="holds 'tf-idf', not 'bag-of-words'"):
        BagOfWords.load(folder)


def test_another_segmenter_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BagOfWords().fit(["plain English"]).save(tmp_path / "f")
    path = tmp_path / "f" / "features.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "analyser_version": "rjieba 0.0.1"}))
    load_features(tmp_path / "f")
    assert "made with rjieba 0.0.1" in capsys.readouterr().err


def test_words_in_the_same_places_are_near(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gensim", reason="the extra 'classical' is not installed")
    rng = np.random.default_rng(0)
    animals, tools = ["cat", "dog", "狗", "猫"], ["hammer", "saw", "刀", "锤"]
    texts = []
    for _ in range(400):
        texts.append(" ".join([*rng.choice(animals, 2), "runs eats sleeps", rng.choice(animals)]))
        texts.append(" ".join([*rng.choice(tools, 2), "cuts breaks builds", rng.choice(tools)]))
    config = Word2VecConfig(analyser=BIGRAMS, dim=16, window=3, min_count=2, num_epochs=8)
    vectors = Word2Vec(config).fit(texts)
    nearest = {word for word, _ in vectors.most_similar("CAT", 3)}
    assert nearest <= {*animals, "runs", "eats", "sleeps"} - {"cat"} and len(nearest) == 3
    cosines = [cosine for _, cosine in vectors.most_similar("猫", 100)]
    assert cosines == sorted(cosines, reverse=True) and len(cosines) == len(vectors.terms) - 1
    np.testing.assert_allclose(
        vectors.transform(["cat cat saw nothing"])[0],
        (2 * vectors.vector("cat") + vectors.vector("saw")) / 3,
        rtol=1e-5,
    )
    with pytest.raises(InputError, match="'zebra' has no vector"):
        vectors.most_similar("zebra")
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(InputError, match=r"pip install yanmo\[classical\]"):
        Word2Vec(config).fit(texts)
    assert vectors.transform(["cat"]).any()  # what was trained needs no gensim


def test_the_same_seed_gives_the_same_vectors() -> None:
    pytest.importorskip("gensim", reason="the extra 'classical' is not installed")
    first, second = (Word2Vec(small_vectors()).fit(TEXTS) for _ in range(2))
    np.testing.assert_array_equal(first.vectors, second.vectors)
    assert first.terms == second.terms
    other = Word2VecConfig(analyser=BIGRAMS, dim=12, min_count=1, predicts=Predicts.WORD)
    assert not np.allclose(Word2Vec(other).fit(TEXTS).vectors, first.vectors)
