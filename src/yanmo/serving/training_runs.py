"""The training runs of a folder as JSON, for the page's curves.

Long runs are thinned: evenly over their rows, first and last kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yanmo.reporting import runs as records
from yanmo.serving.api_errors import ApiError

MOST_ROWS = 600
_KEPT = {
    "train": ("step", "tokens", "elapsed_s", "loss_nats", "bits_per_byte", "tokens_per_s"),
    "valid": ("step", "tokens", "elapsed_s", "loss_nats", "bits_per_byte"),
    "sample": ("step", "text"),
}


def run_list(folder: Path) -> list[dict[str, Any]]:
    """Summaries of the runs, best first; empty where there is no such folder (yet)."""
    if not folder.is_dir():
        return []
    return [finite(run.to_mapping()) for run in records.runs(folder)]


def run_metrics(folder: Path, name: str) -> dict[str, Any]:
    """Rows of one run by kind.

    Raises:
        ApiError: 404, there is no such run.
    """
    # The name is looked up among the runs, never joined to a path.
    found = next((run for run in run_list(folder) if run["name"] == name), None)
    if found is None:
        raise ApiError(f"There is no run '{name}'.", status=404, param="name", code="run_not_found")
    record = records.read_run(Path(found["path"]))
    return {
        "name": name,
        **{
            kind: [finite({key: row.get(key) for key in keys}) for row in thin(record.rows(kind))]
            for kind, keys in _KEPT.items()
        },
    }


def thin(rows: Sequence[Mapping[str, Any]], most: int = MOST_ROWS) -> list[Mapping[str, Any]]:
    """At most ``most`` rows (at least 2), evenly over all, with the first and the last."""
    if len(rows) <= most:
        return list(rows)
    last = len(rows) - 1
    return [rows[round(index * last / (most - 1))] for index in range(most)]


def finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same with null for numbers that JSON does not know."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
