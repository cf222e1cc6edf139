"""Evaluations at the same time have no more cases in flight, together, than one alone may have."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_gepa.suite.evaluate import Evaluation, Suite
from pytest_gepa.suite.places import Limit
from pytest_gepa.suite.runner import Runner
from tests.fake_openai import FakeOpenAI
from tests.suite.world import TODAY, Build, evaluate, logged, outcomes

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
    """A server that answers when as many requests are in flight as are to be, and notes how many were at most.

    Each of the first requests is held for as many seconds as `pauses` says.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self._too_many = threading.Event()
        self.most = 0
        self.pauses: Iterator[float] = iter(())
        self.expect(1)

    def expect(self, at_once: int) -> None:
        self._at_once = at_once
        self._meeting = threading.Barrier(at_once)

    def reply(self, _request: dict[str, Any]) -> str:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now > self._at_once:
                self._too_many.set()
        self._meeting.wait(60)
        self._too_many.wait(next(self.pauses, 0.05))  # the time for one too many to come
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

    threads = [threading.Thread(target=run, args=(text,), daemon=True) for text in (TODAY, "Other.\n")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    return found


@pytest.mark.parametrize("before", ["", THREAD], ids=["forked after collection", "collecting each"])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_evaluations_at_once_share_the_places(
    build: Build, fork_runner: Runner, busy: Busy, concurrency: int, before: str
) -> None:
    busy.expect(concurrency)
    project = build({"test_asks.py": TESTS.format(before=before)})
    found = both(project.suite(fork_runner, CASES, concurrency=concurrency))
    assert [set(outcomes(one).values()) for one in found] == [{"passed"}] * 2
    assert busy.most == concurrency


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
    """Not even when the cases of the other one take longer together than any silence may last; each takes far less."""
    busy.pauses = iter([3.0] * len(CASES))
    monkeypatch.setattr("pytest_gepa.suite.fork._patience", lambda job: 10.0)
    project = build({"test_asks.py": TESTS.format(before=before)})
    found = both(project.suite(fork_runner, CASES, concurrency=1, timeout=10.0))
    assert [set(outcomes(one).values()) for one in found] == [{"passed"}] * 2


def test_places_go_to_who_asked_first_and_come_back_from_who_is_gone() -> None:
    limit = Limit(2)
    told: list[tuple[str, list[int]]] = []
    first = limit.claim(lambda places: told.append(("first", places)))
    second = limit.claim(lambda places: told.append(("second", places)))
    first.want(3)
    second.want(2)
    assert told == [("first", [0, 1])]
    first.give_back(1)
    first.give_back(0)
    assert told[1:] == [("first", [1]), ("second", [0])]
    first.close()
    first.close()
    assert (first.held, second.held, second.wanted) == (set(), {0, 1}, 0)


NAMED = """
    import os, time
    from pathlib import Path

    import pytest

    SEEN = Path(__file__).parent.parent / "temp"

    {before}

    @pytest.fixture(scope="session")
    def database(worker_id):
        return f"test_{{worker_id}}"

    @pytest.mark.parametrize("number", range(4))
    def test_asks(gepa, number, database):
        assert database.removeprefix("test_") == os.environ.get("PYTEST_XDIST_WORKER", "master")
        gepa.log("database", database)
        (SEEN / f"{{database}}.seen").touch()
        for _ in range({at_once} > 1 and 1000):
            if len(list(SEEN.glob("*.seen"))) >= {at_once}:
                break
            time.sleep(0.01)
"""


@pytest.mark.parametrize("before", ["", THREAD], ids=["forked after collection", "collecting each"])
def test_processes_at_once_have_names_of_their_own(build: Build, fork_runner: Runner, before: str) -> None:
    project = build({"test_asks.py": NAMED.format(before=before, at_once=3)})
    found = both(project.suite(fork_runner, CASES, concurrency=3))
    names = {logged(run, "database") for one in found for run in one.rollouts.values()}
    assert names == {"test_gw0", "test_gw1", "test_gw2"}


DJANGO = """
    import sys
    from types import SimpleNamespace

    import pytest

    NAMES = ["test_orders"]

    def give(suffix):
        NAMES.append(f"{NAMES.pop()}_{suffix}")

    class Plugin:
        @pytest.fixture(scope="session")
        def django_db_modify_db_settings_xdist_suffix(self, request):
            assert hasattr(request.config, "workerinput")

    def pytest_addoption(pluginmanager):
        sys.modules["pytest_django.fixtures"] = SimpleNamespace(_set_suffix_to_test_databases=give)
        pluginmanager.register(Plugin())

    @pytest.fixture(scope="session")
    def databases(django_db_modify_db_settings_xdist_suffix):
        return NAMES
"""


def test_test_databases_of_django_have_the_name_of_their_process(build: Build, fork_runner: Runner) -> None:
    """As pytest-django names them for the workers of xdist."""
    tests = NAMED.format(before="", at_once=3).replace("database(worker_id)", "database(worker_id, databases)")
    tests = tests.replace('f"test_{worker_id}"', "databases[0].replace('orders_', '')")
    project = build({"conftest.py": DJANGO, "test_asks.py": tests})
    found = both(project.suite(fork_runner, CASES, concurrency=3))
    names = {logged(run, "database") for one in found for run in one.rollouts.values()}
    assert names == {"test_gw0", "test_gw1", "test_gw2"}


def test_so_have_new_interpreters_and_the_only_one_has_the_usual_name(
    build: Build, spawn_runner: Runner, fork_runner: Runner
) -> None:
    project = build({"test_asks.py": NAMED.format(before="", at_once=1)})
    (named,) = evaluate(project.suite(spawn_runner, CASES[:1], concurrency=2)).rollouts.values()
    (alone,) = evaluate(project.suite(fork_runner, CASES[:1], concurrency=1)).rollouts.values()
    assert (logged(named, "database"), logged(alone, "database")) == ("test_gw0", "test_master")
