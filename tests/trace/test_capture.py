"""Capture and cache with plain clients of each HTTP library that is installed."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from pytest_gepa.trace import admission, capture, exchange
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.http_library import HttpLibrary
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.trajectory import Call, Message
from tests.fake_openai import FakeOpenAI, chunks, completion
from tests.trace.conftest import LIBRARIES, ask

URL = "http://model.test/v1/chat/completions"
WHOLE = completion(ask(), {"content": "It is Paris."})
PARIS = Message("assistant", "It is Paris.")
EVENTS = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks(ask(), WHOLE)]
DONE = b"data: [DONE]\n\n"
EVENT_STREAM = {"content-type": "text/event-stream"}


class Pieces:
    """A body in pieces that counts how many of them were taken."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.taken = 0
        self.closed = 0

    def take(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            if isinstance(piece, Exception):
                raise piece
            yield piece


def client_of(
    library: Any, body: Pieces, status: int = 200, headers: dict[str, str] | None = None, **options: Any
) -> Any:
    """A client whose transport answers with a body that has not been read."""

    class Stream(library.SyncByteStream):  # type: ignore[misc]
        marker = "of the transport"

        def __iter__(self) -> Iterator[bytes]:
            return body.take()

        def close(self) -> None:
            body.closed += 1

    class Transport(library.BaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            return library.Response(status, headers=headers or EVENT_STREAM, stream=Stream())

    return library.Client(transport=Transport(), **options)


def async_client_of(library: Any, body: Pieces, headers: dict[str, str] | None = None) -> Any:
    class Stream(library.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in body.take():
                yield piece

        async def aclose(self) -> None:
            body.closed += 1

    class Transport(library.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            return library.Response(200, headers=headers or EVENT_STREAM, stream=Stream())

    return library.AsyncClient(transport=Transport())


def only(recorder: Recorder) -> Call:
    (call,) = recorder.end().calls
    return call


def mock(library: Any, **answer: Any) -> Any:
    return library.MockTransport(lambda request: library.Response(200, **(answer or {"json": WHOLE})))


# What is recorded


def test_calls_over_mock_transports_are_recorded(library: Any, recorder: Recorder) -> None:
    async def run() -> None:
        async with library.AsyncClient(transport=mock(library)) as client:
            assert (await client.post(URL, json=ask())).json() == WHOLE

    with library.Client(transport=mock(library)) as client:
        assert client.post(URL, json=ask()).json() == WHOLE
        with client.stream("POST", URL, json=ask()) as response:
            assert b"".join(response.iter_bytes()) == json.dumps(WHOLE, separators=(",", ":")).encode()
    asyncio.run(run())
    assert [call.answer for call in recorder.end().calls] == [PARIS] * 3


def test_other_requests_are_left_alone(library: Any, recorder: Recorder) -> None:
    with library.Client(transport=mock(library)) as client:
        client.get(URL)
        client.put(URL, json=ask())
        client.post("http://model.test/form", data={"a": "b"})
        client.post("http://model.test/upload", files={"f": b"x"})
        client.post(URL, content=iter([json.dumps(ask()).encode()]))
        client.post(URL, content=b"nonsense")
    assert recorder.end().calls == ()


def test_what_a_mock_answers_is_known_as_not_sent(
    library: Any, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with library.Client(transport=mock(library)) as client:
        client.post(URL, json=ask())
        with client.stream("POST", URL, json=ask()) as response:
            response.read()
    # As respx and pytest-httpx do it: their function in the place of the transport's.
    names = {"__name__": "pytest_httpx", "answer": mock(library).handle_request}
    exec("def handle_request(self, request): return answer(request)", names)
    with monkeypatch.context() as patch, library.Client() as client:
        patch.setattr(library.HTTPTransport, "handle_request", names["handle_request"])
        client.post(URL, json=ask())
    assert [(call.answer, call.sent) for call in recorder.end().calls] == [(PARIS, False)] * 3


PLACES = {"client": "_send_single_request", "transport": "handle_request", "pool": "handle_request"}
"""Where mocks and cassettes put their functions. vcrpy has used each: the first up to 7, then the last, and from 8.2 on
the second."""


def owner_of(client: Any, place: str) -> Any:
    transport = client._transport
    return {"client": type(client), "transport": type(transport), "pool": type(transport._pool)}[place]


@pytest.mark.parametrize("place", PLACES)
def test_what_a_cassette_answers_is_known_as_not_sent(
    library: Any, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def answer(request: Any) -> Any:
        if place == "pool":  # there a request is the lower library's, and so is a response
            core = importlib.import_module(type(request).__module__.partition(".")[0])
            return core.Response(200, headers=[(b"content-type", b"application/json")], content=body)
        response = library.Response(200, json=WHOLE)
        response.request = request
        return response

    body = json.dumps(WHOLE).encode()
    played = {"__name__": "vcr.stubs.httpx_stubs", "answer": answer}
    exec("def play(self, request): return answer(request)", played)
    with library.Client() as client:
        monkeypatch.setattr(owner_of(client, place), PLACES[place], played["play"])
        for _ in range(2):
            assert client.post(URL, json=ask()).json() == WHOLE
    calls = recorder.end().calls
    assert [(call.answer, call.sent, call.cached) for call in calls] == [(PARIS, False, False)] * 2
    assert all(call.played for call in calls)


@pytest.mark.parametrize("package", ["pytest_httpx", "vcr.stubs.httpx_stubs"])
@pytest.mark.parametrize("place", PLACES)
def test_what_a_server_answers_is_known_as_sent_through_a_mock_too(
    library: Any, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, place: str, package: str
) -> None:
    with FakeOpenAI(lambda request: "hi") as server, library.Client() as client:
        owner = owner_of(client, place)
        passed_on = {"__name__": package, "original": getattr(owner, PLACES[place])}
        exec("def pass_on(self, request): return original(self, request)", passed_on)
        url = f"{server.base_url}/chat/completions"
        client.post(url, json=ask())
        monkeypatch.setattr(owner, PLACES[place], passed_on["pass_on"])
        client.post(url, json=ask())
    assert [(call.sent, call.played) for call in recorder.end().calls] == [(True, False)] * 2


def test_json_to_an_application_in_this_process_is_no_call_but_a_chat_is(library: Any, recorder: Recorder) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("content-type", "application/json")])
        return [json.dumps(WHOLE).encode()]

    with library.Client(transport=library.WSGITransport(app=app)) as client:
        client.post("http://app.test/search", json={"q": "x"})
        client.post(URL, json=ask())
    call = only(recorder)
    assert call.answer == PARIS
    assert (call.sent, call.played) == (False, False)


def test_calls_outside_a_case_are_stray(library: Any, recorder: Recorder) -> None:
    recorder.end()
    with library.Client(transport=mock(library)) as client:
        client.post(URL, json=ask())
    assert [stray.call.answer for stray in recorder.stray] == [PARIS]


def test_an_exception_of_the_transport_goes_on_untouched(library: Any, recorder: Recorder) -> None:
    error = library.ReadTimeout("too slow")

    def fail(request: Any) -> None:
        raise error

    with (
        library.Client(transport=library.MockTransport(fail)) as client,
        pytest.raises(library.ReadTimeout) as raised,
    ):
        client.post(URL, json=ask())
    assert raised.value is error
    call = only(recorder)
    assert (call.status, call.answer, call.error) == (None, None, "ReadTimeout: too slow")


def test_a_cancelled_request_is_recorded(library: Any, recorder: Recorder) -> None:
    async def wait(request: Any) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        async with library.AsyncClient(transport=library.MockTransport(wait)) as client:
            task = asyncio.create_task(client.post(URL, json=ask()))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert only(recorder).error == "CancelledError"


def test_a_request_that_is_cancelled_when_another_was_answered_is_told_from_others(
    library: Any, recorder: Recorder
) -> None:
    async def answer(request: Any) -> Any:
        if b"slow" in request.content:
            await asyncio.Event().wait()
        return library.Response(200, json=WHOLE)

    async def run() -> None:
        async with library.AsyncClient(transport=library.MockTransport(answer)) as client:
            early = asyncio.create_task(client.post(URL, json=ask("slow, early")))
            await asyncio.sleep(0)
            await client.post(URL, json=ask("quick"))
            late = asyncio.create_task(client.post(URL, json=ask("slow, late")))
            await asyncio.sleep(0)
            for task in (early, late):
                task.cancel()
            await asyncio.wait([early, late])

    asyncio.run(run())
    calls = recorder.end().calls
    assert {call.request[-1].content: call.superseded for call in calls} == {
        "slow, early": True,
        "quick": False,
        "slow, late": False,
    }


@pytest.mark.parametrize("kind", ["embedding", "long ago"])
def test_a_request_that_was_given_up_is_not_made_up_for_by_any_answer(
    library: Any, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    url, body, whole = (URL, ask("quick"), WHOLE)
    if kind == "embedding":
        url, body = URL.replace("chat/completions", "embeddings"), {"model": "m", "input": "quick"}
        whole = {"data": [{"embedding": [0.5], "index": 0}], "model": "m"}
    else:
        monkeypatch.setattr(exchange, "AT_ONCE", 0.0)

    async def answer(request: Any) -> Any:
        if b"slow" in request.content:
            await asyncio.Event().wait()
        return library.Response(200, json=whole)

    async def run() -> None:
        async with library.AsyncClient(transport=library.MockTransport(answer)) as client:
            hanging = asyncio.create_task(client.post(URL, json=ask("slow")))
            await asyncio.sleep(0)
            await client.post(url, json=body)
            hanging.cancel()
            await asyncio.wait([hanging])

    asyncio.run(run())
    (hung,) = (call for call in recorder.end().calls if call.answer is None)
    assert not hung.superseded


def test_requests_that_are_left_when_another_was_answered_are_told_from_one_that_hung(
    library: Any, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody cancels them: `asyncio.gather` ends with the first that fails, and the loop goes on, or goes."""
    now = [0.0]
    monkeypatch.setattr(exchange, "clock", lambda: now[0])
    monkeypatch.setattr("pytest_gepa.trace.recorder.clock", lambda: now[0])

    async def answer(request: Any) -> Any:
        if b"open" in request.content:
            await asyncio.Event().wait()
        return library.Response(200, json=WHOLE)

    async def run() -> tuple[Call, ...]:
        async with library.AsyncClient(transport=library.MockTransport(answer)) as client:
            tasks = [asyncio.create_task(client.post(URL, json=ask("open, hung")))]
            await asyncio.sleep(0)
            now[0] = 2 * exchange.AT_ONCE
            tasks.append(asyncio.create_task(client.post(URL, json=ask("open, beside it"))))
            await asyncio.sleep(0)
            destroyed = client.post(URL, json=ask("open, destroyed"))
            destroyed.send(None)
            await client.post(URL, json=ask("quick"))
            destroyed.close()
            tasks.append(asyncio.create_task(client.post(URL, json=ask("open, after it"))))
            await asyncio.sleep(0)
            calls = recorder.end().calls
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            return calls

    assert {call.request[-1].content: call.superseded for call in asyncio.run(run())} == {
        "open, hung": False,
        "open, beside it": True,
        "open, destroyed": True,
        "quick": False,
        "open, after it": False,
    }


def test_a_hook_that_raises_for_status_is_recorded_with_it(library: Any, recorder: Recorder) -> None:
    transport = library.MockTransport(lambda request: library.Response(404))
    hooks = {"response": [lambda response: response.raise_for_status()]}
    with (
        library.Client(transport=transport, event_hooks=hooks) as client,
        pytest.raises(library.HTTPStatusError),
    ):
        client.post(URL, json=ask())
    call = only(recorder)
    assert call.status == 404
    assert call.error.startswith("HTTPStatusError")


def test_compressed_answers_are_read(library: Any, recorder: Recorder) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    body = gzip.compress(json.dumps(WHOLE).encode())
    with client_of(library, Pieces(body[:10], body[10:]), headers=headers) as client:
        assert client.post(URL, json=ask()).json() == WHOLE
    assert only(recorder).answer == PARIS


# Streams


def test_nothing_is_read_ahead_of_the_caller(library: Any, recorder: Recorder) -> None:
    body = Pieces(*EVENTS, DONE)
    with client_of(library, body) as client, client.stream("POST", URL, json=ask(stream=True)) as response:
        assert body.taken == 0
        for count, piece in enumerate(response.iter_raw(), start=1):
            assert body.taken == count
            assert piece == (*EVENTS, DONE)[count - 1]
    assert body.closed == 1
    assert only(recorder).answer == PARIS


def test_nothing_is_read_ahead_of_an_async_caller(library: Any, recorder: Recorder) -> None:
    body = Pieces(*EVENTS, DONE)

    async def run() -> None:
        async with (
            async_client_of(library, body) as client,
            client.stream("POST", URL, json=ask(stream=True)) as response,
        ):
            assert body.taken == 0
            count = 0
            async for piece in response.aiter_raw():
                count += 1
                assert body.taken == count
                assert piece == (*EVENTS, DONE)[count - 1]

    asyncio.run(run())
    assert body.closed == 1
    assert only(recorder).answer == PARIS


def test_a_stream_is_recorded_at_its_marker_though_nobody_closes_it(library: Any, recorder: Recorder) -> None:
    with client_of(library, Pieces(*EVENTS, DONE, b": more\n\n")) as client:
        response = client.send(client.build_request("POST", URL, json=ask(stream=True)), stream=True)
        pieces = response.iter_raw()
        for _ in range(len(EVENTS) + 1):
            next(pieces)
        assert only(recorder).answer == PARIS
        response.close()


def test_a_stream_without_a_marker_is_complete_with_its_finish_reason(library: Any, recorder: Recorder) -> None:
    with client_of(library, Pieces(*EVENTS)) as client:
        client.post(URL, json=ask(stream=True))
        with client.stream("POST", URL, json=ask(stream=True)) as response:
            response.read()
    assert [call.answer for call in recorder.end().calls] == [PARIS, PARIS]


def test_a_stream_that_ends_too_early_is_not_complete(library: Any, recorder: Recorder) -> None:
    with (
        client_of(library, Pieces(*EVENTS[:3])) as client,
        client.stream("POST", URL, json=ask(stream=True)) as response,
    ):
        response.read()
    call = only(recorder)
    assert (call.status, call.answer) == (200, None)
    assert call.error == "the stream ended before the answer was complete; so far: It is "


def test_a_stream_that_breaks_is_recorded_and_raises_the_same(library: Any, recorder: Recorder) -> None:
    error = library.RemoteProtocolError("peer closed connection")
    body = Pieces(*EVENTS[:3], error)
    with (
        client_of(library, body) as client,
        client.stream("POST", URL, json=ask(stream=True)) as response,
        pytest.raises(library.RemoteProtocolError) as raised,
    ):
        response.read()
    assert raised.value is error
    assert body.closed == 1
    assert only(recorder).error == "RemoteProtocolError: peer closed connection; so far: It is "


def test_an_async_stream_that_breaks_is_recorded_and_raises_the_same(library: Any, recorder: Recorder) -> None:
    error = library.ReadError("reset")

    async def run() -> None:
        async with (
            async_client_of(library, Pieces(EVENTS[0], error)) as client,
            client.stream("POST", URL, json=ask(stream=True)) as response,
        ):
            with pytest.raises(library.ReadError) as raised:
                await response.aread()
            assert raised.value is error

    asyncio.run(run())
    assert only(recorder).error == "ReadError: reset"


def test_a_stream_closed_by_its_reader_is_recorded_once_as_incomplete(library: Any, recorder: Recorder) -> None:
    with (
        client_of(library, Pieces(*EVENTS, DONE)) as client,
        client.stream("POST", URL, json=ask(stream=True)) as response,
    ):
        pieces = response.iter_raw()
        for _ in range(3):
            next(pieces)
        pieces.close()
        response.close()
    call = only(recorder)
    assert call.answer is None
    assert call.error == "closed before the answer was complete; so far: It is "


def test_compressed_streams_are_read(library: Any, recorder: Recorder) -> None:
    headers = {**EVENT_STREAM, "content-encoding": "gzip"}
    data = gzip.compress(b"".join(EVENTS) + DONE)
    pieces = [data[start : start + 7] for start in range(0, len(data), 7)]
    with (
        client_of(library, Pieces(*pieces), headers=headers) as client,
        client.stream("POST", URL, json=ask(stream=True)) as response,
    ):
        assert response.read() == b"".join(EVENTS) + DONE
    assert only(recorder).answer == PARIS


def test_a_stream_that_does_not_decode_is_recorded_and_raises_as_ever(library: Any, recorder: Recorder) -> None:
    headers = {**EVENT_STREAM, "content-encoding": "gzip"}
    with (
        client_of(library, Pieces(b"no gzip at all"), headers=headers) as client,
        client.stream("POST", URL, json=ask(stream=True)) as response,
        pytest.raises(library.DecodingError),
    ):
        response.read()
    assert "a body that cannot be decoded: DecodingError" in only(recorder).error


def test_an_error_that_comes_as_a_stream_is_recorded(library: Any, recorder: Recorder) -> None:
    with client_of(library, Pieces(b"over", b"loaded"), status=503) as client:
        with client.stream("POST", URL, json=ask(stream=True)) as response:
            response.read()
        with client.stream("POST", URL, json=ask(stream=True)):
            pass
    read, unread = recorder.end().calls
    assert (read.status, read.error) == (503, "overloaded")
    assert (unread.status, unread.error) == (503, "status 503")


def test_events_of_an_unknown_protocol_are_kept_as_text(library: Any, recorder: Recorder) -> None:
    with (
        client_of(library, Pieces(b"event: x\n", b"data: 1\n\n")) as client,
        client.stream("POST", "http://model.test/v1/messages", json={"prompt": "hi"}) as response,
    ):
        response.read()
    call = only(recorder)
    assert call.request == (Message("user", "hi"),)
    assert call.answer == Message("assistant", "event: x\ndata: 1\n\n")


def test_the_stream_has_what_the_one_it_wraps_has(library: Any, recorder: Recorder) -> None:
    with (
        client_of(library, Pieces(*EVENTS, DONE)) as client,
        client.stream("POST", URL, json=ask(stream=True)) as response,
    ):
        assert isinstance(response.stream, library.SyncByteStream)
        assert response.stream._stream.marker == "of the transport"
        with pytest.raises(AttributeError):
            response.stream.no_such_thing  # noqa: B018
        response.read()
        assert response.elapsed > timedelta(0)


# The cache


class Bench:
    """A loopback server, a cache, and how many requests got through to the server."""

    def __init__(self, library: Any, directory: Path) -> None:
        self.library = library
        self.server = FakeOpenAI(lambda request: f"answer {len(self.server.requests)}")
        self.url = self.server.base_url + "/chat/completions"
        self.cache = ResponseCache(directory)
        self.recorder = Recorder()
        capture.install(Target(self.recorder, self.cache, "t/1"))

    def post(self, client: Any) -> Any:
        """Send the same request as in another case."""
        self.recorder.begin("case")
        try:
            return client.post(self.url, json=ask())
        finally:
            self.recorder.end()

    @property
    def sent(self) -> int:
        return len(self.server.requests)


@pytest.fixture
def bench(library: ModuleType, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(library, tmp_path / "responses")
    try:
        yield bench
    finally:
        capture.uninstall()
        bench.cache.close()
        bench.server.close()
    assert bench.recorder.problems == ()


def test_a_stored_answer_comes_as_a_response_of_the_library(bench: Bench) -> None:
    with bench.library.Client() as client:
        first, again = bench.post(client), bench.post(client)
    assert bench.sent == 1
    assert type(again) is bench.library.Response
    assert again.json() == first.json()
    assert (again.status_code, again.elapsed, again.is_closed) == (200, timedelta(0), True)
    assert again.request.url == bench.url
    assert again.raise_for_status() is again
    assert again.headers["content-type"] == "application/json"
    assert b"".join(again.iter_bytes()) == again.content


@pytest.mark.parametrize("passes_on", [True, False])
def test_a_gateway_under_test_in_this_process_is_seen_through(bench: Bench, passes_on: bool) -> None:
    """What it asks of the model is the call, bought once; the request to the gateway is the test's own."""
    asked = ask() if passes_on else ask("Another question")

    def gateway(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        with bench.library.Client() as client:
            sent = body if passes_on else json.dumps(asked).encode()
            response = client.post(bench.url, content=sent, headers={"content-type": "application/json"})
        start_response("200 OK", [("content-type", "application/json")])
        return [response.content]

    for number in range(2):
        bench.recorder.begin("case")
        transport = bench.library.WSGITransport(app=gateway)
        with bench.library.Client(transport=transport, base_url="http://app.test") as client:
            client.post("/v1/chat/completions", json=ask())
        (call,) = bench.recorder.end().calls
        assert [message.content for message in call.request] == [asked["messages"][0]["content"]]
        assert call.cached == (number == 1)
    assert bench.sent == 1


def test_hooks_run_for_a_stored_answer_too(bench: Bench) -> None:
    seen: list[str] = []
    hooks: dict[str, list[Any]] = {
        "request": [lambda request: seen.append(request.method)],
        "response": [lambda response: seen.append(response.reason_phrase)],
    }
    with bench.library.Client(event_hooks=hooks) as client:
        bench.post(client)
        bench.post(client)
    assert bench.sent == 1
    assert seen == ["POST", "OK", "POST", "OK"]

    async def run() -> None:
        async def hook(message: Any) -> None:
            seen.append(type(message).__name__)

        async with bench.library.AsyncClient(event_hooks={"request": [hook], "response": [hook]}) as client:
            bench.recorder.begin("case")
            await client.post(bench.url, json=ask())
            bench.recorder.end()

    seen.clear()
    asyncio.run(run())
    assert bench.sent == 1
    assert seen == ["Request", "Response"]


def test_a_closed_client_raises_with_a_stored_answer_too(bench: Bench) -> None:
    with bench.library.Client() as client:
        bench.post(client)
    with pytest.raises(RuntimeError, match="closed"):
        bench.post(client)


def test_a_stored_answer_can_be_read_as_a_stream(bench: Bench) -> None:
    with bench.library.Client() as client:
        first = bench.post(client)
        bench.recorder.begin("case")
        with client.stream("POST", bench.url, json=ask()) as response:
            assert not response.is_closed
            assert b"".join(response.iter_raw()) == first.content
        assert response.is_closed
    assert bench.sent == 1


def test_a_stored_stream_comes_event_by_event(bench: Bench) -> None:
    body = ask(stream=True, stream_options={"include_usage": True})
    with bench.library.Client() as client:
        pieces = []
        for _ in range(2):
            bench.recorder.begin("case")
            with client.stream("POST", bench.url, json=body) as response:
                assert response.headers["content-type"] == "text/event-stream"
                pieces.append(list(response.iter_raw()))
            calls = bench.recorder.end().calls
            assert (calls[0].answer, calls[0].streamed) == (Message("assistant", "answer 1"), True)
            assert calls[0].output_tokens == 2
    assert bench.sent == 1
    assert pieces[0] == pieces[1]
    assert len(pieces[1]) == 6

    async def run() -> list[bytes]:
        async with bench.library.AsyncClient() as client:
            bench.recorder.begin("case")
            async with client.stream("POST", bench.url, json=body) as response:
                found = [piece async for piece in response.aiter_raw()]
            bench.recorder.end()
            return found

    assert asyncio.run(run()) == pieces[0]
    assert bench.sent == 1


def test_a_stream_that_is_left_early_is_not_stored(bench: Bench) -> None:
    with bench.library.Client() as client:
        for _ in range(2):
            bench.recorder.begin("case")
            with client.stream("POST", bench.url, json=ask(stream=True)) as response:
                next(response.iter_raw(chunk_size=1))
            bench.recorder.end()
    assert bench.sent == 2


def test_a_request_for_a_stream_that_is_answered_as_a_whole_is_stored(bench: Bench) -> None:
    bench.server.reply = lambda request: (200, WHOLE)
    with bench.library.Client() as client:
        for _ in range(2):
            bench.recorder.begin("case")
            assert client.post(bench.url, json=ask(stream=True)).json() == WHOLE
            bench.recorder.end()
    assert bench.sent == 1


def test_a_transport_around_a_genuine_one_may_use_stored_answers(bench: Bench) -> None:
    class Retrying(bench.library.BaseTransport):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.inner = bench.library.HTTPTransport()

        def handle_request(self, request: Any) -> Any:
            return self.inner.handle_request(request)

        def close(self) -> None:
            self.inner.close()

    with bench.library.Client(transport=Retrying()) as client:
        bench.post(client)
        bench.post(client)
    assert bench.sent == 1


def test_transports_over_aiohttp_may_use_stored_answers_unless_that_is_mocked(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Transport(library.AsyncBaseTransport):  # type: ignore[misc]
        pass

    Transport.__module__ = "httpx_aiohttp.transport"
    client = library.AsyncClient(transport=Transport())
    request = library.Request("POST", URL)
    session = type("ClientSession", (), {"_request": FunctionType(ask.__code__, {"__name__": "aiohttp.client"})})
    stub = ModuleType("aiohttp")
    monkeypatch.setitem(sys.modules, "aiohttp", stub)
    assert not HttpLibrary(library).is_network(client, request)
    monkeypatch.setattr(stub, "ClientSession", session, raising=False)
    assert HttpLibrary(library).is_network(client, request)
    monkeypatch.setattr(session, "_request", ask)
    assert not HttpLibrary(library).is_network(client, request)


def test_mock_transports_are_always_asked(bench: Bench) -> None:
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request)
        return bench.library.Response(200, json=WHOLE)

    class Fake(bench.library.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            return answer(request)

    class Derived(bench.library.HTTPTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            return answer(request)

    with bench.library.Client() as client:
        bench.post(client)
    for transport in (bench.library.MockTransport(answer), Fake(), Derived()):
        with bench.library.Client(transport=transport) as client:
            for _ in range(2):
                assert bench.post(client).json() == WHOLE
    assert len(asked) == 6


def test_transports_that_a_mocking_library_has_patched_are_always_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.library.Client() as client:
        bench.post(client)
        pool = type(client._transport._pool)
        for owner, name in (
            (bench.library.HTTPTransport, "handle_request"),
            (pool, "handle_request"),
            (bench.library.Client, "_send_single_request"),
        ):
            original = getattr(owner, name)

            @functools.wraps(original)
            def recorded(self: Any, request: Any, original: Any = original) -> Any:
                return original(self, request)

            before = bench.sent
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, recorded)
                bench.post(client)
            assert bench.sent == before + 1
        assert bench.post(client).json()["choices"][0]["message"]["content"] == "answer 1"


def test_a_transport_that_is_patched_on_the_object_is_always_asked(bench: Bench) -> None:
    with bench.library.Client() as client:
        bench.post(client)
        client._transport.handle_request = lambda request: bench.library.Response(200, json=WHOLE)
        assert bench.post(client).json() == WHOLE


# Installing


def test_uninstalling_puts_everything_back(library: Any) -> None:
    before = (library.Client.send, library.AsyncClient.send, list(sys.meta_path))
    recorder = Recorder()
    capture.install(Target(recorder))
    capture.install(Target(recorder))
    assert library.Client.send is not before[0]
    assert inspect.signature(library.Client.send) == inspect.signature(before[0])
    assert inspect.iscoroutinefunction(library.AsyncClient.send)
    capture.uninstall()
    capture.uninstall()
    assert (library.Client.send, library.AsyncClient.send, list(sys.meta_path)) == before


def test_a_send_that_was_wrapped_since_stays_and_records_nothing(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    original = library.Client.send
    capture.install(Target(recorder))
    ours = library.Client.send

    def wrapped(self: Any, request: Any, **options: Any) -> Any:
        return ours(self, request, **options)

    with monkeypatch.context() as patch:
        patch.setattr(library.Client, "send", wrapped)
        capture.uninstall()
        assert library.Client.send is wrapped
        with library.Client(transport=mock(library)) as client:
            assert client.post(URL, json=ask()).json() == WHOLE
    library.Client.send = original
    assert recorder.stray == ()


def test_installed_again_it_records_elsewhere(library: Any, recorder: Recorder) -> None:
    other = Recorder()
    capture.install(Target(other))
    with library.Client(transport=mock(library)) as client:
        client.post(URL, json=ask())
    assert recorder.end().calls == ()
    assert len(other.stray) == 1


def test_what_goes_wrong_in_recording_is_noted_and_the_request_is_sent(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder()
    capture.install(Target(recorder))
    try:
        with library.Client(transport=mock(library)) as client:
            with monkeypatch.context() as patch:
                patch.setattr(admission, "identify", lambda *args, **options: 1 / 0)
                assert client.post(URL, json=ask()).json() == WHOLE
            with monkeypatch.context() as patch:
                patch.setattr(exchange.Exchange, "answered", lambda *args: 1 / 0)
                assert client.post(URL, json=ask()).json() == WHOLE
    finally:
        capture.uninstall()
    assert recorder.problems == ("ZeroDivisionError: division by zero",) * 2
    assert [stray.call.error for stray in recorder.stray] == ["no complete answer before the case ended"]


def run_python(program: str) -> str:
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_installing_imports_neither_library_nor_anything_heavy() -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pytest_gepa.trace import admission, capture, recorder, cache, redact, attribution\n"
        "capture.install(admission.Target(recorder.Recorder(), cache.ResponseCache(Path('unused')), 't'))\n"
        "heavy = {'httpx', 'httpx2', 'openai', 'diskcache', 'sqlite3', 'asyncio', 'pytest', 'ssl'}\n"
        "print(sorted(heavy.intersection(sys.modules)))"
    )
    assert run_python(program) == "[]"


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("first", ["import {0}", "import {0}._client", "from {0} import Client"])
def test_a_library_that_is_imported_later_is_seen(name: str, first: str) -> None:
    program = (
        "from pytest_gepa.trace import capture\n"
        "from pytest_gepa.trace.admission import Target\n"
        "from pytest_gepa.trace.recorder import Recorder\n"
        "recorder = Recorder()\n"
        "capture.install(Target(recorder))\n"
        f"{first.format(name)}\n"
        f"import {name} as library\n"
        "answer = library.MockTransport(lambda request: library.Response(200, json={}))\n"
        "with library.Client(transport=answer) as client:\n"
        "    client.post('http://m.test/x', json={'a': 'hello'})\n"
        "print(recorder.stray[0].call.request[0].content, *recorder.problems)"
    )
    assert run_python(program) == "hello"


@pytest.mark.parametrize("name", [name for name in LIBRARIES if name == "httpx2"] or ["httpx"])
def test_a_library_under_two_names_is_seen_once(name: str) -> None:
    alias = "httpx2.alias_httpx(); import httpx as library" if name == "httpx2" else "import httpx as library"
    program = (
        "from pytest_gepa.trace import capture\n"
        "from pytest_gepa.trace.admission import Target\n"
        "from pytest_gepa.trace.recorder import Recorder\n"
        "recorder = Recorder()\n"
        "capture.install(Target(recorder))\n"
        f"import {name}; {alias}\n"
        "capture.install(Target(recorder))\n"
        "answer = library.MockTransport(lambda request: library.Response(200, json={}))\n"
        "with library.Client(transport=answer) as client:\n"
        "    client.post('http://m.test/x', json={'a': 'hello'})\n"
        "print(len(recorder.stray), *recorder.problems)"
    )
    assert run_python(program) == "1"


def test_two_libraries_at_once_are_both_seen(recorder: Recorder) -> None:
    import importlib

    with contextlib.ExitStack() as stack:
        for name in LIBRARIES:
            library = importlib.import_module(name)
            client = stack.enter_context(library.Client(transport=mock(library)))
            client.post(URL, json=ask(name))
    assert [call.request[0].content for call in recorder.end().calls] == LIBRARIES


def test_a_transport_derived_from_a_genuine_one_that_passes_on_may_use_stored_answers(bench: Bench) -> None:
    class Logging(bench.library.HTTPTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            return super().handle_request(request)

    with bench.library.Client(transport=Logging()) as client:
        bench.post(client)
        bench.post(client)
    assert bench.sent == 1


def test_a_stream_of_gemini_ends_with_its_body_and_not_with_a_finish_reason(library: Any, recorder: Recorder) -> None:
    """Some servers give one with every piece."""
    told = [
        {
            "candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": count},
        }
        for text, count in (("", 0), ("It is ", 2), ("Paris.", 3))
    ]
    body = Pieces(*(f"data: {json.dumps(one)}\r\n\r\n".encode() for one in told))
    url = "http://model.test/v1beta/models/gemini-3:streamGenerateContent"
    asked = {"contents": [{"parts": [{"text": "Capital of France?"}]}]}
    with client_of(library, body) as client, client.stream("POST", url, json=asked) as response:
        response.read()
    call = only(recorder)
    assert (call.answer, call.output_tokens) == (PARIS, 3)
