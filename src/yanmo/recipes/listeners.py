"""What hears the training loop: the metrics log, the progress line, the samples along the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from yanmo.energy import EnergyMeter
from yanmo.generation.engine import Engine, SamplingParams
from yanmo.models.base import Trainable
from yanmo.reporting.metrics_log import MetricsLog
from yanmo.reporting.progress import Progress, say
from yanmo.tokenizers.load import Tokenizer
from yanmo.training.schedule import Schedule

_NUM_SAMPLES = 5
_SAMPLE_TOKENS = 80
_SHARES = {
    "masked_accuracy": "of the masked tokens guessed",
    "next_sentence_accuracy": "of the next sentences told",
}


class Log:
    """Writes every row to metrics.jsonl, with bits per byte beside nats per token, and the energy so far."""

    def __init__(
        self, log: MetricsLog, bytes_per_token: float | None, energy: EnergyMeter | None = None
    ) -> None:
        """Join the parts.

        Args:
            log: where rows go.
            bytes_per_token: of the training text; None where the objective predicts only some of the tokens.
            energy: a meter that runs; what earlier sessions of the run have taken is added to it.
        """
        self._log, self._bytes_per_token, self._energy = log, bytes_per_token, energy
        self._has_begun = False

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        """Append the step."""
        self._begin()
        if self._bytes_per_token is not None:
            row = {**row, "bits_per_byte": row["loss_nats"] / math.log(2) / self._bytes_per_token}
        if self._energy is not None:
            row = {**row, "energy_j": round(self._energy.joules, 1)}
        self._log.append(row)

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Append the validation."""
        self._log.append(row)

    def noted(self, row: dict[str, Any]) -> None:
        """Append what went wrong."""
        self._log.append(row)

    def _begin(self) -> None:
        if not self._has_begun and self._energy is not None:
            self._energy.go_on_from(self._log.newest("energy_j") or 0.0)
        self._has_begun = True


class Narrator:
    """Shows the progress of training on stderr."""

    def __init__(self, bytes_per_token: float | None, schedule: Schedule) -> None:
        """Show the bar.

        Args:
            bytes_per_token: as of ``Log``.
            schedule: tells how many steps there are, as it stands.
        """
        self._bytes_per_token, self._schedule = bytes_per_token, schedule
        self._bar = Progress("training", unit="steps")
        self._bar.__enter__()
        self._loss_nats = self._tokens_per_s = 0.0

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        """Move the bar."""
        share = 0.1 if self._loss_nats else 1.0
        self._loss_nats += share * (row["loss_nats"] - self._loss_nats)
        self._tokens_per_s += share * (row["tokens_per_s"] - self._tokens_per_s)
        parts = [f"loss {self._loss_nats:.3f}"]
        if self._bytes_per_token is not None:
            parts.append(f"{self._loss_nats / math.log(2) / self._bytes_per_token:.3f} bits/byte")
        parts.append(f"{self._tokens_per_s:,.0f} tokens/s")
        self._bar.set_total(self._schedule.num_steps)
        self._bar.update(row["step"], ", ".join(parts), time_left_s=time_left_s)
        if row["step"] >= self._schedule.num_steps:
            self._bar.__exit__(None, None, None)

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Say the score on held-out text."""
        if "bits_per_byte" in row:
            score = f"{row['bits_per_byte']:.4f} bits per byte"
        else:
            shares = [f"{row[name]:.1%} {words}" for name, words in _SHARES.items() if name in row]
            score = ", ".join([f"{row['loss_nats']:.4f} nats", *shares])
        say(f"step {row['step']:,}: {score} on held-out text")


class Sampler:
    """Lets the model write a little a few times in the run."""

    def __init__(
        self,
        log: MetricsLog,
        tokenizer: Tokenizer,
        schedule: Schedule,
        *,
        seed: int,
        also: Sequence[Callable[[dict[str, Any]], None]] = (),
    ) -> None:
        """Samples are drawn with generators of their own: training does not feel them.

        Args:
            log: where samples go.
            tokenizer: the model's.
            schedule: tells how far the run is.
            seed: of the samples.
            also: told of each sample's row too.
        """
        self._log, self._tokenizer, self._schedule, self._seed = log, tokenizer, schedule, seed
        self._also = also

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        """Nothing to do between validations."""

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Write a sample at about every fifth of the run."""
        progress = self._schedule.progress(row["step"])
        if progress < 1 and math.floor(progress * 20) % (20 // _NUM_SAMPLES):
            return
        longest = model.max_seq_len
        max_tokens = _SAMPLE_TOKENS if longest is None else min(_SAMPLE_TOKENS, longest - 2)
        params = SamplingParams(
            max_tokens=max_tokens, min_tokens=1, temperature=0.8, top_p=0.95, seed=self._seed
        )
        model.eval()
        text = Engine(model, self._tokenizer).generate([self._tokenizer.eos_id], params).text
        model.train()
        sample: dict[str, Any] = {"kind": "sample", "step": row["step"], "text": text}
        if "batch" in row:
            sample["batch"] = row["batch"]
        for append in (self._log.append, *self._also):
            append(sample)
