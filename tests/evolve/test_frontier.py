from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.evolve.frontier import Frontier, Weights, bits

tables = st.integers(1, 6).flatmap(
    lambda cases: st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=cases, max_size=cases), min_size=1, max_size=8
    )
)


def frontier_of(table: list[list[float]], weights: list[float] | None = None) -> Frontier:
    frontier = Frontier(weights or [1.0] * len(table[0]))
    for number, scores in enumerate(table):
        frontier.add(f"c{number}", scores)
    return frontier


def best_sets(table: list[list[float]]) -> dict[str, set[int]]:
    tops = [max(column) for column in zip(*table, strict=True)]
    return {
        f"c{number}": {case for case, score in enumerate(scores) if score == tops[case]}
        for number, scores in enumerate(table)
    }


def test_a_candidate_that_is_best_nowhere_is_not_on_the_frontier() -> None:
    assert frontier_of([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]).members == ("c2", "c0")


def test_of_two_equal_candidates_the_newest_stays() -> None:
    assert frontier_of([[1.0, 0.0], [1.0, 0.0]]).members == ("c1",)


def test_of_two_equal_candidates_the_shorter_stays_though_it_is_older() -> None:
    frontier = Frontier([1.0, 1.0])
    for name, length in (("long", 30), ("short", 10), ("longer", 40)):
        frontier.add(name, [1.0, 0.0], length=length)
    assert frontier.members == ("short",)
    frontier.add("other", [0.0, 1.0], length=20)
    assert frontier.members == ("short", "other")
    frontier.add("as short", [1.0, 0.0], length=10)
    assert frontier.members == ("as short", "other")


def test_a_candidate_that_others_cover_together_is_redundant() -> None:
    frontier = frontier_of([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.5, 1.0]])
    assert "c0" not in frontier.members
    assert set(frontier.members) == {"c1", "c2"}


def test_shares_are_in_proportion_to_the_weight_of_the_cases_won() -> None:
    frontier = frontier_of([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [3.0, 0.5, 0.5])
    assert frontier.shares(["c0", "c1"]) == [0.75, 0.25]


def test_a_case_on_which_two_are_best_counts_for_both() -> None:
    frontier = frontier_of([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    assert [(one.candidate, one.mean) for one in frontier.standings()] == [
        ("c1", pytest.approx(2 / 3)),
        ("c0", pytest.approx(2 / 3)),
    ]
    assert frontier.shares(["c1", "c0"]) == [0.5, 0.5]


def test_partners_come_in_order_of_what_they_add() -> None:
    frontier = frontier_of([[1.0, 0, 0, 0, 0], [0, 1.0, 1.0, 0, 0], [0, 0, 0, 1.0, 0], [0, 0, 0, 0, 1.0]])
    assert frontier.partners("c0")[0] == "c1"
    assert set(frontier.partners("c0")) == {"c1", "c2", "c3"}


def test_adding_tells_on_how_many_cases_all_earlier_ones_are_beaten() -> None:
    frontier = frontier_of([[1.0, 0.0, 0.5]])
    assert frontier.add("new", [1.0, 0.0, 1.0]) == 1


def test_who_takes_least_of_something_stays_until_another_takes_less() -> None:
    frontier = Frontier([1.0, 1.0], savings=1)
    frontier.add("lean", [1.0, 0.0], least=[0])
    frontier.add("rich", [1.0, 1.0])
    assert frontier.members == ("rich", "lean")
    assert frontier.shares(["rich", "lean"]) == [2 / 3, 1 / 3]
    frontier.add("leaner", [0.0, 0.0], least=[0])
    assert frontier.members == ("rich", "leaner")
    assert frontier.shares(["rich", "leaner"]) == [2 / 3, 1 / 3]


def test_a_case_that_is_set_aside_gives_no_place_and_is_no_gain() -> None:
    frontier = Frontier([1.0, 1.0, 1.0], aside=[1])
    frontier.add("steady", [1.0, 0.0, 0.0])
    assert frontier.add("lucky", [0.0, 1.0, 0.0]) == 0
    assert frontier.members == ("steady",)
    assert frontier.add("other", [0.0, 0.0, 1.0]) == 1
    assert frontier.members == ("other", "steady")
    assert frontier.shares(["other", "steady"]) == [0.5, 0.5]
    # It counts in the means.
    assert frontier.means["lucky"] == pytest.approx(1 / 3)


def test_a_weight_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        Frontier([1.0, 0.0])


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=60), st.data())
def test_sums_of_weights_are_right_to_a_ten_thousandth_of_the_largest(
    weights: list[float], data: st.DataObject
) -> None:
    chosen = data.draw(st.sets(st.integers(0, len(weights) - 1)))
    error = max(weights) / 10_000 * len(weights)
    assert Weights(weights).total(bits(chosen)) == pytest.approx(sum(weights[case] for case in chosen), abs=error)


@given(tables)
def test_members_cover_every_case_and_none_is_redundant(table: list[list[float]]) -> None:
    members = frontier_of(table).members
    sets = best_sets(table)
    everything = set(range(len(table[0])))
    assert set().union(*(sets[name] for name in members)) == everything
    for name in members:
        others = set().union(*(sets[other] for other in members if other != name), set())
        assert not sets[name] <= others


@given(tables)
def test_members_come_best_mean_first_and_hold_a_candidate_of_the_best_mean_where_it_counts(
    table: list[list[float]],
) -> None:
    frontier = frontier_of(table)
    means = [frontier.means[name] for name in frontier.members]
    assert means == sorted(means, reverse=True)
    assert frontier.best_scores == [max(column) for column in zip(*table, strict=True)]
    assert sum(frontier.shares(frontier.members)) == pytest.approx(1.0)


@given(tables, st.data())
def test_best_sets_do_not_depend_on_the_order_of_adding(table: list[list[float]], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(table))))
    frontier, sets = Frontier([1.0] * len(table[0])), best_sets(table)
    for number in order:
        frontier.add(f"c{number}", table[number])
    places = [len(sets[name]) for name in frontier.members]
    assert frontier.shares(frontier.members) == pytest.approx([own / sum(places) for own in places])


def test_a_weight_that_is_next_to_nothing_beside_another_still_counts() -> None:
    light = [1 + number / 100 for number in range(20)]
    frontier = Frontier([1e6, *light])
    frontier.add("heavy", [1.0] + [0.0] * 20)
    frontier.add("light", [0.0] + [1.0] * 20)
    assert frontier.shares(["light"]) == [1.0]
    assert 0 < frontier.shares(["heavy", "light"])[1] < 0.001


def test_a_lead_within_the_margin_counts_for_no_gain_but_for_a_place() -> None:
    frontier = Frontier([1.0, 1.0])
    frontier.add("old", [0.5, 0.5])
    assert frontier.add("luck", [0.6, 0.4], margin=0.1) == 0
    assert "luck" in frontier.members
    assert frontier.add("better", [0.8, 0.4], margin=0.1) == 1
