"""Where chat templates run: Jinja's immutable sandbox, with bounds on time and size.

A template comes with a model's folder, from anywhere. The sandbox keeps it from files, attributes and long
ranges; loops within loops, texts that double and formats a gigabyte wide would still stop a server.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from yanmo.errors import InputError

_MAX_CHARACTERS = 2**24
_MAX_THREAD_S = 5.0
_MAX_DIGITS = re.compile(r"\d{6,}")
# What Jinja's compiler calls a template that has no file.
_TEMPLATE_FILE = "<template>"


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """Jinja as transformers sets it up, that multiplies and formats only so far."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        """An environment without filters or names of its own."""
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        """What an operator gives.

        Raises:
            InputError: something too large.
        """
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" and not (numbers and abs(left) < 1e6 and abs(right) < 64):
            raise _too_large()
        if operator == "*" and not numbers:
            length = max(len(side) for side in (left, right) if hasattr(side, "__len__"))
            times = next((side for side in (left, right) if isinstance(side, int)), 1)
            if length * times > _MAX_CHARACTERS:
                raise _too_large()
        if operator == "%" and isinstance(left, str) and (_MAX_DIGITS.search(left) or "*" in left):
            raise _too_large()
        return super().call_binop(context, operator, left, right)


def run_bounded(template: jinja2.Template, context: Mapping[str, Any]) -> str:
    """Run a template made by a ``TemplateSandbox``.

    Args:
        template: to run.
        context: what it may read.

    Raises:
        InputError: it takes too long, or makes too much.
        TemplateError, TypeError, ValueError: as Jinja raises them.
    """
    give_up_s = time.thread_time() + _MAX_THREAD_S

    def watch_line(frame: FrameType, event: str, _: object) -> Any:
        if time.thread_time() > give_up_s:
            raise InputError("the chat template takes too long", remedy="use another template")
        for value in frame.f_locals.values():
            if isinstance(value, str | list | tuple) and len(value) > _MAX_CHARACTERS:
                raise _too_large()
        return watch_line

    def watch_call(frame: FrameType, event: str, argument: object) -> Any:
        return watch_line if frame.f_code.co_filename == _TEMPLATE_FILE else None

    pieces, num_characters, before = [], 0, sys.gettrace()
    sys.settrace(watch_call)
    try:
        for piece in template.generate(**context):
            pieces.append(piece)
            num_characters += len(piece)
            if num_characters > _MAX_CHARACTERS:
                raise _too_large()
    finally:
        sys.settrace(before)
    return "".join(pieces)


def _too_large() -> InputError:
    return InputError("the chat template makes too much of the messages", remedy="use another template")
