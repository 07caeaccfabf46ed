"""Request bodies of the two generation routes, checked as the OpenAI API checks them.

Names and ranges: platform.openai.com/docs/api-reference/{completions,chat}. Added, as other open servers
name them: ``top_k``, ``min_p``, ``typical_p``, ``repetition_penalty``, ``no_repeat_ngram_size``,
``min_tokens``, ``stop_token_ids``, ``guided_regex`` and ``guided_grammar``; for completions also
``truncate_prompt_tokens``: keep only the end of a prompt that is too long.

Parameters that change nothing here (``user``, ``metadata`` ...) are taken and ignored; those that
would change the answer and are not built (``audio``, ``suffix`` ...) are refused, as is any unknown name.
"""

from __future__ import annotations

import json
import secrets
from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from yanmo.generation.constraint import FormKind, OutputForm
from yanmo.generation.sampling import SamplingParams
from yanmo.serving.api_errors import ApiError
from yanmo.serving.limits import Limits
from yanmo.serving.tools import CalledTool, NamedTool, Tool

# Of the OpenAI API: they name the caller, its billing or its storage, or tune what is not here.
IGNORED = frozenset(
    {
        *("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"),
        *("prompt_cache_retention", "parallel_tool_calls", "reasoning_effort", "verbosity", "prediction"),
        "reasoning",
    }
)
# Of the OpenAI API: accepted only at the value that asks for nothing.
_NOTHING: dict[str, tuple[Any, ...]] = {
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "web_search_options": (None,),
    "suffix": (None, ""),
    # Of /v1/responses: nothing is kept that they could refer to.
    "previous_response_id": (None,),
    "conversation": (None,),
    "background": (None, False),
    "include": (None, []),
    "prompt": (None,),
    "truncation": (None, "disabled"),
    "max_tool_calls": (None,),
}

_DECIMALS = frozenset(
    {
        *("temperature", "top_p", "min_p", "typical_p", "repetition_penalty", "presence_penalty"),
        *("frequency_penalty", "logit_bias"),
    }
)
_BOUNDS = {"greater_than": "below_min", "less_than": "above_max"}

_Stop = Annotated[str, Field(min_length=1)]
_Bias = Annotated[float, Field(ge=-100, le=100)]
_TokenId = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]
_Body = TypeVar("_Body", bound="ApiRequest")


class StreamOptions(BaseModel):
    """``stream_options``."""

    model_config = ConfigDict(strict=True, extra="ignore")

    include_usage: bool | None = None


