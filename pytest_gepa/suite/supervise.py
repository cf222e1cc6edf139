"""Handing cases to worker processes one by one, with deadlines; a worker that dies costs one case, not the session."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pytest_gepa.suite.descendants import descendants, end_all
from pytest_gepa.suite.job import Channel
from pytest_gepa.suite.places import Places
from pytest_gepa.trace.naps import clock

STARTUP_SECONDS = 300.0
"""A worker that collects by itself may import a whole application first, and what many cases share may be a model that
many workers load at once."""
STILLBIRTHS = 2
LOOK_SECONDS = 0.2  # so often a supervisor that waits for a place looks whether it was stopped


class Worker(Protocol):
    """A process that asks for cases on its channel and sends a rollout for each."""

    @property
    def channel(self) -> Channel:
        """Where it speaks."""

    def kill(self) -> None:
        """End the process at once."""

    def reap(self) -> str:
        """Wait for the end of a process that was killed or has said that this was all; tells in words how it ended."""


@dataclass
class _Post:
    worker: Worker
    place: int
    deadline: float
    assigned: deque[str] = field(default_factory=deque)
    has_worked: bool = False
    setting_up: int = 0  # so many fixtures that outlive a case, one inside the other
    timed_out: bool = False
    finished: bool = False
    broken: str = ""


class Supervisor:
    """Runs cases on at most `workers` processes, each of which takes one of the `places`.

    `spawn` is given the channels of the workers already there, which a forked child must close, and the number of the
    place; it raises `OSError` where the system allows no more processes. `timeout` is the silence in seconds after
    which a worker is ended: every case makes it speak twice. While a fixture is set up that outlives the case it may
    be silent as long as while it starts: whatever case comes first would pay for all that share it. `emit` gets the
    workers' rollouts and other news, and for a case without a result `{"event": "lost", "case", "outcome", "reason",
    "begun"}`, the last of which says whether a process had taken it.
    """

    def __init__(
        self,
        *,
        spawn: Callable[[Sequence[Channel], int], Worker],
        workers: int,
        timeout: float,
        emit: Callable[[Mapping[str, Any]], None],
        places: Places,
    ) -> None:
        self._spawn = spawn
        self._places = places
        self._waiting = 0  # for so many places
        self._workers = max(1, workers)
        self._timeout = timeout
        self._emit = emit
        self._queue: deque[str] = deque()
        self._posts: dict[Channel, _Post] = {}
        self._selector = selectors.DefaultSelector()
        self._stillborn = 0
        self._broken = ""
        self._refused = ""
        self._stopping = False

    def run(self, cases: Sequence[str]) -> None:
        """Run all cases; returns when each has its rollout or is lost."""
        self._queue.extend(cases)
        try:
            self._selector.register(self._places, selectors.EVENT_READ)
            self._waiting = min(self._workers, len(cases))
            self._places.want(self._waiting)
            while self._posts or (self._waiting and self._has_work):
                self._step()
        finally:
            for post in list(self._posts.values()):
                self._end(post)
            self._selector.close()
        for case in self._queue:
            if self._broken:
                self._lose(case, "vanished", self._broken, begun=False)
            else:
                reason = f"no worker process could be started for this case{self._refused}"
                self._lose(case, "crashed", reason, begun=False)

    def stop(self) -> None:
        """End the workers and start no more; `run` then returns. May be called from another thread."""
        self._stopping = True
        self._queue.clear()
        for post in list(self._posts.values()):
            post.worker.kill()

    @property
    def _has_work(self) -> bool:
        """Whether another worker is of use."""
        return bool(self._queue) and self._stillborn < STILLBIRTHS and not self._stopping

    @property
    def _startup(self) -> float:
        return max(self._timeout, STARTUP_SECONDS)

    def _silence(self, post: _Post) -> float:
        """So many seconds of silence are allowed to a worker that has spoken."""
        return self._startup if post.setting_up else self._timeout

    def _start(self, place: int) -> None:
        try:
            worker = self._spawn(list(self._posts), place)
        except OSError as error:
            self._refused = f": {error}"
            if self._posts:  # those at work do the rest
                self._places.give_back(place)
            else:
                self._stillborn += 1
                self._use_place(place)
            return
        post = _Post(worker, place, clock() + self._startup)
        self._posts[worker.channel] = post
        self._selector.register(worker.channel, selectors.EVENT_READ)
        if self._stopping:  # `stop` came meanwhile, from its own thread, and did not see this worker
            worker.kill()

    def _step(self) -> None:
        soon = clock() + LOOK_SECONDS
        nearest = min((post.deadline for post in self._posts.values()), default=soon)
        for key, _ in self._selector.select(max(0.0, nearest - clock()) + 0.01):
            if key.fileobj is self._places:
                self._use_places()
                continue
            post = self._posts[key.fileobj]  # type: ignore[index]
            messages, is_open = post.worker.channel.arrived()
            for message in messages:
                self._hear(post, message)
            if post.finished or not is_open:
                self._bury(post)
        now = clock()
        for post in [post for post in self._posts.values() if post.deadline < now]:
            # Not left to the end of its stream, which a process that the case has started may hold open.
            post.timed_out = True
            self._bury(post)

    def _use_places(self) -> None:
        for place in self._places.granted():
            self._waiting -= 1
            self._use_place(place)

    def _use_place(self, place: int) -> None:
        if self._has_work:
            self._start(place)
        else:
            self._places.give_back(place)

    def _hear(self, post: _Post, message: Mapping[str, Any]) -> None:
        event = message["event"]
        post.setting_up += {"setting up": 1, "set up": -1}.get(event, 0)
        post.deadline = clock() + self._silence(post)
        if event == "next":
            post.has_worked = True
            case = self._queue.popleft() if self._queue else None
            if case is not None:
                post.assigned.append(case)
            with contextlib.suppress(OSError):  # it died after asking; its end is about to be noticed
                post.worker.channel.send({"case": case})
            return
        if event == "end":
            post.finished = True
            return
        if event == "broken":
            post.broken = message["reason"]
            return
        if event in ("rollout", "lost"):
            with contextlib.suppress(ValueError):
                post.assigned.remove(message["rollout"]["case"] if event == "rollout" else message["case"])
        self._emit(message)

    def _bury(self, post: _Post) -> None:
        how = self._end(post)
        if post.assigned:
            case = post.assigned.popleft()
            if post.timed_out:
                reason = f"no answer within {self._silence(post):g} seconds"
                self._lose(case, "timeout", reason, begun=True)
            else:
                reason = post.broken or f"the process that ran the case {how}"
                self._lose(case, "crashed", reason, begun=True)
            self._queue.extendleft(reversed(post.assigned))
        if not post.has_worked:
            self._stillborn += 1
            self._broken = self._broken or post.broken
        self._use_place(post.place)

    def _end(self, post: _Post) -> str:
        """End a worker if it has not ended; tells in words how it did."""
        self._selector.unregister(post.worker.channel)
        del self._posts[post.worker.channel]
        post.worker.channel.close()
        if not post.finished:  # else it goes by itself, and what it has left running may be meant to stay
            post.worker.kill()
        return post.worker.reap()

    def _lose(self, case: str, outcome: str, reason: str, *, begun: bool) -> None:
        if not self._stopping:
            told = {"event": "lost", "case": case, "outcome": outcome, "reason": reason, "begun": begun}
            self._emit(told)


@dataclass(frozen=True)
class ForkedWorker:
    """A worker forked from this process."""

    channel: Channel
    pid: int

    @classmethod
    def start(cls, work: Callable[[Channel], None], inherited: Sequence[Channel]) -> ForkedWorker:
        """Fork; the child closes the `inherited` channels, does `work` on its own and exits without clean-up."""
        ours, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid:
            theirs.close()
            return cls(Channel(ours), pid)
        code = 1
        try:
            ours.close()
            for channel in inherited:
                channel.close()
            work(Channel(theirs))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def kill(self) -> None:
        """End the process at once, and what it started: its successor may need the port that a server there holds.

        A group of its own, by which they could be told, would not be ended with the session's.
        """
        end_all([self.pid, *descendants(self.pid)])

    def reap(self) -> str:
        """Wait for the end of the process and tell in words how it ended."""
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            return "ended"
        return describe_exit(os.waitstatus_to_exitcode(status))


def describe_exit(code: int) -> str:
    """An exit code as a phrase: `was ended by SIGSEGV`, `exited with code 3`."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"exited with code {code}"
