"""The body of a response of aiohttp, heard as the caller reads it. Nothing is read ahead."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from types import FunctionType
from typing import Any

from pytest_gepa.trace.patches import Function, Patches
from pytest_gepa.trace.streamed_body import StreamedBody

_READS = ("read", "readany", "readexactly", "readline", "readuntil", "readchunk")
_ITERATES = ("iter_any", "iter_chunked", "iter_chunks")


def make_audible(patches: Patches, response: type) -> None:
    """Patch the methods that close a response."""
    for name in ("close", "release"):
        patches.replace(response, name, _heard_close)


def _heard_close(original: Function) -> Function:
    def close(self: Any, *args: Any, **options: Any) -> Any:
        try:
            return original(self, *args, **options)
        finally:
            tell = getattr(self.content, "_gepa_closed", None)
            if tell is not None:
                tell()

    return close


@functools.cache
def hearing_reader(base: Any) -> Any:
    """The class of stream readers that pass a body on and tell a listener; derived from the library's own, for code
    that looks at the type.

    A read goes to the wrapped reader, which the library feeds, and so does every other method; only those that iterate
    are the base's, upon the reads here.
    """
    # Imported here: this is needed only where aiohttp is.
    from asyncio import CancelledError, IncompleteReadError, TimeoutError

    class StreamReader(base):  # type: ignore[misc]
        __slots__ = ("_gepa_inner", "_gepa_interrupted", "_gepa_listener")

        def __init__(self, inner: Any, listener: StreamedBody) -> None:
            self._gepa_inner = inner
            self._gepa_listener = listener
            self._gepa_interrupted: BaseException | None = None

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_gepa"):
                raise AttributeError(name)
            return getattr(self._gepa_inner, name)

        def __repr__(self) -> str:
            return repr(self._gepa_inner)

        def read_nowait(self, *args: Any) -> bytes:
            piece: bytes = self._gepa_inner.read_nowait(*args)
            self._gepa_heard(piece)
            return piece

        async def _gepa_read(self, read: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
            try:
                result = await read(*args, **options)
            except IncompleteReadError as error:
                self._gepa_heard(error.partial)
                raise
            except (CancelledError, TimeoutError) as error:
                # The read has ended, but not the body: the caller may read on.
                self._gepa_interrupted = error
                raise
            except BaseException as error:
                self._gepa_listener.failed(error)
                raise
            self._gepa_heard(result[0] if isinstance(result, tuple) else result)
            return result

        def _gepa_heard(self, piece: bytes) -> None:
            self._gepa_interrupted = None
            if piece:
                self._gepa_listener.received(piece)
            if self._gepa_inner.at_eof():
                self._gepa_listener.exhausted()

        def _gepa_closed(self) -> None:
            if self._gepa_interrupted is not None:
                self._gepa_listener.failed(self._gepa_interrupted)
            else:
                self._gepa_listener.closed()

    for name, value in _methods(base).items():
        if name in _READS:
            setattr(StreamReader, name, functools.wraps(value)(_read(name)))
        elif name not in (*_ITERATES, *vars(StreamReader)):
            setattr(StreamReader, name, functools.wraps(value)(_passed_on(name)))
    StreamReader.__qualname__, StreamReader.__module__ = base.__qualname__, base.__module__
    return StreamReader


def _methods(base: type) -> dict[str, Function]:
    """The functions of a class and those that it inherits, by name, but for those that the language calls."""
    methods: dict[str, Function] = {}
    for kind in reversed(base.__mro__):
        for name, value in vars(kind).items():
            if isinstance(value, FunctionType) and not name.startswith("__"):
                methods[name] = value
    return methods


def _read(name: str) -> Function:
    async def read(self: Any, *args: Any, **options: Any) -> Any:
        return await self._gepa_read(getattr(self._gepa_inner, name), *args, **options)

    return read


def _passed_on(name: str) -> Function:
    def method(self: Any, *args: Any, **options: Any) -> Any:
        return getattr(self._gepa_inner, name)(*args, **options)

    return method
