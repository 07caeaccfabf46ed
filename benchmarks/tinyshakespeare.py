"""Bits per character on tinyshakespeare's last tenth after 2, 5, 10 and 30 minutes, the n-gram beside them.

The first nine tenths are all that ``yanmo train`` sees to train on (it keeps a piece of them to validate
on); the last tenth is scored once, at the end. The text is ASCII: a byte is a character.
"""

from __future__ import annotations

import math
import sys

from benchmarks.kept_runs import train
from benchmarks.machine import describe
from yanmo.config import parse_duration_s

BUDGETS = ("2m", "5m", "10m", "30m")


def main() -> None:
    """Print a row a budget."""
    print(f"tinyshakespeare, last tenth held out. {describe()}")
    print("| budget | wall | wall / budget | parameters | steps | bits/char | nats/char | n-gram bits/char |")
    print("|---|---|---|---|---|---|---|---|")
    for budget in sys.argv[2:] or BUDGETS:
        result = train("shakespeare", budget)
        bits = result["bits_per_byte"]
        print(
            f"| {budget} | {result['wall_s']:.0f} s | {result['wall_s'] / parse_duration_s(budget):.3f} "
            f"| {result['num_parameters'] / 1e6:.2f} M | {result['steps']} | {bits:.4f} "
            f"| {bits * math.log(2):.4f} | {result['baseline_bits_per_byte']:.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
