"""What Llama and the decoders that followed it share: keys of config.json, heads, and names of weights.

A family gives its defaults (those of transformers' config class, as a table that the file's own values
replace) and where it departs from the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from yanmo.models.families.fields import ACTIVATION_NAMES, Fields, write_rope
from yanmo.models.families.heads import Classes, causal_lm, class_of, classifier, head_weights, label_table
from yanmo.models.families.mapping import SAME, Layout, Pairs, Weight, linear
from yanmo.models.heads import HeadConfig, HeadKind, Select
from yanmo.models.stack import StackConfig
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.attention import AttentionConfig
from yanmo.nn.block import BlockConfig
from yanmo.nn.embedding import InputConfig
from yanmo.nn.feed_forward import ExpertsConfig, FeedForwardConfig
from yanmo.nn.norm import NormConfig
from yanmo.nn.position import PositionConfig
from yanmo.nn.rope_scaling import RopeScalingKind

# What stands behind a family's name in the names of its classes, and the heads that each has.
DECODER_CLASSES: Classes = {
    "ForCausalLM": (HeadKind.CAUSAL_LM,),
    "ForSequenceClassification": (HeadKind.SEQUENCE_CLASSIFICATION,),
    "ForTokenClassification": (HeadKind.TOKEN_CLASSIFICATION,),
    "Model": (),
}
_WINDOWED, _FULL = "sliding_attention", "full_attention"
# Far above every mixture there is, and far below what would take minutes to refuse.
_MOST_EXPERTS = 4096
_LONGEST = 2**31


def read_heads(
    fields: Fields, name: str, classes: Classes, *, tied: bool, softcap: float | None = None
) -> tuple[HeadConfig, ...]:
    """The heads of the class that the file names; of the first one where it names none.

    Args:
        fields: of config.json.
        name: of the family, as its classes begin.
        classes: ends of their names.
        tied: whether a language head shares the embedding.
        softcap: of a language head.

    Raises:
        InputError: the class is another family's.
    """
    named = (fields.names("architectures") or [f"{name}{next(iter(classes))}"])[0]
    if not named.startswith(name) or named.removeprefix(name) not in classes:
        raise fields.refuse("architectures", named, f"not a class of {name}")
    heads = {
        HeadKind.CAUSAL_LM: lambda: causal_lm(fields.size("vocab_size"), tied=tied, softcap=softcap),
        HeadKind.SEQUENCE_CLASSIFICATION: lambda: classifier(
            HeadKind.SEQUENCE_CLASSIFICATION, fields.labels(), select=Select.LAST, bias=False
        ),
        HeadKind.TOKEN_CLASSIFICATION: lambda: classifier(HeadKind.TOKEN_CLASSIFICATION, fields.labels()),
    }
    return tuple(heads[kind]() for kind in classes[named.removeprefix(name)])


def read_attention(fields: Fields, **settings: Any) -> AttentionConfig:
    """Numbers of heads and their size; ``settings`` are further ones of ``AttentionConfig``."""
    num_heads = fields.size("num_attention_heads")
    return AttentionConfig(
        num_heads=num_heads,
        num_kv_heads=fields.size("num_key_value_heads", num_heads),
        head_dim=fields.size("head_dim", None) or fields.divide("hidden_size", "num_attention_heads"),
        **settings,
    )


def read_feed_forward(
    fields: Fields, *, key: str = "hidden_act", activation: str = "silu", **settings: Any
) -> FeedForwardConfig:
    """Width and activation.

    Args:
        fields: of config.json.
        key: which names the activation.
        activation: where the file names none.
        settings: further ones of ``FeedForwardConfig``.
    """
    return FeedForwardConfig(
        d_ff=fields.size("intermediate_size"), activation=fields.activation(key, activation), **settings
    )


def read_norm(fields: Fields) -> NormConfig:
    """RMSNorm with the file's epsilon."""
    return NormConfig(eps=fields.number("rms_norm_eps"))


def read_experts(fields: Fields, **settings: Any) -> ExpertsConfig:
    """Numbers of experts; ``settings`` are further ones of ``ExpertsConfig``."""
    # transformers 5 writes num_local_experts where its predecessors wrote num_experts.
    key = "num_local_experts" if "num_local_experts" in fields else "num_experts"
    return ExpertsConfig(
        num_experts=fields.size(key, least=2, most=_MOST_EXPERTS),
        num_active=fields.size("num_experts_per_tok", most=_MOST_EXPERTS),
        **settings,
    )


