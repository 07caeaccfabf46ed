"""What verbs that ask a model have in common: which model, and the type of its weights in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    import torch

    from yanmo.models.registry import LoadedModel

Model = Annotated[Path, Parameter(help="A model folder, a run, a .gguf file, or a cached name.")]
Dtype = Annotated[
    Literal["float32", "bfloat16"],
    Parameter(name="--dtype", help="Type of the weights in memory; bfloat16 takes half of it."),
]


def torch_dtype(name: str) -> torch.dtype:
    """The type that ``--dtype`` names."""
    import torch

    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def open_model(model: Path, dtype: str) -> LoadedModel:
    """Load what a verb was given.

    Raises:
        InputError: there is no such model, it is damaged, or too big for the memory.
    """
    import yanmo

    loaded: LoadedModel = yanmo.load(model, dtype=torch_dtype(dtype))
    return loaded
