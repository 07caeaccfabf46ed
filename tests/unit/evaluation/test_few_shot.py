"""Prompts of tasks: what they hold, how labels are ranked and calibrated, and what is judged."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from evaluation_made import make_model
from model_that_likes_a import CHEAP, COST, loaded
from suites_made import write_csv, write_jsonl

from yanmo.cli import main
from yanmo.errors import InputError
from yanmo.evaluation.few_shot import evaluate_few_shot
from yanmo.evaluation.prompting import PromptedModel, draw_examples
from yanmo.finetuning.registry import kind_of_task
from yanmo.models.registry import LoadedModel, load
from yanmo.tasks.examples import Answer, ClassificationExample, Origin, PairExample, QuestionExample

ORIGIN = Origin("rows.csv", 2)


def row(text: str, label: str | float | tuple[str, ...]) -> ClassificationExample:
    return ClassificationExample(text=text, label=label, origin=ORIGIN)


def prompted(*examples: ClassificationExample, **settings: object) -> PromptedModel:
    skill = kind_of_task("text-classification").fit([row("x", "aaa"), row("y", "bad")])
    return PromptedModel(loaded(), skill, examples, task="text-classification", **settings)


def test_a_prompt_holds_the_examples_and_then_the_row() -> None:
    model = prompted(row("so good", "aaa"), row("no", "bad"), label_words={"bad": "not good"})
    assert model.prompt(["what?"]) == (
        "Text: so good\nLabel: aaa\n\nText: no\nLabel: not good\n\nText: what?\nLabel:"
    )
    chinese = prompted(row("很好", "aaa"))
    assert chinese.prompt(["什么"]) == "文本：很好\n标签：aaa\n\n文本：什么\n标签："


def test_braces_in_a_text_are_text() -> None:
    assert prompted().prompt(["{0} {x}"]) == "Text: {0} {x}\nLabel:"


def test_labels_are_ranked_by_the_cost_of_all_their_tokens() -> None:
    (found,) = prompted().answer([row("x", "bad")])
    # " aaa" costs 1.3, " bad" 3.1.
    odds = math.exp(-(COST + 3 * CHEAP)) / math.exp(-(3 * COST + CHEAP))
    assert found["label"] == "aaa"
    assert found["probabilities"]["aaa"] == pytest.approx(odds / (1 + odds), rel=1e-5)


def test_calibration_takes_away_what_a_label_always_gets() -> None:
    (found,) = prompted(calibrated=True).answer([row("x", "bad")])
    # This model says the same whatever it is asked, so nothing is left.
    assert list(found["probabilities"].values()) == pytest.approx([0.5, 0.5])


def test_pairs_and_questions_have_their_own_wording() -> None:
    pair = PairExample(first="one", second="two", label="same", origin=ORIGIN)
    other = PairExample(first="three", second="four", label="other", origin=ORIGIN)
    skill = kind_of_task("pair-classification").fit([pair, other])
    model = PromptedModel(loaded(), skill, [pair], task="pair-classification")
    assert model.prompt(["a", "b"]) == "First: one\nSecond: two\nLabel: same\n\nFirst: a\nSecond: b\nLabel:"
    asked = QuestionExample(
        context="天很蓝。", question="天怎么样？", answers=(Answer("很蓝", 1),), origin=ORIGIN
    )
    none = QuestionExample(context="天很蓝。", question="海呢？", answers=(), origin=ORIGIN)
    answers = kind_of_task("question-answering").fit([asked, none])
    model = PromptedModel(loaded(), answers, [asked, none], task="question-answering")
    assert model.shown == (
        "材料：天很蓝。\n问题：天怎么样？\n答案：很蓝",
        "材料：天很蓝。\n问题：海呢？\n答案：无答案",
    )


def test_what_cannot_be_asked_by_a_prompt_is_refused() -> None:
    several = kind_of_task("text-classification").fit([row("x", ("a", "b")), row("y", ("b",))])
    number = kind_of_task("text-classification").fit([row("x", 1.0), row("y", 2.0)])
    for skill in (several, number):
        with pytest.raises(InputError, match="is not asked by prompts"):
            PromptedModel(loaded(), skill, [], task="text-classification")
    with pytest.raises(InputError, match="there is no label 'good'"):
        prompted(label_words={"good": "fine"})


def test_examples_are_drawn_evenly_from_the_labels() -> None:
    rows = [
        row(f"{label}{n}", label) for label, count in (("a", 40), ("b", 3), ("c", 40)) for n in range(count)
    ]
    drawn = draw_examples(rows, 12, seed=0)
    counts = sorted((label, sum(one.label == label for one in drawn)) for label in "abc")
    assert counts in ([("a", 5), ("b", 3), ("c", 4)], [("a", 4), ("b", 3), ("c", 5)])
    assert drawn == draw_examples(rows, 12, seed=0) != draw_examples(rows, 12, seed=1)
    with pytest.raises(InputError, match="there are 83 rows to draw 84 examples from"):
        draw_examples(rows, 84, seed=0)
    with pytest.raises(InputError, match="cannot be -1"):
        draw_examples(rows, -1, seed=0)


def test_a_long_text_is_cut_so_that_the_examples_stay(made_run: Path) -> None:
    found = load(made_run)

    class Short:
        """The same model with a short context."""

        vocab_size, max_seq_len = found.model.vocab_size, 200

        def start(self, batch_size: int = 1) -> object:
            return found.model.start(batch_size)

    short = LoadedModel(**{**vars(found), "model": Short()})
    skill = kind_of_task("text-classification").fit([row("x", "a"), row("y", "b")])
    model = PromptedModel(short, skill, [row("the cat " * 300, "a")], task="text-classification")
    prompt = model.prompt(["the dog " * 300])
    assert prompt.startswith("Text: the cat") and prompt.endswith("\nLabel:") and "\nLabel: a\n\n" in prompt
    assert 100 < len(found.tokenizer.encode(prompt)) <= 200
    assert model.answer([row("the dog " * 300, "b")])[0]["label"] in "ab"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {"text": f"the {what} sees the river {n}", "label": label}
        for n in range(8)
        for what, label in (("cat", "animal"), ("stone", "thing"))
    ]
    return write_csv(tmp_path_factory.mktemp("few") / "rows.csv", rows)


def test_rows_in_the_prompt_are_not_judged(made_run: Path, table: Path) -> None:
    result = evaluate_few_shot(made_run, table, "text-classification", few_shot=4)
    assert result.scores.num_examples == 12 and len(set(result.examples)) == 4
    assert result.scores.baselines and result.scores.lead is not None
    zero = evaluate_few_shot(made_run, table, "text-classification", few_shot=0, limit=5)
    assert zero.scores.num_examples == 5 and not zero.scores.baselines and not zero.examples
    with pytest.raises(InputError, match="all rows are in the prompt"):
        evaluate_few_shot(made_run, table, "text-classification", few_shot=16)


def test_examples_come_from_the_training_rows_where_they_are_given(made_run: Path, table: Path) -> None:
    result = evaluate_few_shot(made_run, table, "text-classification", few_shot=2, train=table, limit=6)
    assert result.scores.num_examples == 6
    assert "TF-IDF" in result.scores.baselines[-1].name


def test_the_command_line(made_run: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", str(made_run), str(table), "--few-shot", "2", "--task", "text-classification"]
    words = ["--label-words", "animal=a living thing", "--calibrate", "--limit", "4"]
    assert main.run([*command, *words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["calibrated"] and printed["few_shot"] == 2 and "a living thing" in printed["prompt"]
    assert {"metrics", "num_examples", "baseline", "examples", "language"} <= printed.keys()
    assert main.run([*command, "--limit", "4"]) == 0
    assert "2 examples in the prompt; the first:" in capsys.readouterr().out
    assert main.run([*command[:5]]) == 2
    assert "name --task with --few-shot" in capsys.readouterr().err
    assert main.run([*command, "--label-words", "animal"]) == 2
    assert "LABEL=WORD" in capsys.readouterr().err
    # Nothing that was said is left without effect.
    for flags in (["--limit", "4"], ["--calibrate"]):
        assert main.run([*command[:3], *flags]) == 2
        assert "name --task with --few-shot" in capsys.readouterr().err
    assert main.run([*command[:3], "--suite", "arc", "--calibrate"]) == 2
    assert "leave --calibrate and --label-words out" in capsys.readouterr().err


def test_answers_are_written_by_the_model(made_corpus: Path, tmp_path: Path) -> None:
    model = make_model(made_corpus, tmp_path / "model")
    rows = [
        {
            "context": "the cat sees the river.",
            "question": f"what sees the river {n}?",
            "answers": ["the cat"],
        }
        for n in range(4)
    ]
    path = write_jsonl(tmp_path / "qa.jsonl", rows)
    result = evaluate_few_shot(model, path, "question-answering", few_shot=1)
    assert result.scores.num_examples == 3 and "exact_match" in result.scores.model.metrics
    assert result.prompt.count("Question:") == 2
