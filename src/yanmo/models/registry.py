"""From a path to a model that answers: reads what kind of folder it is and loads it.

Model arguments everywhere are paths read here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from yanmo.errors import InputError
from yanmo.models import lstm
from yanmo.models.base import LanguageModel
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.families import family_of, named_architecture
from yanmo.models.folder import load_transformer
from yanmo.models.generation_settings import GenerationSettings, read_generation_settings
from yanmo.models.ngram import model as ngram
from yanmo.models.quick_decoding import hold_in_bfloat16, quick_decoder
from yanmo.tokenizers.load import Tokenizer


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A language model with its tokenizer.

    ``chat`` tells whether it was trained on conversations, ``generation`` which tokens its answers begin
    and end with.
    """

    model: LanguageModel
    tokenizer: Tokenizer
    path: Path
    name: str
    architecture: str
    num_parameters: int
    chat: bool
    generation: GenerationSettings = field(default_factory=GenerationSettings)


def load(path: Path | str, *, dtype: torch.dtype = torch.float32, read_only: bool = True) -> LoadedModel:
    """Load a model.

    Args:
        path: a model folder, a run, a .gguf file, or a name in the local Hugging Face cache.
        dtype: type of a network's weights in memory, but for codes.
        read_only: whether matrices may be held in forms that can be read and not changed (``HeldWeight``).

    Raises:
        InputError: the model is missing, damaged, of a family that is not known, or too big for the memory.
    """
    checkpoint = Checkpoint.open(path)
    where = checkpoint.path
    model: LanguageModel
    has_source = False
    match checkpoint.model_type:
        case ngram.MODEL_TYPE:
            model = ngram.load_ngram(where)
            architecture, num_parameters = f"{model.config.order}-gram", model.num_parameters
        case lstm.MODEL_TYPE:
            model = lstm.load_lstm(where, dtype=dtype)
            architecture, num_parameters = "LSTM", model.num_parameters
        case _:
            config = checkpoint.config
            family_of(config, where=checkpoint.config_path)
            source = checkpoint.source()
            model = load_transformer(
                config, source, where=checkpoint.config_path, dtype=dtype, in_codes=read_only
            )
            if dtype == torch.bfloat16 and read_only:
                hold_in_bfloat16(model)
            model.quick = quick_decoder(model)
            architecture = named_architecture(config)
            num_parameters = model.config.num_parameters
            has_source = model.config.shape == "encoder-decoder"
    tokenizer = checkpoint.tokenizer
    check_vocabularies(tokenizer, model, where=where)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        path=where,
        name=checkpoint.name,
        architecture=architecture,
        num_parameters=num_parameters,
        chat=tokenizer.chat_tuned,
        generation=read_generation_settings(
            checkpoint.generation_config,
            checkpoint.config,
            vocab_size=model.vocab_size,
            has_source=has_source,
            where=where,
        ),
    )


def check_vocabularies(tokenizer: Tokenizer, model: LanguageModel, *, where: object = None) -> None:
    """Refuse a tokenizer that was not made for a model.

    Special tokens that the model never learned may stand behind those it knows, as in some published folders.

    Raises:
        InputError: ordinary text has ids that the model does not know.
    """
    if tokenizer.num_text_ids > model.vocab_size:
        raise InputError(
            f"the tokenizer has {tokenizer.num_text_ids} ids, the model {model.vocab_size}",
            where=where,
            remedy="use the tokenizer that the model was trained with",
        )
