"""Scores of suites on a model that can be seen through, and on an n-gram by the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from model_that_likes_a import CHEAP, COST, loaded
from suites_made import BLIMP, CEVAL, LAMBADA, OWN, OWN_CHINESE, write_csv, write_jsonl

from yanmo.cli import main
from yanmo.errors import InputError
from yanmo.evaluation.suites import evaluate_suite


def test_answers_are_ranked_by_cost_and_by_cost_a_character(tmp_path: Path) -> None:
    rows = [
        # Costs 1 + 0.1 each and 1 + 1: the first wins by sum, and by character.
        {"question": "one?", "choices": ["aa", "b"], "answer": 0},
        # 1 + 2.2 of 4 characters, 1 + 1 of 1: the second by sum, the first by character.
        {"question": "two?", "choices": ["bbaa", "b"], "answer": 0},
        {"question": "three?", "choices": ["b", "bbaa"], "answer": 0},
    ]
    path = write_jsonl(tmp_path / "own.jsonl", rows)
    result = evaluate_suite(loaded(), path, "choices")
    assert result.model.metrics["accuracy"]["value"] == pytest.approx(2 / 3)
    assert result.model.metrics["accuracy_per_character"]["value"] == pytest.approx(2 / 3)
    assert result.num_examples == 3 and result.language == "en"
    assert result.prompt == "Question: one?\nAnswer: aa"
    assert result.baseline.name == "the longest answer"
    low, high = result.model.metrics["accuracy"]["interval"]
    assert 0 <= low < 2 / 3 < high <= 1


def test_bytes_and_characters_differ_for_chinese(tmp_path: Path) -> None:
    # 1 + 6 nats of 2 characters or 6 bytes, 1 + 3.1 of 4 or 4.
    rows = [{"question": "猫喝什么？", "choices": ["牛奶", "abbb"], "answer": 1}]
    result = evaluate_suite(loaded(), write_jsonl(tmp_path / "own.jsonl", rows), "choices")
    assert result.language == "zh" and result.prompt == "问题：猫喝什么？\n答案：abbb"
    values = {name: score["value"] for name, score in result.model.metrics.items()}
    # Without a space before it: 6 / 6 nats a byte against 3.1 / 4.
    assert values == {"accuracy": 1, "accuracy_per_character": 1, "accuracy_per_byte": 1}
    rows = [{"question": "猫喝什么？", "choices": ["奶奶", "bbbb"], "answer": 0}]
    result = evaluate_suite(loaded(), write_jsonl(tmp_path / "own.jsonl", rows), "choices")
    values = {name: score["value"] for name, score in result.model.metrics.items()}
    # Equal costs a byte: half a point.
    assert values == {"accuracy": 0, "accuracy_per_character": 0, "accuracy_per_byte": 0.5}


def test_last_words_are_right_where_they_are_the_likeliest(tmp_path: Path) -> None:
    rows = [LAMBADA, {"text": "she saw it\naaa"}, {"text": "it was a cat and a cat"}]
    result = evaluate_suite(loaded(), write_jsonl(tmp_path / "l.jsonl", rows), "lambada")
    # The gap before a word is part of what is asked, and costs 1.
    assert result.model.metrics["accuracy"]["value"] == 0
    nats = [6 * COST, COST + 3 * CHEAP, 3 * COST + CHEAP]
    assert result.model.metrics["perplexity"]["value"] == pytest.approx(math.exp(sum(nats) / 3), rel=1e-4)
    assert result.baseline.name == "a word of the passage"
    # "river" is one of 13 words, "aaa" of none, "cat" of 5.
    assert result.baseline.metrics["accuracy"]["value"] == pytest.approx((1 / 13 + 0 + 1 / 5) / 3)


def test_sentences_are_compared_as_a_whole_and_by_paradigm(tmp_path: Path) -> None:
    rows = [
        {**BLIMP, "sentence_good": "aaaa", "sentence_bad": "bb", "UID": "first"},
        {**BLIMP, "sentence_good": "aab", "sentence_bad": "aaa", "UID": "second"},
        {**BLIMP, "sentence_good": "aaa", "sentence_bad": "aab", "UID": "second"},
        {**BLIMP, "sentence_good": "aaa", "sentence_bad": "aab", "UID": "second"},
    ]
    model = loaded()
    result = evaluate_suite(model, write_jsonl(tmp_path / "b.jsonl", rows), "blimp")
    values = {name: score["value"] for name, score in result.model.metrics.items()}
    assert values == {"accuracy": 0.75, "accuracy_macro": pytest.approx((1 + 2 / 3) / 2)}
    assert result.groups["second"]["num_examples"] == 3
    # A sentence stands behind what begins a document.
    assert {row for rows in model.model.asked for row in rows} == {b"\x00"}


def test_examples_are_shown_in_the_result_and_read_by_the_model(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "own.jsonl", [{**OWN, "question": f"q{n}?"} for n in range(6)])
    model = loaded()
    result = evaluate_suite(model, path, "choices", few_shot=2, seed=3)
    assert len(result.examples) in (2, 3) and result.few_shot == 2
    read = {row.decode() for rows in model.model.asked for row in rows}
    assert all(text.count("Question:") == 3 for text in read)
    assert all(any(example in text for text in read) for _, example in result.examples)
    place, example = result.to_json()["examples"][0].values()
    assert place.startswith("own.jsonl line ") and example.startswith("Question: q")


def test_a_sample_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "own.jsonl", [{**OWN, "question": f"q{n}?"} for n in range(30)])
    first, again = (evaluate_suite(loaded(), path, "choices", limit=4, seed=1) for _ in range(2))
    assert first == again and first.num_examples == 4
    assert evaluate_suite(loaded(), path, "choices", limit=100).num_examples == 30


def test_an_exam_is_answered_by_letters_with_examples_of_its_subject(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "dev" / "law_dev.csv", [{**CEVAL, "question": f"例{n}", "answer": "B"} for n in range(5)]
    )
    write_csv(tmp_path / "val" / "law_val.csv", [CEVAL])
    result = evaluate_suite(loaded(), tmp_path / "val", "ceval", few_shot=5, train=tmp_path / "dev")
    assert result.prompt.startswith("以下是中国关于法学考试的单项选择题，请选出其中的正确答案。\n\n例")
    assert result.prompt.endswith("答案：D") and result.prompt.count("答案：B") == 5
    # All letters cost the same here: a quarter of a point.
    assert {name: score["value"] for name, score in result.model.metrics.items()} == {"accuracy": 0.25}


@pytest.mark.parametrize("row", [OWN, OWN_CHINESE])
def test_the_command_line_prints_a_table_or_one_object(
    made_run: Path, tmp_path: Path, row: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_jsonl(
        tmp_path / "own.jsonl", [{**row, "question": f"{row['question']} {n}"} for n in range(4)]
    )
    command = ["evaluate", str(made_run), str(path), "--suite", "choices", "--few-shot", "1"]
    assert main.run([*command, "--json", "--out", str(tmp_path / "out.json")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {"metrics", "num_examples", "baseline", "examples", "format", "prompt"} <= printed.keys()
    assert printed == json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert main.run(command) == 0
    table = capsys.readouterr().out
    assert "accuracy per character" in table and "1 example before each" in table
    assert main.run(["evaluate", str(made_run), str(path), "--suite", "hellaswagg"]) == 2
    assert "no suite is named" in capsys.readouterr().err
    assert main.run(["evaluate", str(made_run), "--suite", "arc"]) == 2
    assert "give a file of questions" in capsys.readouterr().err


def test_an_lstm_is_judged_too(tmp_path: Path) -> None:
    import torch

    from yanmo.models.lstm import LstmConfig, LstmModel

    model = loaded()
    torch.manual_seed(0)
    lstm = LstmModel(LstmConfig(vocab_size=256, d_model=8, d_hidden=8, num_layers=1)).eval()
    object.__setattr__(model, "model", lstm)
    path = write_jsonl(tmp_path / "own.jsonl", [OWN, OWN_CHINESE])
    assert evaluate_suite(model, path, "choices").num_examples == 2


def test_a_model_that_continues_nothing_says_so(tmp_path: Path) -> None:
    from sentence_made import make_encoder

    path = write_jsonl(tmp_path / "own.jsonl", [OWN])
    with pytest.raises(InputError, match="does not continue texts"):
        evaluate_suite(make_encoder(tmp_path / "encoder"), path, "choices")
