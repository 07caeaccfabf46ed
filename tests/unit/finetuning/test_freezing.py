from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapted_made import CONFIGS, StopAfter, network, trainer

from yanmo.errors import InputError, Interrupted
from yanmo.finetuning.freezing import (
    FreezingConfig,
    begins,
    depths,
    freeze,
    joined_rates,
    layer_rates,
)
from yanmo.finetuning.lora import LoraConfig, add_lora
from yanmo.models.transformer import Transformer
from yanmo.runtime import StopSignal
from yanmo.training.optimizer import Optimizer, OptimizerConfig

PLACES = {
    "bert": {
        "embedding.weight": 0,
        "encoder.input.positions.weight": 0,
        "encoder.input.norm.bias": 0,
        "encoder.blocks.0.attention.qkv.weight": 1,
        "encoder.blocks.1.feed_forward_norm.weight": 2,
        "heads.sequence_classification.transform.dense.weight": 3,
        "heads.sequence_classification.output.weight": 3,
    },
    "qwen3": {"embedding.weight": 0, "decoder.blocks.1.attention.out.weight": 2, "decoder.norm.weight": 2},
    "t5": {
        "embedding.weight": 0,
        "encoder.position_bias.weight": 0,
        "encoder.blocks.1.attention.out.weight": 2,
        "encoder.norm.weight": 2,
        "decoder.position_bias.weight": 2,
        "decoder.blocks.0.cross_attention.query.weight": 3,
        "decoder.norm.weight": 4,
    },
    "albert": {
        "encoder.input.projection.weight": 0,
        "encoder.blocks.0.attention.qkv.weight": 1,
        "heads.masked_lm.bias": 2,
    },
}


@pytest.mark.parametrize("model_type", CONFIGS)
def test_every_weight_has_its_place_in_the_column(model_type: str) -> None:
    model = network(model_type)
    found = depths(model)
    assert found.keys() == dict(model.named_parameters()).keys()
    assert {name: found[name] for name in PLACES.get(model_type, {})} == PLACES.get(model_type, {})


def moving(model: Transformer) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_the_last_blocks_move() -> None:
    for last, kept in ((0, {3}), (1, {2, 3}), (2, {1, 2, 3}), (3, {0, 1, 2, 3}), (99, {0, 1, 2, 3})):
        model = network("bert")
        freeze(model, FreezingConfig(last_blocks=last))
        assert {depths(model)[name] for name in moving(model)} == kept
    model = network("t5")
    freeze(model, FreezingConfig(last_blocks=2))
    assert all(name.startswith("decoder.") for name in moving(model))


def test_what_was_frozen_before_stays_so() -> None:
    model = network("bert")
    model.embedding.weight.requires_grad_(False)
    freeze(model, FreezingConfig())
    freeze(model, FreezingConfig(last_blocks=9))
    assert "embedding.weight" not in moving(model) and len(moving(model)) > 10


def test_a_model_of_which_nothing_would_move_is_refused() -> None:
    with pytest.raises(InputError, match="nothing would be trained"):
        freeze(network("gpt2"), FreezingConfig(last_blocks=0))


def test_weights_begin_from_the_top_down() -> None:
    model, gradual = network("bert"), FreezingConfig(gradual_until=0.6)
    assert begins(model, FreezingConfig()) == {}
    shares = {depths(model)[name]: share for name, share in begins(model, gradual).items()}
    assert shares == pytest.approx({3: 0.0, 2: 0.2, 1: 0.4, 0: 0.6})
    freeze(model, FreezingConfig(last_blocks=1))
    shares = {depths(model)[name]: share for name, share in begins(model, gradual).items()}
    assert shares == pytest.approx({3: 0.0, 2: 0.6})
    add_lora(model := network("bert"), "bert", LoraConfig(rank=2))
    shares = {name: share for name, share in begins(model, gradual).items() if "adapters" in name}
    assert {name.split(".")[2] for name, share in shares.items() if share == pytest.approx(0.3)} == {"1"}
    assert {name.split(".")[2] for name, share in shares.items() if share == pytest.approx(0.6)} == {"0"}


def test_rates_shrink_downwards_and_are_joined_by_name() -> None:
    rates = layer_rates(network("bert"), FreezingConfig(layer_decay=0.5))
    assert rates["heads.sequence_classification.bias"] == 1.0
    assert rates["encoder.blocks.1.attention.out.bias"] == 0.5
    assert rates["encoder.blocks.0.attention.out.bias"] == 0.25 and rates["embedding.weight"] == 0.125
    assert joined_rates({"a": 2.0, "b": 3.0}, {"b": 0.5, "c": 4.0}) == {"a": 2.0, "b": 1.5, "c": 4.0}


def test_settings_that_cannot_be_are_refused() -> None:
    for settings in ({"last_blocks": -1}, {"gradual_until": 1.0}, {"layer_decay": 0.0}, {"layer_decay": 1.5}):
        with pytest.raises(InputError, match=next(iter(settings))):
            FreezingConfig(**settings)


class Watch:
    """Which depths have moved from where they were, after each step."""

    def __init__(self, model: Transformer) -> None:
        self._model = model
        self._first = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        self.moved: list[set[int]] = []

    def stepped(self, row: dict[str, object], time_left_s: float) -> None:
        found = depths(self._model)
        now = self._model.named_parameters()
        self.moved.append({found[name] for name, weight in now if not torch.equal(weight, self._first[name])})

    def validated(self, row: dict[str, object], model: object) -> None:
        pass


def gradual_run(folder: Path, **settings: object) -> tuple:
    model = network("bert")
    shares = begins(model, FreezingConfig(gradual_until=0.6))
    watch = Watch(model)
    listeners = (watch, *settings.pop("listeners", ()))
    return *trainer(model, folder, begins=shares, listeners=listeners, **settings), watch


def test_the_loop_lets_weights_move_when_their_share_has_come(tmp_path: Path) -> None:
    made, _, watch = gradual_run(tmp_path, num_steps=20)
    made.run()
    expected = [{3}] * 4 + [{2, 3}] * 4 + [{1, 2, 3}] * 4 + [{0, 1, 2, 3}] * 8
    assert watch.moved == expected


def test_a_gradual_run_that_was_stopped_ends_in_the_same_weights(tmp_path: Path) -> None:
    whole, whole_optimizer, _ = gradual_run(tmp_path / "whole")
    whole.run()
    stop = StopSignal()
    stopped, *_ = gradual_run(tmp_path / "stopped", stop=stop, listeners=(StopAfter(stop, 10),))
    with pytest.raises(Interrupted):
        stopped.run()
    again, optimizer, _ = gradual_run(tmp_path / "stopped")
    assert again.resume()
    again.run()
    expected = whole_optimizer.masters() | whole_optimizer.state()
    found = optimizer.masters() | optimizer.state()
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_weight_that_begins_late_steps_as_one_that_has_just_begun() -> None:
    """AdamW's first step is as long as the rate: what is divided by must not count the steps before it."""
    model = torch.nn.Linear(2, 1)
    rates = OptimizerConfig(muon=False, adam_learning_rate=0.1, adam_beta1=0.9, adam_beta2=0.999)
    optimizer = Optimizer(model, rates, begins={"bias": 0.5})
    for progress in (0.0, 0.2, 0.4, 0.6):
        optimizer.reach(progress)
        before = model.bias.detach().clone()
        model(torch.ones(3, 2)).sum().backward()
        optimizer.accumulate()
        optimizer.step(factor=1.0, num_tokens=3)
        step = float((model.bias.detach() - before).abs())
        assert step == pytest.approx(0.1 if progress > 0.5 else 0.0, rel=1e-4)
