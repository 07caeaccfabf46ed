"""Configs on their way into metadata and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf_made
import pytest
from gguf.constants import GGMLQuantizationType as Kind

from yanmo.errors import InputError
from yanmo.models.gguf.architectures import GEMMA3, LLAMA, MISTRAL, MIXTRAL, QWEN3_MOE
from yanmo.models.gguf.config import (
    architecture_of_config,
    architecture_of_file,
    heads_of_file,
    read_config,
    write_config,
)
from yanmo.models.gguf.header import StoredTensor
from yanmo.models.gguf.metadata import Metadata

_BASE: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
}
_MORE: dict[str, dict[str, Any]] = {
    "qwen3_moe": {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "norm_topk_prob": True,
    },
    "gemma3_text": {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 8},
    "gpt_neox": {"layer_norm_eps": 1e-5},
}


def file_of(name: str, **values: Any) -> Metadata:
    return Metadata(
        {"general.architecture": name, **{f"{name}.{k}": v for k, v in values.items()}}, Path("m.gguf")
    )


def written(model_type: str, **changes: Any) -> dict[str, Any]:
    config = {"model_type": model_type, **_BASE, **_MORE.get(model_type, {}), **changes}
    return dict(write_config(config, architecture_of_config(config))[0])


def test_llama_files_are_of_three_families() -> None:
    assert architecture_of_file(file_of("llama")) is LLAMA
    assert architecture_of_file(file_of("llama", **{"attention.sliding_window": 4096})) is MISTRAL
    assert architecture_of_file(file_of("llama", expert_count=8)) is MIXTRAL
    assert architecture_of_file(file_of("qwen3moe", expert_count=8)) is QWEN3_MOE
    with pytest.raises(InputError, match=r"unknown architecture 'bert'.*gemma3, gpt2"):
        architecture_of_file(file_of("bert"))


@pytest.mark.parametrize(
    ("model_type", "key", "value"),
    [
        ("llama", "hidden_act", "gelu"),
        ("qwen2", "use_sliding_window", True),
        ("qwen3", "attention_bias", True),
        ("qwen3_moe", "norm_topk_prob", False),
        ("qwen3_moe", "mlp_only_layers", [0]),
        ("gemma3_text", "attn_logit_softcapping", 50.0),
        ("gemma3_text", "query_pre_attn_scalar", 99),
        ("gpt_neox", "attention_bias", False),
    ],
)
def test_what_llama_cpp_does_not_compute(model_type: str, key: str, value: Any) -> None:
    assert written(model_type)
    with pytest.raises(InputError, match="does not compute"):
        written(model_type, **{key: value})


def test_a_missing_key_is_transformers_default() -> None:
    changed = {key: value for key, value in _MORE["qwen3_moe"].items() if key != "norm_topk_prob"}
    config = {"model_type": "qwen3_moe", **_BASE, **changed}
    with pytest.raises(InputError, match="norm_topk_prob = False"):
        write_config(config, QWEN3_MOE)


def test_models_that_cannot_be_written() -> None:
    with pytest.raises(InputError, match="'bert' cannot be written as GGUF"):
        architecture_of_config({"model_type": "bert"})


@pytest.mark.parametrize("value", [None, 0, -1, 2**40, "64", 64.0, True])
def test_sizes_that_are_none(value: Any) -> None:
    with pytest.raises(InputError, match="hidden_size is no size"):
        written("llama", hidden_size=value)


def test_experts_by_either_name() -> None:
    config = {"num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    entries = write_config({"model_type": "qwen3_moe", "norm_topk_prob": True, **_BASE, **config}, QWEN3_MOE)[
        0
    ]
    assert entries[".expert_count"] == 4


def test_older_configs_have_as_many_key_heads_as_heads() -> None:
    config = {"model_type": "llama", **{k: v for k, v in _BASE.items() if k != "num_key_value_heads"}}
    entries, heads, head_dim = write_config(config, LLAMA)
    assert (entries[".attention.head_count_kv"], heads.num_kv_heads, head_dim) == (4, 4, 16)


@pytest.mark.parametrize(
    ("layer_types", "stored"),
    [
        (None, None),
        (["sliding_attention"] * 2, None),  # llama.cpp's own: every sixth has no window
        (["full_attention", "sliding_attention"], [False, True]),
    ],
)
def test_layers_with_a_window(layer_types: list[str] | None, stored: list[bool] | None) -> None:
    entries = written("gemma3_text", layer_types=layer_types)
    assert entries.get(".attention.sliding_window_pattern") == stored
    assert entries[".attention.sliding_window"] == 8


def test_no_layer_with_a_window() -> None:
    assert ".attention.sliding_window" not in written("gemma3_text", layer_types=["full_attention"] * 2)
    with pytest.raises(InputError, match="layer_types has 1 entries"):
        written("gemma3_text", layer_types=["full_attention"])


@pytest.mark.parametrize(
    ("stored", "full"),
    [
        ({}, [5]),
        ({"attention.sliding_window_pattern": 2}, [1, 3, 5]),
        ({"attention.sliding_window": 0}, range(6)),
    ],
)
def test_windows_of_a_file(stored: dict[str, Any], full: list[int]) -> None:
    values = {
        "embedding_length": 64,
        "block_count": 6,
        "feed_forward_length": 96,
        "context_length": 256,
        "attention.head_count": 4,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.sliding_window": 8,
    }
    metadata = file_of("gemma3", **{**values, **stored})
    embedding = StoredTensor(
        name="token_embd.weight", shape=(320, 64), kind=Kind.F32, offset=0, num_bytes=320 * 64 * 4
    )
    config = read_config(metadata, GEMMA3, {"token_embd.weight": embedding}, 16)
    found = [index for index, kind in enumerate(config["layer_types"]) if kind == "full_attention"]
    assert found == list(full)
    assert config["rms_norm_eps"] == 1e-6 and config["tie_word_embeddings"] is True


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"embedding_length": 64, "attention.head_count": 0}, "head_count is no whole number"),
        ({"embedding_length": 64, "attention.head_count": 65}, "head_count is no whole number"),
        (
            {"embedding_length": 64, "attention.head_count": 4, "attention.head_count_kv": 3},
            "head_count_kv is no part",
        ),
        ({"embedding_length": 60, "attention.head_count": 4}, "odd dimensions"),
        (
            {"embedding_length": 64, "attention.head_count": 4, "attention.value_length": 8},
            "value_length is not 16",
        ),
    ],
)
def test_heads_that_cannot_be(values: dict[str, int], what: str) -> None:
    with pytest.raises(InputError, match=what):
        heads_of_file(file_of("llama", **values))


@pytest.mark.parametrize(
    "values", [{"attention.causal": False}, {"logit_scale": 0.5}, {"attention.scale": 0.1}], ids=str
)
def test_settings_of_other_models_are_not_passed_over(tmp_path: Path, values: dict[str, Any]) -> None:
    from yanmo.models.gguf.reader import GgufFile

    file = GgufFile(gguf_made.write_hand_made(tmp_path / "m.gguf"))
    metadata = Metadata({**file.metadata, **{f"llama.{k}": v for k, v in values.items()}}, file.path)
    with pytest.raises(InputError, match="a kind of model that is not read"):
        read_config(metadata, LLAMA, file._header.tensors, 16)
