"""Sizes and settings of a model: a Hugging Face config from metadata, and metadata from a config.

What llama.cpp computes in one way only is written into a config as that, and a config that wants it
otherwise is refused. One thing llama.cpp leaves out without a word: it attends to everything in Mistral,
Mixtral and Phi-3 models with a sliding window, which differs from the window in texts longer than it; the
window is kept in the metadata all the same, where ``read_config`` finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED, shorten
from yanmo.models.gguf.architectures import (
    ARCHITECTURES,
    LLAMA,
    MISTRAL,
    MIXTRAL,
    Architecture,
    Heads,
)
from yanmo.models.gguf.header import StoredTensor, Value
from yanmo.models.gguf.metadata import MAX_SIZE, Metadata

# Settings that llama.cpp knows one value of.
_FIXED: dict[str, dict[str, Any]] = {
    "qwen2": {"use_sliding_window": False},
    "qwen3": {"use_sliding_window": False, "attention_bias": False},
    "qwen3_moe": {
        "use_sliding_window": False,
        "attention_bias": False,
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    },
    "gemma3_text": {
        "attention_bias": False,
        "attn_logit_softcapping": None,
        "use_bidirectional_attention": False,
    },
    "olmo2": {"attention_bias": False},
    "gpt2": {
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    },
    "gpt_neox": {"attention_bias": True},
}
# Where transformers takes another value for a missing key than llama.cpp computes.
_DEFAULTS = {"norm_topk_prob": False}
# Metadata of models that share an architecture's name and not its computation, and the values that say no.
_OF_OTHERS: dict[str, tuple[Value, ...]] = {
    ".attention.causal": (True,),
    ".attention.scale": (0.0,),
    ".attention.clamp_kqv": (0.0,),
    ".attn_logit_softcapping": (0.0,),
    ".embedding_scale": (0.0, 1.0),
    ".expert_weights_scale": (0.0, 1.0),
    ".expert_shared_count": (0,),
    ".logit_scale": (0.0, 1.0),
    ".residual_scale": (0.0, 1.0),
}
_OWN_HEAD_DIM = ("llama", "mistral", "mixtral", "qwen3", "qwen3_moe", "gemma3_text")
_WINDOWED = ("mistral", "mixtral", "phi3")
# llama.cpp scales queries of the 27B model, which it knows by its 62 layers, by d_model / num_heads.
_GEMMA_27B_LAYERS = 62
_GEMMA_PATTERN = 6
_MAX_HEAD_DIM = 2**16


def architecture_of_config(config: Mapping[str, Any]) -> Architecture:
    """The architecture of a Hugging Face config.

    Raises:
        InputError: it is none that is written as GGUF.
    """
    architecture = ARCHITECTURES.get(str(config.get("model_type")))
    if architecture is None:
        raise InputError(
            f"a model of the kind {shorten(config.get('model_type'))} cannot be written as GGUF",
            remedy=f"these can: {', '.join(ARCHITECTURES)}",
        )
    return architecture


def architecture_of_file(metadata: Metadata) -> Architecture:
    """The architecture of a GGUF file; llama.cpp has one name for Llama, Mistral and Mixtral.

    Raises:
        InputError: it is none that is read.
    """
    name = metadata.architecture
    if name == LLAMA.name:
        if metadata.integer(".expert_count", 0, low=0):
            return MIXTRAL
        return MISTRAL if metadata.integer(".attention.sliding_window", 0, low=0) else LLAMA
    for architecture in ARCHITECTURES.values():
        if architecture.name == name:
            return architecture
    known = ", ".join(sorted({architecture.name for architecture in ARCHITECTURES.values()}))
    raise InputError(
        f"unknown architecture {shorten(name)}", where=metadata.where, remedy=f"these are read: {known}"
    )


def heads_of_file(metadata: Metadata) -> tuple[Heads, int]:
    """Numbers of heads, and the dimensions of a head.

    Raises:
        InputError: the numbers are missing or cannot be.
    """
    d_model = metadata.integer(".embedding_length")
    num_heads = metadata.integer(".attention.head_count", high=d_model)
    num_kv_heads = metadata.integer(".attention.head_count_kv", num_heads, high=num_heads)
    if num_heads % num_kv_heads:
        raise metadata.wrong(".attention.head_count_kv", f"no part of {num_heads} heads")
    head_dim = metadata.integer(".attention.key_length", d_model // num_heads, high=_MAX_HEAD_DIM)
    if metadata.integer(".attention.value_length", head_dim) != head_dim:
        raise metadata.wrong(".attention.value_length", f"not {head_dim}, as the keys'")
    if head_dim % 2:
        raise metadata.wrong(".attention.head_count", "odd dimensions in each head")
    return Heads(num_heads=num_heads, num_kv_heads=num_kv_heads), head_dim


def read_config(
    metadata: Metadata, architecture: Architecture, tensors: Mapping[str, StoredTensor], head_dim: int
) -> dict[str, Any]:
    """A Hugging Face config of everything but rotary positions, token ids and dtype.

    Raises:
        InputError: a value is missing, or cannot be, or is not that of the tensors.
    """
    model_type = architecture.model_type
    eps_key, eps_metadata_key = architecture.eps
    activation_key, activations = architecture.activation
    embedding = tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise InputError("has no token embedding", where=metadata.where, remedy=DAMAGED)
    config: dict[str, Any] = {
        "architectures": [architecture.hf_class],
        "model_type": model_type,
        "vocab_size": embedding.shape[0],
        **_read_sizes(metadata, architecture),
        eps_key: metadata.number(eps_metadata_key),
        activation_key: activations[0],
        "tie_word_embeddings": "output.weight" not in tensors,
        **_FIXED.get(model_type, {}),
    }
    if model_type in _OWN_HEAD_DIM:
        config["head_dim"] = head_dim
    elif head_dim != metadata.integer(".embedding_length") // metadata.integer(".attention.head_count"):
        raise metadata.wrong(".attention.key_length", "not the usual size of a head")
    if model_type == "llama":
        config["attention_bias"] = "blk.0.attn_q.bias" in tensors
        config["mlp_bias"] = "blk.0.ffn_up.bias" in tensors
    if model_type in _WINDOWED:
        config["sliding_window"] = metadata.integer(".attention.sliding_window", 0, low=0) or None
    if model_type == "gpt_neox":
        config["use_parallel_residual"] = metadata.flag(".use_parallel_residual", True)
    if model_type == "gemma3_text":
        config |= _read_gemma(metadata, head_dim)
    _refuse_others(metadata)
    _check_sizes(metadata, tensors, head_dim)
    return config


def write_config(
    config: Mapping[str, Any], architecture: Architecture
) -> tuple[dict[str, Value], Heads, int]:
    """The metadata of everything but rotary positions and token ids.

    Args:
        config: a Hugging Face config.
        architecture: its own.

    Returns:
        Metadata by key, the numbers of heads, and the dimensions of a head.

    Raises:
        InputError: a key is missing, or asks for what llama.cpp does not compute.
    """
    model_type = architecture.model_type
    for key, value in _FIXED.get(model_type, {}).items():
        given = config.get(key, _DEFAULTS.get(key, value))
        if given != value:
            raise InputError(f"llama.cpp does not compute {model_type} with {key} = {shorten(given)}")
    activation_key, activations = architecture.activation
    activation = config.get(activation_key, activations[0])
    if activation not in activations:
        raise InputError(f"llama.cpp does not compute {model_type} with the activation {shorten(activation)}")
    sizes = _write_sizes(config, architecture)
    d_model, num_heads = sizes[".embedding_length"], sizes[".attention.head_count"]
    head_dim = d_model // num_heads
    entries: dict[str, Value] = {**sizes, ".vocab_size": _size(config, "vocab_size")}
    if model_type in _OWN_HEAD_DIM:
        head_dim = config.get("head_dim") or head_dim
        entries |= {".attention.key_length": head_dim, ".attention.value_length": head_dim}
    eps_key, eps_metadata_key = architecture.eps
    entries[eps_metadata_key] = float(config[eps_key])
    if model_type in _WINDOWED:
        window = config.get("sliding_window")
        # llama.cpp knows by the zero that a Phi-3 file was not forgotten to say.
        if window or model_type == "phi3":
            entries[".attention.sliding_window"] = window or 0
    if model_type == "gpt_neox":
        entries[".use_parallel_residual"] = bool(config.get("use_parallel_residual", True))
    if model_type == "gemma3_text":
        entries |= _write_gemma(config, d_model, num_heads, head_dim)
    heads = Heads(num_heads=num_heads, num_kv_heads=sizes.get(".attention.head_count_kv", num_heads))
    return entries, heads, head_dim


def _read_sizes(metadata: Metadata, architecture: Architecture) -> dict[str, int]:
    sizes = {}
    for key, metadata_key in architecture.sizes.items():
        optional = metadata_key == ".attention.head_count_kv"
        default = metadata.integer(".attention.head_count") if optional else None
        sizes[key] = metadata.integer(metadata_key, default)
    return sizes


def _write_sizes(config: Mapping[str, Any], architecture: Architecture) -> dict[str, int]:
    sizes = {}
    for key, metadata_key in architecture.sizes.items():
        if key == "num_key_value_heads" and config.get(key) is None:
            sizes[metadata_key] = _size(config, "num_attention_heads")
        elif key == "n_inner" and config.get(key) is None:
            sizes[metadata_key] = 4 * _size(config, "n_embd")
        elif key == "num_experts" and key not in config:
            sizes[metadata_key] = _size(config, "num_local_experts")
        else:
            sizes[metadata_key] = _size(config, key)
    return sizes


def _size(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if type(value) is not int or not 1 <= value <= MAX_SIZE:
        raise InputError(f"{key} is no size: {shorten(value)}", where="config.json")
    return value


def _read_gemma(metadata: Metadata, head_dim: int) -> dict[str, Any]:
    num_layers = metadata.integer(".block_count")
    window = metadata.integer(".attention.sliding_window", 0, low=0)
    pattern: int | list[int] = _GEMMA_PATTERN
    if metadata.has(".attention.sliding_window_pattern"):
        listed = isinstance(metadata.values[metadata.full_key(".attention.sliding_window_pattern")], list)
        key = ".attention.sliding_window_pattern"
        pattern = metadata.integers(key) if listed else metadata.integer(key, low=1)
    slides = [bool(window) and _slides(pattern, layer, num_layers) for layer in range(num_layers)]
    d_model, num_heads = metadata.integer(".embedding_length"), metadata.integer(".attention.head_count")
    cap = metadata.number(".final_logit_softcapping", 0.0)
    return {
        "sliding_window": window or None,
        "layer_types": ["sliding_attention" if slide else "full_attention" for slide in slides],
        "query_pre_attn_scalar": d_model // num_heads if num_layers == _GEMMA_27B_LAYERS else head_dim,
        "final_logit_softcapping": cap or None,
    }


def _slides(pattern: int | list[int], layer: int, num_layers: int) -> bool:
    """Whether a layer has a window: every n-th has none, or one value for each layer says it."""
    if isinstance(pattern, int):
        return (layer + 1) % pattern != 0
    return layer < len(pattern) and bool(pattern[layer])


def _write_gemma(config: Mapping[str, Any], d_model: int, num_heads: int, head_dim: int) -> dict[str, Value]:
    num_layers = _size(config, "num_hidden_layers")
    scalar = d_model // num_heads if num_layers == _GEMMA_27B_LAYERS else head_dim
    if config.get("query_pre_attn_scalar", 256) != scalar:
        given = shorten(config.get("query_pre_attn_scalar", 256))
        raise InputError(f"llama.cpp does not compute gemma3_text with query_pre_attn_scalar = {given}")
    entries: dict[str, Value] = {}
    if config.get("final_logit_softcapping"):
        entries[".final_logit_softcapping"] = float(config["final_logit_softcapping"])
    nth = config.get("sliding_window_pattern", config.get("_sliding_window_pattern", _GEMMA_PATTERN))
    usual = [
        "full_attention" if (layer + 1) % nth == 0 else "sliding_attention" for layer in range(num_layers)
    ]
    slides = [kind == "sliding_attention" for kind in config.get("layer_types") or usual]
    if len(slides) != num_layers:
        raise InputError(
            f"layer_types has {len(slides)} entries for {num_layers} layers", where="config.json"
        )
    if any(slides):
        entries[".attention.sliding_window"] = _size(config, "sliding_window")
        if slides != [_slides(_GEMMA_PATTERN, layer, num_layers) for layer in range(num_layers)]:
            entries[".attention.sliding_window_pattern"] = slides
    return entries


def _refuse_others(metadata: Metadata) -> None:
    """Settings that no config of these families has: left out, the model would compute something else."""
    for key, harmless in _OF_OTHERS.items():
        if metadata.has(key) and metadata.values[metadata.full_key(key)] not in harmless:
            raise metadata.wrong(key, "of a kind of model that is not read")
    # Olmo 3 has the name of Olmo 2.
    if metadata.architecture == "olmo2" and metadata.integer(".attention.sliding_window", 0, low=0):
        raise metadata.wrong(".attention.sliding_window", "of a kind of model that is not read")


def _check_sizes(metadata: Metadata, tensors: Mapping[str, StoredTensor], head_dim: int) -> None:
    """The numbers from which a model is built are those of the tensors that fill it."""
    d_model = metadata.integer(".embedding_length")
    num_heads = metadata.integer(".attention.head_count")
    num_kv_heads = metadata.integer(".attention.head_count_kv", num_heads)
    width = metadata.integer(".feed_forward_length")
    wide = 2 * width if metadata.architecture == "phi3" else width
    num_experts = metadata.integer(".expert_count", 0, low=0)
    expert_width = metadata.integer(".expert_feed_forward_length", width)
    expected = {
        "token_embd.weight": (tensors["token_embd.weight"].shape[0], d_model),
        "output_norm.weight": (d_model,),
        "position_embd.weight": (metadata.integer(".context_length"), d_model),
        "blk.0.attn_q.weight": (num_heads * head_dim, d_model),
        "blk.0.attn_k.weight": (num_kv_heads * head_dim, d_model),
        "blk.0.attn_qkv.weight": ((num_heads + 2 * num_kv_heads) * head_dim, d_model),
        "blk.0.ffn_up.weight": (wide, d_model),
        "blk.0.ffn_up_exps.weight": (num_experts, expert_width, d_model),
    }
    for name, shape in expected.items():
        if name in tensors and tensors[name].shape != shape:
            raise InputError(
                f"the tensor {name} has the shape {tensors[name].shape}, not {shape} as the metadata says",
                where=metadata.where,
                remedy=DAMAGED,
            )
