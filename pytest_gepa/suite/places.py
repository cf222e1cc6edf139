"""How many cases may be in flight: each process that runs cases takes a place, whichever evaluation it works for.

Places have numbers from 0 on, by which a process can be told from those beside it.
"""

from __future__ import annotations

import contextlib
import heapq
import socket
import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any, Protocol

from pytest_gepa.suite.job import Channel

NEWS_BYTES = 1 << 10


class Places(Protocol):
    """Where a starter of processes asks for places: when `fileno` is readable, it asks what was `granted`."""

    def fileno(self) -> int:
        """The descriptor that can be waited for."""

    def want(self, number: int) -> None:
        """Ask for places; they are granted as others give them back."""

    def granted(self) -> list[int]:
        """The places that were granted since the last time."""

    def give_back(self, place: int) -> None:
        """Give one place back."""


class Limit:
    """The places of a suite, `number` of them, for all of its evaluations. Who asked first is served first."""

    def __init__(self, number: int) -> None:
        self._free = list(range(max(1, number)))
        self._lock = threading.Lock()
        self._claims: list[Claim] = []

    def claim(self, tell: Callable[[list[int]], None]) -> Claim:
        """A claim to places; `tell` is called, from any thread, with those of each grant."""
        made = Claim(self, tell)
        with self._lock:
            self._claims.append(made)
        return made

    def _want(self, claim: Claim, number: int) -> None:
        with self._lock:
            claim.wanted += number
            self._serve()

    def _take_back(self, claim: Claim, place: int) -> None:
        with self._lock:
            claim.held.remove(place)
            heapq.heappush(self._free, place)
            self._serve()

    def _withdraw(self, claim: Claim) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._claims.remove(claim)
            for place in claim.held:
                heapq.heappush(self._free, place)
            claim.held.clear()
            claim.wanted = 0
            self._serve()

    def _serve(self) -> None:
        """Grant what is free. The caller holds the lock."""
        for claim in self._claims:
            granted = [heapq.heappop(self._free) for _ in range(min(len(self._free), claim.wanted))]
            if granted:
                claim.held.update(granted)
                claim.wanted -= len(granted)
                claim.last_grant = time.monotonic()
                # Of a session that has died: all is given back when that is seen.
                with contextlib.suppress(OSError):
                    claim.tell(granted)


class Claim:
    """What one job holds of a limit and still wants. `close` gives everything back."""

    def __init__(self, limit: Limit, tell: Callable[[list[int]], None]) -> None:
        self.tell = tell
        self.held: set[int] = set()
        self.wanted = 0
        self.last_grant = time.monotonic()
        self._limit = limit

    def want(self, number: int) -> None:
        """Ask for places."""
        self._limit._want(self, number)

    def give_back(self, place: int) -> None:
        """Give one place back."""
        self._limit._take_back(self, place)

    def hear(self, message: Mapping[str, Any]) -> bool:
        """Take what a session says of places; False when its message is about something else."""
        if message["event"] == "want":
            self.want(message["number"])
        elif message["event"] == "give back":
            self.give_back(message["place"])
        else:
            return False
        return True

    def excuses(self, silence: float) -> bool:
        """Whether so many seconds of silence are no wonder: it has no place, or has not had one for so long."""
        is_waiting = not self.held and self.wanted > 0
        return is_waiting or time.monotonic() - self.last_grant < silence

    def close(self) -> None:
        """Give back all places and want no more."""
        self._limit._withdraw(self)


class PlacesHere:
    """Places for a job whose processes are started by this one."""

    def __init__(self, limit: Limit) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._news: SimpleQueue[int] = SimpleQueue()
        self._claim = limit.claim(self._hear)

    def fileno(self) -> int:
        """See `Places`."""
        return self._ours.fileno()

    def want(self, number: int) -> None:
        """See `Places`."""
        self._claim.want(number)

    def granted(self) -> list[int]:
        """See `Places`."""
        return [self._news.get() for _ in self._ours.recv(NEWS_BYTES)]

    def give_back(self, place: int) -> None:
        """See `Places`."""
        self._claim.give_back(place)

    def close(self) -> None:
        """Give back all places."""
        self._claim.close()
        self._ours.close()
        self._theirs.close()

    def _hear(self, places: list[int]) -> None:
        for place in places:
            self._news.put(place)
        self._theirs.sendall(b"." * len(places))


class PlacesOfParent:
    """Places for the workers of a session, which the process that gave the job hands out."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def fileno(self) -> int:
        """See `Places`."""
        return self._channel.fileno()

    def want(self, number: int) -> None:
        """See `Places`."""
        self._channel.send({"event": "want", "number": number})

    def granted(self) -> list[int]:
        """See `Places`. Raises `EOFError` when nobody waits for the session any more."""
        messages, is_open = self._channel.arrived()
        if not is_open:
            raise EOFError("the process that gave the job has ended")
        return [place for message in messages for place in message["places"]]

    def give_back(self, place: int) -> None:
        """See `Places`."""
        self._channel.send({"event": "give back", "place": place})
