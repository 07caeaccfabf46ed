"""Rotary settings of Hugging Face as llama.cpp keeps them, and back.

llama.cpp keeps linear and YaRN scaling (Peng et al. 2023, arXiv 2309.00071) in its metadata, Llama 3's (Dubey
et al. 2024, arXiv 2407.21783, section 3.4.3) as a factor for each frequency in the tensor ``rope_freqs``, and
LongRoPE's (Ding et al. 2024, arXiv 2402.13753) as two such tensors. The numbers behind Llama 3's factors are
found again by solving for them; where none fit, the factors themselves are handed on, as LongRoPE's that
are the same at every length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from yanmo.errors import InputError
from yanmo.models.files.foreign_files import DAMAGED, shorten
from yanmo.models.gguf.header import Value
from yanmo.models.gguf.metadata import Metadata, shortest

FREQS, LONG, SHORT = "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"
ROPE_TENSORS = (FREQS, LONG, SHORT)

_DEFAULT_THETA = {"gemma3_text": 1e6, "mixtral": 1e6}
_DEFAULT_PART = {"gpt_neox": 0.25}
# What llama.cpp takes for YaRN where it reads no other value, and transformers' defaults.
_YARN_FIXED = {"beta_fast": 32.0, "beta_slow": 1.0, "truncate": True}
_LLAMA_TYPES = ("llama", "mistral", "mixtral")
_CLOSE = 1e-5


def write_rope(config: Mapping[str, Any], head_dim: int) -> tuple[dict[str, Value], dict[str, Tensor]]:
    """Metadata and tensors of a model's rotary positions.

    Args:
        config: a Hugging Face config.
        head_dim: dimensions of a head.

    Returns:
        Metadata by key, and the tensors of ``ROPE_TENSORS`` that the scaling needs.

    Raises:
        InputError: llama.cpp does not compute the scaling for this kind of model.
    """
    model_type, max_len = config["model_type"], config["max_position_embeddings"]
    settings, local = _settings(config)
    theta = float(settings["rope_theta"])
    dim = int(head_dim * settings["partial_rotary_factor"])
    entries: dict[str, Value] = {".rope.dimension_count": dim, ".rope.freq_base": theta}
    if local:
        if local.get("rope_type", "default") != "default":
            raise _refuse(model_type, f"{local['rope_type']} in sliding layers")
        entries[".rope.freq_base_swa"] = float(local.get("rope_theta", 10_000.0))
    original = settings.get("original_max_position_embeddings") or max_len
    if model_type == "phi3":
        entries[".rope.scaling.original_context_length"] = original
    match settings["rope_type"]:
        case "default":
            return entries, {}
        case "linear":
            return entries | {
                ".rope.scaling.type": "linear",
                ".rope.scaling.factor": float(settings["factor"]),
            }, {}
        case "yarn":
            return entries | _yarn_entries(settings, original, model_type), {}
        case "llama3" if model_type in _LLAMA_TYPES:
            factors = llama3_factors(dim, theta, settings | {"original_max_position_embeddings": original})
            return entries, {FREQS: factors.float()}
        case "longrope" | "su" if model_type in (*_LLAMA_TYPES, "phi3"):
            long_factor, short_factor = settings["long_factor"], settings["short_factor"]
            if not len(long_factor) == len(short_factor) == dim // 2:
                raise InputError(f"long_factor and short_factor need {dim // 2} numbers each")
            amplitude = settings.get("attention_factor")
            if amplitude is None:
                amplitude = _longrope_amplitude(settings.get("factor") or max_len / original, original)
            entries |= {
                ".rope.scaling.original_context_length": original,
                ".rope.scaling.attn_factor": float(amplitude),
                ".rope.scaling.type": "longrope",
            }
            return entries, {
                LONG: torch.tensor(long_factor).float(),
                SHORT: torch.tensor(short_factor).float(),
            }
        case other:
            raise _refuse(model_type, other)


def read_rope(
    metadata: Metadata, model_type: str, head_dim: int, tensors: Mapping[str, Tensor]
) -> dict[str, Any]:
    """The keys of a Hugging Face config for the rotary positions of a file.

    Args:
        metadata: of the file.
        model_type: Hugging Face's.
        head_dim: dimensions of a head.
        tensors: those of ``ROPE_TENSORS`` that the file has.

    Raises:
        InputError: the values are damaged, or of a scaling that is not read.
    """
    theta = metadata.number(".rope.freq_base", 10_000.0)
    if theta <= 1:
        raise metadata.wrong(".rope.freq_base", "not above 1")
    dim = metadata.integer(".rope.dimension_count", head_dim, high=head_dim)
    scaling = _read_scaling(metadata, dim, theta, tensors)
    rope = {"rope_type": "default", "rope_theta": theta} | scaling
    result: dict[str, Any] = {"rope_theta": theta, "rope_parameters": rope}
    if model_type in ("phi3", "gpt_neox"):
        part = dim / head_dim
        # The dimensions are found again by cutting off the fraction of a product.
        rope["partial_rotary_factor"] = part if int(part * head_dim) == dim else math.nextafter(part, 2)
    elif dim != head_dim:
        raise metadata.wrong(".rope.dimension_count", f"not {head_dim}, the whole head")
    if model_type == "gpt_neox":
        result |= {"rotary_pct": rope["partial_rotary_factor"], "rotary_emb_base": theta}
    if model_type == "phi3":
        max_len = metadata.integer(".context_length")
        original = metadata.integer(".rope.scaling.original_context_length", max_len)
        result["original_max_position_embeddings"] = original
    if model_type == "gemma3_text":
        local_theta = metadata.number(".rope.freq_base_swa", 10_000.0)
        result["rope_local_base_freq"] = local_theta
        result["rope_parameters"] = {
            "full_attention": rope,
            "sliding_attention": {"rope_type": "default", "rope_theta": local_theta},
        }
    return result


def llama3_factors(dim: int, theta: float, settings: Mapping[str, Any]) -> Tensor:
    """What Llama 3's scaling divides each frequency by.

    Args:
        dim: dimensions that are turned.
        theta: base.
        settings: factor, low_freq_factor, high_freq_factor, original_max_position_embeddings.

    Returns:
        factor_E2: float64.
    """
    low, high = float(settings["low_freq_factor"]), float(settings["high_freq_factor"])
    kept_E2 = (settings["original_max_position_embeddings"] * _turns(dim, theta) - low) / (high - low)
    kept_E2 = kept_E2.clamp(0, 1)
    factor_E2: Tensor = 1 / (kept_E2 + (1 - kept_E2) / float(settings["factor"]))
    return factor_E2


def _turns(dim: int, theta: float) -> Tensor:
    """turn_E2: turns per position of each frequency."""
    turn_E2: Tensor = theta ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim) / (2 * math.pi)
    return turn_E2


def _settings(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rotary settings however the config writes them, and those of sliding layers where they are others'."""
    model_type = config["model_type"]
    given = config.get("rope_parameters") or {}
    local = dict(given.get("sliding_attention") or {})
    if model_type == "gemma3_text" and not local:
        local = {"rope_theta": config.get("rope_local_base_freq", 10_000.0)}
    legacy = config.get("rope_scaling") or {}
    settings = {**legacy, **given.get("full_attention", given)}
    settings["rope_type"] = settings.get("rope_type", settings.get("type", "default"))
    theta = config.get("rope_theta", config.get("rotary_emb_base", _DEFAULT_THETA.get(model_type, 10_000.0)))
    settings.setdefault("rope_theta", theta)
    part = config.get("partial_rotary_factor", config.get("rotary_pct", _DEFAULT_PART.get(model_type, 1.0)))
    settings.setdefault("partial_rotary_factor", part)
    if config.get("original_max_position_embeddings"):
        settings.setdefault("original_max_position_embeddings", config["original_max_position_embeddings"])
    return settings, local


