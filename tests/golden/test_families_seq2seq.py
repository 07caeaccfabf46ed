"""Encoder-decoders against transformers, on tiny random weights, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from family_checks import check_seq2seq

transformers = pytest.importorskip("transformers")

T5: dict[str, Any] = {
    "vocab_size": 99,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}
V1_1 = T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "t5": ("T5", T5),
    "t5-v1.1": ("T5", V1_1),
    "mt5": ("MT5", V1_1),
}


@pytest.mark.parametrize("case", CASES)
def test_seq2seq_family(case: str, tmp_path: Path) -> None:
    name, sizes = CASES[case]
    config = getattr(transformers, f"{name}Config")(**sizes)
    check_seq2seq(transformers.AutoModelForSeq2SeqLM.from_config(config), tmp_path)
