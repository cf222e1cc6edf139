"""Graded cases: the answer must be right, and the fewer lines of the kernel run for it, the better."""

import sys
from collections import Counter
from itertools import combinations
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
@pytest.mark.parametrize("size", [0, 1, 10, 60, 250])
def test_count_pairs(size, spread, gepa):
    """Pairs that add up to 4, in lists of every size and with few or many equal entries."""
    random = Random(size)
    numbers = [random.randint(-spread, spread) for _ in range(size)]
    expected = sum(a + b == 4 for a, b in combinations(numbers, 2))
    found, lines = lines_run(kernel.count_pairs, numbers, 4)
    assert found == expected
    allowed = 20 + 6 * size
    gepa.score(
        min(1.0, allowed / max(1, lines)),
        feedback=f"right, but {lines} lines ran for {size} numbers, where {allowed} are allowed",
    )
