"""A saved baseline beside the cases of a session, or beside another: what is the same, and what has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_gepa.check.baselines import Baseline, RecordedCase
from pytest_gepa.suite.rollout import function_of
from pytest_gepa.suite.usage import NOTHING
from pytest_gepa.verdict.judge import Tally
from pytest_gepa.wording import passed


@dataclass(frozen=True, slots=True)
class Matched:
    """Cases of a session beside recorded ones: `known` by the id of today; the others are ids of today (`new`, and
    `edited`, of which the test, its values or its threshold are not as they were) and names of then (`gone`: not in
    this session).
    """

    known: Mapping[str, RecordedCase]
    new: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


def match(
    baseline: Baseline, digests: Mapping[str, str], thresholds: Mapping[str, float | None] | None = None
) -> Matched:
    """Find the recorded trials of cases, given by id with the digests and the thresholds of today; a case that has no
    entry among these is not judged by its threshold.

    A case that has another place among the parameters than it had is found again by what it does.
    """
    known = thresholds or {}

    def is_same(recorded: RecordedCase | None, case: str) -> bool:
        if recorded is None or recorded.digest != digests[case] or recorded.digest == NOTHING:
            return False
        # Under another threshold other trials have passed, with the same answers.
        return case not in known or recorded.threshold == known[case]

    left = dict(baseline.cases)
    found = {case: left.pop(case) for case in digests if is_same(left.get(case), case)}
    elsewhere: dict[tuple[str, str], list[str]] = {}
    for case, recorded in left.items():
        elsewhere.setdefault((function_of(case), recorded.digest), []).append(case)
    for case in [case for case in digests if case not in found]:
        places = elsewhere.get((function_of(case), digests[case]), [])
        place = next((one for one in places if is_same(left[one], case)), None)
        if place is not None:
            places.remove(place)
            found[case] = left.pop(place)
    rest = [case for case in digests if case not in found]
    return Matched(
        known={case: found[case] for case in digests if case in found},
        new=tuple(case for case in rest if case not in left),
        edited=tuple(case for case in rest if case in left),
        gone=tuple(recorded.name for case, recorded in left.items() if case not in rest),
    )


def differences(before: Baseline, after: Baseline) -> list[str]:
    """What a baseline that is saved again says otherwise, a line each; [] where only the day is another."""
    found = match(
        before,
        {case: recorded.digest for case, recorded in after.cases.items()},
        {case: recorded.threshold for case, recorded in after.cases.items()},
    )
    lines = _changed_prompts(before.prompts, after.prompts)
    if set(before.models) != set(after.models):
        lines.append(f"models: {_listed(before.models)} -> {_listed(after.models)}")
    for case, one in found.known.items():
        other = after.cases[case]
        if (one.passed, one.scores) != (other.passed, other.scores):
            lines.append(f"{other.name}: {recorded_words(one)} -> {recorded_words(other)}")
    for case in found.edited:
        one, other = before.cases[case], after.cases[case]
        what = "test" if one.digest != other.digest else "threshold"
        lines.append(f"{other.name}: {recorded_words(one)} -> {recorded_words(other)} (the {what} is another)")
    lines += [f"{after.cases[case].name}: new" for case in found.new]
    return lines + [f"{name}: no longer there" for name in found.gone]


def recorded_words(case: RecordedCase) -> str:
    """`31/32`, and the mean score where that says something else."""
    return passed(Tally(case.passed, case.trials, case.mean))


def _changed_prompts(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    words = {
        name: "new" if name not in before else "no longer there" if name not in after else "another text"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }
    return [f"prompt {name}: {word}" for name, word in words.items()]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "none"
