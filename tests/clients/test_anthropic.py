"""The Anthropic SDK: 0.x on httpx, 1.x and later on httpx2."""

from __future__ import annotations

from typing import Any

from tests.clients import ways as of
from tests.clients.checks import ClientChecks
from tests.clients.ways import MESSAGES, SCHEMA, TOOL, Ways
from tests.fake_openai import FakeOpenAI

anthropic = of.client("anthropic")
pydantic = of.client("pydantic")

ways = Ways()
TOOLS: Any = [{"name": TOOL["name"], "description": TOOL["description"], "input_schema": SCHEMA}]
ASKED: Any = {"model": "m", "max_tokens": 100, "messages": MESSAGES}


class City(pydantic.BaseModel):  # type: ignore[misc]
    city: str


def options(server: FakeOpenAI) -> Any:
    return {"base_url": server.base_url.removesuffix("/v1"), "api_key": "k", "max_retries": 1}


@ways("messages-sync")
def messages(server: FakeOpenAI) -> Any:
    with anthropic.Anthropic(**options(server)) as client:
        return client.messages.create(**ASKED).content[0].text


@ways("messages-async")
async def messages_async(server: FakeOpenAI) -> Any:
    async with anthropic.AsyncAnthropic(**options(server)) as client:
        return (await client.messages.create(**ASKED)).content[0].text


@ways("messages-stream")
def messages_stream(server: FakeOpenAI) -> Any:
    with anthropic.Anthropic(**options(server)) as client, client.messages.stream(**ASKED) as stream:
        return "".join(stream.text_stream)


@ways("messages-async-stream")
async def messages_async_stream(server: FakeOpenAI) -> Any:
    async with (
        anthropic.AsyncAnthropic(**options(server)) as client,
        client.messages.stream(**ASKED) as stream,
    ):
        return "".join([text async for text in stream.text_stream])


@ways("messages-tools", **of.as_tool())
def messages_tools(server: FakeOpenAI) -> Any:
    with anthropic.Anthropic(**options(server)) as client:
        (block,) = client.messages.create(**ASKED, tools=TOOLS).content
        return block.input["city"]


@ways("messages-tools-stream", **of.as_tool())
def messages_tools_stream(server: FakeOpenAI) -> Any:
    with (
        anthropic.Anthropic(**options(server)) as client,
        client.messages.stream(**ASKED, tools=TOOLS) as stream,
    ):
        (block,) = stream.get_final_message().content
        return block.input["city"]


@ways("messages-parse", **of.as_json())
def messages_parse(server: FakeOpenAI) -> Any:
    with anthropic.Anthropic(**options(server)) as client:
        return client.messages.parse(**ASKED, output_format=City).parsed_output.city


@ways("messages-async-parse", **of.as_json())
async def messages_async_parse(server: FakeOpenAI) -> Any:
    async with anthropic.AsyncAnthropic(**options(server)) as client:
        return (await client.messages.parse(**ASKED, output_format=City)).parsed_output.city


class TestAnthropic(ClientChecks):
    ways = ways
