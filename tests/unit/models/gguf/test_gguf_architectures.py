"""Names and layouts of tensors on both sides."""

from __future__ import annotations

import pytest
import torch
from gguf import get_tensor_name_map
from gguf.constants import MODEL_ARCH_NAMES

from yanmo.models.gguf.architectures import (
    ARCHITECTURES,
    GPT_NEOX,
    LLAMA,
    MIXTRAL,
    Architecture,
    Heads,
    Place,
)

_HEADS = Heads(num_heads=4, num_kv_heads=2)


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=lambda a: a.model_type)
def test_names_are_those_of_the_gguf_package(architecture: Architecture) -> None:
    model = next(key for key, name in MODEL_ARCH_NAMES.items() if name == architecture.name)
    names = get_tensor_name_map(model, 3)
    for kind in architecture.tensors:
        place = Place(
            kind=kind,
            suffix="weight",
            layer=2 if "{bid}" in architecture.tensors[kind] else None,
            expert=1 if architecture.has_experts(kind) else None,
        )
        ours = architecture.hf_name(place)
        # The package maps what its converter calls a tensor once all experts are in it.
        merged = ours.replace("block_sparse_moe.experts.1", "feed_forward.experts").replace(
            "model.layers.2.feed_forward", "layers.2.feed_forward"
        )
        merged = merged.replace("mlp.experts.1.", "mlp.experts.")
        assert names.get_name(merged, try_suffixes=(".weight",)) == place.gguf_name, ours


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=lambda a: a.model_type)
def test_names_and_places_are_one_to_one(architecture: Architecture) -> None:
    for kind, stem in architecture.tensors.items():
        layer = 11 if "{bid}" in stem else None
        expert = 7 if architecture.has_experts(kind) else None
        place = Place(kind=kind, suffix="bias", layer=layer, expert=expert)
        assert architecture.place_of_hf(architecture.hf_name(place)) == place
        assert architecture.place_of_gguf(place.gguf_name) == Place(kind=kind, suffix="bias", layer=layer)
    assert len(set(architecture.tensors.values())) == len(architecture.tensors)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.00.self_attn.q_proj.weight",
        "model.layers.٣.self_attn.q_proj.weight",
        "model.layers.1234567.self_attn.q_proj.weight",
        "model.layers.#.self_attn.q_proj.weight",
        "model.layers.0.self_attn.q_proj.scale",
        "model.layers.self_attn.q_proj.weight",
        "lm_head",
        "",
    ],
)
def test_names_that_are_none(name: str) -> None:
    assert LLAMA.place_of_hf(name) is None
    assert MIXTRAL.place_of_gguf(name) is None


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=lambda a: a.model_type)
def test_rules_are_undone(architecture: Architecture) -> None:
    # Numbers that stay exact when one is added.
    for shape in ((48, 8), (48,)):
        tensor = torch.randint(-8, 8, shape) / 8
        for rule in architecture.rules.values():
            there = rule.to_gguf(tensor, _HEADS)
            assert torch.equal(rule.from_gguf(there, _HEADS), tensor)


def test_rows_of_a_head_are_paired_for_llama() -> None:
    rows = torch.arange(16)  # four heads of four
    query, key = LLAMA.rules.values()
    assert query.to_gguf(rows, _HEADS)[:8].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert key.to_gguf(rows, _HEADS)[:8].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


def test_parts_come_together_for_gptneox() -> None:
    (rule,) = GPT_NEOX.rules.values()
    rows = torch.arange(24)  # four heads of query, key, value of two
    assert rule.to_gguf(rows, _HEADS)[:8].tolist() == [0, 1, 6, 7, 12, 13, 18, 19]
