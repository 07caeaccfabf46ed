"""What an ONNX file is traced from says what the packed encoder says; what cannot be written is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.models.families import qwen3
from yanmo.models.heads import HeadConfig, HeadKind, Select, TransformConfig
from yanmo.models.onnx_export import PaddedEncoder, export_onnx
from yanmo.models.stack import StackConfig
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.nn.attention import AttentionConfig
from yanmo.nn.block import BlockConfig
from yanmo.nn.embedding import InputConfig
from yanmo.nn.feed_forward import Activation, FeedForwardConfig
from yanmo.nn.packing import pack
from yanmo.nn.position import PositionConfig, PositionKind

POOLER = TransformConfig(width=16, activation=Activation.TANH)
HEADS = (
    HeadConfig(kind=HeadKind.MASKED_LM, num_outputs=30, tied=True, bias=True),
    HeadConfig(kind=HeadKind.REPLACED_TOKEN, num_outputs=1),
    HeadConfig(kind=HeadKind.SPAN, num_outputs=2),
    HeadConfig(kind=HeadKind.POOLED, num_outputs=0, select=Select.FIRST, transform=POOLER),
    HeadConfig(kind=HeadKind.SEQUENCE_CLASSIFICATION, num_outputs=3, select=Select.MEAN),
    HeadConfig(kind=HeadKind.NEXT_SENTENCE, num_outputs=2, select=Select.LAST),
)
OUTPUTS = {
    HeadKind.MASKED_LM: ["logits"],
    HeadKind.REPLACED_TOKEN: ["logits"],
    HeadKind.SPAN: ["start_logits", "end_logits"],
    HeadKind.POOLED: ["last_hidden_state", "pooler_output"],
    HeadKind.SEQUENCE_CLASSIFICATION: ["logits"],
    HeadKind.NEXT_SENTENCE: ["logits"],
}
MASK = (torch.arange(9) < torch.tensor([9, 2, 5])[:, None]).long()


def encoder(position: PositionKind, *, heads: tuple[HeadConfig, ...] = HEADS) -> Transformer:
    """Two layers, of which the second sees a window of three tokens to either side."""
    attention = AttentionConfig(num_heads=2, num_kv_heads=2, head_dim=8, window=4)
    stack = StackConfig(
        num_layers=2,
        block=BlockConfig(attention=attention, feed_forward=FeedForwardConfig(d_ff=24)),
        position=PositionConfig(kind=position, num_buckets=8, max_distance=8),
        input=InputConfig(num_token_types=2),
        causal=False,
        local_layers=(False, True),
    )
    config = TransformerConfig(vocab_size=30, d_model=16, max_seq_len=20, encoder=stack, heads=heads)
    generator = torch.Generator().manual_seed(0)
    model = Transformer(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.3)
    return model


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 30, MASK.shape, generator=generator)
    types = torch.randint(0, 2, MASK.shape, generator=generator)
    return {"input_ids": ids, "attention_mask": MASK, "token_type_ids": types}


@pytest.mark.parametrize("position", [PositionKind.ROTARY, PositionKind.LEARNED, PositionKind.RELATIVE_BIAS])
@pytest.mark.parametrize("head", OUTPUTS)
@torch.no_grad()
def test_padded_rows_say_what_packed_texts_say(position: PositionKind, head: HeadKind) -> None:
    model = encoder(position)
    padded = PaddedEncoder(model, head)
    given = batch()
    answers = dict(zip(padded.outputs, padded(**given), strict=True))
    assert list(answers) == OUTPUTS[head]

    tokens, segments = pack(given["input_ids"], MASK)
    types = given["token_type_ids"][MASK.bool()].unsqueeze(0)
    logits = model(tokens, segments=segments, types_BT=types, head=head)
    match head:
        case HeadKind.SPAN:
            expected = {"start_logits": logits[0, :, 0], "end_logits": logits[0, :, 1]}
        case HeadKind.REPLACED_TOKEN:
            expected = {"logits": logits[0, :, 0]}
        case HeadKind.MASKED_LM:
            expected = {"logits": logits[0]}
        case HeadKind.POOLED:
            hidden = model.hidden(tokens, segments=segments, types_BT=types)[0]
            expected = {"last_hidden_state": hidden, "pooler_output": logits}
        case _:
            expected = {"logits": logits}
    for name, wanted in expected.items():
        of_tokens = len(wanted) == int(MASK.sum())
        torch.testing.assert_close(answers[name][MASK.bool()] if of_tokens else answers[name], wanted)


@torch.no_grad()
def test_what_stands_in_the_padding_changes_nothing() -> None:
    padded = PaddedEncoder(encoder(PositionKind.ROTARY), HeadKind.MASKED_LM)
    given = batch()
    other = given | {"input_ids": torch.where(MASK.bool(), given["input_ids"], 29 - given["input_ids"])}
    assert not torch.equal(given["input_ids"], other["input_ids"])
    assert torch.equal(padded(**given)[0][MASK.bool()], padded(**other)[0][MASK.bool()])


def test_what_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, sys)
    path = tmp_path / "model.onnx"
    sizes = {"vocab_size": 30, "d_model": 16, "num_layers": 1, "num_heads": 2, "num_kv_heads": 2}
    decoder = Transformer(qwen3.decoder(**sizes, head_dim=8, d_ff=24, max_seq_len=20))
    with pytest.raises(InputError, match="only encoders can be written as ONNX, not a decoder"):
        export_onnx(decoder, path)
    model = encoder(PositionKind.ROTARY, heads=HEADS[:1])
    with pytest.raises(InputError, match=r"the model has no span .*masked_lm"):
        export_onnx(model, path, head=HeadKind.SPAN)
    with pytest.raises(InputError, match="only float32"):
        export_onnx(model.bfloat16(), path)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    for name in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, sys)
    with pytest.raises(InputError, match=r"onnxscript.*pip install yanmo\[onnx\]"):
        export_onnx(encoder(PositionKind.ROTARY), tmp_path / "model.onnx")
