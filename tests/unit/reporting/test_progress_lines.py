"""Progress and messages: on stderr, a line now and then where there is no terminal."""

from __future__ import annotations

import pytest

from yanmo.reporting import progress
from yanmo.reporting.progress import Progress, say, say_once


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_messages_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("墨")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "墨\n")


def test_what_is_said_once_is_said_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_said_once", set())
    for message in ("a", "b", "a"):
        say_once(message)
    assert capsys.readouterr().err == "a\nb\n"


def test_without_a_terminal_a_line_comes_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    with Progress("reading", total=40, unit="files") as bar:
        for _ in range(30):
            clock.now_s += 1
            bar.advance(note="ok")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "reading: 10/40 files, 30s left, ok",
        "reading: 20/40 files, 20s left, ok",
        "reading: 30/40 files, 10s left, ok",
    ]


def test_the_time_left_can_be_told(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Progress("training", total=1000) as bar:
        clock.now_s += 11
        bar.update(500, time_left_s=200)
    assert capsys.readouterr().err == "training: 500/1,000, 3m 20s left\n"


def test_an_unknown_total_gives_no_time_left(capsys: pytest.CaptureFixture[str], clock: Clock) -> None:
    with Progress("reading", unit="documents") as bar:
        clock.now_s += 11
        bar.update(12_345)
    assert capsys.readouterr().err == "reading: 12,345 documents\n"
