"""Weights of a Transformer as codes of 8 or 4 bits, and what that costs: perplexity before and after.

Vectors (norms, biases) and tables of positions stay as they are. The embedding and the matrix of the logits
are kept at 8 bits in a model of 4: they are looked up or decide the answer, and errors there cost the most.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yanmo import artifact
from yanmo.errors import InputError
from yanmo.evaluation.evaluate import score
from yanmo.models import lstm
from yanmo.models.base import LanguageModel
from yanmo.models.checkpoint import Checkpoint, sha256_of_model
from yanmo.models.convert import convert, merged_config, stored_dtype
from yanmo.models.families import family_of
from yanmo.models.files.hf_folder import CONFIG_FILE
from yanmo.models.files.quantized import SCALE, is_quantized, quantization_config
from yanmo.models.files.safetensors_files import write_safetensors
from yanmo.models.folder import CheckpointWeights, load_transformer
from yanmo.models.ngram import model as ngram
from yanmo.models.registry import load
from yanmo.models.transformer import Transformer
from yanmo.nn.quantization import GROUP_SIZE, can_quantize, num_scales, quantize

BITS = {"int8": 8, "int4": 4}
_GGUF_DTYPES = {"int8": "q8_0", "int4": "q4_0"}
_KEPT_AS_THEY_ARE = (".input.", "position_bias", ".router.")
_AT_LEAST_8_BITS = ("embedding.", "heads.")
_TIMED_STEPS = 24


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How well a model predicts a text, and how fast it writes.

    Attributes:
        perplexity: per token.
        bits_per_byte: of the text.
        num_tokens: of the text.
        tokens_per_s: decoded one after another, on this machine.
    """

    perplexity: float
    bits_per_byte: float
    num_tokens: int
    tokens_per_s: float


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """What was made.

    Attributes:
        model: the folder.
        num_bytes_before: of the weights, in the type that they were stored in.
        num_bytes: of the weights now.
        quality_before: of the model on the given text; None without one.
        quality_after: of what was made.
        gguf: the GGUF file beside it, or None.
    """

    model: Path
    num_bytes_before: int
    num_bytes: int
    quality_before: Quality | None = None
    quality_after: Quality | None = None
    gguf: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {
            "model": str(self.model),
            "gguf": None if self.gguf is None else str(self.gguf),
        }


def quantize_model(
    source: Path | str,
    destination: Path,
    *,
    to: str,
    text: str | None = None,
    gguf: bool = False,
    force: bool = False,
    dry_run: bool = False,
) -> Quantization:
    """Write a quantised folder, which loads as any other model.

    Args:
        source: a Transformer: a folder, a run, a .gguf file, or a cached name.
        destination: the folder to write.
        to: ``int8`` or ``int4``.
        text: what both are judged by.
        gguf: whether a GGUF file (q8_0 or q4_0) of the same model is written beside the folder.
        force: replace what is there.
        dry_run: say what would come of it; nothing is written.

    Raises:
        InputError: it is not a Transformer, is quantised already, has no matrix that can be, or the place
            is taken.
    """
    checkpoint = Checkpoint.open(source)
    details = {"quantized_from": checkpoint.name, "sha256": sha256_of_model(checkpoint.path), "to": to}
    _refuse_what_cannot_be(checkpoint, destination, to)
    model = _without_weights(checkpoint)
    weights = _weights_of(model, checkpoint)
    sizes = Quantization(
        model=destination,
        num_bytes_before=sum(info.num_bytes for info in weights.tensors.values()),
        num_bytes=_num_bytes(weights, _bits_by_name(weights, model, checkpoint, BITS[to])),
    )
    is_done = artifact.claim(destination, kind="model", details=details, force=force)
    if dry_run:
        return sizes
    if not is_done:
        model = load_transformer(checkpoint.config, checkpoint.source(), where=checkpoint.config_path)
        weights = _weights_of(model, checkpoint)
        with artifact.new_folder(destination, kind="model", details=details) as folder:
            write_safetensors(folder, _coded(weights, model, checkpoint, BITS[to]))
            said = merged_config(checkpoint, model) | {"quantization_config": quantization_config(BITS[to])}
            artifact.write_json(folder / CONFIG_FILE, said)
            checkpoint.copy_side_files(folder)
    del model, weights
    beside = destination.with_name(f"{destination.name}.gguf") if gguf else None
    if beside is not None:
        convert(source, beside, to="gguf", dtype=_GGUF_DTYPES[to], force=force)
    return replace(
        sizes,
        quality_before=None if text is None else quality(source, text),
        quality_after=None if text is None else quality(destination, text),
        gguf=beside,
    )


