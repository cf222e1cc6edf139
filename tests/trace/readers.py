"""The ways in which applications read a streamed response, one class for each HTTP library, all with one face."""

from __future__ import annotations

import importlib
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest


class Reader:
    """One client and its streamed response. The blocking ones block the event loop; the server has its own thread."""

    def __init__(self, timeout: float = 20.0) -> None:
        self.timeout = timeout

    async def open(self, url: str, body: Any) -> int:
        """Send a request; the status."""
        raise NotImplementedError

    async def next(self) -> bytes:
        """The next piece, b"" at the end."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the response, at its end or before."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Close the client."""


class Httpx(Reader):
    library = "httpx"

    async def open(self, url: str, body: Any) -> int:
        module = importlib.import_module(self.library)
        if not hasattr(self, "client"):
            self.client = module.Client(timeout=self.timeout)
        request = self.client.build_request("POST", url, json=body)
        self.response = self.client.send(request, stream=True)
        self.pieces = self.iterate()
        status: int = self.response.status_code
        return status

    def iterate(self) -> Iterator[Any]:
        pieces: Iterator[Any] = self.response.iter_bytes()
        return pieces

    async def next(self) -> bytes:
        piece = next(self.pieces, b"")
        return piece.encode() if isinstance(piece, str) else piece

    async def close(self) -> None:
        self.response.close()

    async def leave(self) -> None:
        self.client.close()


class HttpxRaw(Httpx):
    def iterate(self) -> Iterator[Any]:
        pieces: Iterator[Any] = self.response.iter_raw()
        return pieces


class HttpxLines(Httpx):
    def iterate(self) -> Iterator[Any]:
        return (line + "\n" for line in self.response.iter_lines())


class HttpxAsync(Reader):
    library = "httpx"

    async def open(self, url: str, body: Any) -> int:
        module = importlib.import_module(self.library)
        if not hasattr(self, "client"):
            self.client = module.AsyncClient(timeout=self.timeout)
        request = self.client.build_request("POST", url, json=body)
        self.response = await self.client.send(request, stream=True)
        self.pieces: AsyncIterator[bytes] = self.response.aiter_bytes()
        status: int = self.response.status_code
        return status

    async def next(self) -> bytes:
        return await anext_or(self.pieces)

    async def close(self) -> None:
        await self.response.aclose()

    async def leave(self) -> None:
        await self.client.aclose()


class Requests(Reader):
    library = "requests"

    async def open(self, url: str, body: Any) -> int:
        module = importlib.import_module(self.library)
        if not hasattr(self, "session"):
            self.session = module.Session()
        self.response = self.session.post(url, json=body, stream=True, timeout=self.timeout)
        self.pieces = self.iterate()
        status: int = self.response.status_code
        return status

    def iterate(self) -> Iterator[bytes]:
        pieces: Iterator[bytes] = self.response.iter_content(chunk_size=None)
        return pieces

    async def next(self) -> bytes:
        return next(self.pieces, b"")

    async def close(self) -> None:
        self.response.close()

    async def leave(self) -> None:
        self.session.close()


class RequestsLines(Requests):
    def iterate(self) -> Iterator[bytes]:
        return (line + b"\n" for line in self.response.iter_lines(chunk_size=1))


class RequestsRaw(Requests):
    def iterate(self) -> Iterator[bytes]:
        return iter(lambda: self.response.raw.readline() or b"", b"")


class Urllib3(Reader):
    library = "urllib3"

    async def open(self, url: str, body: Any) -> int:
        module = importlib.import_module(self.library)
        if not hasattr(self, "pool"):
            self.pool = module.PoolManager(retries=False, timeout=self.timeout)
        self.response = self.pool.request(
            "POST",
            url,
            body=json.dumps(body),
            headers={"Content-Type": "application/json"},
            preload_content=False,
        )
        self.pieces = self.response.stream(decode_content=True)
        status: int = self.response.status
        return status

    async def next(self) -> bytes:
        return next(self.pieces, b"")

    async def close(self) -> None:
        self.response.close()

    async def leave(self) -> None:
        self.pool.clear()


class Urllib(Reader):
    library = "urllib.request"

    async def open(self, url: str, body: Any) -> int:
        request = urllib.request.Request(
            url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(_KeepsErrors, urllib.request.ProxyHandler({}))
        self.response = opener.open(request, timeout=self.timeout)
        status: int = self.response.status
        return status

    async def next(self) -> bytes:
        piece: bytes = self.response.read1(65536)
        return piece

    async def close(self) -> None:
        self.response.close()


class UrllibLines(Urllib):
    async def next(self) -> bytes:
        line: bytes = self.response.readline()
        return line


class _KeepsErrors(urllib.request.HTTPErrorProcessor):
    def http_response(self, request: Any, response: Any) -> Any:
        return response


class Aiohttp(Reader):
    library = "aiohttp"

    async def open(self, url: str, body: Any) -> int:
        module = importlib.import_module(self.library)
        if not hasattr(self, "session"):
            timeout = module.ClientTimeout(total=None, sock_read=self.timeout, sock_connect=self.timeout)
            self.session = module.ClientSession(timeout=timeout)
        self.response = await self.session.post(url, json=body)
        status: int = self.response.status
        return status

    async def next(self) -> bytes:
        piece: bytes = await self.response.content.readany()
        return piece

    async def close(self) -> None:
        self.response.close()

    async def leave(self) -> None:
        await self.session.close()


class AiohttpLines(Aiohttp):
    async def next(self) -> bytes:
        line: bytes = await self.response.content.readline()
        return line


class AiohttpChunks(Aiohttp):
    async def next(self) -> bytes:
        piece: bytes = b""
        async for piece, _ in self.response.content.iter_chunks():
            if piece:
                return piece
        return b""


async def anext_or(pieces: AsyncIterator[bytes]) -> bytes:
    try:
        return await pieces.__anext__()
    except StopAsyncIteration:
        return b""


def _httpx2(kind: type[Any]) -> type[Any]:
    return type(kind.__name__.replace("Httpx", "Httpx2"), (kind,), {"library": "httpx2"})


BLOCKING: list[Callable[..., Reader]] = [
    *(Httpx, HttpxRaw, HttpxLines, _httpx2(Httpx), _httpx2(HttpxRaw), _httpx2(HttpxLines)),
    *(Requests, RequestsLines, RequestsRaw, Urllib3, Urllib, UrllibLines),
]
ASYNC: list[Callable[..., Reader]] = [
    *(HttpxAsync, _httpx2(HttpxAsync)),
    *(Aiohttp, AiohttpLines, AiohttpChunks),
]


def need(kind: Any) -> None:
    """Skip what is not installed; the extra `test` brings all of them."""
    pytest.importorskip(kind.library, reason="installed by the extra `test`")
