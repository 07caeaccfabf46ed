"""Flags of a pretraining run, in groups; shared by train, plan and pretrain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from yanmo.recipes.settings import PretrainSettings

_METHOD = Group("What is trained", sort_key=1)
_SIZES = Group("Sizes, where the plan's are not wanted", sort_key=2)
_GO_ON = Group("Going on from a model", sort_key=3)
_MACHINE = Group("Where and how it is computed", sort_key=4)


@Parameter(name="*", group=_METHOD)
@dataclass(frozen=True, kw_only=True)
class Method:
    """Shape of the network and what it is trained for."""

    shape: Annotated[
        Literal["decoder", "encoder", "encoder-decoder", "lstm"] | None,
        Parameter(help="Kind of network; a decoder if nothing is said."),
    ] = None
    objective: Annotated[
        Literal["causal", "masked", "denoising"] | None,
        Parameter(help="The one of the shape: next token, hidden tokens, missing spans."),
    ] = None
    mask_share: Annotated[
        float | None,
        Parameter(
            help="Share of the tokens that are hidden; 0.3 for an encoder, 0.15 for an encoder-decoder."
        ),
    ] = None
    whole_words: Annotated[bool, Parameter(negative="", help="Hide whole words (masked).")] = False
    denoisers: Annotated[
        Literal["spans", "ul2"], Parameter(help="Short spans, or the mixture of UL2 (denoising).")
    ] = "spans"
    next_sentence: Annotated[
        bool, Parameter(negative="", help="Tell too whether a text follows on another (masked).")
    ] = False


@Parameter(name="*", group=_SIZES)
@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is fixed by hand; the plan chooses the rest."""

    steps: Annotated[int | None, Parameter(help="Optimizer steps, instead of a budget.")] = None
    num_layers: Annotated[
        int | None,
        Parameter(help="Blocks of the network; an encoder-decoder has half of them on either side."),
    ] = None
    d_model: Annotated[int | None, Parameter(help="Width of the network.")] = None
    max_seq_len: Annotated[int | None, Parameter(help="Context in tokens.")] = None
    batch_size: Annotated[int | None, Parameter(help="Rows of a step.")] = None
    micro_batch_size: Annotated[int | None, Parameter(help="Rows at once; gradients are summed.")] = None
    vocab_size: Annotated[int | None, Parameter(help="Tokens of the vocabulary.")] = None
    tokenizer: Annotated[Path | None, Parameter(help="Tokenizer folder to use.")] = None
    dropout: Annotated[float | None, Parameter(help="Share of each block's output that is dropped.")] = None
    split_share: Annotated[
        float | None, Parameter(help="Share of the tokens that are taken apart at first, anew in each pass.")
    ] = None
    muon_learning_rate: Annotated[float | None, Parameter(help="Of the matrices in the blocks.")] = None
    adam_learning_rate: Annotated[float | None, Parameter(help="Of everything else.")] = None
    checkpoint_every: Annotated[str, Parameter(help="Time between checkpoints.")] = "30s"


@Parameter(name="*", group=_MACHINE)
@dataclass(frozen=True, kw_only=True)
class Computing:
    """Where it is computed, and how it is shared between the processes that torchrun started."""

    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"], Parameter(help="What computes; a GPU where there is one.")
    ] = "auto"
    parallelism: Annotated[
        Literal["replicated", "sharded"], Parameter(help="Each process holds the whole model, or a part.")
    ] = "replicated"
    tensorboard: Annotated[
        bool, Parameter(negative="", help="Write TensorBoard events too, below the run.")
    ] = False
    profile: Annotated[
        bool, Parameter(negative="", help="Say first where the time of a step goes; also in the report.")
    ] = False


@Parameter(name="*", group=_GO_ON)
@dataclass(frozen=True, kw_only=True)
class GoOn:
    """A model to go on from, and text against forgetting."""

    model: Annotated[
        Path | None, Parameter(help="Model to go on from: a folder, a run, a .gguf file, a cached name.")
    ] = None
    replay: Annotated[Path | None, Parameter(help="Corpus of text that it has seen, against forgetting.")] = (
        None
    )
    replay_share: Annotated[float, Parameter(help="Share of each step's rows that come from it.")] = 0.1


def settings_of(
    budget: str | None,
    sizes: Sizes,
    seed: int,
    *,
    method: Method = Method(),
    go_on: GoOn = GoOn(),
    computing: Computing = Computing(),
) -> PretrainSettings:
    """Settings of a pretraining run from flags.

    Raises:
        InputError: the budget is not a duration, both or neither of budget and steps are given, or flags
            do not go together.
    """
    from yanmo.config import parse_duration_s
    from yanmo.errors import InputError
    from yanmo.planning.candidate import Wishes
    from yanmo.recipes.settings import PretrainSettings

    if (budget is None) == (sizes.steps is None):
        raise InputError("give either --budget or --steps", remedy="for example --budget 30m")
    for name in ("steps", "num_layers", "d_model", "max_seq_len", "batch_size", "micro_batch_size"):
        value = getattr(sizes, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be at least 1, not {value}")
    for name in ("muon_learning_rate", "adam_learning_rate"):
        rate = getattr(sizes, name)
        if rate is not None and not 0.0 <= rate < float("inf"):
            raise InputError(f"--{name.replace('_', '-')} must be 0 or more, not {rate:g}")
    return PretrainSettings(
        budget_s=None if budget is None else parse_duration_s(budget),
        **vars(method),
        **vars(go_on),
        **vars(computing),
        vocab_size=sizes.vocab_size,
        tokenizer=sizes.tokenizer,
        seed=seed,
        micro_batch_size=sizes.micro_batch_size,
        checkpoint_every_s=parse_duration_s(sizes.checkpoint_every),
        wishes=Wishes(
            num_layers=sizes.num_layers,
            d_model=sizes.d_model,
            max_seq_len=sizes.max_seq_len,
            batch_size=sizes.batch_size,
            dropout=sizes.dropout,
            split_share=sizes.split_share,
            num_steps=sizes.steps,
            muon_learning_rate=sizes.muon_learning_rate,
            adam_learning_rate=sizes.adam_learning_rate,
        ),
    )
