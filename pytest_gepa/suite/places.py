"""How many cases may be in flight: each process that runs cases takes a place, whichever evaluation it works for."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pytest_gepa.suite.job import Channel

NEWS_BYTES = 1 << 10


class Places(Protocol):
    """Where whoever starts processes asks for places. He waits for `fileno` to be readable, and then asks for news."""

    def fileno(self) -> int:
        """The descriptor that can be waited for."""

    def want(self, number: int) -> None:
        """Ask for places; they are granted as others give them back."""

    def granted(self) -> int:
        """The places that were granted since the last time."""

    def give_back(self) -> None:
        """Give one place back."""


class Limit:
    """The places of a suite, `number` of them, for all of its evaluations. Who asked first is served first."""

    def __init__(self, number: int) -> None:
        self._free = max(1, number)
        self._lock = threading.Lock()
        self._claims: list[Claim] = []

    def claim(self, tell: Callable[[int], None]) -> Claim:
        """A claim to places; `tell` is called, from any thread, with the number of each grant."""
        made = Claim(self, tell)
        with self._lock:
            self._claims.append(made)
        return made

    def _change(self, claim: Claim, *, wanted: int = 0, back: int = 0) -> None:
        with self._lock:
            claim.wanted += wanted
            claim.held -= back
            self._free += back
            self._serve()

    def _withdraw(self, claim: Claim) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._claims.remove(claim)
            self._free += claim.held
            claim.held = claim.wanted = 0
            self._serve()

    def _serve(self) -> None:
        """Grant what is free. The caller holds the lock."""
        for claim in self._claims:
            number = min(self._free, claim.wanted)
            if number:
                self._free -= number
                claim.held += number
                claim.wanted -= number
                claim.last_grant = time.monotonic()
                with contextlib.suppress(
                    OSError
                ):  # its session has died, and gives all back when that is seen
                    claim.tell(number)


class Claim:
    """What one job holds of a limit and still wants. `close` gives everything back."""

    def __init__(self, limit: Limit, tell: Callable[[int], None]) -> None:
        self.tell = tell
        self.held = self.wanted = 0
        self.last_grant = time.monotonic()
        self._limit = limit

    def want(self, number: int) -> None:
        """Ask for places."""
        self._limit._change(self, wanted=number)

    def give_back(self) -> None:
        """Give one place back."""
        self._limit._change(self, back=1)

    def hear(self, message: Mapping[str, Any]) -> bool:
        """Take what a session says of places; False when its message is about something else."""
        if message["event"] == "want":
            self.want(message["number"])
        elif message["event"] == "give back":
            self.give_back()
        else:
            return False
        return True

    def excuses(self, silence: float) -> bool:
        """Whether so many seconds of silence are no wonder: it had no place, or has not had one for so long."""
        return self.held == 0 < self.wanted or time.monotonic() - self.last_grant < silence

    def close(self) -> None:
        """Give back all places and want no more."""
        self._limit._withdraw(self)


class PlacesHere:
    """Places for a job whose processes are started by this one."""

    def __init__(self, limit: Limit) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._claim = limit.claim(lambda number: self._theirs.sendall(b"." * number))

    def fileno(self) -> int:
        """See `Places`."""
        return self._ours.fileno()

    def want(self, number: int) -> None:
        """See `Places`."""
        self._claim.want(number)

    def granted(self) -> int:
        """See `Places`."""
        return len(self._ours.recv(NEWS_BYTES))

    def give_back(self) -> None:
        """See `Places`."""
        self._claim.give_back()

    def close(self) -> None:
        """Give back all places."""
        self._claim.close()
        self._ours.close()
        self._theirs.close()


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

    def granted(self) -> int:
        """See `Places`. Raises `EOFError` when nobody waits for the session any more."""
        messages, is_open = self._channel.arrived()
        if not is_open:
            raise EOFError("the process that gave the job has ended")
        return sum(message["places"] for message in messages)

    def give_back(self) -> None:
        """See `Places`."""
        self._channel.send({"event": "give back"})
