"""How a model's weights lie across the processes of a run: whole on each, or a part on each.

Replicated: every process holds everything and computes some micro-batches; gradient sums are added once a
step. Sharded: every process holds rows of every weight, of its master, gradient and moments, and gathers a
block's weights for as long as it computes with them (Zhao et al. 2023, arXiv 2304.11277, sections 3.2 and 4;
torch's ``fully_shard``), for models too large for one process. What works number by number (AdamW,
momentum, decay) needs no other rows; Muon needs whole matrices, so each is brought to one process, which
orthogonalises it for all (as in Liu et al. 2025, arXiv 2502.16982, section 2.3, with an owner a matrix).

The files of a run know nothing of this: checkpoints hold whole tensors, written by the first process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, distributed, nn

from yanmo.errors import InputError
from yanmo.training.parallel import Alone, Group

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule

# Methods besides ``forward`` through which objectives and validation enter a model.
_ENTRANCES = ("hidden", "encode")
# The name of a stack's list of blocks, each of which is gathered on its own.
_BLOCKS = "blocks"

Solve = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""From whole matrices by name to results of the same shapes."""


class Parallelism(StrEnum):
    """What each process holds of the model."""

    REPLICATED = "replicated"
    SHARDED = "sharded"


class Layout(Protocol):
    """Where a model's numbers are; a local tensor is what this process holds of a whole one."""

    def local(self, tensor: Tensor) -> Tensor:
        """What this process holds of a parameter of the model, or of its gradient."""

    def cut(self, name: str, whole: Tensor) -> Tensor:
        """The local tensor of a whole one.

        Args:
            name: of the parameter.
            whole: of the parameter's shape.
        """

    def gather(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors of local ones, by the name of their parameter; called by all processes.

        Returns:
            On the first process; the others may get tensors of the same shapes without numbers (meta).
        """

    def norm(self, gradients: list[Tensor]) -> float:
        """Euclidean norm of the whole gradient, from the local ones."""

    def spread(self, matrices: Mapping[str, Tensor], solve: Solve) -> dict[str, Tensor]:
        """Let each matrix be worked on by one process.

        Args:
            matrices: local tensors by the name of their parameter.
            solve: the work; whole matrices in and out.

        Returns:
            Local tensors of the results.
        """

    def refresh(self) -> None:
        """The model's weights have been written: forget what was computed from them."""

    @property
    def adds_gradients(self) -> bool:
        """Whether gradients are added over the processes during backward already."""


class Replicated:
    """Every process holds every weight."""

    adds_gradients = False

    def __init__(self, group: Group) -> None:
        """The processes that share Muon's work."""
        self._group = group

    def local(self, tensor: Tensor) -> Tensor:
        """The tensor."""
        return tensor

    def cut(self, name: str, whole: Tensor) -> Tensor:
        """The whole."""
        return whole

    def gather(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors, on every process."""
        return dict(tensors)

    def norm(self, gradients: list[Tensor]) -> float:
        """Euclidean norm of all."""
        return _norm(gradients)

    def spread(self, matrices: Mapping[str, Tensor], solve: Solve) -> dict[str, Tensor]:
        """Each process works on some matrices and hears of the others."""
        owners = _owners({name: matrix.shape for name, matrix in matrices.items()}, self._group.size)
        mine = {name: matrix for name, matrix in matrices.items() if owners[name] == self._group.rank}
        results = solve(mine)
        results |= {name: torch.empty_like(matrices[name]) for name in matrices if name not in mine}
        for rank in range(self._group.size):
            self._group.copy_from(rank, [results[name] for name in matrices if owners[name] == rank])
        return results

    def refresh(self) -> None:
        """Nothing was kept."""


class Sharded:
    """Every process holds neighbouring rows of every weight; the model gathers them as it computes.

    Each process must then go equally often through the model (``require_equal_shares``), and whatever
    computes with the model outside the loop (validation, samples) must be done by all of them.
    """

    adds_gradients = True

    def __init__(self, model: nn.Module, group: Group) -> None:
        """Part ``model`` in place; its parameters become ``DTensor``s and keep their names.

        Args:
            model: with its weights, the same in every process, on the device that it computes on.
            group: all processes that torch.distributed knows, more than one.

        Raises:
            InputError: the model is not made of blocks.
        """
        assert group.size > 1, "one process holds everything anyway"
        self._group = group
        self._shapes = {name: weight.shape for name, weight in model.named_parameters()}
        self._modules = _fully_shard(model, group.size)
        self._is_laid_out = False

    def local(self, tensor: Tensor) -> Tensor:
        """The process' rows of a ``DTensor``."""
        from torch.distributed.tensor import DTensor

        assert isinstance(tensor, DTensor)
        return tensor.to_local()

    def cut(self, name: str, whole: Tensor) -> Tensor:
        """The process' rows."""
        return whole[_rows(self._shapes[name], self._group.rank, self._group.size)]

    def gather(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors, in the memory of the first process' CPU; shapes alone on the others."""
        return {name: self._collect(name, tensor) for name, tensor in tensors.items()}

    def norm(self, gradients: list[Tensor]) -> float:
        """Euclidean norm of the whole gradient."""
        (squares,) = self._group.add([_norm(gradients) ** 2])
        return squares**0.5

    def spread(self, matrices: Mapping[str, Tensor], solve: Solve) -> dict[str, Tensor]:
        """Each matrix goes to one process and its results come back in rows: two exchanges."""
        size, rank = self._group.size, self._group.rank
        owners = _owners({name: self._shapes[name] for name in matrices}, size)
        by_owner = [[name for name in matrices if owners[name] == owner] for owner in range(size)]
        sent = [[matrices[name] for name in names] for names in by_owner]
        # From each process, its rows of the matrices that are worked on here.
        arriving = [[self._shape_at(name, process) for name in by_owner[rank]] for process in range(size)]
        like = next(iter(matrices.values()))
        received = _exchange(sent, arriving, like)
        wholes = {
            name: torch.cat([rows[index] for rows in received]) for index, name in enumerate(by_owner[rank])
        }
        results = solve(wholes)
        sent = [
            [results[name][_rows(self._shapes[name], process, size)] for name in by_owner[rank]]
            for process in range(size)
        ]
        returning = [[self._shape_at(name, rank) for name in names] for names in by_owner]
        returned = _exchange(sent, returning, like)
        return {
            name: tensor
            for names, tensors in zip(by_owner, returned, strict=True)
            for name, tensor in zip(names, tensors, strict=True)
        }

    def refresh(self) -> None:
        """Drop gathered weights, which are older than the local ones."""
        for module in self._modules:
            if not self._is_laid_out:
                # The buffers that weights are gathered in are made when first used; made in inference mode,
                # by a validation right after a resume, they would be of no use to training.
                module.unshard()
            module.reshard()
        self._is_laid_out = True

    def _shape_at(self, name: str, rank: int) -> tuple[int, ...]:
        shape = self._shapes[name]
        rows = _rows(shape, rank, self._group.size)
        return (rows.stop - rows.start, *shape[1:])

    def _collect(self, name: str, tensor: Tensor) -> Tensor:
        # All send as many rows as the first holds: gather wants equal sizes.
        padded = torch.zeros(self._shape_at(name, 0), dtype=tensor.dtype, device="cpu")
        padded[: len(tensor)] = tensor.cpu()
        if self._group.rank > 0:
            distributed.gather(padded, dst=0)
            return torch.empty(self._shapes[name], dtype=tensor.dtype, device="meta")
        parts = [torch.empty_like(padded) for _ in range(self._group.size)]
        distributed.gather(padded, parts, dst=0)
        return torch.cat([part[: self._shape_at(name, rank)[0]] for rank, part in enumerate(parts)])


def lay_out(model: nn.Module, group: Group, parallelism: Parallelism = Parallelism.REPLICATED) -> Layout:
    """Lay a model out over the processes, before its optimizer is made.

    Args:
        model: with its first weights in float32, the same in every process; parted in place if sharded.
        group: the processes.
        parallelism: what each holds. One process alone holds everything.

    Raises:
        InputError: the model is not made of blocks.
    """
    if parallelism is Parallelism.SHARDED and group.size > 1:
        return Sharded(model, group)
    return Replicated(group)


def require_equal_shares(batch_size: int, micro_batch_size: int, group: Group) -> None:
    """Refuse micro-batches that cannot be dealt out evenly, which a sharded model needs.

    Raises:
        InputError: some process would compute more micro-batches than another.
    """
    num_micro_batches = -(-batch_size // micro_batch_size)
    if num_micro_batches % group.size:
        raise InputError(
            f"{num_micro_batches} micro-batches of {micro_batch_size} rows are no equal shares for "
            f"{group.size} processes that each hold a part of the model",
            remedy=f"choose a batch size that is a multiple of {group.size} micro-batches",
        )


def _fully_shard(model: nn.Module, size: int) -> list[FSDPModule]:
    """Part a model block by block; the modules that gather weights, the whole model last."""
    # Takes a second to import.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import (
        FSDPModule,
        MixedPrecisionPolicy,
        fully_shard,
        register_fsdp_forward_method,
    )

    stacks = [module for name, module in model.named_modules() if name.rpartition(".")[2] == _BLOCKS]
    if not stacks:
        raise InputError(
            "only a Transformer can be parted among processes",
            remedy=f"choose --parallelism {Parallelism.REPLICATED.value}",
        )
    mesh = init_device_mesh(next(model.parameters()).device.type, (size,))
    # Gradients of bf16 weights are added in float32.
    precision = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in (block for stack in stacks for block in stack.children()):
        fully_shard(block, mesh=mesh, mp_policy=precision)
    # What is in no block stays gathered until backward is done: objectives use the output matrix themselves.
    fully_shard(model, mesh=mesh, mp_policy=precision, reshard_after_forward=False)
    for name in _ENTRANCES:
        if hasattr(model, name):
            register_fsdp_forward_method(model, name)
    modules: list[FSDPModule] = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in modules:
        # Sums, which the optimizer divides by the number of tokens.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    return modules


def _rows(shape: torch.Size, rank: int, size: int) -> slice:
    """Which rows of a whole tensor a process holds; the last ones may hold fewer or none."""
    share = -(-shape[0] // size)
    return slice(min(rank * share, shape[0]), min((rank + 1) * share, shape[0]))


def _norm(gradients: list[Tensor]) -> float:
    return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))))


