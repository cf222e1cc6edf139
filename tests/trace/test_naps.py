"""Waiting, whatever a test has made of the time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from pytest_gepa.trace import naps
from pytest_gepa.trace.naps import clock, nap, nap_async


@pytest.mark.parametrize("is_in_asyncio", [True, False], ids=["asyncio", "anyio"])
def test_a_task_wakes_up_though_the_clock_of_its_loop_stands_still(
    monkeypatch: pytest.MonkeyPatch, is_in_asyncio: bool
) -> None:
    async def sleep() -> str:
        await nap_async(0.001)
        return "awake"

    with monkeypatch.context() as patched:
        patched.setattr(naps, "_is_in_asyncio", lambda: is_in_asyncio)
        patched.setattr(time, "monotonic", lambda: 1.0)
        assert asyncio.run(sleep()) == "awake"


def test_it_is_known_where_a_task_of_asyncio_runs() -> None:
    async def run() -> bool:
        return naps._is_in_asyncio()

    assert asyncio.run(run())
    assert not naps._is_in_asyncio()


def test_neither_naps_nor_clock_are_what_a_test_has_made_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    with monkeypatch.context() as patched:
        patched.setattr(time, "sleep", slept.append)
        patched.setattr(time, "perf_counter", lambda: -1.0)
        nap(0.001)
        now = clock()
    assert (slept, now >= 0) == ([], True)


def test_a_task_that_is_cancelled_naps_no_longer() -> None:
    troubles: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, about: troubles.append(about))
        task = asyncio.create_task(nap_async(0.001))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await nap_async(0.01)  # meanwhile the thread of the other comes to its end

    asyncio.run(run())
    assert troubles == []
