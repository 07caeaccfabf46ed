"""Tokens to text that may be shown: whole characters only, and never any part of a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from yanmo.tokenizers.load import Tokenizer


class TextStream:
    """What may be shown after each token of one answer.

    Text that could be the beginning of a stop string is held back until it is known not to be.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        """Begin an empty answer; ``stop`` are strings that end it, none of them empty."""
        self._decoder = tokenizer.stream_decoder()
        self._stop = tuple(stop)
        self._held = ""
        self.is_stopped = False

    def push(self, token_id: int) -> str:
        """Text that may be shown now that this token has come; ``is_stopped`` tells of a stop string."""
        return self._show(self._decoder.push(token_id))

    def finish(self) -> str:
        """The rest of the text, when no more tokens come; empty after a stop string."""
        if self.is_stopped:
            return ""
        shown = self._show(self._decoder.finish())
        if self.is_stopped:
            return shown
        shown, self._held = shown + self._held, ""
        return shown

    def _show(self, text: str) -> str:
        self._held += text
        found = [place for place in (self._held.find(stop) for stop in self._stop) if place >= 0]
        if found:
            self.is_stopped = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        keep = self._num_uncertain()
        end = len(self._held) - keep
        shown, self._held = self._held[:end], self._held[end:]
        return shown

    def _num_uncertain(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max((len(stop) - 1 for stop in self._stop), default=0)
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0
