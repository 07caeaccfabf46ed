"""Whole models with kernels and without: the same numbers; traced, compiled and exported without them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from yanmo.data.loader import Batch
from yanmo.models.families import qwen3
from yanmo.models.transformer import Transformer
from yanmo.nn import kernels
from yanmo.nn.attention import attend
from yanmo.nn.feed_forward import Activation, gate
from yanmo.nn.kernels import library, operations
from yanmo.nn.norm import RMSNorm
from yanmo.nn.split_heads import split_heads
from yanmo.training.objective import causal

pytestmark = pytest.mark.skipif(
    not kernels.suit(torch.zeros(1)), reason=f"the kernels are {kernels.status()}"
)

OFF = library._Library(status="off: in this test")


@pytest.fixture(params=[40, 270])
def model(request: pytest.FixtureRequest) -> Iterator[Transformer]:
    config = qwen3.decoder(
        vocab_size=90,
        d_model=48,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=12,
        d_ff=80,
        max_seq_len=request.param,
    )
    generator = torch.Generator().manual_seed(0)
    model = Transformer(config)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape, generator=generator) * (0.15 if weight.ndim > 1 else 1.0)
    yield model


def loss_and_gradients(model: Transformer) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    tokens_BT = torch.randint(0, 90, (3, model.max_seq_len + 1), generator=generator)
    model.zero_grad()
    loss = causal(model, Batch(inputs_BT=tokens_BT[:, :-1], targets_BT=tokens_BT[:, 1:])).loss_nats
    loss.backward()
    return loss.detach(), {name: weight.grad for name, weight in model.named_parameters()}  # type: ignore[misc]


def test_the_same_gradients_without_kernels(model: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, found = loss_and_gradients(model)
    monkeypatch.setattr(library, "_library", OFF)
    calls: list[str] = []
    monkeypatch.setattr(library, "call", lambda name, *_: calls.append(name))
    loss_without, expected = loss_and_gradients(model)
    assert not calls
    torch.testing.assert_close(loss, loss_without, rtol=1e-6, atol=0)
    for name, grad in expected.items():
        assert (found[name] - grad).norm() <= 1e-5 * grad.norm(), name


def test_bfloat16_is_no_further_from_the_truth(model: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    def error(found: dict[str, Tensor]) -> float:
        parts = [(found[name].double() - grad).norm() / grad.norm() for name, grad in expected.items()]
        return float(torch.stack(parts).mean())

    model.bfloat16()
    _, with_kernels = loss_and_gradients(model)
    with monkeypatch.context() as patched:
        patched.setattr(library, "_library", OFF)
        _, without = loss_and_gradients(model)
    _, expected = loss_and_gradients(model.double())
    assert error(with_kernels) < 1.05 * error(without)


def test_every_kernel_is_in_use(model: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    used, call = set(), library.call

    def watched(name: str, *arguments: object) -> None:
        used.add(name)
        call(name, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(operations.library, "call", watched)
    loss_and_gradients(model.bfloat16())
    assert used == set(library._SIGNATURES)


def test_a_session_says_what_the_whole_text_does(model: Transformer) -> None:
    tokens_1T = torch.arange(30)[None] * 7 % 90
    session = model.start()
    parts = [session.extend(part) for part in tokens_1T.split([11, 1, 18], dim=1)]
    with torch.no_grad():
        logits = model(tokens_1T)[0, [10, 11, 29]]
    torch.testing.assert_close(torch.cat(parts), logits, rtol=1e-5, atol=1e-5)


class _Parts(nn.Module):
    """What has kernels, without the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(RMSNorm(8) for _ in range(2))
        self.gate = gate(Activation.SILU)

    def forward(self, qkv_BTF: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = split_heads(qkv_BTF, (4, 2, 8), (self.norms[0], self.norms[1]), (cos, sin))
        return self.gate(attend(q, k, v, scale=0.3, causal=True))


def _inputs(tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, tokens, 64), (tokens, 1, 8), (tokens, 1, 8))
    qkv, cos, sin = (torch.randn(shape, generator=generator) for shape in shapes)
    return qkv, cos, sin


def test_an_exported_graph_holds_no_kernel_and_any_length() -> None:
    parts, length = _Parts(), torch.export.Dim("length", min=2, max=400)
    dims = ({1: length}, {0: length}, {0: length})
    with torch.no_grad():
        exported = torch.export.export(parts, _inputs(6), dynamic_shapes=dims).module()
        for tokens in (6, 300):
            torch.testing.assert_close(
                exported(*_inputs(tokens)), parts(*_inputs(tokens)), rtol=1e-5, atol=1e-5
            )


def test_a_compiled_module_gives_the_same_gradients() -> None:
    parts = _Parts()
    compiled = torch.compile(parts, backend="aot_eager")
    grads = []
    for module in (parts, compiled):
        qkv, cos, sin = _inputs(12)
        out = module(qkv.requires_grad_(), cos, sin)
        grads.append(torch.autograd.grad(out.square().sum(), qkv)[0])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace")
def test_a_traced_module_holds_no_kernel() -> None:
    module = nn.Sequential(RMSNorm(8), FeedForwardGate())
    with torch.no_grad():
        traced = torch.jit.trace(module, torch.randn(2, 8), check_trace=False)
        x = torch.randn(2, 8)
        torch.testing.assert_close(traced(x), module(x))


class FeedForwardGate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return gate(Activation.SILU)(x)
