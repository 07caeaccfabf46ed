"""Where a run's weights come from: random numbers, or a model that has learned already.

What it starts from decides the tokenizer, whether sizes can be chosen, and how the result is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from yanmo.artifact import claim, new_folder, write_bytes, write_json
from yanmo.corpus.store import Corpus
from yanmo.errors import InputError
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.convert import merged_config
from yanmo.models.files.hf_folder import CONFIG_FILE
from yanmo.models.files.safetensors_files import write_safetensors
from yanmo.models.folder import CheckpointWeights, save_model
from yanmo.models.heads import HeadKind
from yanmo.models.lstm import LstmModel, save_lstm
from yanmo.models.new_head import with_new_head
from yanmo.models.registry import load
from yanmo.models.transformer import Transformer
from yanmo.planning.shapes import ModelConfig, ShapeName, build_model, shape_of
from yanmo.recipes.settings import OBJECTIVE_OF, ObjectiveName, PretrainSettings, require_pair
from yanmo.reporting.progress import say
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import Purpose
from yanmo.tokenizers.train import fit_tokenizer, prepare_tokenizer

Network = Transformer | LstmModel

# As what a new Transformer is written; one that tells whether a text follows on another is a BERT.
_FAMILY_OF: Mapping[ShapeName, str] = {
    "decoder": "qwen3",
    "encoder": "modernbert",
    "encoder-decoder": "t5",
}
# Masked tokens teach nothing to the first token, which a head of whole texts would look at: such a head
# begins with the mean of all.
_SETTINGS: Mapping[str, Mapping[str, Any]] = {"modernbert": {"classifier_pooling": "mean"}}


class Start(Protocol):
    """What training begins with."""

    @property
    def shape(self) -> ShapeName:
        """Of the network."""

    @property
    def objective(self) -> ObjectiveName:
        """What it is pretrained for."""

    @property
    def given(self) -> ModelConfig | None:
        """The network where it is there already; None where its sizes can be chosen."""

    @property
    def name(self) -> str | None:
        """What people call the model that training goes on from."""

    def fit_tokenizer(self, corpus: Corpus) -> Tokenizer:
        """The tokenizer, without a folder."""

    def prepare_tokenizer(self, corpus: Corpus, folder: Path) -> Tokenizer:
        """The same, made or found in ``folder`` where it is the run's own."""

    def network(self, config: ModelConfig) -> Network:
        """The network with its first weights, in float32."""

    def save(
        self,
        folder: Path,
        network: Network,
        weights: Mapping[str, Tensor],
        tokenizer: Tokenizer,
        *,
        dtype: torch.dtype,
        details: Mapping[str, Any],
        card: str,
    ) -> None:
        """Write the model folder whole; arguments as of ``folder.save_model``."""


class Fresh:
    """Random weights, a tokenizer of the corpus' own, sizes as planned."""

    given: ModelConfig | None = None
    name: str | None = None

    def __init__(self, settings: PretrainSettings) -> None:
        """Nothing is made yet."""
        self._settings = settings
        self.shape: ShapeName = settings.shape or "decoder"
        self.objective: ObjectiveName = OBJECTIVE_OF[self.shape]

    def fit_tokenizer(self, corpus: Corpus) -> Tokenizer:
        """The tokenizer that the user chose, or one trained on the corpus."""
        if self._settings.tokenizer is not None:
            return Tokenizer.load(self._settings.tokenizer)
        purpose = Purpose(self.objective)
        return fit_tokenizer(corpus, vocab_size=self._settings.vocab_size, purpose=purpose)

    def prepare_tokenizer(self, corpus: Corpus, folder: Path) -> Tokenizer:
        """The same, in the run's folder."""
        chosen, vocab_size = self._settings.tokenizer, self._settings.vocab_size
        if chosen is None:
            purpose = Purpose(self.objective)
            return prepare_tokenizer(corpus, folder, vocab_size=vocab_size, purpose=purpose)
        details = {"corpus": corpus.sha256, "vocab_size": vocab_size}
        if not claim(folder, kind="tokenizer", details=details):
            with new_folder(folder, kind="tokenizer", details=details) as temporary:
                Tokenizer.load(chosen).save(temporary)
        return Tokenizer.load(folder)

    def network(self, config: ModelConfig) -> Network:
        """Drawn from the run's seed."""
        torch.manual_seed(self._settings.seed)
        return build_model(config)

    def save(
        self,
        folder: Path,
        network: Network,
        weights: Mapping[str, Tensor],
        tokenizer: Tokenizer,
        *,
        dtype: torch.dtype,
        details: Mapping[str, Any],
        card: str,
    ) -> None:
        """As the family that yanmo pretrains in this shape."""
        if isinstance(network, LstmModel):
            save_lstm(folder, network, weights, tokenizer, dtype=dtype, details=details, card=card)
            return
        model_type = "bert" if self._settings.next_sentence else _FAMILY_OF[self.shape]
        save_model(
            folder,
            network,
            weights,
            tokenizer,
            dtype=dtype,
            details=details,
            card=card,
            model_type=model_type,
            settings=_SETTINGS.get(model_type, {}),
        )


