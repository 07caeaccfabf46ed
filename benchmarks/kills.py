"""``kill -9`` at 20 random moments of a run, each followed by the same command: the same weights?

The text is Python's own reference, so nothing but the installation is needed.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import YANMO, describe
from yanmo.artifact import sha256_of_file
from yanmo.recipes.demo import write_python_reference

NUM_KILLS = 20
STEPS = "1000"
SIZES = ("--num-layers", "2", "--d-model", "128", "--max-seq-len", "128", "--batch-size", "8")
# A killed run comes at most this far into training: most moments fall there, the rest before it.
TRAINING_S = 1.5


def main() -> None:
    """Kill, repeat, compare; ends with an error where the bytes differ."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        write_python_reference(source)
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        startup_s, length_s = _run_whole(_command(source / "reference", whole), whole)
        rng = random.Random(0)
        moments: list[float] = []
        while len(moments) < NUM_KILLS:
            process = subprocess.Popen(
                _command(source / "reference", killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            wait_s = rng.uniform(0.1, startup_s + TRAINING_S)
            try:
                process.wait(wait_s)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                moments.append(wait_s)
            else:
                break
        training = sum(wait_s > startup_s for wait_s in moments)
        subprocess.run(_command(source / "reference", killed), check=True, capture_output=True)
        same = _weights(whole) == _weights(killed)
        print(
            f"kill -9: {len(moments)} kills, {training} of them while training, of a run of {length_s:.0f} s "
            f"and {STEPS} steps; final weights "
            f"{'identical, bit for bit' if same else 'DIFFERENT'}. {describe()}"
        )
        if not same or len(moments) < NUM_KILLS:
            sys.exit(1)


def _run_whole(command: list[str], out: Path) -> tuple[float, float]:
    """Seconds until the first step of an uninterrupted run, and in all."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.05)
    startup_s = time.monotonic() - began
    if process.wait():
        sys.exit("the uninterrupted run failed")
    return startup_s, time.monotonic() - began


def _command(source: Path, out: Path) -> list[str]:
    flags = ["--steps", STEPS, *SIZES, "--checkpoint-every", "0.5s"]
    return [*YANMO, "train", str(source), "--out", str(out), *flags]


def _weights(run: Path) -> str:
    return sha256_of_file(run / "model" / "model.safetensors")


if __name__ == "__main__":
    main()
