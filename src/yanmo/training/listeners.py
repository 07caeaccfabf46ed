"""Who hears what the training loop does."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from yanmo.models.base import Trainable
from yanmo.reporting.progress import say_once


class Listener(Protocol):
    """Hears what the loop does; owns its own state."""

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        """After each step, with the row of the metrics log."""

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """After each validation."""


@runtime_checkable
class Chronicler(Protocol):
    """A listener that also wants to hear of what went wrong."""

    def noted(self, row: dict[str, Any]) -> None:
        """After a batch was skipped (``kind`` is "skipped") or the run went back ("rollback")."""


class Listeners:
    """Several, told one after the other. A full disk stops none of them: a row is not worth a run."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        """``listeners`` are told in this order."""
        self._listeners = listeners

    def stepped(self, row: dict[str, Any], time_left_s: float) -> None:
        """Tell all of a step."""
        for listener in self._listeners:
            with _going_on_if_the_disk_is_full():
                listener.stepped(row, time_left_s)

    def validated(self, row: dict[str, Any], model: Trainable) -> None:
        """Tell all of a validation."""
        for listener in self._listeners:
            with _going_on_if_the_disk_is_full():
                listener.validated(row, model)

    def noted(self, row: dict[str, Any]) -> None:
        """Tell those who want to know of what went wrong."""
        for listener in self._listeners:
            if isinstance(listener, Chronicler):
                with _going_on_if_the_disk_is_full():
                    listener.noted(row)


@contextlib.contextmanager
def _going_on_if_the_disk_is_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        say_once("the disk is full: the metrics of these steps are not written; training goes on")
