from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.evolve.minibatch import (
    FailedCase,
    FailureLikeness,
    Likeness,
    choose_neighbours,
    group_failures,
    likeness_words,
    plain_words,
    weighted_order,
)

DATE = "AssertionError: the date 'May 5' is not sortable"
PRICE = "AssertionError: the price of {} is gross"


def test_values_and_numbers_say_nothing_about_the_kind_of_a_failure() -> None:
    assert likeness_words("W2-001 date: expected '2024', got \"x\" `y` in 17 ms") == {
        "date",
        "expected",
        "got",
        "in",
        "ms",
    }


def test_failures_of_one_kind_are_more_alike_than_others() -> None:
    other = PRICE.format(3)
    likeness = Likeness([DATE, DATE.replace("May 5", "6/7"), other])
    assert likeness.between(DATE, DATE.replace("May 5", "June")) == 1.0
    assert likeness.between(DATE, other) < 0.5


def test_texts_without_words_are_alike() -> None:
    assert Likeness(["", "17"]).between("", "42") == 1.0


def kinds(count: int) -> dict[str, FailedCase]:
    dates = {f"d{n:02}": FailedCase(DATE) for n in range(count)}
    return dates | {f"p{n:02}": FailedCase(PRICE.format(n)) for n in range(count)}


def ranked(*others: FailedCase) -> list[float]:
    anchor = FailedCase(DATE, ("a",), "a parcel for Oslo")
    likeness = FailureLikeness([anchor, *others])
    return [likeness.between(anchor, one) for one in others]


def test_what_the_check_said_counts_and_then_the_components() -> None:
    found = ranked(
        FailedCase(DATE, ("a",), "the invoice is late"),
        FailedCase(DATE, ("a", "b"), "a parcel for Oslo"),
        FailedCase(DATE, ("b",), "a parcel for Oslo"),
        FailedCase(PRICE.format(1), ("a",), "a parcel for Oslo"),
    )
    assert found == sorted(set(found), reverse=True)


def test_where_all_checks_say_the_same_the_components_count_and_then_the_text() -> None:
    found = ranked(
        FailedCase(DATE, ("a",), "a parcel for Oslo"),
        FailedCase(DATE, ("a",), "a parcel for Rome"),
        FailedCase(DATE, ("a",), "the invoice is late"),
        FailedCase(DATE, ("a", "b"), "a parcel for Oslo"),
    )
    assert found == sorted(set(found), reverse=True)


def test_the_text_says_nothing_where_what_the_checks_say_parts_the_failures() -> None:
    same, other, _ = ranked(
        FailedCase(DATE, ("a",), "a parcel for Oslo"),
        FailedCase(DATE, ("a",), "the invoice is late"),
        FailedCase(PRICE.format(1), ("a",), "a parcel for Oslo"),
    )
    assert same == other


def test_the_words_of_a_case_count_in_quotes_too() -> None:
    assert plain_words("'ticket 17: the Parcel', 'B2'") == {"ticket", "the", "parcel"}


def test_of_failures_that_say_the_same_those_of_one_component_are_shown_together() -> None:
    failures = {f"{name}{n}": FailedCase("assert False", (name,)) for name in "ab" for n in range(4)}
    groups = group_failures(failures, {}, 4, 2, 1.0, random.Random(0).random)
    assert sorted("".join(sorted({case[0] for case in group})) for group in groups) == ["a", "b"]


def test_a_group_gathers_failures_like_its_anchor() -> None:
    failures = kinds(4)
    groups = group_failures(failures, {}, 4, 2, 1.0, random.Random(0).random)
    assert sorted("".join(sorted({case[0] for case in group})) for group in groups) == ["d", "p"]


def test_a_group_keeps_room_for_other_failures() -> None:
    failures = kinds(40)
    drawn = Counter(
        case[0]
        for seed in range(10)
        for case in group_failures(failures, {}, 10, 1, 0.5, random.Random(seed).random)[0]
    )
    assert min(drawn.values()) > 5


def test_cases_that_were_shown_often_wait() -> None:
    failures = {f"c{n}": FailedCase(DATE) for n in range(10)}
    shown = {case: 50 for case in failures if case != "c7"}
    anchors = [group_failures(failures, shown, 3, 1, 1.0, random.Random(s).random)[0][0] for s in range(20)]
    assert anchors.count("c7") >= 18


def test_neighbours_that_are_close_come_more_often_and_none_is_certain() -> None:
    closeness = {"near": 1.0, **{f"far{n}": 0.0 for n in range(10)}}
    drawn = [choose_neighbours(list(closeness), closeness, 2, random.Random(s).random) for s in range(200)]
    with_near = sum("near" in names for names in drawn)
    assert 120 < with_near < 200


def test_heavier_items_come_first_more_often() -> None:
    firsts = Counter(weighted_order(["a", "b"], [3.0, 1.0], random.Random(s).random)[0] for s in range(400))
    assert 250 < firsts["a"] < 350


failed = st.builds(FailedCase, st.sampled_from([DATE, PRICE, ""]), st.sampled_from([(), ("a",), ("a", "b")]), st.text())


@given(
    st.dictionaries(st.text(max_size=4), failed, max_size=25),
    st.integers(1, 6),
    st.integers(1, 4),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_groups_share_no_case_and_keep_to_their_size(
    failures: dict[str, FailedCase], size: int, groups: int, alike: float, seed: int
) -> None:
    found = group_failures(failures, {}, size, groups, alike, random.Random(seed).random)
    cases = [case for group in found for case in group]
    assert len(cases) == len(set(cases)) == min(len(failures), size * groups)
    assert all(1 <= len(group) <= size for group in found)
    assert len(found) <= groups
    assert set(cases) <= set(failures)
    assert found == group_failures(failures, {}, size, groups, alike, random.Random(seed).random)
