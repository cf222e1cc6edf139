"""What capture costs: the processor time of a call, of a streamed chunk and of a stored answer, with capture and
without, in the client's process; the loopback server has its own.

    python benchmarks/capture/overhead.py [--calls 300] [--rounds 9]

Rounds with and without capture alternate, and the median of their differences is told. Processor time, as other work
on the machine would drown the difference; capture never waits for anything.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import multiprocessing
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from pytest_gepa.trace import capture
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.recorder import Recorder

CHUNKS = 200
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Capital of France? " * 20}]}
STREAM = {**BODY, "stream": True}
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Paris. " * 20}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6},
}


def serve(listener: socket.socket) -> None:
    """Answer every request at once, in as little time as Python can."""
    whole = json.dumps(ANSWER).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(whole)
    events = [
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
        b'[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
    ] * CHUNKS
    events += [b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n"]
    stream = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    stream += b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"

    def answer(peer: socket.socket) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        with peer:
            while received := peer.recv(65536):
                data += received
                begin, _, body = data.partition(b"\r\n\r\n")
                lengths = [line for line in begin.lower().split(b"\r\n") if line.startswith(b"content-length")]
                if lengths and len(body) >= int(lengths[0].split(b":")[1]):
                    peer.sendall(stream if b'"stream"' in body else head + whole)
                    data = b""

    while True:
        peer, _ = listener.accept()
        threading.Thread(target=answer, args=(peer,), daemon=True).start()


Call = Callable[[], object]


@contextmanager
def httpx_calls(name: str, url: str) -> Iterator[tuple[Call, Call]]:
    module = importlib.import_module(name)
    with module.Client(trust_env=False) as client:

        def stream() -> object:
            with client.stream("POST", url, json=STREAM) as response:
                return sum(1 for _ in response.iter_lines())

        yield lambda: client.post(url, json=BODY).json(), stream


@contextmanager
def httpx_async_calls(name: str, url: str) -> Iterator[tuple[Call, Call]]:
    module = importlib.import_module(name)
    loop = asyncio.new_event_loop()
    client = module.AsyncClient(trust_env=False)

    async def stream() -> object:
        async with client.stream("POST", url, json=STREAM) as response:
            return len([line async for line in response.aiter_lines()])

    yield (
        lambda: loop.run_until_complete(client.post(url, json=BODY)),
        lambda: loop.run_until_complete(stream()),
    )
    loop.run_until_complete(client.aclose())
    loop.close()


@contextmanager
def requests_calls(name: str, url: str) -> Iterator[tuple[Call, Call]]:
    module = importlib.import_module(name)
    with module.Session() as session:
        session.trust_env = False

        def stream() -> object:
            with session.post(url, json=STREAM, stream=True) as response:
                return sum(1 for _ in response.iter_lines(chunk_size=None))

        yield lambda: session.post(url, json=BODY).json(), stream


@contextmanager
def urllib3_calls(name: str, url: str) -> Iterator[tuple[Call, Call]]:
    pool = importlib.import_module(name).PoolManager()

    def stream() -> object:
        response = pool.request("POST", url, json=STREAM, preload_content=False)
        count = sum(1 for _ in response.stream())
        response.release_conn()
        return count

    yield lambda: pool.request("POST", url, json=BODY).json(), stream
    pool.clear()


@contextmanager
def aiohttp_calls(name: str, url: str) -> Iterator[tuple[Call, Call]]:
    module = importlib.import_module(name)
    loop = asyncio.new_event_loop()

    async def session_of() -> Any:
        return module.ClientSession()

    session = loop.run_until_complete(session_of())

    async def plain() -> object:
        async with session.post(url, json=BODY) as response:
            return await response.json()

    async def stream() -> object:
        async with session.post(url, json=STREAM) as response:
            return len([line async for line in response.content])

    yield lambda: loop.run_until_complete(plain()), lambda: loop.run_until_complete(stream())
    loop.run_until_complete(session.close())
    loop.close()


@contextmanager
def openai_calls(name: str, url: str) -> Iterator[tuple[Call, Call]]:
    module = importlib.import_module(name)
    with module.OpenAI(base_url=url.removesuffix("/chat/completions"), api_key="k") as client:
        create = client.chat.completions.create
        yield lambda: create(**BODY), lambda: sum(1 for _ in create(**STREAM))


LIBRARIES: dict[str, tuple[str, Any]] = {
    "httpx": ("httpx", httpx_calls),
    "httpx, async": ("httpx", httpx_async_calls),
    "httpx2": ("httpx2", httpx_calls),
    "httpx2, async": ("httpx2", httpx_async_calls),
    "requests": ("requests", requests_calls),
    "urllib3": ("urllib3", urllib3_calls),
    "aiohttp": ("aiohttp", aiohttp_calls),
    "openai": ("openai", openai_calls),
}


class Capture:
    """Switches capture on and off, with a case of its own each time."""

    def __init__(self, cache: ResponseCache) -> None:
        self.cache = cache

    @contextmanager
    def on(self, trial: str | None) -> Iterator[None]:
        recorder = Recorder()
        capture.install(Target(recorder, self.cache if trial else None, trial))
        recorder.begin("case")
        try:
            yield
        finally:
            recorder.end()
            capture.uninstall()
            assert recorder.problems == (), recorder.problems


def seconds(call: Call, times: int) -> float:
    """Seconds of the processor for one call, the mean of several."""
    started = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - started) / times


def compare(call: Call, times: int, rounds: int, switch: Capture) -> tuple[float, float]:
    """Seconds of a call without capture, and what capture adds: medians of rounds that alternate."""
    without, added = [], []
    for _ in range(rounds):
        plain = seconds(call, times)
        with switch.on(None):
            seen = seconds(call, times)
        without.append(plain)
        added.append(seen - plain)
    return statistics.median(without), statistics.median(added)


def stored(call: Call, times: int, rounds: int, switch: Capture) -> tuple[float, float]:
    """Seconds of a call whose answer is stored, and of one whose answer is found: medians of rounds."""
    kept, found = [], []
    for number in range(rounds):
        with switch.on(f"{id(call)}/{number}"):
            kept.append(seconds(call, times))
        with switch.on(f"{id(call)}/{number}"):
            found.append(seconds(call, times))
    return statistics.median(kept), statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"
    server = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
    server.start()
    print("| library | a call | capture adds | a chunk | capture adds | kept | found |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        switch = Capture(ResponseCache(Path(directory)))
        for title, (name, calls) in LIBRARIES.items():
            if importlib.util.find_spec(name) is None:
                continue
            with calls(name, url) as (call, stream):
                seconds(call, 20), seconds(stream, 3)
                plain, added = compare(call, options.calls, options.rounds, switch)
                whole, more = compare(stream, max(options.calls // 20, 1), options.rounds, switch)
                kept, found = stored(call, max(options.calls // 3, 1), 3, switch)
            cells = [
                plain * 1e3,
                added * 1e3,
                whole / CHUNKS * 1e6,
                more / CHUNKS * 1e6,
                kept * 1e3,
                found * 1e3,
            ]
            text = " | ".join(
                f"{value:.1f} us" if 2 <= index <= 3 else f"{value:.2f} ms" for index, value in enumerate(cells)
            )
            print(f"| {title} | {text} |", flush=True)
        switch.cache.close()
    server.terminate()


if __name__ == "__main__":
    main()
