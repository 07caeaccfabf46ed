"""``yanmo train``: from a folder of text to a model, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from yanmo.cli.output import DryRun, Force, Json, Seed, emit
from yanmo.cli.sizes import Computing, Method, Sizes, settings_of


def train(
    *source: Annotated[Path, Parameter(help="Files and folders of text, tables, records, archives.")],
    budget: Annotated[str | None, Parameter(help="Wall time of everything: 90s, 30m, 2h, 1d.")] = None,
    out: Annotated[Path | None, Parameter(help="Folder of the run; runs/NAME of the source.")] = None,
    method: Method = Method(),
    sizes: Sizes = Sizes(),
    computing: Computing = Computing(),
    seed: Seed = 0,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """From files and folders of text to a model, in one command that can be stopped and repeated."""
    from yanmo.errors import InputError
    from yanmo.reporting.progress import say
    from yanmo.runtime import process_age_s, tune_process

    if not source:
        raise InputError("no source given", remedy="yanmo train my-folder/ --budget 30m")
    settings = settings_of(budget, sizes, seed, method=method, computing=computing)
    tune_process()
    from yanmo.recipes import train as recipe
    from yanmo.recipes.conclusion import conclusion

    out = out or Path("runs") / (source[0].resolve().stem or "text")
    description = recipe.describe(source, out, settings)
    if dry_run:
        emit({"out": str(out), "description": description}, description, as_json=json)
        return
    say(description)
    result = recipe.train(source, out, settings=settings, force=force, spent_s=process_age_s())
    emit(result, conclusion(result), as_json=json)
