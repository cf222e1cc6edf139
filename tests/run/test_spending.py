"""The confirm run's share of the cap, estimated from what the baseline has shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gepa.cost.prices import PriceList
from pytest_gepa.errors import SettingsError
from pytest_gepa.run.plan import BudgetPlan
from pytest_gepa.run.spending import MARGIN, Spending, check_reflection_price
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

PRICES = PriceList(["task input=1 output=2"])
PLAN = BudgetPlan(limit=400, search=340, confirm=60, probe=0, trials=3)
CASES = (Case("a", "a"), Case("b", "b", trials=5), Case("held", "held", split="holdout"))


def rollout(case: str, *tokens: tuple[int, int], cached: bool = False) -> Rollout:
    calls = tuple(
        Call(case, "task", (), Message("assistant", "ok"), input_tokens=i, output_tokens=o, cached=cached)
        for i, o in tokens
    )
    return Rollout("seed", case, "search/0", Outcome.passed, 1.0, Trajectory(calls))


def spending(directory: Path, cap: float | None, plan: BudgetPlan = PLAN) -> Spending:
    return Spending(directory / "costs", PRICES, cap, plan, CASES)


def test_the_share_is_what_the_confirm_run_takes_with_a_margin(tmp_path: Path) -> None:
    costs = spending(tmp_path, 1.0)
    costs.learn(rollout("a", (100, 50)))
    costs.learn(rollout("b", (100, 0), (200, 50), cached=True))
    # 200 and 400 millionths of a dollar; a held-out case is as the mean of those that are known.
    took = 3 * 200_000 + 5 * 400_000 + 3 * 300_000
    assert costs.keep_confirm_share() == round(2 * MARGIN * took)
    assert costs.standing is not None
    assert costs.standing.left == 10**9 - round(2 * MARGIN * took)


def test_confirm_rollouts_whose_answers_are_stored_cost_nothing_again(tmp_path: Path) -> None:
    stored = [("a", 0), ("a", 0), ("b", 0), ("b", 4), ("a", 3), ("gone", 0)]
    costs = Spending(tmp_path / "costs", PRICES, 1.0, PLAN, CASES, stored)
    for case in CASES:
        costs.learn(rollout(case.id, (100, 50)))
    # Both sides of all trials, less those of "a" and two of "b"; "a" has three trials, and no fourth.
    assert costs.keep_confirm_share() == round(MARGIN * 200_000 * (2 * 11 - 4))


def test_a_call_without_a_count_is_estimated_by_its_texts(tmp_path: Path) -> None:
    costs = spending(tmp_path, 1.0)
    for case in CASES:
        call = Call(case.id, "task", (Message("user", "x" * 300),), Message("assistant", "y" * 30))
        costs.learn(Rollout("seed", case.id, "search/0", Outcome.passed, 1.0, Trajectory((call,))))
    assert costs.keep_confirm_share() == round(2 * MARGIN * 11 * (100_000 + 20_000))


def learn_alike(costs: Spending, *calls: Call) -> None:
    """Every case asks for its own answer, of 200 millionths of a dollar, and makes these calls before."""
    for case in CASES:
        own = rollout(case.id, (100, 50))
        costs.learn(replace(own, trajectory=Trajectory((*calls, *own.trajectory.calls))))


SAME = Call("same", "task", (), Message("assistant", "ok"), input_tokens=1_000)


@pytest.mark.parametrize("is_shared", [True, False])
def test_an_answer_that_several_cases_have_is_counted_once_a_trial(tmp_path: Path, is_shared: bool) -> None:
    """Be it a fixture's or the same request of each: as often as the case has trials that has the most, which is 5."""
    costs, call = spending(tmp_path, 1.0), replace(SAME, shared=is_shared)
    for _ in range(2):  # what is learned again is not another answer
        learn_alike(costs, call)
    assert costs.keep_confirm_share() == round(2 * MARGIN * (11 * 200_000 + 5 * 1_000_000))


def test_the_second_of_equal_requests_of_a_case_is_another_answer(tmp_path: Path) -> None:
    costs = spending(tmp_path, 1.0)
    learn_alike(costs, SAME, SAME, replace(SAME, shared=True))
    assert costs.keep_confirm_share() == round(2 * MARGIN * (11 * 200_000 + 5 * 3_000_000))


@pytest.mark.parametrize("change", [{"kind": "other"}, {"answer": None}])
def test_an_answer_that_is_not_stored_is_paid_for_by_each_case(tmp_path: Path, change: dict[str, object]) -> None:
    costs = spending(tmp_path, 1.0)
    learn_alike(costs, replace(SAME, **change))  # type: ignore[arg-type]
    everyone = round(2 * MARGIN * 11 * 1_200_000)
    assert costs.keep_confirm_share() == everyone
    without_store = Spending(tmp_path / "off", PRICES, 1.0, PLAN, CASES, shares_answers=False)
    learn_alike(without_store, SAME)
    assert without_store.keep_confirm_share() == everyone


def test_room_for_the_largest_request_is_part_of_the_share(tmp_path: Path) -> None:
    costs = spending(tmp_path, 1.0)
    meter = costs.reflection()
    assert meter.purse is not None
    number = meter.purse.reserve(7_000_000)
    assert number is not None
    meter.purse.settle(number, 1)
    assert costs.keep_confirm_share() == 7_000_000


FORTY = [Case(str(number), str(number)) for number in range(40)]


def forty_at_a_cent(directory: Path, cap: float) -> Spending:
    """The baseline of forty cases has been run, each for a cent."""
    costs = Spending(directory / "costs", PRICES, cap, BudgetPlan(1040, 800, 240, 0, 3), FORTY)
    purse = costs.reflection().purse
    assert purse is not None
    for case in FORTY:
        costs.learn(rollout(case.id, (10_000, 0)))
        number = purse.reserve(20_000_000)
        assert number is not None
        purse.settle(number, 10_000_000)
    return costs


