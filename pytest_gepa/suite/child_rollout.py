"""One case that has been run, as the rollout that a child session sends: outcome, score, trajectory, reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import pytest

from pytest_gepa.cost.purse import CostStop
from pytest_gepa.prompts.programs import is_program
from pytest_gepa.suite.case_watch import CaseWatch
from pytest_gepa.suite.collect import threshold
from pytest_gepa.suite.job import Job
from pytest_gepa.suite.outcome import failure_text, outcome_of
from pytest_gepa.suite.pytest_internals import is_subtest
from pytest_gepa.suite.rollout import Grade, Outcome, Rollout
from pytest_gepa.suite.scoring import Scored, score_case
from pytest_gepa.trace import renderings
from pytest_gepa.trace.attribution import components_arrived
from pytest_gepa.trace.condense import WHOLE_BYTES, condense
from pytest_gepa.trace.cut import cut_middle
from pytest_gepa.trace.model_calls import is_refused, to_models, without_applications
from pytest_gepa.trace.record import Recorded
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.replay import NotRecorded
from pytest_gepa.trace.rewrite import rewrite_tree
from pytest_gepa.trace.trajectory import Call, Step, Trajectory

CAPTURED_CHARACTERS = 100_000

ROUGHLY = 4
"""Texts are first cut to so many times their limit, so that redaction takes bounded time; what the first cut may leave
of a secret at its edges, the second cut takes away."""

REPORT_NAMES = frozenset({"$report_type", "keywords", "location", "nodeid", "outcome", "when"})
"""Of a report, what pytest knows a test by, and no test writes."""


class RolloutMaker:
    """Makes rollouts of one job. Nothing leaves it that the redactor has not seen."""

    def __init__(self, job: Job, redactor: Redactor) -> None:
        self._job = job
        self._redactor = redactor
        # Under a replay nothing is paid for; else it is the cost that keeps a request from being sent.
        self._unsent = Outcome.unrecorded if job.replay == "only" else Outcome.stopped
        self._texts = job.texts
        self._asked: set[str] = set()

    def make(
        self,
        case: str,
        item: pytest.Item,
        watch: CaseWatch,
        recorded: Recorded,
        seconds: float,
        leak: str,
        before_failure: Iterable[Call] = (),
        *,
        reached: tuple[int, ...],
        hears_all: bool,
    ) -> Rollout:
        """The rollout of a case that has ended. `leak` says why its candidate was not in effect, "" if it was;
        `reached` how far the test got, `hears_all` whether every read of a prompt was heard of.

        `before_failure` are the calls of the wider fixture that failed to be set up, and of those that it is built on.
        """
        recorded = replace(
            recorded,
            calls=without_applications(recorded.calls, self._texts),
            made=without_applications(recorded.made, self._texts),
        )
        asked = to_models(recorded.calls, self._texts)
        own = [call for call in recorded.calls if not call.shared]
        # Vectors are no answer that a prompt could have spoilt.
        setup_asked = any(call.kind != "embedding" for call in to_models((*own, *before_failure), self._texts))
        outcome = outcome_of(watch.reports, asked, trouble=watch.trouble, setup_asked=setup_asked)
        scored = score_case(
            outcome,
            recorded.scores,
            watch.units,
            body_failed=watch.body_failed,
            threshold=threshold(item, self._redactor.redact),
        )
        failure = failure_text(watch.reports) or scored.below
        if leak:
            scored, failure = Scored(Outcome.error, None), leak
        # Whatever the application made of it, and pytest of that: without the answer there is no evidence.
        if refused := recorded.refused or watch.refused or _refused_in_children(recorded.calls):
            scored = Scored(self._unsent, None)
            failure = "\n".join(refused)
        output = _sections(watch.reports)
        trajectory = trajectory_of(recorded.calls, recorded.steps, output, failure or watch.trouble, self._redactor)
        redact = self._redactor.redact
        opened = frozenset((*recorded.reads, *recorded.imported)) if hears_all else None
        arrived = components_arrived(self._texts, recorded.calls, opened)
        asked_before = tuple(sorted(self._asked))
        self._asked.update(arrived.used)
        return Rollout(
            candidate=self._job.candidate,
            case=case,
            trial=self._job.trial,
            outcome=scored.outcome,
            score=scored.score,
            trajectory=trajectory,
            feedback=self._cut_and_redacted(scored.feedback),
            grades=tuple(
                Grade(redact(grade.name), grade.score, self._cut_and_redacted(grade.feedback), grade.kind)
                for grade in scored.grades
            ),
            charged=any(
                not (call.cached or call.status is None or is_refused(call))
                for call in to_models(recorded.made, self._texts)
            ),
            uses=self._uses(recorded, arrived.used),
            reads=recorded.reads,
            imported=recorded.imported,
            carried=recorded.carried,
            asked_before=asked_before,
            unopened=tuple(name for name in arrived.unopened if not is_program(name)),
            renderings=renderings.taken(redact),
            reached=reached,
            seconds=seconds,
            reports=tuple(self._redacted(report) for report in _serialised(item.config, watch.reports, scored.below)),
        )

    def _uses(self, recorded: Recorded, arrived: Iterable[str]) -> tuple[str, ...]:
        """The prompts whose text is in a request, and the programs that were read: to import one is to run it."""
        programs = {name for name in (*recorded.reads, *recorded.imported) if is_program(name)}
        used = programs.union(arrived)
        return tuple(name for name in self._texts if name in used)

    def _redacted(self, report: Mapping[str, object]) -> dict[str, object]:
        return {
            key: value if key in REPORT_NAMES else rewrite_tree(value, self._cut_and_redacted)
            for key, value in report.items()
        }

    def _cut_and_redacted(self, text: str) -> str:
        return _cut_and_redacted(text, self._redactor.redact)


def trajectory_of(
    calls: tuple[Call, ...],
    steps: tuple[Step, ...],
    output: Iterable[tuple[str, str]],
    failure: str,
    redactor: Redactor,
) -> Trajectory:
    """What a run of a case said, without secrets, and cut to what can be sent and kept."""
    redact = redactor.redact
    sections = tuple((redact(title), _cut_and_redacted(text, redact)) for title, text in output)
    whole = condense(Trajectory(calls, steps, (), failure), ROUGHLY * WHOLE_BYTES)
    return condense(replace(redactor.redact_trajectory(whole), output=sections), WHOLE_BYTES)


def _cut_and_redacted(text: str, redact: Callable[[str], str]) -> str:
    return cut_middle(redact(cut_middle(text, ROUGHLY * CAPTURED_CHARACTERS)), CAPTURED_CHARACTERS)


def _serialised(
    config: pytest.Config, reports: Sequence[pytest.TestReport], below: str
) -> tuple[dict[str, object], ...]:
    """The reports as JSON. That of a case below its threshold says so, where all asserts held."""
    for report in reports:
        if below and report.when == "call" and report.passed and not is_subtest(report):
            report.outcome, report.longrepr = "failed", below
    return tuple(_as_json(config, report) for report in reports)


def _as_json(config: pytest.Config, report: pytest.TestReport) -> dict[str, object]:
    """One report as JSON; what a plugin or `record_property` put into it that is none goes as its text."""
    try:
        data: dict[str, object] = config.hook.pytest_report_to_serializable(config=config, report=report)
    except Exception:
        report.longrepr = report.longreprtext
        data = config.hook.pytest_report_to_serializable(config=config, report=report)
    plain: dict[str, object] = json.loads(json.dumps(data, default=_as_text, skipkeys=True))
    return plain


def _as_text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__} without a text: {type(error).__name__}>"


def _refused_in_children(calls: Sequence[Call]) -> list[str]:
    """The requests that processes of the case's own did not send."""
    marks = tuple(f"{kind.__name__}: " for kind in (NotRecorded, CostStop))
    return [call.error.partition(": ")[2] for call in calls if call.error.startswith(marks)]


def _sections(reports: Sequence[pytest.TestReport]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for report in reports:
        for title, text in report.sections:
            found[title] = text
    return tuple(found.items())
