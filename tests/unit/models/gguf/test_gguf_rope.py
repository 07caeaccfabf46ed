"""Rotary settings on their way into metadata and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from yanmo.errors import InputError
from yanmo.models.gguf.metadata import Metadata
from yanmo.models.gguf.rope import FREQS, llama3_factors, read_rope, write_rope


def there_and_back(model_type: str, head_dim: int = 128, **config: Any) -> dict[str, Any]:
    config = {"model_type": model_type, "max_position_embeddings": 131_072, **config}
    entries, tensors = write_rope(config, head_dim)
    values = {f"x{key}": value for key, value in entries.items()}
    values |= {"general.architecture": "x", "x.context_length": config["max_position_embeddings"]}
    return read_rope(Metadata(values, Path("m.gguf")), model_type, head_dim, tensors)


@pytest.mark.parametrize(
    ("factor", "theta", "head_dim", "high", "original"),
    [
        (8.0, 500_000.0, 128, 4.0, 8192),  # Llama 3.1
        (32.0, 500_000.0, 64, 4.0, 8192),  # Llama 3.2
        (16.0, 10_000.0, 64, 8.0, 4096),
        (4.0, 1e6, 128, 2.0, 2048),
    ],
)
def test_the_numbers_behind_llama3_factors(
    factor: float, theta: float, head_dim: int, high: float, original: int
) -> None:
    settings = {
        "rope_type": "llama3",
        "rope_theta": theta,
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }
    found = there_and_back("llama", head_dim, rope_parameters=settings)
    assert found["rope_parameters"] == settings


def test_factors_that_no_numbers_explain_are_handed_on() -> None:
    factors = torch.tensor([1.0, 3.0, 2.0, 5.0])
    metadata = Metadata({"general.architecture": "x", "x.context_length": 4096}, Path("m.gguf"))
    found = read_rope(metadata, "llama", 8, {FREQS: factors})["rope_parameters"]
    assert found["rope_type"] == "longrope"
    assert found["short_factor"] == found["long_factor"] == [1.0, 3.0, 2.0, 5.0]
    # Equal to the first context, so that queries and keys keep their size.
    assert found["original_max_position_embeddings"] == 4096 and "attention_factor" not in found


def test_llama3_factors_at_their_ends() -> None:
    factors = llama3_factors(
        128,
        500_000.0,
        {
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    )
    assert factors[0] == 1 and factors[-1] == 8
    assert bool((factors.diff() >= 0).all())


def test_yarn() -> None:
    settings = {
        "rope_type": "yarn",
        "rope_theta": 1e6,
        "factor": 4.0,
        "original_max_position_embeddings": 32_768,
    }
    assert there_and_back("qwen3", rope_parameters=settings)["rope_parameters"] == settings
    louder = settings | {"attention_factor": 1.5}
    found = there_and_back("qwen3", rope_parameters=louder)["rope_parameters"]
    assert found["attention_factor"] == pytest.approx(1.5)


def test_settings_of_older_configs() -> None:
    found = there_and_back("llama", rope_theta=5e5, rope_scaling={"type": "linear", "factor": 2.0})
    assert found["rope_parameters"] == {"rope_type": "linear", "rope_theta": 5e5, "factor": 2.0}
    found = there_and_back("gpt_neox", 64, rotary_pct=0.25, rotary_emb_base=20_000)
    assert (found["rotary_pct"], found["rotary_emb_base"]) == (0.25, 20_000.0)
    found = there_and_back("gemma3_text", rope_theta=1e6, rope_local_base_freq=5_000.0)
    assert found["rope_parameters"]["sliding_attention"]["rope_theta"] == 5_000.0
    assert found["rope_parameters"]["full_attention"]["rope_theta"] == 1e6


def test_defaults_of_families() -> None:
    assert there_and_back("mixtral")["rope_theta"] == 1e6
    assert there_and_back("llama")["rope_theta"] == 1e4
    assert there_and_back("gpt_neox", 64)["rope_parameters"]["partial_rotary_factor"] == 0.25


@pytest.mark.parametrize("dim", range(2, 96, 2))
def test_parts_of_a_head_come_back_to_the_dimension(dim: int) -> None:
    found = there_and_back("phi3", 96, partial_rotary_factor=(dim + 0.5) / 96)
    assert int(found["rope_parameters"]["partial_rotary_factor"] * 96) == dim


@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("llama", {"rope_type": "dynamic", "factor": 2.0}),
        ("qwen2", {"rope_type": "llama3", "factor": 8.0}),
        ("qwen2", {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}),
        ("qwen2", {"rope_type": "yarn", "factor": 8.0, "beta_fast": 16.0}),
        ("qwen2", {"rope_type": "yarn", "factor": 8.0, "truncate": False}),
        ("qwen2", {"rope_type": "new"}),
    ],
)
def test_what_llama_cpp_does_not_compute(model_type: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="does not compute the rope scaling"):
        there_and_back(model_type, rope_parameters=settings)


def test_long_factors_of_the_wrong_number() -> None:
    settings = {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}
    with pytest.raises(InputError, match="64 numbers"):
        there_and_back("phi3", rope_parameters=settings)
