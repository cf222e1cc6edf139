"""Requests through urllib3, seen at `HTTPConnectionPool.urlopen`: those that are made with it directly, and those of
libraries built on it that are not seen further up (botocore)."""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Callable, Mapping
from typing import Any

from pytest_gepa.trace import heard
from pytest_gepa.trace.exchange import Exchange
from pytest_gepa.trace.genuine import is_of, is_played, sockets_are_genuine
from pytest_gepa.trace.outermost import begin_try
from pytest_gepa.trace.stored import StoredAnswer
from pytest_gepa.trace.tries import End
from pytest_gepa.trace.wire import Wire, bytes_of

LAYER = "urllib3"
"""See `tries.Tries`."""


class Urllib3Hook:
    """See `wire.Hook`."""

    names = ("urllib3",)

    def is_loaded(self, module: Any) -> bool:
        """See `wire.Hook`."""
        return hasattr(module, "PoolManager") and hasattr(module, "HTTPResponse")

    def patch(self, module: Any, wire: Wire) -> None:
        """See `wire.Hook`."""
        pool = module.HTTPConnectionPool
        heard.make_audible(wire.patches, module.HTTPResponse, Urllib3Bodies())
        wire.patches.replace(pool, "urlopen", lambda original: _urlopen(wire, module, original))


class Urllib3Bodies:
    """See `heard.ReadableLibrary`."""

    def is_decoded(self, response: Any, name: str, asked: Any) -> bool:
        """By default bytes are as the response was made; those of `read_chunked` are not decoded."""
        return bool(response.decode_content if asked is None and name != "read_chunked" else asked)

    def is_over(self, response: Any) -> bool:
        """Whether the wire has no more, nor what was decoded of it ahead of the caller."""
        if len(getattr(response, "_decoded_buffer", ())) or getattr(
            getattr(response, "_decoder", None), "has_unconsumed_tail", False
        ):
            return False
        return bool(response.isclosed())


def goes_to_the_network(pool: Any) -> bool:
    """Whether what is asked of a connection pool leaves the process. In doubt it does not."""
    connection = getattr(pool, "ConnectionCls", None)
    return (
        is_of(pool, "urlopen", "urllib3", "botocore")
        and str(getattr(connection, "__module__", "")).partition(".")[0] in ("urllib3", "botocore")
        and sockets_are_genuine()
    )


def listen(exchange: Exchange, response: Any) -> None:
    """Let the body of a response that has not been read be heard."""
    encoding = response.headers.get("content-encoding", "")
    content_type = response.headers.get("content-type", "").lower()

    def decode(raw: bytes) -> bytes:
        copy = type(response)(
            io.BytesIO(raw), headers={"content-encoding": encoding}, status=200, preload_content=False
        )
        return bytes(copy.read(decode_content=True))

    heard.listen(response, heard.Ear(exchange, response.status, content_type, encoding, decode))


def _urlopen(wire: Wire, module: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    def urlopen(self: Any, *args: Any, **options: Any) -> Any:
        given: Mapping[str, Any] = {}
        exchange = None
        method = args[0] if args else options.get("method")
        if wire.target is not None and str(method).upper() == "POST":
            try:
                given = signature.bind(self, *args, **options).arguments
            except TypeError:
                pass  # the original says it
            else:
                exchange = _begin(wire, self, given)
        if exchange is None:
            return _try(self, given, lambda: original(self, *args, **options))
        try:
            answer = exchange.stored()
            response = exchange.replay(answer, functools.partial(stored_response, module, preload=_preloads(given)))
            if response is None:
                exchange.pay()
                with exchange.on_its_way(bytes_of(given["body"]) or b"", LAYER):
                    response = original(self, *args, **options)
                with exchange.noting():
                    _answered(exchange, self, given, response)
        except BaseException as error:
            exchange.failed(error)
            raise
        return response

    return urlopen


def _try(pool: Any, given: Mapping[str, Any], send: Callable[[], Any]) -> Any:
    """Send what a library further up has recorded, or the same once more: a pool that tries again calls itself."""
    one = begin_try(bytes_of(given.get("body")), LAYER, _before(given))
    if one is None:
        return send()
    one.pay()
    with one.sending():
        response = send()
    one.ended = lambda: End(response.status, sent=not is_played(getattr(pool, "ConnectionCls", None), response))
    return response


def _before(given: Mapping[str, Any]) -> End | None:
    """How the try ended that is made again."""
    history = getattr(given.get("retries"), "history", ())
    return End(history[-1].status, history[-1].error) if history else None


def _begin(wire: Wire, pool: Any, given: Mapping[str, Any]) -> Exchange | None:
    url = str(given["url"])
    if url.startswith("/"):
        host = f"[{pool.host}]" if ":" in pool.host else pool.host
        url = f"{pool.scheme}://{host}{f':{pool.port}' if pool.port else ''}{url}"
    return wire.begin(
        method=str(given["method"]),
        url=url,
        headers=given.get("headers") or pool.headers or {},
        body=bytes_of(given.get("body")),
        is_network=lambda: goes_to_the_network(pool),
    )


def _answered(exchange: Exchange, pool: Any, given: Mapping[str, Any], response: Any) -> None:
    if is_played(getattr(pool, "ConnectionCls", None), response):
        exchange.stayed(played=True)
    if _preloads(given):
        content_type = response.headers.get("content-type", "").lower()
        exchange.answered(response.status, content_type, bytes(response.data or b""))
    else:
        listen(exchange, response)


def _preloads(given: Mapping[str, Any]) -> bool:
    """Whether the body is read before the caller gets the response; up to 1.26 the parameter is one of the rest."""
    return bool(given.get("preload_content", given.get("response_kw", {}).get("preload_content", True)))


def stored_response(module: Any, answer: StoredAnswer, *, preload: bool) -> Any:
    """A response of urllib3 with a stored answer, whose body has been read if it is to be preloaded."""
    return module.HTTPResponse(
        body=Pieces(answer),
        headers={"content-type": answer.content_type} if answer.content_type else {},
        status=answer.status,
        reason="OK",
        version=11,
        preload_content=preload,
    )


class Pieces(io.RawIOBase):
    """A stored body as a file that hands out at most one of its pieces at a time, as a connection does."""

    def __init__(self, answer: StoredAnswer) -> None:
        self._pieces = answer.pieces()
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what is left of the present piece, or with the next one."""
        self._rest = self._rest or next(self._pieces, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        if not size and len(buffer):
            self.close()  # as a connection is when its body is over: urllib3 looks for that
        return size
