"""``kill -9`` at random moments of runs, each followed by the same command: the same weights?

Most runs are children of this process, which has everything imported already: they begin in a fraction of
a second, and are killed as any process is. Every tenth start is of the command line itself. A run that
comes to its end is compared with one that nothing happened to, and begun anew. The text is Python's own
reference, so nothing but the installation is needed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import YANMO, describe
from yanmo.artifact import sha256_of_file
from yanmo.cli.main import main as command_line
from yanmo.recipes.demo import write_python_reference
from yanmo.runtime import tune_process

NUM_KILLS = 200
# A start in so many is of the command line, imports included.
REAL_EVERY = 10
# A start in so many is killed at any moment, the others while they train, at most so many seconds later.
ANY_MOMENT_EVERY = 5
TRAINING_S = 0.8
# One in so many then waits for a checkpoint to be written, and falls into it.
SAVING_EVERY, SAVING_S = 4, 0.02
TEXT_BYTES, SMALL_BYTES = 400_000, 60_000
COMMON = ("--num-layers", "1", "--d-model", "64", "--max-seq-len", "64", "--checkpoint-every", "0.05s")
# What a run needs beyond the command line; imported before the first child is born.
IMPORTED = ("yanmo.recipes.pretrain", "yanmo.recipes.train", "yanmo.models.transformer", "yanmo.models.lstm")


@dataclass(kw_only=True)
class Case:
    """Runs of one setting, one after the other, and what became of them."""

    name: str
    flags: tuple[str, ...]
    corpus: str = "corpus"
    all_cores: bool = False
    """As many threads as the machine has cores; else one, which is as quick for models so small."""
    expected: str = ""
    startup_s: float = 0.0
    run: int = 0
    kills: int = 0
    real_kills: int = 0
    while_training: int = 0
    while_saving: int = 0
    ended: list[bool] = field(default_factory=list)
    """Of each run that came to its end, whether its weights were the same."""


def cases() -> list[Case]:
    """Every way of drawing data and random numbers."""
    return [
        Case(name="plain", flags=("--steps", "500", "--batch-size", "4")),
        Case(name="all cores", flags=("--steps", "250", "--batch-size", "8", "--seed", "6"), all_cores=True),
        Case(
            name="accumulation",
            flags=("--steps", "250", "--batch-size", "8", "--micro-batch-size", "3", "--seed", "1"),
        ),
        Case(
            name="several epochs, dropout, tokens taken apart",
            flags=(
                *("--steps", "500", "--batch-size", "4", "--dropout", "0.2", "--split-share", "0.2"),
                *("--seed", "2"),
            ),
            corpus="small",
        ),
        Case(
            name="masked, next sentence, accumulation, dropout",
            flags=(
                *("--shape", "encoder", "--next-sentence", "--steps", "250", "--batch-size", "8"),
                *("--micro-batch-size", "4", "--dropout", "0.1", "--seed", "3"),
            ),
        ),
        Case(
            name="denoising, encoder-decoder",
            flags=("--shape", "encoder-decoder", "--steps", "250", "--batch-size", "4", "--seed", "4"),
        ),
        Case(name="LSTM", flags=("--shape", "lstm", "--steps", "250", "--batch-size", "4", "--seed", "5")),
    ]


def main() -> None:
    """Kill, repeat, compare; ends with an error where any bytes differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks kills")
    parser.add_argument("num_kills", nargs="?", type=int, default=NUM_KILLS)
    num_kills = parser.parse_args(sys.argv[2:]).num_kills
    tune_process()
    for name in IMPORTED:
        importlib.import_module(name)
    began_s, rng = time.monotonic(), random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_corpora(folder)
        tried = cases()
        for case in tried:
            _run_whole(case, folder)
            print(f"{case.name}: first step after {case.startup_s:.1f} s", file=sys.stderr, flush=True)
        # In turn, so that a machine that is busy for a while is so for all.
        for start in range(num_kills):
            _kill_once(tried[start % len(tried)], folder, rng, is_real=start % REAL_EVERY == REAL_EVERY - 1)
        for case in tried:
            _end(case, folder)
        _report(tried, time.monotonic() - began_s)
    if not all(all(case.ended) for case in tried):
        sys.exit(1)


def _make_corpora(folder: Path) -> None:
    write_python_reference(folder / "source")
    text = "\n\n".join(path.read_text() for path in sorted((folder / "source").rglob("*.txt")))
    for corpus, num_bytes in (("corpus", TEXT_BYTES), ("small", SMALL_BYTES)):
        (folder / f"{corpus}.txt").write_text(text[:num_bytes])
        arguments = ["corpus", str(folder / f"{corpus}.txt"), "--out", str(folder / corpus)]
        if _wait(_fork(arguments, folder / "log", os.sched_getaffinity(0))):
            sys.exit(f"the corpus could not be made: {(folder / 'log').read_text()}")


