"""Tools that a chat model may call: what its template is told, and the calls in what it says.

A model was trained to write calls in one of two ways. Most open models write each call as a JSON object
between ``<tool_call>`` and ``</tool_call>`` (the form of Hermes 2 Pro and Qwen), some write the object, or a
list of them, and nothing else (Llama 3.1, Mistral). Both are read; what is neither is ordinary text.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from yanmo.generation.constraint import FormKind, OutputForm

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_BLOCK = re.compile(re.escape(_OPEN) + r"(.*?)(?:" + re.escape(_CLOSE) + r"|$)", re.DOTALL)
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class Function(BaseModel):
    """What a tool is."""

    model_config = ConfigDict(strict=True, extra="ignore")

    name: _Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(BaseModel):
    """One of ``tools``."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["function"]
    function: Function

    def plain(self) -> dict[str, Any]:
        """As chat templates take it."""
        function = {
            "name": self.function.name,
            "description": self.function.description or "",
            "parameters": self.function.parameters or {"type": "object", "properties": {}},
        }
        return {"type": "function", "function": function}


class NamedFunction(BaseModel):
    """The name in ``tool_choice``."""

    model_config = ConfigDict(strict=True, extra="ignore")

    name: str


class NamedTool(BaseModel):
    """A tool that must be called."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["function"]
    function: NamedFunction


class CalledFunction(BaseModel):
    """A call that the assistant made before, its arguments as JSON."""

    model_config = ConfigDict(strict=True, extra="ignore")

    name: str
    arguments: str = "{}"


class CalledTool(BaseModel):
    """One of an assistant's ``tool_calls``."""

    model_config = ConfigDict(strict=True, extra="ignore")

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction

    def plain(self) -> dict[str, Any]:
        """As chat templates take it: the arguments as an object.

        Raises:
            ValueError: they are none.
        """
        arguments = json.loads(self.function.arguments or "{}")
        if not isinstance(arguments, dict):
            raise ValueError("the arguments of a call are no JSON object")
        function = {"name": self.function.name, "arguments": arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True, kw_only=True)
class Call:
    """A tool that the model calls, its arguments as JSON."""

    id: str
    name: str
    arguments: str

    def to_mapping(self) -> dict[str, Any]:
        """As the API has it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


def call_form(tools: Sequence[Tool], *, is_tagged: bool) -> OutputForm:
    """What an answer that must call one of these tools looks like.

    Args:
        tools: that may be called.
        is_tagged: whether the model's template puts calls between tags.
    """
    key = "arguments" if is_tagged else "parameters"
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool.function.name},
                key: tool.function.parameters or {"type": "object"},
            },
            "required": ["name", key],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    schema = json.dumps({"anyOf": calls}, ensure_ascii=False)
    if not is_tagged:
        return OutputForm(kind=FormKind.JSON_SCHEMA, text=schema)
    grammar = f'start: "{_OPEN}\\n" call "\\n{_CLOSE}"\ncall: %json {schema}\n'
    return OutputForm(kind=FormKind.GRAMMAR, text=grammar)


def wraps_calls(template: str) -> bool:
    """Whether a chat template puts calls between tags."""
    return _OPEN in template


class ToolReader:
    """Parts one answer into what is said and what is called, while it comes."""

    def __init__(self, names: Sequence[str]) -> None:
        """For tools of these names."""
        self._names = frozenset(names)
        self._text, self._num_shown = "", 0

    def push(self, text: str) -> str:
        """Take in text; what of it may be shown now."""
        self._text += text
        return self._show(self._end_of_speech())

    def finish(self) -> tuple[str, list[Call]]:
        """What is left to show, and the calls."""
        begin = self._text.find(_OPEN)
        if begin < 0:
            calls = self._calls([self._text])
            return ("" if calls else self._show(len(self._text))), calls
        calls = self._calls(_BLOCK.findall(self._text[begin:]))
        # Calls that cannot be read are shown as they are.
        return self._show(len(self._text[:begin].rstrip()) if calls else len(self._text)), calls

    def _show(self, end: int) -> str:
        start, self._num_shown = self._num_shown, max(end, self._num_shown)
        return self._text[start:end]

    def _end_of_speech(self) -> int:
        """Up to where nothing can belong to a call."""
        if self._text.lstrip()[:1] in ("", "{", "["):
            return 0
        begin = self._text.find(_OPEN)
        if begin < 0:
            half = (n for n in range(len(_OPEN) - 1, 0, -1) if self._text.endswith(_OPEN[:n]))
            begin = len(self._text) - next(half, 0)
        return len(self._text[:begin].rstrip())

    def _calls(self, blocks: Sequence[str]) -> list[Call]:
        found: list[Call] = []
        for block in blocks:
            try:
                read = json.loads(block)
            except (ValueError, RecursionError):
                return []
            for call in read if isinstance(read, list) else [read]:
                name, arguments = _parts(call)
                if name not in self._names:
                    return []
                found.append(Call(id=f"call_{secrets.token_hex(12)}", name=name, arguments=arguments))
        return found


def _parts(call: object) -> tuple[str, str]:
    """Name and arguments of a call; an empty name where it is none."""
    if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
        return "", ""
    arguments = call.get("arguments", call.get("parameters", {}))
    if isinstance(arguments, str):
        return call["name"], arguments
    return call["name"], json.dumps(arguments, ensure_ascii=False)
