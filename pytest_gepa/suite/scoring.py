"""From what pytest says of a case, and what the case said of itself, to its outcome and score. Pure.

The rules are told to users in `docs/scoring.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_gepa.suite.rollout import Grade, Outcome
from pytest_gepa.trace.record import Score

MOST_GRADES = 200
"""So many parts of a score are kept with a rollout, failed ones first; all of them count."""

ROUNDING = 1e-9
"""A mean of scores may miss its threshold by this much: 0.7 and 0.9 make 0.8."""

NAMED_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Scored:
    """`score` is in [0, 1], None where there is no evidence; `feedback` tells in words how it came about.

    `below` says why a case has failed of which every assert held, "" otherwise.
    """

    outcome: Outcome
    score: float | None
    grades: tuple[Grade, ...] = ()
    feedback: str = ""
    below: str = ""


def score_case(
    outcome: Outcome,
    given: Sequence[Score],
    units: Sequence[Grade],
    *,
    body_failed: bool,
    threshold: float | None,
) -> Scored:
    """Outcome and score of a case.

    `outcome` is pytest's, where a failed unit is a failure; `given` are the scores that the test gave itself. `units`
    are its subtests and soft checks, and `body_failed` says that it failed beside them.
    """
    if not outcome.is_evidence:
        return Scored(outcome, None)
    if given:
        scored = _given(outcome, given)
    elif units:
        scored = _shared(outcome, units, body_failed=body_failed, is_graded=threshold is not None)
    else:
        scored = Scored(outcome, _mean([], failed=outcome is Outcome.failed))
    if threshold is None or scored.outcome is Outcome.failed or scored.score is None:
        return scored
    if scored.score >= threshold - ROUNDING:
        return scored
    below = f"the score of {scored.score:.3g} is below the threshold of {threshold:.3g}"
    return replace(scored, outcome=Outcome.failed, below=below)


def _given(outcome: Outcome, given: Sequence[Score]) -> Scored:
    """The mean of the scores that the test gave; the asserts alone decide whether it passed."""
    grades = tuple(Grade(score.name, score.value, score.feedback) for score in given if score.name)
    failed = outcome is Outcome.failed
    score = _mean([score.value for score in given], failed=failed)
    told = [_told(grade) for grade in grades] or [score.feedback for score in given]
    if failed:
        told.append(f"{score:.3g} of 1 in all, as an assert that failed counts as a score of 0")
    return Scored(outcome, score, grades, "\n".join(filter(None, told)))


def _shared(outcome: Outcome, units: Sequence[Grade], *, body_failed: bool, is_graded: bool) -> Scored:
    """The share of the units that passed. Under a threshold they are degrees: the share decides, not each of them."""
    body_failed = body_failed or (outcome is Outcome.failed and all(unit.score == 1 for unit in units))
    score = _mean([unit.score for unit in units], failed=body_failed)
    if is_graded and not body_failed:
        outcome = Outcome.passed
    worst = sorted(range(len(units)), key=lambda position: units[position].score)[:MOST_GRADES]
    return Scored(outcome, score, tuple(units[position] for position in sorted(worst)), _tally(units))


def _tally(units: Sequence[Grade]) -> str:
    """`2 of 3 subtests passed; failed: [a] (i=1)`, a line for each kind; "" when all passed."""
    lines = []
    for kind in dict.fromkeys(unit.kind for unit in units):
        alike = [unit for unit in units if unit.kind == kind]
        failed = [unit.name for unit in alike if unit.score < 1]
        if failed:
            named = ", ".join(failed[:NAMED_FAILURES]) + (", ..." if len(failed) > NAMED_FAILURES else "")
            lines.append(f"{len(alike) - len(failed)} of {len(alike)} {kind}s passed; failed: {named}")
    return "\n".join(lines)


def _told(grade: Grade) -> str:
    said = f": {grade.feedback}" if grade.feedback else ""
    return f"{grade.name} {grade.score:.3g} of 1{said}"


def _mean(parts: Sequence[float], *, failed: bool) -> float:
    """The mean of the parts of a score. An assert that failed is one more, of 0: no such case has full marks."""
    values = [*parts, 0.0] if failed else [*parts] or [1.0]
    return math.fsum(values) / len(values)
