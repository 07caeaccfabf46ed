from __future__ import annotations

import pytest
import torch
from torch import nn

from yanmo.errors import InputError
from yanmo.models.lstm import LstmConfig, LstmModel
from yanmo.training import sharding
from yanmo.training.parallel import (
    Alone,
    first_ahead,
    open_group,
    require_same,
    rows_per_process,
    threads_per_process,
)
from yanmo.training.sharding import Parallelism, Replicated, lay_out, require_equal_shares


class Several(Alone):
    """One of several, for what needs no others."""

    size = 3


class Other(Alone):
    """Finds other values than the first did."""

    size = 2

    def first(self, values: object) -> list[float]:
        return [7.0]


def test_a_command_that_nobody_shares_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with open_group() as group, first_ahead(group):
        assert (group.rank, group.size) == (0, 1)
        assert group.add([1.5, 2.0]) == [1.5, 2.0] == group.first([1.5, 2.0])


def test_what_the_processes_do_not_agree_on_is_named() -> None:
    require_same(Alone(), [3.0], "checkpoint")
    with pytest.raises(InputError, match="1 of 2 processes found another checkpoint"):
        require_same(Other(), [3.0], "checkpoint")


@pytest.mark.parametrize(
    ("cores", "processes", "threads"), [(8, "2", 4), (8, "3", 2), (2, "4", 1), (6, "", 6)]
)
def test_the_cores_are_shared_out(
    cores: int, processes: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if processes:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    else:
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert threads_per_process(cores) == threads


def test_rows_are_shared_out() -> None:
    assert (
        rows_per_process(16, Alone()),
        rows_per_process(16, Several()),
        rows_per_process(2, Several()),
    ) == (16, 6, 1)


def test_shares_that_are_not_equal_are_refused() -> None:
    require_equal_shares(12, 2, Several())
    require_equal_shares(11, 2, Several())
    with pytest.raises(InputError, match="4 micro-batches of 3 rows are no equal shares for 3 processes"):
        require_equal_shares(12, 3, Several())


def test_one_process_holds_everything_whatever_was_asked() -> None:
    model = nn.Linear(2, 2)
    assert isinstance(lay_out(model, Alone(), Parallelism.SHARDED), Replicated)
    assert type(model.weight) is nn.Parameter


def test_where_processes_outnumber_matrices_some_have_none_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding.distributed, "all_to_all_single", lambda *_: None)
    assert sharding._exchange([[], []], [[], []], torch.zeros(1)) == [[], []]


def test_an_lstm_is_not_parted() -> None:
    model = LstmModel(LstmConfig(vocab_size=8, d_model=4, d_hidden=4, num_layers=1))
    with pytest.raises(InputError, match=r"only a Transformer.*--parallelism replicated"):
        lay_out(model, Several(), Parallelism.SHARDED)
    assert all(type(weight) is nn.Parameter for weight in model.parameters())
