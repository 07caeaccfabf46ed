from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from adapted_made import CONFIGS, SIZES, network, shaken
from safetensors.torch import load_file, save_file
from torch import Tensor

from yanmo.errors import InputError
from yanmo.finetuning.lora import LoraConfig, Targets, add_lora, has_lora, places, put_adapters
from yanmo.finetuning.peft_files import CONFIG_FILE, WEIGHTS_FILE, read_adapters, write_adapters
from yanmo.models.families import bert
from yanmo.models.transformer import Transformer


def adapted(model_type: str, **settings: object) -> Transformer:
    model = network(model_type)
    add_lora(model, model_type, LoraConfig(rank=2, alpha=2.5, **settings))
    return shaken(model, seed=1, only_trained=True)


def written(folder: Path, model: Transformer, model_type: str) -> Path:
    folder.mkdir()
    weights = dict(model.named_parameters())
    write_adapters(folder, model, weights, model_type=model_type, base_model="models/base")
    return folder


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("model_type", CONFIGS)
def test_what_is_written_is_read_again(model_type: str, dora: bool, tmp_path: Path) -> None:
    model = adapted(model_type, dora=dora, rank_stabilised=True, dropout=0.25, targets=Targets.ATTENTION)
    again = network(model_type)
    config = read_adapters(written(tmp_path / "a", model, model_type), again, model_type=model_type)
    assert (config.rank, config.alpha, config.dropout) == (2, 2.5, 0.25)
    assert config.dora == dora and config.rank_stabilised
    found, expected = dict(again.named_parameters()), dict(model.named_parameters())
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        # Theirs are scaled, or lengths where ours are differences: a rounding is left.
        torch.testing.assert_close(found[name], weight, rtol=1e-6, atol=1e-6)
        assert found[name].requires_grad == weight.requires_grad


def test_names_are_those_of_the_family(tmp_path: Path) -> None:
    folder = written(tmp_path / "bert", adapted("bert", targets=Targets.QUERY_VALUE, dora=True), "bert")
    settings = json.loads((folder / CONFIG_FILE).read_text())
    assert settings["peft_type"] == "LORA" and settings["task_type"] == "SEQ_CLS"
    assert settings["target_modules"] == ["attention.self.query", "attention.self.value"]
    assert settings["modules_to_save"] == ["bert.pooler.dense", "classifier"]
    assert settings["base_model_name_or_path"] == "models/base" and settings["lora_alpha"] == 2.5
    layer = "base_model.model.bert.encoder.layer.0.attention.self.value."
    tensors = load_file(folder / WEIGHTS_FILE)
    assert {name.removeprefix(layer) for name in tensors if name.startswith(layer)} == {
        "lora_A.weight",
        "lora_B.weight",
        "lora_magnitude_vector",
    }
    assert "base_model.model.classifier.weight" in tensors
    folder = written(tmp_path / "gpt2", adapted("gpt2"), "gpt2")
    settings = json.loads((folder / CONFIG_FILE).read_text())
    assert settings["fan_in_fan_out"] and settings["task_type"] == "CAUSAL_LM"
    assert settings["modules_to_save"] is None
    shape = load_file(folder / WEIGHTS_FILE)[
        "base_model.model.transformer.h.0.attn.c_attn.lora_B.weight"
    ].shape
    assert shape == (48, 2)


def test_ends_that_would_say_too_much_are_written_out(tmp_path: Path) -> None:
    model = network("bert")
    chosen = [
        place for place in places(model, "bert") if place.module == "encoder.blocks.1.feed_forward.down"
    ]
    put_adapters(model, chosen, LoraConfig(rank=2))
    folder = written(tmp_path / "a", model, "bert")
    settings = json.loads((folder / CONFIG_FILE).read_text())
    # ``output.dense`` alone would be the attention's too, and the other layer's.
    assert settings["target_modules"] == ["bert.encoder.layer.1.output.dense"]