def _yarn_entries(settings: Mapping[str, Any], original: int, model_type: str) -> dict[str, Value]:
    for key, value in _YARN_FIXED.items():
        if settings.get(key) not in (None, value):
            raise _refuse(model_type, f"yarn with {key} = {settings[key]}")
    factor = float(settings["factor"])

    def amplitude(mscale: float) -> float:
        return 0.1 * mscale * math.log(factor) + 1 if factor > 1 else 1.0

    wanted = settings.get("attention_factor")
    if wanted is None and settings.get("mscale") and settings.get("mscale_all_dim"):
        wanted = amplitude(settings["mscale"]) / amplitude(settings["mscale_all_dim"])
    entries: dict[str, Value] = {
        ".rope.scaling.type": "yarn",
        ".rope.scaling.factor": factor,
        ".rope.scaling.original_context_length": original,
    }
    if wanted is not None:
        # llama.cpp multiplies its own factor, the paper's, by this.
        entries[".rope.scaling.attn_factor"] = float(wanted) / amplitude(1.0)
    return entries


def _read_scaling(
    metadata: Metadata, dim: int, theta: float, tensors: Mapping[str, Tensor]
) -> dict[str, Any]:
    max_len = metadata.integer(".context_length")
    original = metadata.integer(".rope.scaling.original_context_length", max_len)
    amplitude = metadata.number(".rope.scaling.attn_factor", 1.0)
    for tensor in tensors.values():
        if tensor.shape != (dim // 2,) or not bool((tensor.isfinite() & (tensor > 0)).all()):
            what = f"the rotary factors are not {dim // 2} positive numbers"
            raise InputError(what, where=metadata.where, remedy=DAMAGED)
    if LONG in tensors and SHORT in tensors:
        return _longrope(
            _shortest_list(tensors[SHORT]), _shortest_list(tensors[LONG]), original, amplitude, max_len
        )
    if FREQS in tensors:
        return _read_llama3(tensors[FREQS].double(), theta, max_len)
    factor = metadata.number(".rope.scaling.factor", metadata.number(".rope.scale_linear", 1.0))
    kind = metadata.text(".rope.scaling.type", "linear")
    if kind == "none" or (kind in ("linear", "longrope") and factor in (0.0, 1.0)):
        return {}
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind == "yarn":
        scaling = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
        if amplitude != 1.0:
            own = 0.1 * math.log(factor) + 1 if factor > 1 else 1.0
            scaling["attention_factor"] = amplitude * own
        return scaling
    raise metadata.wrong(".rope.scaling.type", "a scaling that is not read")


def _read_llama3(factor_E2: Tensor, theta: float, max_len: int) -> dict[str, Any]:
    """Llama 3's numbers behind its factors, or the factors as they are."""
    factor = float(factor_E2.max())
    if bool((factor_E2 == 1).all()):
        return {}
    guesses = [{"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}]
    dim = 2 * len(factor_E2)
    # Between the borders, 1 / factor is linear in the turns: two points give the line, whose scale is free.
    kept_E2 = (1 / factor_E2 - 1 / factor) / (1 - 1 / factor)
    inner = ((kept_E2 > _CLOSE) & (kept_E2 < 1 - _CLOSE)).nonzero().flatten().tolist()
    if len(inner) >= 2:
        turn_E2 = _turns(dim, theta)
        first, last = inner[0], inner[-1]
        slope = float((kept_E2[first] - kept_E2[last]) / (turn_E2[first] - turn_E2[last]))
        start = slope * float(turn_E2[first]) - float(kept_E2[first])
        if start > 0:
            high, original = float(f"{1 + 1 / start:.4g}"), round(slope / start)
            guesses.append(
                {
                    "low_freq_factor": 1.0,
                    "high_freq_factor": high,
                    "original_max_position_embeddings": original,
                }
            )
    for guess in guesses:
        settings = {"rope_type": "llama3", "factor": shortest(factor), **guess}
        if torch.allclose(llama3_factors(dim, theta, settings), factor_E2, rtol=_CLOSE):
            return settings
    factors = _shortest_list(factor_E2.float())
    return _longrope(factors, factors, max_len, 1.0, max_len)


def _longrope(
    short: list[float], long: list[float], original: int, amplitude: float, max_len: int
) -> dict[str, Any]:
    scaling: dict[str, Any] = {
        "rope_type": "longrope",
        "short_factor": short,
        "long_factor": long,
        "original_max_position_embeddings": original,
    }
    if not math.isclose(amplitude, _longrope_amplitude(max_len / original, original), rel_tol=1e-6):
        scaling["attention_factor"] = amplitude
    return scaling


def _longrope_amplitude(factor: float, original: int) -> float:
    return math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 and original > 1 else 1.0


def _shortest_list(tensor: Tensor) -> list[float]:
    values: Sequence[float] = tensor.tolist()
    return [shortest(value) for value in values]


def _refuse(model_type: str, scaling: str) -> InputError:
    return InputError(f"llama.cpp does not compute the rope scaling {shorten(scaling)} of {model_type}")
