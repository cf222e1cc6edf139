"""What is searched, and how: the cases that take part and the settings of the loop. Data only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TIE = 1e-9
"""Scores and sums of scores that are closer than this are equal."""


@dataclass(frozen=True, slots=True)
class SearchCase:
    """A case of the search: its weight in every mean, and the score from which on it counts as passed."""

    id: str
    weight: float = 1.0
    threshold: float = 1.0


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How the search goes about it; the defaults are those measured in `benchmarks/search`.

    `rollouts` is the limit for baseline and search together. `minibatch` is the number of failing cases
    that one reflection is shown, `neighbours` the number of passing ones beside them. From a parent
    with many failing cases up to `groups` reflections are asked at once, each on another group of them,
    and their edits united in one child. `alike` is the share of a minibatch that resembles its anchor.

    A child that passed its gate is reflected on again before it is run on every case (a chain) as soon
    as it is known to fail `chain_least` cases, as long as more than the share `chain_share` of the
    cases has not been run, at most `chain_tries` times in vain in a row, and for no more rollouts in
    all than `chain_cost` times the cases. `stage` is the least number of further cases that are run at
    once.

    When the first candidate was run on every case, `probe` cases are repeated under the seed. Where a repetition ends
    in another way, failures that may be chance are repeated too, and a case is judged by the median of its trials.

    Where a candidate mended cases and broke others, up to `repairs` versions of it are tried in which a
    part of the edit is taken back, on `repair_stage` cases at first.

    After `stuck_after` failed proposals from one parent every second attempt takes an added line away
    instead. A third and two thirds of the way to `patience` a new line begins at the seed. The search
    ends after `patience` proposals in a row without a gain, or `invalid` replies in a row without an
    edit that can be used. `discarded` is the number of earlier edits that a reflection is told of.
    `unite` says whether there is a model to unite what two candidates have changed in the same lines.
    `max_broken` is the number of cases that the winner may break.
    """

    seed: int = 0
    rollouts: int = 800
    minibatch: int = 12
    neighbours: int = 3
    groups: int = 3
    alike: float = 0.75
    chain_least: int = 4
    chain_share: float = 0.3
    chain_tries: int = 3
    chain_cost: float = 2.0
    stage: int = 8
    stuck_after: int = 3
    patience: int = 24
    invalid: int = 12
    probe: int = 0
    repairs: int = 8
    repair_stage: int = 2
    discarded: int = 5
    unite: bool = True
    max_broken: int = 0
    proposals_in_flight: int = 1


def spread(cases: Sequence[str], number: int) -> tuple[str, ...]:
    """Take `number` of the cases, as evenly over all of them as may be; all where there are fewer."""
    taken = min(number, len(cases))
    return tuple(cases[at * len(cases) // taken] for at in range(taken))
