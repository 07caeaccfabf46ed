"""Adapters against ``peft``, on tiny random models, both ways: the same answers from the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from family_checks import differ, read, shake, texts
from torch import Tensor

from yanmo.errors import InputError
from yanmo.finetuning.lora import LoraConfig, add_lora, lora_layers, merge, merged_weights
from yanmo.finetuning.peft_files import read_adapters, write_adapters
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import Transformer
from yanmo.nn.context import Memory
from yanmo.nn.packing import pack_lists

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft", reason="peft reads and writes the files that ours are compared with")

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
HF_SIZES = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 32, "vocab_size": 40}
T5_SIZES = {"d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 2, "num_heads": 4, "vocab_size": 40}
ROWS = texts(40)


def bert() -> Any:
    return transformers.BertForSequenceClassification(transformers.BertConfig(**SIZES, num_labels=3))


def bare_bert() -> Any:
    return transformers.BertModel(transformers.BertConfig(**SIZES))


def roberta() -> Any:
    config = transformers.RobertaConfig(**SIZES | {"max_position_embeddings": 34}, num_labels=3)
    return transformers.RobertaForSequenceClassification(config)


def modernbert() -> Any:
    config = transformers.ModernBertConfig(**SIZES, num_labels=3, pad_token_id=0)
    return transformers.ModernBertForTokenClassification(config)


def llama() -> Any:
    config = transformers.LlamaConfig(**SIZES, num_key_value_heads=2, tie_word_embeddings=False)
    return transformers.LlamaForCausalLM(config)


def qwen2() -> Any:
    config = transformers.Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True)
    return transformers.Qwen2ForCausalLM(config)


def gpt2() -> Any:
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**HF_SIZES))


def gpt_neox() -> Any:
    return transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**SIZES, rotary_pct=0.5))


def t5() -> Any:
    return transformers.T5ForConditionalGeneration(transformers.T5Config(**T5_SIZES))


MODELS = {
    bert: ["query", "key", "value", "dense"],
    bare_bert: ["query", "value"],
    roberta: ["query", "key", "value", "attention.output.dense"],
    modernbert: ["Wqkv", "Wo", "Wi"],
    llama: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    qwen2: ["q_proj", "v_proj", "down_proj"],
    gpt2: ["c_attn", "c_proj", "c_fc"],
    gpt_neox: ["query_key_value", "dense", "dense_h_to_4h"],
    t5: ["q", "k", "v", "o", "wi", "wo"],
}
TASKS = {
    bert: "SEQ_CLS",
    roberta: "SEQ_CLS",
    modernbert: "TOKEN_CLS",
    bare_bert: "FEATURE_EXTRACTION",
    t5: "SEQ_2_SEQ_LM",
}


@torch.no_grad()
def theirs_say(model: Any, row: list[int]) -> Tensor:
    tokens = torch.tensor([row])
    more = {"decoder_input_ids": tokens[:, :4]} if model.config.is_encoder_decoder else {}
    said = model(input_ids=tokens, **more)
    return said.logits[0] if "logits" in said else said.last_hidden_state[0]


@torch.no_grad()
def ours_say(model: Transformer) -> list[Tensor]:
    """Of all texts at once, without padding."""
    packed, segments = pack_lists(ROWS)
    if model.config.shape == "encoder-decoder":
        memory = model.encode(packed, segments=segments)
        starts, of_starts = pack_lists([row[:4] for row in ROWS])
        said = model(starts, segments=of_starts, memory=Memory(memory.hidden_BSD, segments=segments))
        return list(said[0].split(of_starts.lengths))
    if all(head.kind is HeadKind.POOLED for head in model.config.heads):
        return list(model.hidden(packed, segments=segments)[0].split(segments.lengths))
    said = model(packed, segments=segments)
    return list(said) if said.dim() == 2 else list(said[0].split(segments.lengths))


def assert_same(ours: Transformer, theirs: Any) -> list[Tensor]:
    expected = [theirs_say(theirs, row) for row in ROWS]
    for one, other in zip(ours_say(ours), expected, strict=True):
        differ(one, other)
    return expected


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("make", MODELS)
def test_adapters_of_peft_are_read(make: Any, dora: bool, tmp_path: Path) -> None:
    base = shake(make())
    base.save_pretrained(tmp_path / "base")
    plain = [theirs_say(base, row) for row in ROWS]
    config = peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=[*MODELS[make]],
        use_dora=dora,
        use_rslora=make is llama,
        fan_in_fan_out=make is gpt2,
        modules_to_save=["bert.pooler.dense"] if make is bert else None,
        exclude_modules=r".*(pooler|classifier|score|head).*" if make in (bert, modernbert) else None,
        task_type=TASKS.get(make, "CAUSAL_LM"),
    )
    theirs = shake(peft.get_peft_model(base, config), seed=1)
    theirs.save_pretrained(tmp_path / "adapters")
    ours = read(tmp_path / "base")
    found = read_adapters(tmp_path / "adapters", ours, model_type=theirs.config.model_type)
    assert (found.rank, found.alpha, found.dora) == (4, 6.0, dora)
    adapted = assert_same(ours.eval(), theirs)
    assert max(float((one - other).abs().max()) for one, other in zip(adapted, plain, strict=True)) > 0.01
    assert_same(merge(ours), theirs)
    assert not list(lora_layers(ours))


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("make", MODELS)
def test_peft_reads_ours(make: Any, dora: bool, tmp_path: Path) -> None:
    base = shake(make())
    base.save_pretrained(tmp_path / "base")
    model_type = base.config.model_type
    ours = read(tmp_path / "base")
    add_lora(ours, model_type, LoraConfig(rank=3, alpha=5, dora=dora))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in ours.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    (tmp_path / "adapters").mkdir()
    weights = dict(ours.named_parameters())
    write_adapters(tmp_path / "adapters", ours, weights, model_type=model_type, base_model="base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapters").eval()
    assert_same(ours.eval(), theirs)
    merged, before = merged_weights(ours, weights), ours_say(ours)
    assert_same(merge(ours), theirs)
    assert merged.keys() == dict(ours.named_parameters()).keys()
    again = read(tmp_path / "base")
    read_adapters(tmp_path / "adapters", again, model_type=model_type)
    for one, other in zip(ours_say(again.eval()), before, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_adapters_of_another_kind_are_refused(tmp_path: Path) -> None:
    base = shake(llama())
    base.save_pretrained(tmp_path / "base")
    config = peft.IA3Config(target_modules=["k_proj"], feedforward_modules=[], task_type="CAUSAL_LM")
    peft.get_peft_model(base, config).save_pretrained(tmp_path / "adapters")
    with pytest.raises(InputError, match="peft_type"):
        read_adapters(tmp_path / "adapters", read(tmp_path / "base"), model_type="llama")
