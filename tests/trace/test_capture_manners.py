"""What an application sees of its HTTP library, with and without capture: the same things, in the same order."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
from collections.abc import Awaitable, Callable

import pytest

from pytest_gepa.trace import capture
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.trajectory import Call, Message
from tests.fake_openai import chunks, completion
from tests.trace.byte_server import ByteServer, Connection, breaks_off, ends, hangs, in_step
from tests.trace.conftest import ask
from tests.trace.readers import ASYNC, BLOCKING, Reader, need

WHOLE = completion(ask(), {"content": "It is Paris."})
USAGE = {"include_usage": True}
PIECES = [
    *(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks(ask(stream=True, stream_options=USAGE), WHOLE)),
    b"data: [DONE]\n\n",
]
TIMED_OUT = re.compile("timeout|timed out", re.IGNORECASE)
Kind = Callable[..., Reader]
Story = Callable[[Kind, ByteServer], Awaitable[None]]

every = pytest.mark.parametrize("kind", [*BLOCKING, *ASYNC], ids=lambda kind: kind.__name__)
asynchronous = pytest.mark.parametrize("kind", ASYNC, ids=lambda kind: kind.__name__)


@pytest.fixture(autouse=True)
def installed(kind: Kind) -> None:
    need(kind)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


def compare(story: Story, kind: Kind, server: ByteServer) -> tuple[list[str], tuple[Call, ...]]:
    """Tell a story without capture and with it: what happened, if that was the same, and what was recorded."""
    asyncio.run(story(kind, server))
    without = server.forget()
    recorder = Recorder()
    capture.install(Target(recorder))
    recorder.begin("case")
    try:
        asyncio.run(story(kind, server))
    finally:
        calls = recorder.end().calls
        capture.uninstall()
    assert recorder.problems == ()
    assert server.forget() == without
    return without, calls


async def read_a_piece(reader: Reader, server: ByteServer) -> bytes:
    """Ask the server for a piece and the library for all that makes it up."""
    server.want()
    data = await reader.next()
    while data and not data.endswith(b"\n\n"):
        more = await reader.next()
        data += more
        if not more:
            break
    server.note(f"got {data!r}")
    return data


def described(error: BaseException) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x", f"{type(error).__module__}.{type(error).__name__}: {error}")


@every
def test_each_piece_comes_when_it_was_sent(kind: Kind) -> None:
    async def story(kind: Kind, server: ByteServer) -> None:
        reader = kind()
        server.note(f"status {await reader.open(server.url, ask(stream=True, stream_options=USAGE))}")
        while await read_a_piece(reader, server):
            pass
        await reader.close()
        await reader.leave()

    with ByteServer(in_step(PIECES, ends)) as server:
        events, calls = compare(story, kind, server)
    # The server sends nothing that was not asked for, so to read ahead would be to wait for ever.
    assert [event for event in events if event.startswith("sent piece")] == [
        f"sent piece {number}" for number in range(1, len(PIECES) + 1)
    ]
    (call,) = calls
    assert call.answer == Message("assistant", "It is Paris.")
    assert (call.streamed, call.status, call.error, call.finish_reason) == (True, 200, "", "stop")
    assert (call.input_tokens, call.output_tokens) == (3, 3)


@every
def test_a_caller_who_has_had_enough_closes_the_connection(kind: Kind) -> None:
    async def story(kind: Kind, server: ByteServer) -> None:
        reader = kind()
        await reader.open(server.url, ask(stream=True))
        await read_a_piece(reader, server)
        await read_a_piece(reader, server)
        await reader.close()
        server.want()
        await reader.leave()
        await hung_up(server)

    with ByteServer(in_step(PIECES[:2], hangs)) as server:
        events, (call,) = compare(story, kind, server)
    assert events[-1] == "the client hung up"
    assert (call.answer, call.status) == (None, 200)
    assert call.error == "closed before the answer was complete; so far: It "


@every
def test_a_connection_that_breaks_raises_the_same(kind: Kind) -> None:
    async def story(kind: Kind, server: ByteServer) -> None:
        reader = kind()
        await reader.open(server.url, ask(stream=True))
        try:
            while await read_a_piece(reader, server):
                pass
        except Exception as error:
            server.note(described(error))
        await reader.close()
        await reader.leave()

    with ByteServer(in_step(PIECES[:3], breaks_off)) as server:
        events, (call,) = compare(story, kind, server)
    assert "broke off" in events
    assert (call.answer, call.status) == (None, 200)
    assert call.error.endswith("so far: It is ")


@every
def test_a_server_that_takes_too_long_raises_the_same(kind: Kind) -> None:
    async def story(kind: Kind, server: ByteServer) -> None:
        reader = kind(timeout=0.3)  # which bounds the two good reads as well
        await reader.open(server.url, ask(stream=True))
        await read_a_piece(reader, server)
        await read_a_piece(reader, server)
        server.want()
        try:
            await reader.next()
        except Exception as error:
            server.note(described(error))
        await reader.close()
        await reader.leave()
        await hung_up(server)

    with ByteServer(in_step(PIECES[:2], hangs)) as server:
        events, (call,) = compare(story, kind, server)
    assert any(TIMED_OUT.search(event) for event in events)
    assert call.answer is None
    assert call.error.endswith("so far: It ")
    assert TIMED_OUT.search(call.error)


@every
def test_a_server_that_is_not_there_raises_the_same(kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def story(kind: Kind, server: ByteServer) -> None:
        reader = kind()
        try:
            await reader.open(f"http://127.0.0.1:{port}/v1/chat/completions", ask())
        except Exception as error:
            server.note(described(error))
        await reader.leave()

    with ByteServer(in_step([], ends)) as server:
        events, (call,) = compare(story, kind, server)
    assert len(events) == 1
    assert (call.status, call.answer) == (None, None)
    assert call.error


@every
def test_whole_answers_are_read_and_the_connection_serves_again(kind: Kind) -> None:
    body = json.dumps(WHOLE).encode()

    def script(connection: Connection) -> bool:
        connection.head("content-type: application/json", f"content-length: {len(body)}")
        connection.send(body)
        return True

    async def story(kind: Kind, server: ByteServer) -> None:
        reader = kind()
        for _ in range(3):
            await reader.open(server.url, ask())
            data = b""
            while piece := await reader.next():
                data += piece
            server.note(f"got {json.loads(data)}")
            await reader.close()
        await reader.leave()

    with ByteServer(script) as server:
        _, calls = compare(story, kind, server)
    assert [call.answer for call in calls] == [Message("assistant", "It is Paris.")] * 3
    assert {(call.input_tokens, call.output_tokens) for call in calls} == {(3, 3)}


@every
def test_compressed_streams_come_as_ever(kind: Kind) -> None:
    data = gzip.compress(b"".join(PIECES))

    def script(connection: Connection) -> bool:
        connection.head("content-type: text/event-stream", "content-encoding: gzip", "transfer-encoding: chunked")
        connection.chunk(data[:20])
        connection.chunk(data[20:])
        connection.send(b"0\r\n\r\n")
        return True

    async def story(kind: Kind, server: ByteServer) -> None:
        reader = kind()
        await reader.open(server.url, ask(stream=True))
        received = b""
        while piece := await reader.next():
            received += piece
        server.note(f"got {received!r}")
        await reader.close()
        await reader.leave()

    with ByteServer(script) as server:
        _, (call,) = compare(story, kind, server)
    assert call.answer == Message("assistant", "It is Paris.")


@every
def test_an_error_that_comes_as_a_stream_is_recorded(kind: Kind) -> None:
    def script(connection: Connection) -> bool:
        connection.head("content-type: application/json", "content-length: 20", status="503 Full")
        connection.send(b'{"error":"too many"}')
        return True

    async def story(kind: Kind, server: ByteServer) -> None:
        reader = kind()
        server.note(f"status {await reader.open(server.url, ask())}")
        while piece := await reader.next():
            server.note(f"got {piece!r}")
        await reader.close()
        await reader.leave()

    with ByteServer(script) as server:
        _, (call,) = compare(story, kind, server)
    assert (call.status, call.answer, call.error) == (503, None, '{"error":"too many"}')


@asynchronous
def test_a_cancelled_read_is_cancelled_as_ever(kind: Kind) -> None:
    async def story(kind: Kind, server: ByteServer) -> None:
        reader = kind()
        await reader.open(server.url, ask(stream=True))
        await read_a_piece(reader, server)
        await read_a_piece(reader, server)
        waiting = asyncio.ensure_future(reader.next())
        await asyncio.sleep(0)
        waiting.cancel()
        try:
            await waiting
        except asyncio.CancelledError as error:
            server.note(described(error))
        await reader.close()
        server.want()
        await reader.leave()
        await hung_up(server)

    with ByteServer(in_step(PIECES[:2], hangs)) as server:
        events, (call,) = compare(story, kind, server)
    assert any("CancelledError" in event for event in events)
    assert call.answer is None
    assert call.error == "CancelledError; so far: It "


async def hung_up(server: ByteServer) -> None:
    """Wait for what the server sees in a thread of its own."""
    await asyncio.get_running_loop().run_in_executor(None, server.note_hang_up)
