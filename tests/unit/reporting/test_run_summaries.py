"""The list of runs, over whole, half-written and damaged folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from yanmo.errors import InputError
from yanmo.reporting.metrics_log import MetricsLog
from yanmo.reporting.runs import RunSummary, RunWatch, runs
from yanmo.reporting.tables import runs_table


def make_run(
    folder: Path, *, result: dict[str, Any] | None = None, bits: tuple[float, ...] = (), age_s: float = 0
) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.toml").write_text('budget = "3m"\n', encoding="utf-8")
    (folder / "plan.json").write_text(
        json.dumps({"chosen": {"num_steps": 500, "num_parameters": 1_200_000}}), encoding="utf-8"
    )
    log = MetricsLog(folder / "metrics.jsonl")
    for index, value in enumerate(bits, 1):
        row = {"step": index * 10, "tokens": index * 4000, "elapsed_s": index * 2.0}
        log.append({"kind": "train", **row, "bits_per_byte": value})
        log.append({"kind": "valid", **row, "bits_per_byte": value + 0.1})
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    then = time.time() - age_s
    for path in folder.iterdir():
        os.utime(path, (then, then))
    return folder


def only(folder: Path) -> RunSummary:
    (run,) = runs(folder)
    return run


def test_a_finished_run_tells_its_result(tmp_path: Path) -> None:
    result = {
        "steps": 30,
        "tokens": 12_000,
        "wall_s": 7.5,
        "bits_per_byte": 1.6,
        "baseline_bits_per_byte": 1.9,
    }
    folder = make_run(tmp_path / "a", bits=(3.0, 1.5, 2.0), result=result)
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}", encoding="utf-8")
    run = only(tmp_path)
    assert (run.name, run.state, run.steps, run.tokens, run.elapsed_s) == ("a", "done", 30, 12_000, 7.5)
    assert (run.bits_per_byte, run.baseline_bits_per_byte, run.num_parameters) == (1.6, 1.9, 1_200_000)
    assert run.best_valid_bits_per_byte == pytest.approx(1.6)
    assert run.valid_bits_per_byte == pytest.approx(2.1)
    assert run.model == str(folder / "model")


def test_a_run_without_result_is_running_while_it_writes_and_interrupted_after(tmp_path: Path) -> None:
    make_run(tmp_path / "now", bits=(3.0, 2.5))
    make_run(tmp_path / "then", bits=(3.0, 2.4), age_s=300)
    states = {run.name: run for run in runs(tmp_path)}
    assert (states["now"].state, states["then"].state) == ("running", "interrupted")
    assert (states["now"].steps, states["now"].planned_steps, states["now"].elapsed_s) == (20, 500, 4.0)


def test_the_lock_tells_whether_a_run_is_worked_on(tmp_path: Path) -> None:
    silent, killed = make_run(tmp_path / "a", bits=(2.0,), age_s=9999), make_run(tmp_path / "b", bits=(2.0,))
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (silent / ".lock").write_text(str(os.getpid()), encoding="ascii")
    (killed / ".lock").write_text(str(process.pid), encoding="ascii")
    assert {run.name: run.state for run in runs(tmp_path)} == {"a": "running", "b": "interrupted"}
    (silent / ".lock").write_text("", encoding="ascii")
    assert runs(tmp_path / "a")[0].state == "interrupted"


def test_a_run_that_never_wrote_a_row_is_unknown(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", age_s=300)
    assert not (folder / "metrics.jsonl").exists()
    run = only(tmp_path)
    assert (run.state, run.steps, run.bits_per_byte) == ("unknown", None, None)


def test_the_best_run_comes_first_and_those_without_a_number_last(tmp_path: Path) -> None:
    make_run(tmp_path / "none")
    make_run(tmp_path / "good", result={"bits_per_byte": 1.5})
    make_run(tmp_path / "fair", result={"bits_per_byte": 1.7})
    make_run(tmp_path / "valid-only", bits=(1.5,))
    assert [run.name for run in runs(tmp_path)] == ["good", "valid-only", "fair", "none"]


def test_the_folder_itself_may_be_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "mine", result={"bits_per_byte": 1.5})
    assert only(tmp_path / "mine").name == "mine"
    monkeypatch.chdir(tmp_path / "mine")
    assert only(Path()).name == "mine"


@pytest.mark.parametrize("name", ["run.toml", "metrics.jsonl", "result.json", "plan.json", "evaluation.json"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1, 2]", b'{"chosen": 3, "baseline": 4}', b'{"st'])
def test_one_damaged_file_hides_no_run(tmp_path: Path, name: str, content: bytes) -> None:
    folder = make_run(tmp_path / "a", bits=(2.0,), result={"bits_per_byte": 1.5})
    (folder / name).write_bytes(content)
    assert only(tmp_path).name == "a"


def test_values_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", result={"bits_per_byte": "good", "steps": None})
    (folder / "metrics.jsonl").write_text(
        '{"kind": "valid", "step": "x", "bits_per_byte": NaN}\n'
        '{"kind": "train", "step": 4, "tokens": true}\n',
        encoding="utf-8",
    )
    run = only(tmp_path)
    assert (run.bits_per_byte, run.valid_bits_per_byte, run.steps, run.tokens) == (None, None, 4, None)
    json.dumps(run.to_mapping(), allow_nan=False)


def test_other_folders_and_hidden_ones_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    make_run(tmp_path / ".hidden", result={"bits_per_byte": 1.0})
    assert runs(tmp_path) == []


def test_a_missing_folder_is_refused_unless_it_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert runs() == []
    with pytest.raises(InputError, match="no such folder"):
        runs(tmp_path / "none")


def test_the_table_is_whole_without_a_terminal(tmp_path: Path) -> None:
    make_run(
        tmp_path / "[bold]odd", result={"bits_per_byte": 1.5, "steps": 1234, "baseline_bits_per_byte": 1.6}
    )
    make_run(tmp_path / "going", bits=(2.0,))
    console = Console(width=200)
    with console.capture() as captured:
        console.print(runs_table(runs(tmp_path), plain=True))
    lines = captured.get().splitlines()
    assert len(lines) == 3
    assert lines[1].split()[:2] == ["[bold]odd", "done"]
    assert {"1,234", "1.500", "1.600", "1.2M"} <= set(lines[1].split())
    assert {"running", "10/500", "2.100"} <= set(lines[2].split())


def test_a_process_younger_than_the_lock_is_another_one(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", bits=(2.0,))
    (folder / ".lock").write_text(str(os.getpid()), encoding="ascii")
    assert only(tmp_path).state == "running"
    os.utime(folder / ".lock", (time.time() - 10**6,) * 2)
    assert only(tmp_path).state == "interrupted"


def test_progress_follows_the_budget_else_the_steps(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", bits=(3.0, 2.5, 2.4, 2.3, 2.2))
    run = only(tmp_path)
    assert run.progress == pytest.approx(50 / 500)
    assert run.time_left_s == pytest.approx(450 * 2.0 / 10)
    plan = {"training_s": 40.0, "chosen": {"num_steps": 500}}
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    assert (only(tmp_path).progress, only(tmp_path).time_left_s) == (0.25, 30.0)
    (folder / "result.json").write_text('{"steps": 50}', encoding="utf-8")
    assert (only(tmp_path).progress, only(tmp_path).time_left_s) == (1.0, None)


def test_runs_without_bits_rank_by_their_loss_and_tell_what_went_wrong(tmp_path: Path) -> None:
    for name, loss in (("a", 3.0), ("b", 2.0)):
        log = MetricsLog(make_run(tmp_path / name) / "metrics.jsonl")
        log.append({"kind": "valid", "step": 1, "batch": 2, "loss_nats": loss, "masked_accuracy": 0.5})
        log.append({"kind": "skipped", "step": 1})
        log.append({"kind": "train", "step": 2, "energy_j": 7200.0})
    make_run(tmp_path / "c", bits=(9.0,))
    found = runs(tmp_path)
    assert [run.name for run in found] == ["c", "b", "a"]
    assert found[1].valid == {"loss_nats": 2.0, "masked_accuracy": 0.5}
    assert (found[1].num_skipped, found[1].num_rollbacks, found[1].energy_wh) == (1, 0, 2.0)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(runs_table(found, plain=True))
    assert "2.000 nats" in captured.get()
    assert "~2 Wh" in captured.get()


def test_folders_are_watched_together_and_only_new_rows_are_read(tmp_path: Path) -> None:
    make_run(tmp_path / "x" / "one", bits=(2.0,))
    two = make_run(tmp_path / "two", bits=(1.0,))
    watch = RunWatch([tmp_path / "x", two])
    assert [run.name for run in watch.summaries()] == ["two", "one"]
    history = watch.named()["two"].history
    MetricsLog(two / "metrics.jsonl").append({"kind": "train", "step": 77})
    assert watch.named()["two"].history is history
    assert next(run.steps for run in watch.summaries() if run.name == "two") == 77
