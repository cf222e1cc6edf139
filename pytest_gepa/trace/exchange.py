"""One request in flight and what becomes of it: its place in the record, and whether its answer is stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pytest_gepa.trace.cache import ResponseCache, request_key, stored_key
from pytest_gepa.trace.chat import Answer, ChatRequest
from pytest_gepa.trace.protocols import FALLBACK, Protocol, recognise
from pytest_gepa.trace.recorder import Ordinal, Recorder
from pytest_gepa.trace.stored import StoredAnswer, decode
from pytest_gepa.trace.trajectory import Call

LONGEST_ERROR = 2_000
"""Characters that are kept of the body of an error."""

LONGEST_BODY = 8 * 1024 * 1024
"""Bytes that are kept of a streamed body in order to read it at its end."""

CLOSED_EARLY = "closed before the answer was complete"
CUT_OFF = "the stream ended before the answer was complete"
NOT_ENDED = "no complete answer before the case ended"
UNREADABLE = "a response without a message that can be read"


@dataclass(frozen=True, slots=True)
class Target:
    """Where the calls of a process are recorded, and the answers stored and found.

    Nothing is looked up or stored without a cache or a trial. `replay` is the setting of that name; with "only" a
    request that has no stored answer is not sent.
    """

    recorder: Recorder
    cache: ResponseCache | None = None
    trial: str | None = None
    replay: str = "auto"


def begin(
    target: Target,
    *,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    is_network: Callable[[], bool],
    is_in_process: Callable[[], bool],
) -> Exchange | None:
    """Take a request's place in the record; None for what is no call to a model.

    Every hook of an HTTP library calls this before it sends. `headers` may have names in any case, `body` is what
    goes out. `is_network` tells whether the request would really leave the process (in doubt not: its answer is
    then neither looked up nor stored), `is_in_process` whether it goes to an application in this process. Both are
    asked only when it matters. The exchange must then be ended, by one of its methods or by a `StreamedBody`.
    """
    try:
        given = {name.lower(): value for name, value in headers.items()}
        recognised = recognise(method, urlsplit(url).path, given.get("content-type", ""), body)
        if recognised is None:
            return None
        protocol, asked = recognised
        if protocol is FALLBACK and is_in_process():
            return None
        key = request_key(method, url, given, body)
        place = None
        if target.cache is not None and target.trial is not None and protocol.cacheable and is_network():
            ordinal = target.recorder.claim(key)
            place = CachePlace(target.cache, stored_key(key, target.trial, ordinal.number), ordinal)
        return Exchange(target.recorder, protocol, asked, key, place)
    except Exception as error:
        target.recorder.add_problem(describe(error))
        return None


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Where the answer to a request is stored: under which key, and the number that the request took."""

    cache: ResponseCache
    key: str
    ordinal: Ordinal


class Exchange:
    """Records one call: its slot is taken when it starts, and filled once, by the first ending below.

    `protocol` reads what is asked and answered.
    """

    def __init__(
        self, recorder: Recorder, protocol: Protocol, request: ChatRequest, key: str, place: CachePlace | None
    ) -> None:
        self._recorder = recorder
        self.protocol = protocol
        self._place = place
        self._started = time.perf_counter()
        self._ended = False
        self._call = Call(
            key=key,
            model=request.model,
            request=request.messages,
            answer=None,
            status=None,
            error=NOT_ENDED,
            tools=request.tools,
            streamed=request.stream,
        )
        self._slot = recorder.add_call(self._call)

    def stored(self) -> StoredAnswer | None:
        """The stored answer to this very request, None if it must be sent.

        The hook makes a response of its library from it and tells so by `replayed`.
        """
        answer: StoredAnswer | None = None

        def look_up() -> None:
            nonlocal answer
            data = self._place.cache.get(self._place.key) if self._place is not None else None
            found = decode(data) if data is not None else None
            answer = found if found is not None and is_whole(self.protocol, found) else None

        self.guarded(look_up)
        return answer

    async def stored_async(self) -> StoredAnswer | None:
        """The same for a hook of an asynchronous client."""
        return self.stored()

    def replayed(self, answer: StoredAnswer) -> None:
        """End with a stored answer, which the application now gets."""
        call = self._of_answer(self.protocol.read_answer(answer.body, answer.content_type))
        self._end(replace(call, status=answer.status, cached=True))

    def answered(self, status: int, content_type: str, body: bytes) -> None:
        """End with a whole response, its content encoding undone; it is stored if it is complete."""
        self._store(StoredAnswer(status, content_type, body))
        if 200 <= status < 300:
            self._end(replace(self._of_answer(self.protocol.read_answer(body, content_type)), status=status))
        else:
            text = body[: 4 * LONGEST_ERROR].decode("utf-8", "replace")[:LONGEST_ERROR]
            self._end(replace(self._call, status=status, error=text or f"status {status}"))

    def streamed(
        self, status: int, answer: Answer | None, trouble: str, whole: StoredAnswer | None = None
    ) -> None:
        """End with what a stream has brought. `trouble` says why it is not complete, "" if it is; `whole` is what
        has come of it, None if that was not kept."""
        if whole is not None:
            self._store(whole)
        call = replace(self._of_answer(answer), status=status)
        if trouble:
            so_far = call.answer.content[:LONGEST_ERROR] if call.answer is not None else ""
            parts = (
                answer.error if answer is not None else "",
                trouble,
                f"so far: {so_far}" if so_far else "",
            )
            call = replace(call, answer=None, error="; ".join(filter(None, parts)))
        self._end(call)

    def failed(self, error: BaseException) -> None:
        """End with an exception, which may carry a response (`raise_for_status` in a hook)."""
        status = getattr(getattr(error, "response", None), "status_code", None)
        self._end(replace(self._call, status=status, error=describe(error)))

    def guarded(self, step: Callable[[], None]) -> None:
        """Run a step of ours so that what goes wrong in it is noted, and never reaches the application."""
        try:
            step()
        except Exception as error:
            self._recorder.add_problem(describe(error))

    @property
    def ended(self) -> bool:
        """Whether the call has been recorded."""
        return self._ended

    @property
    def may_store(self) -> bool:
        """Whether a complete answer would be stored."""
        return self._place is not None

    def _store(self, answer: StoredAnswer) -> None:
        place = self._place
        if place is not None and is_whole(self.protocol, answer):
            place.cache.put(place.key, answer.encode())
            self._place = None

    def _of_answer(self, answer: Answer | None) -> Call:
        if answer is None:
            return replace(self._call, error=UNREADABLE)
        return replace(
            self._call,
            answer=answer.message,
            error=answer.error or (UNREADABLE if answer.message is None else ""),
            finish_reason=answer.finish_reason,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
        )

    def _end(self, call: Call) -> None:
        if self._ended:
            return
        self._ended = True
        if self._place is not None and not call.cached:
            # No answer was stored: the number is free again, so that a retry looks for the same one.
            self._recorder.release(self._place.ordinal)
        self._slot.put(replace(call, seconds=time.perf_counter() - self._started))


