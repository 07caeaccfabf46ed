"""Broken and hostile files: none may stop the reading, take long or much memory, or go unmentioned.

    python -m benchmarks hostile_files [FILES] [SEED] [SCALE]

5,000 files (or FILES) of more than 30 kinds are made one after another from a seed and read in a worker
process as the corpus pipeline reads them. SCALE, from 0 to 1, makes the large ones smaller. The table has a
line a kind; the program ends with an error where a file was fatal to the worker, yielded nothing, took over
2 s of processor time (elapsed time, which depends on what else the machine does, stands beside it) or over
500 MB.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import socket
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.hostile_makers import KINDS
from benchmarks.machine import describe

MOST_SECONDS, MOST_BYTES = 2.0, 500 << 20
_GIVEN_UP_S = 60.0
_ADDRESS_SPACE = 6 << 30
_ODD_PLACES = "links, pipes and odd names"


@dataclass
class Outcome:
    """What became of one file."""

    kind: str
    name: str
    refused: Counter[str] = field(default_factory=Counter)
    num_documents: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    grown_bytes: int = 0
    fatal: str = ""

    @property
    def is_listed(self) -> bool:
        """Whether the file gave a document or a reason."""
        return self.num_documents > 0 or self.refused.total() > 0


def main() -> None:
    """Print the table."""
    arguments = sys.argv[2:]
    num_files = int(arguments[0]) if arguments else 5000
    seed = int(arguments[1]) if arguments[1:] else 0
    scale = float(arguments[2]) if arguments[2:] else 1.0
    outcomes = list(read_hostile_files(num_files, seed, scale))
    print(f"{num_files} files, seed {seed}, scale {scale:g}. {describe()}")
    _print_table(outcomes)
    bad = [outcome for outcome in outcomes if complaint(outcome)]
    for outcome in bad:
        print(f"{outcome.kind}, {outcome.name}: {complaint(outcome)}")
    sys.exit(1 if bad else 0)


def complaint(outcome: Outcome) -> str:
    """Which bar a file missed; empty where none."""
    if outcome.fatal:
        return outcome.fatal
    if not outcome.is_listed:
        return "gave neither a document nor a reason"
    if outcome.cpu_s > MOST_SECONDS:
        return f"took {outcome.cpu_s:.2f} s of processor time ({outcome.wall_s:.2f} s)"
    if outcome.grown_bytes > MOST_BYTES:
        return f"took {outcome.grown_bytes >> 20} MB"
    return ""


def read_hostile_files(num_files: int, seed: int, scale: float) -> Iterator[Outcome]:
    """Make and read files, the kinds in turn, one file at a time."""
    kinds = [*KINDS, _ODD_PLACES]
    reader = _Worker()
    try:
        for number in range(num_files):
            kind = kinds[number % len(kinds)]
            rng = random.Random(f"{seed} {kind} {number}")
            with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
                path = _make(kind, rng, scale, Path(folder))
                yield reader.read(Outcome(kind=kind, name=f"file {number}: {path.name!r}"), path)
    finally:
        reader.stop()


def _make(kind: str, rng: random.Random, scale: float, folder: Path) -> Path:
    if kind == _ODD_PLACES:
        return _odd_place(rng, folder)
    name, data = KINDS[kind](rng, scale)
    path = folder / name
    path.write_bytes(data)
    return path


def _odd_place(rng: random.Random, folder: Path) -> Path:
    """Something that is no plain file, or has a name that is hardly one."""
    kind = rng.randrange(7)
    path = folder / "a.txt"
    if kind == 0:
        path.symlink_to(path)
    elif kind == 1:
        path.symlink_to(folder / "nowhere")
    elif kind == 2:
        os.mkfifo(path)
    elif kind == 3:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    elif kind == 4:
        (folder / "sub").mkdir()
        (folder / "sub" / "up").symlink_to(folder)
        (folder / "sub" / "b.txt").write_text("words")
        return folder
    elif kind == 5:
        path = Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe\n bad.txt"))
        path.write_text("words")
    else:
        path = folder / "dir.txt"
        path.mkdir()
        (path / ".hidden").write_text("words")
    return path


class _Worker:
    """A process that reads files; a new one takes over from one that died."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._ours, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def read(self, outcome: Outcome, path: Path) -> Outcome:
        """Have a file read, and fill in what came of it."""
        try:
            self._ours.send(os.fsencode(path))
            if not self._ours.poll(_GIVEN_UP_S):
                outcome.fatal = f"not read within {_GIVEN_UP_S:.0f} s"
            else:
                answer = self._ours.recv()
                outcome.refused, outcome.num_documents, outcome.fatal = answer[:3]
                outcome.wall_s, outcome.cpu_s, outcome.grown_bytes = answer[3:]
                return outcome
        except (EOFError, ConnectionError):
            self._process.join()
            outcome.fatal = f"ended the worker (code {self._process.exitcode})"
        self.stop()
        self._start()
        return outcome

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._ours.close()


def _serve(connection: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    _read_once(Path(__file__))
    while True:
        try:
            path = Path(os.fsdecode(connection.recv()))
        except EOFError:
            return
        connection.send(_read_once(path))


def _read_once(path: Path) -> tuple[Counter[str], int, str, float, float, int]:
    from yanmo.corpus.document import Rejected
    from yanmo.corpus.files import find_files
    from yanmo.corpus.reader import UNFORESEEN, read_file

    refused, num_documents, fatal = Counter[str](), 0, ""
    before = _reset_peak()
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    try:
        for file in find_files([path]):
            for item in read_file(file, text_column=None, note=_say_nothing):
                if isinstance(item, Rejected):
                    refused[item.reason.value] += 1
                    # It costs the file alone, and is a mistake of ours all the same.
                    fatal = item.detail if item.detail.startswith(UNFORESEEN) else fatal
                else:
                    num_documents += 1
                    # A text that cannot be written is no text.
                    item.text.encode("utf-8", "surrogatepass")
    except BaseException as error:
        fatal = f"raised {type(error).__name__}: {str(error)[:200]}"
    wall_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    return refused, num_documents, fatal, wall_s, cpu_s, _status_bytes("VmHWM") - before


def _say_nothing(line: str) -> None:
    """Notes are not counted."""


def _reset_peak() -> int:
    """Begin to measure the peak of the memory anew, where the system can; bytes in use now."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    return _status_bytes("VmRSS")


def _status_bytes(name: str) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def _print_table(outcomes: list[Outcome]) -> None:
    print("| kind | files | read | refused | most computing | slowest | most memory |")
    print("|---|---|---|---|---|---|---|")
    groups = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.kind].append(outcome)
    for kind, group in [*groups.items(), ("all", outcomes)]:
        reasons = Counter(reason for outcome in group for reason in outcome.refused)
        told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        computing, slowest = max(one.cpu_s for one in group), max(one.wall_s for one in group)
        most = max(outcome.grown_bytes for outcome in group) / (1 << 20)
        num_read = sum(outcome.num_documents > 0 for outcome in group)
        times = f"{computing:.2f} s | {slowest:.2f} s"
        print(f"| {kind} | {len(group)} | {num_read} | {told} | {times} | {most:.0f} MB |")


if __name__ == "__main__":
    main()
