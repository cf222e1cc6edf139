"""The body of a response that comes in pieces, read beside the caller until its exchange can be ended."""

from __future__ import annotations

from collections.abc import Callable

from pytest_gepa.trace.exchange import NOT_ENDED, Exchange, describe
from pytest_gepa.trace.stored import StoredAnswer

LONGEST_BODY = 64 * 1024 * 1024
"""Bytes that are kept of a streamed body in order to read it at its end, and to store it; embeddings are large."""

CLOSED_EARLY = "closed before the answer was complete"
CUT_OFF = "the stream ended before the answer was complete"


class StreamedBody:
    """Listens to the body of a streamed response and ends its exchange, at the latest when that is closed.

    `decode` undoes the content encoding, `encoded` names it ("" if there is none). What it is told of raises nothing.
    """

    def __init__(
        self,
        exchange: Exchange,
        status: int,
        content_type: str,
        encoded: str,
        decode: Callable[[bytes], bytes],
    ) -> None:
        self._exchange = exchange
        self._status = status
        self._content_type = content_type
        self._decode = decode
        self._pieces: list[bytes] = []
        self._size = 0
        self._exhausted = False
        has_events = "event-stream" in content_type and status == 200
        self._reader = exchange.protocol.stream() if has_events else None
        # Compressed bytes are read at the end: a second decoder beside the caller's is not worth its time.
        self._reads_at_once = self._reader is not None and not encoded
        self._keeps = not self._reads_at_once or exchange.may_store
        exchange.settle_with(self.case_ended)

    def received(self, piece: bytes) -> None:
        """A piece is about to be handed to the caller."""
        if not self._exchange.ended:
            with self._exchange.noting():
                self._take(piece)

    def exhausted(self) -> None:
        """The body has come to its end."""
        self._exhausted = True
        with self._exchange.noting():
            self._finish(CUT_OFF)

    def closed(self) -> None:
        """The caller has closed the response, at its end or before."""
        with self._exchange.noting():
            self._finish(CLOSED_EARLY)

    def failed(self, error: BaseException) -> None:
        """The body broke off with an exception, which goes on to the caller."""
        with self._exchange.noting():
            self._finish(describe(error))

    def case_ended(self) -> None:
        """The case has ended, and the caller has neither read the body to its end nor closed it."""
        with self._exchange.noting():
            self._finish(NOT_ENDED)

    def _take(self, piece: bytes) -> None:
        if self._keeps and self._size < LONGEST_BODY:
            self._pieces.append(piece)
        self._size += len(piece)
        if self._reader is not None and self._reads_at_once:
            self._reader.feed(piece)
            if self._reader.done and self._reader.has_marker:
                # Some clients never look beyond the terminal marker, nor close in time.
                self._finish("")

    def _finish(self, trouble: str) -> None:
        if self._exchange.ended:
            return
        try:
            body = self._decode(b"".join(self._pieces))
        except Exception as error:
            self._exchange.streamed(self._status, None, f"{trouble}; a body that cannot be decoded: {describe(error)}")
            return
        is_kept = self._keeps and self._size <= LONGEST_BODY
        if self._reader is not None:
            if not self._reads_at_once:
                self._reader.feed(body)
            answer = self._reader.answer()
            whole = StoredAnswer(self._status, self._content_type, self._reader.ended(body)) if is_kept else None
            self._exchange.streamed(self._status, answer, "" if self._reader.complete else trouble, whole)
        elif self._exhausted or self._status >= 300 or self._exchange.protocol.is_complete(body):
            self._exchange.answered(self._status, self._content_type, body, is_whole=is_kept)
        else:
            self._exchange.streamed(self._status, None, trouble)
