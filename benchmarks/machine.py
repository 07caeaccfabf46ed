"""Where a figure was measured, and where the data sets are."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

YANMO = (sys.executable, "-c", "from yanmo.cli.main import main; main()")


def data_folder(name: str) -> Path:
    """A data set's folder below YANMO_DATA; ends the program where there is none."""
    root = os.environ.get("YANMO_DATA")
    if not root or not (Path(root) / name).is_dir():
        sys.exit(f"set YANMO_DATA to a folder that holds {name}/")
    return Path(root) / name


def describe() -> str:
    """Processor and versions in a line."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        model = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores; Python {platform.python_version()}, torch {version('torch')}"