def read_local_layers(fields: Fields, usual: Callable[[int], bool]) -> tuple[bool, ...]:
    """Which layers have a window, one entry a layer.

    Args:
        fields: of config.json.
        usual: whether a layer has one, where the file does not list them.

    Raises:
        InputError: the list is not as long as there are layers, or names another kind.
    """
    num_layers = fields.layers("num_hidden_layers")
    kinds = fields.names("layer_types")
    if kinds is None:
        return tuple(usual(layer) for layer in range(num_layers))
    if len(kinds) != num_layers:
        raise fields.refuse("layer_types", kinds, f"not one entry for each of {num_layers} layers")
    for kind in kinds:
        if kind not in (_WINDOWED, _FULL):
            raise fields.refuse("layer_types", kind, f"not supported (only {_WINDOWED}, {_FULL})")
    return tuple(kind == _WINDOWED for kind in kinds)


def write_local_layers(stack: StackConfig) -> list[str]:
    """The ``layer_types`` of a config.json."""
    return [_WINDOWED if stack.is_local(layer) else _FULL for layer in range(stack.num_layers)]


def read_window(fields: Fields) -> tuple[int | None, tuple[bool, ...]]:
    """The window of Qwen's layers, and which of them have it: those from ``max_window_layers`` on.

    Raises:
        InputError: layers have a window whose size is not given.
    """
    window = fields.size("sliding_window", None) if fields.flag("use_sliding_window", False) else None
    first = fields.size("max_window_layers", least=0)
    layers = read_local_layers(fields, lambda layer: window is not None and layer >= first)
    if not any(layers):
        return None, ()
    if window is None:
        raise fields.refuse("sliding_window", None, f"no size for the layers of {_WINDOWED}")
    return window, layers


def write_window(stack: StackConfig) -> dict[str, Any]:
    """The keys that ``read_window`` reads."""
    window = stack.block.attention.window
    if window is None:
        return {"use_sliding_window": False, "max_window_layers": stack.num_layers}
    kinds = write_local_layers(stack)
    return {
        "use_sliding_window": True,
        "sliding_window": window,
        "max_window_layers": kinds.index(_WINDOWED),
        "layer_types": kinds,
    }


def read_decoder(
    fields: Fields,
    block: BlockConfig,
    name: str,
    *,
    classes: Classes = DECODER_CLASSES,
    position: PositionConfig | None = None,
    local_layers: tuple[bool, ...] = (),
    softcap: float | None = None,
    scale: float = 1.0,
) -> TransformerConfig:
    """The whole model.

    Args:
        fields: of config.json.
        block: what its layers are made of.
        name: of the family, as its classes begin.
        classes: ends of their names.
        position: where it is not what ``Fields.rope`` reads.
        local_layers: which layers have the attention's window; empty for all.
        softcap: of a language head.
        scale: factor on the tokens' vectors.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    trained = fields.size("max_position_embeddings")
    position = position or PositionConfig(rope=fields.rope(trained))
    scaling = position.rope.scaling
    tied = fields.flag("tie_word_embeddings", False)
    # Dynamic scaling begins where the others end: the file has the context of the training.
    dynamic = scaling.kind is RopeScalingKind.DYNAMIC
    stack = StackConfig(
        num_layers=fields.layers("num_hidden_layers"),
        block=block,
        position=position,
        input=InputConfig(scale=scale),
        local_layers=local_layers if block.attention.window is not None else (),
    )
    return TransformerConfig(
        vocab_size=fields.size("vocab_size"),
        d_model=fields.size("hidden_size"),
        max_seq_len=int(min(trained * scaling.factor, _LONGEST)) if dynamic else trained,
        decoder=stack,
        heads=read_heads(fields, name, classes, tied=tied, softcap=softcap),
    )


def write_decoder(
    config: TransformerConfig, name: str, *, model_type: str, classes: Classes = DECODER_CLASSES
) -> dict[str, Any]:
    """The keys of a config.json that all of these families have."""
    stack = config.last_stack
    attention, rope = stack.block.attention, stack.position.rope
    dynamic = rope.scaling.kind is RopeScalingKind.DYNAMIC
    return {
        "architectures": [class_of(config, name, classes)],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": stack.num_layers,
        "num_attention_heads": attention.num_heads,
        "num_key_value_heads": attention.num_kv_heads,
        "head_dim": attention.head_dim,
        "intermediate_size": stack.block.feed_forward.d_ff,
        "hidden_act": ACTIVATION_NAMES[stack.block.feed_forward.activation],
        "max_position_embeddings": rope.scaling.original_max_seq_len if dynamic else config.max_seq_len,
        "rope_theta": rope.theta,
        "rope_parameters": write_rope(rope),
        "rms_norm_eps": stack.block.norm.eps,
        "tie_word_embeddings": any(head.tied for head in config.heads),
        "attention_dropout": 0.0,
        "use_cache": True,
        # What a class of transformers takes otherwise may lie beyond the vocabulary.
        "pad_token_id": None,
        **label_table(config),
    }


HeadNames = Mapping[HeadKind, Mapping[str, str]]

HEADS: HeadNames = {
    HeadKind.CAUSAL_LM: {"output": "lm_head"},
    HeadKind.SEQUENCE_CLASSIFICATION: {"output": "score"},
    HeadKind.TOKEN_CLASSIFICATION: {"output": "score"},
}


@dataclass(frozen=True, kw_only=True)
class Experts:
    """Names of a mixture's products within a layer, ``{}`` for the number of an expert."""

    router: str
    gate: str
    up: str
    down: str


