"""What an audit judges by: does a case notice that a piece is gone, is it flaky, does its failure tell? Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gepa.evolve.problem import TIE
from pytest_gepa.reflect.failure import read_failure
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.cut import cut_middle

KEPT_BYTES = 4_000
_SAYS_NOTHING = re.compile(r"\b(?:AssertionError|Failed|assert|True|False|None|and|or|not|is)\b|[\s:=!()]+")


@dataclass(frozen=True, slots=True)
class Seen:
    """What an audit keeps of a rollout. `said` names the answers that the case was given, `keys` its requests."""

    outcome: Outcome
    score: float | None
    said: str
    keys: str
    uses: tuple[str, ...] = ()
    failure: str = ""
    feedback: str = ""


def seen(rollout: Rollout) -> Seen:
    """Return what is kept of a rollout."""
    answers = "\0".join(call.answer.content if call.answer else "" for call in rollout.trajectory.calls)
    keys = "\0".join(rollout.request_keys)
    feedback = [rollout.feedback, *(grade.feedback for grade in rollout.grades)]
    return Seen(
        rollout.outcome,
        rollout.score,
        hashlib.sha256(answers.encode("utf-8", "surrogatepass")).hexdigest(),
        hashlib.sha256(keys.encode()).hexdigest() if keys else "",
        rollout.uses,
        cut_middle(read_failure(rollout.trajectory.failure).printed, KEPT_BYTES),
        "\n".join(filter(None, feedback)),
    )


def evidence(runs: Sequence[Seen]) -> list[Seen]:
    """Return the runs that say something of a prompt."""
    return [run for run in runs if run.outcome.is_evidence and run.score is not None]


def is_steady(today: Sequence[Seen]) -> bool:
    """Whether repetitions of a case under today's prompts gave the same answers, outcome and score."""
    runs = evidence(today)
    return len({(run.said, run.outcome, run.score) for run in runs}) <= 1


def is_flaky(today: Sequence[Seen]) -> bool:
    """Whether repetitions of a case under today's prompts ended differently."""
    runs = evidence(today)
    return len({(run.outcome, run.score) for run in runs}) > 1


def can_notice(today: Sequence[Seen]) -> bool:
    """Whether a case could do worse than it does today."""
    runs = evidence(today)
    return bool(runs) and min(run.score or 0.0 for run in runs) > TIE


def is_worse(today: Sequence[Seen], other: Seen) -> bool:
    """Whether a run is worse than the case ever is today, by more than its scores differ by themselves."""
    runs = evidence(today)
    if not runs or not evidence([other]):
        return False
    if all(run.outcome is Outcome.passed for run in runs) and other.outcome is Outcome.failed:
        return True
    scores = [run.score or 0.0 for run in runs]
    noise = max(scores) - min(scores)
    return (other.score or 0.0) < min(scores) - noise - TIE


def notices(today: Sequence[Seen], ablated: Sequence[Seen]) -> bool:
    """Whether a case notices what its runs in `ablated` went without.

    One run tells it of a case whose answers repeat; of any other each of two must be worse.
    """
    needed = 1 if is_steady(today) else 2
    runs = evidence(ablated)[:needed]
    return len(runs) == needed and all(is_worse(today, run) for run in runs)


def is_undecided(today: Sequence[Seen], ablated: Sequence[Seen]) -> bool:
    """Whether a case was worse in the one run that it has, while it takes two to tell."""
    runs = evidence(ablated)
    return not is_steady(today) and len(runs) == 1 and is_worse(today, runs[0])


def is_part(component: str, today: Sequence[Seen], blanked: Sequence[Seen]) -> bool:
    """Whether a prompt has a part in a case: without it the case asks other things, or where that is not seen, ends
    otherwise.
    """
    if not evidence(today) or not evidence(blanked):
        return False
    before, after = evidence(today)[0], evidence(blanked)[0]
    if before.keys or after.keys:
        return before.keys != after.keys
    return component in before.uses or (before.outcome, before.score) != (after.outcome, after.score)


def tells_nothing(run: Seen) -> bool:
    """Whether a failure has neither values nor words: `assert False`, and no feedback."""
    is_bare = not _SAYS_NOTHING.sub("", run.failure)
    return run.outcome is Outcome.failed and is_bare and not run.feedback.strip()
