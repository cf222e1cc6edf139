from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.split import hold_out

names = st.tuples(st.sampled_from(["a.py", "b.py", "c.py"]), st.integers(0, 40)).map(
    lambda pair: f"{pair[0]}::test_{pair[1]}"
)
suites = st.lists(
    st.builds(Case, id=names, nodeid=st.text(), split=st.sampled_from(["search"] * 4 + ["holdout"])),
    unique_by=lambda case: case.id,
    max_size=60,
)
shares = st.floats(0, 1, exclude_max=True)


def held(cases: tuple[Case, ...]) -> set[str]:
    return {case.id for case in cases if case.split == "holdout"}


def by_file(ids: set[str]) -> Counter[str]:
    return Counter(id.split("::")[0] for id in ids)


@given(suites, shares)
def test_each_file_gives_its_share_and_cases_marked_by_hand_stay(cases: list[Case], share: float) -> None:
    by_hand = held(tuple(cases))
    free = by_file({case.id for case in cases} - by_hand)

    chosen = held(hold_out(cases, share))

    assert by_hand <= chosen
    given = by_file(chosen - by_hand)
    assert all(abs(given[file] - share * count) < 1 or given[file] == count - 1 for file, count in free.items())


@given(suites, shares, st.randoms(use_true_random=False))
def test_the_choice_hangs_on_nothing_but_the_identities(cases: list[Case], share: float, random: object) -> None:
    shuffled = [Case(case.id, "another label", split=case.split, weight=7.0) for case in cases]
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert held(hold_out(shuffled, share)) == held(hold_out(cases, share))


@given(suites, shares)
def test_cases_keep_their_order_and_all_else(cases: list[Case], share: float) -> None:
    result = hold_out(cases, share)

    assert [(case.id, case.nodeid, case.weight) for case in result] == [
        (case.id, case.nodeid, case.weight) for case in cases
    ]


@given(suites, shares, names)
def test_a_new_case_moves_at_most_one_other_and_none_of_another_file(
    cases: list[Case], share: float, name: str
) -> None:
    before = [case for case in cases if case.id != name]

    moved = held(hold_out(before, share)) ^ held(hold_out([*before, Case(name, name)], share))

    assert {id.split("::")[0] for id in moved} <= {name.split("::")[0]}
    assert len(moved - {name}) <= 1


@given(suites)
def test_a_share_of_nothing_holds_out_nothing_more(cases: list[Case]) -> None:
    assert hold_out(cases, 0.0) == tuple(cases)


@pytest.mark.parametrize(("files", "each"), [(1000, 1), (400, 2), (300, 3)])
def test_many_small_files_give_their_share_together(files: int, each: int) -> None:
    cases = [Case(f"test_{file}.py::test_{n}", "") for file in range(files) for n in range(each)]
    assert len(held(hold_out(cases, 0.2))) == pytest.approx(0.2 * files * each, rel=0.2)


def test_a_share_that_is_a_whole_number_of_cases_is_that_number() -> None:
    cases = [Case(f"test_a.py::test_{n}", "") for n in range(100)]
    assert [len(held(hold_out(cases, share))) for share in (0.07, 0.29, 0.57)] == [7, 29, 57]


@given(st.integers(2, 9), st.floats(0, 1, exclude_max=True))
def test_a_file_of_several_cases_keeps_one_to_search_with(number: int, share: float) -> None:
    assert len(held(hold_out([Case(f"a.py::{n}", "") for n in range(number)], share))) < number
