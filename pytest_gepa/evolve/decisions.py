"""The decisions of the search, each a function with one implementation, to be replaced one by one. Pure.

What a decision is taken on is data. The search calls it once, in the order of events, and heeds what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.merge import merge_components
from pytest_gepa.evolve.minibatch import Draw, FailedCase, group_failures
from pytest_gepa.evolve.objectives import Outlay
from pytest_gepa.evolve.problem import TIE
from pytest_gepa.evolve.repairs import Damage, take_back_parts
from pytest_gepa.evolve.stages import Stage, run_what_can_matter

GateVerdict: TypeAlias = Literal["accept", "reject", "wait"]
"""What becomes of a child at its gate; "wait" runs it on the cases that are open, and asks again."""


@dataclass(frozen=True, slots=True)
class Parent:
    """A member of the frontier from which a proposal may start.

    `mean` is its weighted mean over the cases; `share` its chance in the draw, by the weight of the cases where it
    is among the best; `failures` the number of proposals from it that came to nothing.
    """

    candidate: str
    mean: float
    share: float
    failures: int


@dataclass(frozen=True, slots=True)
class ParentChoice:
    """Where the next proposal may start: `parents`, one at least, best mean first, or the `seed`.

    `is_stuck` says that there has been no gain for so long that a new line from the seed is due. `number` is drawn
    from [0, 1).
    """

    parents: tuple[Parent, ...]
    seed: str
    is_stuck: bool
    number: float


SelectParent: TypeAlias = Callable[[ParentChoice], "str | None"]
"""Returns the id of the candidate from which a proposal starts, None to end the search."""


def draw_by_share(choice: ParentChoice) -> str:
    """Draw a parent by the cases where it is among the best; begin anew at the seed where all have got stuck."""
    if choice.is_stuck:
        # One that begins anew may avoid what holds up every line on the frontier.
        return choice.seed
    number = choice.number
    for parent in choice.parents:
        number -= parent.share
        if number < 0:
            return parent.candidate
    return choice.parents[0].candidate


ChooseMinibatches: TypeAlias = Callable[
    [Mapping[str, FailedCase], Mapping[str, int], int, int, float, Draw], list[tuple[str, ...]]
]
"""Divides failing cases, the first argument, for the reflections that are shown them, none twice. The others: how often
each was shown before, the most cases of a group, the number of groups, the share of a group that resembles its first
case, and what draws."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What is known of a child at its gate.

    `scores` are its own by case, `rivals` those of the candidates that it has to beat, by id, on all cases of the
    gate. The cases in `open` have not been run. `weights` holds the weight of every case of the gate.
    """

    child: Candidate
    scores: Mapping[str, float] = field(hash=False)
    rivals: Mapping[str, Mapping[str, float]] = field(hash=False)
    open: tuple[str, ...]
    weights: Mapping[str, float] = field(hash=False)

    def sum(self, scores: Mapping[str, float], cases: Iterable[str]) -> float:
        """Return the weighted sum of some scores."""
        return sum(self.weights[case] * scores[case] for case in cases)

    @property
    def means(self) -> tuple[float, float]:
        """The weighted means of the best rival and of the child over the cases that it was run on."""
        weight = sum(self.weights[case] for case in self.scores)
        best = max(self.sum(rival, self.scores) for rival in self.rivals.values())
        return (best / weight, self.sum(self.scores, self.scores) / weight) if weight else (0.0, 0.0)


Accept: TypeAlias = Callable[[Gate], GateVerdict]
"""Decides whether a child has passed its gate; "wait" only while cases are open."""


def better_than_rivals(gate: Gate) -> GateVerdict:
    """Accept a child whose weighted sum is higher than that of every rival, as soon as no open case can change it."""
    own = gate.sum(gate.scores, gate.scores)
    needed = max(gate.sum(rival, gate.scores) + gate.sum(rival, gate.open) for rival in gate.rivals.values())
    if own > needed + TIE:
        return "accept"
    still_to_win = sum(gate.weights[case] for case in gate.open)
    return "reject" if own + still_to_win <= needed + TIE else "wait"


NextStage: TypeAlias = Callable[[Stage], Sequence[str]]
"""Returns on which of the missing cases one that has passed its gate is run next, () to give the candidate up."""


ProposeRepairs: TypeAlias = Callable[[Damage], Sequence[Mapping[str, str]]]
"""Returns versions of a candidate that mended cases and broke others, the first to be tried first: the texts of each by
component (those left out are the tip's)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two members of the frontier that could together beat the best, and their nearest common ancestor.

    `one` has the higher mean. It does better than `other` in the cases `ahead`, worse in those `behind`.
    """

    ancestor: Candidate
    one: Candidate
    other: Candidate
    ahead: tuple[str, ...]
    behind: tuple[str, ...]

    @property
    def shared(self) -> tuple[str, ...]:
        """The components that both have changed since, and not to the same text."""
        base, one, other = self.ancestor.texts, self.one.texts, self.other.texts
        return tuple(name for name in base if len({base[name], one[name], other[name]}) == 3)

    @property
    def only_other(self) -> tuple[str, ...]:
        """The components that `other` has changed since, and `one` has not."""
        base, one, other = self.ancestor.texts, self.one.texts, self.other.texts
        return tuple(name for name in base if base[name] == one[name] != other[name])


ProposeMerge: TypeAlias = Callable[[Pair], "Mapping[str, str] | None"]
"""Returns the texts of the union of two candidates by component (those left out are the texts of `one`), None for no
merge."""


def merge_lines(pair: Pair) -> Mapping[str, str]:
    """Take from each side what it changed; where both changed the same lines, the wording of `one`."""
    return merge_components(pair.ancestor.texts, pair.one.texts, pair.other.texts)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a search has come.

    `best` is the highest weighted mean so far, in [0, 1]. `rollouts` were spent, `remaining` are left. `without_gain`
    counts the proposals in a row that brought none, of `patience` at most; `without_edit` the replies in a row that
    held no edit that could be used, of `invalid` at most. Without a model (`has_model`) nobody has replied.
    """

    best: float
    rollouts: int
    remaining: int
    without_gain: int
    patience: int
    without_edit: int
    invalid: int
    has_model: bool = True


Stop: TypeAlias = Callable[[Progress], str]
"""Returns why a search ends before its budget does, in words, "" for it to go on. Asked before each new proposal."""


def stop_when_stuck(progress: Progress) -> str:
    """End a search that has brought no gain for too long, or no edit that could be used."""
    if progress.without_gain >= progress.patience:
        return f"{progress.without_gain} proposals in a row brought no gain"
    if progress.without_edit >= progress.invalid:
        what = "replies" if progress.has_model else "proposals"
        return f"{progress.without_edit} {what} in a row held no edit that could be used"
    return ""


_PATIENCE = 10
"""How many times the usual patience a plugin may keep a search going."""


def stop_at_last(progress: Progress) -> str:
    """The stop that no plugin can overrule: replies without a usable edit take no rollouts, so that the budget alone
    would never end such a search.
    """
    usual = replace(progress, patience=_PATIENCE * progress.patience, invalid=_PATIENCE * progress.invalid)
    return stop_when_stuck(usual)


@dataclass(frozen=True, slots=True)
class Finalist:
    """A candidate that may become the winner: better than the seed on all cases, or the usual choice, with no more than
    the allowed number of `broken` ones. `mean` is its score in [0, 1], `outlay` what it takes.
    """

    candidate: Candidate
    mean: float
    broken: int
    outlay: Outlay


@dataclass(frozen=True, slots=True)
class WinnerChoice:
    """Who may become the winner: `finalists`, one at least, best mean first. `usual` is the id of the usual choice."""

    finalists: tuple[Finalist, ...]
    usual: str


ChooseWinner: TypeAlias = Callable[[WinnerChoice], str]
"""Returns the id of the finalist that is shrunk and confirmed, when the search has ended."""


def choose_best(choice: WinnerChoice) -> str:
    """Choose the highest mean, then the fewest broken cases, the shortest texts, the newest (see `Pool.best`)."""
    return choice.usual


@dataclass(frozen=True, slots=True)
class Decisions:
    """How a search decides; the defaults are those measured in `benchmarks/search`."""

    select_parent: SelectParent = draw_by_share
    choose_minibatches: ChooseMinibatches = group_failures
    accept: Accept = better_than_rivals
    next_stage: NextStage = run_what_can_matter
    propose_repairs: ProposeRepairs = take_back_parts
    propose_merge: ProposeMerge = merge_lines
    stop: Stop = stop_when_stuck
    choose_winner: ChooseWinner = choose_best
