"""From the state of a run to its result: the verdict, the winner's ancestry, the counts."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence

from pytest_gepa.cut import cut
from pytest_gepa.evolve.candidate import Candidate, ancestors
from pytest_gepa.evolve.tasks import Reflect
from pytest_gepa.optimize.state import RunState
from pytest_gepa.prompts.guards import count_kinds
from pytest_gepa.report.confirmed import confirmed, gain_to_prove
from pytest_gepa.report.needs import change_needs, telling_first
from pytest_gepa.report.rates import case_rates
from pytest_gepa.report.result import (
    Change,
    ChangeNeed,
    ComponentChange,
    Confirmed,
    EditRecord,
    Finding,
    FrontierEntry,
    Result,
    Spent,
    TakenCase,
    Trouble,
    troubles,
)
from pytest_gepa.report.simulated import is_simulated
from pytest_gepa.report.spent import with_bill
from pytest_gepa.run.blind_spots import failed_apart, failed_apart_warning
from pytest_gepa.run.unreached import UNREACHED, first_failure, has_reached_a_model, why_unreached
from pytest_gepa.suite.rollout import Case, Outcome
from pytest_gepa.trace.record import StrayCall
from pytest_gepa.verdict.judge import ALPHA, NOT_PROVEN, Tally
from pytest_gepa.wording import count, some

STRAY_CHARACTERS = 100
REASONS = {
    "proven": "the gain is too large to be chance",
    "not proven": "so small a difference may be chance",
    "worse": "the winner of the search did worse in the confirm run",
}
TOO_SMALL = (
    "the difference is statistically clear but too small: the cases that changed moved by less than half a point on "
    "average"
)


def build_result(
    run: str,
    state: RunState,
    cases: Sequence[Case],
    seed: int,
    reflection_model: str,
    candidates: int = 1,
) -> Result:
    """The result of a run that has ended, in whatever way. A run like it may judge so many `candidates`."""
    search = state.search
    winner = state.winner or search.seed
    labels = {case.id: case.nodeid for case in cases}
    verdict, reason = _unconfirmed(state, winner, labels)
    needs = change_needs(state, labels)
    baseline, searched = (_search_tally(state, name, winner.examples) for name in (search.seed.id, winner.id))
    found = confirmed(state, cases, labels, seed)
    judged = found.get(winner.id)
    if judged is None:
        judged = Confirmed(verdict, 0.0, (0.0, 0.0), 1.0, baseline, searched)
    else:
        verdict, reason = judged.verdict, REASONS[judged.verdict]
        if verdict == NOT_PROVEN and judged.p_value < ALPHA:
            reason = TOO_SMALL
    return Result(
        run=run,
        verdict=verdict,
        reason=reason,
        effect=judged.effect,
        interval=judged.interval,
        p_value=judged.p_value,
        baseline=judged.baseline,
        winner=judged.winner,
        groups=judged.groups,
        holdout=judged.holdout,
        searched=searched if winner.id != search.seed.id else None,
        provable=gain_to_prove(state, cases, seed, candidates) if verdict == "not proven" else None,
        fixed=judged.fixed,
        broken=judged.broken,
        excluded=tuple(labels[case] for case in winner.examples),
        examples=_examples(winner, labels),
        trials=state.trials if state.is_confirmed else 0,
        spent=_spent(state),
        models={"task": tuple(sorted(state.task_models)), "reflection": (reflection_model,)},
        simulated=is_simulated((*state.task_models, reflection_model)),
        seed=seed,
        search_ended=state.search_ended,
        changes=_changes(search.candidates, search.seed, winner),
        edits=ancestry(state, winner, labels, needs),
        needs=needs,
        frontier=tuple(_frontier(state, winner, labels, found)),
        rejections=count_kinds(state.rejections),
        rates=case_rates(state, cases),
        undecidable=tuple(labels[case] for case in search.pool.ledger.undecidable),
        trouble=tuple(_trouble(state, labels)),
        stray=tuple(_stray(stray, labels) for stray in state.stray),
        problems=state.problems,
        warnings=_warnings(state, reason, labels),
        resumed=state.resumed,
    )


def _unconfirmed(state: RunState, winner: Candidate, labels: Mapping[str, str]) -> tuple[str, str]:
    """Verdict and reason of a run without a whole confirm run."""
    if not state.search_ended and state.stopped:
        return "not confirmed", f"the run was stopped before its confirm run: {state.stopped}"
    if not state.search_ended:
        return "not confirmed", "the run was interrupted before its confirm run"
    if winner.id != state.search.seed.id:
        if state.unconfirmed:
            return "not confirmed", state.unconfirmed
        when = f"{'in' if state.trials else 'before'} its confirm run"
        if state.confirm_stopped:
            return "not confirmed", f"the run was stopped {when}: {state.confirm_stopped}"
        return "not confirmed", f"the run was interrupted {when}"
    if state.search_ended == why_unreached(state.baseline(state.search.pool.ledger.cases)):
        return "nothing to do", state.search_ended
    if not _has_work(state) and not state.stopped:
        return "nothing to do", state.search_ended + _what_failed(state)
    best = state.search.best(sys.maxsize)
    if best.id != winner.id:
        # A snapshot of a prompt, say, which no edit can pass.
        cases = [labels[case] for case in state.search.broken(best)]
        return "not proven", (
            f"every candidate that did better breaks more cases than --gepa-max-broken allows; the best breaks "
            f"{count(len(cases), 'case')} ({some(cases)}) and is kept in frontier/{best.id}.patch"
        )
    was_tried = any(candidate != state.search.seed.id for candidate, _ in state.rollouts)
    told = "no edit did better than today's prompts" if was_tried else "no edit was tried"
    return "not proven", f"{told} ({state.search_ended})"


def _what_failed(state: RunState) -> str:
    """What may have kept the cases from a model where no case could be worked on: "; the first failure: ..."."""
    rollouts = state.baseline(state.search.pool.ledger.cases)
    is_reached = has_reached_a_model(rollouts)
    failure = first_failure(rollouts)
    if not failure or (is_reached and any(rollout.outcome.is_evidence for rollout in rollouts)):
        return ""
    return f"{'' if is_reached else f'; {UNREACHED}'}; the first failure: {failure}"


def _warnings(state: RunState, reason: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """What the verdict's reason does not say of baseline and search."""
    told = list(state.warnings)
    seed = state.search.seed.id
    today = (rollout for (candidate, _), rollout in state.standing.items() if candidate == seed)
    if apart := failed_apart(today):
        told.append(failed_apart_warning([labels[case] for case in apart]))
    failed = state.reflection_failed
    if failed and failed not in reason:
        told.append(f"the reflection model failed, so that no more edits were asked for: {failed}")
    if state.confirm_cut:
        told.append(f"the verdict goes by {count(state.trials, 'trial')} a side: {state.confirm_cut}")
    return tuple(told)


