"""Where a figure was measured, and where the data sets are."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

YANMO = (sys.executable, "-c", "from yanmo.cli.main import main; main()")


def data_folder(name: str) -> Path:
    """A data set's folder below YANMO_DATA; ends the program where there is none."""
    root = os.environ.get("YANMO_DATA")
    if not root or not (Path(root) / name).is_dir():
        sys.exit(f"set YANMO_DATA to a folder that holds {name}/")
    return Path(root) / name


def in_a_process(benchmark: str, *arguments: object) -> dict[str, Any]:
    """The JSON that ``python -m benchmarks BENCHMARK --one ARGUMENTS`` ends with."""
    command = [sys.executable, "-m", "benchmarks", benchmark, "--one", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


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
