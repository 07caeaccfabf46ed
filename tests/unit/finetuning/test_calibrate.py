"""Temperatures, thresholds and class weights of fine-tuned models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_made import make_encoder

from yanmo import metrics
from yanmo.errors import InputError
from yanmo.finetuning.batches import PackedBatch
from yanmo.finetuning.calibrate import calibrate
from yanmo.finetuning.calibration import Calibration
from yanmo.finetuning.encoding import InputEncoder
from yanmo.finetuning.skill import HeadSkill
from yanmo.finetuning.text_labels import Number, OneClass, SeveralClasses, read_labels, weigh_classes
from yanmo.finetuning.token_tags import TokenTags
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import Segments
from yanmo.tasks.examples import ClassificationExample, Origin, TokenExample

WORDS = ("man", "cat", "dog", "girl", "food", "the", "is", "a")
TEXTS = [f"{first} {second}" for first in WORDS for second in WORDS]


def rows(labels: Sequence[Any]) -> list[ClassificationExample]:
    return [
        ClassificationExample(text=text, label=label, origin=Origin("a"))
        for text, label in zip(TEXTS, labels, strict=False)
    ]


def opened(folder: Path, skill: HeadSkill[Any], *, scale: float) -> tuple[Transformer, InputEncoder]:
    """A model with a random head of so large weights."""
    checkpoint = Checkpoint.open(make_encoder(folder / "encoder"))
    network = skill.network(checkpoint).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.startswith("heads."):
                weight.copy_(torch.randn_like(weight) * scale)
    return network, InputEncoder.of(network, checkpoint.tokenizer, 32)


def labels_drawn(model: Transformer, encoder: InputEncoder, skill: OneClass, temperature: float) -> list[str]:
    """Labels that come true as often as the outputs over a temperature say."""
    found = skill.answer(model, rows([skill.labels[0]] * len(TEXTS)), encoder)
    shares = np.array([list(row["probabilities"].values()) for row in found])
    shares = metrics.softmax(np.log(shares), temperature=temperature)
    drawn = np.random.default_rng(0).random(len(shares)) < shares[:, 1]
    return [skill.labels[int(one)] for one in drawn]


def test_a_model_made_elsewhere_with_one_output_says_a_number() -> None:
    assert isinstance(read_labels(("LABEL_0",), {}, Path(), task="text-classification"), Number)
    several = {"problem_type": "multi_label_classification"}
    assert isinstance(read_labels(("LABEL_0",), several, Path(), task="text-classification"), SeveralClasses)
    assert isinstance(read_labels(("a", "b"), {}, Path(), task="text-classification"), OneClass)


def test_a_temperature_makes_probabilities_true_and_changes_no_answer(tmp_path: Path) -> None:
    skill = OneClass(labels=("a", "b"))
    model, encoder = opened(tmp_path, skill, scale=3.0)
    examples = rows(labels_drawn(model, encoder, skill, 4.0))
    fitted = calibrate(skill, model, examples, encoder)
    assert 2.5 < fitted.calibration.temperature < 7 and fitted.calibration.thresholds == ()
    before, after = (one.answer(model, examples, encoder) for one in (skill, fitted))
    assert [row["label"] for row in before] == [row["label"] for row in after]
    gold = [skill.labels.index(str(example.label)) for example in examples]
    worse, better = (
        metrics.calibration(gold, [list(row["probabilities"].values()) for row in found])
        for found in (before, after)
    )
    assert better["nll"] < worse["nll"] - 0.1 and better["ece"] < worse["ece"]
    again = read_labels(skill.labels, fitted.settings, tmp_path, task=skill.task)
    assert again.answer(model, examples, encoder) == after


def test_a_few_right_answers_are_not_certainty(tmp_path: Path) -> None:
    skill = OneClass(labels=("a", "b"))
    model, encoder = opened(tmp_path, skill, scale=0.5)
    said = [row["label"] for row in skill.answer(model, rows(["a"] * 8), encoder)]
    examples = rows(said)
    found = calibrate(skill, model, examples, encoder).answer(model, examples, encoder)
    surest = max(max(row["probabilities"].values()) for row in found)
    assert 0.8 < surest < 0.9999


def test_thresholds_of_two_classes_and_of_several(tmp_path: Path) -> None:
    skill = OneClass(labels=("no", "yes"))
    model, encoder = opened(tmp_path, skill, scale=1.0)
    shares = [row["probabilities"]["yes"] for row in skill.answer(model, rows(["no"] * len(TEXTS)), encoder)]
    cut = float(np.quantile(shares, 0.9))
    examples = rows(["yes" if share >= cut else "no" for share in shares])
    plain = calibrate(skill, model, examples, encoder)
    tuned = calibrate(skill, model, examples, encoder, decide_by="f1")
    assert plain.calibration.thresholds == () and sum(tuned.calibration.thresholds) == pytest.approx(1)
    assert tuned.score(examples, tuned.answer(model, examples, encoder))["accuracy"] == 1
    assert plain.score(examples, plain.answer(model, examples, encoder))["accuracy"] < 0.95
    several = SeveralClasses(labels=("no", "yes"))
    sets: list[tuple[str, ...]] = [("yes",) if share >= cut else () for share in shares]
    tuned_several = calibrate(several, model, rows(sets), encoder)
    assert len(tuned_several.calibration.thresholds) == 2
    untuned = calibrate(several, model, rows(sets), encoder, decide_by="probability")
    assert untuned.calibration.thresholds == ()
    again = read_labels(several.labels, tuned_several.settings, tmp_path, task="text-classification")
    asked = rows(sets)
    assert again.answer(model, asked, encoder) == tuned_several.answer(model, asked, encoder)


def test_tags_have_a_temperature_and_stay_as_they_are(tmp_path: Path) -> None:
    skill = TokenTags(labels=("O", "B-PER", "I-PER"))
    model, encoder = opened(tmp_path, skill, scale=1.0)
    tags = ("B-PER", "O")
    examples = [TokenExample(tokens=tuple(text.split()), tags=tags, origin=Origin("a")) for text in TEXTS]
    fitted = calibrate(skill, model, examples, encoder)
    assert fitted.calibration.temperature > 1.5
    assert fitted.settings == {"finetuning_temperature": fitted.calibration.temperature}
    before, after = (one.answer(model, examples, encoder) for one in (skill, fitted))
    assert [row["tags"] for row in before] == [row["tags"] for row in after]
    pairs = [
        (one["score"], two["score"])
        for first, second in zip(before, after, strict=True)
        for one, two in zip(first["entities"], second["entities"], strict=True)
    ]
    assert pairs and all(two < one for one, two in pairs if one > 0.7)


def test_what_has_no_probabilities_is_left_and_says_so(tmp_path: Path) -> None:
    number = Number()
    model, encoder = opened(tmp_path, number, scale=1.0)
    examples = rows(["a"])
    assert calibrate(number, model, examples, encoder) is number
    with pytest.raises(InputError, match="--decide-by f1 is for two classes"):
        calibrate(OneClass(labels=("a", "b", "c")), model, examples, encoder, decide_by="f1")
    skill = OneClass(labels=("a", "b"))
    assert calibrate(skill, model, [], encoder) is skill


@pytest.mark.parametrize(
    "said",
    [
        {"finetuning_temperature": 0},
        {"finetuning_temperature": "hot"},
        {"finetuning_temperature": float("nan")},
        {"finetuning_temperature": True},
        {"finetuning_thresholds": [0.5]},
        {"finetuning_thresholds": [0.5, 1.0]},
        {"finetuning_thresholds": {"a": 0.5, "b": 0.5}},
    ],
)
def test_a_strange_config_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"config\.json has the t"):
        Calibration.read(said, 2)


def loss_of(skill: OneClass | SeveralClasses, outputs: torch.Tensor, targets: list[object]) -> float:
    batch = PackedBatch(
        tokens_1N=torch.zeros(1, len(targets), dtype=torch.long),
        segments=Segments([1] * len(targets)),
        types_1N=None,
        targets=skill.collate(targets),
    )
    return float(skill.loss(outputs, batch).loss_nats)


def test_balanced_classes_count_alike() -> None:
    examples = rows(["rare"] + ["usual"] * 9)
    plain = OneClass(labels=("rare", "usual"))
    skill = weigh_classes(plain, examples, "balanced")
    assert skill.weights == pytest.approx((5.0, 10 / 18))
    targets: list[object] = [plain.target(example) for example in examples]
    # Outputs that know nothing: both classes have half of the loss, which is as large as without weights.
    nothing = torch.zeros(10, 2)
    assert loss_of(skill, nothing, targets) == pytest.approx(loss_of(plain, nothing, targets))
    assert loss_of(skill, nothing[:1], targets[:1]) == pytest.approx(loss_of(skill, nothing[1:], targets[1:]))
    given = weigh_classes(plain, examples, {"rare": 3.0})
    assert isinstance(given, OneClass) and given.weights[0] / given.weights[1] == pytest.approx(3)


def test_weights_of_several_classes_are_of_their_yes() -> None:
    examples = rows([("rare",), *[()] * 4])
    plain = SeveralClasses(labels=("rare",))
    skill = weigh_classes(plain, examples, "balanced")
    assert skill.weights == (4.0,)
    targets: list[object] = [plain.target(example) for example in examples]
    nothing = torch.zeros(5, 1)
    assert loss_of(skill, nothing[:1], targets[:1]) == pytest.approx(loss_of(skill, nothing[1:], targets[1:]))


def test_wrong_class_weights_are_refused() -> None:
    skill, examples = OneClass(labels=("a", "b")), rows(["a", "b"])
    with pytest.raises(InputError, match="no class is named 'c'"):
        weigh_classes(skill, examples, {"c": 2.0})
    with pytest.raises(InputError, match="a number above 0"):
        weigh_classes(skill, examples, {"a": 0.0})
    with pytest.raises(InputError, match="for tasks of classes"):
        weigh_classes(Number(), examples, "balanced")
