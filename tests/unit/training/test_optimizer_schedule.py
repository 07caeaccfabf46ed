from __future__ import annotations

import itertools
import math

import pytest
import torch

from yanmo.models.families import qwen3
from yanmo.models.transformer import Transformer
from yanmo.training.optimizer import Optimizer, OptimizerConfig, orthogonalise
from yanmo.training.schedule import Schedule, ScheduleConfig


def small_model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(
        qwen3.decoder(
            vocab_size=32,
            d_model=16,
            num_layers=1,
            num_heads=2,
            num_kv_heads=1,
            head_dim=8,
            d_ff=32,
            max_seq_len=16,
        )
    )


def test_orthogonalise_brings_singular_values_near_one_and_keeps_the_directions() -> None:
    torch.manual_seed(0)
    matrices = [torch.randn(24, 24), torch.randn(40, 24), torch.randn(24, 40), torch.randn(24, 24)]
    for matrix, result in zip(matrices, orthogonalise(matrices, 5), strict=True):
        assert result.shape == matrix.shape
        values = torch.linalg.svdvals(result)
        assert 0.6 < float(values.median()) < 1.3 and float(values.max()) < 1.4
        u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
        cosine = (u @ vh * result).sum() / (torch.linalg.norm(u @ vh) * torch.linalg.norm(result))
        assert float(cosine) > 0.9


def test_adam_part_equals_torch() -> None:
    model = small_model()
    config = OptimizerConfig(max_grad_norm=1e9, adam_weight_decay=0.1)
    optimizer = Optimizer(model, config)
    copy = torch.nn.Parameter(model.embedding.weight.detach().clone())
    reference = torch.optim.AdamW(
        [copy], lr=config.adam_learning_rate, betas=(0.8, 0.95), eps=config.adam_eps, weight_decay=0.1
    )
    for step in range(4):
        gradient = torch.randn(copy.shape, generator=torch.Generator().manual_seed(step))
        copy.grad = gradient.clone()
        reference.step()
        for name, parameter in model.named_parameters():
            parameter.grad = torch.zeros_like(parameter)
            if name == "embedding.weight":
                parameter.grad = gradient * 5  # divided by five tokens
        optimizer.accumulate()
        optimizer.step(factor=1.0, num_tokens=5)
    torch.testing.assert_close(model.embedding.weight.detach(), copy.detach(), rtol=1e-5, atol=1e-6)


def test_two_half_batches_are_one_batch() -> None:
    whole, halves = small_model(), small_model()
    optimizers = Optimizer(whole, OptimizerConfig()), Optimizer(halves, OptimizerConfig())
    tokens = torch.randint(0, 32, (4, 9))
    whole(tokens).square().sum().backward()
    optimizers[0].accumulate()
    for part in tokens.split(2):
        halves(part).square().sum().backward()
        optimizers[1].accumulate()
    norms = [optimizer.step(factor=1.0, num_tokens=36) for optimizer in optimizers]
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    for a, b in zip(whole.parameters(), halves.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_no_weight_moves_on_a_gradient_that_is_not_finite() -> None:
    model = small_model()
    optimizer = Optimizer(model, OptimizerConfig())
    before = [p.detach().clone() for p in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    optimizer.accumulate()
    assert not math.isfinite(optimizer.step(factor=1.0, num_tokens=1))
    for parameter, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), old)


def test_schedule_warms_up_stays_and_decays_to_nearly_nothing() -> None:
    schedule = Schedule(ScheduleConfig(warmup_steps=10, decay_from=0.5), 100)
    factors = [schedule.factor(step) for step in range(100)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10:49] == pytest.approx([1.0] * 39)
    assert all(later < earlier for earlier, later in itertools.pairwise(factors[50:]))
    assert 0 < factors[99] < 0.02


def test_retargeting_keeps_progress_continuous_and_ends_at_the_end() -> None:
    schedule = Schedule(ScheduleConfig(warmup_steps=1), 100)
    schedule.retarget(50, 200)
    assert schedule.progress(50) == pytest.approx(0.5)
    assert schedule.progress(125) == pytest.approx(0.75)
    assert schedule.progress(200) == 1.0
    schedule.retarget(125, 125)
    assert schedule.num_steps == 125 and schedule.progress(125) == 1.0
    copy = Schedule(ScheduleConfig(warmup_steps=1), 7)
    copy.load(schedule.state())
    assert copy.factor(110) == schedule.factor(110)
