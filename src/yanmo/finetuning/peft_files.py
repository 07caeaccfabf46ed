"""Adapters as files of the ``peft`` library: adapter_config.json and adapter_model.safetensors.

A file has, of each adapted layer and under the names of the family's checkpoints, ``lora_A.weight`` (R, I),
``lora_B.weight`` (O, R) and with DoRA ``lora_magnitude_vector`` (O,); and whole weights of new heads. Rows of
B stand as those of the checkpoint's matrix do; of one that is kept transposed, adapters are not
(``fan_in_fan_out`` says that there is such a one).

Shapes: I inputs, O outputs, R rank.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yanmo import artifact
from yanmo.errors import InputError
from yanmo.finetuning.freezing import is_of_task_head
from yanmo.finetuning.lora import (
    LoraConfig,
    LoraLinear,
    Place,
    lora_layers,
    places,
    put_adapters,
    row_lengths,
)
from yanmo.models.families import FAMILIES
from yanmo.models.families.fields import Fields
from yanmo.models.families.mapping import Resolver, Transposed, Weight
from yanmo.models.files.foreign_files import DAMAGED, read_json, shorten
from yanmo.models.files.hf_folder import ADAPTERS_FILE
from yanmo.models.files.safetensors_files import SafetensorsFiles, save_tensors
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import Transformer

CONFIG_FILE = ADAPTERS_FILE
WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_MOST_RANK = 2**16
_OTHER_BASE = "give the model that the adapters were trained on"
_TASK_TYPES = {
    HeadKind.CAUSAL_LM: "CAUSAL_LM",
    HeadKind.SEQ2SEQ_LM: "SEQ_2_SEQ_LM",
    HeadKind.SEQUENCE_CLASSIFICATION: "SEQ_CLS",
    HeadKind.TOKEN_CLASSIFICATION: "TOKEN_CLS",
    HeadKind.SPAN: "QUESTION_ANS",
}
# Modules that peft keeps whole of its own accord, by task.
_WHOLE_HEADS = ("classifier", "score", "qa_outputs")
# What changes the base model, or what is added, in ways that are not done here; and values that mean nothing.
_PLAIN_SETTINGS: dict[str, tuple[object, ...]] = {
    "bias": ("none",),
    "rank_pattern": ({},),
    "alpha_pattern": ({},),
    "lora_bias": (False,),
    "trainable_token_indices": (),
    "layer_replication": (),
    "target_parameters": ([],),
    "alora_invocation_tokens": (),
    "use_qalora": (False,),
    "use_bdlora": (),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),
}


def write_adapters(
    folder: Path,
    network: Transformer,
    weights: Mapping[str, Tensor],
    *,
    model_type: str,
    base_model: str | None = None,
) -> None:
    """Write the adapters of a network, and heads that were trained beside them.

    Args:
        folder: where to; it exists.
        network: with adapters.
        weights: by the network's names; those of adapters and heads are looked at.
        model_type: its family, of config.json.
        base_model: name or path of the model without adapters, for whoever opens the files.

    Raises:
        YanmoError: the disk is full or the folder cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    names = _Names(network, model_type)
    layers = dict(lora_layers(network))
    adapted = [place for place in places(network, model_type) if _is_adapted(place, layers)]
    for place in adapted:
        prefix = f"{place.module}.adapters.{place.part}."
        a_RI, b_OR = weights[f"{prefix}a_RI"], weights[f"{prefix}b_OR"]
        tensors[names.file_name(f"{place.theirs}.lora_A.weight")] = a_RI
        tensors[names.file_name(f"{place.theirs}.lora_B.weight")] = _rows_of_theirs(place, b_OR)
        if layers[place.module].config.dora:
            lengths_O = _plain_lengths(place, layers, weights) + weights[f"{prefix}longer_O"].float()
            name = names.file_name(f"{place.theirs}.lora_magnitude_vector")
            tensors[name] = _rows_of_theirs(place, lengths_O)
    heads = [weight for weight in _head_weights(network, model_type) if is_of_task_head(weight.ours)]
    for weight in heads:
        tensors[names.file_name(weight.theirs[0])] = weight.layout_of(0).theirs(weights[weight.ours])
    kept = {name: tensor.detach().float().clone().contiguous() for name, tensor in tensors.items()}
    save_tensors(kept, folder / WEIGHTS_FILE, {"format": "pt"})
    config = next(iter(layers.values())).config
    settings = {
        "base_model_name_or_path": base_model,
        "task_type": _task_type(network),
        "target_modules": _targets(adapted, places(network, model_type)),
        "modules_to_save": _whole_modules(names, heads),
        "fan_in_fan_out": any(
            isinstance(place.weight.layout_of(place.part), Transposed) for place in adapted
        ),
    }
    artifact.write_json(folder / CONFIG_FILE, _config_json(config) | settings)


