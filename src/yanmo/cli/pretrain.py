"""``yanmo pretrain``: train a model on a corpus within a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from yanmo.cli.output import DryRun, Force, Json, Seed, emit
from yanmo.cli.sizes import Computing, GoOn, Method, Sizes, settings_of


def pretrain(
    corpus: Annotated[Path, Parameter(help="Corpus folder, as yanmo corpus writes it.")],
    *,
    out: Annotated[Path, Parameter(help="Folder of the run.")],
    budget: Annotated[str | None, Parameter(help="Wall time of this command: 90s, 30m, 2h, 1d.")] = None,
    method: Method = Method(),
    sizes: Sizes = Sizes(),
    go_on: GoOn = GoOn(),
    computing: Computing = Computing(),
    seed: Seed = 0,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Train a model on a corpus within a budget; the same command goes on after a stop."""
    from yanmo.runtime import process_age_s, tune_process

    tune_process()
    from yanmo.planning.plan import plan_table
    from yanmo.recipes import pretrain as recipe
    from yanmo.recipes.conclusion import conclusion

    settings = settings_of(budget, sizes, seed, method=method, go_on=go_on, computing=computing)
    if dry_run:
        made = recipe.plan(corpus, settings=settings)
        emit(made.to_json(), plan_table(made), as_json=json)
        return
    result = recipe.pretrain(corpus, out, settings=settings, force=force, spent_s=process_age_s())
    emit(result, conclusion(result), as_json=json)
