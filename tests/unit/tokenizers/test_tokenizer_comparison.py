"""Vocabularies side by side: counts by hand, scripts, what is lost, and a folder that is gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_bpe import CHINESE, ENGLISH

from yanmo.cli.main import run as run_cli
from yanmo.corpus.build import build_corpus
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError
from yanmo.reporting.vocabularies import vocabulary_report
from yanmo.tokenizers import comparison, segmenter
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.char import fit_char
from yanmo.tokenizers.comparison import Candidate, compare_tokenizers
from yanmo.tokenizers.score import score_tokenizer
from yanmo.tokenizers.wordpiece import fit_wordpiece


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, out = tmp_path_factory.mktemp("texts"), tmp_path_factory.mktemp("corpora") / "corpus"
    for number in range(40):
        text = "".join(ENGLISH[number * 5 : number * 5 + 5] + CHINESE[number * 5 : number * 5 + 5])
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    build_corpus([folder], out)
    return out


def test_characters_are_counted_word_by_word() -> None:
    pytest.importorskip("rjieba", reason="it cuts Chinese into words")
    tokenizer = fit_char(["abcdefghijklmnopqrstuvwxyz 0123456789 我们在北京大学学习语言，。" * 9])
    score = score_tokenizer(tokenizer, ["we do 42 我们学习语言。", "Ж"])
    scripts = {name: (s.num_words, s.num_characters, s.num_tokens) for name, s in score.scripts.items()}
    assert scripts == {"han": (3, 6, 6), "latin": (2, 4, 4), "digits": (1, 2, 2), "cyrillic": (1, 1, 2)}
    assert list(scripts) == ["han", "latin", "digits", "cyrillic"]
    told = score.to_mapping()
    # One text comes back in characters, the other in the two bytes of its one character.
    assert score.num_tokens == 16 + 2 and score.num_parts == 2 and score.num_unknown == 0
    assert told["byte_share"] == pytest.approx(2 / 18) and told["exact_share"] == 1.0
    assert told["bytes_per_token"] == pytest.approx((16 + 7 * 2 + 2) / 18)
    assert told["scripts"]["cyrillic"]["tokens_per_word"] == 2.0


def test_a_token_counts_for_the_word_that_it_begins_in() -> None:
    tokenizer = fit_bpe([" hello world, hello world" * 50], 320)
    score = score_tokenizer(tokenizer, [" hello world hello"])
    assert score.num_tokens == 3
    latin = score.scripts["latin"]
    assert (latin.num_words, latin.num_tokens, latin.num_characters) == (3, 3, 15)
    assert latin.tokens_per_word == 1 and latin.characters_per_token == 5


def test_what_is_unknown_or_lost_is_told() -> None:
    tokenizer = fit_wordpiece(["hello world " * 50], 300)
    score = score_tokenizer(tokenizer, ["hello world", "hello  world", "hello Ж"])
    assert (score.num_unknown, score.num_exact, score.num_tokens) == (1, 1, 6)
    assert score.num_used_ids == 3
    assert score_tokenizer(tokenizer, [""]).to_mapping()["bytes_per_token"] == 0


def test_chinese_words_are_not_told_without_the_segmenter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter, "_SEGMENTER", "no_such_segmenter")
    segmenter._cut.cache_clear()
    score = score_tokenizer(fit_char(["我们 we" * 30]), ["我们 we"])
    assert score.scripts["han"].tokens_per_word is None and score.scripts["han"].num_tokens == 2
    assert score.scripts["latin"].tokens_per_word == 2
    segmenter._cut.cache_clear()


def test_a_comparison_is_written_and_gone_on_with(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, given = tmp_path / "out", tmp_path / "given"
    fit_bpe(ENGLISH, 300).save(given)
    arguments = ["tokenizer", str(corpus), "--out", str(out), "--vocab-size", "400", "--compare"]
    arguments += ["bpe", "wordpiece:500", "char", str(given)]
    assert run_cli([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = {row["name"]: row for row in told["candidates"]}
    assert rows.keys() == {"bpe-400", "wordpiece-500", "char-400", "given"}
    assert told["vocab_size"] == told["candidates"][0]["vocab_size"]
    shares = [row["bytes_per_token"] for row in told["candidates"]]
    assert shares == sorted(shares, reverse=True) and told["bytes_per_token"] == shares[0]
    assert rows["bpe-400"]["exact_share"] == 1 > rows["wordpiece-500"]["exact_share"]
    assert rows["given"]["train_s"] is None and rows["bpe-400"]["train_s"] > 0
    assert told["split"] == "valid" and Path(told["report"]).read_text("utf-8").startswith("<!doctype html>")
    # Again: nothing is trained; the table is for people.
    trained = (out / "bpe-400" / "tokenizer.json").stat().st_mtime_ns
    assert run_cli(arguments) == 0
    assert "wordpiece-500" in capsys.readouterr().out
    assert (out / "bpe-400" / "tokenizer.json").stat().st_mtime_ns == trained
    assert json.loads((out / "comparison.json").read_text("utf-8"))["candidates"][0]["train_s"] is not None
    # A large held-out text is read in part.
    monkeypatch.setattr(comparison, "_MAX_TEXT_BYTES", 500)
    _, texts = comparison.held_out_texts(Corpus.open(corpus))
    whole = list(Corpus.open(corpus).texts("valid"))
    assert texts and set(texts) <= set(whole) and len(texts) <= max(1, len(whole) // 2)


def test_wrong_wishes_are_one_line(corpus: Path, tmp_path: Path) -> None:
    assert Candidate.parse("bpe:4000") == Candidate(name="bpe-4000", kind="bpe", vocab_size=4000)
    assert Candidate.parse("char") == Candidate(name="char", kind="char")
    for text in ("bpe:", "bpe:x", "words", "no/such/folder"):
        if text != "bpe:":
            with pytest.raises(InputError, match=r"cannot be compared.*bpe:4000"):
                Candidate.parse(text)
    with pytest.raises(InputError, match="nothing to compare"):
        compare_tokenizers(corpus, tmp_path / "c", [])
    with pytest.raises(InputError, match="named twice"):
        compare_tokenizers(corpus, tmp_path / "c", [Candidate.parse("bpe")] * 2)
    with pytest.raises(InputError, match="out of range"):
        compare_tokenizers(corpus, tmp_path / "c", [Candidate.parse("bpe:7")])
    assert not (tmp_path / "c").exists()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="is not a comparison"):
        compare_tokenizers(corpus, tmp_path / "d", [Candidate.parse("char")])


def test_the_report_says_who_loses_text_in_both_languages() -> None:
    row = {
        **score_tokenizer(fit_char(["ab 天" * 30]), ["ab 天"]).to_mapping(),
        "train_s": 2.0,
    }
    rows = [
        {**row, "name": "a<b>", "kind": "char", "bytes_per_token": 3.0, "exact_share": 0.99999},
        {**row, "name": "two", "kind": "bpe", "vocab_size": 999},
        {**row, "name": "three", "kind": "bpe", "vocab_size": 99, "unknown_share": 0.00001},
        {**row, "name": "mine", "kind": None, "train_s": None, "encode_bytes_per_s": None},
    ]
    page = vocabulary_report({"split": "valid", "candidates": rows}, name="n")
    assert "Text does not come back exactly from: a&lt;b&gt;." in page
    assert "不能逐字还原文本：a&lt;b&gt;。" in page
    assert "&gt;99.99%" in page and "&lt;0.01%" in page and "<script" not in page and "src=" not in page
    assert 'id="by-size' in page or "By size" in page
    exact = vocabulary_report({"split": "train", "candidates": rows[1:2]}, name="n")
    assert "text comes back exactly" in exact and "By size" not in exact and "trained on" in exact
