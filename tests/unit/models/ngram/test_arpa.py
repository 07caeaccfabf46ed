"""ARPA files that are wrong, odd, or written by others."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from yanmo.errors import InputError
from yanmo.models.ngram.arpa import read_arpa, write_arpa
from yanmo.models.ngram.model import NgramModel, fit_ngram

# A pruned model as other tools write it: the 3-gram "a b c" is there, its suffix "b c" is not.
PRUNED = """\\data\\
ngram 1=6
ngram 2=3
ngram 3=1

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.5
-0.7\t</s>
-0.6\ta\t-0.3
-0.8\tb\t-0.2
-0.9\tc\t-0.1

\\2-grams:
-0.2\t<s> a\t-0.4
-0.3\ta b\t-0.25
-0.4\tc </s>

\\3-grams:
-0.05\ta b c

\\end\\
"""


def written(tmp_path: Path, content: str, name: str = "model.arpa") -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def log10_of(model: NgramModel, words: list[str], text: str) -> list[float]:
    row = [model.config.eos_id, *(words.index(word) for word in text.split()), model.config.eos_id]
    log_p, _ = model.log_probabilities_of(np.array([row]))
    return [float(value) / math.log(10) for value in log_p[0, 1:]]


def test_back_off_by_hand(tmp_path: Path) -> None:
    model, words = read_arpa(written(tmp_path, PRUNED))
    assert words == ["<unk>", "</s>", "a", "b", "c"]
    # <s> a; (<s> a) b backs off once; a b c; (b c) is no context, so c </s>.
    np.testing.assert_allclose(log10_of(model, words, "a b c"), [-0.2, -0.4 - 0.3, -0.05, -0.4], atol=1e-6)
    # <s> b backs off; (b) a; (a) </s>.
    np.testing.assert_allclose(log10_of(model, words, "b a"), [-0.5 - 0.8, -0.2 - 0.6, -0.3 - 0.7], atol=1e-6)


def test_unigrams_alone_are_a_model(tmp_path: Path) -> None:
    head, _, rest = PRUNED.partition("\\2-grams:")
    text = head.replace("ngram 2=3\nngram 3=1\n", "") + "\\end\\\n"
    for value in ("-0.5", "-0.3", "-0.2", "-0.1"):
        text = text.replace(f"\t{value}\n", "\n")
    model, words = read_arpa(written(tmp_path, text))
    assert rest and model.order == 1
    np.testing.assert_allclose(log10_of(model, words, "a b"), [-0.6, -0.8, -0.7], atol=1e-6)
    assert len(model.next_scores([1, 2])) == 5


def test_a_file_without_unknown_word_never_expects_one(tmp_path: Path) -> None:
    text = PRUNED.replace("-1.0\t<unk>\n", "").replace("ngram 1=6", "ngram 1=5")
    model, words = read_arpa(written(tmp_path, text))
    assert words[model.config.unk_id or 0] == "<unk>"
    assert log10_of(model, words, "<unk>")[0] == pytest.approx(-0.5 - 99, abs=1e-4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "data", r":1: not an ARPA file"),
        ("ngram 2=3", "ngram 2=4", r"not a 2-gram"),
        ("ngram 2=3", "ngram 2=2", r"\\3-grams: is missing"),
        ("ngram 2=3\n", "", r"order 2 is missing"),
        ("-0.3\ta b", "-0.3\ta q", r":16: the word 'q' is not among the 1-grams"),
        ("-0.3\ta b", "minus\ta b", r":16: a probability is not a number"),
        ("-0.3\ta b", "0.3\ta b", r":16: a log probability is above 0"),
        ("-0.3\ta b", "nan\ta b", r":16: a log probability"),
        ("-0.3\ta b", "-0.3\ta <s>", r":16: <s> or </s> in the middle"),
        ("-0.3\ta b", "-0.2\t<s> a", r"a 2-gram is there twice"),
        ("-0.05\ta b c", "-0.05\tb a c", r"the context of a 3-gram is not among the 2-grams"),
        ("-0.8\tb\t-0.2", "-0.8\ta\t-0.2", r":11: the word 'a' is there twice"),
        ("\\end\\", "", r"ends too early"),
        ("\\end\\", "more", r"\\end\\ is missing"),
    ],
)
def test_damage_is_named_by_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in PRUNED
    with pytest.raises(InputError, match=message):
        read_arpa(written(tmp_path, PRUNED.replace(old, new, 1)))


def test_missing_and_truncated_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_arpa(tmp_path / "none.arpa")
    whole = gzip.compress(PRUNED.encode())
    cut = tmp_path / "cut.arpa.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        read_arpa(cut)
    plain = tmp_path / "plain.arpa.gz"
    plain.write_text(PRUNED)
    with pytest.raises(InputError, match="damaged"):
        read_arpa(plain)


@pytest.fixture
def model() -> NgramModel:
    return fit_ngram([[0, 1, 2, 0, 1], [2, 1]], order=3, vocab_size=4, eos_id=3)


def test_ideographic_space_is_a_word(model: NgramModel, tmp_path: Path) -> None:
    path = tmp_path / "m.arpa"
    write_arpa(model, path, ["　", "。", "\u00a0", "end"])
    again, words = read_arpa(path)
    assert words == ["<unk>", "　", "。", "\u00a0", "</s>"]
    assert again.num_ngrams[1:] == model.num_ngrams[1:]


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        (["a", "b", "c"], "3 words were given"),
        (["a", "b c", "d", "x"], "cannot stand"),
        (["a", "", "d", "x"], "cannot stand"),
        (["a", "\n", "d", "x"], "cannot stand"),
        (["a", "a", "d", "x"], "there twice"),
        (["a", "<s>", "d", "x"], "reserved"),
        (["a", "</s>", "d", "x"], "reserved"),
        (["a", "<unk>", "d", "x"], "reserved"),
    ],
)
def test_words_that_would_break_the_file(
    symbols: list[str], message: str, model: NgramModel, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        write_arpa(model, tmp_path / "m.arpa", symbols)
    assert list(tmp_path.iterdir()) == []