def quality(model: Path | str, text: str) -> Quality:
    """Perplexity of a model on a text, of windows that overlap by half; and its speed."""
    loaded = load(model)
    scored = score(loaded, text)
    num_tokens = max(1, int(scored["num_tokens"]))
    return Quality(
        perplexity=math.exp(float(scored["loss_nats"]) / num_tokens),
        bits_per_byte=float(scored["bits_per_byte"]),
        num_tokens=num_tokens,
        tokens_per_s=_tokens_per_s(loaded.model),
    )


def _tokens_per_s(model: LanguageModel) -> float:
    """The median of some greedy steps."""
    session, times_s = model.start(1), list[float]()
    scores_1V = session.extend(torch.zeros(1, 1, dtype=torch.int64))
    for _ in range(min(_TIMED_STEPS, (model.max_seq_len or _TIMED_STEPS + 1) - 1)):
        began_s = time.perf_counter()
        scores_1V = session.extend(scores_1V.argmax(-1, keepdim=True))
        times_s.append(time.perf_counter() - began_s)
    return 1 / statistics.median(times_s)


def _refuse_what_cannot_be(checkpoint: Checkpoint, destination: Path, to: str) -> None:
    if to not in BITS:
        raise InputError(f"there is no {to!r}", remedy=f"one of {', '.join(BITS)}")
    if checkpoint.model_type in (ngram.MODEL_TYPE, lstm.MODEL_TYPE):
        raise InputError(
            f"only Transformers are quantised, not a {checkpoint.model_type}", where=checkpoint.path
        )
    if is_quantized(checkpoint.config):
        raise InputError(
            "is quantised already", where=checkpoint.path, remedy="give the model that it was made from"
        )
    if destination.exists() and destination.resolve() == checkpoint.path.resolve():
        raise InputError("is the source itself", where=destination, remedy="choose another place")


def _coded(
    weights: CheckpointWeights, model: Transformer, checkpoint: Checkpoint, bits: int
) -> Iterator[tuple[str, Tensor]]:
    """What is written, one matrix at a time."""
    bits_by_name = _bits_by_name(weights, model, checkpoint, bits)
    for name in weights.tensors:
        tensor = weights.read(name)
        if name not in bits_by_name:
            yield name, tensor
            continue
        try:
            matrix = quantize(tensor, bits_by_name[name])
        except InputError as error:
            raise InputError(f"weight {name}: {error}", where=checkpoint.path) from None
        yield name, matrix.codes
        yield name + SCALE, matrix.scales_RS


def _bits_by_name(
    weights: CheckpointWeights, model: Transformer, checkpoint: Checkpoint, bits: int
) -> dict[str, int]:
    """The matrices that become codes, and of how many bits.

    Raises:
        InputError: there is none.
    """
    found = {}
    for name, info in weights.tensors.items():
        ours = weights.ours(name)
        if can_quantize(info.shape) and not any(part in ours for part in _KEPT_AS_THEY_ARE):
            found[name] = max(bits, 8) if ours.startswith(_AT_LEAST_8_BITS) else bits
    if not found:
        raise InputError(
            f"no matrix has rows of whole groups of {GROUP_SIZE} numbers (d_model is {model.config.d_model})",
            where=checkpoint.path,
        )
    return found


def _num_bytes(weights: CheckpointWeights, bits_by_name: Mapping[str, int]) -> int:
    """Of the weights with those matrices as codes."""
    num_bytes = 0
    for name, info in weights.tensors.items():
        if name not in bits_by_name:
            num_bytes += info.num_bytes
            continue
        (rows, columns), bits = info.shape, bits_by_name[name]
        num_bytes += rows * (columns * bits // 8 + num_scales(columns, bits) * torch.float16.itemsize)
    return num_bytes


def _without_weights(checkpoint: Checkpoint) -> Transformer:
    where = checkpoint.config_path
    with torch.device("meta"):
        return Transformer(
            family_of(checkpoint.config, where=where).read_config(checkpoint.config, where=where)
        )


def _weights_of(model: Transformer, checkpoint: Checkpoint) -> CheckpointWeights:
    return CheckpointWeights(
        model, checkpoint.model_type, dtype=stored_dtype(checkpoint), path=checkpoint.path
    )
