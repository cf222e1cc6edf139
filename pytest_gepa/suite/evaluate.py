"""The suite as the search sees it: run these cases under these texts in this trial, and give back rollouts."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_gepa.codec import from_json
from pytest_gepa.errors import ReplayError
from pytest_gepa.prompts.components import Component, by_file, compose
from pytest_gepa.suite.case_values import check_names, check_values
from pytest_gepa.suite.charges import Allowance, Before, Charges, charge
from pytest_gepa.suite.condensed import condensed
from pytest_gepa.suite.job import Job, PromptFile
from pytest_gepa.suite.places import Limit
from pytest_gepa.suite.rollout import Case, Outcome, Rollout, file_of
from pytest_gepa.suite.runner import Runner, child_environment
from pytest_gepa.suite.user_files import UserFiles
from pytest_gepa.trace.record import StrayCall
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.replay import NotRecorded
from pytest_gepa.trace.trajectory import Trajectory

RETRIES = 2
LOG_CHARACTERS = 4_000
TOLD_MISSING = 10
TOLD_PROBLEMS = 20
BACKOFF_SECONDS = (1.0, 5.0)

OUTAGE_SECONDS = (20.0, 60.0)
"""In place of these where the server itself has gone: one that is started anew takes as long."""

OUTAGE_CASES = 3
"""It has gone if an evaluation of so many cases, or more, ended in errors alone, though a model had answered before."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The rollouts of one evaluation by case, each the last of its attempts.

    `charged` tells by case whether the first attempt is charged; retries were settled as they ended.
    """

    rollouts: Mapping[str, Rollout]
    charged: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every child session shares: arguments and directories of the user's own session.

    `charges` tells what the run that is replayed or resumed knew of its rollouts. After `deadline`, a reading of
    `time.monotonic`, nobody waits for a server to come back.
    """

    args: tuple[str, ...]
    cwd: str
    rootdir: str
    sys_path: tuple[str, ...]
    temp: Path
    cache: str
    concurrency: int
    timeout: float
    replay: str = "auto"
    recording: str = ""
    redact: tuple[str, ...] = ()
    isolation: str = "auto"
    costs: str = ""
    charges: Charges | None = None
    deadline: float = math.inf


