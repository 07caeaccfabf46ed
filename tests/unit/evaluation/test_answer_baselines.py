from __future__ import annotations

import math

import pytest

from yanmo.evaluation.answer_baselines import CharacterModel, Copy, Lead, Longer, UsualAnswer, lead
from yanmo.evaluation.task_baselines import baselines_of
from yanmo.finetuning.answers.preferences import DirectPreferences
from yanmo.finetuning.answers.written import Chatting, Rewriting, likelihood_scores
from yanmo.tasks.examples import (
    ChatExample,
    Message,
    Origin,
    PreferenceExample,
    Seq2SeqExample,
    TextExample,
)

ORIGIN = Origin("a.csv", 2, 2)


def pair(source: str, *targets: str) -> Seq2SeqExample:
    return Seq2SeqExample(source=source, targets=targets or None, origin=ORIGIN)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("One is 3.5 m. Two! Three? Four. Five.", "One is 3.5 m. Two! Three?"),
        ("第一句。第二句！“第三句？”第四句。", "第一句。第二句！“第三句？”"),
        ("By J. Smith of Rome. It is late. We go. Now.", "By J. Smith of Rome. It is late. We go."),
        ("A title\nand a line without an end", "A title\nand a line without an end"),
        ("他说 OK. 然后走了。再见。又来。", "他说 OK. 然后走了。再见。"),
        ("", ""),
    ],
)
def test_lead_is_the_first_three_sentences(text: str, wanted: str) -> None:
    assert lead(text) == wanted


def test_each_says_what_its_name_says() -> None:
    train = [pair("a", "x"), pair("b", "是"), pair("c", "是")]
    assert Copy().predict([pair("ein Hund")]) == [{"text": "ein Hund"}]
    assert UsualAnswer(train).predict([pair("d")]) == [{"text": "是"}]
    assert Lead().predict([pair("一。二。三。四。")]) == [{"text": "一。二。三。"}]
    preferences = [
        PreferenceExample(prompt=(), chosen=chosen, rejected=rejected, origin=ORIGIN)
        for chosen, rejected in (("long", "no"), ("no", "long"))
    ]
    assert [row["label"] for row in Longer().predict(preferences)] == ["chosen", "rejected"]


def test_a_model_of_characters_judges_what_the_assistant_says() -> None:
    chat = ChatExample(messages=(Message("user", "zzzz"), Message("assistant", "abab 你好")), origin=ORIGIN)
    model = CharacterModel([chat] * 3 + [TextExample(text="abab abab 你好你好", origin=ORIGIN)] * 20)
    (row,) = model.predict([chat])
    assert row["tokens"] == 7 and row["bytes"] == 11
    scores = likelihood_scores([row])
    assert (
        scores["bits_per_byte"] == pytest.approx(row["nats"] / math.log(2) / 11)
        and scores["bits_per_byte"] < 2
    )


def test_every_skill_has_its_cheap_models() -> None:
    train = [pair("a", "b")]
    names = [one.name for one in baselines_of(Rewriting(task="translation"), train)]
    assert names == ["the source itself", "always the most frequent answer"]
    assert "the first 3 sentences" in [
        one.name for one in baselines_of(Rewriting(task="summarization"), train)
    ]
    assert [one.name for one in baselines_of(Rewriting(task="translation"), [])] == ["the source itself"]
    assert [one.name for one in baselines_of(DirectPreferences(), [])] == ["the longer answer"]
    assert baselines_of(Chatting(task="chat"), []) == []
