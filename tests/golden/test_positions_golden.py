"""Rotary frequencies under every scaling, and ALiBi, against transformers' own functions."""

from __future__ import annotations

import pytest
import torch

from yanmo.nn.context import hidden
from yanmo.nn.position import LinearBias, RopeConfig, RotaryEmbedding
from yanmo.nn.rope_scaling import RopeScaling, RopeScalingKind, frequencies

transformers = pytest.importorskip("transformers", reason="the reference for positions")
rope_utils = pytest.importorskip("transformers.modeling_rope_utils")
bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom")

HEAD_DIM, CONTEXT, THETA = 32, 4096, 50_000.0
SHORT, LONG = tuple(1.0 + i / 8 for i in range(16)), tuple(1.0 + i * i / 4 for i in range(16))
# Our scaling to their table.
CASES: dict[str, tuple[RopeScaling, dict[str, object]]] = {
    "linear": (RopeScaling(kind=RopeScalingKind.LINEAR, factor=2.5), {"factor": 2.5}),
    "dynamic": (
        RopeScaling(kind=RopeScalingKind.DYNAMIC, factor=3.0, original_max_seq_len=CONTEXT),
        {"factor": 3.0},
    ),
    "llama3": (
        RopeScaling(
            kind=RopeScalingKind.LLAMA3,
            factor=8.0,
            original_max_seq_len=1024,
            low_freq_factor=1.5,
            high_freq_factor=6.0,
        ),
        {
            "factor": 8.0,
            "original_max_position_embeddings": 1024,
            "low_freq_factor": 1.5,
            "high_freq_factor": 6.0,
        },
    ),
    "yarn": (
        RopeScaling(kind=RopeScalingKind.YARN, factor=4.0, original_max_seq_len=1024),
        {"factor": 4.0, "original_max_position_embeddings": 1024},
    ),
    "yarn-borders": (
        RopeScaling(
            kind=RopeScalingKind.YARN,
            factor=16.0,
            original_max_seq_len=256,
            beta_fast=20.0,
            beta_slow=2.0,
            truncate=False,
            mscale=0.7,
            mscale_all_dim=1.3,
        ),
        {
            "factor": 16.0,
            "original_max_position_embeddings": 256,
            "beta_fast": 20.0,
            "beta_slow": 2.0,
            "truncate": False,
            "mscale": 0.7,
            "mscale_all_dim": 1.3,
        },
    ),
    "yarn-attention": (
        RopeScaling(kind=RopeScalingKind.YARN, factor=4.0, original_max_seq_len=1024, attention_factor=1.7),
        {"factor": 4.0, "original_max_position_embeddings": 1024, "attention_factor": 1.7},
    ),
    "longrope": (
        RopeScaling(
            kind=RopeScalingKind.LONGROPE,
            factor=4.0,
            original_max_seq_len=1024,
            short_factors=SHORT,
            long_factors=LONG,
        ),
        {"original_max_position_embeddings": 1024, "short_factor": list(SHORT), "long_factor": list(LONG)},
    ),
    "longrope-attention": (
        RopeScaling(
            kind=RopeScalingKind.LONGROPE,
            factor=32.0,
            original_max_seq_len=1024,
            attention_factor=1.2,
            short_factors=SHORT,
            long_factors=LONG,
        ),
        {
            "factor": 32.0,
            "original_max_position_embeddings": 1024,
            "attention_factor": 1.2,
            "short_factor": list(SHORT),
            "long_factor": list(LONG),
        },
    ),
}


@pytest.mark.parametrize("length", [1, 1024, 1025, 4096, 4097, 9000])
@pytest.mark.parametrize("case", CASES)
def test_rotary_frequencies_equal_those_of_transformers(case: str, length: int) -> None:
    scaling, table = CASES[case]
    config = transformers.LlamaConfig(
        hidden_size=64,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": scaling.kind.value, "rope_theta": THETA, **table},
    )
    expected_E2, expected_amplitude = rope_utils.ROPE_INIT_FUNCTIONS[scaling.kind.value](
        config, seq_len=length
    )
    rate_E2, amplitude = frequencies(HEAD_DIM, THETA, scaling, scaling.variant(length), CONTEXT)
    torch.testing.assert_close(rate_E2.float(), expected_E2, rtol=2e-6, atol=0)
    assert amplitude == pytest.approx(expected_amplitude, rel=1e-12)
    tables = RotaryEmbedding(HEAD_DIM, CONTEXT, RopeConfig(theta=THETA, scaling=scaling))
    cos_T1E, sin_T1E = tables.range(0, length, torch.float32)
    angle_E2 = (length - 1) * rate_E2
    torch.testing.assert_close(cos_T1E[-1, 0, 16:], (angle_E2.cos() * amplitude).float())
    torch.testing.assert_close(sin_T1E[-1, 0, 16:], (angle_E2.sin() * amplitude).float())


@pytest.mark.parametrize("num_heads", [1, 2, 8, 6, 12, 20])
def test_linear_bias_gives_the_attention_of_bloom(num_heads: int) -> None:
    length = 11
    theirs_H1S = bloom.build_alibi_tensor(torch.ones(1, length, dtype=torch.int64), num_heads, torch.float32)
    ours_HTS = LinearBias(num_heads)(length, length)
    # Theirs differs by a number for each query, which the softmax does not see.
    mask_TS = torch.zeros(length, length).masked_fill_(
        hidden(length, length, causal=True, window=None), -torch.inf
    )
    scores_HTS = torch.randn(num_heads, length, length, generator=torch.Generator().manual_seed(0))
    expected = torch.softmax(scores_HTS + theirs_H1S + mask_TS, dim=-1)
    torch.testing.assert_close(torch.softmax(scores_HTS + ours_HTS + mask_TS, dim=-1), expected)
    # The last token alone, as with a cache.
    torch.testing.assert_close(LinearBias(num_heads)(1, length), ours_HTS[:, -1:])
