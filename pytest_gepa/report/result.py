"""The result of a run as data: computed once, rendered elsewhere. Its JSON form is `result.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_gepa.evolve.objectives import Outlay
from pytest_gepa.own import OwnName
from pytest_gepa.run.history import Resumed
from pytest_gepa.run.unreached import last_line
from pytest_gepa.settings import NO_MODEL
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.verdict.judge import Tally
from pytest_gepa.verdict.power import ProvableGain


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run cost. `rollouts` are charged, `cached` were answered from the cache; `seconds` is wall time.

    Tokens are those of every call that was sent: in cases, of no case, of reflections, failed and retried ones. `usd`
    is None when it is unknown; `unpriced` then says why. `usd_by_role` has the known sums of "task" (with judges) and
    "reflection". Under a `cap`, `usd_at_most` counts all that was reserved for calls that told no tokens.
    """

    rollouts: int = 0
    cached: int = 0
    reflections: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    usd_by_role: Mapping[OwnName, float] = field(default_factory=dict)
    unpriced: tuple[str, ...] = ()
    usd_at_most: float | None = None
    cap: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SplitScores:
    """Both sides of the confirm run on the held-out cases; `broken` are those that the winner breaks. `groups` is how
    many independent groups the cases are, 0 where no two of them share an answer."""

    baseline: Tally
    winner: Tally
    broken: tuple[str, ...] = ()
    groups: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What the reflection model wrote of one failing case."""

    case: str
    problem: str
    cause: str


@dataclass(frozen=True, slots=True)
class SharedFinding:
    """A finding that stands for several failing cases, in the order of their first one."""

    cases: tuple[str, ...]
    problem: str
    cause: str


def by_cause(findings: Sequence[Finding]) -> list[SharedFinding]:
    """Findings that say the same in the same words, as one."""
    cases: dict[tuple[str, str], list[str]] = {}
    for found in findings:
        cases.setdefault((found.problem, found.cause), []).append(found.case)
    return [SharedFinding(tuple(dict.fromkeys(names)), *words) for words, names in cases.items()]


@dataclass(frozen=True, slots=True)
class TakenCase:
    """A case, by its nodeid, that stands whole in a component's text as an example."""

    component: OwnName
    case: str


@dataclass(frozen=True, slots=True)
class Change:
    """A change that the reflection model proposed for one component, and why.

    `summary` is the changed lines, `diagnosis` its words where it did not write them case by case in `findings`,
    `cases` the failing cases that it had read for this component. `examples` are cases that the change takes whole into
    the text. `origin` is "model", "plugin", or "model-free" for a change that the checks state: then `diagnosis` is the
    reason for it.
    """

    component: OwnName
    summary: str
    diagnosis: str
    findings: tuple[Finding, ...]
    cases: tuple[str, ...]
    examples: tuple[str, ...] = ()
    origin: OwnName = "model"


