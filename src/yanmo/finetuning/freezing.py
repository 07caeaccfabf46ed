"""Which weights of a network move in fine-tuning, when they begin to, and how fast.

A network is one column: embedding, blocks (of an encoder-decoder the encoder's below the decoder's), heads.
Gradual unfreezing, from the top down: Howard and Ruder 2018 (arXiv 1801.06146, section 3.3), there one layer
more each epoch, here at even shares of the run. Rates that shrink from layer to layer: section 3.2 there, and
Clark et al. 2020 (arXiv 2003.10555, appendix B).

Everything is a pure function of the network's weights and of the share of the run that is done, so that a run
that was stopped goes on as it would have (``Optimizer.reach``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from yanmo.errors import InputError
from yanmo.models.heads import HeadKind
from yanmo.models.transformer import Transformer

# Heads that are drawn for a task; others come with what was pretrained.
TASK_HEADS = (HeadKind.SEQUENCE_CLASSIFICATION, HeadKind.TOKEN_CLASSIFICATION, HeadKind.SPAN)


@dataclass(frozen=True, kw_only=True)
class FreezingConfig:
    """What moves. The plain one: everything, from the beginning, at one rate.

    Attributes:
        last_blocks: blocks that move, counted from the top; 0 is the heads alone, None everything.
        gradual_until: share of the run at which the last weights begin to move, the heads at once and then
            block by block; 0 is all at once.
        layer_decay: factor on the learning rate from each block to the one below it.
    """

    last_blocks: int | None = None
    gradual_until: float = 0.0
    layer_decay: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.last_blocks is not None and self.last_blocks < 0:
            raise InputError(f"last_blocks must be 0 or more, not {self.last_blocks}")
        if not 0 <= self.gradual_until < 1:
            raise InputError(f"gradual_until must be from 0 to below 1, not {self.gradual_until:g}")
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"layer_decay must be above 0 and at most 1, not {self.layer_decay:g}")


def depths(network: Transformer) -> dict[str, int]:
    """Where each weight stands: 0 below all blocks, 1 in the lowest, one more than in the highest for heads.

    A stack's last norm belongs to its last block, its positions and types stand below its first.
    """
    bottoms, top = {"embedding": 0}, 0
    for name, stack in (("encoder", network.encoder), ("decoder", network.decoder)):
        if stack is not None:
            bottoms[name] = top
            top += len(stack.blocks)
    found = {}
    for name, _ in network.named_parameters():
        part, *rest = name.split(".")
        if part == "heads":
            found[name] = top + 1
        elif rest[0] == "blocks":
            found[name] = bottoms[part] + int(rest[1]) + 1
        elif rest[0] == "norm":
            stack = network.encoder if part == "encoder" else network.decoder
            assert stack is not None
            found[name] = bottoms[part] + len(stack.blocks)
        else:
            found[name] = bottoms[part]
    return found


def freeze(network: Transformer, config: FreezingConfig) -> None:
    """Ask no gradient of the weights that do not move; those that are frozen already stay so.

    Raises:
        InputError: nothing would move.
    """
    if config.last_blocks is None:
        return
    depth_of = depths(network)
    lowest = _top(network) - config.last_blocks
    for name, weight in network.named_parameters():
        if depth_of[name] < lowest:
            weight.requires_grad_(False)
    if not any(weight.requires_grad for weight in network.parameters()):
        raise InputError(
            "nothing would be trained: the model has no head of its own", remedy="let at least one block move"
        )


def is_of_task_head(name: str) -> bool:
    """Whether a weight belongs to a head that is drawn for a task."""
    return name.startswith(tuple(f"heads.{kind}." for kind in TASK_HEADS))


def freeze_all_but_task_heads(network: Transformer) -> None:
    """Ask a gradient of the heads alone that are drawn for a task."""
    for name, weight in network.named_parameters():
        weight.requires_grad_(is_of_task_head(name))


def begins(network: Transformer, config: FreezingConfig) -> dict[str, float]:
    """Share of the run at which each weight begins to move (``Optimizer``); empty where all do at once.

    Levels of those that want a gradient follow each other at even distances, the topmost at 0, the lowest at
    ``gradual_until``.
    """
    if config.gradual_until == 0:
        return {}
    depth_of = depths(network)
    moving = [name for name, weight in network.named_parameters() if weight.requires_grad]
    levels = sorted({depth_of[name] for name in moving}, reverse=True)
    step = config.gradual_until / max(1, len(levels) - 1)
    return {name: levels.index(depth_of[name]) * step for name in moving}


def layer_rates(network: Transformer, config: FreezingConfig) -> dict[str, float]:
    """Factors on the learning rate: 1 for heads, ``layer_decay`` for the topmost block, and so on down."""
    top = _top(network)
    return {name: config.layer_decay ** (top - depth) for name, depth in depths(network).items()}


def joined_rates(*factors: Mapping[str, float]) -> dict[str, float]:
    """Products of factors by name; what a table does not name is 1 there."""
    names = dict.fromkeys(name for table in factors for name in table)
    return {name: math.prod(table.get(name, 1.0) for table in factors) for name in names}


def _top(network: Transformer) -> int:
    """The depth of heads, whether or not there are any."""
    stacks = (network.encoder, network.decoder)
    return 1 + sum(len(stack.blocks) for stack in stacks if stack is not None)
