"""The threads that wait for rollouts and replies, and the queue by which all of them speak to the one that decides."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

from pytest_gepa.run.interrupts import heard_by, undisturbed

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception that ended a piece of work; it is raised where the queue is read."""

    error: BaseException


class Crew:
    """Runs work in daemon threads. Only the thread that calls `next` decides anything.

    Daemon threads, because a process that is asked to end must not wait for a model's answer.
    """

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.busy = 0

    def start(self, work: Callable[[], Any]) -> None:
        """Run `work`; its result becomes a message."""
        self.busy += 1

        def run() -> None:
            try:
                message = work()
            except BaseException as error:
                message = Failure(error)
            self._messages.put((message, True))

        threading.Thread(target=run, daemon=True).start()

    def wait_for(self, work: Callable[[], Result]) -> Result:
        """Do a piece of work while nothing else is under way. Ctrl-C is raised meanwhile, as by `next`."""
        self.start(work)
        found: Result = self.next()
        return found

    def tell(self, message: Any) -> None:
        """Put a message between results, from inside a piece of work."""
        self._messages.put((message, False))

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let Ctrl-C be raised by `next` in here, so that it never cuts short the handling of a message; likewise the
        signals that `ended_as_by_ctrl_c` has taken.

        What has come is paid for: a rollout that is counted is also written. A second Ctrl-C is raised where it
        falls. Elsewhere than in the main thread, or where another handles Ctrl-C, nothing is different.
        """
        was_heard = False

        def hear(number: int, frame: FrameType | None) -> None:
            nonlocal was_heard
            if was_heard:
                signal.default_int_handler(number, frame)
            was_heard = True
            self.tell(Failure(KeyboardInterrupt()))

        with heard_by(hear):
            yield
        if was_heard:
            raise KeyboardInterrupt  # it came after the last message was read

    def stop_due(self) -> str:
        """Why the recorded run was stopped at this point; "" where it was not, and where none is replayed."""
        return ""

    def drain(self) -> list[Any]:
        """Take the messages that have come and were not read, less failures: what an interrupted run still learns."""
        found = []
        while not self._messages.empty():
            message, is_result = self._messages.get()
            self.busy -= is_result
            if not isinstance(message, Failure):
                found.append(message)
        return found

    def keep_waiting(self) -> None:
        """Heed what had come when the work was cut short, each message by itself: it is paid for.

        What has cut it short is being raised, so that nothing else is, nor does a further Ctrl-C stop it.
        """
        with undisturbed():
            for message in self.drain():
                if callable(message):
                    with suppress(BaseException):  # of hooks: what they tell a test by is no `Exception`
                        message()

    def next(self, timeout: float | None = None) -> Any:
        """Wait for the next message; raises what a piece of work raised, and `queue.Empty` after `timeout` seconds."""
        message, is_result = self._messages.get(timeout=timeout)
        self.busy -= is_result
        if isinstance(message, Failure):
            raise message.error
        return message
