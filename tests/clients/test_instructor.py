"""instructor: structured answers through tools or a JSON schema, over the SDKs that it patches."""

from __future__ import annotations

from typing import Any

from tests.clients import ways as of
from tests.clients.checks import ClientChecks
from tests.clients.ways import MESSAGES, Ways
from tests.fake_openai import FakeOpenAI

instructor = of.client("instructor")
openai = of.client("openai")
pydantic = of.client("pydantic")

ways = Ways()


class City(pydantic.BaseModel):  # type: ignore[misc]
    city: str


CITY: Any = of.as_tool("City")
ASKED: Any = {"model": "m", "messages": MESSAGES, "response_model": City}


def blocking(server: FakeOpenAI, **options: Any) -> Any:
    return instructor.from_openai(openai.OpenAI(base_url=server.base_url, api_key="k", max_retries=1), **options)


@ways("chat-tools", **CITY)
def chat_tools(server: FakeOpenAI) -> Any:
    return blocking(server).chat.completions.create(**ASKED).city


@ways("chat-async-tools", **CITY)
async def chat_async_tools(server: FakeOpenAI) -> Any:
    client = instructor.from_openai(openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=1))
    return (await client.chat.completions.create(**ASKED)).city


@ways("chat-tools-stream", **CITY, counts=False)
def chat_tools_stream(server: FakeOpenAI) -> Any:
    *_, last = blocking(server).chat.completions.create_partial(**ASKED)
    return last.city


@ways("chat-async-tools-stream", **CITY, counts=False)
async def chat_async_tools_stream(server: FakeOpenAI) -> Any:
    client = instructor.from_openai(openai.AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=1))
    *_, last = [part async for part in client.chat.completions.create_partial(**ASKED)]
    return last.city


@ways("chat-parse", **of.as_json())
def chat_parse(server: FakeOpenAI) -> Any:
    return blocking(server, mode=instructor.Mode.JSON_SCHEMA).chat.completions.create(**ASKED).city


class TestInstructor(ClientChecks):
    ways = ways
