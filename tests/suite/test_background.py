"""Calls that a suite makes in threads, pools, tasks and loops of its own, each told to the case that they belong to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_gepa.suite.evaluate import Evaluation, Suite
from pytest_gepa.suite.runner import Runner
from tests.fake_openai import FakeOpenAI
from tests.suite.world import Build, evaluate

APP = """
    import asyncio
    import threading
    from concurrent.futures import ThreadPoolExecutor

    import openai

    MESSAGES = lambda text: [{"role": "user", "content": text}]

    def ask(text):
        with openai.OpenAI(max_retries=0) as client:
            return client.chat.completions.create(model="m", messages=MESSAGES(text)).choices[0].message.content

    async def ask_async(text):
        async with openai.AsyncOpenAI(max_retries=0) as client:
            await client.chat.completions.create(model="m", messages=MESSAGES(text))

    class Loop:
        def __init__(self):
            self.loop = asyncio.new_event_loop()
            threading.Thread(target=self.loop.run_forever, daemon=True).start()

        def start(self, coroutine):
            return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    POOL = ThreadPoolExecutor(2)
    RUNNER = asyncio.Runner() if hasattr(asyncio, "Runner") else None

    def run(coroutine):
        return RUNNER.run(coroutine) if RUNNER else asyncio.run(coroutine)

    def ask_in_a_loop(text):
        return asyncio.run(ask_async(text)) if RUNNER else ask(text)
"""
TESTS = """
    import asyncio
    import threading

    import pytest

    from app import POOL, Loop, ask, ask_async, ask_in_a_loop, run

    LATE = []

    @pytest.fixture(scope="module")
    def loop():
        return Loop()

    @pytest.fixture
    def own():
        ask("own fixture")
        yield
        ask("own teardown")

    def test_threads():
        threads = [threading.Thread(target=ask, args=[f"thread {n}"]) for n in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]

    @pytest.mark.parametrize("number", [1, 2])
    def test_pool(number):
        list(POOL.map(ask, [f"pool {number}"]))

    @pytest.mark.parametrize("number", [1, 2])
    def test_pool_of_loops(number):
        list(POOL.map(ask_in_a_loop, [f"loop of a pool {number}"]))

    def test_tasks():
        async def run():
            await asyncio.gather(ask_async("task"), asyncio.to_thread(ask, "to_thread"))

        asyncio.run(run())

    @pytest.mark.parametrize("number", [1, 2])
    def test_runner(number):
        async def both():
            await asyncio.gather(ask_async(f"runner {number}"), ask_async(f"runner {number} too"))

        run(both())

    @pytest.mark.parametrize("number", [1, 2])
    def test_loop(loop, number):
        loop.start(ask_async(f"loop {number}")).result(20)

    def test_fixture(own):
        ask("body")

    def test_leaves_a_task_behind(loop):
        async def late():
            event = asyncio.Event()
            LATE.append((event, asyncio.current_task()))
            await event.wait()
            await ask_async("late")

        loop.start(late())
        while not LATE:
            pass

    def test_after_that(loop):
        event, task = LATE[0]

        async def release():
            event.set()
            await task

        loop.start(release()).result(20)
        ask("after")

    @pytest.mark.asyncio(loop_scope="module")
    async def test_loop_of_the_plugin():
        await ask_async("plugin 1")

    @pytest.mark.asyncio(loop_scope="module")
    async def test_loop_of_the_plugin_again():
        await asyncio.create_task(ask_async("plugin 2"))
"""
CASES = [
    "test_threads",
    "test_pool[0]",
    "test_pool[1]",
    "test_pool_of_loops[0]",
    "test_pool_of_loops[1]",
    "test_tasks",
    "test_runner[0]",
    "test_runner[1]",
    "test_loop[0]",
    "test_loop[1]",
    "test_fixture",
    "test_leaves_a_task_behind",
    "test_after_that",
    "test_loop_of_the_plugin",
    "test_loop_of_the_plugin_again",
]
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"


@pytest.fixture(scope="module")
def run(spawn_runner: Runner, build: Build) -> Iterator[tuple[Suite, Evaluation]]:
    with pytest.MonkeyPatch.context() as patch, FakeOpenAI(lambda request: "yes") as server:
        patch.setenv("OPENAI_BASE_URL", server.base_url)
        patch.setenv("OPENAI_API_KEY", "sk-test")
        project = build({"app.py": APP, "test_app.py": TESTS, "pytest.ini": INI})
        suite = project.suite(spawn_runner, [f"test_app.py::{name}" for name in CASES])
        yield suite, evaluate(suite)


def asked(run: tuple[Suite, Evaluation], case: str) -> list[str]:
    rollout = run[1].rollouts[f"test_app.py::{case}"]
    assert rollout.outcome.value == "passed", rollout.trajectory.failure
    return [call.request[0].content for call in rollout.trajectory.calls]


@pytest.mark.parametrize(
    ("case", "calls"),
    [
        ("test_threads", ["thread 0", "thread 1"]),
        ("test_pool[0]", ["pool 1"]),
        ("test_pool[1]", ["pool 2"]),
        ("test_pool_of_loops[0]", ["loop of a pool 1"]),
        ("test_pool_of_loops[1]", ["loop of a pool 2"]),
        ("test_tasks", ["task", "to_thread"]),
        ("test_runner[0]", ["runner 1", "runner 1 too"]),
        ("test_runner[1]", ["runner 2", "runner 2 too"]),
        ("test_loop[0]", ["loop 1"]),
        ("test_loop[1]", ["loop 2"]),
        ("test_fixture", ["body", "own fixture", "own teardown"]),
        ("test_leaves_a_task_behind", []),
        ("test_after_that", ["after"]),
        ("test_loop_of_the_plugin", ["plugin 1"]),
        ("test_loop_of_the_plugin_again", ["plugin 2"]),
    ],
)
def test_a_call_is_told_to_the_case_that_it_belongs_to(
    run: tuple[Suite, Evaluation], case: str, calls: list[str]
) -> None:
    assert sorted(asked(run, case)) == calls


def test_a_call_of_work_that_was_left_behind_is_told_to_no_case(run: tuple[Suite, Evaluation]) -> None:
    (stray,) = run[0].stray
    assert stray.call.request[0].content == "late"
    assert stray.origin.endswith("::test_leaves_a_task_behind")
    assert stray.during.endswith("::test_after_that")
