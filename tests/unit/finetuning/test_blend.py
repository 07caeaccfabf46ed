"""Words beside the network: whether they count, how much, and what a model folder keeps of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from yanmo.errors import InputError
from yanmo.finetuning.blend import Blend, fit_weight, suits
from yanmo.finetuning.text_labels import OneClass, SeveralClasses, read_labels
from yanmo.metrics.scores import FloatArray, IntArray
from yanmo.models.features.linear_terms import LinearTerms

TEXTS = [(text,) for text in ("fine ink", "poor ink", "fine brush", "poor brush") * 4]
CLASSES = np.array([1, 0, 1, 0] * 4)


def judges(*strengths: float, seed: int = 0) -> tuple[list[FloatArray], IntArray]:
    """Outputs of judges that err each by itself, the stronger the less, and the classes."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 3, 600)
    return [strength * np.eye(3)[gold] + rng.normal(0, 1, (600, 3)) for strength in strengths], gold


def test_two_judges_that_err_apart_are_better_than_one() -> None:
    (one, other), gold = judges(1.5, 1.5)
    fitted = fit_weight(one, 4 * other, gold)
    # Alike in all but their scale.
    assert 0.15 < fitted.weight < 0.4 and fitted.blended_nats < fitted.alone_nats - 0.1
    both = one + fitted.weight * 4 * other
    alone, together = (float((outputs.argmax(1) == gold).mean()) for outputs in (one, both))
    assert together > alone + 0.05


def test_who_knows_nothing_or_nothing_new_does_not_count() -> None:
    for seed in range(5):
        (one, guessing), gold = judges(1.5, 0.0, seed=seed)
        assert fit_weight(one, guessing, gold).weight < 0.05
        assert fit_weight(one, np.zeros_like(one), gold).weight == 0
        assert fit_weight(one, one, gold).weight == 0


def test_several_classes_at_once() -> None:
    (one, other), gold = judges(1.5, 1.0)
    holds = np.eye(3, dtype=np.int64)[gold]
    fitted = fit_weight(one - 1, other - 1, holds)
    assert fitted.weight > 0.2 and fitted.blended_nats < fitted.alone_nats


def test_few_rows_and_too_many_classes_leave_words_out() -> None:
    words = LinearTerms.fit(TEXTS, CLASSES, num_classes=2)
    assert suits(words, 100) and not suits(words, 99)
    wide = np.zeros((1000, 1, 20_000), np.float32)
    assert not suits(LinearTerms(name="", terms=words.terms, weights_TPC=wide, bias_C=wide[0, 0]), 1000)


@pytest.mark.parametrize("kind", ["single_label_classification", "multi_label_classification"])
def test_a_model_folder_has_them_again(tmp_path: Path, kind: str) -> None:
    several = kind.startswith("multi")
    targets = np.eye(2, dtype=np.int64)[CLASSES] if several else CLASSES
    blend = Blend(words=LinearTerms.fit(TEXTS, targets, num_classes=2), weight=0.75)
    blend.save(tmp_path)
    skill = (SeveralClasses if several else OneClass)(labels=("no", "yes"), blend=blend)
    assert skill.settings["problem_type"] == kind
    again = read_labels(skill.labels, skill.settings, tmp_path, task="text-classification")
    assert again.blend is not None and again.settings == skill.settings
    logits = torch.zeros(len(TEXTS), 2)
    expected = logits + 0.75 * torch.from_numpy(blend.words.outputs(TEXTS))
    torch.testing.assert_close(again.blend.added(logits, TEXTS), expected)


def test_a_folder_that_promises_words_and_has_none_is_refused(tmp_path: Path) -> None:
    blend = Blend(words=LinearTerms.fit(TEXTS, CLASSES, num_classes=2), weight=0.75)
    blend.save(tmp_path)
    assert Blend.read({}, tmp_path, 2) is None
    for weight in (0, -1.0, "1", True, float("nan"), float("inf")):
        with pytest.raises(InputError, match="the weight"):
            Blend.read({"finetuning_blend_weight": weight}, tmp_path, 2)
    with pytest.raises(InputError, match="of 2 classes, the model of 3"):
        Blend.read(blend.settings, tmp_path, 3)
    terms = tmp_path / "linear_terms" / "words" / "terms.json"
    terms.write_text(json.dumps({"terms": ["ink"]}))
    with pytest.raises(InputError):
        Blend.read(blend.settings, tmp_path, 2)
    shutil.rmtree(tmp_path / "linear_terms")
    with pytest.raises(InputError):
        Blend.read(blend.settings, tmp_path, 2)
