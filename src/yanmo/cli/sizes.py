"""Flags that set by hand what the plan would choose; shared by train, plan and pretrain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from yanmo.recipes.pretrain import PretrainSettings


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is fixed by hand; the plan chooses the rest."""

    steps: Annotated[int | None, Parameter(help="Optimizer steps, instead of a budget.")] = None
    num_layers: Annotated[int | None, Parameter(help="Blocks of the network.")] = None
    d_model: Annotated[int | None, Parameter(help="Width of the network.")] = None
    max_seq_len: Annotated[int | None, Parameter(help="Context in tokens.")] = None
    batch_size: Annotated[int | None, Parameter(help="Rows of a step.")] = None
    micro_batch_size: Annotated[int | None, Parameter(help="Rows at once; gradients are summed.")] = None
    vocab_size: Annotated[int | None, Parameter(help="Tokens of the vocabulary.")] = None
    tokenizer: Annotated[Path | None, Parameter(help="Tokenizer folder to use.")] = None
    dropout: Annotated[float | None, Parameter(help="Share of each block's output that is dropped.")] = None
    muon_learning_rate: Annotated[float | None, Parameter(help="Of the matrices in the blocks.")] = None
    adam_learning_rate: Annotated[float | None, Parameter(help="Of everything else.")] = None
    checkpoint_every: Annotated[str, Parameter(help="Time between checkpoints.")] = "30s"


def settings_of(budget: str | None, sizes: Sizes, seed: int) -> PretrainSettings:
    """Settings of a pretraining run from flags.

    Raises:
        InputError: the budget is not a duration, or both or neither of budget and steps are given.
    """
    from yanmo.config import parse_duration_s
    from yanmo.errors import InputError
    from yanmo.planning.plan import Wishes
    from yanmo.recipes.pretrain import PretrainSettings

    if (budget is None) == (sizes.steps is None):
        raise InputError("give either --budget or --steps", remedy="for example --budget 30m")
    for name in ("steps", "num_layers", "d_model", "max_seq_len", "batch_size", "micro_batch_size"):
        value = getattr(sizes, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} must be at least 1, not {value}")
    return PretrainSettings(
        budget_s=None if budget is None else parse_duration_s(budget),
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
            num_steps=sizes.steps,
            muon_learning_rate=sizes.muon_learning_rate,
            adam_learning_rate=sizes.adam_learning_rate,
        ),
    )
