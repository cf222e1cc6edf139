"""What must be known of httpx and of httpx2, which are one code base under two names: transports, streams,
responses.

Neither is imported here; the module is handed in. The few private names that are looked at may be missing.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

from pytest_gepa.trace.genuine import is_of
from pytest_gepa.trace.stored import StoredAnswer
from pytest_gepa.trace.streamed_body import StreamedBody

NAMES = ("httpx", "httpx2")
"""The modules that are understood."""

_PACKAGES_ON_AIOHTTP = frozenset({"httpx_aiohttp", "litellm"})
_OWN_PACKAGES = ("httpx", "httpx2", "httpcore", "httpcore2")
_CASSETTES = "vcr"
_MOCKING_PACKAGES = ("respx", "pytest_httpx", _CASSETTES)


class HttpLibrary:
    """One of the two modules, and what is asked of it."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.name = str(module.__name__)
        self._sync_tee, self._async_tee = _tees(module)
        self._stored_stream = _stored_stream(module)

    def listen(self, response: Any, listener: StreamedBody) -> None:
        """Put a listener on the body of a response that has not been read."""
        is_async = not isinstance(response.stream, self.module.SyncByteStream)
        tee = self._async_tee if is_async else self._sync_tee
        response.stream = tee(response.stream, listener)

    def decode(self, raw: bytes, content_encoding: str) -> bytes:
        """The body behind a `content-encoding`. Raises what the library raises on data that cannot be
        decoded."""
        if not content_encoding:
            return raw
        content: bytes = self.module.Response(200, headers={"content-encoding": content_encoding}, content=raw).content
        return content

    def stored_response(self, client: Any, request: Any, answer: StoredAnswer) -> Any:
        """A response with a stored answer whose body has still to be read, of a client of either kind."""
        headers = {"content-type": answer.content_type} if answer.content_type else {}
        stream = self._stored_stream(answer)
        response = self.module.Response(answer.status, headers=headers, stream=stream, request=request)
        response.elapsed = datetime.timedelta(0)
        response.default_encoding = getattr(client, "_default_encoding", response.default_encoding)
        return response

    def is_network(self, client: Any, request: Any) -> bool:
        """Whether a request would really leave the process. In doubt it does not.

        Mocks are seen as transports of another class (`MockTransport`, a fake of the user's) and as functions
        of other packages where the library's own belong (respx, pytest-httpx, vcrpy). A transport that wraps
        a genuine one, to retry or to log, is genuine.
        """
        transport = self._transport(client, request)
        if _PACKAGES_ON_AIOHTTP.intersection(base.__module__.partition(".")[0] for base in type(transport).__mro__):
            return _aiohttp_is_genuine()
        own = self._own(transport)
        if own is None:
            return False
        return all(self._is_genuine(owner, step) for owner, step in self._steps(client, own))

    def _is_genuine(self, owner: Any, step: str) -> bool:
        """Whether a step is the library's own, or of a transport derived from its own that passes on to that."""
        if is_of(owner, step, *_OWN_PACKAGES):
            return True
        kinds = (self.module.HTTPTransport, self.module.AsyncHTTPTransport)
        base = next((kind for kind in kinds if isinstance(owner, kind)), None)
        if base is None or step in vars(owner):
            return False
        code = getattr(getattr(type(owner), step, None), "__code__", None)
        return step in getattr(code, "co_names", ()) and is_of(base, step, *_OWN_PACKAGES)

    def is_mocked(self, client: Any, request: Any, response: Any) -> bool:
        """Whether a response is certainly a mock's. In doubt it is not: what it cost counts.

        Mocks let some requests pass, and cassettes do while they record; of those the response has the connection
        that it came by.
        """
        if "network_stream" in response.extensions:
            return False
        transport = self._transport(client, request)
        wrapped = _wrapped(transport, (self.module.BaseTransport, self.module.AsyncBaseTransport))
        if all(isinstance(one, self.module.MockTransport) for one in wrapped or [transport]):
            return True
        return self._passes(client, transport, *_MOCKING_PACKAGES)

    def has_cassette(self, client: Any, request: Any) -> bool:
        """Whether a request passes a cassette of vcrpy."""
        return self._passes(client, self._transport(client, request), _CASSETTES)

    def _passes(self, client: Any, transport: Any, *packages: str) -> bool:
        steps = self._steps(client, self._own(transport) or transport)
        return any(is_of(owner, step, *packages) for owner, step in steps)

    def is_played(self, transport: Any, response: Any) -> bool:
        """Whether a response that one of the library's own transports has brought is certainly a mock's."""
        if "network_stream" in response.extensions:
            return False
        return any(is_of(owner, step, *_MOCKING_PACKAGES) for owner, step in self._steps_below(transport))

    def _own(self, transport: Any) -> Any:
        """The library's own transport: this one, or one that it wraps; None if there is none."""
        kinds = (self.module.HTTPTransport, self.module.AsyncHTTPTransport)
        return transport if isinstance(transport, kinds) else next(iter(_wrapped(transport, kinds)), None)

    def _steps(self, client: Any, transport: Any) -> list[tuple[Any, str]]:
        """The methods that a request passes, from a client down."""
        return [(client, "_send_single_request"), *self._steps_below(transport)]

    def _steps_below(self, transport: Any) -> list[tuple[Any, str]]:
        is_async = isinstance(transport, self.module.AsyncHTTPTransport)
        name = "handle_async_request" if is_async else "handle_request"
        below = (transport, getattr(transport, "_pool", None))
        return [(owner, name) for owner in below if owner is not None]

    def is_in_process(self, client: Any, request: Any) -> bool:
        """Whether a request goes to an application in this process: the code under test, rather than a
        model."""
        transport = self._transport(client, request)
        kinds = tuple(filter(None, (getattr(self.module, name, None) for name in ("ASGITransport", "WSGITransport"))))
        return isinstance(transport, kinds) or type(transport).__module__.startswith("starlette.")

    def _transport(self, client: Any, request: Any) -> Any:
        choose = getattr(client, "_transport_for_url", None)
        return choose(request.url) if choose is not None else getattr(client, "_transport", None)


