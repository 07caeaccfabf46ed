"""The processes that share one run, as the loop knows them.

Each computes some micro-batches of a step; losses, counts and gradients are SUMS, so adding them up over
the processes gives the full batch's gradient whatever their number (synchronous data parallelism, as in Li
et al. 2020, arXiv 2006.15704, but added once a step, after the last micro-batch, not during backward). Given
the same micro-batches, a float32 run ends in the same bits on 1, 2 or 4 processes of as many threads each.

A run on several processes is started by ``torchrun --nproc-per-node 2 -m yanmo pretrain ...``, which starts
the same command twice. A recipe does with it::

    with open_group() as group:
        with first_ahead(group):        # the first process makes files, the others then find them
            tokens = TokenStore.open_or_build(...)
        torch.set_num_threads(threads_per_process(usable_cores()))
        optimizer = Optimizer(model, config, lay_out(model, group))
        Trainer(..., group=group).run()
        weights = optimizer.masters()   # asked for by all
        if group.rank == 0:             # what is written once
            save_model(...)

Inside the block only the first process is heard: messages of the others go nowhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, distributed

from yanmo.errors import InputError, Interrupted, TrainingDiverged, YanmoError
from yanmo.runtime import num_processes

# torch.distributed's own names for a place among processes.
_PLACE = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# Gradients are added in flat pieces of about this size: large enough for full speed, small beside a model.
_BUCKET_BYTES = 32 * 2**20
# How long one process may keep the others waiting: in a step, and while it makes or writes files.
_STEP_TIMEOUT_S, _FILES_TIMEOUT_S = 600.0, 7 * 86400.0


class Group(Protocol):
    """Processes that train one model together."""

    @property
    def rank(self) -> int:
        """This process, 0 to ``size`` - 1; the first writes files and speaks."""

    @property
    def size(self) -> int:
        """How many there are."""

    def add(self, values: Sequence[float]) -> list[float]:
        """Each value summed over the processes (in float64)."""

    def first(self, values: Sequence[float]) -> list[float]:
        """The first process' values."""

    def add_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes; the same bits on all of them."""

    def copy_from(self, rank: int, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by that of process ``rank``."""

    def wait(self) -> None:
        """Until all are here."""


