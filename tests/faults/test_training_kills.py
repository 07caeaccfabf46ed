"""A run that is killed and repeated ends in the same bytes as one that was not."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from yanmo.artifact import sha256_of_file
from yanmo.cli.main import run as run_cli

FLAGS = ["--steps", "150", "--num-layers", "1", "--d-model", "32", "--max-seq-len", "32", "--batch-size", "4"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    rng = random.Random(0)
    words = ["ink", "stone", "water", "brush", "paper", "研墨", "宣纸", "grind", "slowly", "write"]
    for index in range(60):
        text = " ".join(rng.choice(words) for _ in range(120))
        (folder / f"{index}.txt").write_text(f"{index}: {text}", encoding="utf-8")
    assert run_cli(["corpus", str(folder), "--out", str(folder / "corpus")]) == 0
    return folder / "corpus"


def command(corpus: Path, out: Path) -> list[str]:
    pretrain = ["pretrain", str(corpus), "--out", str(out), *FLAGS, "--checkpoint-every", "0.01s"]
    return [sys.executable, "-c", "from yanmo.cli.main import main; main()", *pretrain]


@pytest.fixture(scope="module")
def uninterrupted(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run(command(corpus, out), check=True, capture_output=True)
    return sha256_of_file(out / "model" / "model.safetensors")


def wait_for(path: Path, process: subprocess.Popen[bytes], *, pattern: str | None = None) -> None:
    """Until the path, or something in it, is there."""
    deadline_s = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline_s:
        if any(path.glob(pattern)) if pattern else path.exists():
            return
        time.sleep(0.005)


def test_killed_and_repeated_gives_the_same_bytes(corpus: Path, tmp_path: Path, uninterrupted: str) -> None:
    out, rng, kills = tmp_path / "run", random.Random(1), 0
    for attempt in range(4):
        process = subprocess.Popen(command(corpus, out), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_for(out / "metrics.jsonl" if attempt else out / "run.toml", process)
        time.sleep(rng.uniform(0.0, 0.8))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills >= 2, "the run ended before it could be killed"
    finished = subprocess.run(command(corpus, out), check=True, capture_output=True)
    assert sha256_of_file(out / "model" / "model.safetensors") == uninterrupted, finished.stderr
    leftovers = [p.name for p in [*out.rglob("*.tmp"), *out.rglob("*.old")]]
    assert leftovers == []


def test_sigterm_saves_and_exits_143(corpus: Path, tmp_path: Path, uninterrupted: str) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(command(corpus, out), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    wait_for(out / "metrics.jsonl", process)
    process.terminate()
    _, message = process.communicate(timeout=60)
    assert process.returncode == 143, message
    assert b"the same command goes on from here" in message
    subprocess.run(command(corpus, out), check=True, capture_output=True)
    assert sha256_of_file(out / "model" / "model.safetensors") == uninterrupted


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(
    corpus: Path, tmp_path: Path, uninterrupted: str
) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(command(corpus, out), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(out / "checkpoints", process, pattern="batch-*[1-9]*")
    process.terminate()
    process.wait()
    # One was saved in passing, one more when the signal came.
    *before, newest_folder = sorted((out / "checkpoints").glob("batch-*"))
    assert before
    newest = newest_folder / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    finished = subprocess.run(command(corpus, out), check=True, capture_output=True, text=True)
    assert f"checkpoint not used: {newest}: has another size" in finished.stderr
    assert sha256_of_file(out / "model" / "model.safetensors") == uninterrupted


def test_every_checkpoint_damaged_is_one_clear_line(corpus: Path, tmp_path: Path, uninterrupted: str) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(command(corpus, out), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(out / "metrics.jsonl", process)
    process.terminate()
    process.wait()
    for path in (out / "checkpoints").glob("batch-*/state.json"):
        path.write_text("{")
    failed = subprocess.run(command(corpus, out), capture_output=True, text=True)
    assert failed.returncode == 1
    assert "every checkpoint is damaged" in failed.stderr.splitlines()[-1]


def test_finished_run_is_left_alone_and_other_settings_are_refused(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    subprocess.run(command(corpus, out), check=True, capture_output=True)
    again = subprocess.run(command(corpus, out), check=True, capture_output=True, text=True)
    assert "already finished; nothing to do" in again.stderr
    other = [*command(corpus, out), "--seed", "7"]
    refused = subprocess.run(other, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "seed (0 there, 7 now)" in refused.stderr


def test_full_disk_is_one_line_and_the_run_goes_on_once_there_is_space(
    corpus: Path, tmp_path: Path, uninterrupted: str
) -> None:
    disk, ballast = tmp_path / "disk", tmp_path / "disk" / "ballast"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        out = disk / "run"
        process = subprocess.Popen(command(corpus, out), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        wait_for(out / "checkpoints", process, pattern="batch-*[1-9]*")
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        _, message = process.communicate(timeout=60)
        assert process.returncode == 1
        last = message.decode().strip().splitlines()[-1]
        assert "disk is full" in last or "No space left on device" in last
        ballast.unlink()
        subprocess.run(command(corpus, out), check=True, capture_output=True)
        assert sha256_of_file(out / "model" / "model.safetensors") == uninterrupted
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_unwritable_place_is_one_line(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    failed = subprocess.run(command(corpus, tmp_path / "file" / "run"), capture_output=True, text=True)
    assert failed.returncode in (1, 2)
    assert len(failed.stderr.strip().splitlines()) == 1