def _has_work(state: RunState) -> bool:
    """Whether a case has something to mend under today's prompts, and one of them could."""
    return bool(state.search.pool.ledger.workable(state.search.seed.id))


def _examples(candidate: Candidate, labels: Mapping[str, str]) -> tuple[TakenCase, ...]:
    return tuple(TakenCase(one.component, labels[one.case]) for one in candidate.taken)


def _search_tally(state: RunState, candidate: str, left_out: Collection[str]) -> Tally:
    """A candidate's score in the search, by which it was chosen, without the cases that are left out. What it was not
    run on, as nothing can change it or the run was cut short, stands as under today's prompts; likewise what ended in
    trouble.
    """
    ledger = state.search.pool.ledger
    graded = [
        (ledger.cases[case].weight, ledger.score(candidate, case), ledger.passes(candidate, case))
        for case in ledger.active
        if case not in left_out
    ]
    if not ledger.active:  # the baseline was cut short: what there is of it
        graded = [
            (ledger.cases[case].weight, rollout.score, rollout.outcome is Outcome.passed)
            for (name, case), rollout in state.standing.items()
            if name == candidate and rollout.score is not None and case not in left_out
        ]
    total = sum(weight for weight, _, _ in graded)
    score = sum(weight * score for weight, score, _ in graded) / total if total else 0.0
    return Tally(sum(passed for _, _, passed in graded), len(graded), score)


