"""The official ``openai`` client against a live server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import openai
import pytest
from serving_fakes import TEXT, FakeEngine, fake_model, live_server

from yanmo.serving.guard import Access
from yanmo.serving.limits import Limits

KEY = "a-long-enough-key"
HELLO = [{"role": "user", "content": "hi 研墨 🎨"}]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    broken = FakeEngine(error=RuntimeError("bug"))
    call = '<tool_call>{"name": "weather", "arguments": {"town": "杭州"}}</tool_call>'
    models = [
        fake_model(),
        fake_model("broken", engine=broken),
        fake_model("caller", engine=FakeEngine(f"Let me see. {call}"), tools="tagged"),
        fake_model("vectors", routes=("embeddings", "similarity")),
    ]
    limits = Limits(max_body_bytes=100_000)
    with live_server(*models, access=Access(api_key=KEY), limits=limits) as url:
        yield f"{url}/v1"


@pytest.fixture
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=20)


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [*("fake", "broken", "caller", "vectors")]
    assert client.models.retrieve("fake").owned_by == "yanmo"


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="fake", messages=HELLO, seed=1, temperature=0.5, extra_body={"top_k": 5, "min_p": 0.1}
    )
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == len(TEXT.encode())


def test_streamed_chat(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="fake", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + len(TEXT.encode())


def test_chat_logprobs(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="fake", messages=HELLO, max_completion_tokens=3, logprobs=True, top_logprobs=2
    )
    content = answer.choices[0].logprobs.content
    assert "".join(entry.token for entry in content) == TEXT[:3]
    assert len(content[0].top_logprobs) == 2
    assert answer.choices[0].finish_reason == "length"


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="fake", prompt=["a", "b"], n=2, max_tokens=3, logprobs=1, echo=False
    )
    assert [choice.text for choice in answer.choices] == [TEXT[:3]] * 4
    assert answer.choices[3].logprobs.tokens == list(TEXT[:3])


def test_streamed_completion(client: openai.OpenAI) -> None:
    stream = client.completions.create(model="fake", prompt="x", max_tokens=500, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == TEXT


def test_echo_of_a_prompt(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="fake", prompt="ink", echo=True, logprobs=1, max_tokens=1)
    choice = answer.choices[0]
    assert choice.text == "ink" + TEXT[:1]
    assert choice.logprobs.tokens == ["i", "n", "k", TEXT[:1]]
    assert choice.logprobs.token_logprobs[0] is None


def test_embeddings(client: openai.OpenAI) -> None:
    # The client asks for base64 and decodes it, unless floats are asked for.
    for form in ({}, {"encoding_format": "float"}):
        answer = client.embeddings.create(model="vectors", input=["ink", "研墨"], **form)
        assert [row.embedding for row in answer.data] == [[3.0, 3.0, 1.0], [2.0, 6.0, 1.0]]
    assert answer.usage.total_tokens == 9
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="vectors", input="x", dimensions=2)
    assert caught.value.param == "dimensions"
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="fake", input="x")
    assert caught.value.code == "model_not_supported"


TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def test_tool_calls(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="caller", messages=HELLO, tools=TOOLS)
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me see.")
    (call,) = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"town": "杭州"})
    # The answer and its result go back as the client has them.
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    again = client.chat.completions.create(
        model="caller", messages=[*HELLO, choice.message, result], tools=TOOLS, max_tokens=3
    )
    assert again.choices[0].finish_reason == "length"


def test_streamed_tool_calls(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="caller", messages=HELLO, tools=TOOLS, stream=True)
    deltas = [chunk.choices[0].delta for chunk in stream]
    assert "".join(delta.content or "" for delta in deltas) == "Let me see."
    (calls,) = [delta.tool_calls for delta in deltas if delta.tool_calls]
    assert calls[0].function.name == "weather"


def test_async_client(url: str) -> None:
    async def main() -> str:
        async with openai.AsyncOpenAI(base_url=url, api_key=KEY) as client:
            stream = await client.chat.completions.create(model="fake", messages=HELLO, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert asyncio.run(main()) == TEXT


def test_errors_become_the_clients_own(client: openai.OpenAI, url: str) -> None:
    chat = client.chat.completions
    with pytest.raises(openai.NotFoundError) as caught:
        chat.create(model="none", messages=HELLO)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as caught:
        chat.create(model="fake", messages=HELLO, temperature=9)
    assert (caught.value.param, caught.value.type) == ("temperature", "invalid_request_error")
    with pytest.raises(openai.BadRequestError) as caught:
        chat.create(model="fake", messages=[{"role": "user", "content": "x" * 600}])
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.APIStatusError) as caught:
        chat.create(model="fake", messages=[{"role": "user", "content": "x" * 200_000}])
    assert caught.value.status_code == 413
    with pytest.raises(openai.InternalServerError) as caught:
        chat.create(model="broken", messages=HELLO)
    assert caught.value.code == "internal_error"
    with pytest.raises(openai.AuthenticationError) as caught:
        openai.OpenAI(base_url=url, api_key="wrong").models.list()
    assert caught.value.code == "invalid_api_key"


def test_a_full_line_is_a_rate_limit_error_and_an_error_in_a_stream_is_raised() -> None:
    engine = FakeEngine(step_s=0.05)
    limits = Limits(max_waiting=0, max_request_s=1.5)
    with live_server(fake_model(engine=engine), limits=limits) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
        stream = client.chat.completions.create(model="fake", messages=HELLO, stream=True)
        assert next(iter(stream)).choices[0].delta.role == "assistant"
        with pytest.raises(openai.RateLimitError) as full:
            client.chat.completions.create(model="fake", messages=HELLO)
        assert int(full.value.response.headers["Retry-After"]) >= 1
        with pytest.raises(openai.APIError, match=r"longer than the 1\.5 s"):
            list(stream)


def test_responses(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model="fake", input="hi 研墨", instructions="Be brief.", temperature=0.5, max_output_tokens=500
    )
    assert (answer.status, answer.output_text, answer.instructions) == ("completed", TEXT, "Be brief.")
    assert answer.usage.output_tokens == len(TEXT.encode())
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    # What was said goes back as the client has it; both ways of writing it are one prompt.
    parts = [{"type": "input_text", "text": "hi 研墨"}]
    again = client.responses.create(
        model="fake",
        input=[{"role": "user", "content": parts}, *answer.output, {"role": "user", "content": "more"}],
        max_output_tokens=3,
    )
    assert (again.status, again.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert again.output_text == TEXT[:3]


def test_streamed_responses(client: openai.OpenAI) -> None:
    with client.responses.stream(model="fake", input="hi") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert "".join(event.delta for event in deltas) == final.output_text == TEXT
    others = [event.type.removeprefix("response.") for event in events if event not in deltas]
    assert others == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]


def test_tool_calls_of_responses(client: openai.OpenAI) -> None:
    tools = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]
    answer = client.responses.create(model="caller", input="hi", tools=tools)
    said, call = answer.output
    assert (said.type, answer.output_text, call.type) == ("message", "Let me see.", "function_call")
    assert (call.name, json.loads(call.arguments)) == ("weather", {"town": "杭州"})
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    again = client.responses.create(
        model="caller", input=[{"role": "user", "content": "hi"}, said, call, result], tools=tools
    )
    assert again.output[1].name == "weather"
    with client.responses.stream(model="caller", input="hi", tools=tools) as stream:
        events = list(stream)
    done = [event for event in events if event.type == "response.output_item.done"]
    assert [event.item.type for event in done] == ["message", "function_call"]
    assert json.loads(done[1].item.arguments) == {"town": "杭州"}


def test_responses_keep_nothing_and_refuse_what_is_not_there(client: openai.OpenAI) -> None:
    asked = {"model": "fake", "input": "hi"}
    assert client.responses.create(**asked, store=True, metadata={"a": "b"}).store is False
    for wrong, param in (
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"input": []}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(**asked | wrong)
        assert caught.value.param == param
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model="broken", input="hi")
