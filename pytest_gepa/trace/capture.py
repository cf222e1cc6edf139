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

from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.exchange import Exchange, StreamedBody, Target, begin, describe
from pytest_gepa.trace.http_library import NAMES, HttpLibrary
from pytest_gepa.trace.import_hook import ImportWatch
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.stored import StoredAnswer


@dataclass(frozen=True, slots=True)
class _Patch:
    """A `send` of ours on a class, and the one that was there before."""

    owner: type
    original: Callable[..., Any]
    ours: Callable[..., Any]


_target: Target | None = None
_patches: list[_Patch] = []


def install(recorder: Recorder, cache: ResponseCache | None, trial: str | None, replay: str = "auto") -> None:
    """Record the calls of this process from now on, in modules already imported and those imported later.

    See `Target` for the parameters. Installed again, it changes them for the requests to come. The caller closes
    the cache.
    """
    global _target
    _target = Target(recorder, cache, trial, replay)
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
        exchange = _begin(library, self, request)
        if exchange is None:
            return original(self, request, stream=stream, **options)
        try:
            # A closed client raises, with a stored answer as without one.
            answer = None if self.is_closed else exchange.stored()
            response = None if answer is None else _replay(library, exchange, self, request, answer)
            if response is None:
                response = original(self, request, stream=stream, **options)
                _answered(library, exchange, response)
            else:
                for hook in self.event_hooks["request"]:
                    hook(request)
                for hook in self.event_hooks["response"]:
                    hook(response)
                if not stream:
                    response.read()
        except BaseException as error:
            _failed(exchange, error)
            raise
        return response

    return send


def _async_send(library: HttpLibrary, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def send(self: Any, request: Any, *, stream: bool = False, **options: Any) -> Any:
        exchange = _begin(library, self, request)
        if exchange is None:
            return await original(self, request, stream=stream, **options)
        try:
            # A closed client raises, with a stored answer as without one.
            answer = None if self.is_closed else await exchange.stored_async()
            response = None if answer is None else _replay(library, exchange, self, request, answer)
            if response is None:
                response = await original(self, request, stream=stream, **options)
                _answered(library, exchange, response)
            else:
                for hook in self.event_hooks["request"]:
                    await hook(request)
                for hook in self.event_hooks["response"]:
                    await hook(response)
                if not stream:
                    await response.aread()
        except BaseException as error:
            _failed(exchange, error)
            raise
        return response

    return send


def _begin(library: HttpLibrary, client: Any, request: Any) -> Exchange | None:
    """Take the request's place in the record; None for what is no call to a model."""
    target = _target
    if target is None or request.method != "POST":
        return None
    try:
        body = request.content
    except Exception:
        # A body that is a stream (an upload, a generator) can be read once, and that is the transport's.
        return None
    return begin(
        target,
        method=request.method,
        url=str(request.url),
        headers=request.headers,
        body=body,
        is_network=lambda: library.is_network(client, request),
        is_in_process=lambda: library.is_in_process(client, request),
    )


def _replay(library: HttpLibrary, exchange: Exchange, client: Any, request: Any, answer: StoredAnswer) -> Any:
    """A stored answer as a response, recorded; None when it cannot be made, and the request must be sent."""
    response: Any = None

    def build() -> None:
        nonlocal response
        made = library.stored_response(client, request, answer)
        exchange.replayed(answer)
        response = made

    exchange.guarded(build)
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
