"""A model at rest, whatever it lies in: a Hugging Face folder, or a GGUF file read as one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from yanmo.artifact import sha256_of_file, sha256_of_text, write_bytes, write_json
from yanmo.models.files import pickled
from yanmo.models.files.hf_folder import CONFIG_FILE, GENERATION_FILE, HfFolder, find_model
from yanmo.models.files.weights import WeightSource
from yanmo.models.gguf.reader import GgufFile
from yanmo.tokenizers.folder import TokenizerFolder, read_folder
from yanmo.tokenizers.load import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Settings, weights and tokenizer of a model; nothing large is read yet.

    Attributes:
        path: the folder or the file.
        config: content of config.json.
        generation_config: content of generation_config.json; empty where there is none.
    """

    path: Path
    config: Mapping[str, Any]
    generation_config: Mapping[str, Any]
    _holder: HfFolder | GgufFile

    @classmethod
    def open(cls, argument: Path | str) -> Checkpoint:
        """Find and open a model.

        Args:
            argument: as ``find_model`` takes it.

        Raises:
            InputError: there is no such model, or it is damaged.
        """
        path = find_model(argument)
        holder = GgufFile(path) if path.is_file() else HfFolder.open(path)
        return cls(
            path=path, config=holder.config, generation_config=holder.generation_config, _holder=holder
        )

    @property
    def config_path(self) -> Path:
        """Where the settings stand, for messages."""
        return self.path / CONFIG_FILE if isinstance(self._holder, HfFolder) else self.path

    @property
    def model_type(self) -> str:
        """What the settings say the model is, such as ``qwen3``.

        Raises:
            InputError: they do not say.
        """
        if isinstance(self._holder, HfFolder):
            return self._holder.model_type
        return str(self.config["model_type"])

    @property
    def name(self) -> str:
        """What people call it: its name in the cache, the run's name, or that of the folder or file."""
        path = self.path.resolve()
        if isinstance(self._holder, GgufFile):
            return path.stem
        if path.parent.name == "snapshots":
            return path.parent.parent.name.removeprefix("models--").replace("--", "/")
        return path.parent.name if path.name == "model" else path.name

    def source(self, *, allow_pickle: bool = False) -> WeightSource:
        """The weights.

        Args:
            allow_pickle: whether a folder that has only pytorch_model.bin is read, without running code.

        Raises:
            InputError: there are none, or a file is damaged.
        """
        if isinstance(self._holder, GgufFile):
            return self._holder
        if allow_pickle and not self._holder.has_safe_weights and pickled.has_pickled_weights(self.path):
            return pickled.PickledWeights(self.path)
        return self._holder.source()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer.

        Raises:
            InputError: there is none, or it is damaged.
        """
        if isinstance(self._holder, HfFolder):
            return Tokenizer.load(self.path)
        with tempfile.TemporaryDirectory() as folder:
            self.copy_side_files(Path(folder))
            return Tokenizer.load(Path(folder))

    @cached_property
    def tokenizer_folder(self) -> TokenizerFolder:
        """The tokenizer's files.

        Raises:
            InputError: there is none, or it is damaged.
        """
        if isinstance(self._holder, HfFolder):
            return read_folder(self.path)
        with tempfile.TemporaryDirectory() as folder:
            self.copy_side_files(Path(folder))
            return read_folder(Path(folder))

    def copy_side_files(self, folder: Path) -> None:
        """Write all but config and weights into a folder that exists: tokenizer, template, settings.

        Raises:
            InputError: one of them is damaged.
            YanmoError: the disk is full or ``folder`` cannot be written.
        """
        if isinstance(self._holder, HfFolder):
            self._holder.copy_side_files(folder)
            return
        for name, content in self._holder.tokenizer_files().items():
            write_bytes(folder / name, content)
        write_json(folder / GENERATION_FILE, self.generation_config)


def sha256_of_model(path: Path) -> str:
    """Of what a model is: its file, or the settings and weights of its folder."""
    if path.is_file():
        return sha256_of_file(path)
    files = sorted(p for p in path.iterdir() if p.suffix in (".json", ".safetensors") and p.is_file())
    return sha256_of_text(*(part for p in files for part in (p.name, sha256_of_file(p))))
