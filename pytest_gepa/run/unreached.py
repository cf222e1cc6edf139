"""Runs in which no case has reached a model, or too few: a setting is wrong, or a server down, and no prompt could mend
that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pytest_gepa.reflect.failure import read_failure
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.cut import cut_middle
from pytest_gepa.trace.model_calls import is_to_model

UNREACHED = "no case reached a model"
PLAYED = (
    "every answer was played from a cassette (vcrpy), which answers whatever the prompt says; run without it, as with "
    "--disable-recording of pytest-recording: stored answers do its work, and tell prompts apart"
)
REASON_BYTES = 300
FEW = 2
"""So many cases may end in trouble in a suite of any size, a case that always takes too long among them."""
_PLACE = re.compile(r"\S.{0,400}?:\d+: (\w+)")
_OF_A_CHECK = ("AssertionError", "Failed")
"""How pytest names what an assert raises, and `pytest.fail`."""


def last_line(failure: str) -> str:
    """The message of the last error in a failure, without the code around it."""
    lines = [line for line in read_failure(failure).said.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(">") and not _PLACE.fullmatch(line)]
    return (told or lines or ["no reason known"])[-1].strip()


def first_failure(rollouts: Iterable[Rollout]) -> str:
    """The last line of the first case that failed or ended in trouble, "" if none did."""
    failed = (one for one in rollouts if one.outcome is Outcome.failed or one.outcome.is_trouble)
    return next((cut_middle(last_line(one.trajectory.failure), REASON_BYTES) for one in failed), "")


def has_reached_a_model(rollouts: Iterable[Rollout]) -> bool:
    """Whether any case has called a model, or used a prompt in a way that is known."""
    return any(one.uses or any(map(is_to_model, one.trajectory.calls)) for one in rollouts)


def why_unreached(rollouts: Sequence[Rollout]) -> str:
    """Why a search of cases that ended so is in vain, "" if it may not be.

    That is where no case has reached a model, and each that failed was ended by an exception of the application. Where
    an assert has failed, or a case that read a prompt has passed, a model may be asked in a way that is not seen.
    """
    failed = [one for one in rollouts if one.outcome is Outcome.failed]
    if not failed or has_reached_a_model(rollouts) or any(map(_is_of_a_check, failed)):
        return ""
    if any(one.outcome is Outcome.passed and one.reads for one in rollouts):
        return ""
    return f"{UNREACHED}; the first failure: {first_failure(failed)}"


def why_played(rollouts: Iterable[Rollout]) -> str:
    """Why rollouts tell nothing of prompts, "" if they may: none of their answers was given to what was asked."""
    calls = [call for one in rollouts for call in one.trajectory.calls if call.played or is_to_model(call)]
    return PLAYED if calls and all(call.played for call in calls) else ""


def why_too_little(rollouts: Sequence[Rollout]) -> str:
    """Why a baseline tells too little to search by, "" if it does not.

    That is where at least half of the cases ended in trouble that may pass, as when a server was down for a while, and
    where no other case tells anything.
    """
    lost = [one for one in rollouts if not one.outcome.is_final]
    told = sum(one.outcome.is_evidence for one in rollouts)
    if not lost or (told and (len(lost) <= FEW or len(lost) < told)):
        return ""
    share = f"{len(lost)} of {len(lost) + told} cases ended in trouble" if told else "no case gave evidence"
    return f"{share} under today's prompts: {first_failure(lost)}; when that is mended, --gepa-resume goes on"


def _is_of_a_check(rollout: Rollout) -> bool:
    if rollout.feedback or rollout.grades:
        return True
    places = (_PLACE.fullmatch(line) for line in rollout.trajectory.failure.splitlines())
    raised = [found.group(1) for found in places if found]
    return not raised or raised[-1] in _OF_A_CHECK
