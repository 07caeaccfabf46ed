"""preference: two answers to the same, one of them better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from yanmo.reporting.axes import Words
from yanmo.tasks.base import Cells, How, Item, Shape, Task
from yanmo.tasks.broken import Flaw, FlawError
from yanmo.tasks.cells import as_text
from yanmo.tasks.chat import instruction_in, messages_in
from yanmo.tasks.columns import Role
from yanmo.tasks.examples import Message, Origin, PreferenceExample

_CHOSEN = Role(name="chosen", names=("chosen preferred better good accepted win 更好 优选 较好",))
_REJECTED = Role(name="rejected", names=("rejected dispreferred worse bad lose loser 较差 劣选 更差",))
_INSTRUCTION = Role(name="instruction", names=("instruction instructions 指令",))
_INPUT = Role(name="input", names=("input context 输入",), optional=True)
_PROMPT = Role(
    name="prompt", names=("prompt question query messages conversations 提示 问题 提问",), optional=True
)


def _build_instruction(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    prompt = (Message("user", instruction_in(cells, how)),)
    return (_example(prompt, _said(cells, "chosen", how), _said(cells, "rejected", how), origin),)


def _build_prompt(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    chosen, rejected = _said(cells, "chosen", how), _said(cells, "rejected", how)
    cell = cells.get("prompt")
    prompt: tuple[Message, ...] = ()
    if isinstance(cell, list):
        prompt = messages_in(cell, how)
    elif cell is not None:
        prompt = (Message("user", as_text(cell, "prompt", how)),)
    return (_example(prompt, chosen, rejected, origin),)


def _said(cells: Cells, role: str, how: How) -> tuple[Message, ...]:
    """What an answer is, with what was said before it where it is a whole conversation."""
    cell: Any = cells.get(role)
    if isinstance(cell, list | Mapping):
        messages = messages_in(cell if isinstance(cell, list) else [cell], how)
        if messages[-1].role != "assistant":
            raise FlawError(
                Flaw.MESSAGE, f"{role} ends with the {messages[-1].role}", "end it with the answer"
            )
        return messages
    return (Message("assistant", as_text(cell, role, how)),)


def _example(
    prompt: tuple[Message, ...], chosen: tuple[Message, ...], rejected: tuple[Message, ...], origin: Origin
) -> PreferenceExample:
    if chosen[:-1] != rejected[:-1]:
        raise FlawError(
            Flaw.MESSAGE,
            "the two conversations differ before their last message",
            "let both answer the same conversation",
        )
    if chosen[-1].content == rejected[-1].content:
        raise FlawError(Flaw.SAME_ANSWERS, repr(chosen[-1].content[:40]), "leave the row out")
    asked = chosen[:-1] or prompt
    return PreferenceExample(
        prompt=asked, chosen=chosen[-1].content, rejected=rejected[-1].content, origin=origin
    )


PREFERENCE = Task(
    name="preference",
    what=Words("two answers, one of them better", "两个回答，其中一个更好"),
    shapes=(
        Shape(roles=(_CHOSEN, _REJECTED, _INSTRUCTION, _INPUT), build=_build_instruction),
        Shape(roles=(_CHOSEN, _REJECTED, _PROMPT), build=_build_prompt),
    ),
)
