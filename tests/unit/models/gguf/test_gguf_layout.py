"""Which tensors a GGUF file gets, and how they are stored."""

from __future__ import annotations

from typing import Any

import gguf_made
import pytest
from gguf.constants import GGMLQuantizationType as Kind

from yanmo.errors import InputError
from yanmo.models.gguf.architectures import ARCHITECTURES, Heads
from yanmo.models.gguf.layout import Output, plan


def planned(model_type: str = "llama", kind: Kind = Kind.F32, **changes: Any) -> dict[str, Output]:
    config, tensors = gguf_made.hand_made(model_type)
    shapes: dict[str, tuple[int, ...]] = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    config |= changes.pop("config", {})
    shapes |= changes.pop("shapes", {})
    for name in changes.pop("without", ()):
        del shapes[name]
    heads = Heads(num_heads=4, num_kv_heads=2)
    return {o.name: o for o in plan(shapes, config, ARCHITECTURES[model_type], heads, kind)}


def test_storage_follows_llama_cpp() -> None:
    found = planned("mixtral", Kind.Q4_0)
    kinds = {name: output.kind for name, output in found.items()}
    assert kinds["token_embd.weight"] == kinds["output.weight"] == Kind.Q8_0
    assert kinds["blk.0.attn_q.weight"] == kinds["blk.1.ffn_down_exps.weight"] == Kind.Q4_0
    assert kinds["blk.0.attn_norm.weight"] == kinds["blk.0.ffn_gate_inp.weight"] == Kind.F32
    assert planned("llama", Kind.Q8_0)["token_embd.weight"].kind is Kind.Q8_0
    assert planned("llama", Kind.BF16)["blk.0.attn_q.weight"].kind is Kind.BF16


def test_rows_that_fill_no_blocks_are_float16() -> None:
    shapes = {f"model.layers.{layer}.mlp.down_proj.weight": (64, 40) for layer in range(2)}
    found = planned("llama", Kind.Q8_0, shapes=shapes)
    assert found["blk.0.ffn_down.weight"].kind is Kind.F16
    assert found["blk.0.ffn_down.weight"].num_bytes == 64 * 40 * 2


def test_experts_come_together_in_their_order() -> None:
    output = planned("mixtral")["blk.1.ffn_up_exps.weight"]
    assert output.shape == (3, 96, 64)
    start = "model.layers.1.block_sparse_moe.experts"
    assert list(output.parts) == [f"{start}.{expert}.w3.weight" for expert in range(3)]


def test_order_and_tied_embeddings() -> None:
    names = list(planned())
    assert names[:3] == ["token_embd.weight", "output_norm.weight", "output.weight"]
    assert names.index("blk.0.ffn_down.weight") < names.index("blk.1.attn_q.weight")
    assert "output.weight" not in planned(config={"tie_word_embeddings": True})


def test_llama_cpp_wants_the_output_of_some_families_twice() -> None:
    architecture = ARCHITECTURES["gpt_neox"]
    config = {"tie_word_embeddings": True, "num_hidden_layers": 0, "vocab_size": 8}
    shapes = {"gpt_neox.embed_in.weight": (8, 4), "gpt_neox.final_layer_norm.weight": (4,)}
    heads = Heads(num_heads=1, num_kv_heads=1)
    outputs = {output.name: output for output in plan(shapes, config, architecture, heads, Kind.F32)}
    assert list(outputs["output.weight"].parts) == ["gpt_neox.embed_in.weight"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"without": ["model.norm.weight"]}, "model.norm.weight is missing"),
        ({"without": ["lm_head.weight"]}, "lm_head.weight is missing"),
        ({"without": ["model.layers.1.self_attn.k_proj.weight"]}, "1.self_attn.k_proj.weight is missing"),
        ({"shapes": {"model.layers.0.new.weight": (64,)}}, "'model.layers.0.new.weight' has no place"),
        ({"config": {"vocab_size": 321}}, "320 rows and vocab_size is 321"),
        ({"config": {"num_hidden_layers": 3}}, "2.self_attn.q_proj.weight is missing"),
        ({"shapes": {"model.layers.0.self_attn.q_proj.weight": (66, 64)}}, "no room for 4 heads"),
    ],
)
def test_tensors_that_do_not_fit(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what):
        planned(**changes)


def test_experts_that_do_not_fit() -> None:
    name = "model.layers.0.block_sparse_moe.experts.1.w1.weight"
    with pytest.raises(InputError, match=f"{name} is missing"):
        planned("mixtral", without=[name])
    with pytest.raises(InputError, match="different shapes"):
        planned("mixtral", shapes={name: (64, 96)})


def test_tables_that_are_computed_anew_are_left_out() -> None:
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": (8,)}
    assert planned(shapes=extra) == planned()
