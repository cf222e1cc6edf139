"""Requests through httpx and httpx2, seen at `Client.send` and `AsyncClient.send`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pytest_gepa.trace.exchange import Exchange
from pytest_gepa.trace.http_library import NAMES, HttpLibrary
from pytest_gepa.trace.outermost import begin_try
from pytest_gepa.trace.streamed_body import StreamedBody
from pytest_gepa.trace.tries import End, Try
from pytest_gepa.trace.wire import Wire


class HttpxHook:
    """See `wire.Hook`."""

    names = NAMES

    def is_loaded(self, module: Any) -> bool:
        """See `wire.Hook`."""
        return hasattr(module, "AsyncClient")

    def patch(self, module: Any, wire: Wire) -> None:
        """See `wire.Hook`."""
        library = HttpLibrary(module)
        wire.patches.replace(module.Client, "send", lambda original: _sync_send(wire, library, original))
        wire.patches.replace(module.AsyncClient, "send", lambda original: _async_send(wire, library, original))
        wire.patches.replace(module.HTTPTransport, "handle_request", lambda original: _sync_try(library, original))
        wire.patches.replace(
            module.AsyncHTTPTransport, "handle_async_request", lambda original: _async_try(library, original)
        )


def _sync_send(wire: Wire, library: HttpLibrary, original: Callable[..., Any]) -> Callable[..., Any]:
    def send(self: Any, request: Any, *, stream: bool = False, **options: Any) -> Any:
        exchange = _begin(wire, library, self, request)
        if exchange is None:
            return original(self, request, stream=stream, **options)
        try:
            # A closed client raises, with a stored answer as without one.
            answer = None if self.is_closed else exchange.stored()
            response = exchange.replay(answer, functools.partial(library.stored_response, self, request))
            if response is None:
                if not self.is_closed:
                    exchange.pay()
                with exchange.on_its_way(request.content):
                    response = original(self, request, stream=stream, **options)
                _answered(library, exchange, self, request, response)
            else:
                for hook in self.event_hooks["request"]:
                    hook(request)
                for hook in self.event_hooks["response"]:
                    hook(response)
                if not stream:
                    response.read()
        except BaseException as error:
            exchange.failed(error)
            raise
        return response

    return send


def _async_send(wire: Wire, library: HttpLibrary, original: Callable[..., Any]) -> Callable[..., Any]:
    async def send(self: Any, request: Any, *, stream: bool = False, **options: Any) -> Any:
        exchange = _begin(wire, library, self, request)
        if exchange is None:
            return await original(self, request, stream=stream, **options)
        try:
            # A closed client raises, with a stored answer as without one.
            answer = None if self.is_closed else await exchange.stored_async()
            response = exchange.replay(answer, functools.partial(library.stored_response, self, request))
            if response is None:
                if not self.is_closed:
                    await exchange.pay_async()
                with exchange.on_its_way(request.content):
                    response = await original(self, request, stream=stream, **options)
                _answered(library, exchange, self, request, response)
            else:
                for hook in self.event_hooks["request"]:
                    await hook(request)
                for hook in self.event_hooks["response"]:
                    await hook(response)
                if not stream:
                    await response.aread()
        except BaseException as error:
            exchange.failed(error)
            raise
        return response

    return send


def _sync_try(library: HttpLibrary, original: Callable[..., Any]) -> Callable[..., Any]:
    """A transport around the library's own may send a request again, and a redirect does."""

    def handle_request(self: Any, request: Any) -> Any:
        one = begin_try(_content(request), library.name)
        if one is None:
            return original(self, request)
        one.pay()
        with one.sending():
            response = original(self, request)
        _ended(library, one, self, response)
        return response

    return handle_request


def _async_try(library: HttpLibrary, original: Callable[..., Any]) -> Callable[..., Any]:
    async def handle_async_request(self: Any, request: Any) -> Any:
        one = begin_try(_content(request), library.name)
        if one is None:
            return await original(self, request)
        await one.pay_async()
        with one.sending():
            response = await original(self, request)
        _ended(library, one, self, response)
        return response

    return handle_async_request


def _ended(library: HttpLibrary, one: Try, transport: Any, response: Any) -> None:
    one.ended = lambda: End(response.status_code, sent=not library.is_played(transport, response))


def _content(request: Any) -> bytes | None:
    try:
        content: bytes = request.content
    except Exception:
        return None  # a body that is a stream (an upload, a generator) can be read once, and that is the transport's
    return content


def _begin(wire: Wire, library: HttpLibrary, client: Any, request: Any) -> Exchange | None:
    """Take the request's place in the record; None for what is no call to a model."""
    if wire.target is None or request.method != "POST":
        return None
    return wire.begin(
        method=request.method,
        url=str(request.url),
        headers=request.headers,
        body=_content(request),
        is_network=lambda: library.is_network(client, request),
        is_in_process=lambda: library.is_in_process(client, request),
    )


def _answered(library: HttpLibrary, exchange: Exchange, client: Any, request: Any, response: Any) -> None:
    """Record a response: at once if its body is here, else when the caller has read it."""
    with exchange.noting():
        if library.is_mocked(client, request, response):
            exchange.stayed(played=library.has_cassette(client, request))
        status = response.status_code
        content_type = response.headers.get("content-type", "").lower()
        try:
            body = response.content
        except Exception:
            # Not read yet. Mock transports hand over bodies that are, also when a stream is asked for.
            encoded = response.headers.get("content-encoding", "")
            listener = StreamedBody(exchange, status, content_type, encoded, lambda raw: library.decode(raw, encoded))
            library.listen(response, listener)
        else:
            exchange.answered(status, content_type, body)
