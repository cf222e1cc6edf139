"""Every request that goes through httpx or httpx2 in this process, seen at `Client.send` and
`AsyncClient.send`.

Both modules are patched on the class, neither is imported. The application must not be able to tell.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pytest_gepa.trace.cache import BEHAVIOUR_HEADERS, ResponseCache, request_key, stored_key
from pytest_gepa.trace.exchange import CachePlace, Exchange, StreamedBody, describe
from pytest_gepa.trace.http_library import NAMES, HttpLibrary
from pytest_gepa.trace.import_hook import ImportWatch
from pytest_gepa.trace.protocols import FALLBACK, recognise
from pytest_gepa.trace.recorder import Recorder


@dataclass(frozen=True, slots=True)
class _Target:
    """Where calls are recorded, and the answers stored and found."""

    recorder: Recorder
    cache: ResponseCache | None
    trial: str | None


@dataclass(frozen=True, slots=True)
class _Patch:
    """A `send` of ours on a class, and the one that was there before."""

    owner: type
    original: Callable[..., Any]
    ours: Callable[..., Any]


_target: _Target | None = None
_patches: list[_Patch] = []


def install(recorder: Recorder, cache: ResponseCache | None, trial: str | None) -> None:
    """Record the calls of this process from now on, in modules already imported and those imported later.

    Answers are looked up and stored only with a cache and a trial. Installed again, it changes recorder,
    cache and trial for the requests to come. The caller closes the cache.
    """
    global _target
    _target = _Target(recorder, cache, trial)
    _watch.start()
    for name in NAMES:
        module = sys.modules.get(name)
        if module is not None and hasattr(module, "AsyncClient"):
            _patch(module)


def uninstall() -> None:
    """Record no longer, and put back what was there before; a `send` that somebody has wrapped since stays,
    idle."""
    global _target
    _target = None
    _watch.stop()
    while _patches:
        patch = _patches.pop()
        if vars(patch.owner).get("send") is patch.ours:
            patch.owner.send = patch.original  # type: ignore[attr-defined]


def _imported(module: ModuleType) -> None:
    if _target is None:
        return
    try:
        _patch(module)
    except Exception as error:
        _target.recorder.add_problem(f"the calls of {module.__name__} are not seen: {describe(error)}")


_watch = ImportWatch(NAMES, _imported)


def _patch(module: Any) -> None:
    library = HttpLibrary(module)
    for owner, wrap in ((module.Client, _sync_send), (module.AsyncClient, _async_send)):
        # Not twice: `httpx` may be another name of the module `httpx2`.
        if all(patch.owner is not owner for patch in _patches):
            original = owner.send
            ours = wrap(library, original)
            owner.send = ours
            _patches.append(_Patch(owner, original, ours))


def _sync_send(library: HttpLibrary, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def send(self: Any, request: Any, *, stream: bool = False, **options: Any) -> Any:
        exchange = _begin(library, self, request, stream)
        if exchange is None:
            return original(self, request, stream=stream, **options)
        try:
            response = _stored_response(library, exchange, self, request)
            if response is None:
                response = original(self, request, stream=stream, **options)
                _answered(library, exchange, response)
            else:
                for hook in self.event_hooks["request"]:
                    hook(request)
                for hook in self.event_hooks["response"]:
                    hook(response)
        except BaseException as error:
            _failed(exchange, error)
            raise
        return response

    return send


def _async_send(library: HttpLibrary, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send(self: Any, request: Any, *, stream: bool = False, **options: Any) -> Any:
        exchange = _begin(library, self, request, stream)
        if exchange is None:
            return await original(self, request, stream=stream, **options)
        try:
            response = _stored_response(library, exchange, self, request)
            if response is None:
                response = await original(self, request, stream=stream, **options)
                _answered(library, exchange, response)
            else:
                for hook in self.event_hooks["request"]:
                    await hook(request)
                for hook in self.event_hooks["response"]:
                    await hook(response)
        except BaseException as error:
            _failed(exchange, error)
            raise
        return response

    return send


def _begin(library: HttpLibrary, client: Any, request: Any, stream: bool) -> Exchange | None:
    """Take the request's place in the record; None for what is no call to a model."""
    target = _target
    if target is None or request.method != "POST":
        return None
    try:
        return _recognised(target, library, client, request, stream)
    except Exception as error:
        target.recorder.add_problem(describe(error))
        return None


def _recognised(
    target: _Target, library: HttpLibrary, client: Any, request: Any, stream: bool
) -> Exchange | None:
    try:
        body = request.content
    except Exception:
        # A body that is a stream (an upload, a generator) can be read once, and that is the transport's.
        return None
    recognised = recognise(request.method, request.url.path, request.headers.get("content-type", ""), body)
    if recognised is None:
        return None
    protocol, asked = recognised
    if protocol is FALLBACK and library.is_in_process(client, request):
        return None
    headers = {name: request.headers[name] for name in BEHAVIOUR_HEADERS if name in request.headers}
    key = request_key(request.method, str(request.url), headers, body)
    place = None
    if target.cache is not None and target.trial is not None:
        may_store = protocol.cacheable and not stream and not asked.stream
        if may_store and library.is_network(client, request):
            ordinal = target.recorder.claim(key)
            place = CachePlace(target.cache, stored_key(key, target.trial, ordinal.number), ordinal)
    return Exchange(target.recorder, protocol, asked, key, place)


def _stored_response(library: HttpLibrary, exchange: Exchange, client: Any, request: Any) -> Any:
    """The stored answer as a response, recorded; None when the request must be sent."""
    response: Any = None

    def look_up() -> None:
        nonlocal response
        # A closed client raises, with a stored answer as without one.
        body = None if client.is_closed else exchange.stored_body()
        if body is not None:
            response = library.stored_response(request, body)
            exchange.answered_from_cache(body)

    exchange.guarded(look_up)
    return response


def _answered(library: HttpLibrary, exchange: Exchange, response: Any) -> None:
    """Record a response: at once if its body is here, else when the caller has read it."""

    def record() -> None:
        status = response.status_code
        content_type = response.headers.get("content-type", "").lower()
        try:
            body = response.content
        except Exception:
            # Not read yet. Mock transports hand over bodies that are, also when a stream is asked for.
            encoded = response.headers.get("content-encoding", "")
            listener = StreamedBody(
                exchange, status, content_type, encoded, lambda raw: library.decode(raw, encoded)
            )
            library.listen(response, listener)
        else:
            exchange.answered(status, content_type, body)

    exchange.guarded(record)


def _failed(exchange: Exchange, error: BaseException) -> None:
    exchange.guarded(lambda: exchange.failed(error))
