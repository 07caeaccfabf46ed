"""From a path to a model that answers: reads what kind of folder it is and loads it.

Model arguments everywhere are paths read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from yanmo.errors import InputError
from yanmo.models import ngram
from yanmo.models.base import LanguageModel
from yanmo.models.folder import load_transformer
from yanmo.models.hf_folder import CONFIG_FILE, HfFolder, find_model
from yanmo.tokenizers.load import Tokenizer


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A language model with its tokenizer; ``chat`` tells whether it was trained on conversations."""

    model: LanguageModel
    tokenizer: Tokenizer
    path: Path
    name: str
    architecture: str
    num_parameters: int
    chat: bool


def load(path: Path | str, *, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """Load a model.

    Args:
        path: what ``find_model`` takes: a model folder, a run, or a name in the local cache.
        dtype: type of a network's weights in memory.

    Raises:
        InputError: the model is missing, damaged, of a family that is not known, or too big for the memory.
    """
    folder = find_model(path)
    opened = HfFolder.open(folder)
    model: LanguageModel
    if opened.model_type == ngram.MODEL_TYPE:
        model = ngram.load_ngram(folder)
        architecture, num_parameters = f"{model.config.order}-gram", model.num_parameters
    else:
        config = opened.config
        model = load_transformer(config, opened.source(), where=folder / CONFIG_FILE, dtype=dtype)
        architecture, num_parameters = config["architectures"][0], model.config.num_parameters
    tokenizer = Tokenizer.load(folder)
    if tokenizer.vocab_size > model.vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model {model.vocab_size}",
            where=folder,
            remedy="the folder mixes two models; copy it again",
        )
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        path=folder,
        name=folder.resolve().parent.name if folder.name == "model" else folder.resolve().name,
        architecture=architecture,
        num_parameters=num_parameters,
        chat=tokenizer.chat_tuned,
    )
