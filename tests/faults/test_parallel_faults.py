"""What becomes of the other processes when one ends, hangs, or never comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from parallel_made import start_processes

# Two processes count up together until something stops them. The second writes its number into a file first.
COUNTING = """
import sys, time, torch
from pathlib import Path
from yanmo.errors import YanmoError
from yanmo.runtime import stop_signal
from yanmo.training.parallel import open_group, first_ahead
torch.set_num_threads(1)
try:
    with stop_signal() as stop, open_group(timeout_s=3.0) as group:
        for step in range(100_000):
            tensor = torch.full((3,), float(step))
            group.add_tensors([tensor])
            assert tensor.tolist() == [step * group.size] * 3
            if step == 5 and group.rank == 0:
                print("told to the user", file=sys.stderr)
                Path(sys.argv[1]).touch()
            if step == 5 and group.rank == 1:
                print("told to nobody", file=sys.stderr)
            %s
            if any(group.add([float(stop.is_set)])):
                stop.check(f"stopped at {step}", remedy="")
                raise SystemExit(99)
            time.sleep(0.01)
except YanmoError as error:
    print("yanmo:", error, file=sys.stderr)
    raise SystemExit(error.exit_code)
"""


def start(path: Path, step: str = "pass") -> list[subprocess.Popen[str]]:
    processes = start_processes(["-c", COUNTING % step, str(path)], 2)
    deadline_s = time.monotonic() + 60
    while not path.exists() and all(process.poll() is None for process in processes):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return processes


@pytest.mark.parametrize("dies", [0, 1])
def test_a_killed_process_takes_the_other_with_it(tmp_path: Path, dies: int) -> None:
    processes = start(tmp_path / "counting")
    processes[dies].kill()
    began_s = time.monotonic()
    _, errors = processes[1 - dies].communicate(timeout=30)
    assert time.monotonic() - began_s < 10
    assert processes[1 - dies].returncode == 1
    assert [line for line in errors.splitlines() if line.startswith("yanmo:")] == [
        f"yanmo: process {1 - dies} lost another process of this run "
        "(the other one says why; the same command goes on from the last checkpoint)"
    ]
    processes[dies].communicate()


def test_a_silent_process_is_waited_for_no_longer_than_said(tmp_path: Path) -> None:
    processes = start(tmp_path / "counting")
    processes[1].send_signal(signal.SIGSTOP)
    _, errors = processes[0].communicate(timeout=30)
    assert processes[0].returncode == 1
    assert "lost another process" in errors
    processes[1].kill()
    processes[1].communicate()


@pytest.mark.parametrize("hears", [0, 1])
def test_a_signal_to_one_stops_both_at_one_step_and_is_said_once(tmp_path: Path, hears: int) -> None:
    processes = start(tmp_path / "counting")
    processes[hears].send_signal(signal.SIGTERM)
    errors = [process.communicate(timeout=30)[1] for process in processes]
    codes = [process.returncode for process in processes]
    # The one that heard nothing itself has no signal to report; it ends as its recipe decides.
    assert codes[hears] == 143
    assert codes[1 - hears] == 99
    assert "told to the user" in errors[0]
    assert "told to nobody" not in errors[1]


def test_an_error_of_the_first_while_the_others_wait_ends_them(tmp_path: Path) -> None:
    program = COUNTING % (
        "\n            with first_ahead(group):\n"
        "                if step == 8: time.sleep(1.0); raise YanmoError('the disk is full')\n"
    )
    processes = start_processes(["-c", program, str(tmp_path / "counting")], 2)
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 1]
    assert "yanmo: the disk is full" in errors[0]
    assert "yanmo: process 1 lost another process" in errors[1]


def run_alone(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COUNTING % "raise YanmoError('alone' * (group.size == 1))", "counting"]
    place = {"OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, env={**os.environ, **place}, capture_output=True, text=True, timeout=60)


def test_a_place_that_is_not_whole_is_named() -> None:
    ended = run_alone(WORLD_SIZE="2", RANK="1")
    assert ended.returncode == 2
    assert "MASTER_ADDR, MASTER_PORT is not set (start the command with torchrun" in ended.stderr


def test_processes_that_never_come_are_not_waited_for_long() -> None:
    ended = run_alone(WORLD_SIZE="2", RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    assert ended.returncode == 1
    assert "process 0 cannot reach the others" in ended.stderr


def test_one_process_needs_nothing() -> None:
    ended = run_alone(WORLD_SIZE="1", RANK="0")
    assert ended.returncode == 1 and "yanmo: alone" in ended.stderr
