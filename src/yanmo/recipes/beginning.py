"""What a fine-tuning begins with: a model that has learned already, or nothing but the examples."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from yanmo import artifact
from yanmo.errors import InputError
from yanmo.finetuning.answers.preferences import Rewards
from yanmo.finetuning.recipe import FinetuneRecipe, learning_rate_factors
from yanmo.finetuning.registry import kind_of_task
from yanmo.finetuning.scratch import ScratchRecipe, sequence_to_sequence
from yanmo.finetuning.skill import HeadSkill, Skill
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.transformer import Transformer
from yanmo.planning.probe import probe
from yanmo.recipes.finetune_settings import FinetuneSettings
from yanmo.recipes.run_folder import RunFolder
from yanmo.recipes.scratch_encoder import USUAL_BUDGET_S, make_encoder
from yanmo.reporting.progress import say
from yanmo.tasks.split import Splits

SCRATCH = Path("scratch")
# Tasks of encoders; a fresh one reads for this share of the budget before it learns the task.
_ENCODED = (
    "text-classification",
    "pair-classification",
    "relation-extraction",
    "token-classification",
    "question-answering",
)
_READING_SHARE = 0.6
# Tokens of so small a table are seen often enough by any examples to learn from them.
_SMALL_TABLE = 16_384
# What a table learns faster than the blocks, or its rows hardly move: each is seen in a few texts only.
_TABLE_RATE = 10.0
# And what is hidden of the texts meanwhile, so that they are not known by their rarest words.
_HIDDEN_SHARE, _HIDDEN_IN = 0.3, ("text-classification", "pair-classification")
# A small encoder that has read little has little to forget.
_FRESH_RATE = 2e-4
_FROM_PAIRS = ("translation", "summarization")
_USUAL_MAX_SEQ_LEN, _USUAL_FOR_TEXTS = 256, 512
# Answers are written token by token, and more validations of them tell little more.
_MOST_VALIDATIONS = 20


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """A network that is about to learn.

    Attributes:
        checkpoint: what it is written as, and with which files.
        skill: what it is to learn.
        network: in float32.
        recipe: passes, batch, rates.
        rates: factors on the learning rates by weight.
        usual_max_seq_len: of its texts in tokens, where nothing else is said.
        most_validations: of a run.
    """

    checkpoint: Checkpoint
    skill: Skill[Any]
    network: Transformer
    recipe: FinetuneRecipe | ScratchRecipe
    rates: Mapping[str, float]
    usual_max_seq_len: int = _USUAL_MAX_SEQ_LEN
    most_validations: int = sys.maxsize


def open_model(settings: FinetuneSettings) -> Checkpoint | None:
    """The model to begin with; None where it is ``scratch`` and no folder is called so.

    Raises:
        InputError: there is no such model.
    """
    return None if settings.model == SCRATCH and not SCRATCH.exists() else Checkpoint.open(settings.model)


def reads_first(task: str) -> bool:
    """Whether a fresh model of a task is an encoder that reads texts before it learns from the examples."""
    return task in _ENCODED


def begin(
    run: RunFolder, checkpoint: Checkpoint | None, splits: Splits, settings: FinetuneSettings
) -> Beginning:
    """Open the model with what the task needs, or make one; a run that goes on finds its own.

    Args:
        run: an opened folder.
        checkpoint: the model; None for a fresh one.
        splits: what is learned from.
        settings: of the run.

    Raises:
        InputError: there is nothing to learn, or the model cannot.
    """
    if checkpoint is None:
        return _from_scratch(run, splits, settings)
    skill = Rewards() if settings.reward else kind_of_task(settings.task).fit(splits.train)
    torch.manual_seed(settings.seed)
    network = skill.network(checkpoint)
    writes = not isinstance(skill, HeadSkill)
    recipe, rates = settings.recipe(len(splits.train), network.config.d_model), learning_rate_factors(network)
    if network.config.vocab_size <= _SMALL_TABLE:
        recipe = _for_small_table(recipe, checkpoint, settings)
        if not writes:
            rates["embedding.weight"] = _TABLE_RATE
    return Beginning(
        checkpoint=checkpoint,
        skill=skill,
        network=network,
        recipe=recipe,
        rates=rates,
        usual_max_seq_len=_USUAL_FOR_TEXTS if writes else _USUAL_MAX_SEQ_LEN,
        most_validations=_MOST_VALIDATIONS if writes else sys.maxsize,
    )


def _for_small_table(
    recipe: FinetuneRecipe, checkpoint: Checkpoint, settings: FinetuneSettings
) -> FinetuneRecipe:
    """The table learns too, and words are hidden while it does."""
    recipe = dataclasses.replace(recipe, moves_embedding=True)
    is_held = settings.lora is not None or settings.freezing.last_blocks is not None
    has_mask = checkpoint.tokenizer.mask_id is not None
    if is_held or not has_mask or settings.task not in _HIDDEN_IN or settings.hide_words is not None:
        return recipe
    return dataclasses.replace(recipe, hide_words=_HIDDEN_SHARE)


def _from_fresh_encoder(run: RunFolder, splits: Splits, settings: FinetuneSettings) -> Beginning:
    """An encoder that has read the examples' texts, and more where there are any."""
    budget_s = USUAL_BUDGET_S if settings.budget_s is None else _READING_SHARE * settings.budget_s
    texts = (text for example in splits.train for text in example.inputs())
    model = make_encoder(
        texts, run.path / SCRATCH, corpus=settings.corpus, budget_s=budget_s, seed=settings.seed
    )
    begun = begin(run, Checkpoint.open(model), splits, settings)
    rate = _FRESH_RATE if settings.learning_rate is None else settings.learning_rate
    assert isinstance(begun.recipe, FinetuneRecipe)
    recipe = dataclasses.replace(begun.recipe, learning_rate=rate, moves_embedding=True)
    return dataclasses.replace(begun, recipe=recipe)


