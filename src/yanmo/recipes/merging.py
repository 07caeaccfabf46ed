"""Adapters that others (or a run) trained, added to the model they were trained on: a whole model folder.

Every verb takes the folder that is written. What is written is read back, and both are asked the same.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from yanmo import artifact
from yanmo.errors import InputError
from yanmo.finetuning.lora import merge
from yanmo.finetuning.peft_files import CONFIG_FILE, WEIGHTS_FILE, read_adapters
from yanmo.models.checkpoint import Checkpoint, sha256_of_model
from yanmo.models.convert import Conversion, answer, merged_config, probe_tokens
from yanmo.models.files import hf_folder
from yanmo.models.files.foreign_files import read_json
from yanmo.models.files.safetensors_files import SafetensorsFiles, write_safetensors
from yanmo.models.folder import CheckpointWeights, load_transformer
from yanmo.models.heads import HeadKind
from yanmo.models.new_head import open_with_head
from yanmo.models.transformer import Transformer

_HEADS = {
    "SEQ_CLS": HeadKind.SEQUENCE_CLASSIFICATION,
    "TOKEN_CLS": HeadKind.TOKEN_CLASSIFICATION,
    "QUESTION_ANS": HeadKind.SPAN,
}
# The matrix of a head, whose rows are its outputs.
_HEAD_WEIGHT = re.compile(r"(?:.*\.)?(?:classifier(?:\.out_proj)?|score|qa_outputs)\.weight")


def holds_adapters(folder: Path) -> bool:
    """Whether a folder has adapters of a model, as ``peft`` writes them, and no whole model."""
    return (folder / CONFIG_FILE).is_file() and not (folder / hf_folder.CONFIG_FILE).exists()


@torch.no_grad()
def merge_adapters(
    folder: Path, destination: Path, *, base: Path | None = None, force: bool = False
) -> Conversion:
    """Write a model with the adapters of a folder added to its matrices, as float32.

    Args:
        folder: adapter_config.json and adapter_model.safetensors.
        destination: model folder to write.
        base: the model that they were trained on; the one that adapter_config.json names where None.
        force: replace what is at ``destination``.

    Returns:
        What was written, and the largest difference between its answers and those of the model with its
        adapters apart.

    Raises:
        InputError: the model is not here, the adapters are damaged, of an unknown kind, or do not fit, or
            something is in the way.
    """
    settings = read_json(folder / CONFIG_FILE)
    checkpoint = _open_base(folder, settings, base)
    details = {"base": sha256_of_model(checkpoint.path), "adapters": sha256_of_model(folder)}
    is_done = artifact.claim(destination, kind="model", details=details, force=force)
    network = _network(checkpoint, folder, settings)
    read_adapters(folder, network, model_type=checkpoint.model_type)
    tokens_BT = probe_tokens(network.vocab_size, network.max_seq_len)
    expected = answer(network.eval(), tokens_BT)
    if not is_done:
        _write(checkpoint, merge(network), destination, details)
    written = Checkpoint.open(destination)
    again = load_transformer(written.config, written.source(), where=written.config_path)
    return Conversion(
        path=destination,
        num_bytes=sum(file.stat().st_size for file in destination.rglob("*") if file.is_file()),
        max_abs_difference=float((answer(again, tokens_BT) - expected).abs().max()),
    )


def _open_base(folder: Path, settings: dict[str, Any], base: Path | None) -> Checkpoint:
    if base is not None:
        return Checkpoint.open(base)
    named = settings.get("base_model_name_or_path")
    remedy = "name the model that they were trained on: --base MODEL"
    if not isinstance(named, str) or not named:
        raise InputError("does not name a model", where=folder / CONFIG_FILE, remedy=remedy)
    beside = folder / named
    try:
        return Checkpoint.open(beside if beside.is_dir() else named)
    except InputError as error:
        raise InputError(f"its model {named}: {error.what}", where=folder, remedy=remedy) from None


def _network(checkpoint: Checkpoint, folder: Path, settings: dict[str, Any]) -> Transformer:
    """The base, with a head for the outputs that the adapters' file has."""
    kind = _HEADS.get(str(settings.get("task_type")))
    tensors = SafetensorsFiles(folder / WEIGHTS_FILE).tensors if kind else {}
    rows = [info.shape[0] for name, info in tensors.items() if _HEAD_WEIGHT.fullmatch(name) and info.shape]
    if kind is None or not rows:
        return load_transformer(checkpoint.config, checkpoint.source(), where=checkpoint.config_path)
    names = checkpoint.config.get("id2label")
    if isinstance(names, dict) and len(names) == rows[0]:
        labels = tuple(map(str, names.values()))
    else:
        # As transformers names them where nobody else does.
        labels = tuple(f"LABEL_{index}" for index in range(rows[0]))
    return open_with_head(checkpoint, kind, labels=() if kind is HeadKind.SPAN else labels)


def _write(checkpoint: Checkpoint, network: Transformer, destination: Path, details: dict[str, Any]) -> None:
    with artifact.new_folder(destination, kind="model", details=details) as made:
        weights = CheckpointWeights(network, checkpoint.model_type, dtype=torch.float32)
        write_safetensors(made, weights)
        artifact.write_json(
            made / hf_folder.CONFIG_FILE, merged_config(checkpoint, network) | {"dtype": "float32"}
        )
        checkpoint.copy_side_files(made)
