"""Forking, until a case shows that a library does not stand it: then a new interpreter for each process."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from pytest_gepa.suite.job import Job
from pytest_gepa.suite.places import Limit
from pytest_gepa.suite.runner import Emit, Runner

TOLD = (
    "a case that crashed in a forked process came to its end in a new interpreter: some library does not stand "
    "forking. What follows is run in new interpreters, which is slower; gepa_isolation = spawn does so from the start"
)

_FAULT = re.compile(r"ended by SIG(?:SEGV|ABRT|BUS|ILL|TRAP|FPE|SYS)\b")
"""How a process ends that its own code has broken. Not SIGKILL: the system was out of memory, say."""


class FallbackRunner:
    """Runs jobs by `usual`, which forks, and those with a case that a fault has ended there by `other`, which does not:
    a suite has cases run again that have crashed.

    A case that comes to its end there settles it for all jobs behind it; of one that crashes there too the fork is not
    the cause.
    """

    def __init__(self, usual: Runner, other: Runner) -> None:
        self._usual, self._other = usual, other
        self._lock = threading.Lock()
        self._in_doubt: set[str] = set()
        self._crashing: set[str] = set()
        self._stands_forking = True

    def run(self, job: Job, emit: Emit, limit: Limit) -> None:
        """Run a job to its end."""
        with self._lock:
            forks = self._stands_forking and not self._in_doubt & {*job.cases}

        def hear(message: Mapping[str, Any]) -> None:
            for news in self._learn(message, forked=forks):
                emit(news)
            emit(message)

        (self._usual if forks else self._other).run(job, hear, limit)

    def stop(self) -> None:
        """End every child at once, and start none any more."""
        self._usual.stop()
        self._other.stop()

    def close(self) -> None:
        """Give back what the runners hold."""
        self._usual.close()
        self._other.close()

    def _learn(self, message: Mapping[str, Any], *, forked: bool) -> list[Mapping[str, Any]]:
        """Take in how a case has ended; what there is to be told of it."""
        with self._lock:
            if message["event"] == "lost" and _FAULT.search(message["reason"]):
                case = message["case"]
                if forked and case not in self._crashing:
                    self._in_doubt.add(case)
                elif not forked:
                    self._in_doubt.discard(case)
                    self._crashing.add(case)
            elif message["event"] == "rollout" and not forked and message["rollout"]["case"] in self._in_doubt:
                was_forking, self._stands_forking = self._stands_forking, False
                return [{"event": "problems", "texts": [TOLD]}] if was_forking else []
        return []
