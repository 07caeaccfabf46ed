"""``yanmo plan``: choose sizes for a time budget; predict time, memory and loss."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from yanmo.cli.output import Json, Seed, emit
from yanmo.cli.sizes import GoOn, Method, Sizes, settings_of


def plan(
    corpus: Annotated[Path, Parameter(help="Corpus folder, as yanmo corpus writes it.")],
    *,
    budget: Annotated[str | None, Parameter(help="Wall time: 90s, 30m, 2h, 1d.")] = None,
    method: Method = Method(),
    sizes: Sizes = Sizes(),
    go_on: GoOn = GoOn(),
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Choose sizes for a time budget; predict time, memory and loss. Nothing is written."""
    from yanmo.runtime import tune_process

    tune_process()
    from yanmo.planning.plan import plan_table
    from yanmo.recipes import pretrain as recipe

    settings = settings_of(budget, sizes, seed, method=method, go_on=go_on)
    made = recipe.plan(corpus, settings=settings)
    emit(made.to_json(), plan_table(made), as_json=json)