@pytest.mark.parametrize(("cap", "trials"), [(7.0, 3), (6.8, 3), (6.5, 2), (4.7, 2), (4.4, 1), (2.0, 1), (1.0, 1)])
def test_the_share_leaves_half_to_the_search_or_is_one_trial(tmp_path: Path, cap: float, trials: int) -> None:
    costs = forty_at_a_cent(tmp_path, cap)
    assert costs.keep_confirm_share() == trials * 1_040_000_000 + 20_000_000
    assert bool(costs.shortage) == (cap == 1.0)
    if not costs.shortage:
        purse = costs.reflection().purse
        assert purse is not None
        assert purse.reserve(100_000_000) is not None  # a reflection of ten cents


def test_a_cap_that_leaves_nothing_to_search_with_says_so(tmp_path: Path) -> None:
    costs = forty_at_a_cent(tmp_path, 1.0)
    costs.keep_confirm_share()
    assert costs.shortage == (
        "the cost cap of $1.00 leaves nothing to search with: $0.40 spent, $1.06 kept for a confirm run of 1 trial a "
        "side, and a request may need $0.02; give more with --gepa-max-cost"
    )


def test_trials_are_fewer_where_the_money_is_short(tmp_path: Path) -> None:
    """A trial of both sides takes 2 x 1.3 x 0.0006 USD; one case has five whatever the run has."""
    plan = BudgetPlan(400, 340, 18, 0, 3)
    costs = Spending(tmp_path / "costs", PRICES, 0.0034, plan, [Case("a", "a"), Case("b", "b")])
    for case in ("a", "b"):
        costs.learn(rollout(case, (100, 100)))
    assert [costs.affordable_trials(trials) for trials in (1, 2, 3)] == [1, 2, 2]
    assert Spending(tmp_path / "free", PRICES, None, plan, CASES).affordable_trials(3) == 3


def test_trials_leave_room_for_the_largest_request(tmp_path: Path) -> None:
    """Two trials take 0.00312 USD, of which the last request may reserve 0.0005 where it costs a tenth of that."""
    plan = BudgetPlan(400, 340, 18, 0, 3)
    costs = Spending(tmp_path / "costs", PRICES, 0.0035, plan, [Case("a", "a"), Case("b", "b")])
    for case in ("a", "b"):
        costs.learn(rollout(case, (100, 100)))
    assert costs.affordable_trials(3) == 2
    purse = costs.reflection().purse
    assert purse is not None
    number = purse.reserve(500_000)
    assert number is not None
    purse.settle(number, 0)
    assert costs.affordable_trials(3) == 1


def test_without_a_cap_nothing_is_set_aside(tmp_path: Path) -> None:
    costs = spending(tmp_path, None)
    costs.learn(rollout("a", (100, 50)))
    assert (costs.keep_confirm_share(), costs.standing, costs.stopped) == (0, None, "")


def test_a_stop_is_told_whose_reason_could_not_be_written_down(tmp_path: Path) -> None:
    costs = spending(tmp_path, 1.0)
    assert costs.stopped == ""
    purse = costs.reflection().purse
    assert purse is not None
    purse.path.with_suffix(".why").mkdir()
    purse.refuse("no price")
    assert costs.stopped == "a request came whose price has no bound"
    purse.path.unlink()
    assert costs.stopped.startswith("the ledger of the cost cap cannot be used: ")


def test_the_reflection_model_needs_a_price_and_a_longest_answer() -> None:
    with pytest.raises(SettingsError, match="needs the price of the reflection model large"):
        check_reflection_price(PRICES, "large", 1.0)
    with pytest.raises(SettingsError, match="needs the longest answer of the reflection model task"):
        check_reflection_price(PRICES, "task", 1.0)
    check_reflection_price(PriceList(["task input=1 output=0"]), "task", 1.0)
    check_reflection_price(PriceList(["task input=1 output=2 max_output=9"]), "task", 1.0)


def test_a_cap_needs_room_for_one_reflection() -> None:
    """A thousand tokens of input at 1 and the longest answer at 10 USD a million come to 1.281 USD."""
    prices = PriceList(["large input=1 output=10 max_output=128000"])
    check_reflection_price(prices, "large", 1.281)
    with pytest.raises(SettingsError) as caught:
        check_reflection_price(prices, "large", 1.0)
    assert str(caught.value) == (
        "--gepa-max-cost $1.00 has no room for a single request to the reflection model large, for which up to $1.28 "
        "is reserved (the price of its longest answer); give more"
    )


def test_a_cap_that_leaves_too_little_for_a_reflection_says_so(tmp_path: Path) -> None:
    """Ten dollars have room for the baseline, the confirm run and much of a search, but for none of these requests."""
    costs = Spending(
        tmp_path / "costs", PRICES, 10.0, BudgetPlan(1040, 800, 240, 0, 3), FORTY, reflection=9_990_000_000
    )
    for case in FORTY:
        costs.learn(rollout(case.id, (1_000, 0)))
    costs.keep_confirm_share()
    assert "leaves nothing to search with" in costs.shortage
    assert "a request may need $9.99" in costs.shortage


def test_the_list_price_counts_answers_from_the_cache_and_is_unknown_with_one_unknown_price(
    tmp_path: Path,
) -> None:
    costs = spending(tmp_path, None)
    calls = rollout("a", (100, 50), (1_000, 0), cached=True).trajectory.calls
    assert costs.list_price(calls) == pytest.approx((200 + 1_000) / 1e6)
    assert costs.list_price([*calls, Call("key", "other", (), Message("assistant", "ok"))]) is None
    assert costs.list_price(()) == 0.0
