"""Capture and cache with aiohttp."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.trace import capture
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.trajectory import Call, Message
from tests.fake_openai import FakeOpenAI, Stream
from tests.trace.byte_server import ByteServer, Connection
from tests.trace.conftest import ask

aiohttp = pytest.importorskip("aiohttp", reason="installed by the extra `test`")

PARIS = Message("assistant", "It is Paris.")
Action = Callable[[Any, str], Awaitable[Any]]


class Bench:
    """A loopback server, a cache, and how many requests got through to the server."""

    def __init__(self, directory: Path) -> None:
        self.server = FakeOpenAI(lambda request: "It is Paris.")
        self.cache = ResponseCache(directory)
        self.recorder = Recorder()
        capture.install(Target(self.recorder, self.cache, "t/1"))

    def calls(self, action: Action, url: str = "", **options: Any) -> tuple[Call, ...]:
        """What a case records that does this with a session."""

        async def run() -> None:
            async with aiohttp.ClientSession(**options) as session:
                await action(session, url or self.server.base_url + "/chat/completions")

        self.recorder.begin("case")
        try:
            asyncio.run(run())
        finally:
            calls = self.recorder.end().calls
        return calls

    @property
    def sent(self) -> int:
        return len(self.server.requests)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "responses")
    try:
        yield bench
    finally:
        capture.uninstall()
        bench.cache.close()
        bench.server.close()
    assert bench.recorder.problems == ()


async def post(session: Any, url: str) -> Any:
    async with session.post(url, json=ask()) as response:
        return await response.json()


# What is recorded


@pytest.mark.parametrize(
    "content",
    [
        {"json": ask()},
        {"data": json.dumps(ask())},
        {"data": json.dumps(ask()).encode(), "headers": {"Content-Type": "application/json"}},
    ],
    ids=["json", "text", "bytes"],
)
def test_a_call_is_recorded(bench: Bench, content: Any) -> None:
    async def act(session: Any, url: str) -> None:
        async with session.post(url, **content) as response:
            assert (await response.json())["choices"]

    (call,) = bench.calls(act)
    assert call.request == (Message("user", "Capital of France?"),)
    assert (call.answer, call.status, call.input_tokens, call.output_tokens) == (PARIS, 200, 3, 3)


def test_the_base_of_a_session_and_parameters_belong_to_the_request(bench: Bench) -> None:
    async def act(session: Any, url: str) -> None:
        for city in ("Paris", "Rome"):
            async with session.request("post", "/v1/chat/completions", json=ask(), params={"in": city}) as response:
                await response.read()

    one, other = bench.calls(act, base_url=bench.server.base_url.removesuffix("/v1"))
    assert one.answer == other.answer == PARIS
    assert one.key != other.key


def test_the_session_s_own_way_to_write_json_is_what_counts(bench: Bench) -> None:
    class Question:
        def __init__(self, text: str) -> None:
            self.text = text

    async def act(session: Any, url: str) -> None:
        async with session.post(url, json=Question("Capital of Italy?")) as response:
            await response.read()

    (call,) = bench.calls(act, json_serialize=lambda question: json.dumps(ask(question.text)))
    assert call.request[0].content == "Capital of Italy?"


def test_the_session_s_own_way_to_write_json_runs_once_and_is_what_is_sent(bench: Bench) -> None:
    written: list[str] = []

    def write(question: dict[str, Any]) -> str:
        written.append(json.dumps({**question, "seed": len(written)}))
        return written[-1]

    content_types: list[str] = []

    async def act(session: Any, url: str) -> None:
        async with session.post(url, json=ask()) as response:
            content_types.append(response.request_info.headers["Content-Type"])

    bench.calls(act, json_serialize=write)
    assert [json.loads(text) for text in written] == bench.server.requests
    assert content_types == ["application/json"]


def test_forms_and_files_are_left_alone(bench: Bench) -> None:
    async def act(session: Any, url: str) -> None:
        async def pieces() -> Any:
            yield json.dumps(ask()).encode()

        async with session.post(
            url, data=pieces(), headers={"Content-Length": str(len(json.dumps(ask())))}
        ) as response:
            await response.read()
        async with session.get(bench.server.base_url + "/models") as response:
            await response.read()

    assert bench.calls(act) == ()
    assert bench.sent == 1


def test_what_cannot_be_written_raises_as_ever(bench: Bench) -> None:
    async def act(session: Any, url: str) -> None:
        with pytest.raises(TypeError, match="not JSON serializable"):
            await session.post(url, json=object())
        with pytest.raises(ValueError, match="data and json"):
            await session.post(url, json=ask(), data=b"x")
        with pytest.raises(aiohttp.InvalidURL):
            await session.post("http:///nowhere", json=ask())

    assert all(call.answer is None and call.error for call in bench.calls(act))


def test_an_error_that_the_session_raises_is_recorded_with_its_status(bench: Bench) -> None:
    bench.server.reply = lambda request: (429, "slow down")

    async def act(session: Any, url: str) -> None:
        with pytest.raises(aiohttp.ClientResponseError):
            await session.post(url, json=ask())

    (call,) = bench.calls(act, raise_for_status=True)
    assert (call.status, call.answer) == (429, None)


def test_a_body_is_heard_however_it_is_read(bench: Bench) -> None:
    async def read(content: Any, how: str) -> None:
        if how == "exactly":
            with pytest.raises(asyncio.IncompleteReadError):
                await content.readexactly(1_000_000)
        elif how in ("iter_any", "iter_chunks"):
            async for _ in getattr(content, how)():
                pass
        elif how == "iter_chunked":
            async for _ in content.iter_chunked(7):
                pass
        elif how == "lines":
            async for _ in content:
                pass
        elif how == "until":
            while await content.readuntil(b"\n\n"):
                pass
        elif how == "nowait":
            while not content.at_eof():
                content.read_nowait(0) or await content.read(1)
                content.read_nowait()
        else:
            await content.read()

    ways = ("exactly", "iter_any", "iter_chunks", "iter_chunked", "lines", "until", "nowait", "all")

    async def act(session: Any, url: str) -> None:
        for number, how in enumerate(ways):
            async with session.post(url, json=ask(f"Number {number}?", stream=True)) as response:
                await read(response.content, how)

    assert [(call.answer, call.error) for call in bench.calls(act)] == [(PARIS, "")] * len(ways)


def test_the_reader_is_what_the_library_would_give(bench: Bench) -> None:
    async def act(session: Any, url: str) -> None:
        async with session.post(url, json=ask(stream=True)) as response:
            assert isinstance(response.content, aiohttp.StreamReader)
            assert repr(response.content).startswith("<StreamReader")
            assert response.content.exception() is None
            with pytest.raises(AttributeError):
                response.content.no_such_thing  # noqa: B018
            body = await response.read()
            assert response.content.is_eof()
            assert response.content.total_bytes == len(body) > 0

    bench.calls(act)


def test_a_read_that_was_given_up_may_be_made_again(bench: Bench) -> None:
    released = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b'data: {"choices": [{"delta": {"content": "It is"}}]}\n\n'
        assert released.wait(20)
        yield b'data: {"choices": [{"delta": {"content": " Paris."}, "finish_reason": "stop"}]}\n\n'
        yield b"data: [DONE]\n\n"

    bench.server.reply = lambda request: Stream(pieces())

    async def act(session: Any, url: str) -> None:
        async with session.post(url, json=ask(stream=True)) as response:
            await response.content.readuntil(b"\n\n")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(response.content.readline(), 0.01)
            released.set()
            assert b"Paris" in await response.content.read()

    (call,) = bench.calls(act)
    assert (call.answer, call.error) == (PARIS, "")


def test_a_compressed_body_that_is_not_to_be_decoded_is_read_all_the_same(bench: Bench) -> None:
    body = gzip.compress(
        json.dumps({"choices": [{"message": {"content": "It is Paris."}, "finish_reason": "stop"}]}).encode()
    )

    def script(connection: Connection) -> bool:
        connection.head("content-type: application/json", "content-encoding: gzip", f"content-length: {len(body)}")
        connection.send(body)
        return True

    async def act(session: Any, url: str) -> None:
        async with session.post(url, json=ask()) as response:
            assert await response.read() == body

    with ByteServer(script) as server:
        (call,) = bench.calls(act, server.url, auto_decompress=False)
    assert call.answer == PARIS


# Stored answers


def test_a_stored_answer_comes_as_a_response_of_the_library(bench: Bench) -> None:
    got: list[Any] = []

    async def act(session: Any, url: str) -> None:
        async with session.post(url, json=ask()) as response:
            got.append((await response.json(), response.status, response.reason, str(response.url), response.method))
            got.append((type(response), response.content_type, response.charset, response.ok, await response.text()))
            response.raise_for_status()

    bench.calls(act)
    (call,) = bench.calls(act)
    assert bench.sent == 1
    assert call.cached
    assert got[:2] == got[2:]


def test_a_stored_stream_comes_in_its_events(bench: Bench) -> None:
    got: list[Any] = []

    async def act(session: Any, url: str) -> None:
        async with session.post(url, json=ask(stream=True)) as response:
            got.append([line async for line in response.content])
        async with session.post(url, json=ask("Again?", stream=True)) as response:
            got.append([piece async for piece, _ in response.content.iter_chunks() if piece])

    bench.calls(act)
    calls = bench.calls(act)
    assert bench.sent == 2
    assert [(call.cached, call.answer) for call in calls] == [(True, PARIS)] * 2
    assert got[:2] == got[2:]
    assert len(got[3]) > 4


def test_a_closed_session_raises_with_a_stored_answer_too(bench: Bench) -> None:
    bench.calls(post)

    async def act(session: Any, url: str) -> None:
        await session.close()
        with pytest.raises(RuntimeError, match="closed"):
            await session.post(url, json=ask())

    bench.calls(act)


def test_a_check_of_the_status_is_made_of_a_stored_answer_too(bench: Bench) -> None:
    checked: list[int] = []

    async def check(response: Any) -> None:
        checked.append(response.status)

    for _ in range(2):
        bench.calls(post, raise_for_status=check)
    assert checked == [200, 200]
    assert bench.sent == 1


def test_a_connector_that_answers_by_itself_is_always_asked(bench: Bench) -> None:
    class Fake(aiohttp.TCPConnector):  # type: ignore[misc]
        asked = 0

        async def connect(self, *args: Any, **options: Any) -> Any:
            Fake.asked += 1
            return await super().connect(*args, **options)

    async def act(session: Any, url: str) -> None:
        async with aiohttp.ClientSession(connector=Fake()) as faked:
            await post(faked, url)

    for _ in range(2):
        bench.calls(act)
    assert Fake.asked == 2


# Libraries on top of one another


def test_a_client_of_httpx_upon_aiohttp_is_recorded_once(bench: Bench) -> None:
    httpx = pytest.importorskip("httpx", reason="installed by the extra `test`")

    class Transport(httpx.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            async with (
                aiohttp.ClientSession() as session,
                session.post(str(request.url), data=request.content, headers=dict(request.headers)) as response,
            ):
                return httpx.Response(response.status, headers=response.headers, content=await response.read())

    Transport.__module__ = "httpx_aiohttp.transport"

    async def act(session: Any, url: str) -> None:
        async with httpx.AsyncClient(transport=Transport()) as client:
            assert (await client.post(url, json=ask())).status_code == 200

    (first,) = bench.calls(act)
    (again,) = bench.calls(act)
    assert (first.answer, first.cached, again.cached) == (PARIS, False, True)
    assert bench.sent == 1


def test_uninstalling_puts_everything_back() -> None:
    def now() -> list[Any]:
        return [aiohttp.ClientSession._request, aiohttp.ClientResponse.close, aiohttp.ClientResponse.release]

    before = now()
    capture.install(Target(Recorder()))
    assert now() != before
    assert asyncio.iscoroutinefunction(aiohttp.ClientSession._request)
    capture.uninstall()
    assert now() == before
