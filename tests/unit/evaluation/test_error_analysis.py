"""What lies behind the scores of a task, by predictions that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from yanmo.evaluation.mistakes import confusion
from yanmo.evaluation.sureness import sureness_of
from yanmo.evaluation.task_report import checks_of, task_report
from yanmo.evaluation.tasks import TaskEvaluation, evaluate_task
from yanmo.finetuning.calibration import Calibration
from yanmo.finetuning.skill import Prediction, Skill
from yanmo.finetuning.spans import AnswerSpans
from yanmo.finetuning.text_labels import Number, OneClass, SeveralClasses
from yanmo.finetuning.token_tags import TokenTags
from yanmo.reporting.html import Language
from yanmo.tasks.check import check_examples
from yanmo.tasks.examples import (
    Answer,
    ClassificationExample,
    Example,
    Origin,
    QuestionExample,
    Span,
    SpanExample,
    TokenExample,
)

NAMES = TokenTags(labels=("O", "B-人名", "I-人名", "B-地名", "I-地名"))


class Said:
    """A model that says what it was told to say."""

    def __init__(self, task: str, skill: Skill[Any], predictions: Sequence[Prediction]) -> None:
        self.name, self.task, self.skill, self._predictions = "said", task, skill, list(predictions)

    def answer(self, examples: Sequence[Example]) -> list[Prediction]:
        return self._predictions[: len(examples)]


def row(text: str, label: Any, number: int = 1) -> ClassificationExample:
    return ClassificationExample(text=text, label=label, origin=Origin("rows.csv", number))


def one_class(label: str, share: float, other: str) -> Prediction:
    return {"label": label, "probabilities": {label: share, other: 1 - share}}


def page(evaluation: TaskEvaluation, *, language: Language = "en", **parts: Any) -> str:
    told: dict[str, Any] = {"history": None, "result": {}, "checks": {}, "settings": {}, **parts}
    return task_report(evaluation.to_json(), name="run", language=language, **told)


def names_evaluation() -> TaskEvaluation:
    """One name right, one with other borders, one of another kind, one missed, one invented."""
    text = "王小明昨天在北京见到了李四，后来他们去了上海和广州，天气很好。"
    gold = [
        Span(0, 3, "人名"),
        Span(6, 8, "地名"),
        Span(11, 13, "人名"),
        Span(20, 22, "地名"),
        Span(23, 25, "地名"),
    ]
    said = [
        (0, 2, "人名", 0.9),
        (6, 8, "地名", 0.99),
        (11, 13, "地名", 0.7),
        (23, 25, "地名", 0.8),
        (26, 28, "人名", 0.95),
    ]
    entities = [
        {"text": text[start:end], "label": kind, "start": start, "end": end, "score": score}
        for start, end, kind, score in said
    ]
    examples = [
        SpanExample(text=text, spans=tuple(gold), origin=Origin("names.jsonl", 7)),
        SpanExample(text="没有名称。", spans=(), origin=Origin("names.jsonl", 8)),
    ]
    predictions: list[Prediction] = [{"tags": [], "entities": entities}, {"tags": [], "entities": []}]
    return evaluate_task(Said("token-classification", NAMES, predictions), examples)


def test_names_are_told_apart() -> None:
    found = names_evaluation()
    assert found.analysis["kinds"] == [
        {"label": "人名", "right": 0, "borders": 1, "mistaken": 1, "missed": 0, "invented": 1},
        {"label": "地名", "right": 2, "borders": 0, "mistaken": 0, "missed": 1, "invented": 0},
    ]
    assert set(found.mistakes) == {("人名", "地名", 1), ("地名", "nothing", 1), ("nothing", "人名", 1)}
    (worst,) = found.wrong
    states = [(mark["state"], worst["text"][mark["start"] : mark["end"]]) for mark in worst["marks"]]
    assert states == [
        ("borders", "王小"),
        ("right", "北京"),
        ("mistaken", "李四"),
        ("missed", "上海"),
        ("right", "广州"),
        ("invented", "天气"),
    ]
    assert worst["probability"] == 0.95 and worst["place"] == "names.jsonl row 7"
    assert found.analysis["calibration"]["of"] == "names"
    html = page(found)
    assert '<mark class="missed">上海<small>地名</small></mark>' in html
    assert '<mark class="invented">天气<small>人名</small></mark>' in html


def test_chinese_names_in_words_are_compared_as_they_stand_in_the_text() -> None:
    example = TokenExample(
        tokens=("张", "三", "来", "了"), tags=("B-人名", "I-人名", "O", "O"), origin=Origin("a")
    )
    entities = [{"text": "张三", "label": "人名", "start": 0, "end": 2, "score": 0.9}]
    predictions = [{"tags": ["B-人名", "I-人名", "O", "O"], "entities": entities}]
    found = evaluate_task(Said("token-classification", NAMES, predictions), [example])
    assert found.wrong == () and found.mistakes == ()


def test_a_long_text_is_shown_around_its_mistake() -> None:
    text = "x " * 600 + "Paris " + "y " * 600
    example = SpanExample(text=text, spans=(Span(1200, 1205, "地名"),), origin=Origin("a"))
    found = evaluate_task(Said("token-classification", NAMES, [{"tags": [], "entities": []}]), [example])
    (worst,) = found.wrong
    (mark,) = worst["marks"]
    assert worst["text"][mark["start"] : mark["end"]] == "Paris" and len(worst["text"]) < 500


def test_the_surest_mistake_comes_first_and_copies_are_said_once() -> None:
    skill = OneClass(labels=("bad", "good"))
    examples = [row("so", "bad", 2), row("fine", "good", 3), row("awful", "bad", 4), row("awful", "bad", 5)]
    predictions = [
        one_class("good", 0.6, "bad"),
        one_class("good", 0.9, "bad"),
        *[one_class("good", 0.99, "bad")] * 2,
    ]
    found = evaluate_task(Said("text-classification", skill, predictions), examples)
    assert [(worst["text"], worst["probability"]) for worst in found.wrong] == [("awful", 0.99), ("so", 0.6)]
    assert found.analysis["confusion"] == {"labels": ["bad", "good"], "counts": [[0, 3], [0, 1]]}


def test_of_many_labels_those_with_mistakes_are_shown() -> None:
    gold = [f"{number:03}" for number in range(100) for _ in range(2)]
    said = ["007" if label == "050" else label for label in gold]
    table = confusion(gold, said)
    assert table["labels"][-1] is None and {"007", "050"} <= set(table["labels"])
    place = {label: index for index, label in enumerate(table["labels"])}
    assert table["counts"][place["050"]][place["007"]] == 2
    assert sum(map(sum, table["counts"])) == 200


def test_slices_by_label_and_length() -> None:
    skill = OneClass(labels=("长", "短"))
    texts = ["字" * length for length in range(1, 101)]
    examples = [row(text, "长" if len(text) > 90 else "短") for text in texts]
    predictions = [one_class("短", 0.8, "长")] * 100
    slices = evaluate_task(Said("text-classification", skill, predictions), examples).analysis["slices"]
    short, long = slices["by_label"]
    assert (short["label"], short["num_cases"], short["small"]) == ("短", 90, False)
    assert (long["label"], long["num_cases"], long["small"]) == ("长", 10, True)
    assert short["recall"]["value"] == 1 and long["f1"]["value"] == 0
    assert slices["by_length_score"] == "accuracy"
    lengths = slices["by_length"]
    assert [part["num_rows"] for part in lengths] == [20, 20, 20, 20, 20]
    assert [part["score"]["value"] for part in lengths] == [1, 1, 1, 1, 0.5]
    low, high = lengths[-1]["score"]["interval"]
    assert 0.2 < low < 0.5 < high < 0.8


def test_answers_are_marked_in_their_context() -> None:
    context = "The ink was made by Wang in Anhui, long ago."
    example = QuestionExample(
        context=context, question="Who made it?", answers=(Answer("Wang", 20),), origin=Origin("a", 3)
    )
    other = QuestionExample(context=context, question="Where?", answers=(), origin=Origin("a", 4))
    predictions = [
        {"answer": "Wang in Anhui", "start": 20, "end": 33, "score": 2.0},
        {"answer": "Anhui", "start": 28, "end": 33, "score": 1.0},
    ]
    found = evaluate_task(Said("question-answering", AnswerSpans(), predictions), [example, other])
    # The invented answer is wrong altogether; the long one has the right word in it.
    assert [worst["text"] for worst in found.wrong] == ["Where?", "Who made it?"]
    marks = found.wrong[1]["marks"]
    assert [(mark["state"], context[mark["start"] : mark["end"]]) for mark in marks] == [
        ("right", "Wang"),
        ("invented", " in Anhui"),
    ]
    assert '<mark class="invented"> in Anhui</mark>' in page(found)


def test_several_classes_numbers_and_tags() -> None:
    several = SeveralClasses(labels=("a", "b"))
    examples = [row("one", ("a",)), row("two", ("a", "b"))]
    predictions = [
        {"labels": ["a", "b"], "probabilities": {"a": 0.9, "b": 0.8}},
        {"labels": ["a"], "probabilities": {"a": 0.7, "b": 0.1}},
    ]
    found = evaluate_task(Said("text-classification", several, predictions), examples)
    assert [worst["probability"] for worst in found.wrong] == [0.9, 0.8]
    assert found.analysis["calibration"]["of"] == "decisions"
    numbers = [row("near", 1.0), row("far", 5.0), row("exact", 3.0)]
    found = evaluate_task(
        Said("text-classification", Number(), [{"score": 1.5}, {"score": 1.0}, {"score": 3.5}]), numbers
    )
    assert found.wrong[0]["text"] == "far" and found.analysis["calibration"] is None
    tags = TokenTags(labels=("DET", "NOUN"))
    tokens = TokenExample(tokens=("the", "ink"), tags=("DET", "NOUN"), origin=Origin("a"))
    found = evaluate_task(Said("token-classification", tags, [{"tags": ["DET", "DET"]}]), [tokens])
    assert found.wrong[0]["gold"] == "ink/NOUN" and found.mistakes == (("NOUN", "DET", 1),)
    assert found.analysis["confusion"]["counts"] == [[1, 0], [1, 0]]


def test_sureness_before_and_after_a_temperature() -> None:
    """Half of the answers are right: 0.5 is calibrated, 0.9 is not."""
    examples = [row("x", label) for label in ("a", "b") * 50]
    plain = OneClass(labels=("a", "b"))
    cold = sureness_of(plain, examples, [one_class("a", 0.9, "b")] * 100)
    assert cold is not None and cold["ece"] == pytest.approx(0.4) and cold["before"] is None
    skill = OneClass(labels=("a", "b"), calibration=Calibration(temperature=2.0))
    # 0.75 to 0.25 at a temperature of 2 were 0.9 to 0.1.
    warm = sureness_of(skill, examples, [one_class("a", 0.75, "b")] * 100)
    assert warm is not None and warm["ece"] == pytest.approx(0.25)
    assert warm["before"]["ece"] == pytest.approx(0.4) and warm["temperature"] == 2
    assert [one["num_examples"] for one in warm["bins"]] == [100]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_page_has_everything_in_both_languages(language: Language) -> None:
    skill = OneClass(labels=("好", "坏"))
    texts = ["<b>真好</b>", "不错 & 便宜", "很差"]
    examples = [
        row(text, label, number) for number, (text, label) in enumerate(zip(texts, "好好坏", strict=True), 2)
    ]
    predictions = [one_class("坏", 0.9, "好"), one_class("好", 0.7, "坏"), one_class("坏", 0.8, "好")]
    found = evaluate_task(Said("text-classification", skill, predictions), examples, train=examples * 3)
    report = check_examples({"train": examples * 3, "test": examples})
    told = {"mean": 0.75, "low": 0.6, "high": 0.9}
    repeats = {"kind": "seeds", "count": 3, "metrics": {"accuracy": told}, "baseline": {}, "runs": []}
    again = page(found, language=language, result={"repeats": repeats})
    assert "Over 3 seeds" in again and "3 个随机种子" in again and "0.600 – 0.900" in again
    html = page(found, language=language, checks=checks_of(report, "given apart"))
    assert "&lt;b&gt;真好&lt;/b&gt;" in html and "<b>真好" not in html
    assert "rows.csv row 2, 3, 4" in html
    for words in (
        "surest mistakes first",
        "最自信的错误在前",
        "What the check of the data found",
        "数据检查的发现",
    ):
        assert words in html
    assert html.count('lang="en"') >= html.count('lang="zh"') - 1
    assert "支持向量机" in html and "总答 好" in html
