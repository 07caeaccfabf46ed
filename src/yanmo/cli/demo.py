"""``yanmo demo``: the whole road on text that is already on the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from yanmo.cli.output import Force, Json, emit


def demo(
    *,
    out: Annotated[Path, Parameter(help="Folder of the run.")] = Path("runs/demo"),
    budget: Annotated[str, Parameter(help="Wall time of everything.")] = "3m",
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a small model on Python's own reference and docstrings, evaluate it, and write a report."""
    from yanmo.config import parse_duration_s
    from yanmo.runtime import process_age_s, tune_process

    budget_s = parse_duration_s(budget)
    tune_process()
    from yanmo.recipes import demo as recipe
    from yanmo.recipes.conclusion import conclusion

    result = recipe.demo(out, budget_s=budget_s, force=force, spent_s=process_age_s())
    emit(result, conclusion(result), as_json=json)
