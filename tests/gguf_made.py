"""Tiny random models and tokenizers of transformers' kinds, for the tests of GGUF files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from yanmo.models.files.safetensors_files import SafetensorsFiles
from yanmo.models.gguf.writer import write_gguf

VOCAB_SIZE = 320
MIXED_TEXTS = [
    "Hello world, it's 2024! We'll see 12345 things.",
    "你好，世界！今天天气很好。我们去公园散步吧。",
    "emoji 😀👩‍👩‍👧 and 🇨🇳 flags  with   spaces\n\n\ttabs",
    "def f(x):\n    return x**2 + 0xFF  # comment\n",
    "混合 mixed 文本 text 123 测试 test.",
    "",
    " leading and trailing ",
    "ÀÉÎõü ſtraße ½ ² ①",
]
_TRAINING = [
    *MIXED_TEXTS,
    "the quick brown fox jumps over the lazy dog " * 3,
    "学而时习之，不亦说乎？" * 3,
] * 3

# What each model is made with, beside what they have in common.
MODELS: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 2, "rope_theta": 50_000.0},
    "llama-biased": {"attention_bias": True, "mlp_bias": True, "head_dim": 32, "tie_word_embeddings": True},
    "llama-linear": {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0}},
    "llama-llama3": {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10_000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        }
    },
    "mistral": {"num_key_value_heads": 2, "sliding_window": 100},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "num_key_value_heads": 2},
    "qwen2": {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen2-yarn": {
        "num_key_value_heads": 4,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10_000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "qwen3": {"num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": True},
    "qwen3_moe": {
        "num_key_value_heads": 2,
        "head_dim": 32,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "norm_topk_prob": True,
    },
    "gemma3_text": {
        "num_key_value_heads": 2,
        "head_dim": 32,
        "query_pre_attn_scalar": 32,
        "sliding_window": 4,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "phi3": {"num_key_value_heads": 2, "pad_token_id": 0},
    "phi3-longrope": {
        "pad_token_id": 0,
        "max_position_embeddings": 1024,
        "original_max_position_embeddings": 256,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10_000.0,
            "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
            "long_factor": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            "original_max_position_embeddings": 256,
        },
    },
    "olmo2": {"num_key_value_heads": 2},
    "gpt2": {"n_inner": 128},
    "gpt_neox": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5}
    },
    "gpt_neox-sequential": {"use_parallel_residual": False},
}


def make_model(folder: Path, name: str, *, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Save a random transformers model of ``MODELS``.

    Returns:
        Its config.json.
    """
    import transformers

    model_type = name.split("-")[0]
    common = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "max_position_embeddings": 256,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if model_type == "gpt2":
        del common["intermediate_size"], common["tie_word_embeddings"]
    if model_type == "gemma3_text":
        common["tie_word_embeddings"] = True
    config = transformers.AutoConfig.for_model(model_type, **(common | MODELS[name] | changes))
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            # Norms and biases at their defaults would hide a mistake; eighths are exact beside a one.
            if parameter.ndim == 1:
                parameter.add_(torch.randint(-4, 5, parameter.shape) / 8)
            elif "embed" not in key:
                parameter.mul_(3)
    model.save_pretrained(folder)
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found


def write(path: Path, folder: Path, tokenizer: Tokenizer, *, dtype: Any = "f32", **changes: Any) -> Path:
    """The model of a folder as a GGUF file, with a tokenizer whose begin and end are 1 and 2."""
    arguments: dict[str, Any] = {
        "config": json.loads((folder / "config.json").read_text()),
        "tensors": SafetensorsFiles(folder),
        "tokenizer_json": tokenizer.to_str(),
        "tokenizer_config": {},
        "chat_template": None,
        "dtype": dtype,
        "name": "tiny",
    }
    write_gguf(path, **(arguments | changes))
    return path


def byte_level(pre_tokenizer: Any = None, vocab_size: int = VOCAB_SIZE - 5) -> Tokenizer:
    """A byte-level BPE tokenizer with three special tokens in front and an added one behind."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|unk|>", "<|bos|>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TRAINING, trainer)
    tokenizer.add_tokens([AddedToken("<think>", normalized=False)])
    return tokenizer


def sentencepiece(*, prefixed: bool = True) -> Tokenizer:
    """A BPE tokenizer in the form that those made from SentencePiece models have."""
    from yanmo.models.gguf.sentencepiece import merges_of

    words = sorted({word for text in _TRAINING for word in text.replace(" ", " ▁").split(" ")})
    pieces = {character for word in words for character in word}
    for size in (2, 3, 4):
        pieces |= {word[:size] for word in words if len(word) >= size and word[: size - 1] in pieces}
        pieces |= {"▁" * size}
    ordinary = sorted(pieces - {""}, key=lambda piece: (len(piece) > 1, len(piece), piece))
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *ordinary]
    scores = {token: -float(rank) for rank, token in enumerate(ordinary)}
    merges = [(left, right) for left, right in merges_of(scores)]
    vocab = {token: token_id for token_id, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if prefixed else replace
    strip = [decoders.Strip(" ", 1, 0)] if prefixed else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def split(pattern: str) -> Any:
    """The usual pre-tokenizer of one expression and the bytes."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def hand_made(model_type: str = "llama", **changes: Any) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """A config and random weights of a tiny Llama or Mixtral, without transformers."""
    config: dict[str, Any] = {
        "model_type": model_type,
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 96,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **({"num_local_experts": 3, "num_experts_per_tok": 2} if model_type == "mixtral" else {}),
        **changes,
    }
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCAB_SIZE, 64),
        "model.norm.weight": (64,),
        "lm_head.weight": (VOCAB_SIZE, 64),
    }
    for layer in range(2):
        start = f"model.layers.{layer}"
        rows = {"q_proj": 64, "k_proj": 32, "v_proj": 32, "o_proj": 64}
        shapes |= {f"{start}.self_attn.{name}.weight": (size, 64) for name, size in rows.items()}
        shapes |= {
            f"{start}.{name}.weight": (64,) for name in ("input_layernorm", "post_attention_layernorm")
        }
        wide, narrow = (96, 64), (64, 96)
        if model_type == "mixtral":
            shapes[f"{start}.block_sparse_moe.gate.weight"] = (3, 64)
            for expert in range(3):
                inner = f"{start}.block_sparse_moe.experts.{expert}"
                shapes |= {
                    f"{inner}.w1.weight": wide,
                    f"{inner}.w2.weight": narrow,
                    f"{inner}.w3.weight": wide,
                }
        else:
            inner = f"{start}.mlp"
            shapes |= {f"{inner}.gate_proj.weight": wide, f"{inner}.up_proj.weight": wide}
            shapes[f"{inner}.down_proj.weight"] = narrow
    generator = torch.Generator().manual_seed(0)
    return config, {name: torch.randn(shape, generator=generator) / 8 for name, shape in shapes.items()}


def write_hand_made(path: Path, model_type: str = "llama", **changes: Any) -> Path:
    """The same as a GGUF file; ``changes`` are arguments of ``write_gguf``."""
    config, tensors = hand_made(model_type)
    tokenizer_json = byte_level().to_str()
    arguments: dict[str, Any] = {
        "config": config,
        "tensors": tensors,
        "tokenizer_json": tokenizer_json,
        "tokenizer_config": {},
        "chat_template": None,
        "dtype": "f32",
        "name": "tiny",
    }
    write_gguf(path, **(arguments | changes))
    return path
