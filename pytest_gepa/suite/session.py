"""A child session: one fresh `pytest.main` that collects the cases of a job and runs them under its candidate."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.stash import recorder_key
from pytest_gepa.suite import threads
from pytest_gepa.suite.case_values import values_digest
from pytest_gepa.suite.case_watch import CaseWatch
from pytest_gepa.suite.child_calls import capture_calls, share_calls
from pytest_gepa.suite.child_rollout import RolloutMaker
from pytest_gepa.suite.collect import case_id, identify, namesakes, told_parameters
from pytest_gepa.suite.connections import open_sockets
from pytest_gepa.suite.examples_found import EXAMPLES, own_examples
from pytest_gepa.suite.fixture_watch import FixtureWatch
from pytest_gepa.suite.foreign_servers import ForeignServers
from pytest_gepa.suite.generators import Generators
from pytest_gepa.suite.job import Channel, Job
from pytest_gepa.suite.modules import PreloadedLater
from pytest_gepa.suite.overlay import BoundOverlay, Overlay
from pytest_gepa.suite.places import PlacesOfParent
from pytest_gepa.suite.pytest_internals import (
    adapt_child_config,
    adapt_early_options,
    child_arguments,
    leave_out_plugins,
    parameters,
    part_capture,
    redirect_cache,
    run_phases,
)
from pytest_gepa.suite.reach import Reach
from pytest_gepa.suite.shown_case import shown_nodeid
from pytest_gepa.suite.soft_checks import SoftChecks
from pytest_gepa.suite.supervise import ForkedWorker, Supervisor
from pytest_gepa.suite.worker_name import WorkerName, name_of
from pytest_gepa.trace import renderings
from pytest_gepa.trace.condense import KEPT_BYTES, condense
from pytest_gepa.trace.naps import clock
from pytest_gepa.trace.record import with_all_below
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.trajectory import Trajectory

TOLD_STRAYS = 50
"""So many calls of no case are told in full by one process."""

TAKEN = "another plugin runs the tests in place of pytest (pytest_runtest_protocol), so that nobody saw what they did"


def run_job(job: Job, channel: Channel) -> None:
    """Run a job in this process, which must be a fresh one: the overlay and the capture stay for its lifetime."""
    # A directory for each session: pytest clears the temporary directories of others that share a root with it.
    temp = Path(job.temp) / f"session-{os.getpid()}"
    temp.mkdir(parents=True)
    os.chdir(job.cwd)
    os.environ.clear()
    os.environ.update(job.environ)
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(temp)
    os.environ[EXAMPLES] = own_examples(temp)
    os.environ["GEPA_CANDIDATE"] = job.candidate
    os.environ["GEPA_TRIAL"] = job.trial.replace("/", "-")
    sys.path[:] = job.sys_path
    sys.argv[:] = ["pytest", *job.args]
    sys.dont_write_bytecode = True
    generators = Generators()
    root = os.getpid()
    recorder = Recorder()
    overlay = (BoundOverlay if job.isolation == "strict" else Overlay)(recorder.add_read)
    overlay.install(job.prompts, temp / "prompts", job.rootdir)
    recorder.hear_reads = overlay.hear_children
    redactor = Redactor(job.environ, job.redact)
    foreign = ForeignServers(Path(job.temp).parent / "processes")
    foreign.join()
    capture_calls(
        recorder,
        redactor,
        cache=job.cache,
        recording=job.recording,
        trial=job.trial,
        replay=job.replay,
        costs=job.costs,
        root=root,
        prompts=job.texts,
        look=foreign.look,
    )
    share_calls(recorder, temp / "prompts", job, redactor, root)
    renderings.install(
        job.texts,
        {prompt.path: id for prompt in job.prompts for id in prompt.texts if "::" not in id},
    )
    session = ChildSession(job, temp, channel, recorder, overlay, redactor, foreign, generators)
    code = pytest.main(child_arguments(job.args), plugins=[session, *session.watches])
    if not session.collected:
        reason = next(iter(session.broken.values()), f"pytest ended with exit code {int(code)}")
        session.emit({"event": "broken", "reason": reason})
    session.end()


class ChildSession:
    """The plugin inside a child session: selects the job's cases, runs them, sends rollouts."""

    def __init__(
        self,
        job: Job,
        temp: Path,
        channel: Channel,
        recorder: Recorder,
        overlay: Overlay,
        redactor: Redactor,
        foreign: ForeignServers,
        generators: Generators,
    ) -> None:
        self.job = job
        self.temp = temp
        self.channel = channel
        self.recorder = recorder
        self.overlay = overlay
        self.items: dict[str, pytest.Item] = {}
        self.collected = False
        self.broken: dict[str, str] = {}
        self._unfiltered: dict[str, pytest.Item] = {}
        self._shared: set[str] = set()
        self._names: dict[str, str] = {}
        self._sockets = open_sockets()
        self._root = os.getpid()
        self._redactor = redactor
        self._foreign = foreign
        self._generators = generators
        self._has_advanced = False
        self._was_sound = True
        self._maker = RolloutMaker(job, self._redactor)
        self._checks = SoftChecks(recorder.add_problem)
        self._watch = CaseWatch(self._checks)
        self._fixtures = FixtureWatch(recorder)
        self._reach = Reach()
        self._loaded: PreloadedLater | None = None

    @property
    def watches(self) -> tuple[object, ...]:
        """The plugins that listen beside this one."""
        return self._checks, self._watch, self._fixtures, self._reach

    def emit(self, message: Mapping[str, Any]) -> None:
        """Send one event to whoever gave the job; an absent parent ends the process, as nobody waits for it."""
        try:
            self.channel.send(message)
        except OSError:
            os._exit(1)

    def end(self) -> None:
        """Send the calls that belonged to no case, what could not be recorded, and that this was all."""
        self.recorder.hear_children()
        strays = self.recorder.stray[:TOLD_STRAYS]
        if strays:
            calls = Trajectory(tuple(stray.call for stray in strays))
            told = condense(self._redactor.redact_trajectory(calls), KEPT_BYTES).calls
            found = [replace(stray, call=call) for stray, call in zip(strays, told, strict=True)]
            self.emit({"event": "stray", "calls": to_json(found)})
        if problems := self.recorder.problems:
            self.emit({"event": "problems", "texts": [self._redactor.redact(text) for text in problems]})
        self.emit({"event": "end"})

    @pytest.hookimpl(wrapper=True)
    def pytest_load_initial_conftests(self, early_config: pytest.Config) -> Iterator[None]:
        adapt_early_options(early_config)
        try:
            return (yield)
        except Exception as error:
            self.broken[""] = self._redactor.redact(str(error))
            raise

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> None:
        adapt_child_config(config, self.job.files)
        redirect_cache(config, self.temp / "pytest-cache")
        config.stash[recorder_key] = self.recorder
        config.pluginmanager.register(WorkerName(), "gepa-worker-name")  # only now: after xdist

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        leave_out_plugins(session.config)

    def pytest_internalerror(self, excrepr: object) -> None:
        self.broken[""] = self._redactor.redact(str(excrepr))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken[report.nodeid] = self._redactor.redact(f"{report.nodeid}: {report.longreprtext}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self) -> None:
        self._redactor.refreshed()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iterator[None]:
        self._unfiltered, self._shared = identify(items), namesakes(items)
        yield

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> Iterator[None]:
        yield
        # Not before: of an item that a conftest has just marked, anyio makes one with a parameter here.
        self._select(session)

    def _select(self, session: pytest.Session) -> None:
        items = session.items
        # A case may have lost the name or the mark by which `-k` or `-m` chose it: a prompt can be part of both.
        found = {**self._unfiltered, **identify(items)}
        shared = self._shared | namesakes(items)
        self.items = {case: found[case] for case in self.job.cases if case in found}
        self._names = {
            case: shown_nodeid(case, item.nodeid, told_parameters(item), self._redactor.redact)
            for case, item in self.items.items()
            if case_id(item) in shared
        }
        wanted = set(self.items.values())
        session.config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
        items[:] = list(self.items.values())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.collected = True
        self._generators.end_collection()
        if self.job.tell_values:
            digests = {case: values_digest(parameters(item)) for case, item in self.items.items()}
            self.emit({"event": "values", "digests": digests, "names": self._names})
        if self.job.forking != "after collection":
            self._run_items(self.channel)
        elif self._can_fork():
            self._run_forked()
        else:
            self.emit({"event": "unforkable"})
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool:
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        run_phases(item, self._advance)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        self.emit({"event": "setting up"})
        if self._loaded is not None:
            self._loaded.look()
        try:
            return (yield)
        finally:
            if self._loaded is not None:
                self._loaded.look()
            self.emit({"event": "set up"})

    def _can_fork(self) -> bool:
        """Whether nothing has happened by now that a fork would break: threads, a connection that all workers would
        speak on at once (to a database, say), or a model called in collection.
        """
        has_connected = not open_sockets() <= self._sockets
        return not has_connected and not self.recorder.stray and threads.let_fork()

    def _run_forked(self) -> None:
        for case in self.job.cases:
            if case not in self.items:
                self._tell_vanished(case)
        supervisor = Supervisor(
            spawn=self._fork,
            workers=self.job.concurrency,
            timeout=self.job.timeout,
            emit=self.emit,
            places=PlacesOfParent(self.channel),
        )
        supervisor.run(list(self.items))

    def _fork(self, siblings: Sequence[Channel], place: int) -> ForkedWorker:
        return ForkedWorker.start(partial(self._run_worker, place), [*siblings, self.channel])

    def _tell_vanished(self, case: str) -> None:
        reasons = (text for node, text in self.broken.items() if case.startswith(node.removeprefix(".")))
        reason = next(reasons, "the case was not collected under this candidate")
        self.emit({"event": "lost", "case": case, "outcome": "vanished", "reason": reason})

    def _run_worker(self, place: int, channel: Channel) -> None:
        temp = self.temp / f"worker-{os.getpid()}"
        temp.mkdir()
        os.environ.update(name_of(self.job, place), PYTEST_DEBUG_TEMPROOT=str(temp))
        self._foreign.join()
        self.overlay.begin_worker(temp / "prompts")
        share_calls(self.recorder, temp / "prompts", self.job, self._redactor, self._root)
        self._generators.begin_worker()
        self.channel = channel
        part_capture(next(iter(self.items.values())).config)
        self._run_items(channel)
        self.end()

    def _run_items(self, channel: Channel) -> None:
        self._loaded = PreloadedLater() if self.job.tell_modules else None
        self._feed = channel
        self._was_sound = not self.overlay.problem()
        self._next = self._advance()
        while (item := self._next) is not None:
            self._run_one(item)
        if self._loaded is not None:
            self.emit({"event": "modules", "names": self._loaded.names})

    def _advance(self) -> pytest.Item | None:
        self._has_advanced = True
        if self._was_sound and self.overlay.problem():
            # What was read past the overlay may be kept: the cases that are left need another process.
            self._next = None
            return None
        while True:
            self.emit({"event": "next"})
            answer = self._feed.receive()
            if answer is None:
                os._exit(1)
            case = answer["case"]
            if case is None or case in self.items:
                self._next = None if case is None else self.items[case]
                return self._next
            self._tell_vanished(case)

    def _run_one(self, item: pytest.Item) -> None:
        case = next(name for name, known in self.items.items() if known is item)
        self._watch.begin()
        self._reach.begin()
        self._foreign.begin()
        self.recorder.begin(case)
        self._generators.begin_case(case)
        self._has_advanced = False
        started = clock()
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        except pytest.exit.Exception as error:
            self._watch.trouble = f"pytest.exit: {error}"
        if not self._has_advanced:
            self._watch.trouble = self._watch.trouble or TAKEN
            self._advance()
        seconds = clock() - started
        failed = self._fixtures.failed(self._watch.setup_error)
        recorded = self.recorder.end([*self._fixtures.used(), *failed])
        before_failure = [slot.call for held in with_all_below(failed) for slot in held.slots]
        rollout = self._maker.make(
            case,
            item,
            self._watch,
            recorded,
            seconds,
            self.overlay.problem() or self._foreign.problem(),
            before_failure,
            reached=self._reach.reached,
            hears_all=self.overlay.hears_all,
        )
        self.emit({"event": "rollout", "rollout": to_json(rollout)})


def serve(channel: Channel) -> None:
    """Run the job that comes on the channel; whoever gave it is told of an exception that ends this process."""
    message = channel.receive()
    if message is None:
        return
    try:
        run_job(from_json(Job, message), channel)
    except BaseException:
        with contextlib.suppress(OSError):
            channel.send({"event": "broken", "reason": traceback.format_exc()})
        raise