@dataclass(frozen=True, kw_only=True)
class Names:
    """What a family calls its weights.

    Attributes:
        layer: our modules to theirs within a layer.
        embedding: of tokens.
        norm: the last one.
        layers: what stands before the number of a layer.
        heads: modules of a head's output.
        norms: layout of the norms' weights.
        experts: those of a mixture, which stand in place of the feed-forward's.
    """

    layer: Pairs
    embedding: str = "model.embed_tokens"
    norm: str = "model.norm"
    layers: str = "model.layers"
    heads: HeadNames = field(default_factory=lambda: HEADS)
    norms: Layout = SAME
    experts: Experts | None = None


LAYER: Pairs = {
    "attention_norm": "input_layernorm",
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.out": "self_attn.o_proj",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "feed_forward.down": "mlp.down_proj",
}
QK_NORMS: Pairs = {"attention.query_norm": "self_attn.q_norm", "attention.key_norm": "self_attn.k_norm"}


def weights(config: TransformerConfig, names: Names) -> Iterator[Weight]:
    """Our weight names and theirs."""
    stack = config.last_stack
    block = stack.block
    yield Weight("embedding.weight", (f"{names.embedding}.weight",))
    yield from linear({"decoder.norm": names.norm}, bias=block.norm.bias, layout=names.norms)
    yield from head_weights(config, names.heads)
    for index in range(stack.num_layers):
        prefix = (f"decoder.blocks.{index}.", f"{names.layers}.{index}.")
        experts = block.feed_forward.experts
        sparse = experts is not None and experts.has(index)
        for ours, theirs in names.layer.items():
            if not (sparse and ours.startswith("feed_forward.")):
                layout = names.norms if ours.endswith("norm") else SAME
                yield from linear({ours: theirs}, bias=_has_bias(block, ours), prefix=prefix, layout=layout)
        if sparse and experts is not None and names.experts is not None:
            yield from _expert_weights(experts.num_experts, names.experts, prefix)


def _has_bias(block: BlockConfig, module: str) -> bool:
    if module.endswith("norm"):
        return block.norm.bias
    if module.startswith("feed_forward."):
        return block.feed_forward.bias
    return block.attention.qkv_bias if module == "attention.qkv" else block.attention.out_bias


def _expert_weights(num_experts: int, names: Experts, prefix: tuple[str, str]) -> Iterator[Weight]:
    ours, theirs = prefix
    yield Weight(f"{ours}feed_forward.router.weight", (f"{theirs}{names.router}.weight",))
    gate_up = [
        f"{theirs}{name.format(expert)}.weight"
        for expert in range(num_experts)
        for name in (names.gate, names.up)
    ]
    yield Weight(f"{ours}feed_forward.gate_up_XGD", tuple(gate_up))
    down = [f"{theirs}{names.down.format(expert)}.weight" for expert in range(num_experts)]
    yield Weight(f"{ours}feed_forward.down_XDF", tuple(down))
