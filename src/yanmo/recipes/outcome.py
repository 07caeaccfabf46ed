"""What a run leaves behind: the model folder, result.json, the report."""

from __future__ import annotations

import time
from collections.abc import Mapping

from torch import Tensor

from yanmo import runtime
from yanmo.corpus.store import Corpus
from yanmo.recipes.assembly import Assembly
from yanmo.recipes.forgetting import Comparison
from yanmo.recipes.model_card import model_card
from yanmo.recipes.preparation import Prepared
from yanmo.recipes.run_folder import RESULT_FILE, RunFolder
from yanmo.recipes.start import Network
from yanmo.reporting.html import write_run_report
from yanmo.reporting.progress import say


def write_outcome(
    run: RunFolder,
    corpus: Corpus,
    prepared: Prepared,
    assembly: Assembly,
    network: Network,
    masters: Mapping[str, Tensor],
    comparison: Comparison | None,
    *,
    began_s: float,
) -> None:
    """Write the best model of the run and what came of it.

    Args:
        run: where to.
        corpus: that was trained on.
        prepared: what was planned.
        assembly: what has trained.
        network: gives the sizes.
        masters: its last weights, whole.
        comparison: of before and after, where training went on from a model.
        began_s: when the command began, by the monotonic clock.
    """
    state, chosen, start = assembly.trainer.state, prepared.chosen, prepared.start
    weights, valid = masters, state.valid
    if state.best_step != state.step and (best := assembly.store.load_best()) is not None:
        # Its own scores: where the disk was full, the best that was written is an earlier one.
        scores = best.state["valid"]
        if scores["loss_nats"] < valid["loss_nats"]:
            say(f"step {best.step} was the best on the validation text; the model is that one")
            weights, valid = best.weights, scores
    weights = {name: weight.cpu() for name, weight in weights.items()}
    folder, name = run.path / "model", run.path.resolve().name
    start.save(
        folder,
        network,
        weights,
        prepared.tokenizer,
        dtype=prepared.dtype,
        details={"run": name, "corpus": corpus.sha256},
        card=model_card(name, chosen, corpus.summary, state, valid, start=start.name),
    )
    compared = {} if comparison is None else comparison.after(run, network.config, weights)
    result = {
        "model": str(folder),
        "report": str(run.path / "report.html"),
        "shape": start.shape,
        "objective": start.objective,
        "num_parameters": chosen.num_parameters,
        "steps": state.step,
        "tokens": state.num_tokens,
        "wall_s": time.monotonic() - began_s,
        "training_s": state.elapsed_s,
        "tokens_per_s": state.num_tokens / max(1e-9, state.elapsed_s),
        "valid_loss_nats": valid["loss_nats"],
        "valid_bits_per_byte": valid.get("bits_per_byte"),
        "valid": valid,
        **compared,
        "peak_memory_bytes": runtime.peak_memory_bytes(),
        **assembly.energy.to_mapping(),
    }
    run.write(RESULT_FILE, result)
    write_run_report(run.path)
