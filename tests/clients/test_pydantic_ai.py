"""pydantic-ai: agents that hand an HTTP client of their own to the OpenAI and Anthropic SDKs."""

from __future__ import annotations

from typing import Any

from tests.clients import ways as of
from tests.clients.checks import ClientChecks
from tests.clients.ways import QUESTION, Ways
from tests.fake_openai import FakeOpenAI

pydantic_ai = of.client("pydantic_ai")
pydantic = of.client("pydantic")

ways = Ways()


class City(pydantic.BaseModel):  # type: ignore[misc]
    city: str


def chat_model(server: FakeOpenAI) -> Any:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIChatModel("m", provider=OpenAIProvider(base_url=server.base_url, api_key="k"))


def responses_model(server: FakeOpenAI) -> Any:
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIResponsesModel("m", provider=OpenAIProvider(base_url=server.base_url, api_key="k"))


def messages_model(server: FakeOpenAI) -> Any:
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    base = server.base_url.removesuffix("/v1")
    return AnthropicModel("m", provider=AnthropicProvider(base_url=base, api_key="k"))


def agent(model: Any, **options: Any) -> Any:
    return pydantic_ai.Agent(model, **options)


@ways("chat-sync")
def chat(server: FakeOpenAI) -> Any:
    return agent(chat_model(server)).run_sync(QUESTION).output


@ways("chat-async")
async def chat_async(server: FakeOpenAI) -> Any:
    return (await agent(chat_model(server)).run(QUESTION)).output


@ways("chat-stream")
def chat_stream(server: FakeOpenAI) -> Any:
    result = agent(chat_model(server)).run_stream_sync(QUESTION)
    return "".join(result.stream_text(delta=True, debounce_by=None))


@ways("responses-stream")
def responses_stream(server: FakeOpenAI) -> Any:
    result = agent(responses_model(server)).run_stream_sync(QUESTION)
    return "".join(result.stream_text(delta=True, debounce_by=None))


@ways("messages-stream")
def messages_stream(server: FakeOpenAI) -> Any:
    result = agent(messages_model(server)).run_stream_sync(QUESTION)
    return "".join(result.stream_text(delta=True, debounce_by=None))


@ways("chat-async-stream")
async def chat_async_stream(server: FakeOpenAI) -> Any:
    async with agent(chat_model(server)).run_stream(QUESTION) as result:
        return "".join([text async for text in result.stream_text(delta=True, debounce_by=None)])


@ways("chat-parse", **of.as_json())
def chat_parse(server: FakeOpenAI) -> Any:
    output = pydantic_ai.NativeOutput(City)
    return agent(chat_model(server), output_type=output).run_sync(QUESTION).output.city


@ways("chat-tools", **of.as_tool())
def chat_tools(server: FakeOpenAI) -> Any:
    output = pydantic_ai.ToolOutput(City, name="look_up")
    return agent(chat_model(server), output_type=output).run_sync(QUESTION).output.city


@ways("responses-async")
async def responses_async(server: FakeOpenAI) -> Any:
    return (await agent(responses_model(server)).run(QUESTION)).output


@ways("responses-sync")
def responses(server: FakeOpenAI) -> Any:
    return agent(responses_model(server)).run_sync(QUESTION).output


@ways("responses-async-stream")
async def responses_async_stream(server: FakeOpenAI) -> Any:
    async with agent(responses_model(server)).run_stream(QUESTION) as result:
        return "".join([text async for text in result.stream_text(delta=True, debounce_by=None)])


@ways("responses-parse", **of.as_json())
def responses_parse(server: FakeOpenAI) -> Any:
    output = pydantic_ai.NativeOutput(City)
    return agent(responses_model(server), output_type=output).run_sync(QUESTION).output.city


@ways("responses-tools", **of.as_tool())
def responses_tools(server: FakeOpenAI) -> Any:
    output = pydantic_ai.ToolOutput(City, name="look_up")
    return agent(responses_model(server), output_type=output).run_sync(QUESTION).output.city


@ways("messages-sync")
def messages(server: FakeOpenAI) -> Any:
    return agent(messages_model(server)).run_sync(QUESTION).output


@ways("messages-tools", **of.as_tool())
def messages_tools(server: FakeOpenAI) -> Any:
    output = pydantic_ai.ToolOutput(City, name="look_up")
    return agent(messages_model(server), output_type=output).run_sync(QUESTION).output.city


@ways("messages-parse", **of.as_json())
def messages_parse(server: FakeOpenAI) -> Any:
    output = pydantic_ai.PromptedOutput(City)
    return agent(messages_model(server), output_type=output).run_sync(QUESTION).output.city


@ways("messages-async")
async def messages_async(server: FakeOpenAI) -> Any:
    return (await agent(messages_model(server)).run(QUESTION)).output


@ways("messages-async-stream")
async def messages_async_stream(server: FakeOpenAI) -> Any:
    async with agent(messages_model(server)).run_stream(QUESTION) as result:
        return "".join([text async for text in result.stream_text(delta=True, debounce_by=None)])


class TestPydanticAI(ClientChecks):
    ways = ways
