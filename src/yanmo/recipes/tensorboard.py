"""Training as TensorBoard shows it: scalars of every step and validation, and samples, as event files.

Only on demand, through the ``tensorboard`` package's own writer (extra ``tensorboard``); metrics.jsonl holds
the same and is what everything else reads.
"""

from __future__ import annotations

import atexit
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yanmo.errors import InputError
from yanmo.models.base import Trainable

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

# Places of a row, which TensorBoard knows by itself.
_PLACES = ("kind", "step", "batch", "tokens", "elapsed_s")


class TensorBoard:
    """A listener that writes events below a folder.

    A run that goes on after a stop, or goes back to a checkpoint, writes some steps again: TensorBoard is
    told that a session starts at such a step, and drops what it has read of that step and of later ones.
    """

    def __init__(self, folder: Path, bytes_per_token: float | None) -> None:
        """Open a new event file.

        Args:
            folder: where event files go; those of earlier sessions stay.
            bytes_per_token: of the training text; None where the objective predicts only some of the tokens.

        Raises:
            InputError: the package is not installed.
        """
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise InputError(
                "the tensorboard package is not installed", remedy="pip install 'yanmo[tensorboard]'"
            ) from None
        self._writer = EventFileWriter(str(folder), flush_secs=10)
        # Whatever ends the run, what was written by then is on the disk.
        atexit.register(self.close)
        self._bytes_per_token = bytes_per_token
        self._next_step = math.inf

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        """Write the numbers of a step."""
        step = row["step"]
        if step < self._next_step:
            self._start_session(step)
        self._next_step = step + 1
        numbers = {name: value for name, value in row.items() if name not in _PLACES}
        if self._bytes_per_token is not None:
            numbers["bits_per_byte"] = row["loss_nats"] / math.log(2) / self._bytes_per_token
        self._write_scalars("train", step, numbers)

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Write whatever the validation measured."""
        numbers = {name: value for name, value in row.items() if name not in _PLACES}
        self._write_scalars("valid", row["step"], numbers)
        self._writer.flush()

    def sampled(self, row: dict[str, Any]) -> None:
        """Write a sample's text."""
        event = _event(row["step"])
        value = event.summary.value.add(tag="sample/text_summary")
        value.metadata.plugin_data.plugin_name = "text"
        value.tensor.dtype = 7  # DT_STRING
        value.tensor.tensor_shape.dim.add(size=1)
        value.tensor.string_val.append(row["text"].encode("utf-8", "replace"))
        self._writer.add_event(event)

    def close(self) -> None:
        """Write what is still waiting."""
        atexit.unregister(self.close)
        self._writer.close()

    def _start_session(self, step: int) -> None:
        event = _event(step)
        event.session_log.status = event.session_log.START
        self._writer.add_event(event)

    def _write_scalars(self, part: str, step: int, numbers: dict[str, Any]) -> None:
        event = _event(step)
        for name, number in numbers.items():
            if isinstance(number, int | float):
                event.summary.value.add(tag=f"{part}/{name}", simple_value=number)
        self._writer.add_event(event)


def _event(step: int) -> Event:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=time.time(), step=step)
