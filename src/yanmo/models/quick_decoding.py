"""A token for each row through a whole quantised decoder in one call of C.

For decoders of Llama's shape (RMSNorm before each branch, rotary positions, grouped heads, SwiGLU, no biases)
whose matrices all have codes; ``quick_decoder`` gives None for others, which torch's operators then decode.
Vectors are coded in 8 bits a group before each product, which torch's operators do not do: the answers of
both differ by about a hundredth of a logit's spread.

Shapes: B rows, R rows of a matrix in tiles of 16 lanes, C columns, G groups of 32 columns, V vocabulary,
D d_model.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from yanmo.models.stack import Stack
from yanmo.models.transformer import Transformer
from yanmo.nn.attention import Attention, QkNorm
from yanmo.nn.block import Block, Residual
from yanmo.nn.feed_forward import Activation, GatedFeedForward
from yanmo.nn.kernels import library
from yanmo.nn.kv_cache import Places
from yanmo.nn.norm import NormKind, RMSNorm
from yanmo.nn.packing import Segments
from yanmo.nn.position import PositionKind
from yanmo.nn.quantization import GROUP_SIZE, QuantizedMatrix

MOST_ROWS = 8
_LANES = 16

Codes = Mapping[str, QuantizedMatrix]


class _Matrix(ctypes.Structure):
    _fields_ = [
        ("codes", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("bits", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
    ]


_NORMS = ("attention_norm", "query_norm", "key_norm", "feed_forward_norm")
_MATRICES = ("qkv", "out", "gate_up", "down")


class _Layer(ctypes.Structure):
    _fields_ = [*((name, ctypes.c_void_p) for name in _NORMS), *((name, _Matrix) for name in _MATRICES)]


class _Decoder(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("width", "heads", "groups", "size", "layers")),
        ("eps", ctypes.c_double),
        ("scale", ctypes.c_double),
        ("layer", ctypes.POINTER(_Layer)),
        ("norm", ctypes.c_void_p),
        ("head", _Matrix),
    ]


def quick_decoder(model: Transformer, codes: Codes) -> QuickDecoder | None:
    """The quick way to decode, or None where it does not suit.

    Args:
        model: in float32.
        codes: of its matrices, by our names.
    """
    if not _suits(model) or not library.has_decoding():
        return None
    stack = model.last_stack
    names = [f"decoder.blocks.{layer}.{part}.weight" for layer in stack.order for part in _PLACES.values()]
    tied = model.language_head.output is None
    names.append("embedding.weight" if tied else f"heads.{model.config.heads[0].kind.value}.output.weight")
    if any(name not in codes for name in names):
        return None
    # Whoever changed the weights after they were read would be answered from the old ones.
    if any(not torch.equal(model.get_parameter(name), codes[name].dequantized()) for name in names):
        return None
    return QuickDecoder(model, [codes[name] for name in names])


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
    is_float32 = all(weight.dtype == torch.float32 for weight in model.parameters())
    return has_plain_attention and has_plain_blocks and has_plain_ends and turns_whole_heads and is_float32


class QuickDecoder:
    """A decoder whose matrices lie as the kernel reads them."""

    def __init__(self, model: Transformer, codes: Sequence[QuantizedMatrix]) -> None:
        """Lay the matrices out.

        Args:
            model: whose norms are taken, and whose embedding.
            codes: four a layer, in the order of ``_PLACES``, and that of the logits.
        """
        self._kept: list[Tensor] = []
        stack, attention = model.last_stack, model.last_stack.config.block.attention
        self._stack: Stack = stack
        layers = (_Layer * len(stack.blocks))()
        for number, block in enumerate(stack.blocks):
            assert isinstance(block, Block)
            self._fill(layers[number], block, codes[4 * number : 4 * number + 4])
        scale = 1 / math.sqrt(attention.head_dim) if attention.scale is None else attention.scale
        sizes = (model.config.d_model, attention.num_heads, attention.num_kv_heads, attention.head_dim)
        final_norm, head = self._norm(stack.norm), self._matrix(codes[-1])
        eps = stack.config.block.norm.eps
        self._decoder = _Decoder(*sizes, len(layers), eps, scale, layers, final_norm, head)
        self._vocab_size = model.vocab_size
        self._qkv_width = attention.query_width + 2 * attention.key_width
        self._mixed_width = attention.query_width
        self._d_ff = stack.config.block.feed_forward.d_ff
        self._num_heads = attention.num_heads

    def _fill(self, layer: _Layer, block: Block, codes: Sequence[QuantizedMatrix]) -> None:
        attention = block.attention
        assert isinstance(attention, Attention) and isinstance(block.feed_forward, GatedFeedForward)
        layer.attention_norm = self._norm(block.attention_norm)
        layer.feed_forward_norm = self._norm(block.feed_forward_norm)
        if attention.config.qk_norm is QkNorm.HEAD:
            layer.query_norm = self._norm(attention.query_norm)
            layer.key_norm = self._norm(attention.key_norm)
        for name, matrix in zip(_PLACES, codes, strict=True):
            setattr(layer, name, self._matrix(matrix))

    def _norm(self, norm: object) -> int:
        assert isinstance(norm, RMSNorm)
        return self._hold(norm.weight.detach().contiguous())

    def _matrix(self, matrix: QuantizedMatrix) -> _Matrix:
        codes, scales = tiled(matrix)
        return _Matrix(self._hold(codes), self._hold(scales), matrix.bits, *matrix.shape)

    def _hold(self, tensor: Tensor) -> int:
        self._kept.append(tensor)
        return tensor.data_ptr()

    def step(self, vectors_BD: Tensor, places: Places) -> tuple[Tensor, Tensor]:
        """Take in one token a row.

        Args:
            vectors_BD: of the tokens, float32, at most ``MOST_ROWS``; not changed.
            places: where their keys and values, in float32, are written behind those before.

        Returns:
            What the head multiplies (B, D), and the logits (B, V).
        """
        batch, width = vectors_BD.shape
        assert batch <= MOST_ROWS
        longest = max(places.positions) + 1
        rotary = self._stack.rotary
        assert rotary is not None
        one_each = Segments([1] * batch, before=places.positions)
        cosines, sines = (table.contiguous() for table in rotary.packed(one_each, torch.float32))
        hidden_BD = vectors_BD.clone(memory_format=torch.contiguous_format)
        logits_BV = torch.empty(batch, self._vocab_size)
        numbers = width + self._qkv_width + self._mixed_width + 2 * self._d_ff + self._num_heads * longest
        longest_vector = batch * max(width, self._mixed_width, self._d_ff)
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


def tiled(matrix: QuantizedMatrix) -> tuple[Tensor, Tensor]:
    """Codes and scales as the kernel reads them: see ``decoding.c``."""
    rows, columns = matrix.shape
    missing = -rows % _LANES
    values_RC = torch.nn.functional.pad(matrix.values_RGN().flatten(1), (0, 0, 0, missing))
    scales_RG = torch.nn.functional.pad(matrix.scales_RG, (0, 0, 0, missing))
    # Four neighbouring columns of each lane's row, then the next four.
    tiles = values_RC.view(-1, _LANES, columns // 4, 4).transpose(1, 2)
    scales = scales_RG.view(-1, _LANES, columns // GROUP_SIZE).transpose(1, 2).contiguous()
    if matrix.bits == 8:
        return (tiles.to(torch.int16) + 128).to(torch.uint8).contiguous(), scales
    low, high = (tiles + 8).to(torch.uint8).unflatten(1, (-1, 2)).unbind(2)
    return (low | high << 4).contiguous(), scales
