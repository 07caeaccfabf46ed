from __future__ import annotations

import dataclasses

import pytest
import torch
from adapted_made import batches, classify, gradients, network, objective_of
from torch import Tensor

from yanmo.errors import InputError
from yanmo.finetuning.adversarial import FGM, FREELB, Adversarial, AdversarialConfig, _Input
from yanmo.finetuning.batches import PackedBatch
from yanmo.finetuning.lora import LoraConfig, add_lora
from yanmo.models.base import Trainable
from yanmo.models.transformer import Transformer
from yanmo.nn.packing import Segments
from yanmo.training.objective import LossSum

FREELB_FROM_ZERO = dataclasses.replace(FREELB, starts_at_zero=True)
BATCH = batches(6, batch_size=6).rows(0, range(6))
SHAPES = ["bert", "qwen3", "t5"]


def hidden(model: Transformer) -> Tensor:
    memory = (
        model.encode(BATCH.tokens_1N, segments=BATCH.segments) if model.encoder and model.decoder else None
    )
    with torch.no_grad():
        return model.hidden(BATCH.tokens_1N, segments=BATCH.segments, memory=memory)


def disturbed_loss(model: Transformer, offset_1NW: Tensor) -> Tensor:
    """By hand, from what the stack is given."""
    stack = model.last_stack
    vectors = model.embedding(BATCH.tokens_1N) + offset_1NW
    hidden_BTD = stack(vectors, segments=BATCH.segments)
    scores = model.head()(hidden_BTD, model.embedding.weight, BATCH.segments)
    return torch.nn.functional.cross_entropy(scores, BATCH.targets, reduction="sum")


@pytest.mark.parametrize("model_type", ["bert", "qwen3"])
def test_fgm_is_the_mean_of_the_plain_loss_and_of_that_uphill(model_type: str) -> None:
    model = network(model_type)
    vectors = model.embedding(BATCH.tokens_1N).detach()
    offset = torch.zeros_like(vectors, requires_grad=True)
    plain = disturbed_loss(model, offset)
    (uphill,) = torch.autograd.grad(plain, offset)
    parts = []
    for text, gradient in zip(
        vectors[0].split(BATCH.segments.lengths), uphill[0].split(BATCH.segments.lengths), strict=True
    ):
        parts.append(FGM.radius * text.norm() * gradient / gradient.norm())
    beyond = disturbed_loss(model, torch.cat(parts)[None])
    assert float(beyond.detach()) > float(plain.detach()) + 0.01
    mean = (disturbed_loss(model, torch.zeros_like(vectors)) + beyond) / 2
    found = Adversarial(classify, FGM)(model, BATCH)
    assert found.num_tokens == 6
    assert found.loss_nats.detach().item() == pytest.approx(float(mean), rel=1e-5)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    expected = torch.autograd.grad(mean, weights)
    for one, other in zip(torch.autograd.grad(found.loss_nats * 2, weights), expected, strict=True):
        torch.testing.assert_close(one, other * 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [FGM, FREELB_FROM_ZERO])
@pytest.mark.parametrize("model_type", SHAPES)
def test_packed_alone_and_accumulated_give_the_same_gradient(
    model_type: str, config: AdversarialConfig
) -> None:
    # In float32 the plain gradient of T5, whose scores are not scaled, is as far off.
    model, objective = network(model_type).double().train(), Adversarial(objective_of(model_type), config)
    whole = gradients(model, objective, [range(6)])
    plain = gradients(model, objective_of(model_type), [range(6)])
    assert whole.keys() == plain.keys()
    assert max(float((whole[name] - plain[name]).abs().max()) for name in plain) > 1e-3
    for parts in ([range(3), range(3, 6)], [range(i, i + 1) for i in range(6)]):
        for name, gradient in gradients(model, objective, parts).items():
            torch.testing.assert_close(gradient, whole[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model_type", SHAPES)
def test_nothing_is_left_behind(model_type: str) -> None:
    model = network(model_type)
    before = hidden(model)

    def fails(model: Trainable, batch: PackedBatch) -> LossSum:
        hidden(model)
        raise RuntimeError("not enough memory")

    Adversarial(objective_of(model_type), FREELB)(model, BATCH)
    with pytest.raises(RuntimeError, match="not enough memory"):
        Adversarial(fails, FGM)(model, BATCH)
    assert torch.equal(hidden(model), before)
    assert all(weight.grad is None for weight in model.parameters())


def test_without_gradients_it_is_the_plain_objective() -> None:
    model = network("bert")
    with torch.no_grad():
        found, plain = Adversarial(classify, FREELB)(model, BATCH), classify(model, BATCH)
    assert torch.equal(found.loss_nats, plain.loss_nats)


@pytest.mark.parametrize("config", [FGM, FREELB])
def test_dropout_is_the_same_in_every_pass(config: AdversarialConfig) -> None:
    model = network("bert").train()
    model.set_dropout(0.5)
    losses = []

    def noted(model: Trainable, batch: PackedBatch) -> LossSum:
        loss = classify(model, batch)
        losses.append(float(loss.loss_nats.detach()))
        return loss

    Adversarial(noted, dataclasses.replace(config, radius=1e-6, step=1e-6))(model, BATCH)
    assert len(losses) == config.num_passes and max(losses) - min(losses) < 1e-3
    Adversarial(noted, config)(model, BATCH)
    assert abs(losses[-1] - losses[0]) > 0.01


def test_runs_repeat_and_differ_by_seed() -> None:
    model = network("bert").train()
    model.set_dropout(0.1)

    def loss(seed: int) -> float:
        torch.manual_seed(seed)
        return float(Adversarial(classify, FREELB)(model, BATCH).loss_nats.detach())

    assert loss(1) == loss(1) != loss(2)


@pytest.mark.parametrize("segments", [Segments([3, 2, 4]), None])
def test_disturbances_stay_within_their_ball(segments: Segments | None) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(1 if segments else 3, 9, 4, generator=generator)

    def lengths(x: Tensor) -> Tensor:
        texts = x[0].split(segments.lengths) if segments else list(x)
        return torch.stack([text.norm() for text in texts])

    entered = _Input(vectors, segments, FREELB, generator)
    shares = lengths(entered.offset_BTW) / lengths(vectors)
    assert shares.min() > 0.3 * FREELB.radius and shares.max() < FREELB.radius
    for _ in range(4):
        entered.climb(torch.randn(vectors.shape, generator=generator), FREELB)
        assert (lengths(entered.offset_BTW) / lengths(vectors)).max() <= FREELB.radius + 1e-6
    before = entered.offset_BTW
    entered.climb(torch.zeros_like(vectors), FREELB)
    assert torch.allclose(entered.offset_BTW, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_adapters_are_trained_under_disturbances_too(dtype: torch.dtype) -> None:
    model = network("bert")
    add_lora(model, "bert", LoraConfig(rank=2))
    model.to(dtype)
    found = gradients(model, Adversarial(classify, FREELB), [range(6)])
    assert found and all(gradient.dtype == dtype for gradient in found.values())
    assert all(name.startswith("heads.") or ".adapters." in name for name in found)


def test_settings_that_cannot_be_are_refused() -> None:
    for settings in ({"radius": 0.0}, {"step": -1.0}, {"num_passes": 1}):
        with pytest.raises(InputError):
            dataclasses.replace(FGM, **settings)