class ApiRequest(BaseModel):
    """What every route takes."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    model: str

    def check(self, limits: Limits) -> None:
        """Refuse what the fields alone do not show.

        Raises:
            ApiError: 400.
        """


class GenerationRequest(ApiRequest, ABC):
    """What both generation routes take."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    min_p: float | None = Field(None, ge=0, le=1)
    typical_p: float | None = Field(None, gt=0, le=1)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    no_repeat_ngram_size: int | None = Field(None, ge=0, le=1000)
    logit_bias: Annotated[dict[_TokenId, _Bias], Field(max_length=1024)] | None = None
    min_tokens: int | None = Field(None, ge=0)
    stop_token_ids: Annotated[list[int], Field(max_length=64)] | None = None
    guided_regex: Annotated[str, Field(max_length=10_000)] | None = None
    guided_grammar: Annotated[str, Field(max_length=100_000)] | None = None
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    n: int | None = Field(None, ge=1, le=128)
    stop: _Stop | Annotated[list[_Stop], Field(max_length=4)] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)

    def check(self, limits: Limits) -> None:
        """Refuse what the fields alone do not show.

        Raises:
            ApiError: 400.
        """
        if self.stream_options is not None and not self.stream:
            raise ApiError(
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
                param="stream_options",
            )
        if (self.max_new_tokens or 0) > limits.max_new_tokens:
            raise ApiError(
                f"max_tokens is too large: {self.max_new_tokens}. "
                f"This server gives at most {limits.max_new_tokens} tokens an answer.",
                param="max_tokens",
                code="integer_above_max_value",
            )
        if self.num_prompts * self.num_answers > limits.max_choices:
            raise ApiError(
                f"This asks for {self.num_prompts * self.num_answers} answers; one request may have "
                f"{limits.max_choices} (prompts times 'n').",
                param="n",
                code="integer_above_max_value",
            )

    @property
    def num_prompts(self) -> int:
        """Prompts to answer."""
        return 1

    @property
    def num_answers(self) -> int:
        """Answers a prompt."""
        return self.n or 1

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with the counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def max_new_tokens(self) -> int | None:
        """Tokens asked for, or None where the request leaves it open."""
        return self.max_tokens

    @property
    @abstractmethod
    def num_logprobs(self) -> int | None:
        """Likeliest tokens to report at each step (0: the chosen one alone), or None for none."""

    @property
    def form(self) -> OutputForm | None:
        """What the answer must look like; None where it is free."""
        if self.guided_regex is not None:
            return OutputForm(kind=FormKind.REGEX, text=self.guided_regex)
        if self.guided_grammar is not None:
            return OutputForm(kind=FormKind.GRAMMAR, text=self.guided_grammar)
        return None

    def bias(self) -> dict[int, float]:
        """What is added to the scores of tokens."""
        return {int(token): bias for token, bias in (self.logit_bias or {}).items()}

    def sampling(self, *, max_tokens: int, seed: int, form: OutputForm | None = None) -> SamplingParams:
        """Settings of the answers.

        Args:
            max_tokens: most tokens, as the context and the limits allow.
            seed: of the first answer; the next numbers are those of the others.
            form: what the answer must look like, where it is not the body that says it.
        """
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return SamplingParams(
            max_tokens=max_tokens,
            temperature=_or(self.temperature, 1.0),
            # 0 would leave no token at all: the likeliest one always stays.
            top_p=max(_or(self.top_p, 1.0), 1e-9),
            top_k=max(self.top_k or 0, 0),
            min_p=_or(self.min_p, 0.0),
            typical_p=_or(self.typical_p, 1.0),
            repetition_penalty=_or(self.repetition_penalty, 1.0),
            no_repeat_ngram=self.no_repeat_ngram_size or 0,
            logit_bias=self.bias(),
            form=form or self.form,
            min_tokens=self.min_tokens or 0,
            stop_token_ids=tuple(self.stop_token_ids or ()),
            presence_penalty=_or(self.presence_penalty, 0.0),
            frequency_penalty=_or(self.frequency_penalty, 0.0),
            stop=stop,
            seed=seed % 2**64,
            num_logprobs=self.num_logprobs,
        )

    def first_seed(self) -> int:
        """The seed asked for, or one drawn for this request."""
        return secrets.randbits(32) if self.seed is None else self.seed


class CompletionRequest(GenerationRequest):
    """Body of POST /v1/completions."""

    prompt: str | list[str] | list[int] | list[list[int]] | None = None
    max_tokens: int | None = Field(None, ge=0)
    echo: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=5)
    best_of: int | None = Field(None, ge=1, le=20)
    truncate_prompt_tokens: int | None = Field(None, ge=-1)

    def check(self, limits: Limits) -> None:
        """As ``GenerationRequest.check``."""
        if self.num_prompts == 0:
            raise ApiError("Invalid 'prompt': the list is empty.", param="prompt", code="invalid_value")
        if self.best_of is not None and self.best_of != self.num_answers:
            raise _unsupported("best_of", "it must equal 'n'")
        if self.max_tokens == 0 and not self.echo:
            raise ApiError(
                "Invalid value for 'max_tokens': 0 is only for prompts that are echoed.",
                param="max_tokens",
                code="integer_below_min_value",
            )
        super().check(limits)

    @property
    def num_prompts(self) -> int:
        """Prompts to answer."""
        return len(self.prompts)

    @property
    def num_logprobs(self) -> int | None:
        """Likeliest tokens to report at each step, or None."""
        return self.logprobs

    @property
    def prompts(self) -> list[str | list[int]]:
        """A text or a list of token ids for each prompt."""
        if self.prompt is None or isinstance(self.prompt, str):
            return [self.prompt or ""]
        token_ids = [item for item in self.prompt if isinstance(item, int)]
        return [token_ids] if token_ids else [item for item in self.prompt if not isinstance(item, int)]


class JsonSchema(BaseModel):
    """The schema in ``response_format``."""

    model_config = ConfigDict(strict=True, extra="ignore", populate_by_name=True)

    name: str = ""
    content: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """``response_format``."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def form(self) -> OutputForm | None:
        """What the answer must look like; None where it is free."""
        if self.type == "text":
            return None
        schema = {"type": "object"} if self.json_schema is None else self.json_schema.content
        return OutputForm(kind=FormKind.JSON_SCHEMA, text=json.dumps(schema, ensure_ascii=False))


class ContentPart(BaseModel):
    """A part of a message's content; only text is known here."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(strict=True, extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[CalledTool] | None = None
    tool_call_id: str | None = None

    def plain(self) -> dict[str, Any]:
        """Role, text and calls, as chat templates take them.

        Raises:
            ValueError: the arguments of a call are no JSON object.
        """
        text = self.content or ""
        if not isinstance(text, str):
            text = "".join(part.text for part in text)
        plain: dict[str, Any] = {
            "role": "system" if self.role == "developer" else self.role,
            "content": text,
        }
        if self.role == "assistant" and self.tool_calls:
            plain["tool_calls"] = [call.plain() for call in self.tool_calls]
        if self.role == "tool":
            plain |= {"tool_call_id": self.tool_call_id or "", "name": self.name or ""}
        return plain


