from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.evolve.problem import spread


@given(st.integers(0, 200), st.integers(0, 60))
def test_cases_are_taken_as_evenly_as_may_be_and_in_their_order(count: int, number: int) -> None:
    cases = [f"c{at}" for at in range(count)]
    places = [cases.index(case) for case in spread(cases, number)]
    assert len(set(places)) == len(places) == min(count, number)
    assert places == sorted(places)
    gaps = [after - before for before, after in pairwise([*places, count])]
    assert max(gaps, default=0) - min(gaps, default=0) <= 1, "the stretch behind the last one counts too"
    assert places[:1] in ([], [0])


def test_a_few_of_not_many_more_reach_to_the_end() -> None:
    assert spread("abcdefghij", 6) == ("a", "b", "d", "f", "g", "i")
