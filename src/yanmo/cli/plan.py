"""``yanmo plan``: choose sizes for a time budget; predict time, memory and loss."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from yanmo.cli.output import Json, Seed, emit
from yanmo.cli.sizes import Sizes, settings_of


def plan(
    corpus: Path,
    *,
    budget: Annotated[str | None, Parameter(help="Wall time: 90s, 30m, 2h, 1d.")] = None,
    sizes: Sizes = Sizes(),
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Choose sizes for a time budget; predict time, memory and loss. Nothing is written."""
    from yanmo.runtime import tune_process

    tune_process()
    from yanmo.planning.plan import plan_table
    from yanmo.recipes import pretrain as recipe

    made = recipe.plan(corpus, settings=settings_of(budget, sizes, seed))
    emit(made.to_json(), plan_table(made), as_json=json)
