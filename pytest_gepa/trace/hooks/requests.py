"""Requests through requests, seen at `Session.send`, where mocked ones pass too. Below it is urllib3."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from typing import Any

from pytest_gepa.trace.exchange import Exchange
from pytest_gepa.trace.genuine import is_of, is_played
from pytest_gepa.trace.hooks import urllib3
from pytest_gepa.trace.stored import StoredAnswer
from pytest_gepa.trace.wire import Wire, bytes_of


class RequestsHook:
    """See `wire.Hook`."""

    names = ("requests",)

    def is_loaded(self, module: Any) -> bool:
        """See `wire.Hook`."""
        return hasattr(module, "Session") and hasattr(module, "adapters")

    def patch(self, module: Any, wire: Wire) -> None:
        """See `wire.Hook`."""
        wire.patches.replace(module.Session, "send", lambda original: _send(wire, module, original))


def _send(wire: Wire, module: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    def send(self: Any, request: Any, **options: Any) -> Any:
        exchange = _begin(wire, module, self, request)
        if exchange is None:
            return original(self, request, **options)
        is_streamed = options.get("stream", self.stream)
        try:
            answer = exchange.stored()
            response = exchange.replay(answer, functools.partial(_stored_response, module, self, request))
            if response is None:
                exchange.pay()
                with exchange.on_its_way(bytes_of(request.body) or b""):
                    response = original(self, request, **options)
                with exchange.noting():
                    _answered(module, exchange, response, is_streamed)
            else:
                response = module.hooks.dispatch_hook("response", request.hooks, response, **options)
                if not is_streamed:
                    response.content  # noqa: B018
        except BaseException as error:
            exchange.failed(error)
            raise
        return response

    return send


def _begin(wire: Wire, module: Any, session: Any, request: Any) -> Exchange | None:
    if wire.target is None or getattr(request, "method", None) != "POST":
        return None
    return wire.begin(
        method=request.method,
        url=str(request.url),
        headers=request.headers or {},
        body=bytes_of(request.body),
        is_network=lambda: _is_network(module, session, request),
    )


def _is_network(module: Any, session: Any, request: Any) -> bool:
    """Whether a request would really leave the process. In doubt it does not.

    Mocks are seen as adapters of another class, chosen in another way (requests-mock), or whose `send` is not the
    library's (responses). One that adds something, say a timeout, and passes on to that is genuine.
    """
    if not is_of(session, "get_adapter", "requests"):
        return False
    adapter = session.get_adapter(url=request.url)
    if not isinstance(adapter, module.adapters.HTTPAdapter):
        return False
    genuine = is_of(module.adapters.HTTPAdapter, "send", "requests")
    passes_on = "send" in getattr(getattr(type(adapter).send, "__code__", None), "co_names", ())
    if not genuine or not (is_of(adapter, "send", "requests") or passes_on):
        return False
    return urllib3.goes_to_the_network(module.packages.urllib3.HTTPConnectionPool)


def _answered(module: Any, exchange: Exchange, response: Any, is_streamed: bool) -> None:
    library = module.packages.urllib3
    pools = (library.HTTPConnectionPool, library.HTTPSConnectionPool)
    if any(is_played(pool.ConnectionCls, response.raw) for pool in pools):
        exchange.stayed(played=True)
    if not is_streamed:
        content_type = response.headers.get("content-type", "").lower()
        exchange.answered(response.status_code, content_type, response.content)
    else:
        urllib3.listen(exchange, response.raw)


def _stored_response(module: Any, session: Any, request: Any, answer: StoredAnswer) -> Any:
    raw = urllib3.stored_response(module.packages.urllib3, answer, preload=False)
    response = session.get_adapter(url=request.url).build_response(request, raw)
    response.elapsed = datetime.timedelta(0)
    return response
