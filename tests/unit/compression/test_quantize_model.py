"""Quantised folders: what is in them, that they load and answer, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from answers_made import TEXTS, decoder, encoder_decoder
from safetensors.torch import load_file, save_file

from yanmo.cli.main import run
from yanmo.compression.quantization import quantize_model
from yanmo.errors import InputError
from yanmo.models.registry import LoadedModel, load
from yanmo.models.transformer import Transformer
from yanmo.nn.coded_weight import CodedWeight
from yanmo.nn.held_weight import hold_as_numbers
from yanmo.nn.kernels import library

TEXT = "\n".join(TEXTS)


@pytest.mark.parametrize(("to", "most"), [("int8", 0.01), ("int4", 0.2)])
def test_a_decoder_keeps_its_quality(to: str, most: float, tmp_path: Path) -> None:
    source = decoder(tmp_path).path
    made = quantize_model(source, tmp_path / "small", to=to, text=TEXT)
    assert made.quality_before is not None and made.quality_after is not None
    change = made.quality_after.perplexity / made.quality_before.perplexity - 1
    assert change != 0 and abs(change) < most
    assert made.num_bytes < 0.45 * made.num_bytes_before
    tensors = load_file(tmp_path / "small" / "model.safetensors")
    dtype = torch.int8 if to == "int8" else torch.uint8
    assert tensors["model.layers.0.mlp.down_proj.weight"].dtype == dtype
    assert tensors["model.layers.0.input_layernorm.weight"].dtype == torch.float32
    assert tensors["model.embed_tokens.weight"].dtype == torch.int8


@pytest.mark.skipif(not library.has_codes(), reason="no kernels here")
@pytest.mark.parametrize("make", [decoder, encoder_decoder])
def test_what_is_held_is_what_the_file_has(make: Callable[[Path], LoadedModel], tmp_path: Path) -> None:
    quantize_model(make(tmp_path).path, tmp_path / "small", to="int4")
    model = load(tmp_path / "small").model
    assert isinstance(model, Transformer)
    held = sum(weight.nbytes for weight in model.parameters())
    stored = sum(tensor.nbytes for tensor in load_file(tmp_path / "small" / "model.safetensors").values())
    assert held < 1.05 * stored
    assert isinstance(model.output_weight_VD, CodedWeight)
    # Whoever has to change them asks for numbers.
    numbers = load(tmp_path / "small", read_only=False).model
    assert isinstance(numbers, Transformer)
    hold_as_numbers(model)
    pairs = zip(model.named_parameters(), numbers.named_parameters(), strict=True)
    assert all(a == b and torch.equal(one, two) for (a, one), (b, two) in pairs)


def test_an_encoder_decoder_loads_too(tmp_path: Path) -> None:
    source = encoder_decoder(tmp_path).path
    quantize_model(source, tmp_path / "small", to="int8")
    one, other = load(source).model, load(tmp_path / "small").model
    assert isinstance(one, Transformer) and isinstance(other, Transformer)
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    for before, after in pairs:
        assert torch.allclose(before, after, atol=0.006)


def test_the_command_says_both_perplexities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, text = decoder(tmp_path).path, tmp_path / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    arguments = ["quantize", str(source), "--to", "int4", "--out", str(tmp_path / "small")]
    assert run([*arguments, "--text", str(text), "--gguf", "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["quality_after"]["perplexity"] != said["quality_before"]["perplexity"]
    assert said["quality_after"]["tokens_per_s"] > 0
    assert Path(said["gguf"]).stat().st_size > 0 and said["num_bytes"] < said["num_bytes_before"]
    # The same again has nothing to do; another width in the same place is refused.
    assert run(arguments) == 0
    assert run(["quantize", str(source), "--to", "int8", "--out", str(tmp_path / "small")]) == 2


@pytest.mark.parametrize("to", ["int8", "int4"])
def test_a_dry_run_knows_the_sizes_and_writes_nothing(
    to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = decoder(tmp_path).path, tmp_path / "small"
    arguments = ["quantize", str(source), "--to", to, "--out", str(out), "--json"]
    assert run([*arguments, "--dry-run"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert not out.exists()
    assert run(arguments) == 0
    assert {**said, "gguf": None} == json.loads(capsys.readouterr().out)
    assert said["num_bytes"] == sum(tensor.nbytes for tensor in load_file(out / "model.safetensors").values())
    assert run([*arguments[:3], "int4" if to == "int8" else "int8", *arguments[4:], "--dry-run"]) == 2


def test_a_quantised_model_is_not_quantised_again(tmp_path: Path) -> None:
    quantize_model(decoder(tmp_path).path, tmp_path / "small", to="int4")
    with pytest.raises(InputError, match="already"):
        quantize_model(tmp_path / "small", tmp_path / "smaller", to="int4")


def test_scales_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    quantize_model(decoder(tmp_path).path, tmp_path / "small", to="int8")
    path = tmp_path / "small" / "model.safetensors"
    tensors = load_file(path)
    name = "model.layers.0.mlp.down_proj.weight.scale"
    save_file(tensors | {name: tensors[name][:, :1].contiguous()}, path)
    with pytest.raises(InputError, match="does not fit its scales"):
        load(tmp_path / "small")