class GoingOn:
    """A model of any family: its weights, its tokenizer, its sizes, and every file beside them."""

    def __init__(self, settings: PretrainSettings) -> None:
        """Load the model.

        Raises:
            InputError: it cannot be loaded or cannot be trained, or the settings are for another shape.
        """
        assert settings.model is not None
        self._checkpoint, loaded = Checkpoint.open(settings.model), load(settings.model, read_only=False)
        where, network = self._checkpoint.path, loaded.model
        if not isinstance(network, Transformer | LstmModel):
            raise InputError(f"a {loaded.architecture} is counted, not trained", where=where)
        self._network: Network = network
        self._tokenizer = loaded.tokenizer
        self.given: ModelConfig | None = network.config
        self.name: str | None = loaded.name
        self.shape = shape_of(network.config)
        if settings.shape not in (None, self.shape):
            raise InputError(f"is of shape {self.shape}, not {settings.shape}", where=where)
        require_pair(self.shape, settings.objective)
        self.objective: ObjectiveName = OBJECTIVE_OF[self.shape]
        settings.require_objective(self.objective)
        if isinstance(network, Transformer):
            self._network = _with_head(network, self._checkpoint, HEADS[self.objective])
            if settings.next_sentence:
                _require_head(self._network, HeadKind.NEXT_SENTENCE, where)
            self.given = self._network.config

    def fit_tokenizer(self, corpus: Corpus) -> Tokenizer:
        """The model's own."""
        return self._tokenizer

    def prepare_tokenizer(self, corpus: Corpus, folder: Path) -> Tokenizer:
        """The model's own; the run's folder has it in the end, with the model."""
        return self._tokenizer

    def network(self, config: ModelConfig) -> Network:
        """The model itself."""
        return self._network

    def save(
        self,
        folder: Path,
        network: Network,
        weights: Mapping[str, Tensor],
        tokenizer: Tokenizer,
        *,
        dtype: torch.dtype,
        details: Mapping[str, Any],
        card: str,
    ) -> None:
        """As it came: the same family, with the chat template and all settings that stood beside it."""
        if isinstance(network, LstmModel):
            save_lstm(folder, network, weights, tokenizer, dtype=dtype, details=details, card=card)
            return
        model_type, config = self._checkpoint.model_type, merged_config(self._checkpoint, network)
        with new_folder(folder, kind="model", details=details) as temporary:
            write_safetensors(temporary, CheckpointWeights(network, model_type, weights=weights, dtype=dtype))
            write_json(temporary / CONFIG_FILE, config | {"dtype": str(dtype).removeprefix("torch.")})
            self._checkpoint.copy_side_files(temporary)
            write_bytes(temporary / "README.md", card.encode())


# The head that each objective reads.
HEADS: Mapping[ObjectiveName, HeadKind] = {
    "causal": HeadKind.CAUSAL_LM,
    "masked": HeadKind.MASKED_LM,
    "denoising": HeadKind.SEQ2SEQ_LM,
}


def open_start(settings: PretrainSettings) -> Start:
    """Where the settings say that weights come from."""
    return Fresh(settings) if settings.model is None else GoingOn(settings)


def _with_head(network: Transformer, checkpoint: Checkpoint, kind: HeadKind) -> Transformer:
    """The network with the head that pretraining reads; one that an encoder lost is drawn anew.

    Encoders of sentence vectors and of labels are published without the head that pretrained them. It comes
    back as the family has it, tied to the embedding, so that only its small transform begins at random.

    Raises:
        InputError: the model cannot have the head, or squeezes its outputs, which no objective does.
    """
    if kind not in [head.kind for head in network.config.heads]:
        if kind is not HeadKind.MASKED_LM:
            _require_head(network, kind, checkpoint.path)
        network = with_new_head(network, checkpoint, kind)
        say(f"{checkpoint.path}: has no {kind.value} head; one is drawn and trained with the rest")
    if network.head(kind).config.softcap is not None:
        raise InputError("has an output that pretraining does not go on with", where=checkpoint.path)
    return network


def _require_head(network: Transformer, kind: HeadKind, where: Path) -> None:
    kinds = [head.kind for head in network.config.heads]
    if kind not in kinds:
        has = ", ".join(kinds) or "none"
        raise InputError(f"has no {kind.value} head to go on with", where=where, remedy=f"its heads: {has}")
