"""The OpenAI SDK: 1.x, 2.x and 3.x."""

from __future__ import annotations

import json
from typing import Any

from tests.clients import ways as of
from tests.clients.checks import ClientChecks
from tests.clients.ways import MESSAGES, QUESTION, TOOL, Ways
from tests.fake_openai import FakeOpenAI

openai = of.client("openai")
pydantic = of.client("pydantic")

ways = Ways()
USAGE: Any = {"stream_options": {"include_usage": True}}
CHAT_TOOL: Any = {"type": "function", "function": TOOL}
RESPONSE_TOOL: Any = {"type": "function", "strict": False, **TOOL}


class City(pydantic.BaseModel):  # type: ignore[misc]
    city: str


def blocking(server: FakeOpenAI) -> Any:
    return openai.OpenAI(base_url=server.base_url, api_key="sk-test", max_retries=1)


def asynchronous(server: FakeOpenAI) -> Any:
    return openai.AsyncOpenAI(base_url=server.base_url, api_key="sk-test", max_retries=1)


def parse(client: Any) -> Any:
    """Where structured outputs are asked for: 1.x first had them elsewhere."""
    completions = client.chat.completions
    return completions.parse if hasattr(completions, "parse") else client.beta.chat.completions.parse


@ways("chat-sync")
def chat(server: FakeOpenAI) -> Any:
    with blocking(server) as client:
        return client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content


@ways("chat-async")
async def chat_async(server: FakeOpenAI) -> Any:
    async with asynchronous(server) as client:
        answer = await client.chat.completions.create(model="m", messages=MESSAGES)
        return answer.choices[0].message.content


@ways("chat-stream")
def chat_stream(server: FakeOpenAI) -> Any:
    with blocking(server) as client:
        stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True, **USAGE)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


@ways("chat-async-stream")
async def chat_async_stream(server: FakeOpenAI) -> Any:
    async with asynchronous(server) as client:
        stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True, **USAGE)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


@ways("chat-parse", **of.as_json())
def chat_parse(server: FakeOpenAI) -> Any:
    with blocking(server) as client:
        answer = parse(client)(model="m", messages=MESSAGES, response_format=City)
        return answer.choices[0].message.parsed.city


@ways("chat-async-parse", **of.as_json())
async def chat_async_parse(server: FakeOpenAI) -> Any:
    async with asynchronous(server) as client:
        answer = await parse(client)(model="m", messages=MESSAGES, response_format=City)
        return answer.choices[0].message.parsed.city


@ways("chat-tools", **of.as_tool())
def chat_tools(server: FakeOpenAI) -> Any:
    with blocking(server) as client:
        answer = client.chat.completions.create(model="m", messages=MESSAGES, tools=[CHAT_TOOL])
        return json.loads(answer.choices[0].message.tool_calls[0].function.arguments)["city"]


@ways("chat-tools-stream", **of.as_tool())
def chat_tools_stream(server: FakeOpenAI) -> Any:
    with blocking(server) as client:
        stream = client.chat.completions.create(model="m", messages=MESSAGES, tools=[CHAT_TOOL], stream=True, **USAGE)
        deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
        calls = [call for delta in deltas for call in delta.tool_calls or ()]
        return json.loads("".join(call.function.arguments for call in calls))["city"]


@ways("responses-sync")
def responses(server: FakeOpenAI) -> Any:
    with blocking(server) as client:
        return client.responses.create(model="m", input=QUESTION).output_text


@ways("responses-async")
async def responses_async(server: FakeOpenAI) -> Any:
    async with asynchronous(server) as client:
        return (await client.responses.create(model="m", input=QUESTION)).output_text


@ways("responses-stream")
def responses_stream(server: FakeOpenAI) -> Any:
    with blocking(server) as client:
        stream = client.responses.create(model="m", input=QUESTION, stream=True)
        return "".join(event.delta for event in stream if event.type == "response.output_text.delta")


@ways("responses-async-stream")
async def responses_async_stream(server: FakeOpenAI) -> Any:
    async with asynchronous(server) as client:
        stream = await client.responses.create(model="m", input=QUESTION, stream=True)
        return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])


@ways("responses-parse", **of.as_json())
def responses_parse(server: FakeOpenAI) -> Any:
    with blocking(server) as client:
        return client.responses.parse(model="m", input=QUESTION, text_format=City).output_parsed.city


@ways("responses-tools", **of.as_tool())
def responses_tools(server: FakeOpenAI) -> Any:
    with blocking(server) as client:
        answer = client.responses.create(model="m", input=QUESTION, tools=[RESPONSE_TOOL])
        (call,) = [item for item in answer.output if item.type == "function_call"]
        return json.loads(call.arguments)["city"]


@ways("embeddings-sync", **of.as_vector())
def embeddings(server: FakeOpenAI) -> Any:
    with blocking(server) as client:
        return client.embeddings.create(model="m", input=QUESTION).data[0].embedding


@ways("embeddings-async", **of.as_vector())
async def embeddings_async(server: FakeOpenAI) -> Any:
    async with asynchronous(server) as client:
        return (await client.embeddings.create(model="m", input=QUESTION)).data[0].embedding


class TestOpenAI(ClientChecks):
    ways = ways
