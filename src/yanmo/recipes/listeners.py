"""What hears the training loop: the metrics log, the progress line, the samples along the way."""

from __future__ import annotations

import math
from typing import Any

from yanmo.generation.engine import Engine, SamplingParams
from yanmo.models.base import Trainable
from yanmo.reporting.metrics_log import MetricsLog
from yanmo.reporting.progress import Progress, say
from yanmo.tokenizers.load import Tokenizer
from yanmo.training.schedule import Schedule

_NUM_SAMPLES = 5
_SAMPLE_TOKENS = 80


class Log:
    """Writes every row to metrics.jsonl, with bits per byte beside nats per token."""

    def __init__(self, log: MetricsLog, bytes_per_token: float) -> None:
        """``bytes_per_token`` is of the training text."""
        self._log, self._bytes_per_token = log, bytes_per_token

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        """Append the step."""
        self._log.append({**row, "bits_per_byte": row["loss_nats"] / math.log(2) / self._bytes_per_token})

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Append the validation."""
        self._log.append(row)


class Narrator:
    """Shows the progress of training on stderr."""

    def __init__(self, bytes_per_token: float, schedule: Schedule) -> None:
        """``schedule`` tells how many steps there are, as it stands."""
        self._bytes_per_token, self._schedule = bytes_per_token, schedule
        self._bar = Progress("training", unit="steps")
        self._bar.__enter__()
        self._loss_nats = self._tokens_per_s = 0.0

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        """Move the bar."""
        share = 0.1 if self._loss_nats else 1.0
        self._loss_nats += share * (row["loss_nats"] - self._loss_nats)
        self._tokens_per_s += share * (row["tokens_per_s"] - self._tokens_per_s)
        bits = self._loss_nats / math.log(2) / self._bytes_per_token
        note = f"loss {self._loss_nats:.3f}, {bits:.3f} bits/byte, {self._tokens_per_s:,.0f} tokens/s"
        self._bar.set_total(self._schedule.num_steps)
        self._bar.update(row["step"], note, time_left_s=time_left_s)
        if row["step"] >= self._schedule.num_steps:
            self._bar.__exit__(None, None, None)

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Say the score on held-out text."""
        say(f"step {row['step']:,}: {row['bits_per_byte']:.4f} bits per byte on held-out text")


class Sampler:
    """Lets the model write a little a few times in the run."""

    def __init__(self, log: MetricsLog, tokenizer: Tokenizer, schedule: Schedule, *, seed: int) -> None:
        """Samples are drawn with generators of their own: training does not feel them."""
        self._log, self._tokenizer, self._schedule, self._seed = log, tokenizer, schedule, seed

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        """Nothing to do between validations."""

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Write a sample at about every fifth of the run."""
        progress = self._schedule.progress(row["step"])
        if progress < 1 and math.floor(progress * 20) % (20 // _NUM_SAMPLES):
            return
        longest = model.max_seq_len
        max_tokens = _SAMPLE_TOKENS if longest is None else min(_SAMPLE_TOKENS, longest - 2)
        params = SamplingParams(max_tokens=max_tokens, temperature=0.8, top_p=0.95, seed=self._seed)
        model.eval()
        text = Engine(model, self._tokenizer).generate([self._tokenizer.eos_id], params).text
        model.train()
        self._log.append({"kind": "sample", "step": row["step"], "text": text})
