"""The verb: a corpus folder in, a tokenizer folder out, repeated freely."""

from __future__ import annotations

from pathlib import Path

import pytest

from yanmo import train_tokenizer
from yanmo.corpus.build import build_corpus
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError
from yanmo.tokenizers import train
from yanmo.tokenizers.load import Tokenizer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for number in range(60):
        text = (
            f"Document {number} says hello to document {number * 7}.\n第{number}篇文章说：你好，世界。\n" * 5
        )
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    out = folder.parent / "corpus"
    build_corpus(folder, out)
    return out


def test_a_folder_is_written_and_summed_up(corpus: Path, tmp_path: Path) -> None:
    summary = train_tokenizer(corpus, tmp_path / "t", vocab_size=400)
    tokenizer = Tokenizer.load(summary.path)
    assert summary.vocab_size == tokenizer.vocab_size <= 400
    texts = list(Corpus.open(corpus).texts("valid"))
    num_tokens = sum(len(tokenizer.encode(text)) for text in texts)
    assert summary.bytes_per_token == pytest.approx(sum(len(t.encode()) for t in texts) / num_tokens)
    assert summary.bytes_per_token > 3


def test_the_same_command_again_finds_it_done(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "t"
    first = train_tokenizer(corpus, out, vocab_size=300)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    monkeypatch.setitem(train.KINDS, "bpe", lambda *_: pytest.fail("trained again"))
    assert train_tokenizer(corpus, out, vocab_size=300) == first
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    with pytest.raises(InputError, match="made with other vocab_size"):
        train_tokenizer(corpus, out, vocab_size=310)


def test_force_replaces(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "t"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="already exists"):
        train_tokenizer(corpus, out, vocab_size=300)
    assert (out / "mine.txt").exists()
    train_tokenizer(corpus, out, vocab_size=300, force=True)
    assert sorted(path.name for path in out.iterdir()) == [
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
        "yanmo.json",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "words"}, "no tokenizer kind 'words'.*one of: bpe, wordpiece, unigram, char"),
        ({"vocab_size": 12}, "vocabulary of 12 is out of range"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_written(
    corpus: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    for verb in (train.train_tokenizer, train.survey_tokenizer):
        with pytest.raises(InputError, match=message):
            verb(corpus, tmp_path / "t", **options)
    assert not (tmp_path / "t").exists()


def test_a_survey_writes_nothing(corpus: Path, tmp_path: Path) -> None:
    found = train.survey_tokenizer(corpus, tmp_path / "t")
    assert found["is_done"] is False and not (tmp_path / "t").exists()
    assert found["num_bytes"] == Corpus.open(corpus).num_bytes("train")
    train_tokenizer(corpus, tmp_path / "t")
    assert train.survey_tokenizer(corpus, tmp_path / "t")["is_done"] is True


def test_a_large_corpus_is_learned_from_in_part(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Corpus.open(corpus)
    monkeypatch.setattr(train, "_MAX_TRAINING_BYTES", opened.num_bytes("train") // 3 + 1)
    texts = list(train.TrainingTexts(opened))
    assert texts == list(opened.texts("train"))[::3]
