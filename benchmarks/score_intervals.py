"""How long a score, its interval and the comparison of two systems take.

    python -m benchmarks score_intervals [EXAMPLES] [RESAMPLES]

100,000 made examples and 1,000 resamples where nothing else is said. Beside each: the same resamples with
the score computed anew each time by the usual library (timed on three of them and multiplied).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from benchmarks.machine import describe
from yanmo import metrics
from yanmo.metrics import Scores

NUM_TIMED = 3
Result = TypeVar("Result")


def main() -> None:
    """Print the table."""
    count = int(sys.argv[2]) if sys.argv[2:] else 100_000
    num_resamples = int(sys.argv[3]) if sys.argv[3:] else 1000
    print(f"{count:,} examples, {num_resamples:,} resamples. {describe()}")
    print("| scores | kinds | value | interval | two systems compared | anew each time |")
    print("|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for name, score, (gold, first, second), anew in _cases(count, rng):
        print(_row(name, score, gold, first, second, anew, num_resamples), flush=True)


def _row(
    name: str,
    score: Callable[..., Scores],
    gold: Sequence[Any],
    first: Sequence[Any],
    second: Sequence[Any],
    anew: Callable[[Sequence[Any], Sequence[Any]], object] | None,
    num_resamples: int,
) -> str:
    scores, value_s = _timed(lambda: _with_value(score(gold, first)))
    _, interval_s = _timed(lambda: metrics.bootstrap(scores, num_resamples=num_resamples))
    both = score([*gold, *gold], [*first, *second])
    _, compared_s = _timed(lambda: metrics.approximate_randomisation(both, num_resamples=num_resamples))
    peer = "" if anew is None else f"{_anew_s(anew, gold, first) * num_resamples:,.0f} s"
    times = f"{value_s:.2f} s | {interval_s:.2f} s | {compared_s:.2f} s"
    return f"| {name} | {scores.num_kinds:,} | {times} | {peer} |"


def _with_value(scores: Scores) -> Scores:
    """The scores, computed once."""
    assert scores.values
    return scores


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _anew_s(
    anew: Callable[[Sequence[Any], Sequence[Any]], object], gold: Sequence[Any], predicted: Sequence[Any]
) -> float:
    """Seconds of one resample that computes its score from the examples."""
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for _ in range(NUM_TIMED):
        rows = rng.integers(0, len(gold), len(gold)).tolist()
        anew([gold[row] for row in rows], [predicted[row] for row in rows])
    return (time.perf_counter() - start) / NUM_TIMED


def _cases(count: int, rng: np.random.Generator) -> list[tuple[str, Any, tuple[Any, Any, Any], Any]]:
    from sacrebleu.metrics.bleu import BLEU
    from scipy.stats import spearmanr
    from sklearn.metrics import f1_score, roc_auc_score

    def macro(gold: Sequence[Any], predicted: Sequence[Any]) -> object:
        return f1_score(gold, predicted, average="macro")

    def spearman(gold: Sequence[Any], predicted: Sequence[Any]) -> object:
        return spearmanr(gold, predicted)

    def bleu(gold: Sequence[Any], predicted: Sequence[Any]) -> object:
        return BLEU(tokenize="zh").corpus_score(predicted, [gold])

    numbers = rng.normal(size=count)
    noisy = [(numbers + rng.normal(size=count)).tolist() for _ in range(2)]
    return [
        ("classification, 2 labels", metrics.classification, _labels(count, 2, rng), macro),
        ("classification, 100 labels", metrics.classification, _labels(count, 100, rng), macro),
        ("entities, 4 types", metrics.entity_scores, _entities(count, rng), None),
        ("Pearson, Spearman, errors", metrics.regression, (numbers.tolist(), *noisy), spearman),
        ("areas under curves", metrics.ranking_curves, ((numbers > 1).tolist(), *noisy), roc_auc_score),
        ("answers, by characters", _by_characters, _answers(count, rng), None),
        ("BLEU, Chinese", metrics.bleu, _texts(count, rng), bleu),
        ("chrF, Chinese", metrics.chrf, _texts(count, rng), None),
        ("ROUGE, Chinese", metrics.rouge, _texts(count, rng), None),
    ]


def _by_characters(gold: Sequence[Sequence[str]], predicted: Sequence[str]) -> Scores:
    return metrics.answer_scores(gold, predicted, counted="characters")


def _labels(count: int, num_labels: int, rng: np.random.Generator) -> tuple[list[str], list[str], list[str]]:
    gold = rng.integers(0, num_labels, count)
    systems = [np.where(rng.random(count) < 0.8, gold, rng.integers(0, num_labels, count)) for _ in range(2)]
    first, second, third = ([f"类 {index}" for index in labels.tolist()] for labels in (gold, *systems))
    return first, second, third


def _entities(count: int, rng: np.random.Generator) -> tuple[list[Any], list[Any], list[Any]]:
    types = ("PER", "ORG", "地点", "时间")
    sizes = rng.integers(0, 5, count).tolist()
    gold = [
        [metrics.Entity(types[(row + part) % 4], part, part + 1) for part in range(size)]
        for row, size in enumerate(sizes)
    ]
    systems = [
        [entities[:keep] for entities, keep in zip(gold, rng.integers(0, 6, count).tolist(), strict=True)]
        for _ in range(2)
    ]
    return gold, systems[0], systems[1]


def _texts(count: int, rng: np.random.Generator) -> tuple[list[str], list[str], list[str]]:
    letters = np.array(list("的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就"))
    lengths = rng.integers(10, 41, count).tolist()
    wanted = rng.integers(0, len(letters), (count, 40))
    noise = rng.integers(0, len(letters), wanted.shape)
    made = [np.where(rng.random(wanted.shape) < 0.7, wanted, noise) for _ in range(2)]
    first, second, third = (
        ["".join(row[:length]) for row, length in zip(letters[symbols], lengths, strict=True)]
        for symbols in (wanted, *made)
    )
    return first, second, third


def _answers(count: int, rng: np.random.Generator) -> tuple[list[list[str]], list[str], list[str]]:
    gold, first, second = _texts(count, rng)
    lengths = rng.integers(0, 12, count).tolist()
    answers = [[text[:length]] if length else [] for text, length in zip(gold, lengths, strict=True)]
    return answers, [text[:8] for text in first], [text[:9] for text in second]


if __name__ == "__main__":
    main()
