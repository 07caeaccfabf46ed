"""Decoders and their heads against transformers, on tiny random weights, both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from family_checks import (
    check_decoder,
    check_encoder,
    differ,
    export,
    greedy,
    read,
    reload,
    shake,
    texts,
)
from safetensors.torch import load_file, save_file

from yanmo.errors import InputError
from yanmo.models.families import FAMILIES
from yanmo.models.heads import HeadKind
from yanmo.nn.packing import pack_lists

transformers = pytest.importorskip("transformers")

WEIGHTS = "model.safetensors"

SIZES: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
NEOX = {name: value for name, value in SIZES.items() if name != "num_key_value_heads"}
WIDE = SIZES | {"head_dim": 16}


def scaled(kind: str, **settings: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 500.0, **settings}}


LLAMA3 = scaled(
    "llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32
)
YARN = scaled("yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=4.0)
LONGROPE = scaled(
    "longrope", short_factor=[1.0, 1.5, 2.0], long_factor=[1.0, 3.0, 9.0], partial_rotary_factor=0.75
)
WINDOW = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
MIXTURE = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "head_dim": 8}
GEMMA = WIDE | {"query_pre_attn_scalar": 10, "sliding_window": 4, "sliding_window_pattern": 3}

# Class of transformers, and its settings.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "gpt_neox": ("GPTNeoX", NEOX | {"rope_parameters": {"partial_rotary_factor": 0.5}}),
    "gpt_neox-sequential": ("GPTNeoX", NEOX | {"use_parallel_residual": False, "hidden_act": "gelu_fast"}),
    "gpt_neox-no-bias": ("GPTNeoX", NEOX | {"attention_bias": False, "tie_word_embeddings": True}),
    "llama": ("Llama", SIZES),
    "llama-one-head": ("Llama", SIZES | {"num_key_value_heads": 1, "tie_word_embeddings": True}),
    "llama-biases": ("Llama", WIDE | {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"}),
    "llama-linear": ("Llama", SIZES | scaled("linear", factor=2.5)),
    "llama-dynamic": ("Llama", SIZES | scaled("dynamic", factor=2.0)),
    "llama-yarn": ("Llama", SIZES | YARN),
    "llama-llama3": ("Llama", SIZES | LLAMA3),
    "mistral": ("Mistral", SIZES | {"sliding_window": 4}),
    "mistral-no-window": ("Mistral", WIDE | {"sliding_window": None}),
    "qwen2": ("Qwen2", SIZES),
    "qwen2-window": ("Qwen2", SIZES | WINDOW | {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", WIDE),
    "qwen3-window": ("Qwen3", WIDE | WINDOW | {"attention_bias": True}),
    "qwen3-layer-types": (
        "Qwen3",
        WIDE | WINDOW | {"layer_types": ["full_attention", "sliding_attention", "full_attention"]} | YARN,
    ),
    "gemma3": ("Gemma3Text", GEMMA),
    "gemma3-softcap": (
        "Gemma3Text",
        GEMMA | {"final_logit_softcapping": 2.0, "attention_bias": True, "tie_word_embeddings": False},
    ),
    "phi3": ("Phi3", SIZES | {"pad_token_id": 0}),
    "phi3-window": ("Phi3", SIZES | {"pad_token_id": 0, "sliding_window": 4, "tie_word_embeddings": True}),
    "phi3-longrope": ("Phi3", SIZES | {"pad_token_id": 0, "original_max_position_embeddings": 48} | LONGROPE),
    "olmo2": ("Olmo2", SIZES),
    "olmo2-bias": ("Olmo2", SIZES | {"attention_bias": True, "num_key_value_heads": 4}),
    "mixtral": ("Mixtral", SIZES | {"num_local_experts": 4}),
    "mixtral-window": ("Mixtral", WIDE | {"num_local_experts": 3, "sliding_window": 4}),
    "qwen3_moe": ("Qwen3Moe", SIZES | MIXTURE | {"norm_topk_prob": True}),
    "qwen3_moe-mixed": (
        "Qwen3Moe",
        SIZES | MIXTURE | {"num_hidden_layers": 4, "decoder_sparse_step": 2, "mlp_only_layers": [3]},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_decoder_family(case: str, tmp_path: Path) -> None:
    name, sizes = CASES[case]
    config = getattr(transformers, f"{name}Config")(**sizes)
    family = FAMILIES[config.model_type]
    ours = check_decoder(transformers.AutoModelForCausalLM.from_config(config), tmp_path).config
    written = family.write_config(ours, model_type=config.model_type)
    assert family.read_config(written) == ours


SEQUENCE, TOKENS = HeadKind.SEQUENCE_CLASSIFICATION, HeadKind.TOKEN_CLASSIFICATION
GPT2 = CASES["gpt2"][1]
# Class of transformers, its settings, our head to the field of their output.
HEADS: list[tuple[str, dict[str, Any], dict[HeadKind | None, str]]] = [
    ("LlamaForSequenceClassification", SIZES, {SEQUENCE: "logits"}),
    ("LlamaForTokenClassification", SIZES, {TOKENS: "logits"}),
    ("LlamaModel", SIZES, {None: "last_hidden_state"}),
    ("MistralForSequenceClassification", SIZES | {"sliding_window": 4}, {SEQUENCE: "logits"}),
    ("Qwen2ForTokenClassification", SIZES, {TOKENS: "logits"}),
    ("Qwen3ForSequenceClassification", WIDE | {"tie_word_embeddings": True}, {SEQUENCE: "logits"}),
    ("Gemma3TextForSequenceClassification", GEMMA, {SEQUENCE: "logits"}),
    ("Gemma3TextModel", GEMMA, {None: "last_hidden_state"}),
    ("GPTNeoXForTokenClassification", NEOX, {TOKENS: "logits"}),
    ("GPT2ForSequenceClassification", GPT2, {SEQUENCE: "logits"}),
    ("GPT2ForTokenClassification", GPT2, {TOKENS: "logits"}),
    ("Olmo2ForSequenceClassification", SIZES, {SEQUENCE: "logits"}),
]


@pytest.mark.parametrize(("name", "sizes", "answers"), HEADS, ids=[name for name, _, _ in HEADS])
def test_decoder_head(
    name: str, sizes: dict[str, Any], answers: dict[HeadKind | None, str], tmp_path: Path
) -> None:
    model_class = getattr(transformers, name)
    config = model_class.config_class(**sizes, num_labels=3, pad_token_id=0)
    check_encoder(model_class(config), tmp_path, answers=answers)


Config = dict[str, Any]


def old_rope(config: Config) -> Config:
    """Rotary positions as before transformers 5."""
    table = config.pop("rope_parameters")
    config["rope_theta"] = table.pop("rope_theta")
    if "partial_rotary_factor" in table:
        config["partial_rotary_factor"] = table.pop("partial_rotary_factor")
    table["type"] = table.pop("rope_type")
    return config | {"rope_scaling": None if table["type"] == "default" else table}


def old_neox(config: Config) -> Config:
    table = config.pop("rope_parameters")
    del config["attention_bias"], config["use_parallel_residual"]
    return config | {
        "rotary_pct": table["partial_rotary_factor"],
        "rotary_emb_base": int(table["rope_theta"]),
        "tie_word_embeddings": False,
    }


def old_phi3(config: Config) -> Config:
    config = old_rope(config)
    del config["rope_scaling"]["original_max_position_embeddings"]
    config["rope_scaling"]["type"] = "su"
    return config


def old_qwen3_moe(config: Config) -> Config:
    return old_rope(config) | {"num_experts": config.pop("num_local_experts")}


def old_gemma3(config: Config) -> Config:
    tables = config.pop("rope_parameters")
    del config["layer_types"], config["use_bidirectional_attention"], config["attn_logit_softcapping"]
    return config | {
        "rope_theta": tables["full_attention"]["rope_theta"],
        "rope_local_base_freq": tables["sliding_attention"]["rope_theta"],
        "rope_scaling": {"factor": tables["full_attention"]["factor"], "rope_type": "linear"},
        "sliding_window_pattern": config.pop("_sliding_window_pattern"),
    }


def seeing_gemma3(config: Config) -> Config:
    """The config of a model that also sees; its text part leaves out what is usual."""
    usual = transformers.Gemma3TextConfig().to_dict()
    text = {name: value for name, value in config.items() if value != usual.get(name, usual)}
    architectures = ["Gemma3ForConditionalGeneration"]
    return {"architectures": architectures, "model_type": "gemma3", "text_config": text}


def without_defaults(config: Config) -> Config:
    """Only what a config class of transformers has no default for, or another one."""
    usual = type(transformers.AutoConfig.for_model(config["model_type"]))().to_dict()
    kept = ("model_type", "architectures")
    return {name: value for name, value in config.items() if name in kept or value != usual.get(name, usual)}


GEMMA_ROPE = {
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e5},
        "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
    }
}
PHI3_LONG = SIZES | {"pad_token_id": 0, "original_max_position_embeddings": 10} | LONGROPE
# A case, and what its config.json looked like once.
OLD_FORMS: dict[str, tuple[str, dict[str, Any], Callable[[Config], Config]]] = {
    "gpt_neox": ("GPTNeoX", NEOX | {"rope_parameters": {"partial_rotary_factor": 0.5}}, old_neox),
    "llama": ("Llama", SIZES | LLAMA3, old_rope),
    "llama-yarn": ("Llama", SIZES | YARN, old_rope),
    "llama-bare": ("Llama", SIZES | {"max_position_embeddings": 2048}, without_defaults),
    "mistral-bare": (
        "Mistral",
        SIZES | {"num_attention_heads": 8, "num_key_value_heads": 8},
        without_defaults,
    ),
    "qwen2-bare": ("Qwen2", SIZES | {"max_position_embeddings": 32768}, without_defaults),
    "qwen3-bare": ("Qwen3", WIDE | {"head_dim": 128}, without_defaults),
    "phi3": ("Phi3", PHI3_LONG, old_phi3),
    "qwen3_moe": ("Qwen3Moe", SIZES | MIXTURE, old_qwen3_moe),
    "mixtral-bare": (
        "Mixtral",
        SIZES | {"num_attention_heads": 8, "num_key_value_heads": 8},
        without_defaults,
    ),
    "gemma3": ("Gemma3Text", GEMMA | GEMMA_ROPE, old_gemma3),
    "gemma3-bare": ("Gemma3Text", WIDE | {"num_key_value_heads": 4}, without_defaults),
    "gemma3-seeing": ("Gemma3Text", GEMMA | GEMMA_ROPE, seeing_gemma3),
}


@pytest.mark.parametrize("case", OLD_FORMS)
@torch.no_grad()
def test_config_as_it_was_written_once(case: str, tmp_path: Path) -> None:
    name, sizes, change = OLD_FORMS[case]
    theirs = transformers.AutoModelForCausalLM.from_config(getattr(transformers, f"{name}Config")(**sizes))
    shake(theirs).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    changed = change(json.loads(path.read_text()))
    assert changed != config
    path.write_text(json.dumps(changed))
    ours = read(tmp_path)
    for row in texts(99):
        differ(ours(torch.tensor([row])), theirs(torch.tensor([row])).logits)


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model."])
@torch.no_grad()
def test_text_part_of_a_model_that_sees(prefix: str, tmp_path: Path) -> None:
    theirs = shake(transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**GEMMA)))
    theirs.save_pretrained(tmp_path)
    tensors = {
        name.replace("model.", prefix, 1): tensor for name, tensor in load_file(tmp_path / WEIGHTS).items()
    }
    save_file(tensors | {"vision_tower.patches.weight": torch.ones(2)}, tmp_path / WEIGHTS)
    config = seeing_gemma3(json.loads((tmp_path / "config.json").read_text()))
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = read(tmp_path)
    row = torch.tensor(texts(99)[:2])
    differ(ours(row), theirs(row).logits)
    export(ours, "gemma3", tmp_path / "text")
    differ(reload(theirs, tmp_path / "text")(row).logits, ours(row))


LONG = {
    "longrope": ("Phi3", PHI3_LONG),
    "longrope-factor": (
        "Phi3",
        PHI3_LONG | {"rope_parameters": LONGROPE["rope_parameters"] | {"factor": 4.0}},
    ),
    "dynamic": ("Llama", SIZES | scaled("dynamic", factor=3.0) | {"max_position_embeddings": 10}),
}


@pytest.mark.parametrize("case", LONG)
@torch.no_grad()
def test_texts_beyond_the_first_context(case: str, tmp_path: Path) -> None:
    name, sizes = LONG[case]
    theirs = transformers.AutoModelForCausalLM.from_config(getattr(transformers, f"{name}Config")(**sizes))
    shake(theirs).save_pretrained(tmp_path / "theirs")
    ours = read(tmp_path / "theirs")
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(3, 99, (length,), generator=generator).tolist() for length in (4, 10, 11, 17)]
    alone = [theirs(torch.tensor([row])).logits[0] for row in rows]
    for row, expected in zip(rows, alone, strict=True):
        differ(ours(torch.tensor([row]))[0], expected)
    # Each text of a pack is turned by its own length.
    packed, segments = pack_lists([*rows, rows[0]])
    differ(ours(packed, segments=segments)[0], torch.cat((*alone, alone[0])))
    export(ours, theirs.config.model_type, tmp_path / "ours")
    again = reload(theirs, tmp_path / "ours")
    differ(again(torch.tensor([rows[3]])).logits[0], alone[3])


@torch.no_grad()
def test_cache_where_longrope_changes_its_factors(tmp_path: Path) -> None:
    theirs = shake(transformers.Phi3ForCausalLM(transformers.Phi3Config(**PHI3_LONG)))
    theirs.save_pretrained(tmp_path)
    ours = read(tmp_path)
    prompt = torch.tensor([texts(99)[2]])
    generated = theirs.generate(prompt, max_new_tokens=20, do_sample=False, eos_token_id=None)
    assert greedy(ours, prompt, 20) == generated[0, 4:].tolist()
    rows = torch.tensor([texts(99)[3], texts(99, seed=1)[3]])
    session = ours.start(2)
    session.extend(rows[:, :9])
    session.select(torch.tensor([1, 0]))
    for place in range(9, 13):
        scores = session.extend(rows[[1, 0], place : place + 1])
        differ(scores, theirs(rows[[1, 0], : place + 1]).logits[:, -1])


def test_a_head_without_a_class_is_refused() -> None:
    config = transformers.LlamaConfig(**SIZES, architectures=["LlamaForTokenClassification"]).to_dict()
    ours = FAMILIES["llama"].read_config(config)
    with pytest.raises(InputError, match="no class of Olmo2 has the heads token_classification"):
        FAMILIES["olmo2"].write_config(ours, model_type="olmo2")
