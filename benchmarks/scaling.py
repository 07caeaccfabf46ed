"""Fit the planner's scaling law on runs of this project, and collect more of them.

    python -m benchmarks.scaling             fit again from scaling_runs.jsonl and print the constants
    python -m benchmarks.scaling --collect   first make the runs that are not in the file yet (15 minutes)

Each row of the file is a finished run: corpus, n-gram's bits per byte on it, parameters in the blocks, bytes
of training text, passes over it, and bits per byte on the validation text.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from benchmarks.machine import YANMO, data_folder
from yanmo.planning.plan import context_penalty
from yanmo.planning.scaling import ScalingLaw
from yanmo.recipes.demo import write_python_reference

RUNS = Path(__file__).with_name("scaling_runs.jsonl")
# Corpus, layers, width, steps; batches of 32 rows of 128 tokens.
GRID = (
    ("shakespeare", 2, 128, 150),
    ("shakespeare", 2, 128, 600),
    ("shakespeare", 3, 192, 100),
    ("shakespeare", 3, 192, 350),
    ("shakespeare", 4, 256, 100),
    ("shakespeare", 6, 384, 60),
    ("novels", 2, 128, 250),
    ("novels", 4, 256, 120),
    ("python", 2, 128, 250),
    ("python", 4, 256, 120),
)


def main() -> None:
    """Collect if asked, fit, print."""
    if "--collect" in sys.argv:
        collect()
    rows = [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()]
    law, residuals = fit(rows)
    for row, residual in zip(rows, residuals, strict=True):
        size = f"{row['corpus']}, {row['num_parameters'] / 1e6:.1f} M, {row['epochs']:.1f} epochs"
        print(f"{size}: {row['bits_per_byte']:.3f} ({residual:+.1%} of the law's)")
    print(law)


def fit(rows: list[dict[str, Any]]) -> tuple[ScalingLaw, list[float]]:
    """Least squares on the logarithm of bits per byte, robust to a stray run.

    Returns:
        The law, whose spread covers nine tenths of the runs, and each run's relative distance from it.
    """
    start = np.log([0.55, 6.0, 0.27, 60.0, 0.36, 6.0])
    # Few runs cannot pin down six constants: each is held to the published order of magnitude.
    looseness = np.array([0.5, 1.0, 0.15, 1.0, 0.15, 0.7])

    def law_of(logs: np.ndarray) -> ScalingLaw:
        names = ("floor", "a", "alpha", "b", "beta", "repeat")
        return ScalingLaw(**dict(zip(names, np.exp(logs).tolist(), strict=True)), spread=0.0)

    def relative(logs: np.ndarray) -> np.ndarray:
        law = law_of(logs)
        return np.array([np.log(row["bits_per_byte"] / _predict(law, row)) for row in rows])

    def errors(logs: np.ndarray) -> np.ndarray:
        return np.concatenate([relative(logs) / 0.02, (logs - start) / looseness])

    found = least_squares(errors, start, loss="soft_l1")
    residuals = relative(found.x)
    constants = vars(law_of(found.x)) | {
        "spread": round(max(0.03, float(np.quantile(abs(residuals), 0.9))), 3)
    }
    rounded = {name: float(f"{value:.4g}") for name, value in constants.items()}
    return ScalingLaw(**rounded), residuals.tolist()


def collect() -> None:
    """Make every run of the grid that has no row yet."""
    have = set()
    if RUNS.is_file():
        rows = [json.loads(line) for line in RUNS.read_text(encoding="utf-8").splitlines()]
        have = {(row["corpus"], row["num_layers"], row["d_model"], row["steps"]) for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        for corpus, num_layers, d_model, steps in GRID:
            if (corpus, num_layers, d_model, steps) in have:
                continue
            source, out = _corpus(corpus, Path(folder)), Path(folder) / "run"
            flags = ["--num-layers", str(num_layers), "--d-model", str(d_model), "--steps", str(steps)]
            flags += ["--max-seq-len", "128", "--batch-size", "32", "--force"]
            subprocess.run(
                [*YANMO, "pretrain", str(source), "--out", str(out), *flags], check=True, stdout=sys.stderr
            )
            append(out, corpus)


def append(run: Path, corpus: str) -> None:
    """Add a finished run to the file."""
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    chosen, facts = plan["chosen"], plan["corpus"]
    row = {
        "corpus": corpus,
        "num_layers": chosen["num_layers"],
        "d_model": chosen["d_model"],
        "max_seq_len": chosen["max_seq_len"],
        "steps": result["steps"],
        "num_parameters": chosen["num_parameters"] - chosen["vocab_size"] * chosen["d_model"],
        "num_train_bytes": facts["num_train_bytes"],
        "bytes_per_token": facts["bytes_per_token"],
        "epochs": result["tokens"] * facts["bytes_per_token"] / facts["num_train_bytes"],
        "ngram": facts["ngram_bits_per_byte"],
        "bits_per_byte": result["valid_bits_per_byte"],
    }
    with RUNS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _predict(law: ScalingLaw, row: dict[str, Any]) -> float:
    predicted = law.predict(
        ngram=row["ngram"],
        num_parameters=row["num_parameters"],
        num_bytes=row["num_train_bytes"],
        epochs=row["epochs"],
    )
    return predicted * context_penalty(row["max_seq_len"] * row["bytes_per_token"])


def _corpus(name: str, folder: Path) -> Path:
    path = folder / name
    if not path.exists():
        source = folder / f"{name}-source"
        if name == "python":
            write_python_reference(source)
        else:
            source = data_folder("tinyshakespeare" if name == "shakespeare" else "zh_novels")
        subprocess.run([*YANMO, "corpus", str(source), "--out", str(path)], check=True, stdout=sys.stderr)
    return path


if __name__ == "__main__":
    main()
