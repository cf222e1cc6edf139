"""What cases and their child processes cost is on one bill, and bounded by one cap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gepa.cost.bill import Account
from pytest_gepa.cost.meter import Meter
from pytest_gepa.cost.prices import PriceList
from pytest_gepa.suite.evaluate import Suite
from pytest_gepa.suite.runner import Runner
from tests.fake_openai import FakeOpenAI
from tests.suite.world import Build, evaluate, outcomes

PRICES = PriceList(["m input=1 output=1"])
APP = """
    import os
    import sys

    import httpx

    def ask(text):
        body = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 10}
        reply = httpx.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body)
        return reply.raise_for_status().json()["choices"][0]["message"]["content"]

    if __name__ == "__main__":
        print(ask(sys.argv[1]))
"""
TESTS = """
    import subprocess
    import sys
    from concurrent.futures import ThreadPoolExecutor

    import pytest

    from app import ask

    @pytest.fixture(scope="session")
    def context():
        return ask("context")

    def test_own():
        assert ask("own") == "yes"

    def test_shared(context):
        assert context == "yes"

    def test_program():
        done = subprocess.run([sys.executable, "app.py", "program"], capture_output=True, text=True)
        assert done.stdout == "yes\\n"

    def test_threads():
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, "abcdefgh")) == ["yes"] * 8

    def test_that_makes_do_without():
        try:
            answer = ask("without")
        except Exception:
            answer = "no"
        assert answer == "yes"

    def test_that_catches_everything():
        try:
            answer = ask("everything")
        except BaseException:
            answer = "no"
        assert answer == "yes"

    def test_that_asks_nobody():
        assert True
"""
NAMES = (
    "test_own",
    "test_shared",
    "test_program",
    "test_threads",
    "test_that_makes_do_without",
    "test_that_catches_everything",
    "test_that_asks_nobody",
)
CASES = [f"test_app.py::{name}" for name in NAMES]
REQUESTS = 13


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    with FakeOpenAI(lambda request: "yes") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        yield server


def metered(build: Build, runner: Runner, directory: Path, cap: int | None) -> tuple[Suite, Meter]:
    """A suite whose costs are counted, under a cap in billionths of a dollar."""
    meter = Meter.create(directory / "costs", PRICES, cap)
    suite = build({"app.py": APP, "test_app.py": TESTS}).suite(runner, CASES, concurrency=3)
    suite._around = replace(suite._around, costs=str(directory / "costs"))
    return suite, meter


def test_every_call_is_on_the_bill(build: Build, usual_runner: Runner, tmp_path: Path, server: FakeOpenAI) -> None:
    suite, meter = metered(build, usual_runner, tmp_path, None)
    assert set(outcomes(evaluate(suite)).values()) == {"passed"}
    account = Account(PRICES)
    account.take(meter.bill)
    (part,) = account.parts.values()
    assert part.calls == len(server.requests) >= REQUESTS
    assert account.usd == pytest.approx(2e-6 * len(server.requests)), "a word asked and a word answered"


def test_what_is_left_of_the_cap_decides_how_many_calls_are_made(
    build: Build, usual_runner: Runner, tmp_path: Path, server: FakeOpenAI
) -> None:
    """A request reserves far more than it costs; those that wait are not lost."""
    suite, meter = metered(build, usual_runner, tmp_path, 2_000_000)
    assert set(outcomes(evaluate(suite)).values()) == {"passed"}
    assert meter.purse is not None
    standing = meter.purse.standing()
    assert (standing.spent, standing.reserved) == (2000 * len(server.requests), 0)


def test_cases_that_the_cap_stops_are_neither_failures_nor_run_again(
    build: Build, usual_runner: Runner, tmp_path: Path, server: FakeOpenAI
) -> None:
    suite, meter = metered(build, usual_runner, tmp_path, 1_000_000)
    found = outcomes(evaluate(suite))
    assert server.requests == [], "a request takes more than that"
    stopped = dict.fromkeys(NAMES, "stopped")
    assert found == {**stopped, "test_that_asks_nobody": "passed"}
    assert meter.purse is not None
    assert "has no room for a request of up to" in meter.purse.reason
