"""The side files that sentence-transformers puts beside a Transformer: what makes one vector of a text.

modules.json names a pipeline (Transformer, Pooling, any number of Dense and Normalize), each step with a
folder of its own; sentence_bert_config.json says how texts are cut, config_sentence_transformers.json what is
put before them and how vectors are compared. A step's name is looked up in a table here and never imported.
Mean, maximum and first token: Reimers and Gurevych 2019 (arXiv 1908.10084, section 3). Weighted mean:
Muennighoff 2022 (arXiv 2202.08904, equation 2).

Shapes: B texts, T tokens, D = d_model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yanmo.artifact import write_bytes
from yanmo.errors import InputError
from yanmo.models.families.fields import Fields
from yanmo.models.files.foreign_files import DAMAGED, inside, read_json, read_json_list, shorten
from yanmo.models.files.hf_folder import SENTENCE_LENGTH_FILES
from yanmo.models.files.safetensors_files import WEIGHTS_FILE, SafetensorsFiles
from yanmo.models.files.weights import fill
from yanmo.reporting.progress import say_once

MODULES_FILE = "modules.json"
PROMPTS_FILE = "config_sentence_transformers.json"


def _first(x_BTD: Tensor, skipped: int) -> Tensor:
    return x_BTD[:, skipped]


def _last(x_BTD: Tensor, skipped: int) -> Tensor:
    return x_BTD[:, -1]


def _max(x_BTD: Tensor, skipped: int) -> Tensor:
    return x_BTD[:, skipped:].amax(1)


def _mean(x_BTD: Tensor, skipped: int) -> Tensor:
    return x_BTD[:, skipped:].mean(1)


def _mean_sqrt_len(x_BTD: Tensor, skipped: int) -> Tensor:
    kept_BTD = x_BTD[:, skipped:]
    return kept_BTD.sum(1) / math.sqrt(kept_BTD.shape[1])


def _weighted_mean(x_BTD: Tensor, skipped: int) -> Tensor:
    """Token number i counts i times; skipped tokens are numbered too."""
    weight_T1 = torch.arange(skipped + 1, x_BTD.shape[1] + 1, dtype=x_BTD.dtype)[:, None]
    return (x_BTD[:, skipped:] * weight_T1).sum(1) / weight_T1.sum()


# From the hidden states of texts of equal length, and the tokens at their beginning that do not count, to
# one vector a text (B, D).
POOLS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "cls": _first,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
    "lasttoken": _last,
}
# Flags that say the same in older files, in the order in which vectors are joined.
_POOL_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Class names that a Dense step gives; nothing is imported by them.
_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "torch.nn.modules.linear.Identity": nn.Identity,
    "torch.nn.modules.activation.Tanh": nn.Tanh,
    "torch.nn.modules.activation.ReLU": nn.ReLU,
    "torch.nn.modules.activation.GELU": nn.GELU,
    "torch.nn.modules.activation.SiLU": nn.SiLU,
    "torch.nn.modules.activation.Sigmoid": nn.Sigmoid,
}
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


@dataclass(frozen=True, kw_only=True)
class SentenceSettings:
    """How one vector is made of a text.

    Attributes:
        pools: names of ``POOLS``, whose vectors are joined.
        include_prompt: whether the tokens of a prompt count in pooling.
        tail: from what pooling gives, (B, D * pools), to the vectors.
        dim: numbers in a vector.
        max_seq_len: longest text in tokens, where the files say it.
        lower_case: whether texts are lower-cased before the tokenizer sees them.
        prompts: texts that can be put before each text, by name.
        default_prompt: name of the one that is, or None.
        similarity: one of ``SIMILARITIES``.
    """

    pools: tuple[str, ...]
    dim: int
    include_prompt: bool = True
    tail: nn.Module = field(default_factory=nn.Identity)
    max_seq_len: int | None = None
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    similarity: str = "cosine"


def read_sentence_settings(folder: Path, *, d_model: int) -> SentenceSettings:
    """Read the side files of a model folder; without modules.json, the mean of all tokens (a line says so).

    Args:
        folder: the model folder, or a file that has no side files.
        d_model: width of its hidden states.

    Raises:
        InputError: a file is damaged, or asks for a step that is not known.
    """
    if not (folder / MODULES_FILE).exists():
        say_once(f"{folder}: has no {MODULES_FILE}; a text's vector is the mean of its tokens'")
        return SentenceSettings(pools=("mean",), dim=d_model)
    steps = _read_pipeline(folder)
    file = inside(folder, f"{steps[1][1]}/config.json", where=folder / MODULES_FILE)
    content = read_json(file)
    pooling = Fields(content, file)
    pools = _pools(pooling, content.get("pooling_mode"))
    width = pooling.size("embedding_dimension", pooling.size("word_embedding_dimension", d_model))
    if width != d_model:
        raise pooling.refuse("embedding_dimension", width, f"not the {d_model} of the Transformer")
    dim = d_model * len(pools)
    tail: list[nn.Module] = []
    for kind, path in steps[2:]:
        step, dim = _TAIL_STEPS[kind](folder, path, dim)
        tail.append(step)
    return SentenceSettings(
        pools=pools,
        include_prompt=pooling.flag("include_prompt", True),
        tail=nn.Sequential(*tail).eval(),
        dim=dim,
        **_length_settings(folder),
        **_prompt_settings(folder),
    )


class Normalize(nn.Module):
    """Vectors of length 1."""

    def forward(self, x_BD: Tensor) -> Tensor:
        """Same shape out as in."""
        return nn.functional.normalize(x_BD, dim=-1)


def _read_pipeline(folder: Path) -> list[tuple[str, str]]:
    """Kind and folder of each step: Transformer, Pooling, then those of ``_TAIL_STEPS``."""
    where = folder / MODULES_FILE
    steps: list[tuple[str, str]] = []
    for entry in read_json_list(inside(folder, MODULES_FILE, where=folder)):
        named = entry if isinstance(entry, dict) else {}
        name, path = named.get("type"), named.get("path")
        if not isinstance(name, str) or not isinstance(path, str):
            raise InputError(f"a step without type and path: {shorten(entry)}", where=where, remedy=DAMAGED)
        root, _, kind = name.rpartition(".")
        if root.partition(".")[0] != "sentence_transformers":
            raise InputError(f"asks for code of its own: {shorten(name)}", where=where)
        steps.append((kind, path))
    kinds = [kind for kind, _ in steps]
    if kinds[:2] != ["Transformer", "Pooling"] or not set(kinds[2:]) <= _TAIL_STEPS.keys():
        known = f"Transformer, Pooling, then any of {', '.join(_TAIL_STEPS)}"
        raise InputError(f"cannot do the steps {shorten(kinds)}", where=where, remedy=f"known: {known}")
    if steps[0][1]:
        raise InputError(
            f"keeps its Transformer in {shorten(steps[0][1])}, as folders of old do",
            where=where,
            remedy="open and save it once with a recent sentence-transformers",
        )
    return steps


def _pools(pooling: Fields, modes: object) -> tuple[str, ...]:
    """Names of ``POOLS``; ``modes`` is the one entry that newer files have in place of flags."""
    if modes is None:
        flags = (mode for flag, mode in _POOL_FLAGS.items() if pooling.flag(flag, False))
        return tuple(flags) or ("mean",)
    named = modes if isinstance(modes, list) else [modes]
    if not named or not all(isinstance(mode, str) and mode in POOLS for mode in named):
        raise pooling.refuse("pooling_mode", modes, f"not of {', '.join(POOLS)}")
    return tuple(named)


def _dense(folder: Path, path: str, width: int) -> tuple[nn.Module, int]:
    """A linear layer and an activation; its input must be ``width`` numbers wide."""
    file = inside(folder, f"{path}/config.json", where=folder / MODULES_FILE)
    fields = Fields(read_json(file), file)
    fields.require("module_input_name", "sentence_embedding", default="sentence_embedding")
    fields.require("module_output_name", "sentence_embedding", None)
    fields.require("use_residual", False, default=False)
    activation = fields.choice("activation_function", _ACTIVATIONS, "torch.nn.modules.activation.Tanh")
    if fields.size("in_features") != width:
        raise fields.refuse("in_features", fields.size("in_features"), f"not the {width} of the step before")
    if not (folder / path / WEIGHTS_FILE).exists():
        remedy = "open and save it once with a recent sentence-transformers"
        raise InputError(f"has no {WEIGHTS_FILE}", where=folder / path, remedy=remedy)
    source = SafetensorsFiles(inside(folder, f"{path}/{WEIGHTS_FILE}", where=folder))
    wanted: dict[str, tuple[int, ...]] = {"weight": (fields.size("out_features"), width)}
    if fields.flag("bias", True):
        wanted["bias"] = wanted["weight"][:1]
    for part, shape in wanted.items():
        info = source.tensors.get(f"linear.{part}")
        if info is None or info.shape != shape or not info.dtype.is_floating_point:
            raise InputError(f"has no linear.{part} of {shape}", where=source.path, remedy=DAMAGED)
    linear = nn.Linear(width, wanted["weight"][0], bias="bias" in wanted)
    for part in wanted:
        fill(linear.get_parameter(part).data, source.read(f"linear.{part}"), source)
    return nn.Sequential(linear, activation()), linear.out_features


def _normalize(folder: Path, path: str, width: int) -> tuple[nn.Module, int]:
    return Normalize(), width


# Steps behind pooling: from the model folder, the step's own and the width before it, to the step and the
# width behind it.
_TAIL_STEPS: dict[str, Callable[[Path, str, int], tuple[nn.Module, int]]] = {
    "Dense": _dense,
    "Normalize": _normalize,
}


def _length_settings(folder: Path) -> dict[str, Any]:
    name = next((name for name in SENTENCE_LENGTH_FILES if (folder / name).exists()), None)
    if name is None:
        return {}
    file = inside(folder, name, where=folder)
    fields = Fields(read_json(file), file)
    fields.require("transformer_task", "feature-extraction", default="feature-extraction")
    fields.require("module_output_name", "token_embeddings", default="token_embeddings")
    return {
        "max_seq_len": fields.size("max_seq_length", None),
        "lower_case": fields.flag("do_lower_case", False),
    }


def _prompt_settings(folder: Path) -> dict[str, Any]:
    if not (folder / PROMPTS_FILE).exists():
        return {}
    file = inside(folder, PROMPTS_FILE, where=folder)
    content = read_json(file)
    fields = Fields(content, file)
    prompts: dict[str, str] = {}
    if fields.inner("prompts") is not None:
        for name, text in content["prompts"].items():
            if not isinstance(text, str | None):
                raise fields.refuse(f"prompts.{name}", text, "not a text")
            prompts[name] = text or ""
    return {
        "prompts": prompts,
        "default_prompt": fields.choice("default_prompt_name", {name: name for name in prompts})
        if "default_prompt_name" in fields
        else None,
        "similarity": fields.choice("similarity_fn_name", {name: name for name in SIMILARITIES}, "cosine"),
    }


def write_mean_pooling(folder: Path, *, d_model: int, max_seq_len: int) -> None:
    """The side files of a model whose vectors are the mean of its tokens'.

    Args:
        folder: of the model; it exists.
        d_model: width of the hidden states.
        max_seq_len: longest text in tokens.

    Raises:
        YanmoError: the disk is full or cannot be written.
    """
    steps = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (kind, path) in enumerate((("Transformer", ""), ("Pooling", "1_Pooling")))
    ]
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pooling = {flag: kind == "mean" for flag, kind in _POOL_FLAGS.items()}
    files: dict[str, object] = {
        MODULES_FILE: steps,
        "1_Pooling/config.json": {"word_embedding_dimension": d_model, **pooling, "include_prompt": True},
        SENTENCE_LENGTH_FILES[0]: {"max_seq_length": max_seq_len, "do_lower_case": False},
        PROMPTS_FILE: {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
    }
    for name, content in files.items():
        write_bytes(folder / name, (json.dumps(content, indent=2) + "\n").encode())
