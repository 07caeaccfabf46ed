from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from adapted_made import (
    CONFIGS,
    StopAfter,
    batches,
    classify,
    gradients,
    network,
    objective_of,
    repeat,
    shaken,
    trainer,
)
from torch import Tensor

from yanmo.errors import InputError, Interrupted
from yanmo.finetuning.lora import (
    LoraConfig,
    Targets,
    adapter_rates,
    add_lora,
    has_lora,
    lora_layers,
    merge,
    merged_weights,
)
from yanmo.models.transformer import Transformer
from yanmo.nn.cross_entropy import linear_cross_entropy, linear_token_losses
from yanmo.runtime import StopSignal

ALL_KINDS = [(name, dora) for name in CONFIGS for dora in (False, True)]


def adapted(model_type: str, *, seed: int | None = 1, **settings: object) -> Transformer:
    """With adapters that say something; without a seed, with fresh ones."""
    model = network(model_type)
    add_lora(model, model_type, LoraConfig(rank=2, alpha=3, **settings))
    return model if seed is None else shaken(model, seed=seed, only_trained=True)


@torch.no_grad()
def hidden(model: Transformer) -> Tensor:
    batch = batches(6, batch_size=6).rows(0, range(6))
    tokens, segments = batch.tokens_1N, batch.segments
    memory = model.encode(tokens, segments=segments) if model.encoder and model.decoder else None
    return model.hidden(tokens, segments=segments, memory=memory)


@pytest.mark.parametrize(("model_type", "dora"), ALL_KINDS)
def test_fresh_adapters_change_nothing_and_only_they_and_task_heads_are_trained(
    model_type: str, dora: bool
) -> None:
    plain, model = network(model_type), adapted(model_type, seed=None, dora=dora)
    assert torch.allclose(hidden(model), hidden(plain), atol=1e-6)
    names, plain_names = dict(model.named_parameters()), dict(plain.named_parameters())
    assert plain_names.keys() < names.keys()
    moving = {name for name, weight in names.items() if weight.requires_grad}
    heads = {name for name in plain_names if name.startswith("heads.sequence_classification.")}
    assert moving == (names.keys() - plain_names.keys()) | heads
    assert adapter_rates(model).keys() == names.keys() - plain_names.keys()


@pytest.mark.parametrize(("model_type", "dora"), ALL_KINDS)
def test_merged_is_plain_and_says_the_same(model_type: str, dora: bool) -> None:
    model, plain = adapted(model_type, dora=dora), network(model_type)
    before = hidden(model)
    assert float((before - hidden(plain)).abs().max()) > 0.01
    merged = merged_weights(model, dict(model.named_parameters()))
    merge(model)
    assert torch.allclose(hidden(model), before, atol=1e-5)
    assert not has_lora(model)
    assert str(model) == str(plain)
    for name, weight in plain.named_parameters():
        assert torch.equal(merged[name], model.get_parameter(name))
        assert weight.shape == merged[name].shape and model.get_parameter(name).requires_grad
    plain_again = merged_weights(plain, dict(plain.named_parameters()))
    assert all(plain_again[name] is weight for name, weight in plain.named_parameters())


@pytest.mark.parametrize(("model_type", "dora"), ALL_KINDS)
def test_packed_alone_and_accumulated_give_the_same_gradient(model_type: str, dora: bool) -> None:
    model, objective = adapted(model_type, dora=dora).train(), objective_of(model_type)
    whole = gradients(model, objective, [range(6)])
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    # What is tested must be there: gradients reach every adapter.
    assert {name for name, gradient in whole.items() if gradient.abs().max() > 1e-5} == trained
    for parts in ([range(3), range(3, 6)], [range(i, i + 1) for i in range(6)]):
        for name, gradient in gradients(model, objective, parts).items():
            torch.testing.assert_close(gradient, whole[name], rtol=1e-4, atol=1e-5)


