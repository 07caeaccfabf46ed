"""``yanmo runs``: list and compare runs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from yanmo.cli.output import Json, emit
from yanmo.errors import InputError

_REFRESH_S = 2.0


def runs(
    folder: Annotated[Path, Parameter(help="Folder that holds the runs, or one run.")] = Path("runs"),
    /,
    *,
    live: Annotated[bool, Parameter(negative="", help="Refresh until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """List and compare runs, fewest bits per byte first."""
    from rich.console import Console
    from rich.live import Live

    from yanmo.reporting.runs import runs as find
    from yanmo.reporting.runs import runs_table

    terminal = sys.stdout.isatty()
    if live:
        if json or not terminal:
            raise InputError("--live needs a terminal", remedy="leave it out, or call again when needed")
        try:
            with Live(runs_table(find(folder))) as view:
                while True:
                    time.sleep(_REFRESH_S)
                    view.update(runs_table(find(folder)))
        except KeyboardInterrupt as interrupt:
            # Ctrl-C is how one leaves; SIGTERM, a kind of its own, is told by the exit code.
            if type(interrupt) is not KeyboardInterrupt:
                raise
        return
    found = find(folder)
    console = Console(width=None if terminal else 200)
    with console.capture() as table:
        console.print(runs_table(found, plain=not terminal), end="")
    text = table.get().rstrip() if found else f"no runs in {folder}"
    emit({"runs": [run.to_mapping() for run in found]}, text, as_json=json)
