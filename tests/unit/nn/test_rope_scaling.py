"""Rotary positions stretched to longer contexts, by the papers' formulas."""

from __future__ import annotations

import math

import pytest
import torch

from yanmo.errors import InputError
from yanmo.nn.packing import Segments
from yanmo.nn.position import RopeConfig, RotaryEmbedding, apply_rotary
from yanmo.nn.rope_scaling import RopeScaling, RopeScalingKind, frequencies

DYNAMIC = RopeScaling(kind=RopeScalingKind.DYNAMIC, factor=2.0, original_max_seq_len=8)
LONGROPE = RopeScaling(
    kind=RopeScalingKind.LONGROPE,
    factor=4.0,
    original_max_seq_len=8,
    short_factors=(1.0, 1.0),
    long_factors=(2.0, 5.0),
)


def rates(scaling: RopeScaling, *, dim: int = 4, length: int = 1) -> tuple[list[float], float]:
    rate_E2, amplitude = frequencies(dim, 100.0, scaling, scaling.variant(length), 64)
    return rate_E2.tolist(), amplitude


def test_linear_slows_all_alike() -> None:
    scaling = RopeScaling(kind=RopeScalingKind.LINEAR, factor=4.0)
    assert rates(scaling) == ([0.25, pytest.approx(0.025)], 1.0)


def test_dynamic_widens_the_base_beyond_the_first_context() -> None:
    assert rates(DYNAMIC, length=8)[0] == [1.0, pytest.approx(0.1)]
    base = 100.0 * (2 * 24 / 8 - 1) ** (4 / 2)
    assert rates(DYNAMIC, length=24)[0] == [1.0, pytest.approx(base**-0.5)]


def test_llama3_keeps_fast_turns_and_stretches_slow_ones() -> None:
    scaling = RopeScaling(
        kind=RopeScalingKind.LLAMA3, factor=8.0, original_max_seq_len=100, high_freq_factor=4.0
    )
    given, _ = rates(scaling, dim=8)
    plain = [100.0 ** (-pair / 4) for pair in range(4)]
    turns = [100 * rate / (2 * math.pi) for rate in plain]
    assert turns[1] > 4 > turns[2] > 1 > turns[3]
    kept = (turns[2] - 1) / (4 - 1)
    between = kept * plain[2] + (1 - kept) * plain[2] / 8
    assert given == pytest.approx([plain[0], plain[1], between, plain[3] / 8])


def test_yarn_raises_the_scores_by_the_logarithm() -> None:
    scaling = RopeScaling(kind=RopeScalingKind.YARN, factor=16.0, original_max_seq_len=64)
    given, amplitude = rates(scaling)
    assert amplitude == pytest.approx(0.1 * math.log(16) + 1)
    # The ramp goes from pair 0 to pair 2, where 4 ln(64 / 2 pi) / 2 ln(100) = 1.008 is rounded up.
    assert given == pytest.approx([1.0, (0.1 + 0.1 / 16) / 2])


def test_longrope_changes_factors_behind_the_first_context() -> None:
    amplitude = pytest.approx(math.sqrt(1 + math.log(4) / math.log(8)))
    assert rates(LONGROPE, length=8) == ([1.0, pytest.approx(0.1)], amplitude)
    assert rates(LONGROPE, length=9) == ([0.5, pytest.approx(0.02)], amplitude)
    assert LONGROPE.outdates(8, 9) and not LONGROPE.outdates(9, 10) and not DYNAMIC.outdates(8, 9)


@pytest.mark.parametrize("scaling", [DYNAMIC, LONGROPE], ids=lambda scaling: scaling.kind.value)
def test_packed_texts_are_turned_as_alone(scaling: RopeScaling) -> None:
    lengths = [3, 12, 8, 12, 9]
    together = RotaryEmbedding(4, 64, RopeConfig(theta=100.0, scaling=scaling))
    cos, sin = together.packed(Segments(lengths), torch.float32)
    for length, cos_T1E, sin_T1E in zip(lengths, cos.split(lengths), sin.split(lengths), strict=True):
        alone = RotaryEmbedding(4, 64, RopeConfig(theta=100.0, scaling=scaling))
        expected = alone.range(0, length, torch.float32)
        torch.testing.assert_close((cos_T1E, sin_T1E), expected, rtol=0, atol=0)


def test_dynamic_keeps_no_table_for_every_length() -> None:
    rotary = RotaryEmbedding(4, 64, RopeConfig(scaling=DYNAMIC))
    for end in range(1, 60):
        rotary.range(end - 1, 1, torch.float32)
    assert len(rotary._tables) == 2


def test_a_part_of_a_head_is_turned_and_the_rest_left() -> None:
    rotary = RotaryEmbedding(8, 16, RopeConfig(theta=100.0, partial=0.5))
    x_BTHE = torch.randn(1, 16, 2, 8, generator=torch.Generator().manual_seed(0))
    turned = apply_rotary(x_BTHE, *rotary.range(0, 16, torch.float32))
    assert torch.equal(turned[..., 4:], x_BTHE[..., 4:])
    whole = RotaryEmbedding(4, 16, RopeConfig(theta=100.0))
    expected = apply_rotary(x_BTHE[..., :4], *whole.range(0, 16, torch.float32))
    torch.testing.assert_close(turned[..., :4], expected)


def test_what_does_not_fit_a_head_is_refused() -> None:
    with pytest.raises(InputError, match="LongRoPE has 2 factors for 4 frequencies"):
        LONGROPE.require_fit(8)
    with pytest.raises(InputError, match="needs 4 dimensions"):
        DYNAMIC.require_fit(2)
