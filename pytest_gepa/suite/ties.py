"""Which cases share an answer of a model: its luck is theirs together, so that wherever chance is judged they are one.

A module fixture that asks once for eight tests is one draw and not eight. So is a request that five tests send alike:
within a trial the first answer serves them all. One shared answer is enough to tie cases, however small its part in
them: that errs on the side of too few groups.

Two kinds of calls tie nothing. Embeddings are computed, not drawn. And a call of an unknown protocol that names no
model and holds no prompt, such as a login or the filling of an index, is no answer of a model.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeAlias

from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.trace.attribution import components_used
from pytest_gepa.trace.model_calls import is_to_model
from pytest_gepa.trace.trajectory import Call, Message

Runs: TypeAlias = Mapping[tuple[str, int], Rollout]
"""The rollouts of one side by case and trial."""

_Answers: TypeAlias = dict[str, tuple[Message | None, ...]]


def tied_pairs(before: Runs, after: Runs, *texts: Mapping[str, str]) -> dict[str, str]:
    """The group of each case that shares an answer with another one in a trial, on either side; others are missing.

    `texts` are the component texts of the sides. A group is named after its first case. What links cases in different
    trials makes one group too.
    """
    draws = _Draws(texts)
    found: dict[tuple[str, int], tuple[_Answers, _Answers]] = {}
    differing: set[tuple[int, str]] = set()
    for case, trial in (pair for pair in before if pair in after):
        sides = before[case, trial], after[case, trial]
        if any(one.score is None for one in sides):
            continue  # such a pair is left out of the comparison
        mine, other = found[case, trial] = draws.of(sides[0]), draws.of(sides[1])
        differing |= {(trial, key) for key in {*mine, *other} if mine.get(key) != other.get(key)}
    # A request that every case has answered alike on both sides is left out: the stage before the one that was edited,
    # asked once in a trial for both. Given that answer the two sides of a case differ by what comes later alone, and
    # what comes later is drawn for each case. So the cases' differences are independent, and each as likely to have
    # the other sign, which is all that the test asks for.
    members: dict[Hashable, list[str]] = {}
    for (case, trial), both in found.items():
        for answers in both:
            for key, said in answers.items():
                if (trial, key) in differing:
                    for answer in said:
                        members.setdefault((trial, key, answer), []).append(case)
    return _groups(members.values())


def tied_runs(rollouts: Iterable[Rollout], texts: Mapping[str, str], *, by_prompts: bool = False) -> dict[str, str]:
    """The same for cases of which one side is known, under `texts`.

    `by_prompts` leaves out requests that hold no prompt: another candidate's are the same, and so are its answers where
    both sides are run together.
    """
    draws = _Draws([texts], by_prompts=by_prompts)
    members: dict[Hashable, list[str]] = {}
    for rollout in rollouts:
        if rollout.score is not None:
            for key, said in draws.of(rollout).items():
                for answer in said:
                    members.setdefault((rollout.trial, key, answer), []).append(rollout.case)
    return _groups(members.values())


def group_count(cases: Sequence[str], groups: Mapping[str, str]) -> int:
    """How many groups these cases are, those that stand alone counted."""
    return len({("group", groups[case]) if case in groups else ("case", case) for case in cases})


class _Draws:
    """Tells the answers that were drawn for a rollout, by request, and that another case may share."""

    def __init__(self, texts: Sequence[Mapping[str, str]], *, by_prompts: bool = False) -> None:
        self._texts = texts
        self._by_prompts = by_prompts
        self._prompted: dict[str, bool] = {}

    def of(self, rollout: Rollout) -> _Answers:
        """The answers to each request, in the order in which they were asked for."""
        found: _Answers = {}
        for call in rollout.trajectory.calls:
            if self._may_be_shared(call):
                found[call.key] = (*found.get(call.key, ()), call.answer)
        return found

    def _may_be_shared(self, call: Call) -> bool:
        if not call.key or not call.sent or call.kind == "embedding":
            return False
        # Answers of an unknown protocol are not kept for the next one who asks.
        if not call.shared and (call.answer is None or call.kind == "other"):
            return False
        return (is_to_model(call) and not self._by_prompts) or self._holds_a_prompt(call)

    def _holds_a_prompt(self, call: Call) -> bool:
        if call.key not in self._prompted:
            self._prompted[call.key] = any(components_used(texts, [call]) for texts in self._texts)
        return self._prompted[call.key]


def _groups(members: Iterable[Sequence[str]]) -> dict[str, str]:
    """Connected components of at least two cases, by case, each named after the case that came first."""
    order: dict[str, int] = {}
    above: dict[str, str] = {}

    def top(case: str) -> str:
        while above[case] != case:
            above[case] = above[above[case]]
            case = above[case]
        return case

    for cases in members:
        for case in cases:
            order.setdefault(case, len(order))
            above.setdefault(case, case)
        for case in cases[1:]:
            one, other = sorted((top(cases[0]), top(case)), key=order.__getitem__)
            above[other] = one
    sizes: dict[str, int] = {}
    for case in above:
        sizes[top(case)] = sizes.get(top(case), 0) + 1
    return {case: top(case) for case in above if sizes[top(case)] > 1}
