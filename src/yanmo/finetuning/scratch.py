"""A model for a task from nothing but its examples: tokenizer, network, and how to train it.

``sequence_to_sequence``: a small encoder-decoder as ``pretrain --shape encoder-decoder`` builds it, with one
vocabulary and one table for sources and targets, small pieces (Sennrich and Zhang 2019, arXiv 1905.11901,
section 3: what few pairs want), and noise against learning by heart: dropout, smoothed labels, tokens taken
apart (Provilkov et al. 2020, arXiv 1910.13267). Muon moves the matrices, AdamW the rest, and the rate falls
to zero over most of the run, which does what averaging the last weights does (Haegele et al. 2024, arXiv
2405.18392, section 4). T5 scales a tied output by the root of the width, which would slow AdamW down by as
much: the output is a matrix of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from yanmo.errors import InputError
from yanmo.finetuning.answers.written import Rewriting
from yanmo.models.checkpoint import Checkpoint
from yanmo.models.families import t5
from yanmo.models.folder import save_model
from yanmo.models.transformer import Transformer, TransformerConfig
from yanmo.planning.probe import Machine
from yanmo.planning.rules import learning_rates, weight_decays
from yanmo.tasks.examples import Example, Seq2SeqExample
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
# A network with more weights a token of text learns the text by heart.
_MOST_WEIGHTS_A_TOKEN = 12
# AdamW's at a width of 256: between what continuing a text and what masked tokens bear (planning.rules).
_ADAM_RATE = 0.006
_SMOOTHING, _SPLIT_SHARE, _NUM_BEAMS = 0.1, 0.1, 5


@dataclass(frozen=True, kw_only=True)
class ScratchRecipe:
    """How a fresh model learns a task.

    Attributes:
        batch_size: examples of a step.
        epochs: passes over the examples, with as much time as is needed.
        optimizer: Muon for matrices, AdamW for the rest.
        warmup_steps: in which the rates rise.
        dropout: of what each block adds to the stream.
        moves_embedding: it has nothing to keep.
    """

    batch_size: int
    epochs: float
    optimizer: OptimizerConfig
    warmup_steps: int
    dropout: float = 0.2
    moves_embedding: bool = True

    def schedule(self, num_steps: int) -> ScheduleConfig:
        """Up, and down to zero over most of the run."""
        return ScheduleConfig(warmup_steps=max(1, min(self.warmup_steps, num_steps // 5)), decay_from=0.3)


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """A fresh model and all that goes with it.

    Attributes:
        network: with its first weights, in float32.
        tokenizer: learned from the examples.
        recipe: how it is trained.
        model_type: family that it is written as.
        expected_epochs: passes that the budget gives, about.
    """

    network: Transformer
    tokenizer: Tokenizer
    recipe: ScratchRecipe
    model_type: str
    expected_epochs: float

    def save(self, folder: Path, *, details: Mapping[str, Any]) -> Checkpoint:
        """Write a model folder, whole, that says all that a run asks a model for.

        The network itself is to be trained, not the one that is read from there: families of checkpoints
        scale weights in their own ways, and Muon moves all alike (``models.families.t5``).
        """
        weights = {name: weight.detach() for name, weight in self.network.named_parameters()}
        save_model(
            folder,
            self.network,
            weights,
            self.tokenizer,
            dtype=torch.float32,
            details=details,
            card="# A model that has learned nothing yet\n",
            model_type=self.model_type,
        )
        return Checkpoint.open(folder)

    def skill(self, task: str, checkpoint: Checkpoint) -> Rewriting:
        """How a task of texts that become others is learned by the network, written as ``checkpoint``."""
        skill = Rewriting(
            task=task,
            smoothing=_SMOOTHING,
            split_share=_SPLIT_SHARE,
            split_epochs=self.expected_epochs,
            num_beams=_NUM_BEAMS,
        )
        skill.begin(self.network, checkpoint)
        return skill


def sequence_to_sequence(
    examples: Sequence[Example],
    *,
    machine: Machine,
    budget_s: float | None = None,
    size: tuple[int, int] | None = None,
    vocab_size: int | None = None,
    seed: int = 0,
) -> Scratch:
    """A model of texts that become others.

    Args:
        examples: of texts that become others, with targets.
        machine: that will train it.
        budget_s: seconds of training; None takes what the passes take.
        size: layers of each stack and width, instead of what suits examples and budget.
        vocab_size: of the tokenizer, instead of what suits the texts.
        seed: of the first weights.

    Raises:
        InputError: an example has no target, or the sizes cannot be.
    """
    texts = [
        text
        for example in examples
        if isinstance(example, Seq2SeqExample)
        for text in (example.source, *(example.targets or ())[:1])
    ]
    if len(texts) < 2 * len(examples) or not examples:
        raise InputError("an example has no target to learn from", remedy="give pairs of texts")
    tokenizer = fit_bpe(texts, vocab_size, Purpose.DENOISING)
    num_tokens = sum(len(ids) + 1 for ids in tokenizer.encode_batch(texts))
    work = Work(
        num_tokens=num_tokens,
        vocab_size=tokenizer.vocab_size,
        flop_per_s=machine.gemm_flop_per_s * _SPEED_SHARE,
    )
    layers, d_model = size or work.choose_size(budget_s)
    torch.manual_seed(seed)
    return Scratch(
        network=Transformer(seq2seq_config(tokenizer.vocab_size, layers=layers, d_model=d_model)),
        tokenizer=tokenizer,
        recipe=_recipe(len(examples), d_model),
        model_type="t5",
        expected_epochs=work.epochs(layers, d_model, budget_s),
    )


def seq2seq_config(vocab_size: int, *, layers: int, d_model: int) -> TransformerConfig:
    """An encoder-decoder of such sizes, with one table for sources and targets."""
    heads = max(1, d_model // _HEAD_DIM)
    return t5.encoder_decoder(
        vocab_size=vocab_size,
        d_model=d_model,
        num_layers=layers,
        num_heads=heads,
        head_dim=_HEAD_DIM if d_model % _HEAD_DIM == 0 else d_model // heads,
        d_ff=round(d_model * 8 / 3 / 64) * 64,
        max_seq_len=_LONGEST,
    )


@dataclass(frozen=True, kw_only=True)
class Work:
    """What passes over texts cost.

    Attributes:
        num_tokens: of both sides.
        vocab_size: of the tokenizer.
        flop_per_s: operations a second in training.
    """

    num_tokens: int
    vocab_size: int
    flop_per_s: float

    def epochs(self, layers: int, d_model: int, budget_s: float | None) -> float:
        """Passes that a network makes in a budget."""
        if budget_s is None:
            return _MOST_EPOCHS
        config = seq2seq_config(self.vocab_size, layers=layers, d_model=d_model)
        # Each weight but those of the table is used twice forward and four times backward; half of the tokens
        # go through each stack.
        flop = 6 * (config.num_parameters - self.vocab_size * d_model) / 2 * self.num_tokens
        return min(_MOST_EPOCHS, budget_s * self.flop_per_s / flop)

    def choose_size(self, budget_s: float | None) -> tuple[int, int]:
        """The largest network that is no larger than its texts allow and makes its passes in the budget."""
        chosen = _LADDER[0]
        for layers, d_model in _LADDER[1:]:
            config = seq2seq_config(self.vocab_size, layers=layers, d_model=d_model)
            is_slow = self.epochs(layers, d_model, budget_s) < _LEAST_EPOCHS
            if is_slow or config.num_parameters > _MOST_WEIGHTS_A_TOKEN * self.num_tokens:
                break
            chosen = (layers, d_model)
        return chosen


def _recipe(num_examples: int, d_model: int) -> ScratchRecipe:
    batch_size = 32 if num_examples < 2_000 else 64 if num_examples < 10_000 else 192
    steps_an_epoch = num_examples / batch_size
    muon_rate, _ = learning_rates(d_model, goes_on=False)
    adam_rate = _ADAM_RATE * (256 / d_model) ** 0.5
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
        warmup_steps=max(20, round(steps_an_epoch / 4)),
    )
