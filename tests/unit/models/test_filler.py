"""Rows behind packed texts make lengths recur; they change neither what texts become nor what is learned."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from yanmo.models import stack
from yanmo.models.families import FAMILIES, t5
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.nn.packing import Segments, is_ragged

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "type_vocab_size": 2,
    "n_embd": 16,
    "n_head": 2,
    "n_layer": 3,
    "n_positions": 32,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "local_attention": 4,
    "global_attn_every_n_layers": 2,
}
FEW, MANY = [3, 3, 5, 9], [7, 7, 8, 9, 9, 9, 10, 11, 12, 13, 14, 3, 5]


def of_family(model_type: str) -> TransformerConfig:
    return FAMILIES[model_type].read_config({"model_type": model_type, **SIZES}, where="config.json")


def found(model: Transformer, lengths: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
    """Vectors of packed texts under dropout, and gradients of a sum of them."""
    generator = torch.Generator().manual_seed(3)
    tokens_1N = torch.randint(0, 50, (1, sum(lengths)), generator=generator)
    segments, memory = Segments(lengths), None
    torch.manual_seed(4)
    if model.config.encoder is not None and model.config.decoder is not None:
        memory = model.encode(tokens_1N, segments=segments)
    hidden = model.hidden(tokens_1N, segments=segments, memory=memory)
    model.zero_grad()
    (hidden * torch.sin(torch.arange(hidden.numel()).view_as(hidden).float())).sum().backward()
    return hidden.detach(), {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("lengths", [FEW, MANY])
@pytest.mark.parametrize("family", ["bert", "modernbert", "gpt2", "qwen3", "mixtral", "t5"])
def test_nobody_sees_them(family: str, lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"vocab_size": 50, "d_model": 16, "num_layers": 2, "num_heads": 2, "head_dim": 8, "d_ff": 32}
    config = t5.encoder_decoder(max_seq_len=32, **sizes) if family == "t5" else of_family(family)
    assert is_ragged(Segments(MANY), Segments(MANY)) and not is_ragged(Segments(FEW), Segments(FEW))
    torch.manual_seed(0)
    model = Transformer(config).train()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.3)
    model.set_dropout(0.2)
    bare, bare_gradients = found(model, lengths)
    monkeypatch.setattr(stack, "_num_filler", lambda _: 5)
    filled, gradients = found(model, lengths)
    torch.testing.assert_close(filled, bare, atol=1e-5, rtol=1e-5)
    assert gradients.keys() == bare_gradients.keys()
    for name, gradient in bare_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, atol=2e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("num_tokens", "num_filler"), [(1, 31), (32, 0), (33, 31), (433, 15), (1024, 0), (1025, 63), (5000, 120)]
)
def test_lengths_recur_where_products_are_compiled_for_them(num_tokens: int, num_filler: int) -> None:
    x_1ND = torch.empty(1, num_tokens, 4, dtype=torch.bfloat16)
    assert stack._num_filler(x_1ND) == num_filler
    assert stack._num_filler(x_1ND.float()) == 0
