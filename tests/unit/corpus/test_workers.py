"""Processes that read files: what hangs or crashes is named and left out, everything else gets done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from yanmo.corpus import workers
from yanmo.corpus.document import Reason
from yanmo.corpus.workers import Report, spread
from yanmo.errors import InputError, YanmoError


class Heard:
    """A report that is kept."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.notes: list[str] = []
        self.num_bytes = 0

    def begin(self, label: str, num_bytes: int) -> None:
        self.labels.append(label)

    def advance(self, num_bytes: int) -> None:
        self.num_bytes += num_bytes

    def note(self, line: str) -> None:
        self.notes.append(line)


def work(task: Sequence[str], skipped: dict[str, Reason], report: Report) -> list[str]:
    """Files that do what their names say."""
    done = []
    for name in task:
        if name in skipped:
            done.append(f"{name}: {skipped[name]}")
            continue
        report.begin(name, 10)
        if name == "hangs":
            time.sleep(600)
        if name == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if name == "wrong":
            raise InputError("cannot be", where=name)
        if name == "bug":
            raise KeyError(name)
        report.advance(10)
        report.note(f"read {name}")
        done.append(name)
    return done


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_all_tasks_are_done_and_everything_said_is_heard(num_workers: int) -> None:
    heard, tasks = Heard(), [[f"{letter}{number}" for number in range(3)] for letter in "abcd"]
    results = list(spread(work, tasks, num_workers=num_workers, report=heard))
    assert sorted(results) == [(task, task) for task in tasks]
    names = [name for task in tasks for name in task]
    assert sorted(heard.labels) == names
    assert sorted(heard.notes) == [f"read {name}" for name in names]
    assert heard.num_bytes == 10 * len(names)


def test_a_file_that_crashes_or_hangs_is_left_out_with_its_reason() -> None:
    tasks = [["a", "crashes", "b"], ["c", "hangs", "d"], ["crashes", "e"]]
    results = spread(work, tasks, num_workers=2, report=Heard(), limit_s=3.0)
    assert sorted(done for _, done in results) == [
        ["a", "crashes: crashed its reader", "b"],
        ["c", "hangs: takes too long to read", "d"],
        ["crashes: crashed its reader", "e"],
    ]


def compute(task: float, skipped: dict[str, Reason], report: Report) -> str:
    """Processor time of so many seconds, however long that takes."""
    if skipped:
        return str(skipped["file"])
    report.begin("file", 10)
    until_s = time.process_time() + task
    while time.process_time() < until_s:
        pass
    return "done"


def test_a_file_is_given_its_time_of_computing() -> None:
    results = dict(spread(compute, [0.1, 60.0], num_workers=2, report=Heard(), limit_s=1.0))
    assert results == {0.1: "done", 60.0: "takes too long to read"}


def test_a_busy_machine_makes_no_file_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if the process had a twentieth of a processor.
    monkeypatch.setattr(workers, "computing_s", lambda process_id: time.monotonic() / 20)
    results = list(spread(compute, [1.5], num_workers=1, report=Heard(), limit_s=0.5))
    assert results == [(1.5, "done")]


def test_the_time_of_another_process_is_known() -> None:
    spin = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert 0.5 <= workers.computing_s(other.pid) < 5.0
        other.kill()


def test_an_error_of_the_user_arrives_whole() -> None:
    with pytest.raises(InputError, match="wrong: cannot be") as caught:
        list(spread(work, [["wrong"]], num_workers=1, report=Heard()))
    assert caught.value.exit_code == 2


def test_a_bug_arrives_with_the_place_it_happened_at() -> None:
    with pytest.raises(KeyError) as caught:
        list(spread(work, [["bug"]], num_workers=1, report=Heard()))
    assert "in work" in caught.value.__notes__[0]


def die_at_once(task: str, skipped: dict[str, Reason], report: Report) -> str:
    os._exit(9)


def test_a_process_that_dies_over_no_file_stops_the_work() -> None:
    with pytest.raises(YanmoError, match="ended from outside"):
        list(spread(die_at_once, ["a"], num_workers=1, report=Heard()))


def linger(task: Path, skipped: dict[str, Reason], report: Report) -> None:
    task.write_text(str(os.getpid()))
    time.sleep(600)


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_workers import Heard, linger
from yanmo.corpus.workers import spread
if __name__ == "__main__":
    list(spread(linger, [Path({place!r})], num_workers=1, report=Heard()))
"""


def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    place, script = tmp_path / "pid", tmp_path / "parent.py"
    script.write_text(PARENT.format(folder=str(Path(__file__).parent), place=str(place)))
    with subprocess.Popen([sys.executable, str(script)]) as parent:
        child = _wait_for_number(place)
        parent.kill()
    for _ in range(600):
        if not Path(f"/proc/{child}").exists() or "zombie" in Path(f"/proc/{child}/status").read_text():
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


def _wait_for_number(place: Path) -> int:
    for _ in range(1200):
        if place.is_file() and (text := place.read_text()):
            return int(text)
        time.sleep(0.05)
    pytest.fail("the worker did not begin")