def test_a_model_without_a_head_has_names_without_its_prefix(tmp_path: Path) -> None:
    config = bert.read_config(SIZES | {"architectures": ["BertModel"]})
    model = Transformer(config)
    add_lora(model, "bert", LoraConfig(rank=2))
    folder = written(tmp_path / "a", model, "bert")
    names = load_file(folder / WEIGHTS_FILE)
    assert all(name.startswith("base_model.model.encoder.layer.") for name in names)
    # They are found by a model with a head, too, as those of a model with a head by this one.
    read_adapters(folder, again := network("bert"), model_type="bert")
    assert has_lora(again)


def break_config(**settings: object) -> Callable[[dict[str, Any], dict[str, Tensor]], None]:
    return lambda config, tensors: config.update(settings)


def break_tensors(
    change: Callable[[dict[str, Tensor]], object],
) -> Callable[[Any, dict[str, Tensor]], object]:
    return lambda config, tensors: change(tensors)


LAYER = "base_model.model.bert.encoder.layer.0.intermediate.dense."
BROKEN = [
    (break_config(peft_type="IA3"), "peft_type"),
    (break_config(peft_type=None), "peft_type"),
    (break_config(r="four"), "r"),
    (break_config(r=0), "r"),
    (break_config(r=10**9), "r"),
    (break_config(lora_alpha=None, lora_dropout=7), "dropout"),
    (break_config(lora_alpha=-1), "alpha"),
    (break_config(use_dora="yes"), "use_dora"),
    (break_config(use_dora=True), "magnitude"),
    (break_config(bias="all"), "bias"),
    (break_config(rank_pattern={"q_proj": 3}), "rank_pattern"),
    (break_config(trainable_token_indices=[1]), "trainable_token_indices"),
    (break_config(layer_replication=[[0, 1]]), "layer_replication"),
    (break_config(init_lora_weights="pissa"), "init_lora_weights"),
    (break_tensors(lambda t: t.pop(f"{LAYER}lora_B.weight")), r"lora_B.* is missing"),
    (break_tensors(lambda t: t.update({f"{LAYER}lora_A.weight": torch.zeros(3, 16)})), r"shape \(3, 16\)"),
    (break_tensors(lambda t: t.update({f"{LAYER}lora_A.weight": torch.zeros(2)})), r"shape \(2,\)"),
    (break_tensors(lambda t: t.update({f"{LAYER}lora_B.weight": torch.zeros(24, 2).int()})), "float type"),
    (
        break_tensors(lambda t: t.update({f"{LAYER}lora_magnitude_vector": torch.zeros(24)})),
        "does not belong there",
    ),
    (
        break_tensors(lambda t: t.update({"base_model.model.bert.x.lora_A.weight": torch.zeros(2, 2)})),
        "no place",
    ),
    (break_tensors(lambda t: t.update({"base_model.model.bert.y.weight": torch.zeros(2)})), "no place"),
    (break_tensors(lambda t: t.clear()), "no adapters"),
    (break_tensors(lambda t: t.update({"base_model.model.classifier.weight": torch.zeros(5, 16)})), "shape"),
]


@pytest.mark.parametrize(("change", "what"), BROKEN)
def test_damaged_adapters_are_refused_with_the_file(
    change: Callable[[Any, Any], None], what: str, tmp_path: Path
) -> None:
    folder = written(tmp_path / "a", adapted("bert"), "bert")
    config, tensors = json.loads((folder / CONFIG_FILE).read_text()), load_file(folder / WEIGHTS_FILE)
    change(config, tensors)
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    save_file(tensors, folder / WEIGHTS_FILE)
    with pytest.raises(InputError, match=what) as caught:
        read_adapters(folder, network("bert"), model_type="bert")
    assert str(folder) in str(caught.value.where)


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_adapters(tmp_path, network("bert"), model_type="bert")
    folder = written(tmp_path / "a", adapted("bert"), "bert")
    (folder / WEIGHTS_FILE).write_bytes(b"not safetensors")
    with pytest.raises(InputError, match="safetensors"):
        read_adapters(folder, network("bert"), model_type="bert")
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(InputError):
        read_adapters(folder, network("bert"), model_type="bert")
    folder = written(tmp_path / "b", adapted("qwen3"), "qwen3")
    with pytest.raises(InputError, match="no place in this model"):
        read_adapters(folder, network("bert"), model_type="bert")
