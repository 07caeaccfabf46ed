"""Runs in the terminal: the list, and a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from yanmo.config import format_duration
from yanmo.reporting.comparison import Comparison, Row, format_energy
from yanmo.reporting.runs import RunSummary

_COLORS = {"running": "yellow", "done": "green", "interrupted": "red", "unknown": "dim"}
_MEASURES = {"bits_per_byte": "validation bits per byte", "loss_nats": "validation loss in nats per token"}


def runs_table(summaries: Iterable[RunSummary], *, plain: bool = False) -> Table:
    """The runs as a table for people; ``plain`` leaves out lines and colours."""
    runs = list(summaries)
    with_energy = any(run.energy_wh is not None for run in runs)
    table = Table(box=None, pad_edge=False) if plain else Table()
    for heading in ("run", "state", "started"):
        table.add_column(heading, no_wrap=True)
    for heading in ("steps", "tokens", "time", "parameters", *(("energy",) if with_energy else ())):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("valid", "test", "n-gram"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run in runs:
        better = run.bits_per_byte is not None and run.bits_per_byte < (run.baseline_bits_per_byte or 0)
        table.add_row(
            Text(run.name),
            Text(_state(run), style="" if plain else _COLORS[run.state]),
            run.started[:16].replace("T", " "),
            _steps(run),
            _count(run.tokens),
            "-" if run.elapsed_s is None else format_duration(run.elapsed_s),
            _count(run.num_parameters),
            *((format_energy(run.energy_wh, run.energy_source) or "-",) if with_energy else ()),
            _valid(run),
            Text(_bits(run.bits_per_byte), style="bold green" if better and not plain else ""),
            _bits(run.baseline_bits_per_byte),
        )
    return table


def comparison_tables(comparison: Comparison, *, plain: bool = False) -> Iterator[Table]:
    """What differs, what came of it, and the scores at equal cost; ``plain`` leaves out lines and colours."""
    measure = _MEASURES[comparison.measure]
    sections: list[tuple[str, Sequence[Row]]] = [
        ("settings that differ", comparison.settings),
        ("results", comparison.results),
        (f"{measure}, at equal tokens", comparison.equal_cost),
    ]
    for title, rows in sections:
        if not rows:
            continue
        table = Table(box=None, pad_edge=False) if plain else Table()
        table.add_column(title, no_wrap=True)
        for name in comparison.names:
            table.add_column(Text(name), justify="right")
        for row in rows:
            name = row.name if isinstance(row.name, str) else row.name.en
            table.add_row(Text(name), *(Text(_value(value)) for value in row.values))
        yield table


def _value(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _state(run: RunSummary) -> str:
    if run.state != "running" or run.progress is None:
        return run.state
    left = "" if run.time_left_s is None else f", {format_duration(run.time_left_s)} left"
    return f"running {run.progress:.0%}{left}"


def _steps(run: RunSummary) -> str:
    if run.steps is None:
        return "-"
    going_on = run.state != "done" and run.planned_steps is not None
    return f"{run.steps:,}/{run.planned_steps:,}" if going_on else f"{run.steps:,}"


def _count(value: int | None) -> str:
    if value is None:
        return "-"
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= limit:
            return f"{value / limit:.1f}{unit}"
    return str(value)


def _valid(run: RunSummary) -> str:
    """Bits per byte; of an objective that has none (masked, say) the loss in nats."""
    if run.best_valid_bits_per_byte is None and run.best_valid_loss_nats is not None:
        return f"{run.best_valid_loss_nats:.3f} nats"
    return _bits(run.best_valid_bits_per_byte)


def _bits(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