def _wrapped(transport: Any, kinds: tuple[type, ...]) -> list[Any]:
    return [one for one in getattr(transport, "__dict__", {}).values() if isinstance(one, kinds)]


class _Tee:
    """What both stream classes that pass a body on share."""

    def __init__(self, inner: Any, listener: StreamedBody) -> None:
        self._inner = inner
        self._listener = listener

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_inner" not in vars(self):
            raise AttributeError(name)
        return getattr(self._inner, name)


def _aiohttp_is_genuine() -> bool:
    return is_of(getattr(sys.modules.get("aiohttp"), "ClientSession", None), "_request", "aiohttp")


def _stored_stream(module: Any) -> type:
    """The stream class that plays a stored answer to clients of both kinds, in the pieces that it came in."""

    class StoredStream(module.SyncByteStream, module.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, answer: StoredAnswer) -> None:
            self._answer = answer

        def __iter__(self) -> Iterator[bytes]:
            yield from self._answer.pieces()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self._answer.pieces():
                yield piece

    return StoredStream


def _tees(module: Any) -> tuple[type, type]:
    """The stream classes that pass a body on and tell a listener; of the module's own bases, which it checks
    for.

    Nothing is read ahead. What the wrapped stream has besides (`elapsed` in httpx2) is found through them.
    """

    class SyncTee(_Tee, module.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            try:
                for piece in self._inner:
                    self._listener.received(piece)
                    yield piece
            except GeneratorExit:
                raise  # the caller has had enough; `close` follows
            except BaseException as error:
                self._listener.failed(error)
                raise
            self._listener.exhausted()

        def close(self) -> None:
            try:
                self._inner.close()
            finally:
                self._listener.closed()

    class AsyncTee(_Tee, module.AsyncByteStream):  # type: ignore[misc]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            pieces = self._inner.__aiter__()
            try:
                async for piece in pieces:
                    self._listener.received(piece)
                    yield piece
            except GeneratorExit:
                raise  # as above
            except BaseException as error:
                self._listener.failed(error)
                raise
            finally:
                # An asynchronous generator is not closed by the one around it; httpx2 relies on being closed.
                if hasattr(pieces, "aclose"):
                    await pieces.aclose()
            self._listener.exhausted()

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                self._listener.closed()

    return SyncTee, AsyncTee