@torch.no_grad()
def read_adapters(folder: Path, network: Transformer, *, model_type: str) -> LoraConfig:
    """Put the adapters of a folder into a plain network, in place; heads in the folder replace its own.

    Args:
        folder: as ``peft`` or ``write_adapters`` writes it.
        network: that they were trained on.
        model_type: its family, of config.json.

    Raises:
        InputError: a file is missing or damaged, or the adapters are of an unknown kind, or do not fit.
    """
    config = _read_config(folder / CONFIG_FILE)
    file = SafetensorsFiles(folder / WEIGHTS_FILE)
    found = _sort(file, config.rank)
    resolver = Resolver([f"{module}.weight" for module in found.adapters], FAMILIES[model_type].PREFIX)
    of_places: dict[Place, str] = {}
    for place in places(network, model_type):
        alone = dataclasses.replace(
            place.weight,
            theirs=(f"{place.theirs}.weight",),
            aliases=place.weight.aliases if place.part == 0 else (),
        )
        names = resolver.find(alone)
        if names is not None:
            of_places[place] = names[0].removesuffix(".weight")
    lost = set(found.adapters) - set(of_places.values())
    if lost or not of_places:
        what = f"the adapter of {shorten(min(lost))} has no place" if lost else "has no adapters"
        raise InputError(f"{what} in this model", where=file.path, remedy=_OTHER_BASE)
    put_adapters(network, list(of_places), config)
    layers = dict(lora_layers(network))
    for place, module in of_places.items():
        adapter = layers[place.module].adapters[str(place.part)]
        for ours, target in adapter.named_parameters():
            name = found.adapters[module].pop(ours, None)
            if name is None:
                end = next(end for end, kind in _KINDS.items() if kind == ours)
                what = f"the tensor {shorten(module + end)} is missing"
                raise InputError(what, where=file.path, remedy=DAMAGED)
            _copy(target, _rows_of_ours(place, file.read(name), ours), name, file)
            if ours == "longer_O":
                target.sub_(_plain_lengths(place, layers, {place.weight.ours: layers[place.module].weight}))
    for kinds in found.adapters.values():
        for name in kinds.values():
            raise InputError(f"the tensor {shorten(name)} does not belong there", where=file.path)
    _read_heads(network, model_type, file, found.others)
    return config


@dataclasses.dataclass(frozen=True)
class _Found:
    """Tensors of a file: of adapters, by layer and our name; and others, by name without the prefix."""

    adapters: dict[str, dict[str, str]]
    others: dict[str, str]


_KINDS = {
    ".lora_A.weight": "a_RI",
    ".lora_B.weight": "b_OR",
    ".lora_magnitude_vector": "longer_O",
    ".lora_magnitude_vector.weight": "longer_O",
}


def _sort(file: SafetensorsFiles, rank: int) -> _Found:
    found = _Found({}, {})
    for name, info in file.tensors.items():
        bare = name.removeprefix(_PREFIX)
        for end, kind in _KINDS.items():
            if bare.endswith(end):
                # Before anything is built: settings may claim any rank.
                if kind == "a_RI" and info.shape[:1] != (rank,):
                    what = f"the tensor {shorten(name)} has shape {info.shape}, and r is {rank}"
                    raise InputError(what, where=file.path, remedy=DAMAGED)
                found.adapters.setdefault(bare.removesuffix(end), {})[kind] = name
                break
        else:
            found.others[bare] = name
    return found


def _read_heads(
    network: Transformer, model_type: str, file: SafetensorsFiles, others: Mapping[str, str]
) -> None:
    left = dict(others)
    resolver = Resolver(left, FAMILIES[model_type].PREFIX)
    for weight in _head_weights(network, model_type):
        names = resolver.find(weight)
        if names is not None:
            name = left.pop(names[0])
            target = network.get_parameter(weight.ours)
            _copy(target, weight.layout_of(0).ours(file.read(name)), name, file)
    for name in left.values():
        what = f"the tensor {shorten(name)} has no place in this model"
        raise InputError(what, where=file.path, remedy=_OTHER_BASE)


