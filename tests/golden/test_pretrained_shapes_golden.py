"""Encoders and encoder-decoders that yanmo pretrains, written by ``save_model`` and read by transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from objectives_made import tokenizer_for

from yanmo.models.families import bert, modernbert, t5
from yanmo.models.folder import save_model
from yanmo.models.heads import HeadKind
from yanmo.models.registry import load
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import Purpose

transformers = pytest.importorskip("transformers", reason="the reference is transformers")

SIZES = {"d_model": 48, "num_layers": 4, "num_heads": 4, "d_ff": 96}
MASKED, DENOISED = tokenizer_for(Purpose.MASKED), tokenizer_for(Purpose.DENOISING)


def drawn(config: TransformerConfig) -> Transformer:
    """A model whose every weight matters."""
    torch.manual_seed(1)
    model = Transformer(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model.eval()


def written(model: Transformer, tokenizer: Tokenizer, folder: Path, model_type: str) -> Transformer:
    """The model as it is read again."""
    weights = dict(model.named_parameters())
    save_model(
        folder, model, weights, tokenizer, dtype=torch.float32, details={}, card="", model_type=model_type
    )
    again = load(folder).model
    assert isinstance(again, Transformer)
    return again


def read(kind: str, folder: Path) -> Any:
    theirs, report = getattr(transformers, kind).from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"], report
    return theirs.eval()


def equal(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert float(theirs.std()) > 0.05, "the answers say nothing"
    torch.testing.assert_close(ours, theirs, atol=3e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("next_sentence", [True, False])
def test_bert(tmp_path: Path, next_sentence: bool) -> None:
    config = bert.encoder(vocab_size=MASKED.vocab_size, max_seq_len=40, next_sentence=next_sentence, **SIZES)
    ours = drawn(config)
    again = written(ours, MASKED, tmp_path / "m", "bert")
    theirs = read("BertForPreTraining" if next_sentence else "BertForMaskedLM", tmp_path / "m")
    pair = MASKED.encode_with_specials("We ran over the bridge.", "今天天气很好。")
    by_them = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")(
        "We ran over the bridge.", "今天天气很好。", return_tensors="pt"
    )
    assert by_them["input_ids"][0].tolist() == pair.ids
    assert by_them["token_type_ids"][0].tolist() == pair.type_ids
    answers = theirs(**by_them)
    tokens, types = torch.tensor([pair.ids]), torch.tensor([pair.type_ids])
    for model in (ours, again):
        logits = answers.prediction_logits if next_sentence else answers.logits
        equal(model(tokens, types_BT=types, head=HeadKind.MASKED_LM), logits)
        if next_sentence:
            related = model(tokens, types_BT=types, head=HeadKind.NEXT_SENTENCE)
            equal(related, answers.seq_relationship_logits)


@torch.inference_mode()
@pytest.mark.parametrize(("max_seq_len", "global_every"), [(64, 1), (300, 3)])
def test_modernbert(tmp_path: Path, max_seq_len: int, global_every: int) -> None:
    config = modernbert.encoder(
        vocab_size=MASKED.vocab_size, max_seq_len=max_seq_len, global_every=global_every, **SIZES
    )
    ours = drawn(config)
    again = written(ours, MASKED, tmp_path / "m", "modernbert")
    theirs = read("ModernBertForMaskedLM", tmp_path / "m")
    tokens = torch.randint(0, MASKED.vocab_size, (2, max_seq_len))
    for model in (ours, again):
        equal(model(tokens), theirs(tokens).logits)
    fill = transformers.pipeline("fill-mask", model=str(tmp_path / "m"), device="cpu")
    best = fill("We ran over the [MASK] today.", top_k=1)[0]
    ids = [MASKED.cls_id, *MASKED.encode("We ran over the "), MASKED.mask_id, *MASKED.encode(" today.")]
    logits = ours(torch.tensor([[*ids, MASKED.sep_id]]))[0, ids.index(MASKED.mask_id)]
    assert best["token"] == int(logits.argmax())
    assert not (tmp_path / "m" / "generation_config.json").exists()


@torch.inference_mode()
def test_t5(tmp_path: Path) -> None:
    config = t5.encoder_decoder(
        vocab_size=DENOISED.vocab_size, max_seq_len=64, head_dim=10, num_decoder_layers=2, **SIZES
    )
    ours = drawn(config)
    again = written(ours, DENOISED, tmp_path / "m", "t5")
    theirs = read("T5ForConditionalGeneration", tmp_path / "m")
    settings = json.loads((tmp_path / "m" / "generation_config.json").read_text())
    assert settings["decoder_start_token_id"] == theirs.config.decoder_start_token_id == DENOISED.pad_id
    framed = DENOISED.encode_with_specials("We ran over the bridge.").ids
    by_them = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")("We ran over the bridge.")
    assert by_them["input_ids"] == framed
    source = torch.tensor([framed])
    target = torch.randint(0, DENOISED.vocab_size, (1, 30))
    expected = theirs(input_ids=source, decoder_input_ids=target).logits
    for model in (ours, again):
        equal(model(target, memory=model.encode(source)), expected)
    generated = theirs.generate(source, max_new_tokens=12, do_sample=False, eos_token_id=-1)[0]
    session = ours.start(1, memory=ours.encode(source))
    tokens = [DENOISED.pad_id]
    for _ in range(12):
        tokens.append(int(session.extend(torch.tensor([tokens[-1:]])).argmax()))
    assert tokens == generated.tolist()


@pytest.mark.parametrize("sizes", [{"d_model": 50}, {"num_layers": 0}, {"d_model": 52, "num_heads": 4}])
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, int]) -> None:
    from yanmo.errors import InputError

    with pytest.raises(InputError):
        modernbert.encoder(vocab_size=420, max_seq_len=64, **{**SIZES, **sizes})
