"""Prompts that the base has and today has not: which cases have used them. They cannot be compared in this.

A check swaps prompts, and runs the code of today on both sides. That code asks for no prompt that was deleted (or fails
on both sides if it does), so the base's text of it would reach no case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_gepa.report.check_result import CheckResult
from pytest_gepa.run.base_prompts import BasePrompts
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.usage import CaseUsage


def with_users_of_deleted(
    result: CheckResult, base: BasePrompts, cases: Sequence[Case], known: Mapping[str, CaseUsage]
) -> CheckResult:
    """The result with the cases that have used a deleted prompt; `known` is what earlier runs have learned, by case."""
    users = {case for case, usage in known.items() if usage.goes_by & base.deleted}
    return replace(
        result,
        on_deleted_prompts=tuple(case.nodeid for case in cases if case.id in users),
        not_collected=tuple(sorted(users - {case.id for case in cases})),
    )
