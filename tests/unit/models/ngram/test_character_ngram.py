"""The character n-gram: honest costs of unknown characters, samples in one pass."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from yanmo.errors import InputError
from yanmo.models.ngram.characters import (
    CharacterNgram,
    fit_character_ngram,
    ngram_bits_per_byte,
    quick_baseline,
    sample_texts,
)

ENGLISH = "the cat sees the dog and the dog sees the cat under the old green house by the river. "
CHINESE = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏。"


def test_losses_are_the_models_for_every_character() -> None:
    model = fit_character_ngram([ENGLISH * 5, CHINESE * 3], order=4)
    (english, english_bytes), (chinese, chinese_bytes) = model.losses([ENGLISH, CHINESE])
    assert len(english) == len(ENGLISH) and english_bytes.tolist() == [1] * len(ENGLISH)
    assert len(chinese) == len(CHINESE) and chinese_bytes.tolist() == [3] * len(CHINESE)
    ids = model.id_of_code_point[[ord(character) for character in CHINESE]].tolist()
    eos_id = model.model.config.eos_id
    for position, token in enumerate(ids):
        scores = model.model.next_scores([eos_id, *ids[:position]])
        assert chinese[position] == pytest.approx(-float(scores[token]), rel=1e-5)


def test_an_unknown_character_costs_its_bytes_as_well() -> None:
    model = fit_character_ngram([ENGLISH], order=3)
    ((losses, num_bytes),) = model.losses(["a🙂"])
    assert num_bytes.tolist() == [1, 4]
    eos_id, unk_id = model.model.config.eos_id, model.model.config.unk_id
    assert unk_id is not None
    seen = int(model.id_of_code_point[ord("a")])
    unknown = -float(model.model.next_scores([eos_id, seen])[unk_id])
    assert losses[1] == pytest.approx(unknown + 4 * math.log(256), rel=1e-6)


@pytest.mark.parametrize("text", ["é", "漢", "🙂", "a", "\x00"])
def test_bytes_of_a_character(text: str) -> None:
    model = fit_character_ngram([ENGLISH], order=2)
    ((_, num_bytes),) = model.losses([text])
    assert num_bytes.tolist() == [len(text.encode())]


def test_documents_are_apart_and_keep_their_order() -> None:
    model = fit_character_ngram([ENGLISH], order=5)
    texts = ["the dog", "", "cat", "the dog"]
    scored = list(model.losses(texts))
    assert [len(losses) for losses, _ in scored] == [7, 0, 3, 7]
    assert np.array_equal(scored[0][0], scored[3][0])


def test_bits_per_byte_is_the_sum_over_the_bytes() -> None:
    model = fit_character_ngram([ENGLISH * 4], order=4)
    losses = [losses for losses, _ in model.losses([ENGLISH, "the cat"])]
    expected = sum(row.sum() for row in losses) / math.log(2) / len(ENGLISH + "the cat")
    assert ngram_bits_per_byte([ENGLISH * 4], [ENGLISH, "the cat"], order=4) == pytest.approx(expected)


def test_a_harder_text_has_more_bits() -> None:
    noise = "".join(np.random.default_rng(0).choice(list("abcdefgh"), 5000))
    easy = quick_baseline([ENGLISH * 50], [ENGLISH * 5])
    hard = quick_baseline([noise[:4000]], [noise[4000:]])
    assert easy < 0.3
    assert 2.9 < hard < 3.5  # eight equal letters are 3 bits


def test_no_text_is_refused() -> None:
    with pytest.raises(InputError, match="no text"):
        ngram_bits_per_byte([], [ENGLISH])
    with pytest.raises(InputError, match="no text to score"):
        ngram_bits_per_byte([ENGLISH], [""])


def test_samples() -> None:
    texts = [f"{index:04d}" * 25 for index in range(1000)]
    assert sample_texts(iter(texts), max_bytes=100_000) == texts
    sample = sample_texts(iter(texts), max_bytes=10_000, seed=1)
    assert 5_000 < sum(map(len, sample)) <= 10_000
    assert sample == sorted(sample) and set(sample) <= set(texts)
    # From everywhere, not from the beginning.
    middle = np.mean([int(text[:4]) for text in sample])
    assert 350 < middle < 650
    assert sample == sample_texts(iter(texts), max_bytes=10_000, seed=1)
    assert sample != sample_texts(iter(texts), max_bytes=10_000, seed=2)


def test_long_documents_are_sampled_in_pieces() -> None:
    assert sum(map(len, sample_texts(["a" * 5000], max_bytes=1000))) == 1000
    readme, english, chinese = "readme", "a" * 70_000, "天" * 20_000
    for seed in range(5):
        sample = sample_texts([readme, english, chinese], max_bytes=20_000, seed=seed)
        num_bytes = {kind: sum(len(t.encode()) for t in sample if t[0] == kind) for kind in "ra天"}
        assert 19_990 <= sum(num_bytes.values()) <= 20_000
        assert num_bytes["a"] > 4_000 and num_bytes["天"] > 3_000


def test_neighbouring_pieces_are_joined_again() -> None:
    text = "".join(chr(0x4E00 + index) for index in range(9000))
    sample = sample_texts([text], max_bytes=20_000, seed=1)
    assert len(sample) > 1 and all(piece in text for piece in sample)
    assert len({character for piece in sample for character in piece}) == sum(map(len, sample))
    assert sample_texts([text], max_bytes=27_000) == [text]


def test_a_folder_gives_back_the_model_and_the_facts(tmp_path: Path) -> None:
    model = fit_character_ngram([ENGLISH * 5, CHINESE * 3, "\ud800"], order=4)
    model.save(tmp_path / "m", facts={"held_out": {"en": [1.5]}})
    again, facts = CharacterNgram.load(tmp_path / "m")
    assert facts == {"held_out": {"en": [1.5]}}
    for text in (ENGLISH, CHINESE, "unseen: 🙂 \udc00", "x", "\ud800"):
        assert again.bits_per_byte(text) == model.bits_per_byte(text) > 0
    assert again.bits_per_byte("") == 0


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    fit_character_ngram([ENGLISH], order=3).save(tmp_path / "m")
    path = tmp_path / "m" / "characters.json"
    whole = json.loads(path.read_text())
    for wrong in (
        {},
        {**whole, "code_points": whole["code_points"][1:]},
        {**whole, "code_points": [-1, *whole["code_points"][1:]]},
        {**whole, "facts": None},
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(InputError, match="does not fit the model"):
            CharacterNgram.load(tmp_path / "m")
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        CharacterNgram.load(tmp_path / "m")
