"""The whole road in one call: files, corpus, tokenizer, plan, pretraining, evaluation, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yanmo.config import format_duration, format_size
from yanmo.corpus.build import build_corpus, survey
from yanmo.corpus.store import CorpusSummary
from yanmo.errors import InputError
from yanmo.evaluation.evaluate import evaluate
from yanmo.recipes.pretrain import pretrain
from yanmo.recipes.run_folder import EVALUATION_FILE, RESULT_FILE, RunFolder
from yanmo.recipes.settings import PretrainSettings
from yanmo.reporting.html import write_run_report
from yanmo.reporting.progress import say
from yanmo.runtime import num_processes

# The evaluation reads at most this much of the test split, the n-gram learns from at most 16 MB.
_TEST_BYTES = 512 * 1024
_BASELINE_S_PER_BYTE, _BASELINE_MAX_BYTES = 6e-6, 16 * 2**20
_EVALUATION_S_PER_BYTE = 1.5e-5


def describe(sources: Sequence[Path], out: Path, settings: PretrainSettings) -> str:
    """What ``train`` will do and what it will cost, in a few lines.

    Raises:
        InputError: a source does not exist.
    """
    found = survey(sources, out=out)
    suffixes = ", ".join(f"{count} {suffix}" for suffix, count in list(found["suffixes"].items())[:6])
    if settings.budget_s is None:
        length = f"{settings.wishes.num_steps} steps"
    else:
        length = f"{format_duration(settings.budget_s)} in all"
    return (
        f"reads    {found['num_files']} files, {format_size(found['num_bytes_on_disk'])} ({suffixes})\n"
        f"writes   {out}: corpus, tokenizer, checkpoints, model, report.html\n"
        f"takes    {length}; it can be stopped and repeated at any point\n"
        f"network  none; nothing leaves this machine"
    )


def train(
    sources: Path | Sequence[Path],
    out: Path | str,
    *,
    settings: PretrainSettings,
    force: bool = False,
    spent_s: float = 0.0,
) -> dict[str, Any]:
    """From files to an evaluated model; the same call goes on where an earlier one was stopped.

    Args:
        sources: files and folders of text.
        out: the run's folder.
        settings: as of ``pretrain``; the budget covers everything here.
        force: begin again whatever is there.
        spent_s: seconds of the budget spent before this call.

    Returns:
        model, report, wall_s, and what ``pretrain`` gives; where the model continues text, bits_per_byte
        (test text) and baseline_bits_per_byte too.

    Raises:
        InputError: bad input. Interrupted: a signal came.
    """
    began = time.monotonic() - spent_s
    if num_processes() > 1:
        raise InputError(
            "only pretraining is shared between processes",
            remedy="yanmo corpus first, then torchrun -m yanmo pretrain",
        )
    run = RunFolder(Path(out))
    if force:
        run.clear()
    summary = build_corpus(sources, run.path / "corpus", force=force)
    result = pretrain(
        run.path / "corpus",
        run.path,
        settings=settings,
        force=force,
        spent_s=time.monotonic() - began,
        reserve_s=_evaluation_s(summary),
    )
    is_scored = "bits_per_byte" in result or result["objective"] != "causal"
    return result if is_scored else _evaluate(run, result, began)


def _evaluate(run: RunFolder, result: dict[str, Any], began: float) -> dict[str, Any]:
    say("evaluating on the test text, beside an n-gram trained on the same corpus")
    evaluation = evaluate(
        run.path / "model", run.path / "corpus", max_bytes=_TEST_BYTES, out=run.path / EVALUATION_FILE
    )
    baseline = evaluation.baseline or {}
    result |= {
        "bits_per_byte": evaluation.score.bits_per_byte,
        "interval": list(evaluation.score.interval),
        "baseline_bits_per_byte": baseline.get("bits_per_byte"),
        "wall_s": time.monotonic() - began,
    }
    run.write(RESULT_FILE, result)
    write_run_report(run.path)
    say(evaluation.to_text())
    return result


def _evaluation_s(summary: CorpusSummary) -> float:
    """Seconds that the evaluation will need, roughly."""
    sizes = {name: counts["num_bytes"] for name, counts in summary.splits.items()}
    baseline_s = _BASELINE_S_PER_BYTE * min(sizes.get("train", 0), _BASELINE_MAX_BYTES)
    held_out = min(sizes.get("test", 0) or sizes.get("valid", 0), _TEST_BYTES)
    return 1.0 + baseline_s + _EVALUATION_S_PER_BYTE * held_out
