"""From one container of a model to another, with proof that the answers are the same.

What is written is read back and both are asked the same tokens; the largest difference of their answers
is part of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yanmo import artifact
from yanmo.errors import InputError
from yanmo.models import lstm
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.families import FAMILIES
from yanmo.models.files.hf_folder import CONFIG_FILE, LINEAR_TERMS_FOLDER
from yanmo.models.files.safetensors_files import write_safetensors
from yanmo.models.folder import CheckpointWeights, load_transformer
from yanmo.models.gguf.writer import DTYPES as GGUF_DTYPES
from yanmo.models.gguf.writer import write_gguf
from yanmo.models.ngram import model as ngram
from yanmo.models.transformer import Transformer
from yanmo.reporting.progress import say

FORMATS = ("hf", "gguf", "onnx")
_HF_DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
# Settings that say how the source's file was made, or that its writer's version had in another place.
_NOT_CARRIED = (
    "auto_map",
    "custom_pipelines",
    "quantization_config",
    "torch_dtype",
    "rope_scaling",
    "_name_or_path",
)
# Settings of training and calling that a family writes defaults of; the source knows better.
_OF_THE_SOURCE = (
    "attention_dropout",
    "embd_pdrop",
    "hidden_dropout",
    "resid_pdrop",
    "use_cache",
)
_NUM_PROBE_TOKENS = 32


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What a conversion gave.

    Attributes:
        path: what was written.
        num_bytes: its size.
        max_abs_difference: largest difference of the answers (logits, or hidden states where there is
            no head) to the same tokens, both computed in float32.
    """

    path: Path
    num_bytes: int
    max_abs_difference: float


def convert(
    source: Path | str, destination: Path | str, *, to: str, dtype: str | None = None, force: bool = False
) -> Conversion:
    """Write a model in another format.

    Args:
        source: a model folder (also one with pytorch_model.bin alone), a run, or a .gguf file.
        destination: folder (hf) or file (gguf, onnx) to write.
        to: ``hf``, ``gguf`` or ``onnx``.
        dtype: how weights are stored: f32, f16, bf16, for gguf also q8_0 and q4_0; None keeps the source's
            type in a folder and is f32 elsewhere.
        force: replace what is at ``destination``.

    Raises:
        InputError: the source is damaged or has no such form, the type is unknown, or something is in
            the way.
    """
    destination = Path(destination)
    checkpoint, is_done = _prepare(source, destination, to=to, dtype=dtype, force=force)
    weights = checkpoint.source(allow_pickle=True)
    model = load_transformer(checkpoint.config, weights, where=checkpoint.config_path)
    _probe(model, where=checkpoint.path, remedy="its weights are damaged, or training went astray")
    if to != "hf" and (checkpoint.path / LINEAR_TERMS_FOLDER).is_dir():
        say(f"{destination} answers by its network alone: the words that speak beside it are left out")
    if is_done:
        difference = _difference(model, destination)
    else:
        difference = _WRITERS[to](checkpoint, model, destination, dtype)
    return Conversion(path=destination, num_bytes=_num_bytes(destination), max_abs_difference=difference)


def survey(
    source: Path | str, destination: Path | str, *, to: str, dtype: str | None = None, force: bool = False
) -> dict[str, Any]:
    """What ``convert`` would do with the same arguments; writes nothing.

    Returns:
        ``family`` of the model, ``path`` to write, and ``is_done`` (the same command made it already).

    Raises:
        InputError: as ``convert``, as far as it shows without reading weights.
    """
    destination = Path(destination)
    checkpoint, is_done = _prepare(source, destination, to=to, dtype=dtype, force=force)
    return {"family": checkpoint.model_type, "path": str(destination), "is_done": is_done}


def _prepare(
    source: Path | str, destination: Path, *, to: str, dtype: str | None, force: bool
) -> tuple[Checkpoint, bool]:
    if to not in FORMATS:
        raise InputError(f"there is no format {to!r}", remedy=f"one of {', '.join(FORMATS)}")
    checkpoint = Checkpoint.open(source)
    if checkpoint.model_type in (ngram.MODEL_TYPE, lstm.MODEL_TYPE):
        raise InputError(f"other tools have no form for a {checkpoint.model_type}", where=checkpoint.path)
    _check_dtype(to, dtype)
    return checkpoint, _claim(destination, checkpoint, to=to, dtype=dtype, force=force)


def _write_hf(checkpoint: Checkpoint, model: Transformer, destination: Path, dtype: str | None) -> float:
    stored = _HF_DTYPES[dtype] if dtype else stored_dtype(checkpoint)
    with artifact.new_folder(destination, kind="model", details=_details(checkpoint, dtype)) as folder:
        weights = CheckpointWeights(model, checkpoint.model_type, dtype=stored, path=checkpoint.path)
        write_safetensors(folder, weights)
        name = str(stored).removeprefix("torch.")
        artifact.write_json(folder / CONFIG_FILE, merged_config(checkpoint, model) | {"dtype": name})
        checkpoint.copy_side_files(folder)
    return _difference(model, destination)


