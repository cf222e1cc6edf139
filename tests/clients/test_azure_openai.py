"""The OpenAI SDK's clients for Azure: deployments in the path, a version in the query."""

from __future__ import annotations

from typing import Any

from tests.clients import ways as of
from tests.clients.checks import ClientChecks
from tests.clients.test_openai import CHAT_TOOL, RESPONSE_TOOL, USAGE, City, parse
from tests.clients.ways import MESSAGES, QUESTION, Ways
from tests.fake_openai import FakeOpenAI

openai = of.client("openai")

ways = Ways()


def options(server: FakeOpenAI) -> Any:
    endpoint = server.base_url.removesuffix("/v1")
    return {"azure_endpoint": endpoint, "api_key": "k", "api_version": "2025-04-01-preview", "max_retries": 1}


@ways("chat-sync")
def chat(server: FakeOpenAI) -> Any:
    with openai.AzureOpenAI(**options(server)) as client:
        return client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content


@ways("chat-async")
async def chat_async(server: FakeOpenAI) -> Any:
    async with openai.AsyncAzureOpenAI(**options(server)) as client:
        answer = await client.chat.completions.create(model="m", messages=MESSAGES)
        return answer.choices[0].message.content


@ways("chat-stream")
def chat_stream(server: FakeOpenAI) -> Any:
    with openai.AzureOpenAI(**options(server)) as client:
        stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True, **USAGE)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


@ways("chat-async-stream")
async def chat_async_stream(server: FakeOpenAI) -> Any:
    async with openai.AsyncAzureOpenAI(**options(server)) as client:
        stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True, **USAGE)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


@ways("chat-parse", **of.as_json())
def chat_parse(server: FakeOpenAI) -> Any:
    with openai.AzureOpenAI(**options(server)) as client:
        answer = parse(client)(model="m", messages=MESSAGES, response_format=City)
        return answer.choices[0].message.parsed.city


@ways("chat-tools", **of.as_tool())
def chat_tools(server: FakeOpenAI) -> Any:
    with openai.AzureOpenAI(**options(server)) as client:
        answer = client.chat.completions.create(model="m", messages=MESSAGES, tools=[CHAT_TOOL])
        return City.model_validate_json(answer.choices[0].message.tool_calls[0].function.arguments).city


@ways("responses-sync")
def responses(server: FakeOpenAI) -> Any:
    with openai.AzureOpenAI(**options(server)) as client:
        return client.responses.create(model="m", input=QUESTION).output_text


@ways("responses-async")
async def responses_async(server: FakeOpenAI) -> Any:
    async with openai.AsyncAzureOpenAI(**options(server)) as client:
        return (await client.responses.create(model="m", input=QUESTION)).output_text


@ways("responses-stream")
def responses_stream(server: FakeOpenAI) -> Any:
    with openai.AzureOpenAI(**options(server)) as client:
        stream = client.responses.create(model="m", input=QUESTION, stream=True)
        return "".join(event.delta for event in stream if event.type == "response.output_text.delta")


@ways("responses-async-stream")
async def responses_async_stream(server: FakeOpenAI) -> Any:
    async with openai.AsyncAzureOpenAI(**options(server)) as client:
        stream = await client.responses.create(model="m", input=QUESTION, stream=True)
        return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])


@ways("responses-parse", **of.as_json())
def responses_parse(server: FakeOpenAI) -> Any:
    with openai.AzureOpenAI(**options(server)) as client:
        return client.responses.parse(model="m", input=QUESTION, text_format=City).output_parsed.city


@ways("responses-tools", **of.as_tool())
def responses_tools(server: FakeOpenAI) -> Any:
    with openai.AzureOpenAI(**options(server)) as client:
        answer = client.responses.create(model="m", input=QUESTION, tools=[RESPONSE_TOOL])
        (call,) = [item for item in answer.output if item.type == "function_call"]
        return City.model_validate_json(call.arguments).city


class TestAzureOpenAI(ClientChecks):
    ways = ways
