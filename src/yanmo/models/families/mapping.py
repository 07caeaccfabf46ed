"""How the weights of a checkpoint become ours and ours theirs: one table, read in both directions.

Several of theirs may be stacked by rows into one of ours (``FusedLinear``, experts), and a file may keep a
weight in another layout than a product wants it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Layout(Protocol):
    """How one of their tensors stands in its file."""

    def ours(self, theirs: Tensor) -> Tensor:
        """A view of theirs, or a tensor made of it, that can be copied into our weight."""

    def theirs(self, ours: Tensor) -> Tensor:
        """The exact inverse."""


class Same:
    """As a linear layer has it: (outputs, inputs)."""

    def ours(self, theirs: Tensor) -> Tensor:
        """As it is."""
        return theirs

    def theirs(self, ours: Tensor) -> Tensor:
        """As it is."""
        return ours


class Transposed:
    """(inputs, outputs)."""

    def ours(self, theirs: Tensor) -> Tensor:
        """Transposed."""
        return theirs.mT

    def theirs(self, ours: Tensor) -> Tensor:
        """Transposed."""
        return ours.mT


@dataclass(frozen=True)
class Shifted:
    """Kept as the difference from ``origin``: the norms of some families are stored around zero."""

    origin: float = 1.0

    def ours(self, theirs: Tensor) -> Tensor:
        """In float32, or the sum would lose the file's small numbers."""
        return theirs.float() + self.origin

    def theirs(self, ours: Tensor) -> Tensor:
        """The difference."""
        return ours.float() - self.origin


@dataclass(frozen=True)
class InterleavedHeads:
    """Rows head by head, (heads, parts, head_dim), where ours are part by part."""

    num_heads: int
    num_parts: int = 3

    def ours(self, theirs: Tensor) -> Tensor:
        """Part by part."""
        return theirs.unflatten(0, (self.num_heads, self.num_parts, -1)).transpose(0, 1).flatten(0, 2)

    def theirs(self, ours: Tensor) -> Tensor:
        """Head by head."""
        return ours.unflatten(0, (self.num_parts, self.num_heads, -1)).transpose(0, 1).flatten(0, 2)


@dataclass(frozen=True)
class Scaled:
    """Theirs is ours times ``factor``."""

    factor: float

    def ours(self, theirs: Tensor) -> Tensor:
        """In float32, so that nothing is rounded twice."""
        return theirs.float() / self.factor

    def theirs(self, ours: Tensor) -> Tensor:
        """The product."""
        return ours.float() * self.factor


SAME = Same()
TRANSPOSED = Transposed()
SHIFTED = Shifted()


@dataclass(frozen=True)
class Weight:
    """One of our weights and where it stands in a checkpoint.

    Attributes:
        ours: its name in our model.
        theirs: names in the checkpoint, stacked by rows into ours.
        layout: of each of theirs; several where theirs differ.
        aliases: other names that a checkpoint may have it under, if there is just one of theirs.
        copies: other names that a checkpoint repeats it under; written where the family's own program
            wants them.
        default: what fills it where a checkpoint has none; None for a weight that must be there.
    """

    ours: str
    theirs: tuple[str, ...]
    layout: Layout | tuple[Layout, ...] = SAME
    aliases: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    default: float | None = None

    def layout_of(self, part: int) -> Layout:
        """The layout of one of theirs."""
        return self.layout[part] if isinstance(self.layout, tuple) else self.layout


Pairs = Mapping[str, str | Sequence[str]]


def linear(
    pairs: Pairs, *, bias: bool, prefix: tuple[str, str] = ("", ""), layout: Layout = SAME
) -> Iterator[Weight]:
    """Weights, and biases where there are any, of linear layers or norms.

    Args:
        pairs: our module to their module, or to several that are stacked.
        bias: whether they have biases.
        prefix: what stands before our names and before theirs.
        layout: of the weights (biases are vectors).
    """
    for ours, theirs in pairs.items():
        modules = (theirs,) if isinstance(theirs, str) else tuple(theirs)
        names = tuple(f"{prefix[1]}{module}" for module in modules)
        yield Weight(f"{prefix[0]}{ours}.weight", tuple(f"{name}.weight" for name in names), layout)
        if bias:
            yield Weight(f"{prefix[0]}{ours}.bias", tuple(f"{name}.bias" for name in names))


class Resolver:
    """Finds weights in a checkpoint under the names that its writer may have used."""

    def __init__(self, present: Iterable[str], prefix: str) -> None:
        """``prefix`` stands before the names of the bare model in checkpoints that have a head."""
        self._present, self._prefix = frozenset(present), prefix

    def find(self, weight: Weight) -> tuple[str, ...] | None:
        """Names of all parts as the file has them, or None where one is missing."""
        for names in (weight.theirs, *((alias,) for alias in weight.aliases)):
            found = [self._find(name) for name in names]
            if None not in found:
                return tuple(name for name in found if name is not None)
        return None

    def _find(self, name: str) -> str | None:
        bare = name.removeprefix(self._prefix)
        # The last two are the text part of a model that also sees, before transformers 5 and since.
        parts = (f"language_model.{name}", f"{self._prefix}language_model.{bare}")
        for candidate in (name, bare, self._prefix + bare, *parts):
            if candidate in self._present:
                return candidate
            # The names of the first BERT checkpoints, which came from TensorFlow.
            for new, old in ((".weight", ".gamma"), (".bias", ".beta")):
                if candidate.endswith(new) and candidate.removesuffix(new) + old in self._present:
                    return candidate.removesuffix(new) + old
        return None
