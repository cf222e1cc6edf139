"""langchain-openai: chat models over the OpenAI SDK."""

from __future__ import annotations

from typing import Any

from tests.clients import ways as of
from tests.clients.checks import ClientChecks
from tests.clients.ways import QUESTION, TOOL, Ways
from tests.fake_openai import FakeOpenAI

langchain_openai = of.client("langchain_openai")
pydantic = of.client("pydantic")

ways = Ways()


class City(pydantic.BaseModel):  # type: ignore[misc]
    """A city."""

    city: str


def model(server: FakeOpenAI, **options: Any) -> Any:
    return langchain_openai.ChatOpenAI(
        model="m", base_url=server.base_url, api_key="k", max_retries=1, stream_usage=True, **options
    )


def text(message: Any) -> str:
    """The text of a message: a property, in older versions a method."""
    return message.text if isinstance(message.text, str) else message.text()


@ways("chat-sync")
def chat(server: FakeOpenAI) -> Any:
    return model(server).invoke(QUESTION).content


@ways("chat-async")
async def chat_async(server: FakeOpenAI) -> Any:
    return (await model(server).ainvoke(QUESTION)).content


@ways("chat-stream")
def chat_stream(server: FakeOpenAI) -> Any:
    return "".join(chunk.content for chunk in model(server).stream(QUESTION))


@ways("chat-async-stream")
async def chat_async_stream(server: FakeOpenAI) -> Any:
    return "".join([chunk.content async for chunk in model(server).astream(QUESTION)])


@ways("chat-parse", **of.as_json())
def chat_parse(server: FakeOpenAI) -> Any:
    return model(server).with_structured_output(City, method="json_schema").invoke(QUESTION).city


@ways("chat-tools", **of.as_tool())
def chat_tools(server: FakeOpenAI) -> Any:
    answer = model(server).bind_tools([{"type": "function", "function": TOOL}]).invoke(QUESTION)
    return answer.tool_calls[0]["args"]["city"]


@ways("responses-sync")
def responses(server: FakeOpenAI) -> Any:
    return text(model(server, use_responses_api=True).invoke(QUESTION))


@ways("responses-async")
async def responses_async(server: FakeOpenAI) -> Any:
    return text(await model(server, use_responses_api=True).ainvoke(QUESTION))


@ways("responses-stream")
def responses_stream(server: FakeOpenAI) -> Any:
    return "".join(text(chunk) for chunk in model(server, use_responses_api=True).stream(QUESTION))


@ways("responses-async-stream")
async def responses_async_stream(server: FakeOpenAI) -> Any:
    stream = model(server, use_responses_api=True).astream(QUESTION)
    return "".join([text(chunk) async for chunk in stream])


@ways("responses-parse", **of.as_json())
def responses_parse(server: FakeOpenAI) -> Any:
    structured = model(server, use_responses_api=True).with_structured_output(City, method="json_schema")
    return structured.invoke(QUESTION).city


@ways("responses-tools", **of.as_tool())
def responses_tools(server: FakeOpenAI) -> Any:
    tool = {"type": "function", "function": TOOL}
    answer = model(server, use_responses_api=True).bind_tools([tool]).invoke(QUESTION)
    return answer.tool_calls[0]["args"]["city"]


class TestLangchainOpenAI(ClientChecks):
    ways = ways
