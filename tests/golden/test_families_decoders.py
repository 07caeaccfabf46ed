"""Decoders against transformers, on tiny random weights, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from family_checks import check_decoder

transformers = pytest.importorskip("transformers")

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "qwen3": (
        "Qwen3",
        {
            "vocab_size": 99,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "intermediate_size": 48,
            "max_position_embeddings": 64,
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_decoder_family(case: str, tmp_path: Path) -> None:
    name, sizes = CASES[case]
    config = getattr(transformers, f"{name}Config")(**sizes)
    check_decoder(transformers.AutoModelForCausalLM.from_config(config), tmp_path)
