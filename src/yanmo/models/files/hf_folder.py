"""A Hugging Face model folder without its weights: settings, side files, and the name that leads to it.

Code that a folder brings along is never run; one line says so. The network is never asked: a name such
as ``org/name`` is looked up in the local cache (layout:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo.artifact import disk_error, write_json
from yanmo.errors import InputError
from yanmo.models.files import pickled, safetensors_files
from yanmo.models.files.foreign_files import DAMAGED, inside, read_json
from yanmo.models.files.quantized import QuantizedWeights, is_quantized
from yanmo.models.files.weights import WeightSource
from yanmo.reporting.progress import say_once
from yanmo.tokenizers.folder import TEMPLATES_FOLDER

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
ADAPTERS_FILE = "adapter_config.json"
TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"

# Where sentence-transformers keeps the longest text; older folders name it after the kind of Transformer.
SENTENCE_LENGTH_FILES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# Files that a conversion carries along unchanged.
_SIDE_FILES = (
    TOKENIZER_FILE,
    TOKENIZER_CONFIG_FILE,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "chat_template.jinja",
    GENERATION_FILE,
    "modules.json",
    "config_sentence_transformers.json",
    *SENTENCE_LENGTH_FILES,
    "LICENSE",
    "LICENSE.txt",
    "LICENSE.md",
)
# The numbered folders of sentence-transformers: 1_Pooling/config.json, 2_Dense/model.safetensors.
_MODULE_FOLDER = re.compile(r"\d{1,2}_[A-Za-z]+")
_MODULE_FILES = ("config.json", "model.safetensors")
# What speaks beside the network of a fine-tuned model.
LINEAR_TERMS_FOLDER = "linear_terms"
_LINEAR_TERMS_FILES = (
    *("features.json", "features.safetensors"),
    *(
        f"{terms}/{name}"
        for terms in ("words", "subwords")
        for name in ("features.json", "terms.json", "features.safetensors")
    ),
)
_CODE_KEYS = ("auto_map", "custom_pipelines")
_MAX_NAMED = 4

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True)
class HfFolder:
    """Settings and files of a model folder, read with limits."""

    path: Path
    config: Mapping[str, Any]
    generation_config: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path | str) -> HfFolder:
        """Read config.json and generation_config.json.

        Args:
            path: the folder, as ``find_model`` gives it.

        Raises:
            InputError: there is no config.json, or a file is damaged.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise InputError("no such model folder", where=folder, remedy="give a model folder or a run")
        if not (folder / CONFIG_FILE).exists():
            raise InputError(f"has no {CONFIG_FILE}", where=folder, remedy="give a model folder or a run")
        config = read_json(inside(folder, CONFIG_FILE, where=folder))
        generation: dict[str, Any] = {}
        if (folder / GENERATION_FILE).exists():
            generation = read_json(inside(folder, GENERATION_FILE, where=folder))
        _say_what_is_ignored(folder, config)
        return cls(path=folder, config=config, generation_config=generation)

    @property
    def model_type(self) -> str:
        """What config.json says the model is, such as ``qwen3``.

        Raises:
            InputError: it does not say.
        """
        model_type = self.config.get("model_type")
        if not isinstance(model_type, str) or not model_type:
            raise InputError("has no model_type", where=self.path / CONFIG_FILE, remedy=DAMAGED)
        return model_type

    @property
    def has_safe_weights(self) -> bool:
        """Whether there are safetensors weights."""
        names = (safetensors_files.WEIGHTS_FILE, safetensors_files.INDEX_FILE)
        return any((self.path / name).exists() for name in names)

    def source(self) -> WeightSource:
        """The safetensors weights of the folder, with their headers checked.

        Raises:
            InputError: there are none, or a file is damaged.
        """
        if not self.has_safe_weights and pickled.has_pickled_weights(self.path):
            raise InputError(
                f"has only {pickled.WEIGHTS_FILE}, a format that can run code",
                where=self.path,
                remedy=f"convert it once: yanmo convert {self.path} DEST --to hf",
            )
        stored = safetensors_files.SafetensorsFiles(self.path)
        return QuantizedWeights(stored) if is_quantized(self.config) else stored

    def side_files(self) -> list[str]:
        """What a conversion carries along unchanged, as names relative to the folder.

        Raises:
            InputError: one of them is a link out of the folder.
        """
        names = [name for name in _SIDE_FILES if (self.path / name).exists()]
        for pattern in ("*.spm", f"{TEMPLATES_FOLDER}/*.jinja"):
            names += sorted(path.relative_to(self.path).as_posix() for path in self.path.glob(pattern))
        for folder in sorted(path for path in self.path.iterdir() if _MODULE_FOLDER.fullmatch(path.name)):
            names += [f"{folder.name}/{name}" for name in _MODULE_FILES if (folder / name).exists()]
        terms = (f"{LINEAR_TERMS_FOLDER}/{name}" for name in _LINEAR_TERMS_FILES)
        names += [name for name in terms if (self.path / name).exists()]
        for name in names:
            inside(self.path, name, where=self.path)
        return names

    def copy_side_files(self, destination: Path) -> list[str]:
        """Copy the side files, bytes unchanged, into a folder that exists.

        Only what points to code of the folder is left out: the code is not carried along.

        Returns:
            Their names.

        Raises:
            InputError: one of them is a link out of the folder.
            YanmoError: the disk is full or ``destination`` cannot be written.
        """
        names = self.side_files()
        for name in names:
            target = destination / name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.path / name, target)
            except OSError as error:
                raise disk_error(error, target) from error
        settings = _tokenizer_config(destination)
        if any(key in settings for key in _CODE_KEYS):
            kept = {key: value for key, value in settings.items() if key not in _CODE_KEYS}
            write_json(destination / TOKENIZER_CONFIG_FILE, kept)
        return names


