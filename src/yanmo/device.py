"""Which device computes, and in which type of number.

Only the CPU was tried. What is here for CUDA and MPS is written from their documentation, and no run was
ever made on either.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from yanmo.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str = "auto") -> torch.device:
    """The device of this process.

    Args:
        name: ``cpu``, ``cuda``, ``mps``, or ``auto`` for a GPU where there is one. Of several GPUs, each
            process that torchrun started takes its own.

    Raises:
        InputError: there is no such device here, or fewer GPUs than processes.
    """
    if name not in DEVICES:
        raise InputError(f"there is no device {name!r}", remedy=f"choose one of {', '.join(DEVICES)}")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
    if name == "cuda":
        return _own_gpu()
    if name == "mps" and not _has_mps():
        raise InputError(
            "MPS is not available here", remedy="it needs a Mac with Apple silicon; --device cpu"
        )
    return torch.device(name)


def seed_devices(number: int) -> None:
    """Seed torch's random numbers, those of a GPU too where there is one; 0 <= number < 2**63."""
    # Seeding every device takes a hundred times as long as seeding the CPU, even where there is no other.
    seed_all = torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed
    seed_all(number)


def compute_dtype(device: torch.device, *, on_cpu: torch.dtype) -> torch.dtype:
    """The type to compute with; masters, gradient sums and moments are float32 whatever it is.

    Args:
        device: where.
        on_cpu: what was measured to be quicker on this machine's CPU.

    Returns:
        bfloat16 or float32; never float16, whose range needs scaled losses.
    """
    match device.type:
        case "cpu":
            return on_cpu
        case "cuda" if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16
    return torch.float32


@contextlib.contextmanager
def use_device(device: torch.device) -> Iterator[None]:
    """Make new tensors on a device inside the block, unless they say where; nothing changes for a CPU."""
    if device.type == "cpu":
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with device:
        yield


def _own_gpu() -> torch.device:
    if not torch.cuda.is_available():
        built = torch.version.cuda is not None
        raise InputError(
            "CUDA is not available: " + ("no GPU was found" if built else "this torch was built without it"),
            remedy="--device cpu, or mend the driver" if built else "--device cpu, or install torch for CUDA",
        )
    index, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= count:
        raise InputError(
            f"{os.environ.get('LOCAL_WORLD_SIZE', index + 1)} processes were started here for {count} GPUs",
            remedy=f"torchrun --nproc-per-node {count}",
        )
    return torch.device("cuda", index)


def _has_mps() -> bool:
    return torch.backends.mps.is_available()
