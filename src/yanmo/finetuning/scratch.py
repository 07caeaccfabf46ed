"""A model for a task from nothing but its examples: tokenizer, network, and how to train it.

``sequence_to_sequence``: a small encoder-decoder as ``pretrain --shape encoder-decoder`` builds it, with one
vocabulary and one table for both sides (Press and Wolf 2017, arXiv 1608.05859, section 3: one matrix for
sources, targets and outputs), small pieces (Sennrich and Zhang 2019, arXiv 1905.11901, section 3: what few
pairs want), and noise against learning by heart: dropout, smoothed labels, tokens taken apart (Provilkov et
al. 2020, arXiv 1910.13267). Muon moves the matrices, AdamW the rest, and the rate falls to zero over most of
the run, which does what averaging the last weights does (Haegele et al. 2024, arXiv 2405.18392, section 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from yanmo.errors import InputError
from yanmo.finetuning.answers.form import AnswerForm
from yanmo.models.families import t5
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.planning.probe import Machine
from yanmo.planning.rules import learning_rates, weight_decays
from yanmo.tasks.examples import Seq2SeqExample
from yanmo.tokenizers.bpe import fit_bpe
from yanmo.tokenizers.load import Tokenizer
from yanmo.tokenizers.purpose import Purpose
from yanmo.training.optimizer import OptimizerConfig
from yanmo.training.schedule import ScheduleConfig

_HEAD_DIM = 64
# Layers of each stack and width, smallest first.
_LADDER = ((2, 128), (3, 192), (3, 256), (4, 320), (4, 384), (6, 512))
# Passes over the pairs after which a model of this kind learns little more, and those that a size must get.
_MOST_EPOCHS, _LEAST_EPOCHS = 30.0, 8.0
# Of the processor's speed at large products, what such small ones get in training.
_SPEED_SHARE = 0.35
_LONGEST = 256


@dataclass(frozen=True, kw_only=True)
class ScratchRecipe:
    """How a fresh model learns a task.

    Attributes:
        batch_size: examples of a step.
        epochs: passes over the examples, with as much time as is needed.
        optimizer: Muon for matrices, AdamW for the rest.
        schedule: of the rates.
        dropout: of what each block adds to the stream.
        smoothing: of the labels.
        split_share: probability at first that a merge of a token is undone.
    """

    batch_size: int
    epochs: float
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    dropout: float = 0.2
    smoothing: float = 0.1
    split_share: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """A fresh model and all that goes with it.

    Attributes:
        network: with its first weights, in float32.
        tokenizer: learned from the examples.
        form: how it answers.
        recipe: how it is trained.
        model_type: family that it is written as.
    """

    network: Transformer
    tokenizer: Tokenizer
    form: AnswerForm
    recipe: ScratchRecipe
    model_type: str


def sequence_to_sequence(
    examples: Sequence[Seq2SeqExample],
    *,
    machine: Machine,
    budget_s: float | None = None,
    size: tuple[int, int] | None = None,
    vocab_size: int | None = None,
    seed: int = 0,
) -> Scratch:
    """A model of texts that become others.

    Args:
        examples: with targets.
        machine: that will train it.
        budget_s: seconds of training; None takes what the passes take.
        size: layers of each stack and width, instead of what suits examples and budget.
        vocab_size: of the tokenizer, instead of what suits the texts.
        seed: of the first weights.

    Raises:
        InputError: an example has no target, or the sizes cannot be.
    """
    texts = [text for example in examples for text in (example.source, *(example.targets or ())[:1])]
    if len(texts) < 2 * len(examples) or not examples:
        raise InputError("an example has no target to learn from", remedy="give pairs of texts")
    tokenizer = fit_bpe(texts, vocab_size or suggest_vocab_size(texts), Purpose.DENOISING)
    lengths = [len(ids) + 1 for ids in tokenizer.encode_batch(texts)]
    layers, d_model = size or _choose_size(sum(lengths), tokenizer.vocab_size, machine, budget_s)
    config = seq2seq_config(tokenizer.vocab_size, layers=layers, d_model=d_model)
    torch.manual_seed(seed)
    return Scratch(
        network=Transformer(config),
        tokenizer=tokenizer,
        form=AnswerForm(
            has_source=True,
            first_ids=(tokenizer.pad_id,),
            end_ids=(tokenizer.eos_id,),
            barred_ids=tuple(token for token in tokenizer.special_ids.values() if token != tokenizer.eos_id),
            num_beams=5,
            length_penalty=1.0,
        ),
        recipe=_recipe(len(examples), d_model),
        model_type="t5",
    )


def suggest_vocab_size(texts: Sequence[str]) -> int:
    """Tokens that two languages' texts can fill: 2,048 for a megabyte, with the root of the size.

    Characters that occur once in 20,000 or more and are not ASCII have places on top, which Chinese needs.
    """
    counts: dict[str, int] = {}
    for text in texts:
        for character in text:
            counts[character] = counts.get(character, 0) + 1
    total = sum(counts.values())
    frequent = sum(ord(character) >= 0x80 and 20_000 * n >= total for character, n in counts.items())
    num_bytes = sum(len(character.encode()) * n for character, n in counts.items())
    size = 2048 * math.sqrt(num_bytes / 1e6) + frequent
    return min(max(round(size / 64) * 64, 512), 16_384)


def seq2seq_config(vocab_size: int, *, layers: int, d_model: int) -> TransformerConfig:
    """An encoder-decoder with one table for sources, targets and outputs."""
    heads = max(1, d_model // _HEAD_DIM)
    return t5.encoder_decoder(
        vocab_size=vocab_size,
        d_model=d_model,
        num_layers=layers,
        num_heads=heads,
        head_dim=_HEAD_DIM if d_model % _HEAD_DIM == 0 else d_model // heads,
        d_ff=round(d_model * 8 / 3 / 64) * 64,
        max_seq_len=_LONGEST,
        is_tied=True,
    )


def _choose_size(
    num_tokens: int, vocab_size: int, machine: Machine, budget_s: float | None
) -> tuple[int, int]:
    """The largest network that is no larger than its texts allow and gets its passes within the budget."""
    chosen = _LADDER[0]
    for layers, d_model in _LADDER[1:]:
        weights = seq2seq_config(vocab_size, layers=layers, d_model=d_model).num_parameters
        # Each weight is used twice forward and four times backward; half of the tokens go through each stack.
        flop = 6 * (weights + vocab_size * d_model) / 2 * num_tokens * _LEAST_EPOCHS
        is_quick = budget_s is None or flop <= budget_s * machine.gemm_flop_per_s * _SPEED_SHARE
        if weights > 8 * num_tokens or not is_quick:
            break
        chosen = (layers, d_model)
    return chosen


def _recipe(num_examples: int, d_model: int) -> ScratchRecipe:
    batch_size = 32 if num_examples < 2_000 else 64 if num_examples < 10_000 else 192
    steps_an_epoch = num_examples / batch_size
    muon_rate, adam_rate = learning_rates(d_model, goes_on=False)
    muon_decay, adam_decay = weight_decays(steps_an_epoch, muon_rate, adam_rate, goes_on=False)
    return ScratchRecipe(
        batch_size=batch_size,
        epochs=_MOST_EPOCHS,
        optimizer=OptimizerConfig(
            muon_learning_rate=muon_rate,
            adam_learning_rate=adam_rate,
            muon_weight_decay=muon_decay,
            adam_weight_decay=adam_decay,
        ),
        schedule=ScheduleConfig(warmup_steps=max(20, round(steps_an_epoch / 4)), decay_from=0.3),
    )
