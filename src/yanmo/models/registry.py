"""From a path to a model that answers: reads what kind of folder it is and loads it.

Model arguments everywhere are paths read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yanmo.artifact import read_json
from yanmo.errors import InputError
from yanmo.models import ngram
from yanmo.models.base import LanguageModel
from yanmo.models.folder import load_transformer
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


def load(path: Path | str) -> LoadedModel:
    """Load a model folder, or the ``model`` folder of a run.

    Args:
        path: a folder with config.json, weights and tokenizer.json.

    Raises:
        InputError: the folder is missing, damaged, or of an architecture that is not known.
    """
    folder = Path(path)
    if not (folder / "config.json").is_file() and (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    if not folder.is_dir():
        raise InputError("no such model folder", where=folder, remedy="`yanmo runs` lists the models here")
    if not (folder / "config.json").is_file():
        raise InputError("has no config.json", where=folder, remedy="give a model folder or a run")
    config = read_json(folder / "config.json")
    model: LanguageModel
    if config.get("model_type") == ngram.MODEL_TYPE:
        model = ngram.load_ngram(folder)
        architecture, num_parameters = f"{model.config.order}-gram", model.num_parameters
    else:
        model = load_transformer(folder, config)
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
