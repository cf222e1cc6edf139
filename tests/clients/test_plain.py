"""Applications that use no SDK: an HTTP library and the protocol as it is written down."""

from __future__ import annotations

import importlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any

import pytest

from tests.clients import ways as of
from tests.clients.checks import ClientChecks
from tests.clients.ways import MESSAGES, Ways
from tests.fake_openai import FakeOpenAI

ASKED: Any = {"model": "m", "messages": MESSAGES}
STREAM: Any = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
JSON = {"Content-Type": "application/json"}


def url(server: FakeOpenAI) -> str:
    return server.base_url + "/chat/completions"


def content(body: Any) -> str:
    text: str = body["choices"][0]["message"]["content"]
    return text


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


class TestRequests(Plain):
    library = "requests"
    ways = Ways()

    @ways("chat-sync")
    def chat(server: FakeOpenAI) -> Any:
        response = importlib.import_module("requests").post(url(server), json=ASKED)
        response.raise_for_status()
        return content(response.json())

    @ways("chat-stream")
    def chat_stream(server: FakeOpenAI) -> Any:
        with importlib.import_module("requests").post(url(server), json=STREAM, stream=True) as response:
            response.raise_for_status()
            return pieces(response.iter_lines())


class TestUrllib3(Plain):
    library = "urllib3"
    ways = Ways()

    @ways("chat-sync")
    def chat(server: FakeOpenAI) -> Any:
        response = importlib.import_module("urllib3").PoolManager().request("POST", url(server), json=ASKED)
        return content(response.json())

    @ways("chat-stream")
    def chat_stream(server: FakeOpenAI) -> Any:
        pool = importlib.import_module("urllib3").PoolManager()
        response = pool.request("POST", url(server), json=STREAM, preload_content=False)
        if response.status != 200:
            raise ValueError(response.data)
        text = pieces(response)
        response.release_conn()
        return text


class TestUrllibRequest(Plain):
    library = "urllib.request"
    ways = Ways()

    @ways("chat-sync")
    def chat(server: FakeOpenAI) -> Any:
        request = urllib.request.Request(url(server), json.dumps(ASKED).encode(), JSON)
        with opened(request) as response:
            return content(json.load(response))

    @ways("chat-stream")
    def chat_stream(server: FakeOpenAI) -> Any:
        request = urllib.request.Request(url(server), json.dumps(STREAM).encode(), JSON)
        with opened(request) as response:
            return pieces(response)


def httpx_ways(library: str) -> Ways:
    ways = Ways()

    @ways("chat-sync")
    def chat(server: FakeOpenAI) -> Any:
        response = importlib.import_module(library).post(url(server), json=ASKED)
        return content(response.raise_for_status().json())

    @ways("chat-async")
    async def chat_async(server: FakeOpenAI) -> Any:
        async with importlib.import_module(library).AsyncClient() as client:
            return content((await client.post(url(server), json=ASKED)).raise_for_status().json())

    @ways("chat-stream")
    def chat_stream(server: FakeOpenAI) -> Any:
        with importlib.import_module(library).stream("POST", url(server), json=STREAM) as response:
            return pieces(response.raise_for_status().iter_lines())

    @ways("chat-async-stream")
    async def chat_async_stream(server: FakeOpenAI) -> Any:
        async with (
            importlib.import_module(library).AsyncClient() as client,
            client.stream("POST", url(server), json=STREAM) as response,
        ):
            response.raise_for_status()
            return pieces([line async for line in response.aiter_lines()])

    return ways


class TestHttpx(Plain):
    library = "httpx"
    ways = httpx_ways("httpx")


class TestHttpx2(Plain):
    library = "httpx2"
    ways = httpx_ways("httpx2")


class TestAiohttp(Plain):
    library = "aiohttp"
    ways = Ways()

    @ways("chat-async")
    async def chat_async(server: FakeOpenAI) -> Any:
        async with (
            importlib.import_module("aiohttp").ClientSession(raise_for_status=raise_for_status) as session,
            session.post(url(server), json=ASKED) as response,
        ):
            return content(await response.json())

    @ways("chat-async-stream")
    async def chat_async_stream(server: FakeOpenAI) -> Any:
        async with (
            importlib.import_module("aiohttp").ClientSession(raise_for_status=raise_for_status) as session,
            session.post(url(server), json=STREAM) as response,
        ):
            return pieces([line async for line in response.content])


async def raise_for_status(response: Any) -> None:
    """Raise with what the server says, which aiohttp's own check throws away."""
    if response.status >= 400:
        raise ValueError(await response.text())
