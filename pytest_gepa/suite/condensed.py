"""A rollout as the process of the run keeps it: for reflections to choose from, for as long as the run goes on."""

from __future__ import annotations

from dataclasses import replace

from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.trace.condense import KEPT_BYTES, condense


def condensed(rollout: Rollout) -> Rollout:
    """The rollout with its trajectory cut to a size that can be kept; the journal has it whole."""
    return replace(rollout, trajectory=condense(rollout.trajectory, KEPT_BYTES))


def without_reports(rollout: Rollout) -> Rollout:
    """The same rollout when pytest's reports have been fed to the user's session, or never will be."""
    return replace(rollout, reports=())