def _from_scratch(run: RunFolder, splits: Splits, settings: FinetuneSettings) -> Beginning:
    if reads_first(settings.task):
        return _from_fresh_encoder(run, splits, settings)
    if settings.task not in _FROM_PAIRS:
        raise InputError(
            f"{settings.task} is not learned from nothing",
            remedy=f"give a model with --model; from nothing: {', '.join((*_ENCODED, *_FROM_PAIRS))}",
        )
    if (settings.lora, settings.learning_rate, settings.hide_words) != (None, None, None):
        raise InputError(
            "--lora, --learning-rate and --hide-words are for a model that has learned already",
            remedy="leave them out",
        )
    folder = run.path / SCRATCH
    known = (artifact.read_manifest(folder) or {}).get("details", {})
    size = (known["layers"], known["d_model"]) if known else None
    made = sequence_to_sequence(
        splits.train, machine=probe(), budget_s=settings.budget_s, size=size, seed=settings.seed
    )
    if known:
        # The speed of the machine may be measured otherwise now; the run goes on as it began.
        made = dataclasses.replace(made, expected_epochs=known["expected_epochs"])
        checkpoint = Checkpoint.open(folder)
    else:
        config = made.network.config
        sizes = {"layers": config.last_stack.num_layers, "d_model": config.d_model}
        checkpoint = made.save(folder, details={**sizes, "expected_epochs": made.expected_epochs})
        say(
            f"a fresh encoder-decoder of {config.num_parameters / 1e6:.1f} M parameters, {sizes['layers']} + "
            f"{sizes['layers']} layers of {sizes['d_model']}, {made.tokenizer.vocab_size:,} tokens"
        )
    said = {
        name: value
        for name in ("epochs", "batch_size", "dropout")
        if (value := getattr(settings, name)) is not None
    }
    return Beginning(
        checkpoint=checkpoint,
        skill=made.skill(settings.task, checkpoint),
        network=made.network,
        recipe=dataclasses.replace(made.recipe, **said),
        rates={},
        most_validations=_MOST_VALIDATIONS,
    )
