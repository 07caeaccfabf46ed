"""Work over a Dask cluster: the same results as of one machine, whatever is lost on the way."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus_made import chinese_prose, prose
from dask import config
from distributed import LocalCluster
from test_workers import Heard, work

from yanmo.artifact import sha256_of_file
from yanmo.cli.corpus import corpus
from yanmo.corpus import part
from yanmo.corpus.build import build_corpus
from yanmo.corpus.cluster import Cluster
from yanmo.corpus.document import Reason
from yanmo.corpus.part import PartWork
from yanmo.corpus.workers import Report
from yanmo.errors import InputError, YanmoError


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A scheduler on this machine, with two workers that are processes."""
    settings = {"distributed.worker.daemon": False, "distributed.scheduler.allowed-failures": 1}
    with (
        config.set(settings),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of two languages, enough for several parts; one is broken."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(12):
        text = prose(number, 6) + chinese_prose(number, 3)
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    (folder / "bad.bin").write_bytes(bytes(900))
    monkeypatch.setattr(part, "PART_BYTES", sum(path.stat().st_size for path in folder.iterdir()) // 4)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in sorted(folder.iterdir())}


def test_a_corpus_has_the_bytes_that_this_machine_alone_gives(
    sources: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sources.parent)
    here = build_corpus(Path("in"), Path("here") / "corpus", num_workers=0)
    there = build_corpus(Path("in"), Path("there") / "corpus", engine=Cluster(scheduler=address))
    assert here.num_documents == there.num_documents == 12
    assert digests(Path("here") / "corpus") == digests(Path("there") / "corpus")


def test_everything_said_is_heard(address: str) -> None:
    heard, tasks = Heard(), [[f"{letter}{number}" for number in range(3)] for letter in "abcdefghi"]
    results = list(Cluster(scheduler=address)(work, tasks, num_workers=2, report=heard))
    assert sorted(results) == [(task, task) for task in tasks]
    names = [name for task in tasks for name in task]
    assert sorted(heard.labels) == names
    assert sorted(heard.notes) == [f"read {name}" for name in names]
    assert heard.num_bytes == 10 * len(names)


@pytest.mark.parametrize("is_inside", [False, True])
def test_a_file_that_crashes_or_hangs_is_left_out_with_its_reason(address: str, is_inside: bool) -> None:
    cluster = Cluster(scheduler=None if is_inside else address)
    tasks = [["a", "crashes", "b"], ["c", "hangs", "d"], ["crashes", "e"]]
    results = cluster(work, tasks, num_workers=2, report=Heard(), limit_s=2.0)
    assert sorted(done for _, done in results) == [
        ["a", "crashes: crashed its reader", "b"],
        ["c", "hangs: takes too long to read", "d"],
        ["crashes: crashed its reader", "e"],
    ]


def test_an_error_of_the_user_arrives_whole(address: str) -> None:
    with pytest.raises(InputError, match="wrong: cannot be"):
        list(Cluster(scheduler=address)(work, [["wrong"]], num_workers=1, report=Heard()))


def end_the_machine(task: Path, skipped: dict[str, Reason], report: Report) -> str:
    """Take the Dask worker with it: once where the file is there, always where it is not."""
    if not task.name.startswith("once") or task.exists():
        task.unlink(missing_ok=True)
        # Time for the process beside it to say how it ended, were it to blame.
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return "done"


def test_tasks_of_a_lost_machine_are_done_by_another(address: str, tmp_path: Path) -> None:
    task = tmp_path / "once"
    task.touch()
    results = list(Cluster(scheduler=address)(end_the_machine, [task], num_workers=1, report=Heard()))
    assert results == [(task, "done")]


def test_what_takes_every_machine_with_it_ends_in_a_line(address: str, tmp_path: Path) -> None:
    with pytest.raises(YanmoError, match="several workers of the cluster were lost over the same files"):
        list(Cluster(scheduler=address)(end_the_machine, [tmp_path / "x"], num_workers=1, report=Heard()))


STOPPED = """
import sys
from pathlib import Path
from yanmo.corpus import part
from yanmo.corpus.build import build_corpus
from yanmo.corpus.cluster import Cluster
if __name__ == "__main__":
    part.PART_BYTES = {part_bytes}
    build_corpus(Path("in"), Path("there/corpus"), num_workers=2, engine=Cluster())
"""


def test_killed_and_repeated_it_goes_on_to_the_same_bytes(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sources.parent)
    build_corpus(Path("in"), Path("here/corpus"), num_workers=0)
    Path("run.py").write_text(STOPPED.format(part_bytes=part.PART_BYTES))
    partial = Path("there/corpus/.partial")
    with subprocess.Popen([sys.executable, "run.py"], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(partial.glob("chunk-*.json")):
            time.sleep(0.01)
        process.kill()
    done = len(list(partial.glob("chunk-*.json")))
    assert done > 0
    begun: list[int] = []
    whole = PartWork.__call__

    def counted(self: PartWork, own: part.Part, skipped: dict[str, Reason], report: Report) -> None:
        begun.append(own.number)
        whole(self, own, skipped, report)

    monkeypatch.setattr(PartWork, "__call__", counted)
    build_corpus(Path("in"), Path("there/corpus"), num_workers=0)
    assert len(begun) <= 5 - done
    assert digests(Path("here/corpus")) == digests(Path("there/corpus"))


def test_without_dask_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "distributed" else found(name)
    )
    with pytest.raises(InputError, match=r"a cluster needs Dask \(pip install 'yanmo\[cluster\]'\)"):
        corpus(tmp_path, out=tmp_path / "out", engine="dask")


def test_flags_that_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="add --engine dask"):
        corpus(tmp_path, out=tmp_path / "out", scheduler="tcp://127.0.0.1:1")
    with pytest.raises(InputError, match="local or dask, not 'ray'"):
        corpus(tmp_path, out=tmp_path / "out", engine="ray")


def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yanmo.corpus.cluster._JOIN_S", 0.5)
    with pytest.raises(YanmoError, match="no cluster answers"):
        list(Cluster(scheduler="tcp://127.0.0.1:9")(work, [["a"]], num_workers=1, report=Heard()))


def test_workers_that_may_start_no_process() -> None:
    with (
        config.set({"distributed.worker.daemon": True}),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        pytest.raises(YanmoError, match="DASK_DISTRIBUTED__WORKER__DAEMON=False"),
    ):
        list(Cluster(scheduler=cluster.scheduler_address)(work, [["a"]], num_workers=1, report=Heard()))
