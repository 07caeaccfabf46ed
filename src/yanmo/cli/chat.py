"""``yanmo chat``: talk to a model in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from yanmo.cli.models import Dtype, Model, open_model
from yanmo.cli.output import Json, emit
from yanmo.errors import InputError
from yanmo.reporting.progress import say

if TYPE_CHECKING:
    from yanmo.generation.conversation import Conversation


def chat(
    model: Model,
    *,
    system: Annotated[str, Parameter(help="Instruction before the conversation.")] = "",
    max_tokens: Annotated[int, Parameter(help="Most tokens of an answer.")] = 512,
    temperature: Annotated[float, Parameter(help="0 always takes the likeliest token.")] = 0.8,
    top_p: Annotated[
        float, Parameter(help="Draw among the likeliest tokens that reach this; 1 is off.")
    ] = 0.95,
    repetition_penalty: Annotated[float, Parameter(help="Above 1 makes repetition rarer.")] = 1.0,
    seed: Annotated[int | None, Parameter(help="Seed of the sampling; without it each run differs.")] = None,
    dtype: Dtype = "float32",
    json: Json = False,
) -> None:
    """Talk to a model; /reset forgets, /exit or the end of input ends, Ctrl-C stops an answer."""
    from yanmo.generation.conversation import Conversation
    from yanmo.generation.engine import Engine, SamplingParams

    loaded = open_model(model, dtype)
    params = SamplingParams(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
    )
    conversation = Conversation(
        Engine(loaded.model, loaded.tokenizer, loaded.generation), params, system=system
    )
    if not conversation.uses_template:
        say(f"{loaded.name} was not trained on conversations: it continues them as plain text.")
    for line in _lines():
        if line == "/exit":
            break
        if line == "/reset":
            conversation.reset()
            say("forgotten")
        elif line:
            _answer(conversation, line, silent=json)
    if json:
        emit({"messages": conversation.messages}, "", as_json=True)


def _answer(conversation: Conversation, line: str, *, silent: bool) -> None:
    num_forgotten = conversation.num_forgotten
    pieces = conversation.ask(line)
    try:
        for piece in pieces:
            if not silent:
                print(piece.text, end="", flush=True)
    except KeyboardInterrupt as interrupt:
        # Termination is a kind of interrupt too, and ends the program.
        if type(interrupt) is not KeyboardInterrupt:
            raise
        say("\n(stopped)")
    except InputError as error:
        if not sys.stdin.isatty():
            raise
        say(f"yanmo: {error}")
    finally:
        pieces.close()
    if not silent:
        print(flush=True)
    if conversation.num_forgotten > num_forgotten:
        say(f"(the context is full: the oldest {conversation.num_forgotten} messages are forgotten)")


def _lines() -> Iterator[str]:
    """What the user says, a line a message, until the end of input."""
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        # Importing it gives input() line editing and history.
        import readline  # noqa: F401
    while True:
        try:
            yield (input("> ") if is_terminal else _next_line()).strip()
        except EOFError:
            return
        except KeyboardInterrupt as interrupt:
            if not is_terminal or type(interrupt) is not KeyboardInterrupt:
                raise
            say("\n/exit or Ctrl-D ends")


def _next_line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line
