"""What llama.cpp calls the architectures of Hugging Face, their sizes and their tensors, and how those lie.

Most tensors are the same on both sides. The others are rearranged, and every rule has its exact inverse:

- llama (also Mistral, Mixtral): llama.cpp turns neighbouring dimensions of a head, Hugging Face the first
  half with the second, so the rows of the query and key projections change places;
- gemma3: norms multiply by 1 + weight in Hugging Face and by the weight in GGUF (the inverse is exact where
  float32 holds 1 + weight);
- gpt2: Hugging Face keeps linear layers transposed;
- gptneox: query, key and value lie together head by head in Hugging Face and apart in GGUF;
- mixtral, qwen3moe: one tensor for all experts of a layer in GGUF, one for each in Hugging Face's files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from gguf.constants import MODEL_TENSOR as T
from gguf.constants import TENSOR_NAMES
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Numbers of heads, which some rules need."""

    num_heads: int
    num_kv_heads: int


@dataclass(frozen=True)
class Rule:
    """How a tensor is rearranged on its way into a GGUF file, and back; shapes stay, but for a transpose."""

    to_gguf: Callable[[Tensor, Heads], Tensor]
    from_gguf: Callable[[Tensor, Heads], Tensor]


def _swap(tensor: Tensor, *groups: int) -> Tensor:
    """Rows seen as (heads, a, b) become (heads, b, a); one of the three is -1, whatever is left."""
    return tensor.reshape(*groups, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)


def _to_parts(tensor: Tensor, num_heads: int) -> Tensor:
    """Rows seen as (head, part, dimension) become (part, head, dimension); parts are query, key, value."""
    return tensor.reshape(num_heads, 3, -1, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)


def _to_heads(tensor: Tensor, num_heads: int) -> Tensor:
    """The inverse of ``_to_parts``."""
    return tensor.reshape(3, num_heads, -1, *tensor.shape[1:]).transpose(0, 1).reshape(tensor.shape)


def _transpose(tensor: Tensor, _: Heads) -> Tensor:
    return tensor.T if tensor.ndim == 2 else tensor


_QUERY = Rule(
    lambda t, heads: _swap(t, heads.num_heads, 2, -1), lambda t, heads: _swap(t, heads.num_heads, -1, 2)
)
_KEY = Rule(
    lambda t, heads: _swap(t, heads.num_kv_heads, 2, -1), lambda t, heads: _swap(t, heads.num_kv_heads, -1, 2)
)
_FUSED = Rule(lambda t, heads: _to_parts(t, heads.num_heads), lambda t, heads: _to_heads(t, heads.num_heads))
_TRANSPOSED = Rule(_transpose, _transpose)
_UNIT_OFFSET = Rule(lambda t, _: t.float() + 1, lambda t, _: t - 1)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A tensor's place in a model; ``layer`` and ``expert`` are None where there are none.

    GGUF has the experts of a layer in one tensor, whose place has no ``expert``.
    """

    kind: T
    suffix: str
    layer: int | None = None
    expert: int | None = None

    @property
    def gguf_name(self) -> str:
        """llama.cpp's name; the same for all experts of a layer."""
        return f"{TENSOR_NAMES[self.kind].format(bid=self.layer)}.{self.suffix}"


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One family on both sides.

    Attributes:
        name: llama.cpp's name, the first part of its metadata keys.
        model_type: Hugging Face's name.
        hf_class: the class in ``architectures`` of a config.json.
        sizes: keys of a config.json to the metadata keys of the same whole numbers.
        eps: the same for the epsilon of the norms.
        activation: the key in a config.json, and the values that mean what llama.cpp computes; the first is
            written into a config.json.
        tensors: llama.cpp's kinds of tensors to Hugging Face's names without ``.weight`` and ``.bias``.
        rules: for the kinds that are rearranged.
    """

    name: str
    model_type: str
    hf_class: str
    sizes: Mapping[str, str]
    eps: tuple[str, str] = ("rms_norm_eps", ".attention.layer_norm_rms_epsilon")
    activation: tuple[str, tuple[str, ...]] = ("hidden_act", ("silu", "swish"))
    tensors: Mapping[T, str]
    rules: Mapping[T, Rule] = field(default_factory=dict)

    def place_of_hf(self, name: str) -> Place | None:
        """Where a tensor of a Hugging Face folder belongs, or None if this architecture has none such."""
        template, suffix, numbers = _parse(name)
        kind = self._kind_of_hf.get(template)
        if kind is None or suffix not in ("weight", "bias"):
            return None
        layer, expert = (*numbers, None, None)[:2]
        return Place(kind=kind, suffix=suffix, layer=layer, expert=expert)

    def place_of_gguf(self, name: str) -> Place | None:
        """Where a tensor of a GGUF file belongs, or None if this architecture has none such."""
        template, suffix, numbers = _parse(name)
        kind = self._kind_of_gguf.get(template)
        if kind is None or suffix not in ("weight", "bias"):
            return None
        return Place(kind=kind, suffix=suffix, layer=numbers[0] if numbers else None)

    def hf_name(self, place: Place) -> str:
        """Hugging Face's name of a tensor."""
        return f"{self.tensors[place.kind].format(bid=place.layer, xid=place.expert)}.{place.suffix}"

    def has_experts(self, kind: T) -> bool:
        """Whether GGUF stacks this tensor over the experts."""
        return "{xid}" in self.tensors[kind]

    @cached_property
    def _kind_of_hf(self) -> dict[str, T]:
        return {name.format(bid="#", xid="#"): kind for kind, name in self.tensors.items()}

    @cached_property
    def _kind_of_gguf(self) -> dict[str, T]:
        return {TENSOR_NAMES[kind].format(bid="#"): kind for kind in self.tensors}


