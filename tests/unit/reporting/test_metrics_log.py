"""The metrics file: appended to, cut back for a resume, read whatever state it is in."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from yanmo.reporting.metrics_log import MetricsLog, read_metrics


def write(path: Path, last_step: int, first_step: int = 1) -> MetricsLog:
    log = MetricsLog(path)
    for step in range(first_step, last_step + 1):
        log.append({"kind": "train", "step": step, "loss_nats": 1 / step})
        if step % 2 == 0:
            log.append({"kind": "sample", "step": step, "text": f"墨\n{step}"})
    return log


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    write(tmp_path / "m.jsonl", 2)
    assert read_metrics(tmp_path / "m.jsonl") == [
        {"kind": "train", "step": 1, "loss_nats": 1.0},
        {"kind": "train", "step": 2, "loss_nats": 0.5},
        {"kind": "sample", "step": 2, "text": "墨\n2"},
    ]


def test_every_row_is_on_disk_at_once(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "m.jsonl")
    log.append({"step": 1})
    assert read_metrics(tmp_path / "m.jsonl") == [{"step": 1}]


def test_a_row_that_does_not_fit_leaves_no_part_of_it(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    log = write(tmp_path / "m.jsonl", 2)
    before = log.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            log.append({"kind": "sample", "step": 3, "text": "墨" * 40})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert log.path.read_bytes() == before
    log.append({"step": 3})
    assert len(read_metrics(log.path)) == 4


def test_a_resumed_run_ends_in_the_same_bytes(tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.jsonl", tmp_path / "resumed.jsonl"
    write(whole, 9)
    write(resumed, 7)
    with resumed.open("ab") as file:
        file.write(b'{"kind": "train", "st')
    MetricsLog(resumed).truncate_after(4)
    write(resumed, 9, first_step=5)
    assert resumed.read_bytes() == whole.read_bytes()


def test_cutting_back_to_the_end_drops_only_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    log = write(path, 3)
    before = path.read_bytes()
    log.truncate_after(3)
    assert path.read_bytes() == before
    path.write_bytes(before + b'{"step": 3}')
    log.truncate_after(3)
    assert path.read_bytes() == before


def test_starting_over_drops_every_row(tmp_path: Path) -> None:
    log = write(tmp_path / "m.jsonl", 3)
    log.truncate_after(0)
    assert read_metrics(tmp_path / "m.jsonl") == []
    assert [path.name for path in tmp_path.iterdir()] == ["m.jsonl"]


def test_cutting_back_where_there_is_no_file_makes_none(tmp_path: Path) -> None:
    MetricsLog(tmp_path / "m.jsonl").truncate_after(3)
    assert not (tmp_path / "m.jsonl").exists()
    assert read_metrics(tmp_path / "m.jsonl") == []


def test_broken_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"step": 1}\nnonsense\n\xff\xfe\n[1]\n\n{"step": 2}\n{"st')
    assert read_metrics(path) == [{"step": 1}, {"step": 2}]
    MetricsLog(path).truncate_after(1)
    assert path.read_bytes() == b'{"step": 1}\n'


def test_what_json_does_not_know_is_written_so_that_all_can_read_it(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "m.jsonl")
    log.append({"step": 1, "grad_norm": math.nan, "loss_nats": math.inf, "text": "a\ud800\u2028b"})
    (row,) = read_metrics(tmp_path / "m.jsonl")
    assert row == {"step": 1, "grad_norm": None, "loss_nats": None, "text": "a\ud800\u2028b"}
    assert (tmp_path / "m.jsonl").read_bytes().decode("utf-8").count("\n") == 1
