"""From a path to a model that answers: reads what kind of folder it is and loads it.

Model arguments everywhere are paths read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yanmo.artifact import read_json
from yanmo.errors import InputError
from yanmo.models.base import LanguageModel
from yanmo.tokenizers.load import Tokenizer


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A language model with the tokenizer it was trained with."""

    model: LanguageModel
    tokenizer: Tokenizer
    path: Path
    name: str
    architecture: str
    num_parameters: int


def load(path: Path | str) -> LoadedModel:
    """Load a model folder.

    Args:
        path: a folder with config.json, weights and tokenizer.json.

    Raises:
        InputError: the folder is missing, damaged, or of an architecture that is not known.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError("no such model folder", where=folder, remedy="yanmo runs lists the models here")
    if not (folder / "config.json").is_file() and (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    config = read_json(folder / "config.json")
    name = folder.parent.name if folder.name == "model" else folder.name
    raise InputError(f"unknown architecture {config.get('architectures')}", where=f"{folder}/config.json {name}")
