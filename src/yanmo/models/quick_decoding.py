"""A token for each row through a whole quantised decoder in one call of C.

For decoders of Llama's shape (RMSNorm before each branch, rotary positions, grouped heads, SwiGLU, no biases)
whose matrices all are codes or bfloat16; ``quick_decoder`` gives None for others, which torch's operators
then decode.

Shapes: B rows, R rows of a matrix in tiles of 16 lanes, C columns, G groups of 32 columns, V vocabulary,
D d_model.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import logging
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from yanmo.models.families import llama
from yanmo.models.stack import Stack
from yanmo.models.transformer import Transformer
from yanmo.nn.attention import Attention, QkNorm
from yanmo.nn.block import Block, Residual
from yanmo.nn.coded_weight import hold_as_codes
from yanmo.nn.feed_forward import Activation, GatedFeedForward
from yanmo.nn.held_weight import Bfloat16Weight, HeldWeight, Matrix, put
from yanmo.nn.kernels import library
from yanmo.nn.kv_cache import Places
from yanmo.nn.norm import NormKind, RMSNorm
from yanmo.nn.packing import Segments
from yanmo.nn.position import PositionKind
from yanmo.nn.quantization import GROUP_SIZE, quantize

_NORMS = ("attention_norm", "query_norm", "key_norm", "feed_forward_norm")
_MATRICES = ("qkv", "out", "gate_up", "down")


class _Layer(ctypes.Structure):
    _fields_ = [*((name, ctypes.c_void_p) for name in _NORMS), *((name, Matrix) for name in _MATRICES)]


class _Decoder(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("width", "heads", "groups", "size", "layers")),
        ("eps", ctypes.c_double),
        ("scale", ctypes.c_double),
        ("layer", ctypes.POINTER(_Layer)),
        ("norm", ctypes.c_void_p),
        ("head", Matrix),
    ]


def quick_decoder(model: Transformer) -> QuickDecoder | None:
    """The quick way to decode, or None where it does not suit.

    Args:
        model: whose weights are not going to be changed.
    """
    if not _suits(model) or not library.has_codes():
        return None
    if not all(isinstance(weight, HeldWeight) for weight in _weights(model)):
        return None
    return QuickDecoder(model) if _is_right() else None


@functools.cache
def _is_right() -> bool:
    """Whether the kernel says of a tiny decoder what torch's operators say; if not, a line tells so."""
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    widths = {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 48, "max_position_embeddings": 8}
    with torch.random.fork_rng(devices=[]):
        model = Transformer(llama.read_config({"architectures": ["LlamaForCausalLM"], **sizes, **widths}))
    for bits, (name, weight) in zip(itertools.cycle((4, 8)), list(model.named_parameters())):
        numbers = torch.arange(1, weight.numel() + 1, dtype=torch.float64)
        wave = torch.sin(numbers * numbers).view(weight.shape).float()
        if weight.dim() == 2:
            hold_as_codes(model, name, quantize(wave / 4, bits))
        else:
            weight.data.copy_(1 + wave / 4)
    tokens_BT = torch.tensor([[3, 41, 5], [17, 2, 40]])
    said = []
    for quick in (QuickDecoder(model), None):
        model.quick, session = quick, model.start(2)
        said.append(torch.stack([session.extend(token_B1) for token_B1 in tokens_BT.split(1, dim=1)]))
    # Sums of another order round a few codes the other way.
    is_right = bool((said[0] - said[1]).abs().median() < 1e-4 * said[1].std())
    if not is_right:
        logging.getLogger(__name__).warning(
            "the kernel that decodes computes wrong numbers: torch's operators are used"
        )
    return is_right


def hold_in_bfloat16(model: Transformer) -> None:
    """Of a model in bfloat16 that the quick way suits, keep the matrices so, and compute the rest in float32.

    Nothing is copied but vectors. The matrices must not be changed afterwards.
    """
    if not _suits(model) or not library.has_codes():
        return
    weights = (*_weights(model), model.embedding.weight)
    if any(weight.dtype != torch.bfloat16 or weight.shape[1] % GROUP_SIZE for weight in weights):
        return
    matrices = {weight.data_ptr() for weight in weights}
    for name, weight in list(model.named_parameters()):
        is_matrix = weight.data_ptr() in matrices
        put(model, name, Bfloat16Weight(weight.data) if is_matrix else weight.data.float())


_PLACES = {
    "qkv": "attention.qkv",
    "out": "attention.out",
    "gate_up": "feed_forward.gate_up",
    "down": "feed_forward.down",
}


def _suits(model: Transformer) -> bool:
    config = model.config
    stack = config.decoder
    if stack is None or config.encoder is not None or not config.heads or config.heads[0].transform:
        return False
    block, position, head = stack.block, stack.position, config.heads[0]
    attention, feed_forward = block.attention, block.feed_forward
    has_plain_attention = (
        not (attention.qkv_bias or attention.out_bias or attention.softcap or attention.window)
        and attention.qk_norm is not QkNorm.FULL
        and attention.head_dim % 2 == 0
    )
    has_plain_blocks = (
        block.residual is Residual.PRE
        and block.norm.kind is NormKind.RMS
        and feed_forward.gated
        and feed_forward.activation is Activation.SILU
        and not (feed_forward.bias or feed_forward.experts or block.cross_attention)
    )
    has_plain_ends = (
        stack.final_norm
        and stack.first_norm
        and stack.num_groups in (None, stack.num_layers)
        and stack.input.scale == 1.0
        and stack.input.norm is None
        and not (stack.input.width or stack.input.num_token_types or stack.input.always_project)
        and not (head.bias or head.softcap)
        and head.scale == 1.0
    )
    turns_whole_heads = (
        position.kind is PositionKind.ROTARY
        and position.rope.partial == 1.0
        and position.local_rope is None
        and not position.rope.scaling.can_outdate
    )
    return has_plain_attention and has_plain_blocks and has_plain_ends and turns_whole_heads


