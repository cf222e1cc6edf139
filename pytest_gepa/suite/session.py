"""A child session: one fresh `pytest.main` that collects the cases of a job and runs them under its candidate."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.codec import to_json
from pytest_gepa.plugin import recorder_key
from pytest_gepa.suite.collect import identify, threshold
from pytest_gepa.suite.job import Channel, Job
from pytest_gepa.suite.modules import environment_modules
from pytest_gepa.suite.outcome import failure_text, is_infrastructure, outcome_of
from pytest_gepa.suite.overlay import Overlay
from pytest_gepa.suite.pytest_internals import (
    adapt_child_config,
    adapt_early_options,
    child_arguments,
    redirect_cache,
    restart_capture,
    run_phases,
)
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.suite.supervise import ForkedWorker, Supervisor
from pytest_gepa.trace import capture
from pytest_gepa.trace.attribution import components_used
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.trajectory import Trajectory

CAPTURED_CHARACTERS = 100_000


def run_job(job: Job, channel: Channel) -> None:
    """Run a job in this process, which must be a fresh one: the overlay and the capture stay for its lifetime."""
    # A directory for each session: pytest clears the temporary directories of others that share a root with it.
    temp = Path(job.temp) / f"session-{os.getpid()}"
    temp.mkdir(parents=True)
    os.chdir(job.cwd)
    os.environ.clear()
    os.environ.update(job.environ)
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(temp)
    os.environ["GEPA_CANDIDATE"] = job.candidate
    sys.path[:] = job.sys_path
    sys.argv[:] = ["pytest", *job.args]
    sys.dont_write_bytecode = True
    random.seed()
    recorder = Recorder()
    leaks: set[str] = set()
    copies = temp / "prompts"
    copies.mkdir(mode=0o700)
    Overlay(job.prompts, str(copies), on_read=recorder.add_read, on_leak=leaks.add).install()
    cache = ResponseCache(Path(job.cache)) if job.cache else None
    capture.install(recorder, cache, job.trial)
    session = ChildSession(job, temp, channel, recorder, leaks)
    code = pytest.main(child_arguments(job.args), plugins=[session])
    if not session.collected:
        reason = next(iter(session.broken.values()), f"pytest ended with exit code {int(code)}")
        session.emit({"event": "broken", "reason": reason})
    session.emit({"event": "end"})


class ChildSession:
    """The plugin inside a child session: selects the job's cases, runs them, sends rollouts."""

    def __init__(self, job: Job, temp: Path, channel: Channel, recorder: Recorder, leaks: set[str]) -> None:
        self.job = job
        self.temp = temp
        self.channel = channel
        self.recorder = recorder
        self.leaks = leaks
        self.items: dict[str, pytest.Item] = {}
        self.collected = False
        self.broken: dict[str, str] = {}
        self._running: list[pytest.TestReport] = []
        self._trouble = ""
        self._redactor = Redactor(job.environ)
        self._texts = {id: text for prompt in job.prompts for id, text in prompt.texts.items()}

    def emit(self, message: Mapping[str, Any]) -> None:
        """Send one event to whoever gave the job; an absent parent ends the process, as nobody waits for it."""
        try:
            self.channel.send(message)
        except OSError:
            os._exit(1)

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
        config.stash[recorder_key] = self.recorder

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        redirect_cache(session.config, self.temp / "pytest-cache")

    def pytest_internalerror(self, excrepr: object) -> None:
        self.broken[""] = self._redactor.redact(str(excrepr))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken[report.nodeid] = self._redactor.redact(f"{report.nodeid}: {report.longreprtext}")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        found = identify(items)
        self.items = {case: found[case] for case in self.job.cases if case in found}
        wanted = set(self.items.values())
        config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
        items[:] = list(self.items.values())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.collected = True
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

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._running.append(report)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[None] | pytest.TestReport:
        if call.excinfo is not None and is_infrastructure(call.excinfo.value):
            self._trouble = f"{call.excinfo.typename}: {call.excinfo.value}"
        return (yield)  # type: ignore[misc]

    def _can_fork(self) -> bool:
        """Whether nothing has happened by now that a fork would break: threads, or a model called in collection."""
        return threading.active_count() == 1 and not self.recorder.stray

    def _run_forked(self) -> None:
        for case in self.job.cases:
            if case not in self.items:
                self._tell_vanished(case)
        supervisor = Supervisor(
            spawn=self._fork,
            workers=self.job.concurrency,
            timeout=self.job.timeout,
            emit=self.emit,
        )
        supervisor.run(list(self.items))

    def _fork(self, siblings: Sequence[Channel]) -> ForkedWorker:
        return ForkedWorker.start(self._run_worker, [*siblings, self.channel])

    def _tell_vanished(self, case: str) -> None:
        reasons = (text for node, text in self.broken.items() if case.startswith(node.removeprefix(".")))
        reason = next(reasons, "the case was not collected under this candidate")
        self.emit({"event": "lost", "case": case, "outcome": "vanished", "reason": reason})

    def _run_worker(self, channel: Channel) -> None:
        temp = self.temp / f"worker-{os.getpid()}"
        temp.mkdir()
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(temp)
        random.seed()
        self.channel = channel
        restart_capture(next(iter(self.items.values())).config)
        self._run_items(channel)
        self.emit({"event": "end"})

    def _run_items(self, channel: Channel) -> None:
        self._feed = channel
        self._next = self._advance()
        while (item := self._next) is not None:
            self._run_one(item)
        if self.job.tell_modules:
            self.emit({"event": "modules", "names": environment_modules()})

    def _advance(self) -> pytest.Item | None:
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
        self._running, self._trouble = [], ""
        self.recorder.begin(case)
        started = time.monotonic()
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        except pytest.exit.Exception as error:
            self._trouble = f"pytest.exit: {error}"
        rollout = self._rollout(case, item, time.monotonic() - started)
        self.emit({"event": "rollout", "rollout": to_json(rollout)})

    def _rollout(self, case: str, item: pytest.Item, seconds: float) -> Rollout:
        recorded = self.recorder.end()
        reports, calls = self._running, tuple(recorded.calls)
        outcome = outcome_of(reports, calls, trouble=self._trouble)
        failure = failure_text(reports)
        score = None
        if outcome.is_evidence:
            given = recorded.scores[0].value if recorded.scores else None
            score = given if given is not None else float(outcome is Outcome.passed)
            least = threshold(item)
            if least is not None and score < least:
                outcome = Outcome.failed
        if self.leaks:
            outcome, score = Outcome.error, None
            failure = (
                f"the prompt file {sorted(self.leaks)[0]} was read in a way that the overlay cannot redirect "
                "(for instance io.FileIO), so the candidate was not in effect"
            )
        trajectory = Trajectory(
            calls=calls,
            steps=tuple(recorded.steps),
            output=_sections(reports),
            failure=failure or self._trouble,
        )
        return Rollout(
            candidate=self.job.candidate,
            case=case,
            trial=self.job.trial,
            outcome=outcome,
            score=score,
            trajectory=self._redactor.redact_trajectory(trajectory),
            feedback=self._redactor.redact("\n".join(score.feedback for score in recorded.scores)),
            charged=any(not call.cached and call.status is not None for call in recorded.made),
            uses=components_used(self._texts, calls),
            reads=tuple(sorted(recorded.reads)),
            seconds=seconds,
            reports=tuple(self._serialised(item.config, report) for report in reports),
        )

    def _serialised(self, config: pytest.Config, report: pytest.TestReport) -> dict[str, object]:
        data: dict[str, object] = config.hook.pytest_report_to_serializable(config=config, report=report)
        return data


def _sections(reports: Sequence[pytest.TestReport]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for report in reports:
        for title, text in report.sections:
            found[title] = text[-CAPTURED_CHARACTERS:]
    return tuple(found.items())


def report_crash(channel: Channel) -> None:
    """Tell the parent of the exception that ends this process."""
    with contextlib.suppress(OSError):
        channel.send({"event": "broken", "reason": traceback.format_exc()})