def _write_gguf(checkpoint: Checkpoint, model: Transformer, destination: Path, dtype: str | None) -> float:
    tokenizer = checkpoint.tokenizer_folder
    write_gguf(
        destination,
        config=merged_config(checkpoint, model),
        tensors=CheckpointWeights(model, checkpoint.model_type, dtype=torch.float32, path=checkpoint.path),
        tokenizer_json=tokenizer.content,
        tokenizer_config=tokenizer.config,
        chat_template=tokenizer.template,
        dtype=dtype or "f32",
        name=checkpoint.name,
        generation_config=checkpoint.generation_config,
    )
    return _difference(model, destination)


def _write_onnx(checkpoint: Checkpoint, model: Transformer, destination: Path, dtype: str | None) -> float:
    from yanmo.models.onnx_export import export_onnx

    return export_onnx(model, destination)


def merged_config(checkpoint: Checkpoint, model: Transformer) -> dict[str, Any]:
    """The config.json of a conversion: what the source says beyond what the model itself says."""
    kept = {key: value for key, value in checkpoint.config.items() if key not in _NOT_CARRIED}
    written = FAMILIES[checkpoint.model_type].write_config(model.config, model_type=checkpoint.model_type)
    # So are the token ids in a family's config. A model without heads does not say whether one was tied.
    better = (*_OF_THE_SOURCE, *(() if model.config.heads else ("tie_word_embeddings",)))
    said = {key: value for key, value in kept.items() if key.endswith("_token_id") or key in better}
    return kept | written | said


def probe_tokens(vocab_size: int, max_seq_len: int) -> Tensor:
    """The tokens that both sides are asked, (1, T): the same for the same model."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, vocab_size, (1, min(_NUM_PROBE_TOKENS, max_seq_len)), generator=generator)


@torch.inference_mode()
def answer(model: Transformer, tokens_BT: Tensor) -> Tensor:
    """What a model says to tokens: logits, or hidden states where it has no head."""
    memory = model.encode(tokens_BT) if model.encoder is not None and model.decoder is not None else None
    if model.config.heads:
        return model(tokens_BT, memory=memory)
    return model.hidden(tokens_BT, memory=memory)


def _difference(model: Transformer, destination: Path) -> float:
    written = Checkpoint.open(destination)
    again = load_transformer(written.config, written.source(), where=written.config_path)
    expected = answer(model, probe_tokens(model.vocab_size, model.max_seq_len))
    found = _probe(again, where=written.path, remedy="store the weights in a wider type: bf16 or f32")
    return float((expected - found).abs().max())


def _probe(model: Transformer, *, where: Path, remedy: str) -> Tensor:
    """The answer to the probe; refused where it is no number, since nothing could be compared with it."""
    given = answer(model, probe_tokens(model.vocab_size, model.max_seq_len))
    if not given.isfinite().all():
        raise InputError("the model's answers are not finite numbers", where=where, remedy=remedy)
    return given


def stored_dtype(checkpoint: Checkpoint) -> torch.dtype:
    """The type of most of the source's weights; float32 where those are quantised."""
    sizes: dict[torch.dtype, int] = {}
    for info in checkpoint.source(allow_pickle=True).tensors.values():
        sizes[info.dtype] = sizes.get(info.dtype, 0) + info.num_bytes
    most = max(sizes, key=lambda dtype: sizes[dtype])
    return most if most in _HF_DTYPES.values() else torch.float32


def _check_dtype(to: str, dtype: str | None) -> None:
    known = {"hf": tuple(_HF_DTYPES), "gguf": GGUF_DTYPES, "onnx": ("f32",)}[to]
    if dtype is not None and dtype not in known:
        raise InputError(f"{to} cannot store {dtype!r}", remedy=f"one of {', '.join(known)}")


def _details(checkpoint: Checkpoint, dtype: str | None) -> Mapping[str, Any]:
    return {"converted_from": checkpoint.name, "dtype": dtype}


def _claim(destination: Path, checkpoint: Checkpoint, *, to: str, dtype: str | None, force: bool) -> bool:
    """Whether the same command has made it already; refuses to overwrite what was not asked for."""
    if destination.exists() and destination.resolve() == checkpoint.path.resolve():
        raise InputError("is the source itself", where=destination, remedy="choose another place")
    if to == "hf":
        details = _details(checkpoint, dtype)
        return artifact.claim(destination, kind="model", details=details, force=force)
    if destination.is_dir():
        raise InputError(
            "is a folder", where=destination, remedy=f"name a file: {destination / 'model'}.{to}"
        )
    if destination.exists() and not force:
        raise InputError("exists already", where=destination, remedy="--force replaces it")
    return False


def _num_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


_WRITERS: dict[str, Callable[[Checkpoint, Transformer, Path, str | None], float]] = {
    "hf": _write_hf,
    "gguf": _write_gguf,
    "onnx": _write_onnx,
}
