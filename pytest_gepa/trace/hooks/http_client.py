"""Requests through http.client, which urllib.request is built on, seen at `HTTPConnection.request` and
`getresponse`."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any

from pytest_gepa.trace import heard
from pytest_gepa.trace.exchange import Exchange
from pytest_gepa.trace.genuine import is_of, sockets_are_genuine
from pytest_gepa.trace.hooks.inflate import inflate
from pytest_gepa.trace.stored import StoredAnswer
from pytest_gepa.trace.wire import Wire, bytes_of

_PENDING = "_pytest_gepa_pending"


class HttpClientHook:
    """See `wire.Hook`."""

    names = ("http.client",)

    def is_loaded(self, module: Any) -> bool:
        """See `wire.Hook`."""
        return hasattr(module, "HTTPConnection")

    def patch(self, module: Any, wire: Wire) -> None:
        """See `wire.Hook`."""
        heard.make_audible(wire.patches, module.HTTPResponse, HttpClientBodies())
        connection = module.HTTPConnection
        wire.patches.replace(connection, "request", lambda original: _request(wire, module, original))
        wire.patches.replace(connection, "getresponse", _getresponse)


class HttpClientBodies:
    """See `heard.ReadableLibrary`."""

    def is_decoded(self, response: Any, name: str, asked: Any) -> bool:
        """It never decodes."""
        return False

    def is_over(self, response: Any) -> bool:
        """Whether it has let go of the connection, or has come to the announced length."""
        return bool(response.isclosed() or response.length == 0)


def _request(wire: Wire, module: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    def request(self: Any, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> Any:
        headers = {} if headers is None else headers
        exchange = _begin(wire, self, method, url, body, headers)
        if exchange is None:
            return original(self, method, url, body, headers, **options)
        try:
            answer = exchange.stored()
            response = exchange.replay(answer, functools.partial(_stored_response, module))
            if response is None:
                exchange.pay()
                original(self, method, url, body, headers, **options)
            setattr(self, _PENDING, exchange if response is None else response)
        except BaseException as error:
            exchange.failed(error)
            raise

    return request


def _getresponse(original: Callable[..., Any]) -> Callable[..., Any]:
    def getresponse(self: Any) -> Any:
        pending = self.__dict__.pop(_PENDING, None)
        if not isinstance(pending, Exchange):
            return original(self) if pending is None else pending
        try:
            response = original(self)
        except BaseException as error:
            pending.failed(error)
            raise
        with pending.noting():
            _listen(pending, response)
        return response

    return getresponse


def _begin(wire: Wire, connection: Any, method: str, url: str, body: Any, headers: Any) -> Exchange | None:
    if wire.target is None or str(method).upper() != "POST":
        return None
    if "://" not in url:
        tunnel = getattr(connection, "_tunnel_host", None)
        host = tunnel or connection.host
        port = (getattr(connection, "_tunnel_port", None) if tunnel else None) or connection.port
        scheme = "https" if type(connection).default_port == 443 else "http"
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{url}"
    return wire.begin(
        method=method,
        url=url,
        headers=dict(headers),
        body=bytes_of(body),
        is_network=lambda: is_of(connection, "send", "http") and sockets_are_genuine(),
    )


def _listen(exchange: Exchange, response: Any) -> None:
    encoding = response.headers.get("content-encoding", "")
    content_type = response.headers.get("content-type", "").lower()
    heard.listen(response, heard.Ear(exchange, response.status, content_type, encoding, inflate))


def _stored_response(module: Any, answer: StoredAnswer) -> Any:
    response = module.HTTPResponse(_Wire(answer), method="POST")
    response.begin()
    return response


class _Wire:
    """Stands in for the socket that a response is read from."""

    def __init__(self, answer: StoredAnswer) -> None:
        kind = f"Content-Type: {answer.content_type}\r\n" if answer.content_type else ""
        head = f"HTTP/1.1 {answer.status} OK\r\n{kind}Content-Length: {len(answer.body)}\r\n\r\n"
        self._data = head.encode("latin-1") + answer.body

    def makefile(self, mode: str) -> io.BufferedReader:
        """The bytes that would have come."""
        return io.BufferedReader(io.BytesIO(self._data))
