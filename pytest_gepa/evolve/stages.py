"""How much of the full evaluation of a candidate that has passed its gate is run at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.problem import TIE


@dataclass(frozen=True, slots=True)
class Stage:
    """What is known of a candidate that has passed its gate and was not run on all cases.

    `scores` are those that count for it, on the cases that are not `missing`; `best` are the highest of any
    candidate so far, on every case (1 where it cannot be decided), and `best_mean` is the highest weighted mean.
    `unsolved` are the missing cases that nobody has solved. `fragile` says how often edits have broken a case. With
    `failures_wanted` failures the candidate is reflected on again (0: not before it was run on all cases); a case
    fails with a chance of `failure_rate`. An evaluation is worth its while with `least` cases. Graded scores of one
    text lie up to `jitter` apart.
    """

    candidate: Candidate
    scores: Mapping[str, float] = field(hash=False)
    missing: tuple[str, ...]
    unsolved: tuple[str, ...]
    best: Mapping[str, float] = field(hash=False)
    best_mean: float
    weights: Mapping[str, float] = field(hash=False)
    fragile: Mapping[str, int] = field(hash=False)
    failures_wanted: int
    failure_rate: float
    least: int
    jitter: float = 0.0

    @property
    def slack(self) -> float:
        """The weight of the cases that it may still lose without falling behind the best mean."""
        own = sum(self.weights[case] * score for case, score in self.scores.items())
        open_ = sum(self.weights[case] for case in self.missing)
        return own + open_ - self.best_mean * sum(self.weights.values())


def stage_of(
    ledger: Ledger,
    candidate: Candidate,
    best_scores: Mapping[str, float],
    best_mean: float,
    fragile: Mapping[str, int],
    failures_wanted: int,
    least: int,
) -> Stage:
    """Gather what is known of a candidate and of the best."""
    missing = ledger.missing(candidate.id)
    lacking = set(missing)
    # Nobody can be the best on a case that nobody can decide: as if it were solved.
    best_scores = {**best_scores, **dict.fromkeys(ledger.undecidable, 1.0)}
    settled = [case for case in ledger.active if case not in lacking]
    failing, passing = ledger.divide(candidate.id)
    return Stage(
        candidate,
        {case: ledger.score(candidate.id, case) for case in settled},
        missing,
        tuple(
            case
            for case in missing
            # Where the best is nearly full marks, no score is a lead that counts.
            if not ledger.is_pass(case, best_scores[case]) and best_scores[case] + ledger.jitter < 1 - TIE
        ),
        best_scores,
        best_mean,
        {case: ledger.cases[case].weight for case in ledger.active},
        fragile,
        failures_wanted,
        (len(failing) + 1) / (len(failing) + len(passing) + 2),
        least,
        ledger.jitter,
    )


def run_what_can_matter(stage: Stage) -> tuple[str, ...]:
    """Return the cases to run next, () when the candidate can no longer matter.

    It matters while it can reach the best mean, or while it is better, or can still become so, than every other on
    some case. Cases that nobody has solved therefore come first, as many as are likely to show the failures that are
    wanted. Then come those that others solve, the fragile ones first, as many as could all fail before the candidate is
    out: fewer would save nothing.
    """
    if stage.unsolved and stage.failures_wanted:
        likely = ceil(stage.failures_wanted / stage.failure_rate)
        return stage.unsolved[: max(stage.least, likely)]
    order = sorted(stage.missing, key=lambda case: -stage.fragile.get(case, 0))
    if any(score > stage.best[case] + stage.jitter + TIE for case, score in stage.scores.items()):
        return tuple(order)
    if stage.unsolved:
        return stage.unsolved
    slack, count = stage.slack, 0
    while count < len(order) and slack >= -TIE:
        slack -= stage.weights[order[count]]
        count += 1
    return tuple(order[: max(count, stage.least)]) if count else ()
