"""A corpus as words, parts of speech, counts and TF-IDF: what the files hold, opened by other libraries."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus_made import prose
from entities_made import LABELS, make_marker
from scipy.sparse import csr_matrix, load_npz, save_npz
from sklearn.feature_extraction.text import TfidfVectorizer

from yanmo.cli.main import run as run_cli
from yanmo.corpus.build import build_corpus
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError
from yanmo.models.features.analyser import Analyser
from yanmo.models.features.export import ExportKind, export_features
from yanmo.models.features.load import load_features
from yanmo.models.features.matrix_file import MatrixFile
from yanmo.models.features.stop_words import CHINESE, ENGLISH
from yanmo.models.features.terms import BagOfWords, TermConfig
from yanmo.models.features.vocabulary import TermCount, TermCounter

pytest.importorskip("rjieba", reason="it cuts Chinese into words")
ENGLISH_TEXT = "The quick brown fox {n} doesn't jump over the lazy dog of lot {n}."
CHINESE_TEXT = "第{n}天，我们在北京大学学习语言模型，因为我们喜欢它。"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder, out = tmp_path_factory.mktemp("texts"), tmp_path_factory.mktemp("corpora") / "corpus"
    for number in range(40):
        name = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        (folder / f"{name}-en.txt").write_text(ENGLISH_TEXT.format(n=number * 7), encoding="utf-8")
        (folder / f"{name}-zh.txt").write_text(CHINESE_TEXT.format(n=number * 11), encoding="utf-8")
    build_corpus([folder], out)
    return Corpus.open(out)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_tf_idf_is_scikit_learns_with_rows_that_are_named(corpus: Corpus, tmp_path: Path) -> None:
    config = TermConfig(analyser=Analyser.BIGRAMS, max_ngram=2, min_documents=2)
    made = export_features(corpus, tmp_path / "f", ExportKind.TFIDF, config)
    texts = list(corpus.texts("train"))
    reference = TfidfVectorizer(
        tokenizer=Analyser.BIGRAMS.terms, token_pattern=None, lowercase=False, ngram_range=(1, 2), min_df=2
    )
    expected = reference.fit_transform(texts)
    vocabulary = read_csv(made.path / "vocabulary.csv")
    assert [row["term"] for row in vocabulary] == reference.get_feature_names_out().tolist()
    assert made.num_terms == len(vocabulary)
    found = load_npz(made.path / "train.npz")
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=1e-6)
    for split in ("train", "valid", "test"):
        documents = list(corpus.documents(split))
        rows = read_csv(made.path / f"{split}.csv")
        assert [(row["id"], row["source"]) for row in rows] == [(d.id, d.source) for d in documents]
        matrix = load_npz(made.path / f"{split}.npz")
        assert matrix.shape == (len(documents), made.num_terms)
        # Splits that were not learned from are weighed by what was; the kept extractor does the same.
        again = load_features(made.path / "extractor").transform(d.text for d in documents)
        np.testing.assert_allclose(matrix.toarray(), again.toarray(), atol=1e-6)
    assert made.num_documents == corpus.summary.num_documents


def test_counts_and_the_tables_agree(corpus: Corpus, tmp_path: Path) -> None:
    config = TermConfig(drop_stop_words=True, max_terms=12)
    made = export_features(corpus, tmp_path / "f", ExportKind.COUNTS, config)
    terms = [row["term"] for row in read_csv(made.path / "vocabulary.csv")]
    assert len(terms) == 12 and not set(terms) & (ENGLISH | CHINESE)
    assert {"fox", "dog", "语言"} & set(terms) and "the" not in terms and "我们" not in terms
    counts = load_npz(made.path / "train.npz")
    vocabulary = read_csv(made.path / "vocabulary.csv")
    assert [int(row["count"]) for row in vocabulary] == counts.sum(0).astype(int).tolist()[0]
    assert [int(row["documents"]) for row in vocabulary] == (counts > 0).sum(0).tolist()[0]
    bag = BagOfWords.load(made.path / "extractor")
    np.testing.assert_array_equal(bag.transform(corpus.texts("train")).toarray(), counts.toarray())
    top = [row for row in read_csv(made.path / "top_terms.csv") if row["split"] == "train"]
    summed: dict[str, int] = {}
    for row in top:
        summed[row["term"]] = summed.get(row["term"], 0) + int(row["count"])
    assert summed == {row["term"]: int(row["count"]) for row in vocabulary}
    ranks = [int(row["rank"]) for row in top if row["language"] == top[0]["language"]]
    assert ranks == list(range(1, len(ranks) + 1))


def test_words_and_parts_of_speech_are_lines_of_json(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = export_features(corpus, tmp_path / "words", ExportKind.WORDS)
    lines = [json.loads(line) for line in (words.path / "train.jsonl").read_text("utf-8").splitlines()]
    assert [line["id"] for line in lines] == [d.id for d in corpus.documents("train")]
    by_kind = {"quick" in line["words"]: line["words"] for line in lines}
    assert by_kind[True][:4] == ["the", "quick", "brown", "fox"] and "北京大学" in by_kind[False]

    arguments = ["features", str(corpus.path), "--out", str(tmp_path / "pos"), "--kind", "pos", "--json"]
    assert run_cli(arguments) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    lines = [json.loads(line) for line in (tmp_path / "pos" / "train.jsonl").read_text("utf-8").splitlines()]
    tags = dict(zip(lines[0]["words"], lines[0]["tags"], strict=True))
    assert tags["我们"] == "r" and tags["北京大学"] == "nt" and tags["学习"] == "v"
    assert told["num_passed_over"] + told["num_documents"] == corpus.summary.num_documents
    assert told["num_passed_over"] > 0 and not [line for line in lines if "fox" in line["words"]]
    terms = {row["term"] for row in read_csv(tmp_path / "pos" / "vocabulary.csv")}
    assert "学习/v" in terms
    # The same command again finds it done; another is refused.
    before = (tmp_path / "pos" / "train.jsonl").stat().st_mtime_ns
    assert run_cli(arguments) == 0 and (tmp_path / "pos" / "train.jsonl").stat().st_mtime_ns == before
    assert run_cli([*arguments, "--max-terms", "5"]) == 2


def test_a_model_tags_what_is_not_chinese(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_marker(tmp_path / "model")
    arguments = ["features", str(corpus.path), "--out", str(tmp_path / "pos"), "--kind", "pos", "--json"]
    assert run_cli([*arguments, "--tagger", str(model)]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["num_passed_over"], told["num_documents"]) == (0, corpus.summary.num_documents)
    lines = [json.loads(line) for line in (tmp_path / "pos" / "train.jsonl").read_text("utf-8").splitlines()]
    english = [line for line in lines if line["language"] == "en"]
    assert english and all(len(line["words"]) == len(line["tags"]) for line in lines)
    assert set(english[0]["tags"]) <= set(LABELS) and english[0]["words"][-1] == "."
    # Without the model it is another export, and no other kind asks for one.
    assert run_cli(arguments) == 2
    counts = ["features", str(corpus.path), "--out", str(tmp_path / "counts"), "--kind", "counts"]
    assert run_cli([*counts, "--tagger", str(model)]) == 2
    assert "--kind pos" in capsys.readouterr().err


def test_the_same_corpus_gives_the_same_bytes(corpus: Corpus, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        export_features(corpus, folder, ExportKind.TFIDF, TermConfig(max_ngram=2))
    files = [
        {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in folders
    ]
    assert files[0] == files[1] and not [name for name in files[0] if name.name.startswith(".")]


def test_a_corpus_without_chinese_has_no_tags(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(prose(0, 200), encoding="utf-8")
    build_corpus([tmp_path / "a.txt"], tmp_path / "corpus")
    with pytest.raises(InputError, match=r"no document is Chinese.*--tagger"):
        export_features(tmp_path / "corpus", tmp_path / "f", ExportKind.POS)
    assert not (tmp_path / "f").exists()


def test_counting_beyond_memory_gives_the_same_counts(tmp_path: Path) -> None:
    documents = [[f"w{(n * k) % 97}" for k in range(30)] + ["a\tb\n", "天"] for n in range(60)]
    counters: list[Any] = [TermCounter(tmp_path), TermCounter(tmp_path, max_in_memory=20)]
    for counter in counters:
        for document in documents:
            counter.add(document)
    everything, spilled = (list(counter.counts()) for counter in counters)
    assert everything == spilled and len(list(tmp_path.iterdir())) > 5
    assert TermCount("天", 60, 60) in spilled
    kept = counters[1].select(min_documents=3, max_terms=4)
    assert kept == counters[0].select(min_documents=3, max_terms=4) and len(kept) == 4
    counters[1].remove()
    assert not list(tmp_path.iterdir())


def test_a_matrix_written_in_pieces_is_scipys(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = csr_matrix((rng.random((50, 17)) * (rng.random((50, 17)) < 0.2)).astype(np.float32))
    with MatrixFile(tmp_path / "m.npz", 17) as file:
        for start in range(0, 50, 7):
            file.append(whole[start : start + 7])
    found = load_npz(tmp_path / "m.npz")
    assert (found != whole).nnz == 0 and found.shape == whole.shape and found.has_canonical_format
    save_npz(tmp_path / "theirs.npz", whole)
    with np.load(tmp_path / "theirs.npz") as theirs, np.load(tmp_path / "m.npz") as ours:
        for name in ("indices", "indptr", "data", "shape", "format"):
            np.testing.assert_array_equal(ours[name], theirs[name])
            assert ours[name].dtype == theirs[name].dtype
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.npz", "theirs.npz"]


def test_stop_words_are_terms_of_the_analyser() -> None:
    for word in sorted(ENGLISH):
        assert Analyser.BIGRAMS.terms(word) == [word]
    assert {"don", "t"} <= ENGLISH and "not" in ENGLISH and {"的", "因为", "我们"} <= CHINESE
    assert all(1 <= len(word) <= 3 and "\u4e00" <= word[0] <= "\u9fff" for word in CHINESE)
    config = TermConfig(analyser=Analyser.JIEBA, drop_stop_words=True)
    assert config.words("The fox doesn't like it, 因为我们不喜欢狐狸") == ["fox", "like", "喜欢", "狐狸"]
    assert math.isclose(len(ENGLISH | CHINESE), len(ENGLISH) + len(CHINESE))
