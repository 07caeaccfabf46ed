"""Gemma 3 decoders (Gemma Team 2025, arXiv 2503.19786, section 2), and the text part of those that also see.

Five layers with a window follow each other before one without; the two kinds have rotary positions of their
own. Norms are kept around zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yanmo.models.families import decoders
from yanmo.models.families.decoders import LAYER, QK_NORMS, Names
from yanmo.models.families.fields import ACTIVATION_NAMES, Fields, write_rope
from yanmo.models.families.mapping import SHIFTED, Weight
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import TransformerConfig
from yanmo.nn.attention import QkNorm
from yanmo.nn.block import BlockConfig, Residual
from yanmo.nn.position import PositionConfig, RopeConfig

_CLASSES = {
    "ForCausalLM": (HeadKind.CAUSAL_LM,),
    "TextForSequenceClassification": (HeadKind.SEQUENCE_CLASSIFICATION,),
    "TextModel": (),
    "ForConditionalGeneration": (HeadKind.CAUSAL_LM,),
}
ARCHITECTURES = tuple(f"Gemma3{end}" for end in _CLASSES)
PREFIX = "model."
IGNORED = (r"rotary_emb\.inv_freq$", r"^lm_head\.weight$")

# Complete: the text part of a model that also sees leaves out what is as usual.
_DEFAULTS: dict[str, Any] = {
    "vocab_size": 262_208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131_072,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "sliding_window_pattern": 6,
    "rope_theta": 1e6,
    "rope_local_base_freq": 1e4,
}
_NAMES = Names(
    layer={
        **LAYER,
        **QK_NORMS,
        "attention_end_norm": "post_attention_layernorm",
        "feed_forward_norm": "pre_feedforward_layernorm",
        "feed_forward_end_norm": "post_feedforward_layernorm",
    },
    norms=SHIFTED,
)


def read_config(config: Mapping[str, Any], *, where: object = None) -> TransformerConfig:
    """Our config of a config.json.

    Raises:
        InputError: a key is missing, or asks for something that this stack does not do.
    """
    outer = Fields(config, where)
    if outer.inner("text_config") is not None:
        config = {"architectures": config.get("architectures"), **config["text_config"]}
    fields = Fields({**_DEFAULTS, **config}, where)
    fields.require("use_bidirectional_attention", False, None, default=False)
    # transformers reads this one but does not apply it, so what is meant is not known.
    fields.require("attn_logit_softcapping", None)
    biased = fields.flag("attention_bias", False)
    pattern = fields.size("sliding_window_pattern")
    local_layers = decoders.read_local_layers(fields, lambda layer: (layer + 1) % pattern != 0)
    windowed = any(local_layers)
    block = BlockConfig(
        attention=decoders.read_attention(
            fields,
            qkv_bias=biased,
            out_bias=biased,
            qk_norm=QkNorm.HEAD,
            scale=fields.size("query_pre_attn_scalar") ** -0.5,
            window=fields.size("sliding_window") if windowed else None,
        ),
        feed_forward=decoders.read_feed_forward(
            fields, key="hidden_activation", activation="gelu_pytorch_tanh"
        ),
        norm=decoders.read_norm(fields),
        residual=Residual.SANDWICH,
    )
    return decoders.read_decoder(
        fields,
        block,
        "Gemma3",
        classes=_CLASSES,
        position=_position(fields, windowed=windowed),
        local_layers=local_layers,
        softcap=fields.number("final_logit_softcapping", None),
        scale=fields.size("hidden_size") ** 0.5,
    )


def _position(fields: Fields, *, windowed: bool) -> PositionConfig:
    """Two tables since transformers 5; before, keys of the whole file, whose scaling is not the windows'."""
    max_seq_len = fields.size("max_position_embeddings")
    local_theta = fields.number("rope_local_base_freq")
    tables = fields.inner("rope_parameters")
    if tables is None:
        rope, local = fields.rope(max_seq_len), RopeConfig(theta=local_theta)
    else:
        rope = fields.rope(max_seq_len, tables.inner("full_attention") or Fields({}))
        local = fields.rope(max_seq_len, tables.inner("sliding_attention") or Fields({}), theta=local_theta)
    return PositionConfig(rope=rope, local_rope=local if windowed else None)


def write_config(config: TransformerConfig, *, model_type: str = "gemma3_text") -> dict[str, Any]:
    """The config.json of ours; of the text part alone, whichever the model type."""
    stack = config.last_stack
    attention, feed_forward = stack.block.attention, stack.block.feed_forward
    assert attention.scale is not None
    rope, local = stack.position.rope, stack.position.local_rope or stack.position.rope
    softcap = next((head.softcap for head in config.heads), None)
    return decoders.write_decoder(config, "Gemma3", model_type="gemma3_text", classes=_CLASSES) | {
        "hidden_activation": ACTIVATION_NAMES[feed_forward.activation],
        "query_pre_attn_scalar": round(attention.scale**-2),
        "attention_bias": attention.qkv_bias,
        "sliding_window": attention.window,
        "layer_types": decoders.write_local_layers(stack),
        "rope_local_base_freq": local.theta,
        "rope_parameters": {"full_attention": write_rope(rope), "sliding_attention": write_rope(local)},
        "final_logit_softcapping": softcap,
        "attn_logit_softcapping": None,
        "use_bidirectional_attention": False,
    }


def weights(config: TransformerConfig) -> Iterator[Weight]:
    """Our weight names and theirs."""
    return decoders.weights(config, _NAMES)
