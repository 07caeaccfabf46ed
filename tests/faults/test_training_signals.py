"""Signals through the command line, wherever they fall; and the exit of a run that would not converge."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training_made import command_line, in_save, make_corpus

from yanmo.artifact import sha256_of_file, verify
from yanmo.training.trainer import Trainer

FLAGS = ["--steps", "40", "--num-layers", "1", "--d-model", "32", "--max-seq-len", "32", "--batch-size", "4"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("signals"))


def command(corpus: Path, out: Path) -> list[str]:
    return ["pretrain", str(corpus), "--out", str(out), *FLAGS, "--checkpoint-every", "0.01s"]


@pytest.fixture(scope="module")
def uninterrupted(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("whole") / "run"
    code, said = command_line(command(corpus, out))
    assert code == 0, said
    return weights_of(out)


def weights_of(out: Path) -> str:
    return sha256_of_file(out / "model" / "model.safetensors")


def in_validation(number: int) -> Callable[[], None]:
    """A signal in the midst of the fourth validation."""

    def install() -> None:
        run_validation, calls = Trainer._run_validation, 0

        def validate(self: Trainer[Any]) -> None:
            nonlocal calls
            calls += 1
            scored = self._validate

            def interrupted(model: Any) -> dict[str, float]:
                os.kill(os.getpid(), number)
                return scored(model)

            if calls == 4:
                self._validate = interrupted
            run_validation(self)

        Trainer._run_validation = validate

    return install


def assert_goes_on(corpus: Path, out: Path, uninterrupted: str) -> None:
    checkpoints = sorted((out / "checkpoints").glob("batch-*"))
    assert checkpoints
    for path in checkpoints:
        verify(path)
    code, said = command_line(command(corpus, out))
    assert code == 0 and "going on after step" in said, said
    assert weights_of(out) == uninterrupted
    assert [path.name for path in (out / "checkpoints").glob(".*")] == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_in_a_validation(corpus: Path, tmp_path: Path, uninterrupted: str, number: int, code: int) -> None:
    out = tmp_path / "run"
    stopped, said = command_line(command(corpus, out), before=in_validation(number))
    assert stopped == code and said.endswith("the same command goes on from here)\n"), said
    assert_goes_on(corpus, out, uninterrupted)


def test_while_a_checkpoint_is_written(corpus: Path, tmp_path: Path, uninterrupted: str) -> None:
    out = tmp_path / "run"
    install = in_save(signal.SIGTERM, times=1, lasting_s=0.5)
    code, said = command_line(command(corpus, out), before=install)
    assert code == 143 and said.endswith("the same command goes on from here)\n")
    # Both the one being written and that of the signal were finished.
    assert len(list((out / "checkpoints").glob("batch-*"))) >= 2
    assert_goes_on(corpus, out, uninterrupted)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_one_waits_for_nothing(
    corpus: Path, tmp_path: Path, uninterrupted: str, number: int, code: int
) -> None:
    out = tmp_path / "run"
    # Of the checkpoint that is being written then, the second file comes after the second signal.
    stopped = command_line(command(corpus, out), before=in_save(number, times=2, lasting_s=0.5))
    assert stopped[0] == code and "stopped at once" in stopped[1], stopped
    assert_goes_on(corpus, out, uninterrupted)


def test_what_does_not_converge_exits_with_17(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    wild = [*command(corpus, out), "--adam-learning-rate", "1e30"]
    for _ in range(2):
        code, said = command_line(wild)
        assert code == 17
        assert said.splitlines()[-1].startswith("yanmo: training does not converge: ")
        assert "the same command goes on from it past the bad batches" in said.splitlines()[-1]
        for path in (out / "checkpoints").glob("batch-*"):
            verify(path)
    assert not (out / "model").exists()
