from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.evolve.objectives import Outlay, objective_means, objective_names, outlay, worth_keeping
from pytest_gepa.evolve.tasks import CaseResult


def result(uses: tuple[str, ...] = ("a",), **changes: object) -> CaseResult:
    return CaseResult(0.5, uses, **changes)  # type: ignore[arg-type]


def test_one_named_score_says_nothing_new() -> None:
    assert objective_names([result(objectives={"form": 1.0})]) == ()
    assert objective_names([result(objectives={"form": 1.0}), result(objectives={"fact": 0.0})]) == (
        "fact",
        "form",
    )


def test_the_mean_of_a_named_score_takes_the_seeds_value_where_the_candidate_gave_none() -> None:
    seed = {"1": result(objectives={"form": 0.2}), "2": result(objectives={"form": 0.6}), "3": result()}
    own = {"1": result(objectives={"form": 1.0}), "2": result(), "3": result(objectives={"form": 0.0})}
    assert objective_means(["form"], seed, own) == [pytest.approx(0.8)]


def test_the_time_of_answers_from_the_cache_is_not_known() -> None:
    timed, cached, modelless = (
        result(seconds=2.0, tokens=10),
        result(tokens=30),
        result(uses=(), seconds=9.0, tokens=99),
    )
    assert outlay(7, [timed, timed, cached, modelless]) == Outlay(7, 2.0, pytest.approx(50 / 3))
    assert outlay(7, [timed, cached]) == Outlay(7, None, 20)
    assert outlay(7, []) == Outlay(7, None, None)


def test_what_is_as_good_and_takes_less_is_worth_keeping() -> None:
    means = {"long": 0.9, "short": 0.8, "waste": 0.8}
    outlays = {
        "long": Outlay(900, 1.0, 100),
        "short": Outlay(200, 1.05, 104),
        "waste": Outlay(900, 1.0, 100),
    }
    assert worth_keeping(means, outlays) == ("long", "short")


def test_small_differences_of_time_and_tokens_count_for_nothing() -> None:
    outlays = {"a": Outlay(100, 1.0, 100), "b": Outlay(100, 0.95, 95), "c": Outlay(100, 0.5, 200)}
    assert worth_keeping({"a": 0.8, "b": 0.7, "c": 0.7}, outlays) == ("a", "c")


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.tuples(
            st.sampled_from([0.5, 0.7, 0.9]), st.integers(1, 4), st.sampled_from([None, 1.0, 2.0, 4.0])
        ),
        min_size=1,
    )
)
def test_something_is_always_kept_and_the_best_is_among_it(
    table: dict[str, tuple[float, int, float | None]],
) -> None:
    means = {name: mean for name, (mean, _, _) in table.items()}
    outlays = {name: Outlay(length, seconds, None) for name, (_, length, seconds) in table.items()}
    kept = worth_keeping(means, outlays)
    assert kept
    if all(seconds is not None for _, _, seconds in table.values()):
        assert max(means.values()) == means[kept[0]]
        for name in table:  # whatever is left out is matched by what is kept
            assert any(
                means[one] >= means[name] and outlays[one].characters <= outlays[name].characters
                for one in kept
            )
