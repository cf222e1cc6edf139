"""Whose a call is, when it is made by threads, pools, tasks and loops."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_gepa.trace import capture
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.record import StrayCall
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.trajectory import Call


def call(name: str) -> Call:
    return Call(key=name, model="m", request=(), answer=None)


def names(recorder: Recorder) -> list[str]:
    return [made.key for made in recorder.end().calls]


def strays(recorder: Recorder) -> list[tuple[str, str, str]]:
    return [(stray.call.key, stray.origin, stray.during) for stray in recorder.stray]


def run_in_thread(step: Callable[[], object]) -> None:
    thread = threading.Thread(target=step)
    thread.start()
    thread.join()


class Loop:
    """An event loop in a thread of its own, which outlives the tests that use it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, coroutine: Any) -> Any:
        return self.start(coroutine).result(20)

    def start(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def add(recorder: Recorder, name: str) -> None:
    recorder.add_call(call(name))


def test_threads_and_pools_belong_to_the_running_case(recorder: Recorder) -> None:
    with ThreadPoolExecutor(1) as pool:
        for case in ("a", "b"):
            recorder.begin(case)
            pool.submit(recorder.add_call, call(f"pool, {case}")).result()
            run_in_thread(lambda case=case: recorder.add_call(call(f"thread, {case}")))  # type: ignore[misc]
            assert names(recorder) == [f"pool, {case}", f"thread, {case}"]
    assert recorder.stray == ()


def test_tasks_belong_to_the_case_that_started_them(recorder: Recorder) -> None:
    async def run() -> None:
        await asyncio.gather(add(recorder, "gathered"), asyncio.create_task(add(recorder, "task")))
        await asyncio.to_thread(recorder.add_call, call("to_thread"))
        await asyncio.get_running_loop().run_in_executor(None, recorder.add_call, call("executor"))

    recorder.begin("a")
    asyncio.run(run())
    assert sorted(names(recorder)) == ["executor", "gathered", "task", "to_thread"]


def test_a_loop_in_a_thread_serves_each_case_in_turn(recorder: Recorder, loop: Loop) -> None:
    for case in ("a", "b"):
        recorder.begin(case)
        loop.run(add(recorder, case))
        assert names(recorder) == [case]


def test_a_task_that_outlives_its_test_does_not_burden_the_next(recorder: Recorder, loop: Loop) -> None:
    async def late(released: asyncio.Event) -> None:
        await released.wait()
        recorder.add_call(call("late"))

    async def release(released: asyncio.Event) -> None:
        released.set()

    async def event() -> asyncio.Event:
        return asyncio.Event()

    recorder.begin("a")
    released = loop.run(event())
    task = loop.start(late(released))
    assert names(recorder) == []
    recorder.begin("b")
    recorder.add_call(call("own"))
    loop.run(release(released))
    task.result(20)
    assert names(recorder) == ["own"]
    assert strays(recorder) == [("late", "a", "b")]


def test_a_case_that_runs_again_is_another_one(recorder: Recorder, loop: Loop) -> None:
    context = []
    for _ in range(2):
        recorder.begin("a")
        context.append(contextvars.copy_context())
        recorder.end()
    recorder.begin("a")
    for copied in context:
        copied.run(recorder.add_call, call("late"))
    assert names(recorder) == []
    assert strays(recorder) == [("late", "a", "a")] * 2


def test_late_calls_between_cases_tell_where_they_come_from(recorder: Recorder) -> None:
    recorder.begin("a")
    context = contextvars.copy_context()
    recorder.end()
    context.run(recorder.add_call, call("late"))
    recorder.add_call(call("between"))
    assert recorder.stray == (StrayCall(call("late"), "a"), StrayCall(call("between")))


def test_what_a_fixture_starts_serves_the_running_case(recorder: Recorder) -> None:
    recorder.begin("a")
    held = recorder.hold()
    service = contextvars.copy_context()
    service.run(recorder.add_call, call("set up"))
    recorder.let_go(held)
    service.run(recorder.add_call, call("asked by a"))
    recorded = recorder.end([held])
    assert [(made.key, made.shared) for made in recorded.calls] == [("set up", True), ("asked by a", False)]
    recorder.begin("b")
    service.run(recorder.add_call, call("asked by b"))
    assert names(recorder) == ["asked by b"]


def test_a_case_s_task_stays_its_own_while_a_fixture_is_set_up(recorder: Recorder) -> None:
    recorder.begin("a")
    context = contextvars.copy_context()
    held = recorder.hold()
    context.run(recorder.add_call, call("of the case"))
    run_in_thread(lambda: recorder.add_call(call("of the fixture")))
    recorder.let_go(held)
    assert [(made.key, made.shared) for made in recorder.end().calls] == [
        ("of the fixture", True),
        ("of the case", False),
    ]


def test_late_requests_are_numbered_with_those_of_their_own_case(recorder: Recorder) -> None:
    recorder.begin("a")
    context = contextvars.copy_context()
    assert recorder.claim("x").number == 0
    recorder.end()
    recorder.begin("b")
    assert context.run(recorder.claim, "x").number == 1
    assert recorder.claim("x").number == 0


def test_recorders_do_not_mix(recorder: Recorder) -> None:
    other = Recorder()
    recorder.begin("a")
    other.begin("b")
    recorder.add_call(call("one"))
    other.add_call(call("other"))
    assert names(recorder) == ["one"]
    assert names(other) == ["other"]


def test_a_pool_whose_threads_inherit_a_context_serves_the_running_case(recorder: Recorder) -> None:
    recorder.begin("a")
    inherited = contextvars.copy_context()
    recorder.end()
    recorder.begin("b")
    run_in_thread(lambda: inherited.run(recorder.add_call, call("pool")))
    assert names(recorder) == ["pool"]
    assert strays(recorder) == []


@pytest.mark.skipif(not hasattr(asyncio, "Runner"), reason="Python 3.10 has nothing by which it is seen")
def test_so_does_a_pool_that_runs_loops(recorder: Recorder) -> None:
    capture.install(Target(recorder))
    try:
        recorder.begin("a")
        inherited = contextvars.copy_context()
        recorder.end()
        recorder.begin("b")
        run_in_thread(lambda: inherited.run(recorder.add_call, call("pool")))
        run_in_thread(lambda: inherited.run(asyncio.run, add(recorder, "task")))
        assert names(recorder) == ["pool", "task"]
    finally:
        capture.uninstall()
    assert strays(recorder) == []
