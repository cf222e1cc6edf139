"""Where the answer to one request is found and kept: by `--gepa-replay`, in the cache and in the run's recording.

What becomes of a call in the record of its case is the business of `exchange`; how a recording is written and read as
files that of `pytest_gepa.run.recording`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.keys import Identity, stored_key
from pytest_gepa.trace.masking import masked
from pytest_gepa.trace.naps import clock, nap, nap_async
from pytest_gepa.trace.stored import StoredAnswer, decode, without_stamps

LONGEST_WAIT = 600.0
"""Seconds that a request waits at most for the answer that another process is getting; then it goes out itself.

Models that reason take minutes, and to ask one again costs more than to wait. The wait ends sooner by itself: the other
lets go when its answer has come or failed, when its case ends and when it dies, and a case that waits has its own limit
of time. The bound is for what none of them ends: two processes that each hold a stream open and want the other's.
"""

RESUMED = "resume"
"""In place of the setting, in a resumed run: its recording holds the earlier run's answers from the start."""

_PAUSES = (0.002, 0.1)  # seconds between two looks: the first, and the longest that it grows to

WITHHELD = b"withheld"
"""Stands in a recording for an answer that held a secret."""


class NotRecorded(BaseException):
    """A request without a stored answer, under `--gepa-replay=only`.

    Not an `Exception`: an application that makes do without an answer (`except Exception`) would turn what was not
    recorded into a failure of the prompt.
    """


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the answers of a process are.

    `cache` is shared by all runs, `recording` belongs to one; either may be missing. `replay` is the setting of that
    name: with "auto" the cache is read and both are written, with "only" both are read and nothing is written, with
    `RESUMED` both are read and written. ("off" is to have neither.) `redact` gives a text without its secrets: an
    answer that holds any is not stored. `mask` gives one without what only looks like a secret, too: so the answers of
    services are recorded that are no models.
    """

    cache: ResponseCache | None = None
    recording: ResponseCache | None = None
    replay: str = "auto"
    redact: Callable[[str], str] | None = None
    mask: Callable[[str], str] | None = None

    @property
    def used(self) -> bool:
        """Whether a request has any business here."""
        return self.cache is not None or self.recording is not None or self.replay == "only"

    def close(self) -> None:
        """Close both."""
        for store in (self.cache, self.recording):
            if store is not None:
                store.close()


class Place:
    """Where the answer to one request is: it is that of a trial, and the `ordinal`-th of identical ones in its case.

    The cache is used for what is `reusable`; of other requests only the recording of a run knows the answer. `to_model`
    tells whether a model answers it.
    """

    def __init__(
        self,
        stores: Stores,
        identity: Identity,
        trial: str,
        ordinal: int,
        *,
        reusable: bool,
        to_model: bool = True,
    ) -> None:
        self._stores = stores
        self._mask = None if to_model else stores.mask
        # Nobody can tell whether the answer of an unknown protocol is whole; what is recorded of it came to an end.
        self._is_recorded_only = to_model and not reusable
        self._cache = stores.cache if reusable else None
        self._key = stored_key(identity.request, trial, ordinal)
        # Servers move: a recording is of what was asked, not of whom.
        self._recorded_key = stored_key(identity.content, trial, ordinal)
        self._in_flight = False
        self._is_kept = False

    @property
    def is_closed_off(self) -> bool:
        """Whether the request must not be sent, found or not."""
        return self._stores.replay == "only"

    def find(self, is_good: Callable[[StoredAnswer], bool]) -> StoredAnswer | None:
        """The stored answer; `is_good` judges it, but for one of a recorded run that is replayed, errors and all."""
        recording = self._stores.recording
        if recording is not None and self._stores.replay in ("only", RESUMED):
            data = recording.get(self._recorded_key)
            answer = decode(data) if data is not None else None
            if answer is not None and (self.is_closed_off or self._counts(answer) or is_good(answer)):
                return answer
        return self._cached(is_good)

    def _counts(self, answer: StoredAnswer) -> bool:
        return self._is_recorded_only and 200 <= answer.status < 300

    def is_withheld(self) -> bool:
        """Whether the recording had an answer that it must not hold."""
        recording = self._stores.recording
        return recording is not None and recording.get(self._recorded_key) == WITHHELD

    def wait(self, is_good: Callable[[StoredAnswer], bool]) -> StoredAnswer | None:
        """After nothing was found: the answer that another process is getting, or None when it is this one's turn."""
        for pause in self._pauses():
            nap(pause)
            if (answer := self._cached(is_good)) is not None:
                return answer
        # It may have come between the last look and the turn.
        return self._cached(is_good)

    async def wait_async(self, is_good: Callable[[StoredAnswer], bool]) -> StoredAnswer | None:
        """The same in an event loop."""
        for pause in self._pauses():
            await nap_async(pause)
            if (answer := self._cached(is_good)) is not None:
                return answer
        return self._cached(is_good)

    def keep(self, answer: StoredAnswer, *texts: str, is_finished: bool) -> None:
        """Store an answer: a finished one in the cache, any in the recording, one with a secret in neither. Where no
        model answers, the secrets alone are left out.

        `texts` are what the answer says, where a secret in it may be cut into pieces.
        """
        if self.is_closed_off:
            return
        data = self._storable(answer, *texts)
        if self._cache is not None and is_finished and data != WITHHELD:
            self._is_kept = self._cache.put(self._key, data)
        self._record(data, is_finished=is_finished)

    def keep_again(self, answer: StoredAnswer, *texts: str) -> None:
        """Note that a stored answer was used: it is part of the run's recording.

        It is looked at for secrets as by `keep`: it may have been stored before they were known.
        """
        recording = self._stores.recording
        if recording is None or self.is_closed_off:
            return
        data = answer.encode()
        # What this run has put there was looked at then; what it has from the run that it resumes was not.
        if self._stores.replay == RESUMED or recording.get(self._recorded_key) != data:
            self._record(self._storable(answer, *texts), is_finished=True)

    def leave(self, status: int | None = None) -> None:
        """The request has ended, with an answer of this status or without any: others need not wait for it any more.
        Where an answer came that is not stored, they need not wait for one another either.
        """
        if self._in_flight and self._cache is not None:
            self._in_flight = False
            if status is not None and 200 <= status < 300 and not self._is_kept:
                self._cache.flights.tell_unkept(self._key)
            self._cache.flights.land(self._key)

    def _cached(self, is_good: Callable[[StoredAnswer], bool]) -> StoredAnswer | None:
        data = self._cache.get(self._key) if self._cache is not None else None
        answer = decode(data) if data is not None else None
        return answer if answer is not None and is_good(answer) else None

    def _pauses(self) -> Iterator[float]:
        """Seconds to sleep, one after the other, until the request is this process's own to send."""
        cache = self._cache
        if cache is None:
            return
        pause, longest = _PAUSES
        deadline = clock() + LONGEST_WAIT
        unkept = cache.flights.unkept(self._key)
        while not (taken := cache.flights.take_off(self._key)) and clock() < deadline:
            if cache.flights.unkept(self._key) != unkept:
                break  # what was waited for is not stored, and what the next one gets would hardly be
            yield pause
            pause = min(2 * pause, longest)
        self._in_flight = taken

    def _record(self, data: bytes, *, is_finished: bool) -> None:
        recording = self._stores.recording
        if recording is None:
            return
        present = recording.get(self._recorded_key)
        if present is None or (is_finished and present != data):
            recording.put(self._recorded_key, data)

    def _storable(self, answer: StoredAnswer, *texts: str) -> bytes:
        if self._mask is None:
            return WITHHELD if self._holds_secret(answer, *texts) else answer.encode()
        clean = masked(answer, self._mask)
        return WITHHELD if clean is None else clean.encode()

    def _holds_secret(self, answer: StoredAnswer, *texts: str) -> bool:
        redact = self._stores.redact
        if redact is None:
            return False
        body = answer.body.decode("utf-8", "replace")
        return any(redact(text) != text for text in (without_stamps(body), *texts))
