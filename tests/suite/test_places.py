"""Evaluations at the same time have no more cases in flight, together, than one alone may have."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_gepa.suite.evaluate import Evaluation, Suite
from pytest_gepa.suite.places import Limit
from pytest_gepa.suite.runner import Runner
from tests.fake_openai import FakeOpenAI
from tests.suite.world import TODAY, Build, evaluate, outcomes

TESTS = """
    import json, os, urllib.request

    import pytest

    {before}

    @pytest.mark.parametrize("number", range(4))
    def test_asks(number):
        body = json.dumps({{"messages": [{{"role": "user", "content": str(number)}}]}}).encode()
        urllib.request.urlopen(os.environ["FAKE_URL"] + "/chat/completions", body).read()
"""
THREAD = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
CASES = tuple(f"test_asks.py::test_asks[{number}]" for number in range(4))


class Busy:
    """A server that notes how many requests are in flight at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def reply(self, _request: dict[str, Any]) -> str:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.05)
        with self._lock:
            self._now -= 1
        return "done"


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    busy = Busy()
    with FakeOpenAI(busy.reply) as server:
        monkeypatch.setenv("FAKE_URL", server.base_url)
        yield busy


def both(suite: Suite) -> list[Evaluation]:
    """Two evaluations at once."""
    found: list[Evaluation] = []

    def run(text: str) -> None:
        found.append(evaluate(suite, text, trial=text))

    threads = [threading.Thread(target=run, args=(text,)) for text in (TODAY, "Other.\n")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("before", ["", THREAD], ids=["forked after collection", "collecting each"])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_evaluations_at_once_share_the_places(
    build: Build, fork_runner: Runner, busy: Busy, concurrency: int, before: str
) -> None:
    project = build({"test_asks.py": TESTS.format(before=before)})
    found = both(project.suite(fork_runner, CASES, concurrency=concurrency))
    assert [set(outcomes(one).values()) for one in found] == [{"passed"}] * 2
    assert 1 <= busy.most <= concurrency


def test_so_do_those_in_new_interpreters(build: Build, spawn_runner: Runner, busy: Busy) -> None:
    project = build({"test_asks.py": TESTS.format(before="")})
    found = both(project.suite(spawn_runner, CASES[:2], concurrency=1))
    assert [set(outcomes(one).values()) for one in found] == [{"passed"}] * 2
    assert busy.most == 1


@pytest.mark.thorough
@pytest.mark.parametrize("before", ["", THREAD], ids=["forked after collection", "collecting each"])
def test_one_that_waits_for_its_place_is_not_taken_for_dead(
    build: Build, fork_runner: Runner, busy: Busy, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    monkeypatch.setattr("pytest_gepa.suite.fork.STARTUP_SECONDS", 0.3)
    slow = TESTS.format(before=before) + "        import time; time.sleep(0.6)\n"
    suite = build({"test_asks.py": slow}).suite(fork_runner, CASES, concurrency=1, timeout=1.5)
    found = both(suite)
    assert [set(outcomes(one).values()) for one in found] == [{"passed"}] * 2


def test_places_go_to_who_asked_first_and_come_back_from_who_is_gone() -> None:
    limit, told = Limit(2), []
    first = limit.claim(lambda number: told.append(("first", number)))
    second = limit.claim(lambda number: told.append(("second", number)))
    first.want(3)
    second.want(2)
    assert told == [("first", 2)]
    first.give_back()
    assert (first.held, first.wanted) == (2, 0)
    first.give_back()
    assert told[1:] == [("first", 1), ("second", 1)]
    first.close()
    first.close()
    assert (first.held, second.held, second.wanted) == (0, 2, 0)
