"""Runs side by side: what differs in their settings, what each came to, and their scores at equal cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yanmo.config import format_duration, format_size
from yanmo.reporting.axes import Point, Words
from yanmo.reporting.runs import RunRecord, RunSummary, number, summarise

Value = str | float | int | bool | None
# Of the plan's choice, what is a consequence and not a setting.
_CONSEQUENCES = ("interval", "epochs", "batch_tokens", "num_parameters")
_MARKS = (0.125, 0.25, 0.5, 0.75, 1.0)
# What validations measure, beside the loss; a name that is not here is shown as it is.
MEASURES = {
    "loss_nats": Words("validation loss (nats per token)", "验证损失（奈特/词元）"),
    "bits_per_byte": Words("validation bits per byte", "验证每字节比特数"),
    "masked_accuracy": Words("masked tokens guessed", "掩码词元猜对率"),
    "next_sentence_accuracy": Words("next sentence told", "下一句判断正确率"),
    "perplexity": Words("perplexity", "困惑度"),
}
_NAMES = MEASURES | {
    "steps": Words("steps", "步数"),
    "tokens": Words("tokens", "词元"),
    "time": Words("time", "用时"),
    "parameters": Words("parameters", "参数"),
    "tokens_per_s": Words("tokens per second", "每秒词元数"),
    "peak_memory": Words("peak memory", "内存峰值"),
    "test_bits_per_byte": Words("test bits per byte", "测试每字节比特数"),
    "baseline_bits_per_byte": Words("n-gram bits per byte", "n-gram 每字节比特数"),
    "predicted_bits_per_byte": Words("predicted bits per byte", "预测每字节比特数"),
    "energy": Words("energy", "能耗"),
    "skipped": Words("batches left out", "跳过的批次"),
    "rollbacks": Words("times gone back", "回退次数"),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a comparison: a name, and a value for each run in order."""

    name: Words | str
    values: tuple[Value, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Plain values; a name in both languages is a table of them."""
        name = self.name if isinstance(self.name, str) else {"en": self.name.en, "zh": self.name.zh}
        return {"name": name, "values": list(self.values)}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs side by side.

    Attributes:
        names: of the runs.
        settings: those that differ, by their dotted names.
        results: what the runs came to, written for people.
        measure: what ``equal_cost`` holds: ``bits_per_byte``, or ``loss_nats`` where a run has no bits.
        equal_cost: validation scores at equal tokens, between measurements in a straight line.
    """

    names: tuple[str, ...]
    settings: tuple[Row, ...]
    results: tuple[Row, ...]
    measure: str
    equal_cost: tuple[Row, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, as ``yanmo runs A B --json`` prints them."""
        return {
            "names": list(self.names),
            "settings": [row.to_mapping() for row in self.settings],
            "results": [row.to_mapping() for row in self.results],
            "measure": self.measure,
            "equal_cost": [row.to_mapping() for row in self.equal_cost],
        }


def compare(records: Mapping[str, RunRecord]) -> Comparison:
    """Put runs side by side.

    Args:
        records: the runs by the names they are to go by.
    """
    made = list(records.values())
    has_bits = all(record.history.points("tokens", "bits_per_byte", kind="valid") for record in made)
    measure = "bits_per_byte" if has_bits else "loss_nats"
    return Comparison(
        names=tuple(records),
        settings=tuple(_differences([_settings(record) for record in made])),
        results=tuple(_results([(record, summarise(record)) for record in made])),
        measure=measure,
        equal_cost=tuple(_equal_cost(made, measure)),
    )


def leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested tables with its dotted name."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _settings(record: RunRecord) -> dict[str, Value]:
    """What was asked for, and what the plan chose where nothing was."""
    asked, chosen = dict(leaves(record.settings)), dict(leaves(record.chosen))
    if "corpus_sha256" in asked:
        # The text counts, not where it lies.
        asked.pop("corpus", None)
    own = {name.rpartition(".")[2] for name in asked}
    chosen = {
        name: value
        for name, value in chosen.items()
        if name not in own and name not in _CONSEQUENCES and not name.startswith("predicted")
    }
    return {
        name: value if isinstance(value, str | int | float | bool) else str(value)
        for name, value in (asked | chosen).items()
    }


def _differences(tables: Sequence[Mapping[str, Value]]) -> Iterator[Row]:
    for name in dict.fromkeys(name for table in tables for name in table):
        values = tuple(table.get(name) for table in tables)
        if any(value != values[0] for value in values):
            yield Row(name=name, values=values)


def _results(runs: Sequence[tuple[RunRecord, RunSummary]]) -> Iterator[Row]:
    measured = dict.fromkeys(name for _, summary in runs for name in summary.valid)
    rows: list[tuple[str, Callable[[RunRecord, RunSummary], str | None]]] = [
        ("parameters", lambda _, run: _written(run.num_parameters, _whole)),
        ("steps", lambda _, run: _written(run.steps, _whole)),
        ("tokens", lambda _, run: _written(run.tokens, _whole)),
        ("time", lambda _, run: _written(run.elapsed_s, format_duration)),
        ("tokens_per_s", lambda record, _: _written(_speed(record), _whole)),
        (
            "peak_memory",
            lambda record, _: _written(number(record.result.get("peak_memory_bytes")), format_size),
        ),
        *((name, _newest(name)) for name in measured),
        ("predicted_bits_per_byte", lambda record, _: _predicted(record)),
        ("test_bits_per_byte", lambda _, run: _written(run.bits_per_byte, _score)),
        ("baseline_bits_per_byte", lambda _, run: _written(run.baseline_bits_per_byte, _score)),
        ("energy", lambda _, run: format_energy(run.energy_wh, run.energy_source) or None),
        ("skipped", lambda _, run: _written(run.num_skipped or None, _whole)),
        ("rollbacks", lambda _, run: _written(run.num_rollbacks or None, _whole)),
    ]
    for name, write in rows:
        values = tuple(write(record, summary) for record, summary in runs)
        if any(value is not None for value in values):
            yield Row(name=_NAMES.get(name, name), values=values)


def format_energy(energy_wh: float | None, source: str | None) -> str:
    """Energy for people, an estimate marked as one; empty where it is not known."""
    if energy_wh is None:
        return ""
    amount = f"{energy_wh:.3g} Wh" if energy_wh < 1000 else f"{energy_wh / 1000:.3g} kWh"
    return amount if source == "rapl" else f"~{amount}"


def _equal_cost(records: Sequence[RunRecord], measure: str) -> Iterator[Row]:
    curves = [record.history.points("tokens", measure, kind="valid") for record in records]
    if not all(curves):
        return
    common = min(curve[-1][0] for curve in curves)
    for mark in _MARKS:
        values = tuple(_between(curve, common * mark) for curve in curves)
        if any(value is not None for value in values):
            tokens = f"{common * mark:,.0f}"
            yield Row(name=Words(f"at {tokens} tokens", f"在 {tokens} 词元处"), values=values)


def _between(curve: Sequence[Point], x: float) -> float | None:
    """The curve's height at ``x``, in a straight line between its points; None before the first."""
    for (x1, y1), (x2, y2) in itertools.pairwise(curve):
        if x1 <= x <= x2:
            return y1 if x2 == x1 else y1 + (y2 - y1) * (x - x1) / (x2 - x1)
    return curve[0][1] if curve[0][0] == x else None


def _newest(name: str) -> Callable[[RunRecord, RunSummary], str | None]:
    return lambda _, run: _written(run.valid.get(name), _score)


def _predicted(record: RunRecord) -> str | None:
    predicted, interval = number(record.chosen.get("predicted_bits_per_byte")), interval_of(record)
    if predicted is None:
        return None
    return f"{predicted:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def interval_of(record: RunRecord) -> tuple[float, float] | None:
    """The interval that the plan expects the final bits per byte in."""
    value = record.chosen.get("interval")
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None else (low, high)


def _speed(record: RunRecord) -> float | None:
    if (told := number(record.result.get("tokens_per_s"))) is not None:
        return told
    last = record.history.newest()
    return last["tokens"] / last["elapsed_s"] if last.get("tokens") and last.get("elapsed_s") else None


def _written(value: float | None, write: Callable[[float], str]) -> str | None:
    return None if value is None else write(value)


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _score(value: float) -> str:
    return f"{value:.4f}"
