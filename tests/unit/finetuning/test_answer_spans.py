from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sentence_made import make_encoder

from yanmo.errors import InputError
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.spans import AnswerSpans, fit_answers
from yanmo.models.checkpoint import Checkpoint
from yanmo.tasks.examples import Answer, Origin, QuestionExample

HERE = Origin("a.json", 1, 1)


def question(text: str, context: str, answer: str | None) -> QuestionExample:
    answers = () if answer is None else (Answer(answer, context.index(answer)),)
    return QuestionExample(question=text, context=context, answers=answers, origin=HERE)


ASKED = [
    question("is the girl eating", "the man is. the girl is eating food", "eating food"),
    question("人", "一个人吃 food", "个人"),
    question("a dog", "the cat is", None),
]


@pytest.fixture
def encoder(tmp_path: Path) -> InputEncoder:
    checkpoint = Checkpoint.open(make_encoder(tmp_path / "encoder"))
    return InputEncoder(tokenizer=checkpoint.tokenizer, max_seq_len=40, num_types=2)


def test_the_tokens_of_an_answer_are_learned(encoder: InputEncoder) -> None:
    skill = fit_answers(ASKED)
    assert skill.may_refuse and skill.settings == {"answers_may_be_missing": True}
    for example, piece in zip(ASKED, skill.pieces(ASKED, encoder, labelled=True), strict=True):
        first, last = piece.target
        if not example.answers:
            assert (first, last) == (0, 0)
            continue
        assert piece.places is not None
        start, end = int(piece.places[first, 0]), int(piece.places[last, 1])
        assert example.context[start:end] == example.answers[0].text


def sure_of(skill: AnswerSpans, rows: list[QuestionExample], encoder: InputEncoder) -> list[str]:
    """Answers where the head is sure of what is right."""
    pieces = skill.pieces(rows, encoder, labelled=True)
    outputs = []
    for piece in pieces:
        of_tokens = torch.zeros(len(piece.ids), 2)
        of_tokens[piece.target[0], 0] = of_tokens[piece.target[1], 1] = 9.0
        outputs.append(of_tokens)
    return [row["answer"] for row in skill.decode(rows, pieces, outputs)]


def test_the_best_span_is_answered_or_none(encoder: InputEncoder) -> None:
    skill = fit_answers(ASKED)
    said = sure_of(skill, ASKED, encoder)
    assert said == ["eating food", "个人", ""]
    assert skill.score(ASKED, [{"answer": answer} for answer in said]).values["exact_match"] == 1
    never = AnswerSpans(may_refuse=False)
    assert sure_of(never, ASKED, encoder)[2] != ""


def test_a_long_context_is_searched_in_windows(encoder: InputEncoder) -> None:
    context = "the man is eating. " * 30 + "a dog baby " + "the girl is. " * 30
    rows = [question("the cat", context, "a dog baby")]
    skill = fit_answers(rows)
    pieces = skill.pieces(rows, encoder, labelled=True)
    held = [piece for piece in pieces if piece.target != (0, 0)]
    assert len(pieces) > 5 and 1 <= len(held) < len(pieces)
    assert sure_of(skill, rows, encoder) == ["a dog baby"]


def test_without_any_answer_there_is_nothing_to_learn() -> None:
    with pytest.raises(InputError, match="no question has an answer"):
        fit_answers(ASKED[2:])
