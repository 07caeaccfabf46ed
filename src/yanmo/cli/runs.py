"""``yanmo runs``: list, compare and watch runs."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from yanmo.cli.output import Json, emit

if TYPE_CHECKING:
    from yanmo.reporting.runs import RunWatch

_REFRESH_S = 2.0


def runs(
    *folder: Annotated[Path, Parameter(help="Runs, or folders that hold runs; several are compared.")],
    live: Annotated[
        bool, Parameter(negative="", help="Show them on a page that follows, until Ctrl-C.")
    ] = False,
    port: Annotated[int, Parameter(help="Port of the live page on this machine; 0 takes a free one.")] = 0,
    json: Json = False,
) -> None:
    """List, compare and watch runs, fewest bits per byte first."""
    from rich.console import Console

    from yanmo.reporting.comparison import compare
    from yanmo.reporting.runs import DEFAULT_FOLDER, RunWatch
    from yanmo.reporting.tables import comparison_tables, runs_table

    watch = RunWatch(folder or (DEFAULT_FOLDER,))
    found = watch.summaries()
    if live:
        _follow(watch, port, as_json=json)
        return
    terminal = sys.stdout.isatty()
    result: dict[str, Any] = {"runs": [run.to_mapping() for run in found]}
    tables = [runs_table(found, plain=not terminal)] if found else []
    if len(folder) > 1 and len(found) > 1:
        records = watch.named()
        comparison = compare({run.name: records[run.name] for run in found})
        result |= {"comparison": comparison.to_mapping()}
        tables += comparison_tables(comparison, plain=not terminal)
    console = Console(width=None if terminal else 200)
    with console.capture() as captured:
        for table in tables:
            console.print(table)
            console.print()
    text = captured.get().rstrip() or f"no runs in {', '.join(map(str, watch.folders))}"
    emit(result, text, as_json=json)


def _follow(watch: RunWatch, port: int, *, as_json: bool) -> None:
    """Serve the live page, and redraw the table where there is a terminal, until Ctrl-C."""
    from rich.live import Live

    from yanmo.reporting.progress import say
    from yanmo.reporting.tables import runs_table
    from yanmo.serving.site import live_page

    try:
        with live_page(watch.folders, port=port) as url:
            if as_json:
                emit({"url": url}, url, as_json=True)
            else:
                say(f"yanmo: runs on {url} (Ctrl-C stops)")
            if as_json or not sys.stdout.isatty():
                while True:
                    time.sleep(_REFRESH_S)
            with Live(runs_table(watch.summaries())) as view:
                while True:
                    time.sleep(_REFRESH_S)
                    view.update(runs_table(watch.summaries()))
    except KeyboardInterrupt as interrupt:
        # Ctrl-C is how one leaves; SIGTERM, a kind of its own, is told by the exit code.
        if type(interrupt) is not KeyboardInterrupt:
            raise
