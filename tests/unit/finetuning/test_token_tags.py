from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_made import make_encoder

from yanmo.errors import InputError
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.token_tags import TokenTags, best_path, fit_tags, words_of
from yanmo.models.checkpoint import Checkpoint
from yanmo.tasks.examples import Origin, Span, SpanExample, TokenExample

HERE = Origin("a.conll", 1, 1)


def sentence(words: str, tags: str | None = None) -> TokenExample:
    return TokenExample(
        tokens=tuple(words.split()), tags=None if tags is None else tuple(tags.split()), origin=HERE
    )


NAMES = [
    sentence("the girl is eating food", "O B-PER O O B-THING"),
    sentence("一 个 人 吃 food", "O O B-PER O B-THING"),
    sentence("a cat man", "O B-PER I-PER"),
]


@pytest.fixture
def encoder(tmp_path: Path) -> InputEncoder:
    checkpoint = Checkpoint.open(make_encoder(tmp_path / "encoder"))
    return InputEncoder(tokenizer=checkpoint.tokenizer, max_seq_len=12, num_types=2)


def test_words_know_their_places_and_chinese_has_no_spaces() -> None:
    words = words_of(NAMES[1])
    assert words.text == "一个人吃 food"
    assert [words.text[start:end] for start, end in words.spans] == ["一", "个", "人", "吃", "food"]


def test_a_text_is_cut_into_words_that_carry_its_names() -> None:
    text = "Ann-Lee met 王小明 in New York."
    spans = (Span(0, 7, "PER"), Span(12, 15, "PER"), Span(19, 27, "LOC"))
    words = words_of(SpanExample(text=text, spans=spans, origin=HERE))
    pieces = [text[start:end] for start, end in words.spans]
    assert pieces == ["Ann", "-", "Lee", "met", "王", "小", "明", "in", "New", "York", "."]
    assert words.tags == [
        "B-PER",
        "I-PER",
        "I-PER",
        "O",
        "B-PER",
        "I-PER",
        "I-PER",
        "O",
        "B-LOC",
        "I-LOC",
        "O",
    ]


def test_a_name_that_ends_within_a_word_takes_all_of_it() -> None:
    words = words_of(SpanExample(text="the girls eat", spans=(Span(4, 8, "PER"),), origin=HERE))
    assert words.tags == ["O", "B-PER", "O"]


def test_the_first_token_of_each_word_is_learned(encoder: InputEncoder) -> None:
    skill = fit_tags(NAMES)
    assert skill.labels == ("O", "B-PER", "I-PER", "B-THING", "I-THING")
    (piece,) = skill.pieces([NAMES[0]], encoder, labelled=True)
    # [CLS] the girl is eat ##ing food [SEP]
    assert piece.places is not None and piece.places.tolist() == [-1, 0, 1, 2, 3, -1, 4, -1]
    assert piece.target.tolist() == [-100, 0, 1, 0, 0, -100, 3, -100]


def test_every_word_of_a_long_sentence_is_judged_once_where_it_is_deepest(encoder: InputEncoder) -> None:
    long = sentence(" ".join(["the", "girl", "is", "food"] * 12), " ".join(["O", "B-PER", "O", "O"] * 12))
    skill = fit_tags(NAMES)
    pieces = skill.pieces([long], encoder, labelled=True)
    assert len(pieces) > 4 and max(len(piece.ids) for piece in pieces) == 12
    assert {int(place) for piece in pieces for place in piece.places if place >= 0} == set(range(48))
    outputs = []
    for piece in pieces:
        # At the edges of a window a wrong answer is surer than the right one elsewhere.
        of_tokens = torch.zeros(len(piece.ids), 5)
        for at, place in enumerate(piece.places):
            if place >= 0:
                depth = min(at, len(piece.ids) - 1 - at)
                of_tokens[at, int(place % 4 == 1) if depth > 1 or len(piece.ids) < 12 else 3] = 6.0 - depth
        outputs.append(of_tokens)
    (prediction,) = skill.decode([long], pieces, outputs)
    inner = prediction["tags"][4:-4]
    assert inner == ["O", "B-PER", "O", "O"] * 10


def test_only_sequences_that_bio_allows_are_answered() -> None:
    skill = TokenTags(labels=("O", "B-A", "I-A", "B-B", "I-B"))
    first, after = skill._allowed
    rng = np.random.default_rng(0)
    for _ in range(50):
        logs = np.log(rng.dirichlet(np.ones(5), size=4))
        allowed = [
            path
            for path in itertools.product(range(5), repeat=4)
            if first[path[0]] and all(after[one, two] for one, two in itertools.pairwise(path))
        ]
        best = max(allowed, key=lambda path: logs[np.arange(4), list(path)].sum())
        assert best_path(logs, first, after).tolist() == list(best)


def test_names_are_scored_by_their_places(encoder: InputEncoder) -> None:
    skill = fit_tags(NAMES)
    name = {"text": "girl", "label": "PER", "start": 4, "end": 8, "score": 1.0}
    predictions = [{"entities": [name]}, {"entities": []}, {"entities": [{**name, "start": 2, "end": 9}]}]
    scores = skill.score(NAMES, predictions).values
    assert scores["precision"] == 1 and scores["recall"] == 2 / 5


def test_other_tags_are_scored_by_word() -> None:
    rows = [sentence("a man", "DET NOUN"), sentence("the girl eating", "DET NOUN VERB")]
    skill = fit_tags(rows)
    assert skill.metrics_name == "token-classification/tags" and not skill.has_names
    scores = skill.score(rows, [{"tags": ["DET", "NOUN"]}, {"tags": ["DET", "NOUN", "DET"]}]).values
    assert scores["token_accuracy"] == pytest.approx(4 / 5)


def test_what_cannot_be_learned_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match="no word has a tag: there is nothing to learn"):
        fit_tags([sentence("a man", "O O")])
    skill = fit_tags(NAMES)
    with pytest.raises(InputError, match=r"a\.conll line 1: the tag 'B-LOC' was not there to learn from"):
        skill._numbers(words_of(sentence("a man", "O B-LOC")), sentence("a man", "O B-LOC"))


def test_tags_that_are_not_of_names_come_with_their_words(encoder: InputEncoder) -> None:
    skill = fit_tags([sentence("the girl", "DET NOUN")])
    typed = SpanExample(text="the  girl", spans=None, origin=HERE)
    pieces = skill.pieces([typed], encoder, labelled=False)
    outputs = [torch.zeros(len(piece.ids), 2) for piece in pieces]
    (prediction,) = skill.decode([typed], pieces, outputs)
    assert prediction["words"] == ["the", "girl"]
    assert len(prediction["tags"]) == 2 and "entities" not in prediction
