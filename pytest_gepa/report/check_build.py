"""From the state of a check to its result: tiers, verdict, gate, and what each case has answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pytest_gepa.check.baselines import rounded
from pytest_gepa.check.state import BASE, TODAY, CheckState, SideName
from pytest_gepa.reflect.failure import read_failure
from pytest_gepa.report.check_result import CaseCheck, CheckResult, SavedBaseline, Side
from pytest_gepa.report.check_unchanged import DEFAULT_RULE
from pytest_gepa.report.result import Spent, Trouble, troubles
from pytest_gepa.report.simulated import is_simulated
from pytest_gepa.report.spent import with_bill
from pytest_gepa.run.base_prompts import BasePrompts
from pytest_gepa.run.unreached import why_played, why_unreached
from pytest_gepa.settings import SCORE_RULE, Settings
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.suite.ties import tied_pairs, tied_runs
from pytest_gepa.trace.attribution import last_answered
from pytest_gepa.trace.cut import cut_middle
from pytest_gepa.verdict.judge import ALPHA, CaseScore, judge
from pytest_gepa.verdict.sequential import Tier
from pytest_gepa.wording import count

KEPT_BYTES = 4_000
"""Of an answer and of a failure, so much is kept in the result."""

REASON_BYTES = 300


def build_check(
    run: str,
    state: CheckState,
    cases: Sequence[Case],
    base: BasePrompts,
    settings: Settings,
    command: Callable[[Sequence[str]], str],
    saved: SavedBaseline | None = None,
    places: Mapping[str, tuple[str, int]] | None = None,
) -> CheckResult:
    """The result of a check that has ended, in whatever way. `command` gives the line that mends cases, by nodeid.

    `saved` is the baseline that stood in for the base's side; `places` are the paths and lines of tests, by case id.
    """
    labels = {case.id: case.nodeid for case in cases}
    tiers = state.tiers()
    checks = tuple(_case_check(state, tier, labels, places or {}) for tier in tiers)
    groups = _tied(state)
    compared = [case for case in cases if case.id in state.trials and not state.unfit(case.id)]
    judged = judge(
        [_scores(state, case, groups.get(case.id, "")) for case in compared],
        seed=settings.seed,
    )
    regressed = [check.case for check in checks if check.tier == "regressed"]
    trouble = tuple(trouble_of(state, labels))
    verdict, reason = _verdict(state, base, checks, saved, trouble)
    rule = settings.fail_on or DEFAULT_RULE
    has_fallen = judged.effect < 0 and (bool(regressed) or judged.p_value < ALPHA)
    is_silent = any(check.tier == "trouble" for check in checks)
    broken = (
        (f"--gepa-fail-on={rule}", _is_broken(rule, checks, judged.effect if has_fallen else 0.0)),
        ("--gepa-fail-on-trouble", settings.fails_on_trouble and (is_silent or bool(state.stopped))),
    )
    broken_rules = tuple(option for option, is_broken in broken if is_broken)
    return CheckResult(
        run=run,
        verdict=verdict,
        reason=reason,
        base=base.name,
        revision=base.revision,
        changes=base.changes,
        cases=checks,
        effect=judged.effect,
        interval=judged.interval,
        p_value=judged.p_value,
        groups=judged.tied_groups,
        untouched=len(state.untouched),
        gate=rule,
        failed=bool(broken_rules) or (rule != "none" and bool(_why_unmade(state, checks, trouble))),
        broken_rules=broken_rules,
        trouble=trouble,
        spent=spent_of(state),
        models={"task": tuple(sorted(state.task_models))},
        simulated=is_simulated(state.task_models),
        problems=state.problems,
        command=command(regressed) if regressed else "",
        on_new_prompts=tuple(labels[case.id] for case in cases if case.id in state.on_new_prompts),
        stopped=state.stopped,
        not_run=tuple(labels[case.id] for case in cases if _was_left(state, case.id, saved)),
        baseline=saved,
    )


def _was_left(state: CheckState, case: str, saved: SavedBaseline | None) -> bool:
    """Whether a case that may be concerned was not run on every side, as the check had to end before. One of which
    trouble hides whether it is concerned has no other side to be run on.
    """
    if state.has_ended or case in state.untouched or case in state.on_new_prompts:
        return False
    if saved is not None and case not in state.recorded:
        return False
    today, base = (_ended(state, side, case) for side in (TODAY, BASE))
    if any(run.outcome.is_passed_over for run in today):
        return False
    if saved is not None or (today and all(run.outcome.is_trouble for run in today)):
        return not today
    return not (today and base)


def _ended(state: CheckState, side: SideName, case: str) -> list[Rollout]:
    """The rollouts of a case on one side that were not stopped in their middle."""
    return [run for _, run in state.side(side, case) if run.outcome is not Outcome.stopped]


def _verdict(
    state: CheckState,
    base: BasePrompts,
    checks: Sequence[CaseCheck],
    saved: SavedBaseline | None,
    trouble: Sequence[Trouble],
) -> tuple[str, str]:
    regressed = sum(check.tier == "regressed" for check in checks)
    suspect = sum(check.tier == "suspect" for check in checks)
    before = f"under the prompts of {base.name}" if saved is None else f"in the baseline {base.name}"
    then = f"at {base.name}" if saved is None else f"in the baseline {base.name}"
    found = f"{count(regressed, 'case')} proven worse than {before}"
    if not state.has_ended and not state.stopped:
        return "not finished", f"the check was interrupted; {found} so far"
    if regressed:
        return "regressed", found + (f" (not finished: {state.stopped})" if state.stopped else "")
    if state.stopped:
        return "not finished", f"{state.stopped}; no case is proven worse so far"
    if why := _why_unmade(state, checks, trouble):
        return "not finished", f"nothing was compared, as {why}"
    if suspect:
        return "suspect", f"{count(suspect, 'case')} seen worse than {then}, which may be chance"
    if not checks:
        return "no regression", _why_none(state, base)
    return "no regression", f"none of {count(len(checks), 'case')} is proven worse than {then}"


def _why_unmade(state: CheckState, checks: Sequence[CaseCheck], trouble: Sequence[Trouble]) -> str:
    """Why there was nothing to compare, so that it is not known that no case is worse; "" if there was."""
    if state.stopped:
        return ""
    if not checks and state.passed_over and _may_be_concerned(state):
        return f"all cases that may use what has changed ({len(state.passed_over):,}) are skipped, or expected to fail"
    if trouble and checks and all(check.tier == "trouble" for check in checks):
        first = cut_middle(trouble[0].reason, REASON_BYTES)
        return f"{count(len(trouble), 'case')} ended in trouble; the first: {first}"
    if checks and all(check.tier in ("trouble", "failing") for check in checks):
        return why_unreached(state.every_rollout(BASE, TODAY))
    return why_played(state.every_rollout(BASE, TODAY)) if checks else ""


def _may_be_concerned(state: CheckState) -> bool:
    """Whether a case that was passed over may use what has changed: one is known to, or no case has told anything."""
    is_known = any(state.uses.get(case) for case in state.passed_over)
    return is_known or not (state.untouched or state.on_new_prompts)


def _why_none(state: CheckState, base: BasePrompts) -> str:
    """Why no case was compared, where that is no fault of the check."""
    if state.on_new_prompts:
        return (
            f"{count(len(state.on_new_prompts), 'case')} that may use what has changed cannot run at {base.name}, as a "
            "prompt that it has not is used besides: nothing was compared"
        )
    if state.alike:
        return (
            f"the change reaches no request: {count(len(state.alike), 'case')} that read a changed prompt asked for "
            f"the same as under the prompts of {base.name}"
        )
    return "no case uses a prompt that has changed"


def _is_broken(rule: str, checks: Sequence[CaseCheck], fall: float) -> bool:
    """Whether the rule of `--gepa-fail-on` is broken; `fall` is the effect where a fall is proven, else 0."""
    if rule.startswith(SCORE_RULE):
        return fall < -float(rule.removeprefix(SCORE_RULE))
    gated = {"regressed": ("regressed",), "suspect": ("regressed", "suspect")}.get(rule, ())
    return any(check.tier in gated for check in checks)


def _case_check(
    state: CheckState, tier: Tier, labels: Mapping[str, str], places: Mapping[str, tuple[str, int]]
) -> CaseCheck:
    case = tier.case
    # What tells the tier apart: on the better side a trial that went well, on the other one that did not.
    best, worst = (TODAY, BASE) if tier.tier == "improved" else (BASE, TODAY)
    shown = {best: _typical(state, best, case, good=True), worst: _typical(state, worst, case, good=False)}
    path, line = places.get(case, ("", 0))
    base = _side(state, BASE, case, shown[BASE])
    return CaseCheck(
        case=labels[case],
        tier=tier.tier,
        base=Side(0, 0, None, failure=base.failure) if state.unfit(case) else base,
        today=_side(state, TODAY, case, shown[TODAY]),
        p_value=tier.p_value,
        components=tuple(sorted(state.uses.get(case, ()))),
        path=path,
        line=line,
    )


def _typical(state: CheckState, side: SideName, case: str, *, good: bool) -> Rollout | None:
    """The first trial with the highest score of a side, or with the lowest."""
    known = [run for _, run in state.side(side, case) if run.outcome.is_evidence]
    if not known:
        return None
    pick = max if good else min
    return pick(known, key=lambda run: (run.outcome is Outcome.passed, run.score or 0.0))


def _answer(state: CheckState, side: SideName, case: str, shown: Rollout) -> str:
    """What a changed prompt was answered: the last answer of a run may be that of a judge, whom the test has asked."""
    texts = (state.base if side == BASE else state.today).texts
    changed = {name: texts[name] for name in state.uses.get(case, ()) if name in texts}
    calls = shown.trajectory.calls
    call = last_answered(changed, calls) if len(calls) > 1 else None
    return call.answer.content if call and call.answer else shown.trajectory.answer


def _side(state: CheckState, side: SideName, case: str, shown: Rollout | None) -> Side:
    if side == BASE and (recorded := state.recorded.get(case)) is not None:
        return Side(recorded.trials, recorded.passed, recorded.mean)
    known = [run for _, run in state.side(side, case) if run.outcome.is_evidence and run.score is not None]
    scores = [run.score for run in known if run.score is not None]
    return Side(
        trials=len(known),
        passed=sum(run.outcome is Outcome.passed for run in known),
        score=sum(scores) / len(scores) if scores else None,
        answer=cut_middle(_answer(state, side, case, shown), KEPT_BYTES) if shown else "",
        failure=cut_middle(_told(shown), KEPT_BYTES) if shown else "",
    )


def _told(rollout: Rollout) -> str:
    """The failed assertion, and what the test itself said of its score."""
    if rollout.outcome is Outcome.passed and rollout.score == 1:
        return ""
    return f"{read_failure(rollout.trajectory.failure).printed}\n{rollout.feedback}".strip()


def _tied(state: CheckState) -> dict[str, str]:
    """The groups of compared cases that share answers, by case."""
    before, after = (
        {
            (case, trial): run
            for case in state.trials
            for trial, run in state.side(side, case)
            if run.outcome.is_evidence
        }
        for side in (BASE, TODAY)
    )
    if state.recorded:
        # The trials that were recorded asked another time: what is the same request has had another answer then.
        return tied_runs(after.values(), state.today.texts)
    return tied_pairs(before, after, state.base.texts, state.today.texts)


def _scores(state: CheckState, case: Case, group: str) -> CaseScore:
    if (recorded := state.recorded.get(case.id)) is not None:
        # Recorded trials have no order, and are as many as they are: what is compared are the means of all. Today's
        # are rounded as the file's are: 2/3 would be less than 0.666667, in every case that scores it.
        runs = (run for _, run in state.side(TODAY, case.id) if run.outcome.is_evidence)
        today = [rounded(run.score) for run in runs if run.score is not None]
        return CaseScore(
            case.id,
            seed=(recorded.mean,),
            winner=(sum(today) / len(today) if today else None,),
            weight=case.weight,
            group=group,
            is_graded=any(0 < score < 1 for score in (*recorded.scores, *today)),
        )
    sides = {side: dict(state.side(side, case.id)) for side in (BASE, TODAY)}
    number = 1 + max((trial for runs in sides.values() for trial in runs), default=-1)

    def score(run: Rollout | None) -> float | None:
        return run.score if run is not None and run.outcome.is_evidence else None

    def has_passed(run: Rollout | None) -> bool | None:
        return run.outcome is Outcome.passed if run is not None and run.outcome.is_evidence else None

    return CaseScore(
        case.id,
        seed=tuple(score(sides[BASE].get(trial)) for trial in range(number)),
        winner=tuple(score(sides[TODAY].get(trial)) for trial in range(number)),
        weight=case.weight,
        seed_passed=tuple(has_passed(sides[BASE].get(trial)) for trial in range(number)),
        winner_passed=tuple(has_passed(sides[TODAY].get(trial)) for trial in range(number)),
        group=group,
    )


def trouble_of(state: CheckState, labels: Mapping[str, str]) -> list[Trouble]:
    """Cases that do not go with the code of today, and those of which a trial ended in trouble, each once."""
    found = {
        case: Trouble(labels[case], Outcome.failed.value, why) for case in state.trials if (why := state.unfit(case))
    }
    return troubles(state.every_rollout(BASE, TODAY), labels, found)


def spent_of(state: CheckState) -> Spent:
    """What the trials have taken."""
    return with_bill(Spent(rollouts=state.spent, cached=state.cached), state.spending, state.started)
