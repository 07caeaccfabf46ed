"""The metrics of a run, one JSON object a line, only ever appended to.

Rows have a ``kind``: ``train`` (step, tokens, elapsed_s, loss_nats, bits_per_byte where it means something,
lr_factor, grad_norm, tokens_per_s, energy_j since the beginning), ``valid`` (step, tokens, elapsed_s,
loss_nats and whatever else the objective scores: bits_per_byte, masked_accuracy, perplexities), ``sample``
(step, text), and ``skipped`` and ``rollback`` (step) where the loop left a batch out or went back.
A resumed run drops what lies after its checkpoint, so the file ends as that of a run never stopped.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Where the newest row of any kind is looked for; a sample is at most a few kilobytes.
_TAIL_BYTES = 256 * 1024


class MetricsLog:
    """Appends rows to a metrics file."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is made at the first row.

        Args:
            path: the file, usually ``metrics.jsonl`` in a run's folder, which must exist.
        """
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row whole or not at all; a number that is not finite is written as null.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        line = json.dumps(_finite(row), ensure_ascii=False, allow_nan=False)
        # A lone surrogate becomes its JSON escape instead of failing the run.
        raw = f"{line}\n".encode(errors="backslashreplace")
        with self.path.open("ab", buffering=0) as file:
            end = file.tell()
            try:
                num_written = file.write(raw)
                # What did not fit fails with the reason.
                while num_written < len(raw):
                    num_written += file.write(raw[num_written:])
            except OSError:
                file.truncate(end)
                raise

    def newest(self, name: str) -> float | None:
        """The newest value of a number, as far as the end of the file tells; None where none does."""
        if not self.path.is_file():
            return None
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - _TAIL_BYTES))
            rows = [parse_row(line) for line in file.read().splitlines()]
        values = [row[name] for row in rows if row is not None and isinstance(row.get(name), int | float)]
        return float(values[-1]) if values else None

    def truncate_after(self, step: int, *, batch: int | None = None) -> None:
        """Drop the rows after a checkpoint, and a line torn by a kill; the rest keeps its bytes.

        The file is replaced whole, so a kill in between loses nothing.

        Args:
            step: rows of later steps are dropped.
            batch: rows of later batches are dropped instead, where rows tell their batch: a run that went
                back to an earlier step has come past later ones, and what went wrong there stays in the log.
        """
        if not self.path.is_file():
            return
        raw = self.path.read_bytes()
        kept = b"".join(
            line
            for line in raw.splitlines(keepends=True)
            if line.endswith(b"\n") and (row := parse_row(line)) is not None and _is_until(row, step, batch)
        )
        if kept == raw:
            return
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            file.write(kept)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a metrics file in the order written; empty where there is no file.

    A line that is not a JSON object (torn by a kill, or still being written) is left out.
    """
    if not path.is_file():
        return []
    rows = (parse_row(line) for line in path.read_bytes().splitlines())
    return [row for row in rows if row is not None]


def parse_row(line: bytes) -> dict[str, Any] | None:
    """The row in a line, or None where it holds no JSON object."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _is_until(row: Mapping[str, Any], step: int, batch: int | None) -> bool:
    if batch is not None and isinstance(own := row.get("batch"), int | float):
        return own <= batch
    made = row.get("step", 0)
    return isinstance(made, int | float) and made <= step


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
