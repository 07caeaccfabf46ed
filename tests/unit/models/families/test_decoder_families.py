"""Configs of decoders: what is read, what is refused, and what a hostile one cannot do."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from yanmo.errors import InputError
from yanmo.models.families import FAMILIES, family_of
from yanmo.models.families.mapping import SHIFTED, InterleavedHeads, Resolver, Weight
from yanmo.models.transformer import Transformer
from yanmo.nn.rope_scaling import RopeScalingKind

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
# A quarter of these small heads would be less than a pair.
FURTHER = {"rotary_pct": 0.5, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
LONGROPE = {"rope_type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [1.0, 2.0]}
MODEL_TYPES = [
    "gpt_neox",
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma3_text",
    "phi3",
    "olmo2",
    "mixtral",
    "qwen3_moe",
]


def config_of(model_type: str, **settings: Any) -> dict[str, Any]:
    return {"model_type": model_type, **SIZES, **FURTHER, **settings}


def read(model_type: str, **settings: Any) -> Any:
    return FAMILIES[model_type].read_config(config_of(model_type, **settings), where="config.json")


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_weights_name_all_parameters_once_and_theirs_once(model_type: str) -> None:
    config = read(model_type, tie_word_embeddings=False)
    with torch.device("meta"):
        ours = [name for name, _ in Transformer(config, draw=False).named_parameters()]
    weights = list(FAMILIES[model_type].weights(config))
    assert sorted(weight.ours for weight in weights) == sorted(ours)
    theirs = [name for weight in weights for name in weight.theirs]
    assert len(set(theirs)) == len(theirs)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_what_is_written_reads_as_it_was(model_type: str) -> None:
    family = FAMILIES[model_type]
    for settings in ({}, {"head_dim": 10, "tie_word_embeddings": True, "rms_norm_eps": 0.01}):
        config = read(model_type, **settings)
        written = family.write_config(config, model_type=model_type)
        assert family_of(written, where=None) is family
        assert family.read_config(written) == config


def test_null_and_missing_are_told_apart() -> None:
    def window(config: Any) -> int | None:
        return config.decoder.block.attention.window

    assert window(read("mistral")) == 4096
    assert window(read("mistral", sliding_window=None)) is None
    assert window(read("phi3")) is None
    without = config_of("mistral", num_attention_heads=16, head_dim=4)
    del without["num_key_value_heads"]
    assert FAMILIES["mistral"].read_config(without).decoder.block.attention.num_kv_heads == 8
    empty = without | {"num_key_value_heads": None}
    assert FAMILIES["mistral"].read_config(empty).decoder.block.attention.num_kv_heads == 16


def test_which_layers_have_a_window() -> None:
    windowed = {"use_sliding_window": True, "sliding_window": 5}
    config = read("qwen2", **windowed, max_window_layers=3)
    assert [config.decoder.is_local(layer) for layer in range(4)] == [False, False, False, True]
    # No layer is that high up, so there is no window.
    assert read("qwen2", **windowed).decoder.block.attention.window is None
    assert read("qwen2", sliding_window=5, max_window_layers=0).decoder.block.attention.window is None
    kinds = ["sliding_attention", "full_attention"] * 2
    config = read("qwen3", **windowed, layer_types=kinds)
    assert [config.decoder.is_local(layer) for layer in range(4)] == [True, False, True, False]
    assert read("qwen3_moe", **windowed).decoder.is_local(0)
    config = read("gemma3_text", num_hidden_layers=7)
    assert [config.decoder.is_local(layer) for layer in range(7)] == [True] * 5 + [False, True]


def test_which_layers_have_experts() -> None:
    config = read("qwen3_moe", decoder_sparse_step=2, mlp_only_layers=[3])
    assert config.decoder.block.feed_forward.experts.layers == (False, True, False, False)
    assert read("qwen3_moe", mlp_only_layers=[0]).decoder.block.feed_forward.experts.has(0) is False
    assert read("qwen3_moe").decoder.block.feed_forward.experts.layers == ()
    assert read("qwen3_moe").decoder.block.feed_forward.experts.normalise is False


def test_dynamic_scaling_lengthens_the_context() -> None:
    config = read("llama", rope_scaling={"type": "dynamic", "factor": 3.0})
    assert config.max_seq_len == 96
    assert config.decoder.position.rope.scaling.original_max_seq_len == 32
    assert FAMILIES["llama"].write_config(config, model_type="llama")["max_position_embeddings"] == 32


def test_longrope_takes_the_stretch_from_the_contexts() -> None:
    scaling = read(
        "phi3", original_max_position_embeddings=8, rope_scaling=LONGROPE
    ).decoder.position.rope.scaling
    assert (scaling.kind, scaling.factor) == (RopeScalingKind.LONGROPE, 4.0)


HOSTILE: list[tuple[str, dict[str, Any], str]] = [
    ("llama", {"hidden_act": "snake"}, "hidden_act = .*snake.* is not one of"),
    ("llama", {"num_attention_heads": 3, "num_key_value_heads": 3}, "hidden_size = 16 is not a multiple"),
    ("llama", {"num_key_value_heads": 3}, "num_heads .* must be a multiple"),
    ("llama", {"head_dim": 3}, "head_dim must be even"),
    ("llama", {"num_hidden_layers": 10**9}, "num_hidden_layers = 1000000000 is not from 1 to"),
    ("llama", {"architectures": ["MistralForCausalLM"]}, "not a class of Llama"),
    ("llama", {"rope_theta": 1}, "rope_theta = 1.0 is not above 1"),
    ("llama", {"rope_parameters": {"partial_rotary_factor": 1.5}}, "not between 0 and 1"),
    ("llama", {"rope_scaling": {"type": "mrope"}}, "type = .*mrope.* is not one of"),
    ("llama", {"rope_scaling": {"type": "linear", "factor": 0}}, "factor = 0.0 is not above 0"),
    ("llama", {"rope_scaling": {"type": "dynamic", "factor": 1e300}}, "factor = 1e\\+300 is not above 0"),
    ("llama", {"rope_scaling": {"type": "yarn", "beta_fast": -1}}, "is not above 0"),
    (
        "llama",
        {"rope_scaling": {"type": "llama3", "factor": 2, "low_freq_factor": 9}},
        "low_freq_factor = 9.0 is not below",
    ),
    ("llama", {"head_dim": 2, "rope_scaling": {"type": "dynamic", "factor": 2}}, "needs 4 dimensions"),
    ("mistral", {"sliding_window": 0}, "sliding_window = 0 is not from 1"),
    ("mistral", {"sliding_window": "wide"}, "not a whole number"),
    ("qwen2", {"layer_types": ["full_attention"]}, "not one entry for each of 4 layers"),
    ("qwen2", {"layer_types": ["chunked_attention"] * 4}, "chunked_attention.* is not supported"),
    ("qwen3", {"layer_types": ["sliding_attention"] * 4}, "sliding_window = None is no size"),
    (
        "gemma3_text",
        {"use_bidirectional_attention": True},
        "use_bidirectional_attention = True is not supported",
    ),
    ("gemma3_text", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping = 50.0 is not supported"),
    ("gemma3_text", {"text_config": 3}, "text_config = 3 is not a table"),
    ("gemma3_text", {"rope_parameters": {"full_attention": []}}, "full_attention = .* is not a table"),
    ("phi3", {"rope_scaling": LONGROPE | {"short_factor": [1.0]}}, "LongRoPE has 1 factors for 2"),
    ("phi3", {"rope_scaling": LONGROPE | {"long_factor": [1.0, -1.0]}}, "not a list of positive numbers"),
    ("phi3", {"rope_scaling": LONGROPE, "original_max_position_embeddings": 1}, "is not from 2"),
    ("phi3", {"rope_scaling": {"type": "yarn", "factor": 2.0}}, "Phi-3 are not scaled by yarn"),
    ("mixtral", {"num_local_experts": 2**31}, "num_local_experts = 2147483648 is not from 2 to"),
    ("mixtral", {"num_experts_per_tok": 9}, "num_active must be 1 to num_experts"),
    ("qwen3_moe", {"mlp_only_layers": [-1]}, "not a list of whole numbers"),
    ("qwen3_moe", {"mlp_only_layers": "all"}, "not a list of whole numbers"),
    ("qwen3_moe", {"decoder_sparse_step": 0}, "decoder_sparse_step = 0 is not from 1"),
    ("gpt_neox", {"use_parallel_residual": "yes"}, "neither true nor false"),
    ("gpt_neox", {"rotary_pct": 0.0}, "not between 0 and 1"),
]


@pytest.mark.parametrize(("model_type", "settings", "why"), HOSTILE, ids=[why for _, _, why in HOSTILE])
def test_what_the_stack_does_not_do_is_refused(model_type: str, settings: dict[str, Any], why: str) -> None:
    begun = time.monotonic()
    with pytest.raises(InputError, match=why):
        read(model_type, **settings)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("missing", ["vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size"])
@pytest.mark.parametrize("model_type", ["llama", "gpt_neox", "mixtral"])
def test_a_missing_size_is_named(model_type: str, missing: str) -> None:
    config = config_of(model_type)
    del config[missing]
    with pytest.raises(InputError, match=f"{missing} is missing"):
        FAMILIES[model_type].read_config(config)


def test_layouts_and_their_inverses() -> None:
    # Two heads of three parts of two rows: q0 q0 k0 k0 v0 v0 q1 ...
    theirs = torch.arange(12.0)
    ours = InterleavedHeads(2).ours(theirs)
    assert ours.tolist() == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]
    assert torch.equal(InterleavedHeads(2).theirs(ours), theirs)
    stored = torch.tensor([-0.25, 0.0], dtype=torch.bfloat16)
    assert SHIFTED.ours(stored).tolist() == [0.75, 1.0]
    assert SHIFTED.theirs(SHIFTED.ours(stored)).tolist() == stored.tolist()


@pytest.mark.parametrize("found", ["model.norm.weight", "norm.weight", "language_model.model.norm.weight"])
def test_a_weight_is_found_with_and_without_prefix(found: str) -> None:
    resolver = Resolver([found, "model.other"], "model.")
    assert resolver.find(Weight("decoder.norm.weight", ("model.norm.weight",))) == (found,)
    assert resolver.find(Weight("x", ("model.missing",))) is None