def find_model(argument: Path | str) -> Path:
    """What a model argument of the command line means.

    Args:
        argument: a model folder, a run (its ``model`` folder is meant), a ``.gguf`` file, or the name of
            a model in the local Hugging Face cache.

    Returns:
        A folder with config.json, or a ``.gguf`` file.

    Raises:
        InputError: there is no such model here.
    """
    path, name = Path(argument), str(argument)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path) from None
    if is_folder:
        for folder in (path, path / "model"):
            if (folder / CONFIG_FILE).exists():
                return folder
        if (path / ADAPTERS_FILE).exists():
            remedy = f"add them to their model once: yanmo convert {path} DEST --to hf [--base MODEL]"
            raise InputError("has adapters and no model", where=path, remedy=remedy)
        raise InputError(f"has no {CONFIG_FILE}", where=path, remedy="give a model folder or a run")
    if is_file:
        if path.suffix == ".gguf":
            return path
        raise InputError(
            "is neither a folder nor a .gguf file", where=path, remedy="give the folder that it lies in"
        )
    if path.suffix != ".gguf" and _HUB_NAME.fullmatch(name) and ".." not in name:
        return _find_in_cache(name)
    raise InputError("no such model", where=path, remedy="`yanmo runs` lists the models here")


def hub_cache() -> Path:
    """The folder of downloaded models, by the same variables as the Hugging Face tools."""
    for variable, inner in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser() / inner
    general = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(general).expanduser() / "huggingface" / "hub"


def _find_in_cache(name: str) -> Path:
    cache = hub_cache()
    model = cache / f"models--{name.replace('/', '--')}"
    if not model.is_dir():
        raise InputError(
            f"no such folder, and no such model in the cache {cache}",
            where=name,
            remedy="give a model folder; nothing is downloaded",
        )
    try:
        commit = (model / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        commit = ""
    folder = model / "snapshots" / commit
    if not _COMMIT.fullmatch(commit) or not (folder / CONFIG_FILE).exists():
        raise InputError(
            "is in the cache but not whole",
            where=model,
            remedy=f"download it again, or give a folder below {model / 'snapshots'}",
        )
    return folder


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    """Content of tokenizer_config.json; empty where it is missing, or damaged (its reader says so)."""
    if not (folder / TOKENIZER_CONFIG_FILE).exists():
        return {}
    with contextlib.suppress(InputError):
        return read_json(inside(folder, TOKENIZER_CONFIG_FILE, where=folder))
    return {}


def _say_what_is_ignored(folder: Path, config: Mapping[str, Any]) -> None:
    """One line on stderr that names the code a folder brings along."""
    settings = {CONFIG_FILE: config, TOKENIZER_CONFIG_FILE: _tokenizer_config(folder)}
    found = [
        f"{key} of {name}" for name, content in settings.items() for key in _CODE_KEYS if content.get(key)
    ]
    found += sorted(ascii(path.name)[1:-1] for path in folder.glob("*.py"))
    if found:
        more = f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
        say_once(f"{folder}: code of others is never run; ignored: {', '.join(found[:_MAX_NAMED])}{more}")
