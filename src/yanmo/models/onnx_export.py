"""Encoders as ONNX files: padded batches with a mask in, hidden states or a head's logits out.

The file holds everything it needs, takes any number of texts of any length up to the model's, and names its
inputs and outputs as Hugging Face's exporters do. It is run by onnxruntime before it is put in its place,
and compared with what the model itself says of packed texts.

Shapes: B texts, T tokens, S tokens attended to, D = d_model, C outputs.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from yanmo import artifact
from yanmo.config import format_size
from yanmo.errors import InputError
from yanmo.models.heads import Head, HeadKind, Select
from yanmo.models.registry import LoadedModel
from yanmo.models.transformer import Transformer
from yanmo.nn.context import Context, hidden
from yanmo.nn.held_weight import hold_as_numbers
from yanmo.nn.packing import pack

_OPSET = 18
# A file is one protocol buffer, which holds 2 GB at most.
_MAX_BYTES = 2**31 - 2**24
# What a hidden token's score is: finite, because a row of padding may see nothing at all, and the softmax of
# nothing but infinities would be no number.
_HIDDEN_SCORE = -1e9
# Tokens of the texts that the graph is traced with, and of those that it is checked with: other numbers, and
# one longer than the windows in use.
_TRACED_LENGTHS = (5, 3)
_CHECKED_LENGTHS = (7, 150, 3, 1)


def _whole(logits: Tensor) -> tuple[Tensor, ...]:
    return (logits,)


def _first_column(logits_BTC: Tensor) -> tuple[Tensor, ...]:
    return (logits_BTC[..., 0],)


def _two_columns(logits_BTC: Tensor) -> tuple[Tensor, ...]:
    return logits_BTC[..., 0], logits_BTC[..., 1]


# Names of the outputs that a head's logits become, and how they are cut into them.
_Outputs = tuple[tuple[str, ...], Callable[[Tensor], tuple[Tensor, ...]]]
_LOGITS: _Outputs = (("logits",), _whole)
_OUTPUTS: dict[HeadKind, _Outputs] = {
    HeadKind.POOLED: (("pooler_output",), _whole),
    HeadKind.SPAN: (("start_logits", "end_logits"), _two_columns),
    HeadKind.REPLACED_TOKEN: (("logits",), _first_column),
}


def export_onnx(model: LoadedModel | Transformer, path: Path, *, head: HeadKind | None = None) -> float:
    """Write an encoder as one .onnx file, whole or not at all.

    Args:
        model: an encoder with float32 weights; it is left in evaluation mode.
        path: file to write, replaced where it exists.
        head: what the file answers; None is the model's first head, or the hidden states where it has none.
            ``POOLED`` is the hidden states for any model, with the pooler's answer where it has a pooler.

    Returns:
        The largest absolute difference, over the tokens of a padded batch, between what onnxruntime makes of
        the file and what the model says.

    Raises:
        InputError: onnx is not installed, the model is no encoder, or it has no such head.
        YanmoError: the disk is full.
    """
    _require_extra()
    transformer = model.model if isinstance(model, LoadedModel) else model
    padded = PaddedEncoder(_require_encoder(transformer), head).eval()
    with artifact.new_file(path) as temporary:
        _write(padded, temporary)
        return _difference(padded, temporary)


@dataclass
class _MaskedContext(Context):
    """A context of rows padded to one length, whose biases hold for any length that a graph is run at."""

    padding_B11S: Tensor = field(default_factory=lambda: torch.zeros(0))
    _by_window: dict[int | None, Tensor] = field(default_factory=dict)

    def bias(self, num_new: int, num_all: int, window: int | None, dtype: torch.dtype) -> Tensor:
        """What is added to the scores, (B, 1, 1, S), (B, 1, T, S) or (B, H, T, S)."""
        if window not in self._by_window:
            hidden_BXTS = self.padding_B11S
            if window is not None:
                hidden_BXTS = hidden_BXTS | hidden(num_new, num_all, causal=False, window=window)
            bias = torch.zeros_like(hidden_BXTS, dtype=dtype).masked_fill(hidden_BXTS, _HIDDEN_SCORE)
            if self.position_bias is not None:
                bias = bias + self.position_bias(num_new, num_all).to(dtype)
            self._by_window[window] = bias
        return self._by_window[window]


class PaddedEncoder(nn.Module):
    """An encoder over rows padded at the right, of the same modules as over packed ones; what is exported.

    Attributes:
        inputs: names of what ``forward`` takes.
        outputs: names of what it gives.
    """

    def __init__(self, model: Transformer, head: HeadKind | None) -> None:
        """As ``export_onnx``."""
        super().__init__()
        self.model = model
        if head is None and model.config.heads:
            head = model.config.heads[0].kind
        self._answers_hidden = head in (None, HeadKind.POOLED)
        names, self._split = _OUTPUTS.get(head, _LOGITS) if head else _LOGITS
        has_head = head in [config.kind for config in model.config.heads]
        self.head = model.head(head) if has_head or not self._answers_hidden else None
        self.outputs = [*(["last_hidden_state"] * self._answers_hidden), *(names if self.head else ())]
        self.inputs = ["input_ids", "attention_mask"]
        assert model.encoder is not None
        if model.encoder.config.input.num_token_types > 1:
            self.inputs.append("token_type_ids")

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """All outputs, of inputs (B, T); the mask is 0 on padding and 1 elsewhere."""
        encoder = self.model.encoder
        assert encoder is not None
        padding_BT = attention_mask == 0
        context = _MaskedContext(
            causal=False, position_bias=encoder.position_bias, padding_B11S=padding_BT[:, None, None]
        )
        x_BTD = encoder.input(self.model.embedding(input_ids), types_BT=token_type_ids)
        hidden_BTD = encoder.through(x_BTD, context)

        def answer(head: Head) -> Tensor:
            selected = _select(hidden_BTD, attention_mask, head.config.select)
            return head.project(head.features(selected), self.model.embedding.weight)

        return self.answers(hidden_BTD, answer)

    def answers(self, hidden_BTD: Tensor, answer: Callable[[Head], Tensor]) -> tuple[Tensor, ...]:
        """All outputs, of the hidden states and what a head answers to them."""
        states = (hidden_BTD,) if self._answers_hidden else ()
        return states if self.head is None else (*states, *self._split(answer(self.head)))


def _select(hidden_BTD: Tensor, mask_BT: Tensor, which: Select) -> Tensor:
    """As ``heads.select``, of rows padded at the right."""
    match which:
        case Select.ALL:
            return hidden_BTD
        case Select.FIRST:
            return hidden_BTD[:, 0]
        case Select.MEAN:
            weight_BT1 = mask_BT[:, :, None].to(hidden_BTD.dtype)
            return (hidden_BTD * weight_BT1).sum(1) / weight_BT1.sum(1)
        case Select.LAST:
            last_B11 = (mask_BT.sum(1) - 1)[:, None, None].expand(-1, 1, hidden_BTD.shape[-1])
            return hidden_BTD.gather(1, last_B11)[:, 0]


def _require_extra() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        what = f"writing ONNX files needs {error.name}, which is not installed"
        raise InputError(what, remedy="pip install yanmo[onnx]") from None


def _require_encoder(model: object) -> Transformer:
    if not isinstance(model, Transformer) or model.config.shape != "encoder":
        shape = model.config.shape if isinstance(model, Transformer) else type(model).__name__
        raise InputError(f"only encoders can be written as ONNX, not a {shape}", remedy="--to gguf, --to hf")
    if any(weight.dtype != torch.float32 for weight in model.parameters()):
        raise InputError("only float32 weights can be written as ONNX", remedy="load the model in float32")
    num_bytes = sum(weight.nbytes for weight in model.parameters())
    if num_bytes > _MAX_BYTES:
        raise InputError(f"the model has {format_size(num_bytes)}, an ONNX file holds 2 GB at most")
    hold_as_numbers(model)
    return model


def _batch(padded: PaddedEncoder, lengths: tuple[int, ...]) -> dict[str, Tensor]:
    """Texts of these lengths, padded at the right; always the same ones."""
    config = padded.model.config
    lengths = tuple(min(length, config.max_seq_len) for length in lengths)
    generator = torch.Generator().manual_seed(0)
    shape = (len(lengths), max(lengths))
    mask_BT = (torch.arange(shape[1]) < torch.tensor(lengths)[:, None]).long()
    batch = {
        "input_ids": torch.randint(0, config.vocab_size, shape, generator=generator) * mask_BT,
        "attention_mask": mask_BT,
    }
    if "token_type_ids" in padded.inputs:
        batch["token_type_ids"] = torch.randint(0, 2, shape, generator=generator) * mask_BT
    return batch


def _write(padded: PaddedEncoder, path: Path) -> None:
    encoder, max_seq_len = padded.model.encoder, padded.model.max_seq_len
    assert encoder is not None
    encoder.tabulate(max_seq_len)
    texts, tokens = torch.export.Dim("batch", min=1), torch.export.Dim("sequence", min=1, max=max_seq_len)
    shapes = {name: {0: texts, 1: tokens} for name in padded.inputs}
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            padded,
            kwargs=_batch(padded, _TRACED_LENGTHS),
            input_names=padded.inputs,
            output_names=padded.outputs,
            dynamic_shapes=shapes,
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        # The exporter notes the place in this machine's source that each node comes from.
        for node in program.model.graph:
            node.metadata_props.clear()
        program.save(path, external_data=False)


@torch.inference_mode()
def _difference(padded: PaddedEncoder, path: Path) -> float:
    """Largest difference over the tokens that are no padding."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    batch = _batch(padded, _CHECKED_LENGTHS)
    answers = session.run(padded.outputs, {name: tensor.numpy() for name, tensor in batch.items()})
    kept_BT = batch["attention_mask"].bool()
    differences = []
    for answer, expected in zip(answers, _expected(padded, batch, kept_BT), strict=True):
        given = torch.from_numpy(answer)
        # What is said of each token is one row in a packed batch.
        given = given[kept_BT].unsqueeze(0) if expected.shape[0] == 1 else given
        assert given.shape == expected.shape, (given.shape, expected.shape)
        differences.append((given - expected).abs().max())
    return float(torch.stack(differences).max())


def _expected(padded: PaddedEncoder, batch: dict[str, Tensor], kept_BT: Tensor) -> list[Tensor]:
    """What the model itself says of the same texts without padding, an entry an output."""
    model = padded.model
    tokens_1N, segments = pack(batch["input_ids"], kept_BT)
    types_BT = batch.get("token_type_ids")
    types_1N = None if types_BT is None else types_BT[kept_BT].unsqueeze(0)
    hidden_1ND = model.encode(tokens_1N, segments=segments, types_BT=types_1N).hidden_BSD
    return list(padded.answers(hidden_1ND, lambda head: head(hidden_1ND, model.embedding.weight, segments)))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on packages that are not there and on its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
