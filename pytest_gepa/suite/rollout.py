"""Cases and rollouts: what can be run, and what one run of it gave. Data only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from pytest_gepa.own import OwnName
from pytest_gepa.trace.renderings import Rendering
from pytest_gepa.trace.trajectory import Trajectory

POSITIONS = re.compile(r"\[([\d.]+)\](?:#\d+)?\Z")
"""The end of a case's id that is its own among the cases of one test: its values' places in their parameter sets."""


def file_of(case: str) -> str:
    """The test file in a case's id, relative to pytest's rootdir."""
    return case.partition("::")[0]


def function_of(case: str) -> str:
    """A case's id without the positions of its parameters: the same for all cases of one test."""
    return POSITIONS.sub("", case)


class Outcome(str, Enum):
    """How a rollout ended. Only `passed` and `failed` are evidence about a prompt."""

    passed = "passed"
    failed = "failed"
    error = "error"
    timeout = "timeout"
    crashed = "crashed"
    skipped = "skipped"
    xfailed = "xfailed"
    xpassed = "xpassed"
    vanished = "vanished"
    stopped = "stopped"
    unrecorded = "unrecorded"

    @property
    def is_evidence(self) -> bool:
        """Whether the outcome says something about the prompts."""
        return self in (Outcome.passed, Outcome.failed)

    @property
    def is_trouble(self) -> bool:
        """Whether the outcome tells of the infrastructure: retried with bounds, then reported, never a zero."""
        return self in (
            Outcome.error,
            Outcome.timeout,
            Outcome.crashed,
            Outcome.vanished,
            Outcome.unrecorded,
        )

    @property
    def is_passed_over(self) -> bool:
        """Whether the test itself asks for no verdict today: it is skipped, or expected to fail."""
        return self in (Outcome.skipped, Outcome.xfailed, Outcome.xpassed)

    @property
    def is_final(self) -> bool:
        """Whether to run the case again could not change the outcome."""
        return not self.is_trouble or self in (Outcome.vanished, Outcome.unrecorded)


@dataclass(frozen=True, slots=True)
class Case:
    """One collected test item.

    `id` is its identity: file, qualified name and position in its parameter set. `nodeid` is a label, which a prompt
    in the parametrize arguments may change. `source` is the test function without decorators, or the text of a doctest,
    `parameters` this case's own values as (name, repr) pairs. `split` is "search" or "holdout". `trials` is the confirm
    run's number of repetitions for this case, or None for the run's own. `threshold` is the score in [0, 1] from which
    on it counts as passed, None where the asserts alone decide. `weight` is its weight in every mean. `values` names
    its parameters as they were here (see `values_digest`), `basis` what it is made of beside source and parameters (see
    `case_basis`).
    """

    id: OwnName
    nodeid: str
    source: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    split: OwnName = "search"
    weight: float = 1.0
    trials: int | None = None
    threshold: float | None = None
    values: OwnName = field(default="", compare=False)
    basis: OwnName = ""


@dataclass(frozen=True, slots=True)
class Grade:
    """One part of a case's score: an objective of `gepa.score(name=)`, a subtest, or a soft check.

    `kind` is "objective", "subtest" or "check"; `score` is in [0, 1]; `feedback` says in words what was wrong.
    """

    name: str
    score: float
    feedback: str = ""
    kind: OwnName = "objective"


@dataclass(frozen=True, slots=True)
class Rollout:
    """One run of one case under one candidate in one trial.

    `score` is in [0, 1], None for trouble and skips. `grades` are the parts that it is made of, () where it has none.
    `charged` says whether at least one response came from a model: not from the cache nor a mock, nor a refusal by its
    server. `uses` holds the ids of the components whose text reached a request; `reads` of those whose file was opened
    for the case or in a fixture that it uses; `imported` of those that its process had opened before it and may have
    kept (a constant, a cache, a module), at import or, those in `carried`, for earlier cases only. `asked_before` are
    those with which earlier cases of its process had asked, which may have kept the answers. `unopened` are those whose
    own text reached a request though nothing in its process, nor what that started, had opened the file.
    `renderings` tell what the components' Jinja2 templates were rendered with. `reached` is how far a test got before
    it failed, greater when it got further (see `Reach`), () when that is not known. `reports` are pytest's own
    reports, serialised, to be fed into the user's session. `in_vain` counts the attempts before this one that were
    charged too: they ended in trouble, so that the case was run again.
    """

    candidate: OwnName
    case: OwnName
    trial: OwnName
    outcome: Outcome
    score: float | None
    trajectory: Trajectory = field(default_factory=Trajectory)
    feedback: str = ""
    grades: tuple[Grade, ...] = ()
    charged: bool = False
    uses: tuple[OwnName, ...] = ()
    reads: tuple[OwnName, ...] = ()
    imported: tuple[OwnName, ...] = ()
    carried: tuple[OwnName, ...] = ()
    asked_before: tuple[OwnName, ...] = ()
    unopened: tuple[OwnName, ...] = ()
    renderings: tuple[Rendering, ...] = ()
    reached: tuple[int, ...] = ()
    seconds: float = 0.0
    reports: tuple[dict[str, object], ...] = ()
    in_vain: int = 0

    @property
    def stop(self) -> str:
        """Why it was stopped, in a line, "" where it was not."""
        if self.outcome is not Outcome.stopped:
            return ""
        return self.trajectory.failure.partition("\n")[0] or "a request was not sent"

    @property
    def may_repeat(self) -> frozenset[str]:
        """The components that it may go by unseen: it shows no call, and answers that earlier cases of its process have
        got may have been kept.
        """
        if self.trajectory.calls or not self.outcome.is_evidence:
            return frozenset()
        return frozenset(self.asked_before).difference(self.uses, self.reads)

    @property
    def shows_model(self) -> bool:
        """Whether it was seen that a model was asked to answer, or that a prompt arrived somewhere. Embeddings alone,
        or calls of other services, say nothing of a model that is asked where nobody sees it.
        """
        return bool(self.uses) or any(call.kind == "chat" for call in self.trajectory.calls)

    @property
    def request_keys(self) -> tuple[str, ...]:
        """The content keys of the requests in order: equal keys mean that a change of prompt did not arrive. () where
        no request could show it.
        """
        return tuple(call.key for call in self.trajectory.calls) if self.shows_model else ()
