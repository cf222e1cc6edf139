"""From the state of an audit to its result: who notices what, and which cases are no good judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_gepa.audit.audit import AuditState, runs_of
from pytest_gepa.audit.findings import evidence, is_flaky, is_part, is_undecided, notices, tells_nothing
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.file_lines import file_lines
from pytest_gepa.prompts.pieces import Cut
from pytest_gepa.reflect.failure import read_failure
from pytest_gepa.report.audit_result import (
    AuditResult,
    Contradicting,
    Flaky,
    PassesAnyhow,
    PieceCoverage,
    PromptCoverage,
    SaysNothing,
)
from pytest_gepa.report.result import Spent, Trouble
from pytest_gepa.report.simulated import is_simulated
from pytest_gepa.report.spent import with_bill
from pytest_gepa.suite.contradictions import find_contradictions
from pytest_gepa.suite.rollout import Case, Outcome, Rollout


def build_audit_result(
    run: str, state: AuditState, cases: Sequence[Case], components: Sequence[Component]
) -> AuditResult:
    """The result of an audit that has ended, in whatever way."""
    labels = {case.id: case.nodeid for case in cases}
    by_id = {component.id: component for component in components}
    passed = sum(run.outcome is Outcome.passed for run in state.baseline.values())
    return AuditResult(
        run=run,
        is_finished=state.is_finished,
        cases=len(cases),
        passed=passed,
        trials=state.plan.trials,
        prompts=tuple(_coverage(state, by_id[prompt.component], prompt.cuts, labels) for prompt in state.plan.prompts),
        anyhow=tuple(_anyhow(state, labels)),
        contradictions=tuple(
            Contradicting(tuple(labels[case] for case in found.cases), found.expected)
            for found in find_contradictions(cases)
        ),
        flaky=tuple(_flaky(state, labels)),
        says_nothing=tuple(_says_nothing(state, labels)),
        failing=tuple(labels[case] for case in labels if _is_at_zero(state, case)),
        trouble=tuple(_trouble(labels[case], run) for case, run in state.trouble.items()),
        spent=with_bill(Spent(rollouts=state.spent, cached=state.cached), state.spending, state.started),
        models=tuple(sorted(state.task_models)),
        simulated=is_simulated(state.task_models),
        problems=state.problems,
    )


def noticing(state: AuditState, component: str, cut: Cut) -> tuple[str, ...]:
    """The cases, by id, that notice what a cut leaves out."""
    made = state.without_piece(component, cut)
    if made is None:
        return ()
    return tuple(case for case in made.cases if notices(state.today[case], runs_of(state, made, case)))


def _coverage(
    state: AuditState, component: Component, cuts: Sequence[Cut], labels: Mapping[str, str]
) -> PromptCoverage:
    users = _users(state, component.id, cuts)
    made = [_piece(state, component.id, cut, labels) for cut in cuts]
    return PromptCoverage(
        component=component.id,
        path=component.id.partition("::")[0],
        text=component.text,
        file_lines=file_lines(component),
        users=len(users),
        able=sum(not _is_at_zero(state, case) for case in users),
        whole=made[0] if made else None,
        pieces=tuple(made[1:]),
        reason="" if cuts else ("it is a program" if component.text.strip() else "it is blank"),
    )


def _users(state: AuditState, component: str, cuts: Sequence[Cut]) -> list[str]:
    """The cases that use a prompt: less those that open its file, and ask for the same when it is blank."""
    blank = state.without_piece(component, cuts[0]) if cuts else None
    found = []
    for case in state.users.get(component, ()):
        runs = runs_of(state, blank, case) if blank else ()
        is_seen = component in state.baseline[case].uses
        if is_seen or not evidence(runs) or is_part(component, state.today[case], runs):
            found.append(case)
    return found


def _piece(state: AuditState, component: str, cut: Cut, labels: Mapping[str, str]) -> PieceCoverage:
    if cut.text is None:
        return PieceCoverage(cut.kind, cut.first, cut.last, "kept", reason=cut.reason)
    made = state.without_piece(component, cut)
    if made is None:
        return _unmeasured(cut, "the audit was interrupted before")
    if not made.cases:
        if state.users.get(component):
            return _unmeasured(cut, "no case that uses the prompt could do worse than today")
        if len(state.baseline) < state.plan.cases or any(map(_has_no_end, state.baseline.values())):
            return _unmeasured(cut, "not every case came to an end, so who uses the prompt is not known")
        # That no case reads the prompt at all is as plain as that none notices.
        return PieceCoverage(cut.kind, cut.first, cut.last, "unnoticed")
    cases = noticing(state, component, cut)
    ran = [case for case in made.cases if evidence(runs_of(state, made, case))]
    if cases:
        names = tuple(labels[case] for case in cases)
        return PieceCoverage(cut.kind, cut.first, cut.last, "noticed", names, len(ran))
    if made.candidate in state.unmeasured:
        return _unmeasured(cut, state.unmeasured[made.candidate])
    if any(not runs_of(state, made, case) for case in made.cases):
        return _unmeasured(cut, "the audit was interrupted before")
    if not ran:
        return _unmeasured(cut, "no case came to an end without it")
    if state.plan.trials > 1 and any(is_undecided(state.today[case], runs_of(state, made, case)) for case in ran):
        return _unmeasured(cut, "a case that answers differently each time was worse once, and has no second run")
    return PieceCoverage(cut.kind, cut.first, cut.last, "unnoticed", (), len(ran))


def _has_no_end(run: Rollout) -> bool:
    return run.outcome.is_trouble or run.outcome is Outcome.stopped


def _unmeasured(cut: Cut, reason: str) -> PieceCoverage:
    return PieceCoverage(cut.kind, cut.first, cut.last, "not measured", reason=reason)


def _anyhow(state: AuditState, labels: Mapping[str, str]) -> list[PassesAnyhow]:
    """The cases that pass with a prompt blanked that has a part in them."""
    spared: dict[str, list[str]] = {}
    missed: dict[str, int] = {}
    for made in state.ablations.values():
        for case in made.cases if made.is_whole else ():
            today, runs = state.today[case], runs_of(state, made, case)
            if not evidence(runs) or not is_part(made.component, today, runs):
                continue
            passes = all(run.outcome is Outcome.passed for run in (*evidence(today), *evidence(runs)))
            if passes and not notices(today, runs):
                spared.setdefault(case, []).append(made.component)
            else:
                missed[case] = missed.get(case, 0) + 1
    return [PassesAnyhow(labels[case], tuple(spared[case]), case not in missed) for case in labels if case in spared]


def _flaky(state: AuditState, labels: Mapping[str, str]) -> list[Flaky]:
    found = []
    for case, name in labels.items():
        runs = evidence(state.today.get(case, ()))
        if is_flaky(runs):
            passed = sum(run.outcome is Outcome.passed for run in runs)
            found.append(Flaky(name, passed, len(runs), tuple(run.score or 0.0 for run in runs)))
    return found


def _says_nothing(state: AuditState, labels: Mapping[str, str]) -> list[SaysNothing]:
    """The cases all of whose failures that were seen, today's and provoked ones, tell nothing."""
    failures = {case: [run for run in runs if run.outcome is Outcome.failed] for case, runs in state.today.items()}
    for (_, case), runs in state.ablated.items():
        failures[case] += [run for run in runs if run.outcome is Outcome.failed]
    return [
        SaysNothing(labels[case], runs[0].failure.strip())
        for case, runs in failures.items()
        if runs and all(map(tells_nothing, runs))
    ]


def _is_at_zero(state: AuditState, case: str) -> bool:
    runs = evidence(state.today.get(case, ()))
    return bool(runs) and min(run.score or 0.0 for run in runs) <= 0


def _trouble(name: str, run: Rollout) -> Trouble:
    lines = [line for line in read_failure(run.trajectory.failure).printed.splitlines() if line.strip()]
    return Trouble(name, run.outcome.value, (lines or ["no reason known"])[-1].strip())
