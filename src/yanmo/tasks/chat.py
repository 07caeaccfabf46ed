"""chat: conversations, as OpenAI, ShareGPT and Alpaca keep them, or questions with answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from yanmo.corpus.fields import ROLES
from yanmo.reporting.axes import Words
from yanmo.tasks.base import Cells, How, Item, Shape, Task
from yanmo.tasks.broken import Flaw, FlawError
from yanmo.tasks.cells import as_text, list_in, mapping_in, text_in
from yanmo.tasks.columns import Holds, Role
from yanmo.tasks.examples import ChatExample, Message, Origin

_KNOWN = ("system", "user", "assistant", "tool")
_OTHER_ROLES = {"function": "tool", "observation": "tool", "chatgpt": "assistant", "ai": "assistant"} | {
    "developer": "system",
    "用户": "user",
    "助手": "assistant",
    "系统": "system",
}
_MESSAGES = Role(
    name="messages", names=("messages conversations conversation dialogue dialog chat 对话 消息",)
)
_TURNS = Role(name="turns", names=("turns utterances 轮次",))
_TOOLS = Role(name="tools", names=("tools functions 工具",), optional=True)
_SYSTEM = Role(name="system", names=("system systemprompt 系统提示",), optional=True)
_INSTRUCTION = Role(name="instruction", names=("instruction instructions 指令",))
_INPUT = Role(name="input", names=("input context 输入",), optional=True)
_OUTPUT = Role(name="output", names=("output response answer completion 输出 回答",), is_target=True)
_INSTANCES = Role(name="instances", names=("instances",))
_PROMPT = Role(name="prompt", names=("prompt question query user input 问题 提问 问 用户",), holds=Holds.TEXT)
_RESPONSE = Role(
    name="response",
    names=("response answer completion output reply assistant stdanswer target 回答 答案 答 回复 助手",),
    holds=Holds.TEXT,
    is_target=True,
)


def messages_in(cell: Any, how: How) -> tuple[Message, ...]:
    """The messages of a list of objects with ``role`` and ``content``, or ``from`` and ``value``.

    Raises:
        FlawError: one is not a message.
    """
    found = []
    for number, entry in enumerate(list_in(cell, "messages"), 1):
        try:
            found.append(_message(entry, how))
        except FlawError as flaw:
            flaw.within = f"message {number}"
            raise
    if not found:
        raise FlawError(Flaw.MESSAGE, "no messages", "write the messages, or leave the row out")
    return tuple(found)


def _message(entry: Any, how: How) -> Message:
    if not isinstance(entry, Mapping):
        raise FlawError(
            Flaw.MESSAGE, f"{repr(entry)[:40]} is no message", 'write {"role": "user", "content": "..."}'
        )
    said = entry.get("role", entry.get("from"))
    role = str(said).strip().lower()
    role = ROLES.get(role, _OTHER_ROLES.get(role, role))
    if role not in _KNOWN:
        raise FlawError(Flaw.MESSAGE, f"role {said!r}", f"roles are {', '.join(_KNOWN)}")
    content = entry.get("content", entry.get("value"))
    calls = entry.get("tool_calls") or ()
    if not isinstance(calls, list | tuple) or not all(isinstance(call, Mapping) for call in calls):
        raise FlawError(Flaw.MESSAGE, f"tool_calls {repr(calls)[:40]}", "write them as a list of objects")
    if calls and content in (None, ""):
        return Message(role, "", tuple(calls))
    if isinstance(content, list):
        content = "".join(_part(part) for part in content)
    return Message(role, as_text(content, f"content of the {role}", how), tuple(calls))


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type") if isinstance(part, Mapping) else part
    raise FlawError(Flaw.MESSAGE, f"a part of type {kind!r}", "write text: pictures and sounds are not read")


def _example(messages: Sequence[Message], tools: Any, origin: Origin, how: How) -> ChatExample:
    if how.labelled and not any(message.role == "assistant" for message in messages):
        raise FlawError(
            Flaw.MESSAGE, "nothing that the assistant says", "add its answer, or leave the row out"
        )
    known = tuple(list_in(tools, "tools")) if tools else ()
    if not all(isinstance(tool, Mapping) for tool in known):
        raise FlawError(Flaw.MESSAGE, f"tools {repr(tools)[:40]}", "write them as a list of objects")
    return ChatExample(messages=tuple(messages), tools=known, origin=origin)


def _system(cells: Cells, how: How) -> Iterator[Message]:
    if cells.get("system"):
        yield Message("system", text_in(cells, "system", how))


def _build_messages(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    cell = cells["messages"]
    holder = mapping_in(cell)
    messages = messages_in(holder["messages"] if holder and "messages" in holder else cell, how)
    return (_example([*_system(cells, how), *messages], cells.get("tools"), origin, how),)


def _build_turns(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    turns = [as_text(turn, f"turn {i}", how) for i, turn in enumerate(list_in(cells["turns"], "turns"), 1)]
    messages = [Message("assistant" if i % 2 else "user", turn) for i, turn in enumerate(turns)]
    return (_example([*_system(cells, how), *messages], None, origin, how),)


def _build_instruction(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    asked = instruction_in(cells, how)
    messages = [*_system(cells, how), Message("user", asked), *_answer(cells.get("output"), how)]
    return (_example(messages, None, origin, how),)


def _build_instances(cells: Cells, origin: Origin, how: How) -> Iterator[Item]:
    instances = list_in(cells["instances"], "instances")
    if not instances:
        raise FlawError(Flaw.MESSAGE, "no instances", "write one, or leave the row out")
    for number, entry in enumerate(instances, 1):
        at = origin._replace(within=f"instance {number}")
        try:
            if not isinstance(entry, Mapping):
                raise FlawError(Flaw.ROW, repr(entry)[:40], 'write {"input": ..., "output": ...}')
            both = {**cells, "input": entry.get("input"), "output": entry.get("output")}
            yield from _build_instruction(both, at, how)
        except FlawError as flaw:
            yield flaw.at(at, str(entry)[:200])


def _build_question(cells: Cells, origin: Origin, how: How) -> Iterable[Item]:
    asked = Message("user", text_in(cells, "prompt", how))
    messages = [*_system(cells, how), asked, *_answer(cells.get("response"), how)]
    return (_example(messages, None, origin, how),)


def instruction_in(cells: Cells, how: How) -> str:
    """What is asked, with its input below it."""
    asked = text_in(cells, "instruction", how)
    given = cells.get("input")
    return f"{asked}\n\n{as_text(given, 'input', how)}" if given and str(given).strip() else asked


def _answer(cell: Any, how: How) -> Iterator[Message]:
    if how.labelled or cell not in (None, ""):
        yield Message("assistant", as_text(cell, "answer", how))


CHAT = Task(
    name="chat",
    what=Words("conversations, or instructions with their answers", "对话，或指令与回答"),
    shapes=(
        Shape(roles=(_MESSAGES, _TOOLS, _SYSTEM), build=_build_messages),
        Shape(roles=(_TURNS, _SYSTEM), build=_build_turns),
        Shape(roles=(_INSTRUCTION, _INSTANCES), build=_build_instances),
        Shape(roles=(_INSTRUCTION, _INPUT, _OUTPUT, _SYSTEM), build=_build_instruction),
        Shape(roles=(_PROMPT, _RESPONSE, _SYSTEM), build=_build_question),
    ),
)
