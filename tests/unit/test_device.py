from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from yanmo import device
from yanmo.data.on_device import OnDevice
from yanmo.device import choose_device, compute_dtype, use_device
from yanmo.errors import InputError
from yanmo.nn.embedding import Embedding

CPU = torch.device("cpu")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "_has_mps", lambda: False)


def test_auto_is_the_cpu_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpus(monkeypatch)
    assert choose_device() == CPU == choose_device("cpu")
    monkeypatch.setattr(device, "_has_mps", lambda: True)
    assert choose_device().type == "mps"
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["cuda", "mps", "tpu", ""])
def test_what_is_not_there_is_refused_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_gpus(monkeypatch)
    with pytest.raises(InputError, match="cpu") as caught:
        choose_device(name)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("two_gpus")
def test_each_process_takes_its_own_gpu_and_one_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("auto") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device("cuda") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match=r"3 processes.*2 GPUs.*nproc-per-node 2"):
        choose_device("cuda")


def test_the_cpu_computes_as_measured_and_a_gpu_in_bf16_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda", 0)
    for measured in (torch.bfloat16, torch.float32):
        assert compute_dtype(CPU, on_cpu=measured) is measured
    for supported, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda supported=supported, **_: supported)
        assert compute_dtype(cuda, on_cpu=torch.float32) is expected
    assert compute_dtype(torch.device("mps"), on_cpu=torch.bfloat16) is torch.float32


def test_new_tensors_are_made_on_the_device_in_use() -> None:
    with use_device(torch.device("meta")):
        assert torch.zeros(2).device.type == "meta"
    with use_device(CPU):
        assert torch.zeros(2).device == CPU
    assert torch.zeros(2).device == CPU


@dataclass(frozen=True, kw_only=True)
class Inner:
    lengths: tuple[int, ...]
    mask_T: Tensor


@dataclass(frozen=True, kw_only=True)
class Outer:
    tokens_BT: Tensor
    inner: Inner
    more: list[Tensor]
    name: str
    nothing: Tensor | None = None


class OneBatch:
    batch_size = 3

    def rows(self, step: int, rows: range) -> Outer:
        assert torch.zeros(1).device == CPU, "batches are made on the CPU"
        inner = Inner(lengths=(step, 2), mask_T=torch.ones(2))
        return Outer(tokens_BT=torch.zeros(len(rows), 2), inner=inner, more=[torch.ones(1)], name="batch")

    def epochs(self, step: int) -> float:
        return step / 2


def test_every_tensor_of_a_batch_is_moved_and_nothing_else_changes() -> None:
    batches = OnDevice(OneBatch(), torch.device("meta"))
    with use_device(torch.device("meta")):
        batch = batches.rows(5, range(2))
    assert (
        batch.tokens_BT.device.type == batch.inner.mask_T.device.type == batch.more[0].device.type == "meta"
    )
    assert batch.tokens_BT.shape == (2, 2)
    assert (batch.inner.lengths, batch.name, batch.nothing) == ((5, 2), "batch", None)
    assert (batches.batch_size, batches.epochs(5)) == (3, 2.5)
    same = OnDevice(OneBatch(), CPU).rows(5, range(2))
    assert torch.equal(same.inner.mask_T, torch.ones(2))


def test_an_embedding_computes_its_gradient_on_its_own_device() -> None:
    """GPUs run backward in threads of their own, where no device is in use."""
    table = Embedding(5, 3).to("meta")
    table(torch.zeros(2, 4, dtype=torch.int64, device="meta")).sum().backward()
    assert table.weight.grad is not None and table.weight.grad.device.type == "meta"
