"""What hears the loop: rows with energy, messages for any objective, TensorBoard without double steps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from yanmo.energy import EnergyMeter
from yanmo.errors import InputError
from yanmo.recipes.listeners import Log, Narrator
from yanmo.recipes.tensorboard import TensorBoard
from yanmo.reporting.metrics_log import MetricsLog, read_metrics
from yanmo.training.schedule import Schedule, ScheduleConfig


def row(step: int, **values: Any) -> dict[str, Any]:
    numbers = {"loss_nats": 2.0, "lr_factor": 0.5, "grad_norm": 1.0, "tokens_per_s": 100.0}
    return {
        "kind": "train",
        "step": step,
        "batch": step,
        "tokens": step,
        "elapsed_s": 1.0,
        **numbers,
        **values,
    }


@pytest.fixture
def log(tmp_path: Path) -> MetricsLog:
    return MetricsLog(tmp_path / "metrics.jsonl")


def test_energy_goes_on_where_an_earlier_session_stopped(log: MetricsLog, tmp_path: Path) -> None:
    log.append(row(1, energy_j=1000.0))
    with EnergyMeter(folder=tmp_path) as meter:
        listener = Log(log, 2.0, meter)
        listener.stepped(row(2), 0.0)
        listener.stepped(row(3), 0.0)
    energies = [made["energy_j"] for made in read_metrics(log.path)]
    assert 1000.0 <= energies[1] <= energies[2] < 2000.0
    assert meter.to_mapping()["energy_wh"] >= 1000 / 3600


def test_rows_have_bits_only_where_bytes_can_be_counted(log: MetricsLog) -> None:
    Log(log, None).stepped(row(1), 0.0)
    Log(log, 2.0).stepped(row(2), 0.0)
    Log(log, 2.0).noted({"kind": "skipped", "step": 2, "reason": "spike"})
    first, second, third = read_metrics(log.path)
    assert "bits_per_byte" not in first
    assert second["bits_per_byte"] == pytest.approx(1.4427, abs=1e-4)
    assert third["reason"] == "spike"


def test_the_narrator_says_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    narrator = Narrator(None, Schedule(ScheduleConfig(), 10))
    narrator.validated({"step": 5, "loss_nats": 3.0, "masked_accuracy": 0.25}, None)
    narrator.validated({"step": 1000, "loss_nats": 3.0, "bits_per_byte": 2.0}, None)
    assert capsys.readouterr().err.splitlines() == [
        "step 5: 3.0000 nats, 25.0% of the masked tokens guessed on held-out text",
        "step 1,000: 2.0000 bits per byte on held-out text",
    ]


def test_a_resumed_log_keeps_what_went_wrong_before_the_run_went_back(log: MetricsLog) -> None:
    for made in (row(1), row(2), {"kind": "skipped", "step": 2, "batch": 3}):
        log.append(made)
    log.append({"kind": "rollback", "step": 1, "batch": 3})
    log.append(row(2, batch=4))
    log.append(row(3, batch=5))
    log.truncate_after(2, batch=4)
    assert [(made["kind"], made["batch"]) for made in read_metrics(log.path)] == [
        ("train", 1),
        ("train", 2),
        ("skipped", 3),
        ("rollback", 3),
        ("train", 4),
    ]


def test_tensorboard_reads_every_step_once_after_a_resume(tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    for steps, loss in ((range(1, 8), 9.0), (range(5, 11), 2.0)):
        board = TensorBoard(tmp_path, 2.0)
        for step in steps:
            board.stepped(row(step, loss_nats=loss), 0.0)
        board.validated(row(steps[-1], kind="valid", masked_accuracy=0.5), None)
        board.sampled({"kind": "sample", "step": steps[-1], "text": "墨 <b>"})
        board.close()
    # The run goes back within a session.
    board = TensorBoard(tmp_path, None)
    for step in (11, 12, 10, 11):
        board.stepped(row(step, loss_nats=float(step)), 0.0)
    board.close()
    events = reader.EventAccumulator(str(tmp_path))
    events.Reload()
    losses = [(event.step, event.value) for event in events.Scalars("train/loss_nats")]
    assert losses == [
        *((step, 9.0) for step in range(1, 5)),
        *((step, 2.0) for step in range(5, 10)),
        (10, 10.0),
        (11, 11.0),
    ]
    assert events.Scalars("valid/masked_accuracy") == []
    assert "train/bits_per_byte" in events.Tags()["scalars"]
    assert "train/tokens" not in events.Tags()["scalars"]


def test_tensorboard_shows_samples_as_text(tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    board = TensorBoard(tmp_path, None)
    board.sampled({"kind": "sample", "step": 3, "text": "墨 <b>"})
    board.close()
    events = reader.EventAccumulator(str(tmp_path))
    events.Reload()
    (event,) = events.Tensors("sample/text_summary")
    assert (event.step, event.tensor_proto.string_val[0].decode()) == (3, "墨 <b>")


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    with pytest.raises(InputError, match=r"pip install 'yanmo\[tensorboard\]'"):
        TensorBoard(tmp_path, None)