class StreamedBody:
    """Listens to the body of a streamed response and ends its exchange, at the latest when that is closed.

    `decode` undoes the content encoding, `encoded` names it ("" if there is none).
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

    def received(self, piece: bytes) -> None:
        """See `StreamListener`."""
        if not self._exchange.ended:
            self._exchange.guarded(lambda: self._take(piece))

    def exhausted(self) -> None:
        """See `StreamListener`."""
        self._exhausted = True
        self._exchange.guarded(lambda: self._finish(CUT_OFF))

    def closed(self) -> None:
        """See `StreamListener`."""
        self._exchange.guarded(lambda: self._finish(CLOSED_EARLY))

    def failed(self, error: BaseException) -> None:
        """See `StreamListener`."""
        self._exchange.guarded(lambda: self._finish(describe(error)))

    def _take(self, piece: bytes) -> None:
        if self._keeps and self._size < LONGEST_BODY:
            self._pieces.append(piece)
        self._size += len(piece)
        if self._reader is not None and self._reads_at_once:
            self._reader.feed(piece)
            if self._reader.done:
                # Some clients never look beyond the terminal marker, nor close in time.
                self._finish("")

    def _finish(self, trouble: str) -> None:
        if self._exchange.ended:
            return
        try:
            body = self._decode(b"".join(self._pieces))
        except Exception as error:
            self._exchange.streamed(
                self._status, None, f"{trouble}; a body that cannot be decoded: {describe(error)}"
            )
            return
        if self._reader is not None:
            if not self._reads_at_once:
                self._reader.feed(body)
            answer = self._reader.answer()
            is_kept = self._keeps and self._size <= LONGEST_BODY
            whole = StoredAnswer(self._status, self._content_type, body) if is_kept else None
            self._exchange.streamed(self._status, answer, "" if self._reader.complete else trouble, whole)
        elif self._exhausted or self._status >= 300 or self._exchange.protocol.is_complete(body):
            self._exchange.answered(self._status, self._content_type, body)
        else:
            self._exchange.streamed(self._status, None, trouble)


def is_whole(protocol: Protocol, answer: StoredAnswer) -> bool:
    """Whether an answer is finished, and none that tells of an error: only such are stored and used again.

    A stream is finished by its terminal marker; a finish reason alone does not tell that nothing was lost after.
    """
    if answer.status != 200:
        return False
    reader = protocol.stream() if answer.is_event_stream else None
    if reader is None:
        return protocol.is_complete(answer.body)
    reader.feed(answer.body)
    # Read by a fresh reader: `answer` of one that is in use ends what it has begun.
    read = reader.answer()
    return reader.done and read is not None and read.message is not None and not read.error


def describe(error: BaseException) -> str:
    """The type and message of an exception, cut."""
    return f"{type(error).__name__}: {error}".rstrip(": ")[:LONGEST_ERROR]
