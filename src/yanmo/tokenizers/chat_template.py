"""Conversations to text: ChatML, and any Jinja template that a tokenizer folder brings.

ChatML (OpenAI 2023) frames each message as ``<|im_start|>role\\ncontent<|im_end|>\\n``, the same in
every language. Templates run in Jinja's immutable sandbox with the settings that transformers uses,
so a folder's own template gives the same text here as there.

One thing differs on purpose. A special token's string inside a message stays ordinary text: the
message cannot close its own frame and speak as somebody else. Ordinary messages give the ids that
transformers gives.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import jinja2

from yanmo.errors import InputError
from yanmo.tokenizers.template_sandbox import TemplateSandbox, run_bounded

CHATML = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- endif %}"
)

# Stand-ins for special strings inside messages come from here (a private-use plane).
_FIRST_STAND_IN, _LAST_STAND_IN = 0xF0000, 0xFFFFD


@dataclass(frozen=True, kw_only=True)
class ChatPiece:
    """A stretch of a rendered conversation: one special token, or plain text."""

    text: str
    is_special: bool


def render(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool,
    names: Mapping[str, str | None],
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> str:
    """Run a chat template.

    Args:
        template: Jinja source.
        messages: each with ``role`` and ``content``, both strings, and what else the template reads.
        add_generation_prompt: end with the opening of the assistant's answer.
        names: ``eos_token`` and the like, as the template may ask for them.
        tools: that the model may call, as JSON schemas of functions.

    Raises:
        InputError: a message is not of that form, or the template is wrong or refuses it.
    """
    _check(messages)
    known = {name: text for name, text in names.items() if text is not None}
    try:
        context = {
            **known,
            "messages": [dict(message) for message in messages],
            "add_generation_prompt": add_generation_prompt,
            "tools": None if tools is None else list(tools),
        }
        return run_bounded(_compile(template), context)
    except InputError:
        raise
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        reason = " ".join(str(error).split())
        remedy = "check the messages' roles and order"
        raise InputError(f"the chat template failed: {reason}", remedy=remedy) from None


def split(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    specials: Sequence[str],
    add_generation_prompt: bool,
    names: Mapping[str, str | None],
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> list[ChatPiece]:
    """Run a chat template and part its special tokens from the text between them.

    Special strings inside messages are swapped for characters that occur in no message while the
    template runs, and swapped back in the plain pieces.

    Args:
        template: Jinja source.
        messages: each with ``role`` and ``content``, both strings.
        specials: the special tokens' strings.
        add_generation_prompt: end with the opening of the assistant's answer.
        names: ``eos_token`` and the like.
        tools: that the model may call.

    Raises:
        InputError: as ``render``.
    """
    _check(messages)
    if not specials:
        text = render(
            template, messages, add_generation_prompt=add_generation_prompt, names=names, tools=tools
        )
        return [ChatPiece(text=text, is_special=False)]
    # Longest first, so that a special string that begins another is not found inside it.
    pattern = re.compile("|".join(re.escape(text) for text in sorted(specials, key=len, reverse=True)))
    stand_ins = dict(zip(specials, _unused_characters(template, (messages, tools)), strict=False))
    originals = {stand_in: text for text, stand_in in stand_ins.items()}

    def guarded(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub(lambda found: stand_ins[found[0]], value)
        if isinstance(value, Mapping):
            return {guarded(key): guarded(each) for key, each in value.items()}
        return [guarded(each) for each in value] if isinstance(value, list | tuple) else value

    text = render(
        template,
        guarded(messages),
        add_generation_prompt=add_generation_prompt,
        names=names,
        tools=guarded(tools),
    )
    back = str.maketrans(originals)
    pieces, end = [], 0
    for found in pattern.finditer(text):
        if found.start() > end:
            pieces.append(ChatPiece(text=text[end : found.start()].translate(back), is_special=False))
        pieces.append(ChatPiece(text=found[0], is_special=True))
        end = found.end()
    if end < len(text):
        pieces.append(ChatPiece(text=text[end:].translate(back), is_special=False))
    return pieces


def _check(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages:
        raise InputError("the conversation is empty", remedy="give at least one message")
    for index, message in enumerate(messages):
        for field in ("role", "content"):
            value = message.get(field) if isinstance(message, Mapping) else None
            if not isinstance(value, str):
                raise InputError(f"{field!r} must be a string", where=f"messages[{index}]")


def _unused_characters(template: str, values: object) -> Iterator[str]:
    used = set(template)

    def use(value: object) -> None:
        if isinstance(value, str):
            used.update(value)
        elif isinstance(value, Mapping):
            use([*value, *value.values()])
        elif isinstance(value, list | tuple):
            for each in value:
                use(each)

    use(values)
    return (chr(code) for code in range(_FIRST_STAND_IN, _LAST_STAND_IN) if chr(code) not in used)


@lru_cache(maxsize=16)
def _compile(template: str) -> jinja2.Template:
    environment = TemplateSandbox()
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _strftime_now
    return environment.from_string(template)


def _to_json(value: Any, indent: int | None = None) -> str:
    # Jinja's own filter escapes HTML characters, which a prompt must not.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _strftime_now(pattern: str) -> str:
    return datetime.datetime.now().strftime(pattern)


def _refuse(reason: str) -> NoReturn:
    raise InputError(f"the chat template refuses the conversation: {reason}")