class Alone:
    """One process."""

    rank, size = 0, 1

    def add(self, values: Sequence[float]) -> list[float]:
        """The values themselves."""
        return list(values)

    def first(self, values: Sequence[float]) -> list[float]:
        """The values themselves."""
        return list(values)

    def add_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Nothing to add."""

    def copy_from(self, rank: int, tensors: Sequence[Tensor]) -> None:
        """Nobody to copy from."""

    def wait(self) -> None:
        """Nobody to wait for."""


class Processes:
    """Processes joined by torch.distributed: gloo between CPUs, NCCL between GPUs (not tried here)."""

    def __init__(self, *, files_timeout_s: float = _FILES_TIMEOUT_S) -> None:
        """Know the joined processes; ``open_group`` joins them."""
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        # A death is noticed at once in either; only a silent process is waited for so long.
        self._patient = distributed.new_group(backend="gloo", timeout=timedelta(seconds=files_timeout_s))

    def add(self, values: Sequence[float]) -> list[float]:
        """Each value summed over the processes in their order, in float64."""
        mine = torch.tensor(values, dtype=torch.float64, device="cpu")
        all_values = [torch.empty_like(mine) for _ in range(self.size)]
        distributed.all_gather(all_values, mine)
        total = all_values[0]
        for others in all_values[1:]:
            total += others
        return [float(value) for value in total]

    def first(self, values: Sequence[float]) -> list[float]:
        """The first process' values."""
        shared = torch.tensor(values, dtype=torch.float64, device="cpu")
        distributed.broadcast(shared, src=0)
        return [float(value) for value in shared]

    @torch.no_grad()
    def add_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""
        for bucket in _buckets(tensors):
            flat = _flatten(bucket)
            distributed.all_reduce(flat)
            _unflatten(flat, bucket)

    @torch.no_grad()
    def copy_from(self, rank: int, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by that of process ``rank``."""
        for bucket in _buckets(tensors):
            flat = _flatten(bucket)
            distributed.broadcast(flat, src=rank)
            _unflatten(flat, bucket)

    def wait(self) -> None:
        """Until all are here."""
        distributed.all_reduce(torch.zeros(1, device="cpu"), group=self._patient)


@contextlib.contextmanager
def open_group(*, timeout_s: float = _STEP_TIMEOUT_S) -> Iterator[Group]:
    """The processes of this run inside the block: those that torchrun started, or this one alone.

    A process that ends takes the others with it at once; one that is silent for ``timeout_s``, in a step,
    does so too. Where all end for one reason, such as a signal, only the first process says it.

    Args:
        timeout_s: how long one process may keep the others waiting in a step.

    Raises:
        InputError: the environment names a place among processes that is not whole or not there.
        YanmoError: another process ended, or cannot be reached.
    """
    if num_processes() == 1:
        yield Alone()
        return
    _join(timeout_s)
    try:
        with contextlib.ExitStack() as stack:
            if distributed.get_rank() > 0:
                stack.enter_context(_silence())
            yield Processes()
    except (Interrupted, TrainingDiverged) as error:
        # All processes stop at the same step for the same reason.
        if distributed.get_rank() > 0:
            raise SystemExit(error.exit_code) from error
        raise
    except RuntimeError as error:
        if not _is_loss_of_a_process(error):
            raise
        raise YanmoError(
            f"process {distributed.get_rank()} lost another process of this run",
            remedy="the other one says why; the same command goes on from the last checkpoint",
        ) from error
    finally:
        distributed.destroy_process_group()


@contextlib.contextmanager
def first_ahead(group: Group) -> Iterator[None]:
    """The first process goes through the block while the others wait; then they do.

    What it made in files they then find. Where it fails, they are told so when it leaves ``open_group``.
    """
    if group.rank > 0:
        group.wait()
    yield
    if group.rank == 0:
        group.wait()


def require_same(group: Group, values: Sequence[float], what: str) -> None:
    """Refuse to go on where the processes do not agree.

    Args:
        group: the processes.
        values: whole numbers or floats that must be the same on each.
        what: what they are, for the message.

    Raises:
        InputError: on every process, where any has other values than the first.
    """
    differs = float(group.first(values) != list(values))
    (num_differing,) = group.add([differs])
    if num_differing:
        raise InputError(
            f"{num_differing:.0f} of {group.size} processes found another {what} than the first",
            remedy="all must see the same files: use a folder that the machines share",
        )


def threads_per_process(num_cores: int) -> int:
    """Threads for each process of this machine.

    Args:
        num_cores: cores that may be used on this machine.
    """
    return max(1, num_cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def rows_per_process(batch_size: int, group: Group) -> int:
    """The largest micro-batch that still gives every process an equal share of a step's rows, or nearly."""
    return -(-batch_size // group.size)


def _join(timeout_s: float) -> None:
    missing = [name for name in _PLACE if not os.environ.get(name)]
    if missing:
        raise InputError(
            f"WORLD_SIZE asks for several processes, but {', '.join(missing)} is not set",
            remedy="start the command with torchrun, or unset WORLD_SIZE",
        )
    # Tensors on a GPU travel over NCCL, numbers and tensors on a CPU over gloo.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        distributed.init_process_group(backend, timeout=timedelta(seconds=timeout_s))
    except (RuntimeError, ValueError) as error:
        raise YanmoError(
            f"process {os.environ['RANK']} cannot reach the others: {str(error).splitlines()[0]}",
            where=f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}",
            remedy="start the command with torchrun on every machine",
        ) from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def _is_loss_of_a_process(error: RuntimeError) -> bool:
    # gloo's own errors have no type: they are known by the source file that they name.
    return isinstance(error, distributed.DistError) or "/gloo/" in str(error)


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one type and device, together at most a bucket or else one large tensor."""
    bucket: list[Tensor] = []
    num_bytes = 0
    for tensor in filter(torch.numel, tensors):
        fits = num_bytes + tensor.nbytes <= _BUCKET_BYTES
        if bucket and not (fits and tensor.dtype == bucket[0].dtype and tensor.device == bucket[0].device):
            yield bucket
            bucket, num_bytes = [], 0
        bucket.append(tensor)
        num_bytes += tensor.nbytes
    if bucket:
        yield bucket


def _flatten(bucket: list[Tensor]) -> Tensor:
    if len(bucket) == 1 and bucket[0].is_contiguous():
        return bucket[0].view(-1)
    return torch.cat([tensor.reshape(-1) for tensor in bucket])


def _unflatten(flat: Tensor, bucket: list[Tensor]) -> None:
    if flat.data_ptr() == bucket[0].data_ptr():
        return
    for tensor, values in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
        tensor.copy_(values.view_as(tensor))