def _owners(shapes: Mapping[str, torch.Size], size: int) -> dict[str, int]:
    """Which process works on which matrix: the dearest first, each to whoever has least to do."""
    loads = [0] * size
    owners = {}
    for name in sorted(shapes, key=lambda name: (-_cost(shapes[name]), name)):
        owner = loads.index(min(loads))
        owners[name] = owner
        loads[owner] += _cost(shapes[name])
    return owners


def _cost(shape: torch.Size) -> int:
    """Of orthogonalising, up to a factor."""
    rows, columns = shape
    return rows * columns * min(rows, columns)


def _exchange(
    sent: list[list[Tensor]], arriving: list[list[tuple[int, ...]]], like: Tensor
) -> list[list[Tensor]]:
    """Send tensors to each process and receive tensors of known shapes from each, in one exchange.

    ``like`` is of their type and device: where there are more processes than matrices, some have none.
    """
    flat = [tensor.reshape(-1) for tensors in sent for tensor in tensors]
    outgoing = torch.cat([like.new_empty(0), *flat])
    sizes_out = [sum(tensor.numel() for tensor in tensors) for tensors in sent]
    sizes_in = [sum(torch.Size(shape).numel() for shape in shapes) for shapes in arriving]
    incoming = like.new_empty(sum(sizes_in))
    distributed.all_to_all_single(incoming, outgoing, sizes_in, sizes_out)
    return [
        list(_unpack(part, shapes)) for part, shapes in zip(incoming.split(sizes_in), arriving, strict=True)
    ]


def _unpack(flat: Tensor, shapes: list[tuple[int, ...]]) -> Iterator[Tensor]:
    pieces = flat.split([torch.Size(shape).numel() for shape in shapes])
    for piece, shape in zip(pieces, shapes, strict=True):
        yield piece.view(shape)


ALONE: Layout = Replicated(Alone())
"""One process, which holds everything."""