@dataclass(frozen=True, slots=True)
class ChangeNeed:
    """One change of the winner as the search has found it, by its `lines`, and what it is needed for.

    `state` is "needed": `cases` are worse without it, those that were seen before the attempt was given up, and
    `at_least` says that others were not run; "dropped": no case is, and the winner is without it; or "not measured",
    for the `reason`.
    """

    component: OwnName
    lines: tuple[str, ...]
    state: OwnName
    cases: tuple[str, ...] = ()
    reason: str = ""
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class EditRecord:
    """One step in a candidate's ancestry: a reflection's changes, or a merge of two candidates."""

    candidate: OwnName
    origin: OwnName
    components: tuple[OwnName, ...]
    parents: tuple[OwnName, ...]
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class ComponentChange:
    """How a component differs between today and the winner; sizes in characters."""

    component: OwnName
    before: int
    after: int
    edits: int


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the confirm run says of one candidate; the fields are those of `Result`."""

    verdict: OwnName
    effect: float
    interval: tuple[float, float]
    p_value: float
    baseline: Tally
    winner: Tally
    holdout: SplitScores | None = None
    fixed: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    groups: int = 0


@dataclass(frozen=True, slots=True)
class FrontierEntry:
    """A candidate of the frontier other than the winner, with its search score.

    `confirmed` is None for one that the confirm run did not judge. Its `examples` are cases, and count in no figure of
    it. `outlay` is what it takes, as measured in the search.
    """

    candidate: OwnName
    passed: int
    total: int
    score: float
    patch: OwnName
    examples: tuple[TakenCase, ...] = ()
    confirmed: Confirmed | None = None
    outlay: Outlay | None = None


@dataclass(frozen=True, slots=True)
class PassRate:
    """How often a case passed under one text of the prompts: `passed` of `trials` that gave evidence, in the search
    and in the confirm run. `interval` is the 95 % interval of the rate (Wilson).
    """

    trials: int
    passed: int
    interval: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class CaseRates:
    """A case whose trials both passed and failed on one side or on both, or that the search has set aside.

    Only what was run under a side's own texts is counted. A winner that is today's prompts has no trials of its own.
    """

    case: str
    today: PassRate
    winner: PassRate


@dataclass(frozen=True, slots=True)
class Trouble:
    """A case that gave no evidence: how it ended, and why."""

    case: str
    outcome: OwnName
    reason: str


def troubles(rollouts: Iterable[Rollout], labels: Mapping[str, str], found: Mapping[str, Trouble]) -> list[Trouble]:
    """What was `found` already, by case, and the first trouble of every other case among some rollouts."""
    every = dict(found)
    for rollout in rollouts:
        if rollout.outcome.is_trouble:
            reason = last_line(rollout.trajectory.failure)
            every.setdefault(rollout.case, Trouble(labels[rollout.case], rollout.outcome.value, reason))
    return list(every.values())


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that a report says about a run.

    `verdict` is "proven", "not proven", "worse", "nothing to do" or "not confirmed"; `reason` explains it in a
    sentence. `effect` and `interval` are differences of mean scores in [-1, 1]. `baseline` and `winner` are over the
    search cases in the confirm run (in the search itself, when there was none), `searched` is the winner's score in the
    search. `p_value` is adjusted for the candidates that were judged beside the winner. `groups` is how many
    independent groups the search cases of the confirm run are, 0 where no two of them share an answer of a model.
    `provable` is the gain that a run like this one would prove, known when it has proven none. Cases are named by
    nodeid. `rates` has those that did not always end alike, the least steady first; `undecidable` are those of them
    that the search has set aside, as their trials differed whatever the prompt. `stray` are the requests that no case
    made, each as a line, `problems` what went wrong in the recording itself. `resumed` is the run that this one went on
    with, which is not in `spent`.
    """

    run: OwnName
    verdict: OwnName
    reason: str
    effect: float
    interval: tuple[float, float]
    p_value: float
    baseline: Tally
    winner: Tally
    groups: int = 0
    holdout: SplitScores | None = None
    searched: Tally | None = None
    provable: ProvableGain | None = None
    fixed: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    examples: tuple[TakenCase, ...] = ()
    trials: int = 0
    spent: Spent = field(default_factory=Spent)
    models: Mapping[OwnName, tuple[str, ...]] = field(default_factory=dict)
    simulated: bool = False
    seed: int = 0
    search_ended: str = ""
    changes: tuple[ComponentChange, ...] = ()
    edits: tuple[EditRecord, ...] = ()
    needs: tuple[ChangeNeed, ...] = ()
    frontier: tuple[FrontierEntry, ...] = ()
    rejections: Mapping[str, int] = field(default_factory=dict)
    rates: tuple[CaseRates, ...] = ()
    undecidable: tuple[str, ...] = ()
    trouble: tuple[Trouble, ...] = ()
    stray: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """What the baseline, or the reflection model, has shown that the run cannot see to; cases that failed apart from
    their prompts; why the reflection model was asked no more; why the verdict goes by fewer trials; why a patch or a
    report is missing, or a patch refused by git."""

    patch: OwnName = ""
    resumed: Resumed | None = None

    @property
    def has_reflection_model(self) -> bool:
        """Whether a model was asked for edits: without one they are those of plugins and of the checks."""
        return NO_MODEL not in self.models.get("reflection", ())

    @property
    def has_confirm(self) -> bool:
        """Whether a whole confirm run stands behind the figures."""
        return self.trials > 0 and self.verdict != "not confirmed"

    @property
    def judged(self) -> int:
        """How many candidates the confirm run has judged, the winner among them."""
        return self.has_confirm + sum(entry.confirmed is not None for entry in self.frontier)

    @property
    def drop(self) -> float | None:
        """By how much the winner's score in the search is above that on the held-out cases, None where unknown."""
        return self.searched.score - self.holdout.winner.score if self.searched and self.holdout else None
