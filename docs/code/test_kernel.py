"""Graded cases: the answer must be right, and the fewer lines of the kernel run for it, the better."""

import sys
from collections import Counter
from random import Random

import kernel
import pytest


def lines_run(function, *arguments):
    """What the function returns, and how many lines of the kernel's file ran: a clock that every machine shares."""
    ran = Counter()

    def trace(frame, event, _):
        if frame.f_code.co_filename == kernel.__file__:
            ran[event] += 1
            return trace
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        result = function(*arguments)
    finally:
        sys.settrace(before)
    return result, ran["line"]


@pytest.mark.gepa(threshold=0.9)
@pytest.mark.parametrize("spread", [3, 30, 300])
@pytest.mark.parametrize("days", [0, 1, 15, 60, 250])
def test_best_trade(days, spread, gepa):
    """Prices of so many days, each drawn by chance from 1000 less to 1000 more the spread."""
    random = Random(days)
    prices = [random.randint(1000 - spread, 1000 + spread) for _ in range(days)]
    expected = max((later - price for day, price in enumerate(prices) for later in prices[day:]), default=0)
    found, lines = lines_run(kernel.best_trade, prices)
    assert found == expected
    allowed = 20 + 5 * days
    gepa.score(
        min(1.0, allowed / max(1, lines)),
        feedback=f"right, but {lines} lines ran for {days} prices, where {allowed} are allowed",
    )