class Suite:
    """The cases and components of a run, and the runner that runs them."""

    def __init__(
        self,
        cases: Sequence[Case],
        components: Sequence[Component],
        surroundings: Surroundings,
        runner: Runner,
    ) -> None:
        self.cases = {case.id: case for case in cases}
        self.components = {component.id: component for component in components}
        self.runner = runner
        self._around = surroundings
        self._before = Before(surroundings.charges, is_replay=surroundings.replay == "only")
        self._limit = Limit(surroundings.concurrency)
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._stray: dict[str, StrayCall] = {}
        paths = dict.fromkeys(component.path for component in self.components.values())
        self._user_files = UserFiles(paths, surroundings.rootdir)
        self._problems: dict[str, None] = {}
        self._values: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._is_reached = False

    @property
    def is_replay(self) -> bool:
        """Whether only stored answers are used."""
        return self._around.replay == "only"

    @property
    def stray(self) -> tuple[StrayCall, ...]:
        """The calls that belonged to no case, as its sessions told them, each request once."""
        return tuple(self._stray.values())

    @property
    def problems(self) -> tuple[str, ...]:
        """Prompt files that have changed, and what went wrong in the recording itself, as its sessions told it, each
        once; the first few."""
        return (*self._user_files.problems, *self._problems)[:TOLD_PROBLEMS]

    def run(
        self,
        candidate: str,
        texts: Mapping[str, str],
        cases: Sequence[str],
        trial: str,
        *,
        allowance: Allowance,
        on_rollout: Callable[[Rollout], None],
        on_attempt: Callable[[Rollout], None] = lambda rollout: None,
    ) -> Evaluation:
        """Run cases; trouble is retried while the allowance lasts. Blocks; safe to call from several threads.

        `on_rollout` hears each case once, when its result is final; `on_attempt` hears at once of one that was paid for
        and may be run again. After `stop` cases are missing, and trouble that is not tried again any more is final.
        Raises `ReplayError` when only stored answers may be used and some are missing, `SetupError` when cases are
        other tests, or have other parameters, in each process under today's prompts.
        """
        if not cases:
            return Evaluation({}, {})
        hears = on_rollout, on_attempt
        concurrency = self._around.concurrency
        lost = {case: paid for case in cases if (paid := self._before.lost(candidate, case, trial))}
        # What was paid for in vain is paid for again where the budget holds both; else trouble stays what it was.
        spared = {case for case, paid in lost.items() if not allowance.reserve(paid)}
        wanted = [case for case in cases if case not in spared]
        found = self._attempt(candidate, texts, wanted, trial, concurrency, hears)
        for case in lost.keys() - spared:
            allowance.settle(lost[case], found[case].in_vain if case in found else lost[case])
        found.update({case: self._before.spared(candidate, case, trial) for case in spared})
        first = {case: found[case] for case in cases if case in found}
        # What the run that is resumed or replayed has paid for besides.
        uncounted = [case for case in first if case not in lost or case in spared]
        charge(allowance, sum(first[case].in_vain for case in uncounted))
        names = {case: known.nodeid for case, known in self.cases.items()}
        check_names(names, self._names)
        check_values({case: known.values for case, known in self.cases.items()}, self._values, names)
        final = dict(first)
        for usual, longer in zip(BACKOFF_SECONDS[:RETRIES], OUTAGE_SECONDS[:RETRIES], strict=True):
            again = [case for case, rollout in final.items() if _is_retried(rollout) and case not in spared]
            if not again or self._stopping.is_set() or not allowance.reserve(len(again)):
                break
            if any(_may_pass(final[case]) for case in again):
                pause = longer if self._is_down(final.values()) else usual
                self._stopping.wait(max(0.0, min(pause, self._around.deadline - time.monotonic())))
            results = self._attempt(candidate, texts, again, trial, max(1, concurrency // 4), hears, final)
            allowance.settle(len(again), sum(rollout.charged for rollout in results.values()))
            final.update(results)
        if any(map(_has_answer, final.values())):
            self._is_reached = True
        elif self._is_down(final.values()):
            self._is_reached = False  # waited for in vain: nobody waits as long again until it answers
        for rollout in final.values():
            if _is_retried(rollout):
                on_rollout(rollout)
        self._check_recorded(final.values())
        return Evaluation(final, {case: rollout.charged for case, rollout in first.items()})

    def _is_down(self, rollouts: Collection[Rollout]) -> bool:
        """Whether the server is to blame for the rollouts of an evaluation, and is worth waiting for."""
        is_large = len(rollouts) >= OUTAGE_CASES
        may_be_back = self._is_reached and not self.is_replay
        return may_be_back and is_large and all(one.outcome is Outcome.error for one in rollouts)

    def _check_recorded(self, rollouts: Iterable[Rollout]) -> None:
        missing = [(rollout, why) for rollout in rollouts if (why := _missing(rollout))]
        if missing:
            told = [f"{self.cases[rollout.case].nodeid}: {why}" for rollout, why in missing[:TOLD_MISSING]]
            if len(missing) > TOLD_MISSING:
                told.append(f"and {len(missing) - TOLD_MISSING} more")
            lines = "".join(f"\n  {line}" for line in told)
            raise ReplayError(
                f"{len(missing)} of the cases asked for what is not recorded, and nothing was sent:{lines}\n"
                "Tests, prompts or settings are not those of the recorded run; record one of today's without "
                "--gepa-replay=only"
            )

    def seconds_before(self, rollout: Rollout) -> float | None:
        """How long the calls of a rollout took in the run that is replayed or resumed, None where not known."""
        return self._before.known_of(rollout).seconds

    def paid_before(self, rollout: Rollout) -> int:
        """How many of the attempts that a rollout was charged for were paid for by the run that is resumed."""
        return self._before.paid(rollout)

    def stop(self) -> None:
        """End every child; evaluations in flight return what they have."""
        self._stopping.set()
        self.runner.stop()

    def _attempt(
        self,
        candidate: str,
        texts: Mapping[str, str],
        cases: Sequence[str],
        trial: str,
        concurrency: int,
        hears: tuple[Callable[[Rollout], None], Callable[[Rollout], None]],
        before: Mapping[str, Rollout] | None = None,
    ) -> dict[str, Rollout]:
        """Run cases once. Of those who hear of it the one is told of results that no retry will replace, the other of
        those that one may, if they were paid for. `before` are the attempts that these replace, by case.
        """
        on_rollout, on_attempt = hears
        if not cases:
            return {}
        job = self._job(candidate, texts, cases, trial, concurrency)
        results: dict[str, Rollout] = {}
        broken: list[str] = []

        def keep(rollout: Rollout) -> None:
            rollout = self._before.counted(rollout, (before or {}).get(rollout.case))
            is_new = rollout.case not in results
            # What is final is handed on whole now; what is kept for later need not be.
            results[rollout.case] = rollout if _is_retried(rollout) else condensed(rollout)
            if is_new and not _is_retried(rollout):
                on_rollout(rollout)
            elif is_new and rollout.charged:
                on_attempt(rollout)

        def hear(message: Mapping[str, Any]) -> None:
            if message["event"] == "rollout":
                keep(from_json(Rollout, message["rollout"]))
            elif message["event"] == "lost":
                outcome, has_begun = Outcome(message["outcome"]), message.get("begun", True)
                keep(_lost(job, message["case"], outcome, message["reason"], has_begun=has_begun))
            elif message["event"] == "broken":
                broken.append(message["reason"])
            elif message["event"] == "values":
                self._values.update(message["digests"])
                self._names.update(message["names"])
            elif message["event"] == "stray":
                for stray in from_json(tuple[StrayCall, ...], message["calls"]):
                    self._stray.setdefault(stray.call.key, stray)
            elif message["event"] == "problems":
                self._problems.update(dict.fromkeys(message["texts"]))

        try:
            self.runner.run(job, hear, self._limit)
        finally:
            shutil.rmtree(job.temp, ignore_errors=True)
        missing = [case for case in cases if case not in results]
        if missing and not self._stopping.is_set():
            reason = broken[0] if broken else self._last_words(job)
            outcome = Outcome.vanished if broken else Outcome.crashed
            for case in missing:
                keep(_lost(job, case, outcome, reason, has_begun=True))
        return {case: results[case] for case in cases if case in results}

    def _last_words(self, job: Job) -> str:
        """Why a session may have ended early, from the end of what it printed."""
        try:
            output = (self._around.temp / f"{job.id}.log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            output = ""
        redact = Redactor(job.environ, job.redact).redact
        # Redacted before the cut: of a key that was cut in two, the rest would not be known for one.
        lines = redact(output[-16 * LOG_CHARACTERS :])[-LOG_CHARACTERS:].strip().splitlines()
        return "the child session ended early" + (f"; its last words: {' / '.join(lines[-3:])}" if lines else "")

    def _job(self, candidate: str, texts: Mapping[str, str], cases: Sequence[str], trial: str, concurrency: int) -> Job:
        around = self._around
        name = f"job-{next(self._numbers)}"
        inside = by_file(self.components.values())
        prompts = tuple(
            PromptFile.of(str(path), {one.id: texts[one.id] for one in inside[path]}, data)
            for path, data in compose(self.components.values(), texts).items()
        )
        files = dict.fromkeys(map(file_of, cases))
        return Job(
            id=name,
            candidate=candidate,
            trial=trial,
            prompts=prompts,
            cases=tuple(cases),
            files=tuple(os.path.join(around.rootdir, file) for file in files),
            args=around.args,
            cwd=around.cwd,
            rootdir=around.rootdir,
            environ=child_environment(os.environ),
            sys_path=around.sys_path,
            temp=str(around.temp / name),
            cache=around.cache,
            concurrency=concurrency,
            timeout=around.timeout,
            replay=around.replay,
            recording=around.recording,
            redact=around.redact,
            isolation=around.isolation,
            costs=around.costs,
            tell_values=all(texts[id] == component.text for id, component in self.components.items()),
            processes=around.concurrency,
        )


def _is_retried(rollout: Rollout) -> bool:
    return not rollout.outcome.is_final


def _has_answer(rollout: Rollout) -> bool:
    """Whether it shows that a model answers."""
    return rollout.outcome.is_evidence and rollout.shows_model


def _may_pass(rollout: Rollout) -> bool:
    """Whether its trouble may pass in a while: that of a server, or of a system that allowed no process to begin it."""
    return rollout.outcome is Outcome.error or (rollout.outcome is Outcome.crashed and not rollout.charged)


def _missing(rollout: Rollout) -> str:
    """Which request of a rollout was not sent, "" if there was none; one at import ends the whole collection."""
    lines = rollout.trajectory.failure.splitlines()
    if rollout.outcome is Outcome.unrecorded:
        return lines[0]
    told = (line for line in lines if f"{NotRecorded.__name__}: " in line)
    return next(told, "") if rollout.outcome is Outcome.vanished else ""


def _lost(job: Job, case: str, outcome: Outcome, reason: str, *, has_begun: bool) -> Rollout:
    """The rollout of a case without a result. One that has begun counts as charged: its requests may be paid for."""
    return Rollout(
        candidate=job.candidate,
        case=case,
        trial=job.trial,
        outcome=outcome,
        score=None,
        trajectory=Trajectory(failure=Redactor(job.environ, job.redact).redact(reason)),
        charged=has_begun and outcome is not Outcome.vanished,
    )
