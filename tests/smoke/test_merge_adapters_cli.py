"""Adapters of others become a model that every verb takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from answers_made import decoder
from sentence_made import make_encoder

from yanmo.cli.main import run
from yanmo.finetuning.lora import LoraConfig, add_lora
from yanmo.finetuning.peft_files import write_adapters
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.folder import load_transformer
from yanmo.models.heads import HeadKind
from yanmo.models.new_head import open_with_head
from yanmo.models.transformer import Transformer


def adapters(folder: Path, network: Transformer, checkpoint: Checkpoint, base: str) -> str:
    """As a stranger's training leaves them."""
    add_lora(network, checkpoint.model_type, LoraConfig(rank=2, alpha=4.0))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn_like(weight))
    folder.mkdir()
    weights = dict(network.named_parameters())
    write_adapters(folder, network, weights, model_type=checkpoint.model_type, base_model=base)
    return str(folder)


def plain(checkpoint: Checkpoint) -> Transformer:
    return load_transformer(checkpoint.config, checkpoint.source(), where=checkpoint.config_path)


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_adapters_are_added_to_the_model_they_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = decoder(tmp_path)
    folder, whole = adapters(tmp_path / "a", plain(base), base, str(base.path)), str(tmp_path / "whole")
    assert run(["generate", folder, "--prompt", "a cat"]) == 2
    message = (
        f"{folder}: has adapters and no model (add them to their model once: yanmo convert {folder} DEST"
    )
    assert message in capsys.readouterr().err
    told = said(["convert", folder, whole, "--to", "hf"], capsys)
    assert told["path"] == whole and told["max_abs_difference"] < 1e-4
    one, other = (
        said(["score", model, "--text", "a cat is resting"], capsys) for model in (whole, str(base.path))
    )
    assert abs(one["loss_nats"] - other["loss_nats"]) > 0.01
    # The same command again, and a whole model that needs no other.
    assert said(["convert", folder, whole, "--to", "hf"], capsys)["max_abs_difference"] < 1e-4
    assert run(["convert", folder, str(tmp_path / "x.gguf"), "--to", "gguf"]) == 2
    assert "adapters are added to their model first" in capsys.readouterr().err
    assert run(["convert", whole, str(tmp_path / "x"), "--to", "hf", "--base", whole]) == 2


def test_a_classifiers_head_comes_with_its_adapters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = Checkpoint.open(make_encoder(tmp_path / "encoder"))
    network = open_with_head(base, HeadKind.SEQUENCE_CLASSIFICATION, labels=["a", "b", "c"])
    folder, whole = adapters(tmp_path / "a", network, base, "org/nowhere"), str(tmp_path / "whole")
    assert run(["convert", folder, whole, "--to", "hf"]) == 2
    assert "its model org/nowhere" in (error := capsys.readouterr().err) and "--base MODEL" in error
    assert said(["convert", folder, whole, "--to", "hf", "--base", str(base.path)], capsys)["path"] == whole
    shutil.rmtree(folder)
    found = said(["predict", whole, "--text", "the cat"], capsys)["predictions"][0]
    assert sorted(found["probabilities"]) == ["LABEL_0", "LABEL_1", "LABEL_2"]
