"""Applications that use no SDK: an HTTP library and the protocol as it is written down."""

from __future__ import annotations

import importlib
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from tests.clients import ways as of
from tests.clients.checks import ClientChecks
from tests.clients.ways import MESSAGES, SCHEMA, TOOL, Ways
from tests.fake_openai import FakeOpenAI

ASKED: Any = {"model": "m", "messages": MESSAGES}
STRUCTURED: Any = {
    **ASKED,
    "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}},
}
TOOLS: Any = {**ASKED, "tools": [{"type": "function", "function": TOOL}]}
STREAM: Any = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
JSON = {"Content-Type": "application/json"}


def url(server: FakeOpenAI) -> str:
    return server.base_url + "/chat/completions"


def content(body: Any) -> str:
    text: str = body["choices"][0]["message"]["content"]
    return text


def called(body: Any) -> str:
    (call,) = body["choices"][0]["message"]["tool_calls"]
    city: str = json.loads(call["function"]["arguments"])["city"]
    return city


def pieces(lines: Iterable[str | bytes]) -> str:
    """The text that the lines of a stream bring."""
    events = [line.decode() if isinstance(line, bytes) else line for line in lines]
    data = [event.removeprefix("data:").strip() for event in events if event.startswith("data:")]
    choices = [json.loads(text)["choices"] for text in data if text != "[DONE]"]
    return "".join(choice[0]["delta"].get("content") or "" for choice in choices if choice)


def opened(request: urllib.request.Request) -> Any:
    """The response; an error raises with what the server says."""
    try:
        return urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        with error:
            raise ValueError(error.read()) from None


class Plain(ClientChecks):
    """The checks for one HTTP library."""

    library: str

    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        of.client(self.library)


def blocking(post: Callable[[str, Any], Any], lines: Callable[[str, Any], Iterable[str | bytes]]) -> Ways:
    """The ways of a library that blocks: `post` gives a body as JSON, `lines` those of a stream."""
    ways = Ways()

    @ways("chat-sync")
    def chat(server: FakeOpenAI) -> Any:
        return content(post(url(server), ASKED))

    @ways("chat-stream")
    def chat_stream(server: FakeOpenAI) -> Any:
        return pieces(lines(url(server), STREAM))

    @ways("chat-structured", **of.as_json())
    def chat_structured(server: FakeOpenAI) -> Any:
        return json.loads(content(post(url(server), STRUCTURED)))["city"]

    @ways("chat-tools", **of.as_tool())
    def chat_tools(server: FakeOpenAI) -> Any:
        return called(post(url(server), TOOLS))

    return ways


def asynchronous(post: Callable[[str, Any], Awaitable[Any]], lines: Callable[[str, Any], Awaitable[list[Any]]]) -> Ways:
    """The same for a library that does not."""
    ways = Ways()

    @ways("chat-async")
    async def chat_async(server: FakeOpenAI) -> Any:
        return content(await post(url(server), ASKED))

    @ways("chat-async-stream")
    async def chat_async_stream(server: FakeOpenAI) -> Any:
        return pieces(await lines(url(server), STREAM))

    @ways("chat-async-structured", **of.as_json())
    async def chat_async_structured(server: FakeOpenAI) -> Any:
        return json.loads(content(await post(url(server), STRUCTURED)))["city"]

    @ways("chat-async-tools", **of.as_tool())
    async def chat_async_tools(server: FakeOpenAI) -> Any:
        return called(await post(url(server), TOOLS))

    return ways


class TestRequests(Plain):
    library = "requests"

    @staticmethod
    def post(address: str, body: Any) -> Any:
        response = importlib.import_module("requests").post(address, json=body)
        response.raise_for_status()
        return response.json()

    @staticmethod
    def lines(address: str, body: Any) -> Iterable[str | bytes]:
        with importlib.import_module("requests").post(address, json=body, stream=True) as response:
            response.raise_for_status()
            yield from response.iter_lines()

    ways = blocking(post, lines)


class TestUrllib3(Plain):
    library = "urllib3"

    @staticmethod
    def post(address: str, body: Any) -> Any:
        pool = importlib.import_module("urllib3").PoolManager()
        return json.loads(pool.request("POST", address, body=json.dumps(body), headers=JSON).data)

    @staticmethod
    def lines(address: str, body: Any) -> Iterable[str | bytes]:
        pool = importlib.import_module("urllib3").PoolManager()
        data = json.dumps(body)
        response = pool.request("POST", address, body=data, headers=JSON, preload_content=False)
        if response.status != 200:
            raise ValueError(response.data)
        yield from response
        response.release_conn()

    ways = blocking(post, lines)


class TestUrllibRequest(Plain):
    library = "urllib.request"

    @staticmethod
    def post(address: str, body: Any) -> Any:
        with opened(urllib.request.Request(address, json.dumps(body).encode(), JSON)) as response:
            return json.load(response)

    @staticmethod
    def lines(address: str, body: Any) -> Iterable[str | bytes]:
        with opened(urllib.request.Request(address, json.dumps(body).encode(), JSON)) as response:
            yield from response

    ways = blocking(post, lines)


def httpx_ways(library: str) -> Ways:
    """The ways of httpx and of httpx2."""

    def post(address: str, body: Any) -> Any:
        return importlib.import_module(library).post(address, json=body).raise_for_status().json()

    def lines(address: str, body: Any) -> Iterable[str]:
        with importlib.import_module(library).stream("POST", address, json=body) as response:
            yield from response.raise_for_status().iter_lines()

    async def post_async(address: str, body: Any) -> Any:
        async with importlib.import_module(library).AsyncClient() as client:
            return (await client.post(address, json=body)).raise_for_status().json()

    async def lines_async(address: str, body: Any) -> list[str]:
        async with (
            importlib.import_module(library).AsyncClient() as client,
            client.stream("POST", address, json=body) as response,
        ):
            return [line async for line in response.raise_for_status().aiter_lines()]

    return Ways({**blocking(post, lines), **asynchronous(post_async, lines_async)})


class TestHttpx(Plain):
    library = "httpx"
    ways = httpx_ways("httpx")


class TestHttpx2(Plain):
    library = "httpx2"
    ways = httpx_ways("httpx2")


class TestAiohttp(Plain):
    library = "aiohttp"

    @staticmethod
    async def post(address: str, body: Any) -> Any:
        async with (
            importlib.import_module("aiohttp").ClientSession(raise_for_status=raise_for_status) as session,
            session.post(address, json=body) as response,
        ):
            return await response.json()

    @staticmethod
    async def lines(address: str, body: Any) -> list[bytes]:
        async with (
            importlib.import_module("aiohttp").ClientSession(raise_for_status=raise_for_status) as session,
            session.post(address, json=body) as response,
        ):
            return [line async for line in response.content]

    ways = asynchronous(post, lines)


async def raise_for_status(response: Any) -> None:
    """Raise with what the server says, which aiohttp's own check throws away."""
    if response.status >= 400:
        raise ValueError(await response.text())
