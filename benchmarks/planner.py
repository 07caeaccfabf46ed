"""Does the plan keep its word? Time within a tenth of the budget, and the final loss inside its interval.

    python -m benchmarks planner               twelve runs: three texts, budgets of 2 to 30 minutes
    python -m benchmarks planner sweep 5m [TEXT ...]    the plan's choice beside a smaller and a larger model

The runs are those of ``kept_runs``; the loss is that of the validation text, which the plan predicts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.kept_runs import TEXTS, train
from benchmarks.machine import describe
from yanmo.config import parse_duration_s
from yanmo.planning.shapes import SHAPES

BUDGETS = ("2m", "5m", "10m", "30m")


def main() -> None:
    """Print a row a run and the counts; ends with an error where the promise is broken."""
    if sys.argv[2:3] == ["sweep"]:
        _sweep(sys.argv[3] if sys.argv[3:] else "5m", sys.argv[4:] or TEXTS)
        return
    print(f"plan and outcome. {describe()}")
    print(
        "| text | budget | wall / budget | wall / planned | parameters | passes "
        "| predicted bits/byte (interval) | actual | inside | test text (interval) | n-gram |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    in_time = inside = 0
    for budget in BUDGETS:
        for text in TEXTS:
            result = train(text, budget)
            chosen = result["plan"]["chosen"]
            low, high = chosen["interval"]
            ratio = result["wall_s"] / parse_duration_s(budget)
            # A plan leaves part of the budget where the text has no more to teach, and says so.
            left_s = result["plan"]["budget_s"] - result["plan"]["training_s"]
            planned = result["wall_s"] / (parse_duration_s(budget) - left_s)
            actual, evaluation = result["valid_bits_per_byte"], result["evaluation"]
            in_time += 0.9 <= planned <= 1.1
            inside += low <= actual <= high
            print(
                f"| {text} | {budget} | {ratio:.3f} | {planned:.3f} | {chosen['num_parameters'] / 1e6:.2f} M "
                f"| {chosen['epochs']:.1f} "
                f"| {chosen['predicted_bits_per_byte']:.3f} ({low:.3f} to {high:.3f}) | {actual:.3f} "
                f"| {'yes' if low <= actual <= high else 'no'} | {result['bits_per_byte']:.3f} "
                f"({evaluation['interval'][0]:.3f} to {evaluation['interval'][1]:.3f}) "
                f"| {result['baseline_bits_per_byte']:.3f} |",
                flush=True,
            )
    number = len(BUDGETS) * len(TEXTS)
    print(
        f"{in_time} of {number} within a tenth of what was planned, {inside} of {number} inside the interval"
    )
    if in_time < number or inside < number - 2:
        sys.exit(1)


def _sweep(budget: str, texts: Sequence[str]) -> None:
    ladder = SHAPES["decoder"].ladder
    print(f"the plan's size beside its neighbours, {budget}. {describe()}")
    print("| text | layers x width | parameters | bits/byte | above the best |")
    print("|---|---|---|---|---|")
    for text in texts:
        chosen = train(text, budget)
        size = tuple(chosen["plan"]["chosen"][key] for key in ("num_layers", "d_model"))
        place = ladder.index(size)
        found = {size: chosen}
        for layers, width in ladder[max(0, place - 1) : place + 2]:
            if (layers, width) != size:
                flags = ("--num-layers", str(layers), "--d-model", str(width))
                found[layers, width] = train(text, budget, *flags, name=f"{text}-{budget}-{layers}x{width}")
        best = min(result["valid_bits_per_byte"] for result in found.values())
        for (layers, width), result in sorted(found.items()):
            bits = result["valid_bits_per_byte"]
            mark = " (chosen)" if (layers, width) == size else ""
            print(
                f"| {text} | {layers} x {width}{mark} | {result['num_parameters'] / 1e6:.2f} M "
                f"| {bits:.4f} | {bits / best - 1:.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