# No leading zeros: two names must not be one tensor.
_NUMBER = re.compile(r"(?<=\.)(?:0|[1-9][0-9]{0,5})(?=\.|$)")


def _parse(name: str) -> tuple[str, str, list[int]]:
    """A name with # for its numbers, its last part, and the numbers."""
    stem, _, suffix = name.replace("#", "?").rpartition(".")
    return _NUMBER.sub("#", stem), suffix, [int(number) for number in _NUMBER.findall(stem)]


_SIZES = {
    "hidden_size": ".embedding_length",
    "intermediate_size": ".feed_forward_length",
    "num_hidden_layers": ".block_count",
    "num_attention_heads": ".attention.head_count",
    "num_key_value_heads": ".attention.head_count_kv",
    "max_position_embeddings": ".context_length",
}
_LAYER = "model.layers.{bid}"
_ATTENTION = {
    T.TOKEN_EMBD: "model.embed_tokens",
    T.OUTPUT_NORM: "model.norm",
    T.OUTPUT: "lm_head",
    T.ATTN_Q: f"{_LAYER}.self_attn.q_proj",
    T.ATTN_K: f"{_LAYER}.self_attn.k_proj",
    T.ATTN_V: f"{_LAYER}.self_attn.v_proj",
    T.ATTN_OUT: f"{_LAYER}.self_attn.o_proj",
}
_PRE_NORMS = {T.ATTN_NORM: f"{_LAYER}.input_layernorm", T.FFN_NORM: f"{_LAYER}.post_attention_layernorm"}
_QK_NORMS = {T.ATTN_Q_NORM: f"{_LAYER}.self_attn.q_norm", T.ATTN_K_NORM: f"{_LAYER}.self_attn.k_norm"}
_GATED = {
    T.FFN_GATE: f"{_LAYER}.mlp.gate_proj",
    T.FFN_UP: f"{_LAYER}.mlp.up_proj",
    T.FFN_DOWN: f"{_LAYER}.mlp.down_proj",
}
_ROTARY = {T.ATTN_Q: _QUERY, T.ATTN_K: _KEY}
# llama.cpp computes the approximation by tanh where the name of the activation is only GELU.
_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu")

