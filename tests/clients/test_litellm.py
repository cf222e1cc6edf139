"""litellm: the OpenAI SDK below for one provider, its own HTTP client for another, aiohttp below that when it is
asynchronous."""

from __future__ import annotations

import os
from typing import Any

# Before the import: litellm fetches a list of prices otherwise.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

from tests.clients import ways as of
from tests.clients.checks import ClientChecks
from tests.clients.ways import MESSAGES, TOOL, Ways
from tests.fake_openai import FakeOpenAI

litellm = of.client("litellm")
pydantic = of.client("pydantic")

ways = Ways()
USAGE: Any = {"stream": True, "stream_options": {"include_usage": True}}
TOOLS: Any = {"tools": [{"type": "function", "function": TOOL}]}


class City(pydantic.BaseModel):  # type: ignore[misc]
    city: str


def openai(server: FakeOpenAI) -> Any:
    return {"model": "openai/m", "api_base": server.base_url, "api_key": "k", "messages": MESSAGES}


def anthropic(server: FakeOpenAI) -> Any:
    base = server.base_url.removesuffix("/v1")
    return {"model": "anthropic/m", "api_base": base, "api_key": "k", "messages": MESSAGES, "max_tokens": 100}


def text(chunk: Any) -> str:
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


@ways("chat-sync")
def chat(server: FakeOpenAI) -> Any:
    return litellm.completion(**openai(server)).choices[0].message.content


@ways("chat-async")
async def chat_async(server: FakeOpenAI) -> Any:
    return (await litellm.acompletion(**openai(server))).choices[0].message.content


@ways("chat-stream")
def chat_stream(server: FakeOpenAI) -> Any:
    return "".join(text(chunk) for chunk in litellm.completion(**openai(server), **USAGE))


@ways("chat-async-stream")
async def chat_async_stream(server: FakeOpenAI) -> Any:
    return "".join([text(chunk) async for chunk in await litellm.acompletion(**openai(server), **USAGE)])


@ways("chat-parse", **of.as_json())
def chat_parse(server: FakeOpenAI) -> Any:
    answer = litellm.completion(**openai(server), response_format=City)
    return City.model_validate_json(answer.choices[0].message.content).city


@ways("chat-tools", **of.as_tool())
def chat_tools(server: FakeOpenAI) -> Any:
    answer = litellm.completion(**openai(server), **TOOLS)
    return City.model_validate_json(answer.choices[0].message.tool_calls[0].function.arguments).city


@ways("messages-sync")
def messages(server: FakeOpenAI) -> Any:
    return litellm.completion(**anthropic(server)).choices[0].message.content


@ways("messages-async")
async def messages_async(server: FakeOpenAI) -> Any:
    return (await litellm.acompletion(**anthropic(server))).choices[0].message.content


# It stops at the reason to stop, one event before the end, and closes nothing.
@ways("messages-stream")
def messages_stream(server: FakeOpenAI) -> Any:
    return "".join(text(chunk) for chunk in litellm.completion(**anthropic(server), stream=True))


@ways("messages-async-stream")
async def messages_async_stream(server: FakeOpenAI) -> Any:
    return "".join([text(chunk) async for chunk in await litellm.acompletion(**anthropic(server), stream=True)])


@ways("messages-parse", **of.as_tool("json_tool_call"))
def messages_parse(server: FakeOpenAI) -> Any:
    """What a schema becomes for a model that is not known to take one."""
    answer = litellm.completion(**anthropic(server), response_format=City)
    return City.model_validate_json(answer.choices[0].message.content).city


@ways("messages-tools", **of.as_tool())
def messages_tools(server: FakeOpenAI) -> Any:
    answer = litellm.completion(**anthropic(server), **TOOLS)
    return City.model_validate_json(answer.choices[0].message.tool_calls[0].function.arguments).city


@ways("messages-async-tools-stream", **of.as_tool())
async def messages_async_tools_stream(server: FakeOpenAI) -> Any:
    stream = await litellm.acompletion(**anthropic(server), **TOOLS, stream=True)
    deltas = [chunk.choices[0].delta async for chunk in stream if chunk.choices]
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    return City.model_validate_json("".join(call.function.arguments or "" for call in calls)).city


class TestLitellm(ClientChecks):
    ways = ways
