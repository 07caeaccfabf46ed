"""What going on did to a model: its scores on new and on old held-out text, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from yanmo.corpus.store import Corpus
from yanmo.planning.shapes import ModelConfig, build_model
from yanmo.recipes.preparation import COMPARING_SHARE, Prepared, scored_texts
from yanmo.recipes.run_folder import BEFORE_FILE, RunFolder
from yanmo.recipes.start import Network
from yanmo.reporting.progress import say

Scores = dict[str, dict[str, float]]


class Comparison:
    """The same texts, scored twice; those of the test split where there is one."""

    def __init__(
        self, prepared: Prepared, new: Corpus, old: Corpus | None, *, budget_s: float | None
    ) -> None:
        """Choose the texts.

        Args:
            prepared: scores them, and knows the speed and the context.
            new: corpus that is trained on.
            old: corpus that is replayed, or None.
            budget_s: of the run; a fixed amount of text is read where None.
        """
        corpora = {"new": new} if old is None else {"new": new, "old": old}
        time_s = None if budget_s is None else COMPARING_SHARE * budget_s / len(corpora)
        chosen, self._dtype = prepared.chosen, prepared.dtype
        texts = {name: scored_texts(c, "test", chosen, time_s) for name, c in corpora.items()}
        self._scorers = {
            name: prepared.goal.validation(held_out, seq_len=chosen.max_seq_len)
            for name, held_out in texts.items()
        }

    def before(self, run: RunFolder, network: Network) -> None:
        """Score the model as it came, unless an earlier session did."""
        if run.read(BEFORE_FILE) is not None:
            return
        if "old" not in self._scorers:
            say("no --replay corpus: what the model forgets is not measured")
        scores = self._scores(network.config, dict(network.named_parameters()))
        run.write(BEFORE_FILE, scores)
        say("; ".join(f"before, {name} text: {_words(score)}" for name, score in scores.items()))

    def after(self, run: RunFolder, config: ModelConfig, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Score the model with its last weights.

        Returns:
            ``before`` and ``after``, each with ``new`` and, where there is old text, ``old``.
        """
        return {"before": run.read(BEFORE_FILE), "after": self._scores(config, weights)}

    @torch.no_grad()
    def _scores(self, config: ModelConfig, weights: Mapping[str, Tensor]) -> Scores:
        # A network of its own: that of the run may be parted over processes.
        network = build_model(config, draw=False)
        network.to(self._dtype).eval()
        for name, parameter in network.named_parameters():
            parameter.copy_(weights[name])
        return {name: score(network) for name, score in self._scorers.items()}


def forgetting_lines(result: Mapping[str, Any]) -> list[str]:
    """A line for each text, for people; nothing where the run did not go on from a model."""
    before, after = result.get("before"), result.get("after")
    if before is None or after is None:
        return []
    lines = [
        f"{name:<8} {_words(before[name])} before, {_words(after[name])} after ({name} held-out text)"
        for name in after
    ]
    if "old" not in after:
        lines.append("old      not measured: give --replay CORPUS of text that the model knew")
    return lines


def _words(score: Mapping[str, float]) -> str:
    """A score in words: perplexity and bits per byte where there are any, else the loss."""
    if "bits_per_byte" in score:
        return f"perplexity {score['perplexity']:.2f}, {score['bits_per_byte']:.4f} bits per byte"
    return f"loss {score['loss_nats']:.4f} nats"
