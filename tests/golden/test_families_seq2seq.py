"""Encoder-decoders against transformers, on tiny random weights, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from family_checks import check_encoder, check_seq2seq, differ, read, reload, shake, texts
from safetensors.torch import load_file, save_file

from yanmo.errors import InputError
from yanmo.models.convert import convert
from yanmo.models.families import FAMILIES

transformers = pytest.importorskip("transformers")

T5: dict[str, Any] = {
    "vocab_size": 99,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
}
V1_1 = T5 | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
BART: dict[str, Any] = {
    "vocab_size": 99,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 40,
    "decoder_start_token_id": 2,
}
SCALED = {"scale_embedding": True}
MARIAN = BART | SCALED | {"activation_function": "swish", "pad_token_id": 98, "decoder_start_token_id": 98}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "t5": ("T5", T5),
    "t5-v1.1": ("T5", V1_1),
    "t5-relu-untied": ("T5", T5 | {"tie_word_embeddings": False, "num_decoder_layers": None}),
    "t5-gated-silu": ("T5", V1_1 | {"feed_forward_proj": "gated-silu", "d_kv": 6}),
    "mt5": ("MT5", V1_1),
    "bart": ("Bart", BART),
    "bart-scaled-relu": ("Bart", BART | SCALED | {"activation_function": "relu"}),
    "mbart": ("MBart", BART | SCALED),
    "mbart-unscaled": ("MBart", BART),
    "marian": ("Marian", MARIAN),
    "marian-gelu": ("Marian", MARIAN | {"activation_function": "gelu", "scale_embedding": False}),
}


def build(case: str) -> Any:
    name, sizes = CASES[case]
    config = getattr(transformers, f"{name}Config")(**sizes)
    torch.manual_seed(0)
    model = transformers.AutoModelForSeq2SeqLM.from_config(config)
    if hasattr(model, "final_logits_bias"):
        # A buffer of zeros in a fresh model.
        torch.nn.init.normal_(model.final_logits_bias, generator=torch.Generator().manual_seed(2))
    return model


@pytest.mark.parametrize("case", CASES)
def test_seq2seq_family(case: str, tmp_path: Path) -> None:
    check_seq2seq(build(case), tmp_path)


@pytest.mark.parametrize("name", ["T5", "MT5"])
def test_encoder_of_an_encoder_decoder(name: str, tmp_path: Path) -> None:
    model_class = getattr(transformers, f"{name}EncoderModel")
    torch.manual_seed(0)
    theirs = model_class(model_class.config_class(**V1_1))
    check_encoder(theirs, tmp_path, answers={None: "last_hidden_state"})


@pytest.mark.parametrize("name", ["Bart", "MBart", "Marian"])
@torch.no_grad()
def test_a_file_of_the_bare_model_has_its_tied_output(name: str, tmp_path: Path) -> None:
    """Some checkpoints name the bare model, without the prefix and without the output's bias."""
    torch.manual_seed(0)
    sizes = MARIAN | {"scale_embedding": False} if name == "Marian" else BART
    theirs = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**sizes))
    shake(theirs).save_pretrained(tmp_path / "theirs")
    ours = read(tmp_path / "theirs")
    source, target = (torch.tensor([row]) for row in texts(99)[2:4])
    hidden = theirs(input_ids=source, decoder_input_ids=target).last_hidden_state
    expected = hidden @ theirs.shared.weight.T
    assert expected.std() > 0.05
    differ(ours(target, memory=ours.encode(source)), expected)


@pytest.mark.parametrize("name", ["T5", "MT5"])
@pytest.mark.parametrize("sizes", [T5, V1_1])
@torch.no_grad()
def test_a_bare_t5_goes_through_without_a_head(name: str, sizes: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**sizes))
    shake(theirs, strength=0.1).save_pretrained(tmp_path / "theirs")
    ours = read(tmp_path / "theirs")
    source, target = (torch.tensor([row]) for row in texts(99)[2:4])
    expected = theirs(input_ids=source, decoder_input_ids=target).last_hidden_state
    differ(ours.hidden(target, memory=ours.encode(source)), expected)
    convert(tmp_path / "theirs", tmp_path / "ours", to="hf")
    again = reload(theirs, tmp_path / "ours")
    differ(again(input_ids=source, decoder_input_ids=target).last_hidden_state, expected)
    assert again.config.architectures == [f"{name}Model"]
    for key in ("tie_word_embeddings", "scale_decoder_outputs"):
        assert getattr(again.config, key, None) == getattr(theirs.config, key, None), key


@pytest.mark.parametrize("kept", ["lm_head.weight", "model.encoder.embed_tokens.weight"])
@torch.no_grad()
def test_a_shared_table_is_found_under_any_of_its_names(kept: str, tmp_path: Path) -> None:
    """Which of them a file keeps depends on who wrote it; old files also keep positions that are computed."""
    theirs = shake(build("marian"))
    theirs.save_pretrained(tmp_path / "theirs")
    file = tmp_path / "theirs" / "model.safetensors"
    tensors = load_file(file)
    tensors[kept] = tensors.pop("model.shared.weight")
    tensors["model.encoder.embed_positions.weight"] = torch.zeros(40, 32)
    save_file(tensors, file)
    ours = read(tmp_path / "theirs")
    source, target = (torch.tensor([row]) for row in texts(99)[2:4])
    expected = theirs(input_ids=source, decoder_input_ids=target).logits
    differ(ours(target, memory=ours.encode(source)), expected)


@pytest.mark.parametrize(
    ("case", "key", "value"),
    [
        ("marian", "share_encoder_decoder_embeddings", False),
        ("marian", "decoder_vocab_size", 70),
        ("marian", "d_model", 33),
        ("bart", "tie_word_embeddings", False),
        ("bart", "normalize_before", True),
        ("mbart", "static_position_embeddings", True),
        ("bart", "encoder_attention_heads", 5),
        ("bart", "decoder_layers", 10**6),
        ("t5", "feed_forward_proj", "gated-"),
        ("t5", "relative_attention_max_distance", 4),
        ("t5", "d_kv", None),
    ],
)
def test_what_the_stack_does_not_do_is_refused_by_name(case: str, key: str, value: object) -> None:
    name, sizes = CASES[case]
    config = getattr(transformers, f"{name}Config")(**sizes).to_dict() | {key: value}
    family = FAMILIES[config["model_type"]]
    with pytest.raises(InputError, match=key):
        family.read_config(config, where="config.json")
