"""From what answers cost to scores: which is ranked first, by whole cost and by cost a character or byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yanmo import metrics
from yanmo.evaluation.continuations import Cost
from yanmo.evaluation.suites.items import Item
from yanmo.metrics import Scores
from yanmo.metrics.segments import split_words

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The scores of what knows nothing."""

    name: str
    scores: Scores


def ranking_scores(items: Sequence[Item], costs: Sequence[Sequence[Cost]], *, normalised: bool) -> Scores:
    """Share of questions whose right answer is the likeliest.

    Args:
        items: the questions.
        costs: of each answer of each question.
        normalised: also by the log-probability a character and a UTF-8 byte of the answer, so that short
            answers have no advantage (Gao 2021, "Multiple Choice Normalization in LM Evaluation").
    """
    losses = [np.array([cost.loss_nats for cost in several]) for several in costs]
    columns = [_right(items, losses)]
    names = ["accuracy"]
    if normalised:
        for name, size in (("accuracy_per_character", len), ("accuracy_per_byte", _num_bytes)):
            names.append(name)
            sizes = [np.array([size(choice) for choice in item.choices]) for item in items]
            columns.append(_right(items, [loss / n for loss, n in zip(losses, sizes, strict=True)]))
    return _with_macro(items, names, np.stack(columns, axis=1))


def word_scores(costs: Sequence[Sequence[Cost]]) -> Scores:
    """Share of passages whose last word is what the model would say, and perplexity a word.

    Perplexity is e to the mean cost of a whole last word, however many tokens it has.
    """
    rows = np.array([[several[0].is_likeliest, several[0].loss_nats, 1.0] for several in costs])
    return metrics.from_rows(
        ["accuracy", "perplexity"],
        rows,
        lambda sums: np.stack(
            [sums[:, 0] / sums[:, 2], np.exp(np.minimum(sums[:, 1] / sums[:, 2], _MOST_NATS))], axis=1
        ),
    )


# e to more than this is no float64.
_MOST_NATS = 700.0


def ranking_baselines(items: Sequence[Item], scores: Scores) -> list[Beside]:
    """Guessing, and always taking the longest or the shortest answer, by all scores of the model."""
    width = len([name for name in scores.names if name != _MACRO])
    chance = np.array([[1 / len(item.choices)] * width for item in items])
    found = [Beside(name="guessing", scores=_with_macro(items, list(scores.names[:width]), chance))]
    for name, sign in (("the longest answer", -1.0), ("the shortest answer", 1.0)):
        sizes = [np.array([sign * len(choice) for choice in item.choices]) for item in items]
        right = np.repeat(_right(items, sizes)[:, None], width, axis=1)
        found.append(Beside(name=name, scores=_with_macro(items, list(scores.names[:width]), right)))
    return found


def word_baselines(items: Sequence[Item]) -> list[Beside]:
    """A random one of the passage's own words (Paperno et al. 2016, section 4.2)."""
    shares = []
    for item in items:
        words, wanted = set(split_words(item.question)), set(split_words(item.choices[0]))
        shares.append((bool(wanted) and wanted <= words) / max(1, len(words)))
    scores = metrics.from_ratios(["accuracy"], np.array(shares)[:, None])
    return [Beside(name="a word of the passage", scores=scores)]


_MACRO = "accuracy_macro"


def _right(items: Sequence[Item], losses: Sequence[Floats]) -> Floats:
    """One where the right answer costs least; of equal answers each is taken as often."""
    found = []
    for item, loss in zip(items, losses, strict=True):
        best = loss == loss.min()
        found.append(float(best[item.answer]) / int(best.sum()))
    return np.array(found)


def _num_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _with_macro(items: Sequence[Item], names: list[str], columns: Floats) -> Scores:
    """The scores; where there are groups, also the mean over groups of the first of them."""
    groups = {group: number for number, group in enumerate(sorted({item.group for item in items}))}
    if len(groups) < 2:
        return metrics.from_ratios(names, columns)
    width = columns.shape[1]
    members = np.zeros((len(items), len(groups)))
    members[np.arange(len(items)), [groups[item.group] for item in items]] = 1
    rows = np.hstack([columns, np.ones((len(items), 1)), members * columns[:, :1], members])

    def formula(sums: Floats) -> Floats:
        shares = sums[:, :width] / sums[:, width : width + 1]
        right, counts = np.hsplit(sums[:, width + 1 :], 2)
        # A resample without any question of a group is about the others.
        each = np.divide(right, counts, out=np.zeros_like(right), where=counts > 0)
        macro = each.sum(1) / np.maximum((counts > 0).sum(1), 1)
        return np.hstack([shares, macro[:, None]])

    return metrics.from_rows([*names, _MACRO], rows, formula)
