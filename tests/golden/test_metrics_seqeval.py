"""Entities against seqeval, which counts as conlleval does."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import seqeval.metrics as peer
from seqeval.scheme import IOB2, IOBES

from yanmo.metrics import Entity, entity_scores, entity_scores_by_type, read_entities
from yanmo.metrics.entities import Scheme

TAGS = {
    "BIO": ["O", "B-PER", "I-PER", "B-地点", "I-地点"],
    "BIOES": [f"{letter}-{kind}" for letter in "BIES" for kind in ("PER", "地点")] + ["O"],
}
STRICT = {"BIO": IOB2, "BIOES": IOBES}


def _sentences(scheme: str, seed: int) -> list[list[str]]:
    """Random tags: most runs break the scheme."""
    rng = np.random.default_rng(seed)
    return [rng.choice(TAGS[scheme], rng.integers(1, 12)).tolist() for _ in range(100)]


def _read(sentences: list[list[str]], scheme: Scheme, strict: bool) -> list[list[Entity]]:
    return [read_entities(tags, scheme=scheme, strict=strict) for tags in sentences]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
@pytest.mark.parametrize("seed", range(2))
def test_scores_of_random_tags(scheme: Scheme, strict: bool, seed: int) -> None:
    gold = _sentences(scheme, seed)
    rng = np.random.default_rng(seed + 100)
    kept = [rng.random(len(tags)) < 0.8 for tags in gold]
    noise = _sentences(scheme, seed + 200)
    predicted = [
        [
            tag if keep else (other * 12)[index]
            for index, (tag, keep) in enumerate(zip(tags, keeps, strict=True))
        ]
        for tags, keeps, other in zip(gold, kept, noise, strict=True)
    ]
    settings: dict[str, Any] = {"mode": "strict", "scheme": STRICT[scheme]} if strict else {}
    ours = entity_scores(_read(gold, scheme, strict), _read(predicted, scheme, strict))
    assert 0.2 < ours["f1"] < 0.95
    for average, suffix in (("micro", ""), ("macro", "_macro"), ("weighted", "_weighted")):
        for score in ("precision", "recall", "f1"):
            theirs = getattr(peer, f"{score}_score")(
                gold, predicted, average=average, zero_division=0, **settings
            )
            assert ours[score + suffix] == pytest.approx(theirs), (score, average)
    report = peer.classification_report(gold, predicted, output_dict=True, zero_division=0, **settings)
    of_types = entity_scores_by_type(_read(gold, scheme, strict), _read(predicted, scheme, strict))
    for kind in ("PER", "地点"):
        assert of_types[f"precision/{kind}"] == pytest.approx(report[kind]["precision"])
        assert of_types[f"recall/{kind}"] == pytest.approx(report[kind]["recall"])
        assert of_types[f"f1/{kind}"] == pytest.approx(report[kind]["f1-score"])


def test_the_scheme_without_beginnings() -> None:
    gold = [["I-PER", "I-PER", "O", "I-地点", "I-PER"], ["I-地点"]]
    predicted = [["I-PER", "O", "O", "I-地点", "I-PER"], ["O"]]
    ours = entity_scores(_read(gold, "IO", False), _read(predicted, "IO", False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peer.f1_score(gold, predicted)
    assert ours["f1"] == pytest.approx(theirs)
