"""Bodies of responses that are read like files (urllib3, http.client): which bytes have reached the caller, each once,
and when the body is over. Nothing is read that the caller does not read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pytest_gepa.trace.exchange import Exchange
from pytest_gepa.trace.patches import Function, Patches
from pytest_gepa.trace.streamed_body import StreamedBody

_EAR = "_pytest_gepa_ear"


class Ear:
    """Hears the body of one response. `encoding` is its content encoding, "" if there is none; `decode` undoes that."""

    def __init__(
        self,
        exchange: Exchange,
        status: int,
        content_type: str,
        encoding: str,
        decode: Callable[[bytes], bytes],
    ) -> None:
        self.exchange = exchange
        self.inside = False
        self._about = (status, content_type)
        self._encoding = encoding
        self._decode = decode
        self._body: StreamedBody | None = None
        # An application that only looks at the status never reads the body.
        exchange.settle_with(lambda: self.body(is_decoded=True).case_ended())

    def body(self, *, is_decoded: bool) -> StreamedBody:
        """What listens. The first bytes decide whether it is told them as they came or decoded."""
        if self._body is None:
            encoding = "" if is_decoded else self._encoding
            self._body = StreamedBody(self.exchange, *self._about, encoding, self._decode if encoding else bytes)
        return self._body


class ReadableLibrary(Protocol):
    """What must be known of a library's class of responses."""

    def is_decoded(self, response: Any, name: str, asked: Any) -> bool:
        """Whether the bytes that a method returns have their content encoding undone; `asked` is its parameter
        `decode_content`, None where it was not given."""
        ...

    def is_over(self, response: Any) -> bool:
        """Whether the response has no more bytes to give."""
        ...


def listen(response: Any, ear: Ear) -> None:
    """Let a response be heard; its class must have been made audible."""
    setattr(response, _EAR, ear)


def make_audible(patches: Patches, owner: type, library: ReadableLibrary) -> None:
    """Patch the methods of a class of responses by which bytes reach the caller, and those that close it.

    One that is built upon another counts alone. A response that nobody listens to costs one look into its dict.
    """
    for name in ("read", "read1", "readline", "readinto"):
        if name in vars(owner):
            patches.replace(owner, name, functools.partial(_heard_read, name, library))
    if "read_chunked" in vars(owner):
        patches.replace(owner, "read_chunked", functools.partial(_heard_pieces, library))
    for name in ("close", "release_conn"):
        if name in vars(owner):
            patches.replace(owner, name, _heard_close)


def _heard_read(name: str, library: ReadableLibrary, original: Function) -> Function:
    def read(self: Any, *args: Any, **options: Any) -> Any:
        ear: Ear | None = self.__dict__.get(_EAR)
        if ear is None or ear.inside:
            return original(self, *args, **options)
        ear.inside = True
        try:
            result = original(self, *args, **options)
        except BaseException as error:
            ear.body(is_decoded=True).failed(error)
            raise
        finally:
            ear.inside = False
        with ear.exchange.noting():
            _tell(self, ear, library, name, result, args, options)
        return result

    return read


def _tell(
    response: Any,
    ear: Ear,
    library: ReadableLibrary,
    name: str,
    result: Any,
    args: tuple[Any, ...],
    options: dict[str, Any],
) -> None:
    asked: Any = args[0] if args else next((options[key] for key in ("amt", "n", "limit") if key in options), None)
    if name == "readinto":
        piece, asked = bytes(memoryview(asked)[:result]), len(asked)
    else:
        piece = bytes(result or b"")
    decode = args[1] if len(args) > 1 else options.get("decode_content")
    body = ear.body(is_decoded=library.is_decoded(response, name, decode))
    if piece:
        body.received(piece)
    is_all = name == "read" and (asked is None or asked < 0)
    if is_all or (not piece and asked != 0) or library.is_over(response):
        body.exhausted()


def _heard_pieces(library: ReadableLibrary, original: Function) -> Function:
    def read_chunked(self: Any, *args: Any, **options: Any) -> Any:
        ear: Ear | None = self.__dict__.get(_EAR)
        pieces = original(self, *args, **options)
        if ear is None or ear.inside:
            return pieces
        decode = args[1] if len(args) > 1 else options.get("decode_content")
        return _tell_pieces(pieces, ear, ear.body(is_decoded=library.is_decoded(self, "read_chunked", decode)))

    return read_chunked


def _tell_pieces(pieces: Any, ear: Ear, body: StreamedBody) -> Iterator[bytes]:
    try:
        while True:
            ear.inside = True
            try:
                piece = next(pieces, None)
            finally:
                ear.inside = False
            if piece is None:
                break
            body.received(piece)
            yield piece
    except GeneratorExit:
        # The caller has had enough, and the library ends its connection for that.
        pieces.close()
        body.closed()
        raise
    except BaseException as error:
        body.failed(error)
        raise
    body.exhausted()


def _heard_close(original: Function) -> Function:
    def close(self: Any, *args: Any, **options: Any) -> Any:
        try:
            return original(self, *args, **options)
        finally:
            ear: Ear | None = self.__dict__.get(_EAR)
            # In the midst of a read, the library lets go of a connection that has nothing more to give.
            if ear is not None and not ear.inside:
                ear.body(is_decoded=True).closed()

    return close