def _spent(state: RunState) -> Spent:
    counted = Spent(
        rollouts=state.spent - state.paid_before,
        cached=state.cached,
        reflections=state.paid_reflections,
    )
    before = state.resumed.usd if state.resumed else 0.0
    return with_bill(counted, state.spending, state.started, before)


def _changes(family: Mapping[str, Candidate], seed: Candidate, winner: Candidate) -> tuple[ComponentChange, ...]:
    lineage = ancestors(family, winner.id)
    return tuple(
        ComponentChange(
            component=name,
            before=len(before),
            after=len(winner.texts[name]),
            edits=sum(name in family[member].changed for member in lineage if family[member].origin == "reflection"),
        )
        for name, before in seed.texts.items()
        if winner.texts[name] != before
    )


def ancestry(
    state: RunState, candidate: Candidate, labels: Mapping[str, str], needs: Sequence[ChangeNeed] = ()
) -> tuple[EditRecord, ...]:
    """The edits that made a candidate, oldest first, each with its diagnosis and the cases that moved it; what is known
    of the needs for its changes orders the diagnoses.
    """
    family = state.search.candidates
    age = {name: position for position, name in enumerate(family)}
    records = []
    for name in sorted(ancestors(family, candidate.id), key=age.__getitem__):
        member = family[name]
        if member.origin == "seed":
            continue
        asked = [state.asked[part] for part in member.proposal.split("+") if part in state.asked]
        records.append(
            EditRecord(
                candidate=name,
                origin=member.origin,
                components=member.changed,
                parents=member.parents,
                changes=tuple(
                    telling_first(change, needs) for task in asked for change in _changes_of(state, task, labels)
                ),
            )
        )
    return tuple(records)


def _changes_of(state: RunState, task: Reflect, labels: Mapping[str, str]) -> list[Change]:
    return [
        Change(
            component=proposal.component,
            summary=proposal.summary,
            diagnosis="" if proposal.case_diagnoses else proposal.diagnosis,
            findings=tuple(Finding(*found) for found in proposal.case_diagnoses),
            cases=tuple(labels[case] for case in proposal.read or task.failing),
            examples=tuple(labels[one.case] for one in proposal.examples),
            origin=proposal.origin,
        )
        for proposal in state.proposals.get(task.proposal, {}).values()
        if proposal.text is not None
    ]


def _frontier(
    state: RunState, winner: Candidate, labels: Mapping[str, str], found: Mapping[str, Confirmed]
) -> list[FrontierEntry]:
    entries = []
    for standing in state.search.frontier():
        if standing.candidate in (winner.id, state.search.seed.id, state.unshrunk):
            continue
        candidate = state.search.candidates[standing.candidate]
        tally = _search_tally(state, candidate.id, candidate.examples)
        examples = _examples(candidate, labels)
        entries.append(
            FrontierEntry(
                candidate.id,
                tally.passed,
                tally.total,
                standing.mean,
                "",
                examples,
                found.get(candidate.id),
                state.search.pool.outlay(candidate.id),
            )
        )
    return entries


def _trouble(state: RunState, labels: Mapping[str, str]) -> list[Trouble]:
    """Cases that ended in trouble under today's prompts or in the confirm run, each once."""
    seed = state.search.seed.id
    rollouts = [rollout for (name, _), rollout in state.rollouts.items() if name == seed]
    rollouts += [rollout for side in state.confirm.values() for rollout in side.values()]
    return troubles(rollouts, labels, {})


def _stray(stray: StrayCall, labels: Mapping[str, str]) -> str:
    """A call by its model and what it was asked last, and where it comes from if that is known."""
    call = stray.call
    said = " ".join(call.request[-1].content.split()) if call.request else ""
    shown = cut(said, STRAY_CHARACTERS)
    origin = f", begun by {labels.get(stray.origin, stray.origin)}" if stray.origin else ""
    during = f", made while {labels.get(stray.during, stray.during)} ran" if stray.during else ""
    return f"{call.model or 'unknown model'}: {shown}{origin}{during}"
