from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_made import make_encoder
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks as checks

import yanmo
from yanmo.finetuning.task_model import TaskModel
from yanmo.recipes.estimator import TextClassifier, TextRegressor

WORDS = ["man", "food", "girl", "is", "the", "a", "eating", "一", "个", "人"]
TEXTS = [f"{WORDS[i % 10]} {WORDS[i // 10]} {animal}" for i in range(40) for animal in ("cat", "dog")]
ANIMALS = np.asarray([3, 7] * 40)
# Checks of the interface alone; scikit-learn runs none but the first for estimators of texts by itself.
INTERFACE = [
    checks.check_estimator_cloneable,
    checks.check_estimator_tags_renamed,
    checks.check_valid_tag_types,
    checks.check_estimator_repr,
    checks.check_no_attributes_set_in_init,
    checks.check_do_not_raise_errors_in_init_or_set_params,
    checks.check_mixin_order,
    checks.check_parameters_default_constructible,
    checks.check_get_params_invariance,
    checks.check_set_params,
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("made") / "encoder")


def classifier(encoder: Path, **changes: Any) -> TextClassifier:
    made = TextClassifier(encoder, epochs=8.0, learning_rate=3e-3, batch_size=8, dropout=0.0)
    return made.set_params(**changes)


@pytest.mark.parametrize("estimator", [TextClassifier(), TextRegressor()], ids=["classes", "numbers"])
@pytest.mark.parametrize("check", INTERFACE, ids=lambda check: check.__name__)
def test_the_interface_is_scikit_learns(estimator: Any, check: Any) -> None:
    check(type(estimator).__name__, clone(estimator))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:Can't test estimator")
@checks.parametrize_with_checks([TextClassifier(), TextRegressor()])
def test_scikit_learns_own_choice_of_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_it_learns_classes_of_any_kind_and_leaves_no_folder(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = classifier(encoder)
    assert made.fit(TEXTS, ANIMALS) is made and not list(tmp_path.iterdir())
    assert made.classes_.tolist() == [3, 7] and made.predict(["a cat", "人 dog"]).tolist() == [3, 7]
    shares = made.predict_proba(np.asarray(["a cat", "人 dog", "girl"], dtype=object))
    assert shares.shape == (3, 2) and np.allclose(shares.sum(1), 1)
    assert (shares.argmax(1)[:2] == [0, 1]).all() and made.score(TEXTS, ANIMALS) > 0.95
    assert is_classifier(made) and made.__sklearn_tags__().input_tags.string
    # Names whose order as texts is not that of the numbers.
    again = classifier(encoder).fit(TEXTS, np.where(ANIMALS == 3, 10, 9))
    assert again.classes_.tolist() == [9, 10] and again.predict(["a cat", "人 dog"]).tolist() == [10, 9]
    assert again.predict_proba(["a cat"])[0, 1] > 0.5


def test_it_learns_numbers_and_keeps_its_run(encoder: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    numbers = np.where(ANIMALS == 3, -5.0, 20.0) + generator.normal(size=80)
    made = TextRegressor(
        encoder, epochs=20.0, learning_rate=3e-3, batch_size=8, dropout=0.0, out=tmp_path / "run"
    )
    found = made.fit(TEXTS, numbers).predict(TEXTS)
    # The step is chosen by correlation, so the scale may be a little small.
    assert np.corrcoef(found, numbers)[0, 1] > 0.9 and found[::2].mean() < 5 < 10 < found[1::2].mean()
    assert made.score(TEXTS, numbers) > 0.3 and is_regressor(made)
    kept = TaskModel.load(tmp_path / "run").predict([(text,) for text in TEXTS[:4]])
    assert [row["score"] for row in kept] == pytest.approx(found[:4].tolist(), abs=1e-3)


def test_a_grid_of_rates_in_a_pipeline(encoder: Path) -> None:
    lower = FunctionTransformer(lambda texts: [text.lower() for text in texts])
    pipeline = Pipeline([("lower", lower), ("learn", classifier(encoder, epochs=12.0))])
    grid = GridSearchCV(pipeline, {"learn__learning_rate": [1e-7, 3e-3]}, cv=2, error_score="raise")
    grid.fit([text.upper() for text in TEXTS], ANIMALS)
    assert grid.best_params_ == {"learn__learning_rate": 3e-3} and grid.best_score_ > 0.9
    assert grid.predict(["A CAT", "A DOG"]).tolist() == [3, 7]


@pytest.mark.parametrize(
    ("texts", "labels", "match"),
    [
        (TEXTS, None, "requires y to be passed, but the target y is None"),
        ("a cat", [1], "expected texts, one a row, not str"),
        (np.zeros((4, 2)), [1, 2, 1, 2], "not a table"),
        ([*TEXTS[:3], None], [1, 2, 1, 2], "row 3 of X is NoneType, not a text"),
        (TEXTS, ANIMALS[:-1], "inconsistent numbers of samples"),
        (TEXTS, [1] * 80, "all examples have the class '1'"),
        (TEXTS, np.linspace(0, 1, 80), "Unknown label type"),
        (TEXTS[:2], ANIMALS[:2], "2 rows are too few"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(encoder: Path, texts: Any, labels: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        classifier(encoder).fit(texts, labels)


def test_other_mistakes_are_told(encoder: Path) -> None:
    with pytest.raises(ValueError, match="no model to begin with"):
        TextClassifier().fit(TEXTS, ANIMALS)
    with pytest.raises(ValueError, match="row 1 of y is not finite"):
        TextRegressor(encoder).fit(TEXTS[:3], [0.0, np.nan, 1.0])
    with pytest.raises(AttributeError, match="not fitted yet"):
        classifier(encoder).predict(TEXTS)


def test_the_package_names_them() -> None:
    assert yanmo.TextClassifier is TextClassifier and yanmo.TextRegressor is TextRegressor
    # Tags of texts are those of scikit-learn's own estimators of texts.
    ours, theirs = (made.__sklearn_tags__().input_tags for made in (TextClassifier(), CountVectorizer()))
    assert (ours.string, ours.two_d_array) == (theirs.string, theirs.two_d_array) == (True, False)
