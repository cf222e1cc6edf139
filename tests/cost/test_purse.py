"""The purse: what processes and threads reserve and settle at the same time never passes the cap."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_gepa.cost import book
from pytest_gepa.cost.book import CAPPED, UNBOUNDED
from pytest_gepa.cost.meter import pauses
from pytest_gepa.cost.purse import CostStop, Purse, dollars

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def purse(tmp_path: Path) -> Purse:
    return Purse.create(tmp_path / "purse", 100)


def taken(purse: Purse, amount: int) -> int:
    number = purse.reserve(amount)
    assert number is not None
    return number


def taken_elsewhere(purse: Purse, amount: int) -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(taken, purse, amount).result()


def spend(purse: Purse, most: int, cost: int) -> bool:
    """Reserve, wait if need be, settle; whether it was allowed."""
    try:
        for _ in pauses():
            number = purse.reserve(most)
            if number is not None:
                purse.settle(number, cost)
                return True
            threading.Event().wait(0.0005)
    except CostStop:
        pass
    return False


def test_what_is_settled_below_what_was_reserved_is_free_again(purse: Purse) -> None:
    number = taken(purse, 90)
    assert purse.standing().left == 10
    purse.settle(number, 30)
    assert (purse.standing().spent, purse.standing().left) == (30, 70)
    assert taken(purse, 70) == number, "the place in the ledger is used again"


def test_a_stop_whose_reason_cannot_be_written_down_is_one_all_the_same(purse: Purse) -> None:
    purse.path.with_suffix(".why").mkdir()
    with pytest.raises(CostStop, match="has no room for a request of up to"):
        purse.reserve(101)
    with pytest.raises(CostStop, match="the cost cap is reached"):
        purse.reserve(1)
    assert str(purse.refuse("no price")) == "the cost cap is reached"


def test_what_could_fit_when_others_settle_waits_and_what_never_can_stops(purse: Purse) -> None:
    first = taken_elsewhere(purse, 90)
    assert purse.reserve(20) is None
    purse.settle(first, 10)
    second = taken_elsewhere(purse, 20)
    with pytest.raises(CostStop, match="has no room for a request of up to"):
        purse.reserve(91)
    with pytest.raises(CostStop, match="has no room"):
        purse.reserve(1)
    purse.settle(second, 20)
    assert (purse.standing().stopped, purse.standing().spent) == (CAPPED, 30)
    assert "has no room for a request of up to" in purse.reason


def test_a_cost_beyond_all_numbers_leaves_nothing(purse: Purse) -> None:
    purse.settle(taken(purse, 1), 10**19)
    with pytest.raises(CostStop):
        purse.reserve(1)


def test_nobody_waits_for_what_only_he_himself_could_settle(purse: Purse) -> None:
    own, others = taken(purse, 60), taken_elsewhere(purse, 30)
    assert purse.reserve(20) is None
    purse.settle(others, 30)
    with pytest.raises(CostStop, match=r"has no room for .* reserved by requests under way"):
        purse.reserve(20)
    purse.settle(own, 1)
    purse.open_rest()
    assert purse.reserve(20) is not None


def test_a_task_waits_for_other_tasks_of_its_thread_and_not_for_itself(purse: Purse) -> None:
    async def take(amount: int) -> int | None:
        return purse.reserve(amount, is_blocking=False)

    async def both() -> None:
        assert await asyncio.create_task(take(60)) is not None
        assert await take(60) is None
        with pytest.raises(CostStop):  # who blocks the loop keeps the other task from settling
            purse.reserve(60)
        purse.open_rest()
        purse.settle(0, 0)
        assert await take(60) is not None
        with pytest.raises(CostStop):
            await take(60)

    asyncio.run(both())


def test_what_is_set_aside_is_free_for_the_rest_only(purse: Purse) -> None:
    purse.set_aside(60)
    purse.settle(taken(purse, 40), 40)
    with pytest.raises(CostStop, match="kept for the confirm run"):
        purse.reserve(1)
    purse.open_rest()
    assert purse.reason == ""
    purse.settle(taken(purse, 60), 60)
    assert purse.standing().spent == 100


def test_a_request_without_a_price_stops_everything_for_good(purse: Purse) -> None:
    raised = purse.refuse("no price")
    assert str(raised) == "no price"
    assert str(purse.refuse("another")) == "no price"
    purse.open_rest()
    with pytest.raises(CostStop, match="no price"):
        purse.reserve(1)
    assert purse.standing().stopped == UNBOUNDED


def test_the_stop_passes_by_applications_that_make_do_with_any_exception() -> None:
    assert not issubclass(CostStop, Exception)


@forks
def test_a_process_that_dies_leaves_its_reservation_as_spent(purse: Purse) -> None:
    child = multiprocessing.get_context("fork").Process(target=_reserve_and_die, args=(purse, 60))
    child.start()
    child.join()
    taken(purse, 40)
    assert (purse.standing().spent, purse.standing().reserved) == (60, 40)
    with pytest.raises(CostStop):
        purse.reserve(41)


def _reserve_and_die(purse: Purse, amount: int) -> None:
    purse.reserve(amount)
    os._exit(9)


def test_threads_share_the_cap(purse: Purse) -> None:
    with ThreadPoolExecutor(8) as pool:
        allowed = list(pool.map(lambda _: spend(purse, 10, 3), range(60)))
    spent = purse.standing().spent
    assert spent == 3 * sum(allowed) <= 100
    assert spent > 90, "it is used up until a request may no longer fit"


@forks
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 400), st.integers(2, 4), st.integers(0, 10**6))
def test_processes_that_reserve_settle_and_die_never_pass_the_cap(
    tmp_path_factory: pytest.TempPathFactory, cap: int, workers: int, seed: int
) -> None:
    purse = Purse.create(tmp_path_factory.mktemp("purse") / "purse", cap)
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(workers)]
    children = [context.Process(target=_work, args=(purse, seed + at, pipe[1])) for at, pipe in enumerate(pipes)]
    for child in children:
        child.start()
    sums = [pipe[0].recv() for pipe in pipes]
    for child in children:
        child.join()
    left = [amount for _, amount in sums]
    standing = purse.standing()
    assert standing.spent <= cap
    assert standing.reserved == 0
    assert standing.spent == sum(cost for cost, _ in sums) + sum(left)


def _work(purse: Purse, seed: int, told: Connection) -> None:
    """Spend at random, then die with a reservation if there is room for one."""
    draw = random.Random(seed)
    spent = left = 0
    for _ in range(12):
        most = draw.randint(1, 60)
        cost = draw.randint(0, most)
        spent += cost if spend(purse, most, cost) else 0
    with contextlib.suppress(CostStop):
        left = 5 if purse.reserve(5) is not None else 0
    told.send((spent, left))
    told.close()
    os._exit(0)


@pytest.mark.parametrize(
    ("nano", "told"),
    [
        (0, "$0.00"),
        (1_180_000_000, "$1.18"),
        (500_000_000, "$0.50"),
        (31_000_000, "$0.031"),
        (3_100_000, "$0.0031"),
        (12_000, "$1.2e-05"),
        (1_234_567 * 10**9, "$1,234,567.00"),
    ],
)
def test_money_in_words(nano: int, told: str) -> None:
    assert dollars(nano) == told


@pytest.mark.skipif(sys.platform == "win32", reason="nobody is taken for dead there")
def test_where_the_system_tells_nothing_of_processes_none_is_taken_for_dead(
    purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "_began", lambda process: None)
    taken(purse, 80)
    assert (purse.standing().spent, purse.standing().reserved) == (0, 80)