def test_dora_divides_by_a_norm_that_takes_no_gradient() -> None:
    """Against the paper's formula, written out (equation 11 takes the norm for a number)."""
    model = adapted("qwen3", dora=True)
    layer = model.get_submodule("decoder.blocks.0.feed_forward.down")
    adapter = layer.adapters["0"]
    x = torch.randn(5, layer.in_features, generator=torch.Generator().manual_seed(0))
    moved = layer.weight + 1.5 * adapter.b_OR @ adapter.a_RI
    formula = (layer.weight.norm(dim=1) + adapter.longer_O) / moved.norm(dim=1).detach()
    expected = x @ (formula[:, None] * moved).T
    assert torch.allclose(layer(x), expected, atol=1e-5)
    weights = [adapter.a_RI, adapter.b_OR, adapter.longer_O]
    for one, other in zip(
        torch.autograd.grad(layer(x).square().sum(), weights),
        torch.autograd.grad(expected.square().sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_matrices_that_files_keep_apart_have_adapters_of_their_own() -> None:
    def of_block(model_type: str, **settings: object) -> dict[str, list[str]]:
        layers = lora_layers(adapted(model_type, **settings))
        return {name.partition("blocks.0.")[2]: [*layer.adapters] for name, layer in layers if ".0." in name}

    assert of_block("bert") == {
        "attention.qkv": ["0", "1", "2"],
        "attention.out": ["0"],
        "feed_forward.up": ["0"],
        "feed_forward.down": ["0"],
    }
    assert of_block("gpt2", targets=Targets.ATTENTION) == {"attention.qkv": ["0"], "attention.out": ["0"]}
    assert of_block("qwen3", targets=Targets.QUERY_VALUE) == {"attention.qkv": ["0", "2"]}
    t5 = dict(lora_layers(adapted("t5", targets=Targets.QUERY_VALUE)))
    assert {name: [*layer.adapters] for name, layer in t5.items() if "decoder.blocks.1" in name} == {
        "decoder.blocks.1.attention.qkv": ["0", "2"],
        "decoder.blocks.1.cross_attention.query": ["0"],
        "decoder.blocks.1.cross_attention.key_value": ["1"],
    }


def test_dropout_is_of_training_alone() -> None:
    model = adapted("bert", dropout=0.5)
    quiet = hidden(model)
    assert torch.equal(hidden(model), quiet)
    assert float((hidden(model.train()) - quiet).abs().max()) > 0.01
    assert torch.equal(hidden(model.eval()), quiet)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dora", [False, True])
def test_the_one_loop_learns_with_adapters(dora: bool, dtype: torch.dtype, tmp_path: Path) -> None:
    model = adapted("bert", seed=None, dora=dora)
    frozen = {name: weight.clone() for name, weight in model.named_parameters() if not weight.requires_grad}
    made, optimizer = trainer(model, tmp_path, num_steps=60, dtype=dtype)
    state = made.run()
    assert state.valid["loss_nats"] < 0.35
    # Masters are float32, and all of them have moved.
    fresh = dict(adapted("bert", seed=None, dora=dora).named_parameters())
    masters = optimizer.masters()
    assert all(weight.dtype == torch.float32 for weight in masters.values())
    assert all(not torch.equal(weight, fresh[name]) for name, weight in masters.items())
    assert all(torch.equal(model.get_parameter(name), weight.to(dtype)) for name, weight in frozen.items())
    # Of the weights as they were and the masters, the plain model is made that answers as the trained one.
    merged = merged_weights(model, frozen | masters)
    trained = merge(model.float()).eval()
    with torch.no_grad():
        for name, weight in trained.named_parameters():
            assert torch.allclose(weight, merged[name], atol=0.02)
            weight.copy_(merged[name])
        loss = classify(trained, batches(64, batch_size=8).rows(0, range(8)))
    assert abs(float(loss.loss_nats) / 8 - state.valid["loss_nats"]) < 0.05


def test_a_run_that_was_stopped_ends_in_the_same_adapters(tmp_path: Path) -> None:
    def make(folder: str, **settings: object) -> tuple:
        model = adapted("bert", seed=None, dora=True, dropout=0.1)
        return trainer(model, tmp_path / folder, **settings)

    whole, whole_optimizer = make("whole")
    whole.run()
    stop = StopSignal()
    stopped, _ = make("stopped", stop=stop, listeners=(StopAfter(stop, 7),))
    with pytest.raises(Interrupted):
        stopped.run()
    again, again_optimizer = make("stopped")
    assert again.resume() and again.state.step == 7
    again.run()
    assert digest(again_optimizer.masters()) == digest(whole_optimizer.masters())


def digest(weights: dict[str, Tensor]) -> str:
    hashed = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        hashed.update(name.encode() + weight.numpy().tobytes())
    return hashed.hexdigest()


def test_first_values_follow_from_the_seed_alone() -> None:
    def first(seed: int) -> Tensor:
        model = network("bert")
        torch.manual_seed(seed * 17 + 3)
        add_lora(model, "bert", LoraConfig(rank=2), seed=seed)
        return model.get_parameter("encoder.blocks.1.attention.qkv.adapters.2.a_RI")

    assert torch.equal(first(5), first(5)) and not torch.equal(first(5), first(6))


@pytest.mark.parametrize(
    ("settings", "what"), [({"rank": 0}, "rank"), ({"alpha": 0.0}, "alpha"), ({"dropout": 1.0}, "dropout")]
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, float], what: str) -> None:
    with pytest.raises(InputError, match=what):
        LoraConfig(**settings)


def test_scaling() -> None:
    assert LoraConfig(rank=16, alpha=32).scaling == 2
    assert LoraConfig(rank=16, alpha=32, rank_stabilised=True).scaling == 8


@pytest.mark.parametrize("losses", [linear_cross_entropy, linear_token_losses])
def test_a_frozen_output_matrix_takes_no_gradient_and_the_hidden_states_the_same(
    losses: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden_ND = torch.randn(7, 4, generator=generator, requires_grad=True)
    weight_VD, targets_N = torch.randn(9, 4, generator=generator), torch.arange(7)
    losses(hidden_ND, weight_VD, targets_N).sum().backward()
    frozen = hidden_ND.grad
    assert weight_VD.grad is None
    hidden_ND.grad = None
    losses(hidden_ND, weight_VD.requires_grad_(), targets_N).sum().backward()
    assert torch.equal(frozen, hidden_ND.grad) and weight_VD.grad is not None


def test_a_language_model_learns_with_adapters_alone(tmp_path: Path) -> None:
    model = adapted("gpt2", seed=None)
    made, _ = trainer(model, tmp_path, objective=repeat, num_steps=15)
    before = made._validate(model)["loss_nats"]
    assert made.run().valid["loss_nats"] < before - 0.2
