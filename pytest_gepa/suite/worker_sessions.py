"""Jobs whose processes are sessions of their own: each collects by itself, and asks for its cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_gepa.suite.job import Channel, Job
from pytest_gepa.suite.places import Limit, PlacesHere
from pytest_gepa.suite.runner import Emit
from pytest_gepa.suite.supervise import Supervisor, Worker
from pytest_gepa.suite.worker_name import name_of


class WorkerSessions:
    """Runs the cases of a job in as many sessions as it may use at once; `start` starts one for a job."""

    def __init__(self, start: Callable[[Job], Worker]) -> None:
        self._start = start
        self._running: set[Supervisor] = set()
        self._stopped = False

    def run(self, job: Job, emit: Emit, limit: Limit) -> None:
        """Run a job to its end."""
        each = replace(job, forking="never")

        def spawn(_siblings: Sequence[Channel], place: int) -> Worker:
            return self._start(replace(each, environ={**each.environ, **name_of(job, place)}))

        places = PlacesHere(limit)
        supervisor = Supervisor(spawn=spawn, workers=job.concurrency, timeout=job.timeout, emit=emit, places=places)
        self._running.add(supervisor)
        try:
            if not self._stopped:
                supervisor.run(job.cases)
        finally:
            self._running.discard(supervisor)
            places.close()

    def stop(self) -> None:
        """End every session at once, and start none any more."""
        self._stopped = True
        for supervisor in list(self._running):
            supervisor.stop()
