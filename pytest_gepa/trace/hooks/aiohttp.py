"""Requests through aiohttp, seen at `ClientSession._request`, which all its public methods call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pytest_gepa.trace.exchange import Exchange
from pytest_gepa.trace.genuine import is_of, sockets_are_genuine
from pytest_gepa.trace.hooks.aiohttp_body import hearing_reader, make_audible
from pytest_gepa.trace.hooks.inflate import inflate
from pytest_gepa.trace.outermost import begin_try
from pytest_gepa.trace.stored import StoredAnswer
from pytest_gepa.trace.streamed_body import StreamedBody
from pytest_gepa.trace.tries import End
from pytest_gepa.trace.wire import Wire, bytes_of


class AiohttpHook:
    """See `wire.Hook`."""

    names = ("aiohttp",)

    def is_loaded(self, module: Any) -> bool:
        """See `wire.Hook`."""
        return hasattr(module, "ClientSession") and hasattr(module, "StreamReader")

    def patch(self, module: Any, wire: Wire) -> None:
        """See `wire.Hook`."""
        make_audible(wire.patches, module.ClientResponse)
        reader = hearing_reader(module.StreamReader)
        session = module.ClientSession
        wire.patches.replace(session, "_request", lambda original: _request(wire, module, reader, original))
        if hasattr(module.ClientRequest, "send"):
            wire.patches.replace(module.ClientRequest, "send", _try)


def _request(wire: Wire, module: Any, reader: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    async def _request(self: Any, method: str, str_or_url: Any, **options: Any) -> Any:
        body, exchange = None, None
        if wire.target is not None and str(method).upper() == "POST":
            body, sent_options = _body(module, self, options)
            exchange = _begin(wire, self, str_or_url, body, options)
            options = sent_options
        if exchange is None or body is None:
            return await original(self, method, str_or_url, **options)
        try:
            # A closed session raises, with a stored answer as without one.
            answer = None if self.closed else await exchange.stored_async()
            response = exchange.replay(answer, functools.partial(_stored_response, module, self, str_or_url))
            if response is None:
                if not self.closed:
                    await exchange.pay_async()
                listen = functools.partial(_answered, reader, exchange, self, options)
                with exchange.on_its_way(body):
                    response = await original(self, method, str_or_url, **_heard_first(self, options, listen))
                listen(response)
            else:
                await _check_status(self, response, options)
        except BaseException as error:
            _failed(exchange, error)
            raise
        return response

    return _request


def _try(original: Callable[..., Any]) -> Callable[..., Any]:
    """A middleware may send a request again, and a redirect does."""

    async def send(self: Any, *args: Any, **options: Any) -> Any:
        # Its value is where a payload has it; up to 3.11 a request has bytes as they are.
        one = begin_try(bytes_of(getattr(self.body, "_value", self.body)), "aiohttp")
        if one is None:
            return await original(self, *args, **options)
        await one.pay_async()
        with one.sending():
            response = await original(self, *args, **options)
        one.ended = lambda: End(response.status)  # which comes later
        return response

    return send


def _body(module: Any, session: Any, options: dict[str, Any]) -> tuple[bytes | None, dict[str, Any]]:
    """The bytes that will be sent, None when they cannot be known beforehand, and the options to send them: what the
    application writes JSON with runs once."""
    if options.get("json") is None or options.get("data") is not None:
        return bytes_of(options.get("data")), options
    try:
        dumps = getattr(session, "_json_serialize_bytes", None) or session.json_serialize
        written = dumps(options["json"])
        body = written.encode() if isinstance(written, str) else bytes(written)
        payload = module.BytesPayload(body, content_type="application/json", encoding="utf-8")
    except Exception:
        return None, options  # the original meets the same
    return body, {**options, "json": None, "data": payload}


def _begin(
    wire: Wire, session: Any, str_or_url: Any, body: bytes | None, options: Mapping[str, Any]
) -> Exchange | None:
    try:
        url = session._build_url(str_or_url)
        if options.get("params"):
            url = url.update_query(options["params"])
        headers = dict(session._prepare_headers(options.get("headers")))
    except Exception:
        return None  # the original says what is wrong with it
    if options.get("json") is not None and not any(name.lower() == "content-type" for name in headers):
        headers["content-type"] = "application/json"
    return wire.begin(
        method="POST",
        url=str(url),
        headers=headers,
        body=body,
        is_network=lambda: _is_network(session),
    )


def _is_network(session: Any) -> bool:
    """Whether a request would really leave the process. In doubt it does not."""
    return (
        is_of(session, "_request", "aiohttp")
        and is_of(session.connector, "connect", "aiohttp")
        and sockets_are_genuine()
    )


def _heard_first(session: Any, options: dict[str, Any], listen: Callable[[Any], None]) -> dict[str, Any]:
    """The options of a request, so that its response is heard before the session checks the status: the application may
    do that itself, and read the body."""
    if not _check_of(session, options):
        return options

    async def check(response: Any) -> None:
        listen(response)
        await _check_status(session, response, options)

    return {**options, "raise_for_status": check}


def _answered(reader: Any, exchange: Exchange, session: Any, options: Mapping[str, Any], response: Any) -> None:
    """Record a response: at once if its body is here, else when the caller has read it."""
    if exchange.ended or isinstance(response.content, reader):
        return

    with exchange.noting():
        status = response.status
        content_type = response.headers.get("content-type", "").lower()
        if response._body is not None:  # a middleware has read it
            exchange.answered(status, content_type, response._body)
        elif type(response.content).__name__ == "EmptyStreamReader":
            exchange.answered(status, content_type, b"")
        else:
            decodes = options.get("auto_decompress")
            decodes = getattr(session, "_auto_decompress", True) if decodes is None else decodes
            encoding = "" if decodes else response.headers.get("content-encoding", "")
            listener = StreamedBody(exchange, status, content_type, encoding, inflate if encoding else bytes)
            response.content = reader(response.content, listener)


def _failed(exchange: Exchange, error: BaseException) -> None:
    """Record an exception; one that the session made of a status (`raise_for_status`) with that."""
    status = getattr(error, "status", None)
    if isinstance(status, int) and status >= 400:
        exchange.answered(status, "text/plain", str(error).encode())
    else:
        exchange.failed(error)


class _Sent:
    """Stands in for the writer of a request that is not sent."""

    output_size = 0


def _stored_response(module: Any, session: Any, str_or_url: Any, answer: StoredAnswer) -> Any:
    url = session._build_url(str_or_url)
    # Imported here, as it is needed only where aiohttp is.
    from asyncio import get_running_loop

    loop = get_running_loop()
    headers = {"content-type": answer.content_type} if answer.content_type else {}
    raw = tuple((name.encode(), value.encode()) for name, value in headers.items())
    multidict = type(session._prepare_headers(None))
    about = {
        "writer": None,
        "continue100": None,
        "timer": None,
        "request_info": module.RequestInfo(url, "POST", multidict(), url),
        "traces": [],
        "loop": loop,
        "session": session,
        "stream_writer": _Sent(),
        "request_headers": multidict(),
        "original_url": url,
    }
    kind = session._response_class
    known = inspect.signature(module.ClientResponse.__init__).parameters
    response = kind("POST", url, **{name: value for name, value in about.items() if name in known})
    response.status, response.reason = answer.status, "OK"
    response.version = module.HttpVersion11
    response._headers = multidict(headers)
    response._raw_headers = raw
    response.content = module.StreamReader(module.client_proto.ResponseHandler(loop), 2**16, loop=loop)
    for piece in answer.pieces():
        response.content.begin_http_chunk_receiving()
        response.content.feed_data(piece)
        response.content.end_http_chunk_receiving()
    response.content.feed_eof()
    return response


async def _check_status(session: Any, response: Any, options: Mapping[str, Any]) -> None:
    """Do what the session does with the status of every response: the application may look at it there."""
    check = _check_of(session, options)
    if callable(check):
        await check(response)
    elif check:
        response.raise_for_status()


def _check_of(session: Any, options: Mapping[str, Any]) -> Any:
    check = options.get("raise_for_status")
    return session.raise_for_status if check is None else check
