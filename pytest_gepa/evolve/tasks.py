"""The messages between the search and its driver: tasks that `ask` hands out, events for `tell`,
decisions. Data only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.own import OwnName
from pytest_gepa.prompts.examples import Example


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Task: run these cases under the candidate, in this search trial. Answered by one `Evaluated`.

    `purpose` is "baseline", "gate" (a child on its minibatch), "merge" (a merge where its parents
    differ), "rest" (further cases of a child that passed its gate), "repeat" (another trial of cases that
    have a result) or "shrink" (the winner without some of its changes). Every case has a rollout reserved.
    """

    candidate: Candidate
    cases: tuple[str, ...]
    purpose: str
    trial: int = 0


@dataclass(frozen=True, slots=True)
class Discarded:
    """An earlier edit of a component that was tried and dropped: the edit as short text, and why it was
    dropped.
    """

    component: str
    summary: str
    reason: str


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """A candidate to be united with the parent, and the texts of their nearest common ancestor."""

    candidate: Candidate
    base: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Reflect:
    """Task: ask one reflection per component for a better text of it. Answered by one `Reflected`.

    `failing` and `neighbours` are cases whose results under `parent` are known; `neighbours` pass.
    `discarded` are edits tried earlier, newest last. `attempt` counts the earlier rounds from this
    parent; the reflections of one round are asked together, about different cases, and their edits
    united. With `other` the task is to unite the parent with that version, under which the failing
    cases do better and the neighbours worse. `tally` tells how many of the cases that use the components pass under
    the parent, and how many do not, as far as that is known.
    """

    proposal: str
    parent: Candidate
    components: tuple[str, ...]
    failing: tuple[str, ...]
    neighbours: tuple[str, ...] = ()
    discarded: tuple[Discarded, ...] = ()
    attempt: int = 0
    other: OtherVersion | None = None
    tally: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What one rollout says to the search.

    `score` is in [0, 1], or None without evidence (trouble, skip). `uses` are the components whose text
    reached the case's requests. `likeness` is failure text for grouping, `text` the case's own, both ""
    when passed. `charged` says whether the rollout counts against the budget. `keys` is a digest of the
    request keys in order ("" when the case reached no model): equal to the parent's means that the case
    is untouched by the edit.
    `passed` is how it ended, None to go by the score and the case's threshold. `depends` says that its
    result may hang on a prompt although nothing of one was seen to reach it. `objectives` are the named
    scores in [0, 1] that it is made of, `seconds` (None when unknown) and `tokens` what its calls took, `usd` their
    list price (None when unknown). `reached` is how far the test got, () when it passed or nothing is known: a
    greater one has got further before it failed.
    """

    score: float | None
    uses: tuple[OwnName, ...] = ()
    likeness: str = ""
    charged: bool = True
    keys: OwnName = ""
    passed: bool | None = None
    depends: bool = False
    objectives: Mapping[str, float] = field(default_factory=dict, hash=False)
    seconds: float | None = None
    tokens: int = 0
    text: str = ""
    usd: float | None = None
    reached: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Event: results of an `Evaluate`. Cases that are missing were not run (the driver was stopped)."""

    candidate: OwnName
    results: Mapping[OwnName, CaseResult] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Reflected:
    """Event: what a `Reflect` gave.

    `texts` holds the new text of each component whose edit passed the guards; `summaries` its edit as
    short text. `rejections` are the reasons for which replies were refused. `examples` are the search
    cases that the edits have taken whole into the texts. `asked` is False where nobody was: another task of the round
    stands for this one, and that it brings nothing says nothing.
    """

    proposal: OwnName
    texts: Mapping[OwnName, str] = field(default_factory=dict, hash=False)
    diagnosis: str = ""
    summaries: Mapping[OwnName, str] = field(default_factory=dict, hash=False)
    rejections: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    asked: bool = True


@dataclass(frozen=True, slots=True)
class Retrying:
    """Event: rollouts in trouble are run again. A driver has reserved them in `Search.budget`; a replay tells it."""

    rollouts: int


@dataclass(frozen=True, slots=True)
class Retried:
    """Event: a retry has ended while its evaluation goes on. Of the `reserved` rollouts `charged` were paid for, beside
    what the result itself is charged.
    """

    reserved: int
    charged: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """Event: the driver ends the search, and no rollout more is run for it (cost, interrupt); `reason` is told to the
    user.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Closing:
    """Event: time or money is over. No more edits are asked for; what has passed its gate by now is still run on the
    cases that it lacks. `reason` is told to the user.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class GivenUp(Closing):
    """Event: as `Closing`, while time and money are left: no edit can be had, or no case reaches a model."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the search made of an event, for the journal and the live progress.

    `kind` is one of
    "baseline"       the seed has been measured
    "accepted"       the candidate did better than its parent on its minibatch; the other cases are run next
    "rejected"       it did not
    "step"           no case passes by it, but some get further: it is reflected on, and not run on others
    "duplicate"      the proposal's texts have been tried before
    "invalid"        the proposal held no edit that could be used
    "not in effect"  the edit reached no request of the minibatch
    "merge"          two candidates of the frontier are combined into this one
    "frontier"       it has been run on every case and stands on the frontier
    "dominated"      it has been run on every case and others are as good everywhere
    "stopped"        its evaluation was given up: it could no longer matter, or the budget could not hold it
    "shrunk"         the winner without some of its changes, which no case needs
    "done"           the search has ended

    `scores` are weighted means over the cases compared: the parent's (of a merge: the better parent's; of a
    candidate run on every case: the best before it), then the candidate's. Empty where nothing was compared.
    """

    kind: OwnName
    candidate: OwnName
    parent: OwnName
    reason: str
    scores: tuple[float, ...] = ()


Task: TypeAlias = Evaluate | Reflect
Event: TypeAlias = Evaluated | Reflected | Retrying | Retried | Stopped | Closing

STOPS = (Stopped, Closing, GivenUp)
"""The events by which a driver ends a search."""
