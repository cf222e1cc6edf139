"""What was spent, as a result has it: rollouts as the run has counted them, tokens and money as the bill has them."""

from __future__ import annotations

import time
from dataclasses import replace

from pytest_gepa.cost.prices import usd
from pytest_gepa.report.result import Spent
from pytest_gepa.run.spending import Spending


def with_bill(counted: Spent, spending: Spending | None, started: float, before: float = 0.0) -> Spent:
    """What the run has counted, with the bill and the time since `started`; tokens and money only where there is one.

    `before` are the USD of the cap that the run had spent with which this one went on.
    """
    counted = replace(counted, seconds=round(time.monotonic() - started, 1))
    if spending is None:
        return counted
    account, standing = spending.account, spending.standing
    return replace(
        counted,
        input_tokens=account.input_tokens,
        output_tokens=account.output_tokens,
        usd=account.usd,
        usd_by_role=account.usd_by_role,
        unpriced=account.unpriced,
        usd_at_most=usd(standing.spent + standing.reserved) if standing else None,
        cap=usd(standing.cap) + before if standing else None,
    )


def as_replayed(counted: Spent) -> Spent:
    """What a replay has spent: its rollouts are counted as in the recorded run, but nothing was paid."""
    return replace(counted, rollouts=0, cached=counted.rollouts + counted.cached)