class ChatRequest(GenerationRequest):
    """Body of POST /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None

    @property
    def callable_tools(self) -> list[Tool]:
        """Tools that the answer may call."""
        return [] if self.tool_choice == "none" else self.tools or []

    @property
    def demanded_tools(self) -> list[Tool]:
        """Tools of which the answer must call one; none where it may do without."""
        choice = self.tool_choice
        if isinstance(choice, NamedTool):
            return [tool for tool in self.callable_tools if tool.function.name == choice.function.name]
        return self.callable_tools if choice == "required" else []

    @property
    def form(self) -> OutputForm | None:
        """What the answer must look like."""
        return super().form if self.response_format is None else self.response_format.form()

    def check(self, limits: Limits) -> None:
        """As ``GenerationRequest.check``."""
        if self.top_logprobs is not None and not self.logprobs:
            raise ApiError("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
        if self.tool_choice not in (None, "none", "auto") and not self.demanded_tools:
            raise ApiError("'tool_choice' demands a tool that 'tools' does not have.", param="tool_choice")
        if self.form is not None and self.callable_tools:
            raise ApiError("'response_format' and 'tools' do not go together.", param="response_format")
        super().check(limits)

    @field_validator("messages")
    @classmethod
    def _only_the_assistant_may_be_silent(cls, messages: list[Message]) -> list[Message]:
        for index, message in enumerate(messages):
            if message.content is None and message.role != "assistant":
                raise ValueError(f"messages[{index}] has no content")
        return messages

    @property
    def max_new_tokens(self) -> int | None:
        """Tokens asked for, under either name."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def num_logprobs(self) -> int | None:
        """Likeliest tokens to report at each step, or None."""
        return (self.top_logprobs or 0) if self.logprobs else None


def parse(cls: type[_Body], raw: bytes, limits: Limits) -> _Body:
    """Read and check a request body.

    Args:
        cls: the body's kind.
        raw: JSON, UTF-8.
        limits: of the server.

    Raises:
        ApiError: 400, with the field at fault.
    """
    try:
        body = cls.model_validate_json(raw)
    except ValidationError as error:
        raise _refusal(error) from None
    _refuse_extras(body.model_extra or {})
    body.check(limits)
    return body


def _refuse_extras(extras: dict[str, Any]) -> None:
    for name, value in extras.items():
        if name in IGNORED:
            continue
        if name not in _NOTHING:
            message = f"Unrecognized request argument supplied: {_short(name)}"
            raise ApiError(message, code="unknown_parameter")
        if value not in _NOTHING[name]:
            raise _unsupported(name, "this server does not have it")


def _unsupported(name: str, why: str) -> ApiError:
    return ApiError(f"Unsupported parameter: '{name}': {why}.", param=name, code="unsupported_parameter")


def _refusal(error: ValidationError) -> ApiError:
    """OpenAI's words for the first thing that pydantic found wrong."""
    problem = error.errors(include_url=False, include_input=False)[0]
    kind, location, message = problem["type"], problem["loc"], str(problem["msg"])
    if kind == "json_invalid":
        reason = message.removeprefix("Invalid JSON: ")
        return ApiError(f"We could not parse the JSON body of your request ({reason}).")
    if not location:
        return ApiError("The body of your request must be a JSON object.")
    # A union's members stand in the location too ("stop", "constrained-str"): the path is its known part.
    path = str(location[0])
    if location[0] == "messages":
        for part in location[1:3]:
            path += f"[{part}]" if isinstance(part, int) else f".{part}"
    if kind == "missing":
        return ApiError(
            f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter"
        )
    bound = next((name for prefix, name in _BOUNDS.items() if kind.startswith(prefix)), None)
    if bound is None:
        return ApiError(f"Invalid value for '{path}': {message}.", param=path, code="invalid_value")
    number = "decimal" if path in _DECIMALS else "integer"
    return ApiError(f"Invalid value for '{path}': {message}.", param=path, code=f"{number}_{bound}_value")


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _short(name: str) -> str:
    return name if len(name) <= 80 else name[:80] + "…"
