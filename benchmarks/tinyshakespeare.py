"""Bits per character on tinyshakespeare's last tenth after 2, 5 and 10 minutes, the n-gram beside them.

The first nine tenths are all that ``yanmo train`` sees to train on (it keeps a piece of them to validate
on); the last tenth is scored once, at the end. The text is ASCII: a byte is a character.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import YANMO, data_folder, describe
from yanmo.config import parse_duration_s

BUDGETS = ("2m", "5m", "10m")


def main() -> None:
    """Print a row a budget."""
    text = (data_folder("tinyshakespeare") / "input.txt").read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    print(f"tinyshakespeare, last tenth held out. {describe()}")
    print("| budget | wall | wall / budget | parameters | steps | bits/char | nats/char | n-gram bits/char |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "shakespeare"
        source.mkdir()
        (source / "train.txt").write_text(text[:cut], encoding="utf-8")
        (source / "test.txt").write_text(text[cut:], encoding="utf-8")
        for budget in sys.argv[2:] or BUDGETS:
            out = Path(folder) / budget
            command = [*YANMO, "train", str(source), "--out", str(out), "--budget", budget, "--json"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
            result = json.loads(done.stdout.splitlines()[-1])
            bits = result["bits_per_byte"]
            print(
                f"| {budget} | {result['wall_s']:.0f} s | {result['wall_s'] / parse_duration_s(budget):.3f} "
                f"| {result['num_parameters'] / 1e6:.2f} M | {result['steps']} | {bits:.4f} "
                f"| {bits * math.log(2):.4f} | {result['baseline_bits_per_byte']:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
