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
from yanmo.evaluation.baselines import ScoredBaseline
from yanmo.evaluation.evaluate import evaluate, score_baseline
from yanmo.planning.plan import Plan
from yanmo.recipes.pretrain import pretrain
from yanmo.recipes.run_folder import BASELINE_FILE, EVALUATION_FILE, RESULT_FILE, RunFolder
from yanmo.recipes.settings import PretrainSettings
from yanmo.reporting.html import write_run_report
from yanmo.reporting.progress import say
from yanmo.runtime import num_processes
from yanmo.tokenizers.load import Tokenizer

# The evaluation reads at most this much of the test split.
_TEST_BYTES = 512 * 1024
# Where it reads it in overlapping windows, in float32, a token costs about this many of training's.
_TRAINING_TOKENS_A_TOKEN = 1.6
_LOADING_S = 1.0


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
    judging = _Judging(run, summary)
    result = pretrain(
        run.path / "corpus",
        run.path,
        settings=settings,
        force=force,
        spent_s=time.monotonic() - began,
        epilogue=judging,
    )
    is_scored = "bits_per_byte" in result or result["objective"] != "causal"
    return result if is_scored else _evaluate(run, judging, result, began)


class _Judging:
    """The evaluation: the n-gram's part is done before training, so that only the model's is left."""

    def __init__(self, run: RunFolder, summary: CorpusSummary) -> None:
        self._run = run
        sizes = {name: counts["num_bytes"] for name, counts in summary.splits.items()}
        self._num_bytes = min(sizes.get("test", 0) or sizes.get("valid", 0), _TEST_BYTES)

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Train the n-gram and score it on the test text, where an earlier session has not done so."""
        if self._run.read(BASELINE_FILE) is None:
            say("an n-gram for comparison: trained on the same corpus, scored on the test text")
            scored = score_baseline(self._run.path / "corpus", tokenizer, max_bytes=_TEST_BYTES)
            self._run.write(BASELINE_FILE, {} if scored is None else scored.to_json())

    def seconds(self, plan: Plan) -> float:
        """What reading the test text by the model will take."""
        num_tokens = self._num_bytes / plan.corpus.bytes_per_token
        token_s = plan.chosen.predicted_step_s / plan.chosen.batch_tokens
        return _LOADING_S + _TRAINING_TOKENS_A_TOKEN * num_tokens * token_s

    @property
    def baseline(self) -> ScoredBaseline | bool:
        """What the n-gram reached; False where it could not be trained."""
        saved = self._run.read(BASELINE_FILE)
        return ScoredBaseline.from_json(saved) if saved else False


def _evaluate(run: RunFolder, judging: _Judging, result: dict[str, Any], began: float) -> dict[str, Any]:
    say("evaluating on the test text, beside the n-gram")
    evaluation = evaluate(
        run.path / "model",
        run.path / "corpus",
        baseline=judging.baseline,
        max_bytes=_TEST_BYTES,
        out=run.path / EVALUATION_FILE,
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