def _weights(model: Transformer) -> list[Tensor]:
    """Four matrices a layer, in the order of ``_PLACES``, and that of the logits."""
    blocks = [model.last_stack.blocks[group] for group in model.last_stack.order]
    places = [f"{part}.weight" for part in _PLACES.values()]
    return [*(block.get_parameter(place) for block in blocks for place in places), model.output_weight_VD]


class QuickDecoder:
    """A decoder whose matrices lie as the kernel reads them."""

    def __init__(self, model: Transformer) -> None:
        """Note where the matrices lie.

        Args:
            model: which suits.
        """
        self._kept: list[Tensor] = []
        stack, attention = model.last_stack, model.last_stack.config.block.attention
        self._stack: Stack = stack
        weights = _weights(model)
        layers = (_Layer * len(stack.blocks))()
        for number, block in enumerate(stack.blocks):
            assert isinstance(block, Block)
            self._fill(layers[number], block, weights[4 * number : 4 * number + 4])
        scale = 1 / math.sqrt(attention.head_dim) if attention.scale is None else attention.scale
        sizes = (model.config.d_model, attention.num_heads, attention.num_kv_heads, attention.head_dim)
        final_norm, head = self._norm(stack.norm), self._matrix(weights[-1])
        eps = stack.config.block.norm.eps
        self._decoder = _Decoder(*sizes, len(layers), eps, scale, layers, final_norm, head)
        self._vocab_size = model.vocab_size
        self._qkv_width = attention.query_width + 2 * attention.key_width
        self._mixed_width = attention.query_width
        self._d_ff = stack.config.block.feed_forward.d_ff
        self._num_heads = attention.num_heads

    def _fill(self, layer: _Layer, block: Block, weights: Sequence[Tensor]) -> None:
        attention = block.attention
        assert isinstance(attention, Attention) and isinstance(block.feed_forward, GatedFeedForward)
        layer.attention_norm = self._norm(block.attention_norm)
        layer.feed_forward_norm = self._norm(block.feed_forward_norm)
        if attention.config.qk_norm is QkNorm.HEAD:
            layer.query_norm = self._norm(attention.query_norm)
            layer.key_norm = self._norm(attention.key_norm)
        for name, matrix in zip(_PLACES, weights, strict=True):
            setattr(layer, name, self._matrix(matrix))

    def _norm(self, norm: object) -> int:
        assert isinstance(norm, RMSNorm)
        return self._hold(norm.weight.detach().contiguous())

    def _matrix(self, weight: Tensor) -> Matrix:
        assert isinstance(weight, HeldWeight)
        self._hold(weight)
        return weight.matrix

    def _hold(self, tensor: Tensor) -> int:
        self._kept.append(tensor)
        return tensor.data_ptr()

    def step(
        self, vectors_BD: Tensor, places: Places, logits_BV: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Take in one token a row.

        Args:
            vectors_BD: of the tokens, float32; not changed.
            places: where their keys and values, in float32, are written behind those before.
            logits_BV: where the logits are written, contiguous; None makes room for them.

        Returns:
            What the head multiplies (B, D), and the logits (B, V).
        """
        batch, width = vectors_BD.shape
        longest = max(places.positions) + 1
        rotary = self._stack.rotary
        assert rotary is not None
        one_each = Segments([1] * batch, before=places.positions)
        cosines, sines = (table.contiguous() for table in rotary.packed(one_each, torch.float32))
        hidden_BD = vectors_BD.clone(memory_format=torch.contiguous_format)
        if logits_BV is None:
            logits_BV = torch.empty(batch, self._vocab_size)
        assert logits_BV.is_contiguous() and logits_BV.shape == (batch, self._vocab_size)
        numbers = width + self._qkv_width + self._mixed_width + 3 * self._d_ff + self._num_heads * longest
        # As if all matrices were fine.
        longest_vector = 2 * batch * max(width, self._mixed_width, self._d_ff)
        room, codes = torch.empty(batch * numbers), torch.empty(longest_vector, dtype=torch.int8)
        scales = torch.empty(longest_vector // GROUP_SIZE)
        sums = torch.empty(longest_vector // GROUP_SIZE, dtype=torch.int32)
        addresses = (ctypes.c_void_p * len(places.addresses))(*places.addresses)
        positions = (ctypes.c_int64 * batch)(*places.positions)
        capacities = (ctypes.c_int64 * batch)(*places.capacities)
        library.decode_step(
            ctypes.addressof(self._decoder),
            *(x.data_ptr() for x in (hidden_BD, logits_BV, cosines, sines)),
            *(ctypes.addressof(x) for x in (addresses, positions, capacities)),
            *(batch, longest),
            *(x.data_ptr() for x in (room, codes, scales, sums)),
        )
        return hidden_BD, logits_BV
