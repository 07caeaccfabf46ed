"""Metrics as they grow: only what is new is read; a file cut back is read anew; a rollback is seen as one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from yanmo.reporting.history import History, smooth, thinned


def line(step: int, kind: str = "train", **values: Any) -> str:
    row = {"kind": kind, "step": step, "tokens": step * 10, "elapsed_s": step / 2, **values}
    return json.dumps(row) + "\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


class Counted(History):
    """Counts the rows that it has taken."""

    num_rows = 0

    def _add(self, row: Any) -> None:
        self.num_rows += 1
        super()._add(row)


def test_only_new_rows_are_read(path: Path) -> None:
    history = Counted(path)
    assert history.refresh() is False
    path.write_text("".join(line(step, loss_nats=9 / step) for step in range(1, 1001)))
    assert history.refresh() is True
    assert (history.num_rows, history.num_steps) == (1000, 1000)
    assert history.refresh() is False
    with path.open("a") as file:
        file.write(line(1001, loss_nats=0.5) + line(1001, "valid", loss_nats=0.6))
    assert history.refresh() is True
    assert (history.num_rows, history.num_steps) == (1002, 1001)
    assert history.newest() == {"step": 1001, "tokens": 10010, "elapsed_s": 500.5, "loss_nats": 0.5}


def test_a_line_still_being_written_waits_until_it_is_whole(path: Path) -> None:
    history = History(path)
    whole = line(2, loss_nats=1.0)
    path.write_text(line(1, loss_nats=2.0) + whole[:20])
    history.refresh()
    assert history.num_steps == 1
    with path.open("a") as file:
        file.write(whole[20:])
    history.refresh()
    assert list(history.column("loss_nats")) == [2.0, 1.0]


def test_a_file_cut_back_or_replaced_is_read_anew(path: Path) -> None:
    history = History(path)
    lines = [line(step, loss_nats=float(step)) for step in range(1, 11)]
    path.write_text("".join(lines))
    history.refresh()
    path.write_text("".join(lines[:4]))
    history.refresh()
    assert list(history.column("step")) == [1, 2, 3, 4]
    # Longer than what was read, and yet another file.
    path.write_text("".join(line(step, loss_nats=7.0) for step in range(1, 30)))
    history.refresh()
    assert set(history.column("loss_nats")) == {7.0}
    path.unlink()
    assert history.refresh() is True
    assert history.num_steps == 0


def test_what_a_rollback_undid_is_not_shown(path: Path) -> None:
    rows = [line(step, loss_nats=float(step)) for step in range(1, 9)]
    rows.insert(4, line(4, "valid", loss_nats=4.0))
    rows += [
        line(8, "valid", loss_nats=8.0),
        line(8, "skipped", reason="spike"),
        line(5, "rollback", from_step=8),
    ]
    rows += [line(step, loss_nats=50.0) for step in (6, 7)]
    path.write_text("".join(rows))
    history = History(path)
    history.refresh()
    assert list(history.column("step")) == [1, 2, 3, 4, 5, 6, 7]
    assert list(history.column("loss_nats"))[4:] == [5.0, 50.0, 50.0]
    assert [row["step"] for row in history.rows("valid")] == [4]
    assert [row["reason"] for row in history.rows("skipped")] == ["spike"]
    assert [row["from_step"] for row in history.rows("rollback")] == [8]


def test_what_a_validation_measured_is_named_and_its_place_is_not(path: Path) -> None:
    path.write_text(line(1, "valid", batch=2, loss_nats=2.0, masked_accuracy=0.2, note="x", odd=None))
    history = History(path)
    history.refresh()
    assert history.measured() == ["loss_nats", "masked_accuracy"]
    assert history.points("tokens", "masked_accuracy", kind="valid") == [(10, 0.2)]
    assert history.points("tokens", "bits_per_byte", kind="valid") == []


def test_smoothing_keeps_the_ends_and_the_level() -> None:
    values = [1.0 + (-1) ** index for index in range(1001)]
    smoothed = smooth(values)
    assert (smoothed[0], smoothed[-1]) == (values[0], values[-1])
    assert all(abs(value - 1.0) < 0.06 for value in smoothed[50:-50])
    assert smooth([1.0, math.nan, 3.0], share=1.0)[1] == 2.0
    assert smooth([]) == []


def test_a_long_run_is_thinned_and_keeps_its_peaks(path: Path) -> None:
    path.write_text(
        "".join(
            line(step, loss_nats=2.0, grad_norm=99.0 if step == 4321 else 1.0, tokens_per_s=100.0)
            for step in range(1, 10_001)
        )
    )
    history = History(path)
    history.refresh()
    columns = thinned(history, most=600)
    assert {len(column) for column in columns.values()} == {600}
    assert (columns["step"][0], columns["step"][-1]) == (1, 10_000)
    assert columns["step"] == sorted(columns["step"])
    assert max(columns["grad_norm"]) == 99.0
    assert set(columns["loss_nats"]) == {2.0}
    assert set(columns["lr_factor"]) == {None}
    assert thinned(History(), most=600)["step"] == []
