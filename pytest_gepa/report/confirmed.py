"""What the confirm run says of each candidate that it judged, and what a run of its size can prove at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.optimize.state import RunState
from pytest_gepa.report.result import Confirmed, SplitScores
from pytest_gepa.run.trials import SEARCH
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.suite.ties import tied_pairs, tied_runs
from pytest_gepa.verdict.holm import holm_verdicts
from pytest_gepa.verdict.judge import CaseScore, Verdict, judge
from pytest_gepa.verdict.power import ProvableGain, SeenCase, provable_gain


def confirmed(state: RunState, cases: Sequence[Case], labels: Mapping[str, str], seed: int) -> dict[str, Confirmed]:
    """What a whole confirm run says, by candidate id, each p-value adjusted for the other candidates."""
    if not state.is_confirmed or state.winner is None:
        return {}
    candidates = (state.winner, *state.rivals)
    verdicts = holm_verdicts([_judge(state, one, cases, "search", seed) for one in candidates])
    return {
        candidate.id: _confirmed(verdict, _held_out(state, candidate, cases, labels, seed), labels)
        for candidate, verdict in zip(candidates, verdicts, strict=True)
    }


def gain_to_prove(state: RunState, cases: Sequence[Case], seed: int, candidates: int = 1) -> ProvableGain | None:
    """The gain that another confirm run like this one would prove, of the cases as flaky as this run has seen them.

    `candidates` is how many may be judged in a run; where some were, it is those.
    """
    scores: dict[str, list[float]] = {}
    known = state.under_todays_prompts()
    for rollout in known:
        if rollout.score is not None:
            scores.setdefault(rollout.case, []).append(rollout.score)
    trials = state.trials or (1 if state.has_repeated_exactly else state.planned_trials)
    searched = {case.id for case in cases if case.split == "search"}
    if state.is_confirmed and state.winner is not None:
        groups = _tied(state, state.winner, searched)
        candidates = 1 + len(state.rivals)
    else:
        one_side = (rollout for rollout in known if rollout.case in searched)
        groups = tied_runs(one_side, state.search.seed.texts, by_prompts=True)
    seen = [
        SeenCase(
            tuple(scores[case.id]),
            case.trials or trials,
            case.weight,
            groups.get(case.id, ""),
        )
        for case in cases
        if case.split == "search" and case.id in scores
    ]
    return provable_gain(seen, candidates=candidates, seed=seed)


def _confirmed(verdict: Verdict, holdout: SplitScores | None, labels: Mapping[str, str]) -> Confirmed:
    return Confirmed(
        verdict=verdict.kind,
        effect=verdict.effect,
        interval=verdict.interval,
        p_value=verdict.p_value,
        baseline=verdict.baseline,
        winner=verdict.winner,
        holdout=holdout,
        fixed=tuple(labels[case] for case in verdict.fixed),
        broken=tuple(labels[case] for case in verdict.broken),
        groups=verdict.tied_groups,
    )


def _held_out(
    state: RunState, candidate: Candidate, cases: Sequence[Case], labels: Mapping[str, str], seed: int
) -> SplitScores | None:
    if not any(case.split == "holdout" for case in cases):
        return None
    held = _judge(state, candidate, cases, "holdout", seed)
    broken = tuple(labels[case] for case in held.broken)
    return SplitScores(held.baseline, held.winner, broken, held.tied_groups)


def _judge(state: RunState, candidate: Candidate, cases: Sequence[Case], split: str, seed: int) -> Verdict:
    """The comparison of both sides of the confirm run, over the cases of a split that are no examples."""
    before, after = (state.confirm.get(name, {}) for name in (state.search.seed.id, candidate.id))
    trials = 1 + max((trial for _, trial in (*before, *after)), default=0)
    chosen = [case for case in cases if case.split == split and case.id not in candidate.examples]
    groups = _tied(state, candidate, {case.id for case in chosen})
    scores = [
        CaseScore(
            case.id,
            _scores(before, case.id, trials),
            _scores(after, case.id, trials),
            weight=case.weight,
            seed_passed=_passes(before, case.id, trials),
            winner_passed=_passes(after, case.id, trials),
            seed_before=_earlier(state, case.id),
            group=groups.get(case.id, ""),
        )
        for case in chosen
    ]
    return judge(scores, seed=seed)


def _tied(state: RunState, candidate: Candidate, cases: Collection[str]) -> dict[str, str]:
    """The groups of these cases that share answers in the confirm run, by case."""
    seed = state.search.seed
    before, after = (
        {place: rollout for place, rollout in state.confirm.get(name, {}).items() if place[0] in cases}
        for name in (seed.id, candidate.id)
    )
    return tied_pairs(before, after, seed.texts, candidate.texts)


def _earlier(state: RunState, case: str) -> tuple[bool, ...]:
    """Whether a case passed in each trial of the search under today's prompts."""
    passes = state.trial_passes.get((state.search.seed.id, case), {})
    return tuple(passed for trial, passed in passes.items() if trial.startswith(SEARCH))


def _scores(side: Mapping[tuple[str, int], Rollout], case: str, trials: int) -> tuple[float | None, ...]:
    found = (side.get((case, trial)) for trial in range(trials))
    return tuple(rollout.score if rollout else None for rollout in found)


def _passes(side: Mapping[tuple[str, int], Rollout], case: str, trials: int) -> tuple[bool | None, ...]:
    found = (side.get((case, trial)) for trial in range(trials))
    return tuple(rollout.outcome is Outcome.passed if rollout else None for rollout in found)
