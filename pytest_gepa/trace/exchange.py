"""One request in flight and what becomes of it: its place in the record, and whether its answer is stored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pytest_gepa.cost.purse import CostStop
from pytest_gepa.trace.chat import Answer, ChatRequest
from pytest_gepa.trace.cut import beginning
from pytest_gepa.trace.fare import Fare
from pytest_gepa.trace.fields import SO_FAR, read_object, read_usage
from pytest_gepa.trace.naps import clock, nap, nap_async
from pytest_gepa.trace.outermost import asking_an_application, sending
from pytest_gepa.trace.protocols import Protocol, counts_all, is_whole
from pytest_gepa.trace.record import Ordinal
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.replay import NotRecorded, Place
from pytest_gepa.trace.stored import StoredAnswer
from pytest_gepa.trace.trajectory import Call
from pytest_gepa.trace.tries import End, Tries

LONGEST_ERROR = 2_000
"""Characters that are kept of the body of an error."""

LONGEST_REMINDER = 80
"""Characters of a request by which a message reminds of it."""

CANCELLATIONS = ("CancelledError", "Cancelled")
"""The exceptions by which asyncio and trio cancel a task."""

LEFT = "GeneratorExit"
"""The exception that ends a task which nobody has cancelled, when its loop is gone."""

AT_ONCE = 1.0
"""Seconds after an answer within which an application drops the calls that it has made in vain; and those within which
it begins several at once."""

NOT_ENDED = "no complete answer before the case ended"
UNREADABLE = "a response without a message that can be read"


@dataclass(frozen=True, slots=True)
class StoredPlace:
    """The place where the answer to a request is, the number that the request took there, and what was asked for."""

    place: Place
    ordinal: Ordinal
    asked: str


class Exchange:
    """Records one call: its slot is taken when it starts, and filled once, by the first ending below.

    `protocol` reads what is asked and answered. `within` says that an application in this process is asked, `own` that
    the test itself runs the server.
    """

    def __init__(
        self,
        recorder: Recorder,
        protocol: Protocol,
        request: ChatRequest,
        key: str,
        claim: StoredPlace | None,
        fare: Fare | None = None,
        *,
        within: bool = False,
        own: bool = False,
    ) -> None:
        self._recorder = recorder
        self.protocol = protocol
        self._claim = claim
        self._fare = fare
        self._within = within
        self._is_stored = False
        self._started = clock()
        self._seconds: float | None = None
        self._ended = False
        self._answers_before = recorder.answers
        self._call = Call(
            key=key,
            model=request.model,
            request=recorder.share(request.messages),
            answer=None,
            status=None,
            error=NOT_ENDED,
            tools=request.tools,
            streamed=request.stream,
            kind=request.kind,
            other_texts=recorder.share(request.other_texts),
            answer_format=request.answer_format,
            sent=not within,
            own=own,
        )
        self._slot = recorder.add_call(self._call)
        self._slot.settle_with(self._left_open)

    def stored(self) -> StoredAnswer | None:
        """The stored answer to this very request, None if it must be sent.

        The hook makes a response of its library from it and tells so by `replayed`. While another process is getting
        the answer, this waits for it. Raises `NotRecorded` for a request that must not be sent.
        """
        answer = self._found()
        if answer is None and self._claim is not None:
            self._refuse_if_closed_off()
            # What interrupts this, as a time limit of the test, is the application's.
            answer = self._claim.place.wait(self._is_good)
        return answer

    async def stored_async(self) -> StoredAnswer | None:
        """The same for a hook of an asynchronous client."""
        answer = self._found()
        if answer is None and self._claim is not None:
            self._refuse_if_closed_off()
            answer = await self._claim.place.wait_async(self._is_good)
        return answer

    def pay(self) -> None:
        """Every hook calls this before it sends: what the request may cost is reserved. See `Fare.until_paid`."""
        if self._fare is not None:
            with self._telling_of_stops(self._fare):
                for pause in self._fare.until_paid():
                    nap(pause)

    async def pay_async(self) -> None:
        """The same for a hook of an asynchronous client."""
        if self._fare is not None:
            with self._telling_of_stops(self._fare):
                for pause in self._fare.until_paid(is_blocking=False):
                    await nap_async(pause)

    def pay_again(self, before: End) -> None:
        """See `tries.Payer`: what a library sends again by itself is one call still."""
        self._settle_try(before)
        self.pay()

    async def pay_again_async(self, before: End) -> None:
        """The same for a hook of an asynchronous client."""
        self._settle_try(before)
        await self.pay_async()

    def _settle_try(self, before: End) -> None:
        if self._fare is not None:
            with self.noting():
                self._fare.settle_try(before)

    @contextlib.contextmanager
    def _telling_of_stops(self, fare: Fare) -> Iterator[None]:
        """The case is told of a request that is not sent: the application may not let it show. One that is sent, but is
        not on the bill, is noted."""
        try:
            yield
        except CostStop as stop:
            with self.noting():
                self._recorder.add_refusal(str(stop))
            raise
        if fare.trouble is not None:
            self._recorder.add_problem(f"the bill cannot be written: {describe(fare.trouble)}")

    def _found(self) -> StoredAnswer | None:
        if self._claim is not None:
            with self.noting():
                return self._claim.place.find(self._is_good)
        return None

    def _is_good(self, answer: StoredAnswer) -> bool:
        with self.noting():
            return is_whole(self.protocol, answer)
        return False

    def _takes_number(self, answer: StoredAnswer) -> bool:
        """Whether the next request like this one is another sample, rather than another try of the same."""
        return self._is_good(answer) or (not self.protocol.cacheable and 200 <= answer.status < 300)

    def _refuse_if_closed_off(self) -> None:
        claim = self._claim
        if claim is None or not claim.place.is_closed_off:
            return
        why = "its answer held a secret and was not recorded" if claim.place.is_withheld() else "no stored answer"
        last = next((message.content for message in reversed(self._call.request) if message.content), "")
        begins = " ".join(last.split())
        begins = beginning(begins, LONGEST_REMINDER)
        text = f"{why}: {claim.asked}, model {self._call.model or 'not named'}, last message {begins!r}"
        self._recorder.add_refusal(text)
        raise NotRecorded(text)

    def on_its_way(self, body: bytes, layer: str = "") -> contextlib.AbstractContextManager[None]:
        """For the time in which the library sends the request; see `outermost`, and `Tries` for the layer.

        An application in this process that calls a model is no model itself: its own call is the one that counts.
        """
        return asking_an_application(self._drop) if self._within else sending(body, Tries(self, layer))

    def stayed(self, *, played: bool) -> None:
        """The request did not leave the process: a mock has answered, or a cassette has `played` an answer."""
        self._call = replace(self._call, sent=False, played=played)

    def _drop(self) -> None:
        if not self._ended:
            self._ended = True
            self._recorder.drop(self._slot)

    def replayed(self, answer: StoredAnswer) -> None:
        """End with a stored answer, which the application now gets."""
        call = self._of_response(answer)
        if self._claim is not None:
            self._claim.place.keep_again(answer, *_said(call))
            self._is_stored = self._takes_number(answer)
        self._end(replace(call, cached=True, seconds=answer.seconds))

    def replay(self, answer: StoredAnswer | None, make: Callable[[StoredAnswer], Any]) -> Any:
        """The response that `make` makes of a stored answer, recorded; None when there is none, or when none can be
        made of it, and the request must be sent."""
        if answer is not None:
            with self.noting():
                response = make(answer)
                self.replayed(answer)
                return response
        return None

    def answered(self, status: int, content_type: str, body: bytes, *, is_whole: bool = True) -> None:
        """End with a response, its content encoding undone; it is stored if it is complete, unless of its body only a
        part was kept."""
        with self.noting():
            answer = StoredAnswer(status, content_type, body)
            call = self._of_response(answer)
            if is_whole:
                self._store(answer, call)
            has_counted = self._fare is None or status >= 300 or counts_all(self.protocol, body)
            self._end(call, has_counted=has_counted)

    def _of_response(self, response: StoredAnswer) -> Call:
        status, body = response.status, response.body
        if 200 <= status < 300:
            return replace(self._of_answer(self.protocol.read_answer(body, response.content_type)), status=status)
        text = body[: 4 * LONGEST_ERROR].decode("utf-8", "replace")
        text = beginning(text, LONGEST_ERROR)
        # Where the server says what it took, it is paid for.
        usage = read_usage((read_object(body) or {}).get("usage"))._asdict()
        return replace(self._call, status=status, error=text or f"status {status}", **usage)

    def streamed(self, status: int, answer: Answer | None, trouble: str, whole: StoredAnswer | None = None) -> None:
        """End with what a stream has brought. `trouble` says why it is not complete, "" if it is; `whole` is what
        has come of it, None if that was not kept. Tokens that one without its end has told are not all it costs."""
        call = replace(self._of_answer(answer), status=status)
        if whole is not None:
            self._store(whole, call)
        if trouble:
            so_far = beginning(call.answer.content, LONGEST_ERROR) if call.answer is not None else ""
            parts = (
                answer.error if answer is not None else "",
                trouble,
                f"{SO_FAR}{so_far}" if so_far else "",
            )
            call = replace(call, answer=None, error="; ".join(filter(None, parts)))
        self._end(call, has_counted=not (trouble or (answer is not None and answer.error)))

    def failed(self, error: BaseException) -> None:
        """End with an exception, which may carry a response (`raise_for_status` in a hook)."""
        with self.noting():
            status = getattr(getattr(error, "response", None), "status_code", None)
            name = type(error).__name__
            superseded = (name in CANCELLATIONS and self._has_other_come()) or (name == LEFT and self._is_left())
            self._end(replace(self._call, status=status, error=describe(error), superseded=superseded), error)

    def _left_open(self) -> None:
        """The case ends before the call does."""
        if not self._ended and self._is_left():
            self._slot.put(replace(self._call, superseded=True))

    def _is_left(self) -> bool:
        """Whether the application goes on without this call, as one that it had begun with it was answered.

        One that it asked in place of this one, which hung, began later.
        """
        return self._has_other_come() and self._recorder.answered_from - self._started < AT_ONCE

    def _has_other_come(self) -> bool:
        """Whether another call was answered just now, while this one was under way.

        Else it may have been given up for taking too long, which tells of the way to the model: also where others that
        went out at the same time were answered meanwhile.
        """
        has_just_come = clock() - self._recorder.answered < AT_ONCE
        return self._recorder.answers > self._answers_before and has_just_come

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """What goes wrong in a step of ours is noted, and never reaches the application."""
        try:
            yield
        except Exception as error:
            self._recorder.add_problem(describe(error))

    def settle_with(self, settle: Callable[[], None]) -> None:
        """Have this called when the case ends, if the exchange has not been ended by then."""
        self._slot.settle_with(settle)

    @property
    def ended(self) -> bool:
        """Whether the call has been recorded."""
        return self._ended

    @property
    def may_store(self) -> bool:
        """Whether an answer would be stored."""
        return self._claim is not None

    def _store(self, answer: StoredAnswer, call: Call) -> None:
        if self._claim is None:
            return
        self._is_stored = self._takes_number(answer)
        timed = replace(answer, seconds=self._taken())
        self._claim.place.keep(timed, *_said(call), is_finished=self._is_stored)

    def _of_answer(self, answer: Answer | None) -> Call:
        if answer is None:
            return replace(self._call, error=UNREADABLE)
        return replace(
            self._call,
            answer=answer.message,
            error=answer.error or (UNREADABLE if answer.message is None else ""),
            finish_reason=answer.finish_reason,
            alternatives=answer.alternatives,
            logprob=answer.logprob,
            **answer.usage._asdict(),
        )

    def _end(self, call: Call, cause: BaseException | None = None, *, has_counted: bool = True) -> None:
        if self._ended:
            return
        self._ended = True
        if call.answer is not None and call.kind == "chat":
            self._recorder.count_answer(self._started)
        if self._fare is not None:
            with self.noting():
                self._fare.settle(call, cause, has_counted=has_counted)
        if self._claim is not None:
            self._claim.place.leave(None if call.cached else call.status)
            if not self._is_stored:
                # The number is free again, so that a retry looks for the same answer.
                self._recorder.release(self._claim.ordinal)
        self._slot.put(call if call.cached else replace(call, seconds=self._taken()))

    def _taken(self) -> float:
        """Seconds until the answer had come, asked for first when it has."""
        if self._seconds is None:
            self._seconds = round(clock() - self._started, 6)
        return self._seconds


def _said(call: Call) -> list[str]:
    """The texts of a call's answers, each as a whole."""
    texts: list[str] = []
    for said in (*((call.answer,) if call.answer is not None else ()), *call.alternatives):
        made = (text for tool in said.tool_calls for text in (tool.arguments, tool.result))
        texts += [said.content, said.reasoning, *made]
    return texts


def describe(error: BaseException) -> str:
    """The type and message of an exception, cut."""
    return beginning(f"{type(error).__name__}: {error}".rstrip(": "), LONGEST_ERROR)