def _copy(target: Tensor, tensor: Tensor, name: str, file: SafetensorsFiles) -> None:
    if tensor.shape != target.shape:
        what = f"the tensor {shorten(name)} has shape {tuple(tensor.shape)}, not {tuple(target.shape)}"
        raise InputError(what, where=file.path, remedy=_OTHER_BASE)
    if not tensor.is_floating_point():
        raise InputError(f"the tensor {shorten(name)} is not of a float type", where=file.path)
    target.copy_(tensor)


def _plain_lengths(place: Place, layers: Mapping[str, LoraLinear], weights: Mapping[str, Tensor]) -> Tensor:
    """Lengths that rows of a matrix have without its adapter."""
    weight = weights[place.weight.ours].detach().float()
    return row_lengths(weight.split(layers[place.module].rows)[place.part])


def _rows_of_theirs(place: Place, tensor: Tensor) -> Tensor:
    layout = place.weight.layout_of(place.part)
    return tensor if isinstance(layout, Transposed) else layout.theirs(tensor.detach())


def _rows_of_ours(place: Place, tensor: Tensor, kind: str) -> Tensor:
    layout = place.weight.layout_of(place.part)
    if kind == "a_RI" or isinstance(layout, Transposed):
        return tensor
    try:
        return layout.ours(tensor)
    except RuntimeError:  # rows that are not those of heads; the shape is refused
        return tensor


class _Names:
    """Names in a file: those of checkpoints, without what stands before them where a class has no head."""

    def __init__(self, network: Transformer, model_type: str) -> None:
        bare = all(head.kind is HeadKind.POOLED for head in network.config.heads)
        self._dropped = FAMILIES[model_type].PREFIX if bare else ""

    def module(self, theirs: str) -> str:
        return theirs.removeprefix(self._dropped)

    def file_name(self, theirs: str) -> str:
        return f"{_PREFIX}{self.module(theirs)}"


def _head_weights(network: Transformer, model_type: str) -> Iterator[Weight]:
    known = FAMILIES[model_type].weights(network.config)
    return (weight for weight in known if weight.ours.startswith("heads."))


def _is_adapted(place: Place, layers: Mapping[str, LoraLinear]) -> bool:
    return place.module in layers and str(place.part) in layers[place.module].adapters


def _task_type(network: Transformer) -> str | None:
    kinds = [head.kind for head in network.config.heads]
    return _TASK_TYPES.get(kinds[0]) if kinds else "FEATURE_EXTRACTION"


def _targets(adapted: list[Place], known: list[Place]) -> list[str]:
    """Ends of names that say which layers have adapters; whole names where ends would say too much."""
    ends = sorted({re.sub(r"^.*\.\d+\.", "", place.theirs) for place in adapted})
    named = [place for place in known if any(f".{place.theirs}".endswith(f".{end}") for end in ends)]
    return ends if len(named) == len(adapted) else sorted(place.theirs for place in adapted)


def _whole_modules(names: _Names, heads: list[Weight]) -> list[str] | None:
    modules = {names.module(weight.theirs[0]).rpartition(".")[0] for weight in heads}
    tops = {module.partition(".")[0] if module.startswith(_WHOLE_HEADS) else module for module in modules}
    return sorted(tops) or None


def _config_json(config: LoraConfig) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "r": config.rank,
        "lora_alpha": int(config.alpha) if config.alpha == int(config.alpha) else config.alpha,
        "lora_dropout": config.dropout,
        "use_dora": config.dora,
        "use_rslora": config.rank_stabilised,
        "bias": "none",
        "init_lora_weights": True,
        "inference_mode": True,
    }


def _read_config(path: Path) -> LoraConfig:
    settings = read_json(path)
    fields = Fields(settings, path)
    fields.require("peft_type", "LORA")
    for name, plain in _PLAIN_SETTINGS.items():
        if name in fields and settings[name] not in plain:
            raise fields.refuse(name, settings[name], "not known to yanmo")
    try:
        return LoraConfig(
            rank=fields.size("r", 8, most=_MOST_RANK),
            alpha=fields.number("lora_alpha", 8.0),
            dropout=fields.number("lora_dropout", 0.0),
            dora=fields.flag("use_dora", False),
            rank_stabilised=fields.flag("use_rslora", False),
        )
    except InputError as error:
        raise InputError(error.what, where=path, remedy=error.remedy) from None
