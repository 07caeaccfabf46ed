"""``yanmo pretrain`` on several processes, as users run it: one voice, one set of files, the same bytes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from parallel_made import start_processes

from yanmo.artifact import sha256_of_file
from yanmo.cli.main import run as run_cli

# Starts nine processes, each of which imports torch.
pytestmark = pytest.mark.slow

NUM_STEPS = 30
FLAGS = ["--steps", str(NUM_STEPS), "--num-layers", "1", "--d-model", "32", "--max-seq-len", "32"]
FLAGS += ["--batch-size", "8", "--micro-batch-size", "2", "--dropout", "0.1"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parallel")
    rng = random.Random(0)
    words = ["ink", "stone", "water", "brush", "paper", "研墨", "宣纸", "grind", "slowly", "write"]
    for index in range(60):
        text = " ".join(rng.choice(words) for _ in range(120))
        (folder / f"{index}.txt").write_text(f"{index}: {text}", encoding="utf-8")
    assert run_cli(["corpus", str(folder), "--out", str(folder / "corpus")]) == 0
    return folder / "corpus"


@pytest.fixture(scope="module")
def alone(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process, never interrupted."""
    out = tmp_path_factory.mktemp("alone") / "run"
    subprocess.run([sys.executable, *pretrain(corpus, out)], check=True, capture_output=True, env=ONE_THREAD)
    return out


ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def pretrain(corpus: Path, out: Path, *, checkpoint_every: str = "30s") -> list[str]:
    flags = [*FLAGS, "--checkpoint-every", checkpoint_every, "--json"]
    return ["-m", "yanmo", "pretrain", str(corpus), "--out", str(out), *flags]


def losses(run: Path) -> dict[int, float]:
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()
    ]
    return {row["step"]: row["loss_nats"] for row in rows if row["kind"] == "train"}


def assert_same(run: Path, alone: Path) -> None:
    ours, theirs = losses(run), losses(alone)
    assert sorted(ours) == sorted(theirs) == list(range(1, NUM_STEPS + 1))
    assert max(abs(ours[step] - theirs[step]) for step in theirs) < 1e-5
    name = "model/model.safetensors"
    assert sha256_of_file(run / name) == sha256_of_file(alone / name)


def wait_for_steps(run: Path, num_steps: int, processes: list[subprocess.Popen[str]]) -> None:
    metrics, deadline_s = run / "metrics.jsonl", time.monotonic() + 120
    while not metrics.exists() or len(metrics.read_text().splitlines()) < num_steps:
        assert time.monotonic() < deadline_s
        assert all(process.poll() is None for process in processes), "the run ended too soon"
        time.sleep(0.02)


def test_torchrun_gives_the_run_of_one_process_and_says_things_once(
    corpus: Path, alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*torchrun, *pretrain(corpus, out)], capture_output=True, text=True, env=ONE_THREAD
    )
    assert ended.returncode == 0, ended.stderr
    assert [json.loads(line)["steps"] for line in ended.stdout.splitlines()] == [NUM_STEPS]
    assert ended.stderr.count(f"step {NUM_STEPS}: ") == 1
    assert_same(out, alone)


def test_a_run_of_two_whose_second_is_killed_goes_on_in_one_and_in_four(
    corpus: Path, alone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    two = start_processes(pretrain(corpus, out, checkpoint_every="0.1s"), 2)
    wait_for_steps(out, 8, two)
    two[1].kill()
    errors = [process.communicate(timeout=60)[1] for process in two]
    assert two[0].returncode == 1
    assert "yanmo: process 0 lost another process of this run" in errors[0].splitlines()[-1]

    four = start_processes(pretrain(corpus, out, checkpoint_every="0.1s"), 4)
    wait_for_steps(out, 22, four)
    for process in four:
        process.send_signal(signal.SIGTERM)
    errors = [process.communicate(timeout=60)[1] for process in four]
    assert [process.returncode for process in four] == [143] * 4
    assert "yanmo: stopped after step" in errors[0] and "".join(errors[1:]) == ""

    subprocess.run([sys.executable, *pretrain(corpus, out)], check=True, capture_output=True, env=ONE_THREAD)
    assert_same(out, alone)
