"""What a check of examples found: as data, and as a table for people."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from yanmo.reporting.axes import Words
from yanmo.tasks.broken import WORDS, Broken
from yanmo.tasks.examples import Origin

MOST_ROWS = 20
_MOST_LABELS = 30
_SHOWN_ROWS = 3


class Severity(enum.StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Training on this would be in vain."""
    WARNING = "warning"
    NOTE = "note"


class FindingKind(enum.StrEnum):
    """What was found; the values are the keys that scripts meet."""

    BROKEN = "broken rows"
    BROKEN_FILES = "broken files"
    FEW_ROWS = "few rows"
    NO_TARGET = "rows without a target"
    MIXED_LABELS = "labels of several kinds"
    ONE_CLASS = "one class only"
    ONE_NUMBER = "one number only"
    NO_ENTITIES = "no entities"
    MANY_LABELS = "too many labels"
    RARE_LABELS = "rare labels"
    IMBALANCE = "imbalance"
    UNSEEN_LABELS = "labels unseen in training"
    CONSTANT_TEXT = "constant text"
    DUPLICATES = "duplicates"
    CONFLICTS = "conflicts"
    LEAK = "leak"
    NEAR_LEAK = "near leak"
    TRUNCATED = "truncated"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding."""

    kind: FindingKind
    severity: Severity
    what: Words
    rows: tuple[Origin, ...] = ()
    """The first of them, at most ``MOST_ROWS``."""
    num_rows: int = 0
    proposal: Words

    def __str__(self) -> str:
        """One line in English."""
        places = "; ".join(map(str, self.rows[:_SHOWN_ROWS]))
        more = ", ..." if self.num_rows > _SHOWN_ROWS else ""
        where = f" [{places}{more}]" if places else ""
        return f"{self.severity}: {self.what.en}{where} ({self.proposal.en})"


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long the inputs of examples are, in characters."""

    median: float
    percentile_90: float
    percentile_99: float
    longest: int
    bins: tuple[tuple[int, int, int], ...]
    """From, up to (excluded), and how many, each twice as wide as the one before."""


@dataclass(frozen=True, kw_only=True)
class Truncation:
    """How many examples take more tokens than a model reads."""

    limit: int
    num_counted: int
    """All, or an even sample of very many."""
    num_truncated: int
    longest: int

    @property
    def rate(self) -> float:
        """Share of examples that would lose their end."""
        return self.num_truncated / max(1, self.num_counted)


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that was found; splits are train, valid, test as far as they have examples."""

    num_examples: Mapping[str, int]
    num_broken: int
    label_counts: Mapping[str, Counter[str]]
    lengths: Mapping[str, Lengths]
    truncation: Mapping[str, Truncation]
    findings: tuple[Finding, ...]
    """The worst first."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What makes training vain."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)


_BARS = " ▁▂▃▄▅▆▇█"
_COLORS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
_SEVERITIES = {
    Severity.ERROR: Words("error", "错误"),
    Severity.WARNING: Words("warning", "警告"),
    Severity.NOTE: Words("note", "提示"),
}
_HEADINGS = {
    "severity": Words("severity", "级别"),
    "what": Words("found", "发现"),
    "rows": Words("rows", "行"),
    "proposal": Words("proposal", "建议"),
    "reason": Words("reason", "原因"),
    "remedy": Words("remedy", "处理办法"),
    "label": Words("label", "标签"),
    "split": Words("split", "划分"),
    "examples": Words("examples", "样本数"),
    "median": Words("median characters", "字符数中位数"),
    "percentile_90": Words("90%", "90%"),
    "longest": Words("longest", "最长"),
    "truncated": Words("truncated", "被截断"),
    "lengths": Words("characters", "字符数分布"),
}


def report_tables(report: Report, *, plain: bool = False, chinese: bool = False) -> Iterator[Table]:
    """Sizes, labels and findings as tables for people; ``plain`` leaves out lines and colours."""
    yield _sizes(report, plain, chinese)
    if any(report.label_counts.values()):
        yield _labels(report, plain, chinese)
    if report.findings:
        yield _findings(report.findings, plain, chinese)


def broken_table(
    broken: Broken, *, plain: bool = False, chinese: bool = False, most: int = MOST_ROWS
) -> Table:
    """The first of the rows that were set aside: where, why, what to do."""
    table = _table(["rows", "reason", "remedy"], plain, chinese)
    for row in broken.listed[:most]:
        detail = f": {row.detail}" if row.detail else ""
        table.add_row(Text(str(row.origin)), Text(_say(WORDS[row.flaw], chinese) + detail), Text(row.remedy))
    if len(broken) > most:
        table.add_row(_more(len(broken) - most, chinese), "", "")
    return table


def _more(count: int, chinese: bool) -> str:
    return f"另有 {count:,} 个" if chinese else f"and {count:,} more"


def _say(words: Words, chinese: bool) -> str:
    return words.zh if chinese else words.en


def _table(headings: Sequence[str], plain: bool, chinese: bool, numbers: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False) if plain else Table()
    for heading in headings:
        name = _say(_HEADINGS[heading], chinese) if heading in _HEADINGS else heading
        table.add_column(name, justify="right" if heading in numbers else "left")
    return table


def _sizes(report: Report, plain: bool, chinese: bool) -> Table:
    numbers = ["examples", "median", "percentile_90", "longest"]
    if report.truncation:
        numbers.append("truncated")
    table = _table(["split", *numbers, "lengths"], plain, chinese, numbers)
    for split, count in report.num_examples.items():
        lengths, truncation = report.lengths[split], report.truncation.get(split)
        cells = [split, f"{count:,}", f"{lengths.median:.0f}", f"{lengths.percentile_90:.0f}"]
        rate = [f"{truncation.rate:.1%}"] if truncation else []
        table.add_row(*cells, f"{lengths.longest:,}", *rate, _histogram(lengths))
    return table


def _histogram(lengths: Lengths) -> str:
    """A column for each doubling of the length, between the shortest and the longest: ``8 ▂█▃▁ 127``."""
    filled = [place for place, (*_, count) in enumerate(lengths.bins) if count]
    bins = lengths.bins[filled[0] : filled[-1] + 1]
    most = max(count for *_, count in bins)
    columns = "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for *_, count in bins)
    return f"{bins[0][0]} {columns} {bins[-1][1] - 1}"


def _labels(report: Report, plain: bool, chinese: bool) -> Table:
    splits = list(report.label_counts)
    table = _table(["label", *splits], plain, chinese, splits)
    total: Counter[str] = sum(report.label_counts.values(), Counter())
    for label, _ in total.most_common(_MOST_LABELS):
        table.add_row(Text(label[:60]), *(f"{report.label_counts[split][label]:,}" for split in splits))
    if len(total) > _MOST_LABELS:
        table.add_row(_more(len(total) - _MOST_LABELS, chinese), *("" for _ in splits))
    return table


def _findings(findings: Sequence[Finding], plain: bool, chinese: bool) -> Table:
    table = _table(["severity", "what", "rows", "proposal"], plain, chinese)
    for finding in findings:
        places = [str(row) for row in finding.rows[:_SHOWN_ROWS]]
        if finding.num_rows > len(places):
            places.append("...")
        severity = Text(
            _say(_SEVERITIES[finding.severity], chinese), style="" if plain else _COLORS[finding.severity]
        )
        what, proposal = _say(finding.what, chinese), _say(finding.proposal, chinese)
        table.add_row(severity, Text(what), Text("\n".join(places)), Text(proposal))
    return table
