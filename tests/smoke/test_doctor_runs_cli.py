"""``yanmo doctor`` and ``yanmo runs`` as a user calls them."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest


def yanmo(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from yanmo.cli.main import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def make_run(folder: Path, bits: float) -> None:
    folder.mkdir(parents=True)
    row = {"kind": "valid", "step": 3, "tokens": 9, "elapsed_s": 1.5, "bits_per_byte": bits}
    (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    (folder / "result.json").write_text(json.dumps({"bits_per_byte": bits, "steps": 3}), encoding="utf-8")


def test_doctor_gives_the_keys_that_scripts_rely_on(tmp_path: Path) -> None:
    done = yanmo("doctor", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout.splitlines()[-1])
    for key in ("cores", "memory_bytes", "dtype", "gemm_flop_per_s", "memory_bytes_per_s", "compiler"):
        assert key in value
    assert isinstance(value["problems"], list)


def test_runs_lists_the_best_first(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "fair", 1.9)
    make_run(tmp_path / "runs" / "good", 1.5)
    done = yanmo("runs", "--json", folder=tmp_path)
    assert [run["name"] for run in json.loads(done.stdout)["runs"]] == ["good", "fair"]
    lines = yanmo("runs", folder=tmp_path).stdout.splitlines()
    assert lines[0].split()[0] == "run"
    assert [line.split()[0] for line in lines[1:]] == ["good", "fair"]
    assert "1.500" in lines[1]


def test_runs_before_the_first_run(tmp_path: Path) -> None:
    assert yanmo("runs", folder=tmp_path).stdout == "no runs in runs\n"
    assert json.loads(yanmo("runs", "--json", folder=tmp_path).stdout) == {"runs": []}
    missing = yanmo("runs", "elsewhere", folder=tmp_path)
    assert missing.returncode == 2
    assert missing.stderr == "yanmo: elsewhere: no such folder (give the folder that holds the runs)\n"


def test_several_runs_are_compared(tmp_path: Path) -> None:
    for name, bits, seed in (("a", 1.9, 0), ("b", 1.5, 1)):
        make_run(tmp_path / name, bits)
        (tmp_path / name / "run.toml").write_text(f"seed = {seed}\nsteps = 3\n")
    value = json.loads(yanmo("runs", "a", "b", "--json", folder=tmp_path).stdout)
    assert value["comparison"]["names"] == ["b", "a"]
    assert value["comparison"]["settings"] == [{"name": "seed", "values": [1, 0]}]
    lines = yanmo("runs", "a", "b", folder=tmp_path).stdout.splitlines()
    assert ["seed", "1", "0"] in [line.split() for line in lines]


def test_live_without_a_terminal_serves_the_page_alone(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "good", 1.5)
    command = [sys.executable, "-c", "from yanmo.cli.main import main; main()", "runs", "--live", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}api/runs") as answer:
            assert json.load(answer)["data"][0]["name"] == "good"
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_live_redraws_until_stopped(tmp_path: Path, number: int, expected: int) -> None:
    make_run(tmp_path / "runs" / "good", 1.5)
    reader, writer = pty.openpty()
    command = [sys.executable, "-c", "from yanmo.cli.main import main; main()", "runs", "--live"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    with subprocess.Popen(command, cwd=tmp_path, stdout=writer, stderr=writer, env=environment) as process:
        shown, end_s = b"", time.monotonic() + 30
        while b"good" not in shown and time.monotonic() < end_s:
            if select.select([reader], [], [], 0.2)[0]:
                shown += os.read(reader, 65536)
        process.send_signal(number)
        code = process.wait(10)
    os.close(writer)
    os.close(reader)
    assert b"good" in shown
    assert code == expected