def _run_whole(case: Case, folder: Path) -> None:
    """A run that nothing happens to, and how long it takes to its first step."""
    out, began_s = folder / f"whole {case.name}", time.monotonic()
    child = _start(case, folder, out, is_real=False)
    while not (out / "metrics.jsonl").exists() and _is_alive(child):
        time.sleep(0.01)
    case.startup_s = time.monotonic() - began_s
    if _wait(child):
        sys.exit(f"{case.name}: the run that nothing happened to failed: {(folder / 'log').read_text()}")
    case.expected = _weights(out)


def _kill_once(case: Case, folder: Path, rng: random.Random, *, is_real: bool) -> None:
    """Start the case's run, or let it go on, and kill it; where it ends before that, begin the next."""
    while True:
        out, began_s = folder / f"{case.name} {case.run}", time.time()
        child = _start(case, folder, out, is_real=is_real)
        if not is_real and rng.randrange(ANY_MOMENT_EVERY) == 0:
            moment_s = time.time() + rng.uniform(0.0, case.startup_s)
        else:
            while _is_alive(child) and not _trains_since(began_s, out):
                time.sleep(0.005)
            moment_s = time.time() + rng.uniform(0.0, TRAINING_S)
        while _is_alive(child) and time.time() < moment_s:
            time.sleep(0.002)
        if rng.randrange(SAVING_EVERY) == 0:
            while _is_alive(child) and not _saves_since(began_s, out):
                time.sleep(0.001)
            time.sleep(rng.uniform(0.0, SAVING_S))
        if _is_alive(child):
            os.kill(child, 9)
            _wait(child)
            break
        if _wait(child):
            sys.exit(f"{case.name}: failed when repeated: {(folder / 'log').read_text()}")
        _compare(case, out)
    case.kills += 1
    case.real_kills += is_real
    case.while_training += (out / "metrics.jsonl").exists() and not (out / "result.json").exists()
    case.while_saving += _saves_since(began_s, out)


def _trains_since(began_s: float, out: Path) -> bool:
    metrics = out / "metrics.jsonl"
    return metrics.exists() and metrics.stat().st_mtime > began_s


def _saves_since(began_s: float, out: Path) -> bool:
    """Whether a checkpoint is being written, or was when the process died; not what an earlier one left."""
    for path in (out / "checkpoints").glob(".batch-*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime > began_s:
                return True
    return False


def _end(case: Case, folder: Path) -> None:
    """Let the last run come to its end."""
    out = folder / f"{case.name} {case.run}"
    if _wait(_start(case, folder, out, is_real=False)):
        sys.exit(f"{case.name}: failed when repeated: {(folder / 'log').read_text()}")
    _compare(case, out)


def _compare(case: Case, out: Path) -> None:
    case.ended.append(_weights(out) == case.expected)
    case.run += 1
    if case.ended[-1]:
        shutil.rmtree(out)


def _arguments(case: Case, folder: Path, out: Path) -> list[str]:
    return ["pretrain", str(folder / case.corpus), "--out", str(out), *COMMON, *case.flags]


def _start(case: Case, folder: Path, out: Path, *, is_real: bool) -> int:
    arguments = _arguments(case, folder, out)
    cores = os.sched_getaffinity(0)
    cores = cores if case.all_cores else {min(cores)}
    if not is_real:
        return _fork(arguments, folder / "log", cores)
    with (folder / "log").open("w") as log:
        child = subprocess.Popen(
            [*YANMO, *arguments],
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    return child.pid


def _fork(arguments: Sequence[str], log: Path, cores: Iterable[int]) -> int:
    """The command line in a child that need not import anything."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.sched_setaffinity(0, cores)
        sys.argv = ["yanmo", *arguments]
        command_line()
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


def _is_alive(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _weights(run: Path) -> str:
    return sha256_of_file(run / "model" / "model.safetensors")


def _report(tried: Sequence[Case], took_s: float) -> None:
    header = ("runs", "kills", "of the command", "in training", "in a save", "ended", "identical")
    print(f"{header[0]:46}" + "".join(f"{name:>16}" for name in header[1:]))
    for case in tried:
        numbers = (
            *(case.kills, case.real_kills, case.while_training, case.while_saving),
            *(len(case.ended), sum(case.ended)),
        )
        print(f"{case.name:46}" + "".join(f"{number:16}" for number in numbers))
    ended = [same for case in tried for same in case.ended]
    verdict = "identical, bit for bit" if all(ended) else "DIFFERENT"
    kills, training, saving, real = (
        sum(getattr(case, name) for case in tried)
        for name in ("kills", "while_training", "while_saving", "real_kills")
    )
    print(
        f"kill -9: {kills} kills, {training} of them while training and {saving} in the midst of a save, "
        f"{real} of the command line itself; final weights of {sum(ended)} of {len(ended)} runs {verdict}. "
        f"{took_s:.0f} s. {describe()}"
    )


if __name__ == "__main__":
    main()
