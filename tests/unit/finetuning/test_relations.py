from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from sentence_made import make_encoder
from torch.nn import functional

from yanmo.cli.main import run
from yanmo.errors import InputError
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.registry import ask
from yanmo.finetuning.relations import Relations, fit_relations
from yanmo.finetuning.skill import outputs_of, read_off
from yanmo.finetuning.task_model import TaskModel
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.heads import HeadKind
from yanmo.tasks.examples import Origin, RelationExample, Span

HERE = Origin("a.csv", 2, 2)


def example(marked: str, relation: str | None = None) -> RelationExample:
    asked = ask("relation-extraction", [marked])
    assert isinstance(asked, RelationExample)
    return RelationExample(text=asked.text, head=asked.head, tail=asked.tail, relation=relation, origin=HERE)


ROWS = [
    example("the <e1>man</e1> is the <e2>food</e2>", "eats"),
    example("<e2>人</e2>吃<e1>一个</e1>", "likes"),
    example("a <e1>cat</e1> the <e2>dog</e2> man", "eats"),
]


@pytest.fixture
def encoder(tmp_path: Path) -> InputEncoder:
    checkpoint = Checkpoint.open(make_encoder(tmp_path / "encoder"))
    return InputEncoder(tokenizer=checkpoint.tokenizer, max_seq_len=16, num_types=2)


def test_a_typed_text_has_its_entities_where_the_marks_stood() -> None:
    asked = example("the <e1>man</e1> is [E2]eating[/E2]")
    assert (asked.text, asked.head, asked.tail) == ("the man is eating", Span(4, 7), Span(11, 17))
    with pytest.raises(InputError, match=r"--text: no <e2> \(mark one as <e1>"):
        ask("relation-extraction", ["the <e1>man</e1> is eating"])
    with pytest.raises(InputError, match="the two entities lie in each other"):
        ask("relation-extraction", ["the <e1>man <e2>is</e2></e1> eating"])


def test_pieces_know_the_tokens_of_both_entities(encoder: InputEncoder) -> None:
    skill = fit_relations(ROWS)
    assert skill.labels == ("eats", "likes")
    assert skill.output_names == ("eats|e1", "likes|e1", "eats|e2", "likes|e2")
    told = []
    for piece in skill.pieces(ROWS[:2], encoder, labelled=True):
        tokens = encoder.tokenizer.decode(piece.ids.tolist(), skip_special_tokens=False).split()
        start, end, begin, stop = piece.target.tokens
        told.append((piece.target.number, tokens[start:end], tokens[begin:stop]))
    unknown = "[UNK]"
    assert told == [
        (0, [unknown, "man", unknown], [unknown, "food", unknown]),
        (1, [unknown, "一", "个", unknown], [unknown, "人", unknown]),
    ]


def test_of_a_long_text_the_window_with_both_entities_is_read(encoder: InputEncoder) -> None:
    skill, words = fit_relations(ROWS), "the dog is the cat "
    far = example(f"{words * 4}<e1>man</e1> is <e2>food</e2> {words * 4}")
    (piece,) = skill.pieces([far], encoder, labelled=False)
    assert len(piece.ids) <= 16 and piece.target.number == -1
    start, end, begin, stop = piece.target.tokens
    assert 0 < start < end <= begin < stop
    parted = example(f"<e1>man</e1> is {words * 9} <e2>food</e2>")
    (piece,) = skill.pieces([parted], encoder, labelled=False)
    start, end, begin, stop = piece.target.tokens
    assert ((start, end) == (0, 1)) != ((begin, stop) == (0, 1))


def test_logits_are_means_over_the_entities_packed_or_alone(tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(make_encoder(tmp_path / "encoder"))
    skill = fit_relations(ROWS)
    model = skill.network(checkpoint).eval()
    with torch.no_grad():
        model.get_parameter(f"heads.{skill.head.value}.output.weight").normal_(0, 1)
    encoder = InputEncoder.of(model, checkpoint.tokenizer)
    pieces = skill.pieces(ROWS, encoder, labelled=True)
    logits_BC = skill.logits(pieces, read_off(model, skill, pieces).outputs)
    for row, piece in enumerate(pieces):
        outputs_NC = model(torch.from_numpy(piece.ids[None]), head=HeadKind.TOKEN_CLASSIFICATION)[0]
        start, end, begin, stop = piece.target.tokens
        expected_C = outputs_NC[start:end, :2].mean(0) + outputs_NC[begin:stop, 2:].mean(0)
        torch.testing.assert_close(logits_BC[row], expected_C)
    batch = skill.batches(ROWS, encoder, batch_size=3, seed=0).rows(0, range(3))
    loss = skill.objective()(model, batch).loss_nats
    expected = functional.cross_entropy(
        logits_BC, torch.tensor([skill.target(row) for row in ROWS]), reduction="sum"
    )
    torch.testing.assert_close(loss, expected)
    # Halves of the symmetric divergence between a model and one that is sure of nothing.
    outputs = outputs_of(model, batch, skill.head)
    apart = skill.divergence(outputs, torch.zeros_like(outputs), batch)
    logs_BC, flat = logits_BC.log_softmax(-1), torch.full_like(logits_BC, -torch.tensor(2.0).log().item())
    torch.testing.assert_close(apart, ((logs_BC.exp() - flat.exp()) * (logs_BC - flat)).sum() / 2)


def test_a_model_learns_which_entity_is_which_and_answers_from_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random.seed(0)
    names, rows = ["man", "girl", "cat", "dog", "food"], []
    for _ in range(120):
        one, other = random.sample(names, 2)
        marks = random.sample(["e1", "e2"], 2)
        pair = [f"<{mark}>{name}</{mark}>" for mark, name in zip(marks, (one, other), strict=True)]
        rows.append({"text": " is ".join(pair), "relation": "->" if marks[0] == "e1" else "<-"})
    data = tmp_path / "rows.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    model = str(make_encoder(tmp_path / "encoder"))
    out = tmp_path / "run"
    flags = ["--model", model, "--out", str(out), "--epochs", "6", "--learning-rate", "3e-3"]
    assert run(["finetune", "relation-extraction", str(data), *flags, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["accuracy"]["value"] > 0.9
    answers = TaskModel.load(out / "model")
    assert isinstance(answers.skill, Relations) and answers.skill.labels == ("->", "<-")
    said = answers.predict([("<e1>cat</e1> is <e2>man</e2>",), ("<e2>cat</e2> is <e1>man</e1>",)])
    assert [row["label"] for row in said] == ["->", "<-"]
