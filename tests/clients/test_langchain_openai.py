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
    answer = model(server, use_responses_api=True).invoke(QUESTION)
    return answer.text if isinstance(answer.text, str) else answer.text()


class TestLangchainOpenAI(ClientChecks):
    ways = ways
