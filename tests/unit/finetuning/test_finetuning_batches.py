from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_made import make_encoder

from yanmo.errors import InputError
from yanmo.finetuning.batches import Encoded, ExampleBatches
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.registry import kind_of_task
from yanmo.finetuning.skill import HeadSkill
from yanmo.finetuning.text_labels import Number, OneClass, SeveralClasses, fit_labels
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.transformer import Transformer
from yanmo.tasks.examples import (
    Answer,
    ClassificationExample,
    Label,
    Origin,
    PairExample,
    QuestionExample,
    RelationExample,
    Span,
    TokenExample,
)


def example(text: str, label: Label) -> ClassificationExample:
    return ClassificationExample(text=text, label=label, origin=Origin("a.csv", 2, 2))


def encoded(lengths: list[int]) -> list[Encoded[int]]:
    return [
        Encoded(ids=np.full(length, place), types=None, target=place) for place, length in enumerate(lengths)
    ]


def batches(lengths: list[int], *, batch_size: int, seed: int = 0) -> ExampleBatches[int]:
    return ExampleBatches(encoded(lengths), torch.tensor, batch_size=batch_size, seed=seed)


def test_every_epoch_shows_each_example_once_in_another_order() -> None:
    made = batches(list(range(1, 61)), batch_size=8)
    assert made.per_epoch == 8
    epochs = []
    for epoch in range(2):
        steps = range(epoch * 8, epoch * 8 + 8)
        epochs.append([made.rows(step, range(8)).targets.tolist() for step in steps])
        shown = Counter(target for rows in epochs[-1] for target in rows)
        assert set(shown) == set(range(60)) and sum(shown.values()) == 64 and max(shown.values()) == 2
    assert epochs[0] != epochs[1]


def test_texts_of_like_length_stand_together() -> None:
    rng = np.random.default_rng(0)
    made = batches(rng.integers(1, 200, 1600).tolist(), batch_size=16)
    spreads = [np.ptp(made.rows(step, range(16)).segments.lengths) for step in range(made.per_epoch)]
    assert np.mean(spreads) < 15


def test_rows_depend_on_seed_and_step_alone() -> None:
    lengths = list(range(1, 41))
    one, other = batches(lengths, batch_size=8), batches(lengths, batch_size=8)
    later = other.rows(9, range(8))
    assert torch.equal(one.rows(2, range(4, 8)).targets, other.rows(2, range(8)).targets[4:])
    assert torch.equal(one.rows(9, range(8)).tokens_1N, later.tokens_1N)
    assert not torch.equal(batches(lengths, batch_size=8, seed=1).rows(9, range(8)).targets, later.targets)


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(InputError, match="there is no example to learn from"):
        batches([], batch_size=8)


ONE = [example("a man is eating", "eats"), example("the cat", "rests"), example("一个人在吃", "eats")]
SEVERAL = [example("a man is eating", ("man", "eats")), example("the cat", ()), example("一个人", ("man",))]
NUMBERS = [example("a man", 1.5), example("the cat is eating food", 4.0), example("一个人", 2.5)]
PAIRS = [
    PairExample(first=first, second=second, label=label, origin=Origin("a.csv", 2, 2))
    for first, second, label in (("a man", "a cat is eating food", "no"), ("人", "一个人", "yes"))
]


QUESTIONS = [
    QuestionExample(
        question="人", context=context, answers=(Answer(context[2:5], 2),), origin=Origin("a.json", 2, 2)
    )
    for context in ("the man is eating", "一个人 food")
]
RELATIONS = [
    RelationExample(
        text=text, head=Span(0, 3, ""), tail=Span(4, 7, ""), relation=relation, origin=Origin("a.csv", 2, 2)
    )
    for text, relation in (("the man is eating", "eats"), ("cat and food", "likes"), ("一个人 cat", "eats"))
]
TAGGED = [
    TokenExample(tokens=tuple(words.split()), tags=tuple(tags.split()), origin=Origin("a.conll", 1, 1))
    for words, tags in (("the girl is", "O B-PER O"), ("food 一 人", "B-THING O B-PER"), ("a", "O"))
]


@pytest.mark.parametrize(
    ("examples", "task"),
    [
        (ONE, "text-classification"),
        (SEVERAL, "text-classification"),
        (NUMBERS, "text-classification"),
        (PAIRS, "pair-classification"),
        (RELATIONS, "relation-extraction"),
        (TAGGED, "token-classification"),
        (QUESTIONS, "question-answering"),
    ],
)
def test_packed_alone_and_accumulated_give_the_same_gradient(
    examples: list[Any], task: str, tmp_path: Path
) -> None:
    skill = kind_of_task(task).fit(examples)
    assert isinstance(skill, HeadSkill)
    model, batch = prepared(skill, examples, tmp_path)
    objective, whole = skill.objective(), gradients(model)
    num_targets = 7 if task == "token-classification" else len(examples)
    assert objective(model, batch.rows(0, range(len(examples)))).num_tokens == num_targets
    for parts in ([range(len(examples))], [range(place, place + 1) for place in range(len(examples))]):
        model.zero_grad()
        for rows in parts:
            objective(model, batch.rows(0, rows)).loss_nats.backward()
        found = gradients(model)
        assert found.abs().max() > 1e-3
        whole = found if not len(whole) else whole
        assert torch.allclose(found, whole, atol=1e-5)


def prepared(
    skill: HeadSkill[Any], examples: list[Any], folder: Path
) -> tuple[Transformer, ExampleBatches[Any]]:
    checkpoint = Checkpoint.open(make_encoder(folder / "encoder"))
    torch.manual_seed(0)
    model = skill.network(checkpoint)
    # A head of zeros would send no gradient to what is below it.
    with torch.no_grad():
        model.get_parameter(f"heads.{skill.head.value}.output.weight").normal_(0, 0.3)
    encoder = InputEncoder.of(model, checkpoint.tokenizer, 40)
    return model, skill.batches(examples, encoder, batch_size=len(examples), seed=0)


def gradients(model: Transformer) -> torch.Tensor:
    found = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
    return torch.cat(found) if found else torch.empty(0)


def test_the_skill_follows_from_the_labels() -> None:
    one, several, number = (fit_labels(rows, task="text-classification") for rows in (ONE, SEVERAL, NUMBERS))
    assert isinstance(one, OneClass) and one.labels == ("eats", "rests")
    assert isinstance(several, SeveralClasses) and several.target(SEVERAL[0]) == (1.0, 1.0)
    assert isinstance(number, Number) and number.mean == pytest.approx(8 / 3)
    assert number.predictions(torch.tensor([[0.0]])) == [{"score": pytest.approx(8 / 3)}]


def test_what_cannot_be_learned_is_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match="all examples have the class 'eats': there is nothing to learn"):
        fit_labels([ONE[0], ONE[2]], task="text-classification")
    with pytest.raises(InputError, match="labels are mixed: number, one"):
        fit_labels([ONE[0], NUMBERS[0]], task="text-classification")
    with pytest.raises(InputError, match=r"all examples have the number 1\.5"):
        fit_labels([NUMBERS[0]] * 2, task="text-classification")
    skill = fit_labels(ONE, task="text-classification")
    with pytest.raises(InputError, match=r"a\.csv line 2: the label 'flies' was not there to learn from"):
        skill.target(example("a bird", "flies"))