LLAMA = Architecture(
    name="llama",
    model_type="llama",
    hf_class="LlamaForCausalLM",
    sizes=_SIZES,
    tensors=_ATTENTION | _PRE_NORMS | _GATED,
    rules=_ROTARY,
)
MISTRAL = Architecture(
    name="llama",
    model_type="mistral",
    hf_class="MistralForCausalLM",
    sizes=_SIZES,
    tensors=LLAMA.tensors,
    rules=_ROTARY,
)
MIXTRAL = Architecture(
    name="llama",
    model_type="mixtral",
    hf_class="MixtralForCausalLM",
    sizes=_SIZES | {"num_local_experts": ".expert_count", "num_experts_per_tok": ".expert_used_count"},
    tensors=_ATTENTION
    | _PRE_NORMS
    | {
        T.FFN_GATE_INP: f"{_LAYER}.block_sparse_moe.gate",
        T.FFN_GATE_EXP: f"{_LAYER}.block_sparse_moe.experts.{{xid}}.w1",
        T.FFN_DOWN_EXP: f"{_LAYER}.block_sparse_moe.experts.{{xid}}.w2",
        T.FFN_UP_EXP: f"{_LAYER}.block_sparse_moe.experts.{{xid}}.w3",
    },
    rules=_ROTARY,
)
QWEN2 = Architecture(
    name="qwen2",
    model_type="qwen2",
    hf_class="Qwen2ForCausalLM",
    sizes=_SIZES,
    tensors=_ATTENTION | _PRE_NORMS | _GATED,
)
QWEN3 = Architecture(
    name="qwen3",
    model_type="qwen3",
    hf_class="Qwen3ForCausalLM",
    sizes=_SIZES,
    tensors=_ATTENTION | _PRE_NORMS | _QK_NORMS | _GATED,
)
QWEN3_MOE = Architecture(
    name="qwen3moe",
    model_type="qwen3_moe",
    hf_class="Qwen3MoeForCausalLM",
    sizes=_SIZES
    | {
        "num_experts": ".expert_count",
        "num_experts_per_tok": ".expert_used_count",
        "moe_intermediate_size": ".expert_feed_forward_length",
    },
    tensors=_ATTENTION
    | _PRE_NORMS
    | _QK_NORMS
    | {
        T.FFN_GATE_INP: f"{_LAYER}.mlp.gate",
        T.FFN_GATE_EXP: f"{_LAYER}.mlp.experts.{{xid}}.gate_proj",
        T.FFN_DOWN_EXP: f"{_LAYER}.mlp.experts.{{xid}}.down_proj",
        T.FFN_UP_EXP: f"{_LAYER}.mlp.experts.{{xid}}.up_proj",
    },
)
GEMMA3 = Architecture(
    name="gemma3",
    model_type="gemma3_text",
    hf_class="Gemma3ForCausalLM",
    sizes=_SIZES,
    activation=("hidden_activation", ("gelu_pytorch_tanh", "gelu_new", "gelu_fast")),
    tensors=_ATTENTION
    | _QK_NORMS
    | _GATED
    | {
        T.ATTN_NORM: f"{_LAYER}.input_layernorm",
        T.ATTN_POST_NORM: f"{_LAYER}.post_attention_layernorm",
        T.FFN_PRE_NORM: f"{_LAYER}.pre_feedforward_layernorm",
        T.FFN_POST_NORM: f"{_LAYER}.post_feedforward_layernorm",
    },
    rules=dict.fromkeys(
        (
            T.OUTPUT_NORM,
            T.ATTN_NORM,
            T.ATTN_POST_NORM,
            T.FFN_PRE_NORM,
            T.FFN_POST_NORM,
            T.ATTN_Q_NORM,
            T.ATTN_K_NORM,
        ),
        _UNIT_OFFSET,
    ),
)
PHI3 = Architecture(
    name="phi3",
    model_type="phi3",
    hf_class="Phi3ForCausalLM",
    sizes=_SIZES,
    tensors={
        T.TOKEN_EMBD: "model.embed_tokens",
        T.OUTPUT_NORM: "model.norm",
        T.OUTPUT: "lm_head",
        T.ATTN_QKV: f"{_LAYER}.self_attn.qkv_proj",
        T.ATTN_OUT: f"{_LAYER}.self_attn.o_proj",
        # Gate and up in one, on both sides.
        T.FFN_UP: f"{_LAYER}.mlp.gate_up_proj",
        T.FFN_DOWN: f"{_LAYER}.mlp.down_proj",
    }
    | _PRE_NORMS,
)
OLMO2 = Architecture(
    name="olmo2",
    model_type="olmo2",
    hf_class="Olmo2ForCausalLM",
    sizes=_SIZES,
    tensors=_ATTENTION
    | _QK_NORMS
    | _GATED
    | {
        T.ATTN_POST_NORM: f"{_LAYER}.post_attention_layernorm",
        T.FFN_POST_NORM: f"{_LAYER}.post_feedforward_layernorm",
    },
)
GPT2 = Architecture(
    name="gpt2",
    model_type="gpt2",
    hf_class="GPT2LMHeadModel",
    sizes={
        "n_embd": ".embedding_length",
        "n_inner": ".feed_forward_length",
        "n_layer": ".block_count",
        "n_head": ".attention.head_count",
        "n_positions": ".context_length",
    },
    eps=("layer_norm_epsilon", ".attention.layer_norm_epsilon"),
    activation=("activation_function", _GELU),
    tensors={
        T.TOKEN_EMBD: "transformer.wte",
        T.POS_EMBD: "transformer.wpe",
        T.OUTPUT_NORM: "transformer.ln_f",
        T.OUTPUT: "lm_head",
        T.ATTN_NORM: "transformer.h.{bid}.ln_1",
        T.ATTN_QKV: "transformer.h.{bid}.attn.c_attn",
        T.ATTN_OUT: "transformer.h.{bid}.attn.c_proj",
        T.FFN_NORM: "transformer.h.{bid}.ln_2",
        T.FFN_UP: "transformer.h.{bid}.mlp.c_fc",
        T.FFN_DOWN: "transformer.h.{bid}.mlp.c_proj",
    },
    rules=dict.fromkeys((T.ATTN_QKV, T.ATTN_OUT, T.FFN_UP, T.FFN_DOWN), _TRANSPOSED),
)
GPT_NEOX = Architecture(
    name="gptneox",
    model_type="gpt_neox",
    hf_class="GPTNeoXForCausalLM",
    sizes={key: value for key, value in _SIZES.items() if key != "num_key_value_heads"},
    eps=("layer_norm_eps", ".attention.layer_norm_epsilon"),
    activation=("hidden_act", ("gelu", *_GELU)),
    tensors={
        T.TOKEN_EMBD: "gpt_neox.embed_in",
        T.OUTPUT_NORM: "gpt_neox.final_layer_norm",
        T.OUTPUT: "embed_out",
        T.ATTN_NORM: "gpt_neox.layers.{bid}.input_layernorm",
        T.ATTN_QKV: "gpt_neox.layers.{bid}.attention.query_key_value",
        T.ATTN_OUT: "gpt_neox.layers.{bid}.attention.dense",
        T.FFN_NORM: "gpt_neox.layers.{bid}.post_attention_layernorm",
        T.FFN_UP: "gpt_neox.layers.{bid}.mlp.dense_h_to_4h",
        T.FFN_DOWN: "gpt_neox.layers.{bid}.mlp.dense_4h_to_h",
    },
    rules={T.ATTN_QKV: _FUSED},
)

# By Hugging Face's model_type.
ARCHITECTURES: dict[str, Architecture] = {
    architecture.model_type: architecture
    for architecture in (
        LLAMA,
        MISTRAL,
        MIXTRAL,
        QWEN2,
        QWEN3,
        QWEN3_MOE,
        GEMMA3,
        PHI3,
        OLMO2,
        GPT2,
        GPT_NEOX,
    )
}
