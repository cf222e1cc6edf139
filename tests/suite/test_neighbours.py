"""Suites that start a server at one fixed port in every process: cases that ask another process's are no evidence."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from pytest_gepa.suite.rollout import Outcome
from pytest_gepa.suite.runner import Runner
from tests.suite.test_own_servers import SERVER
from tests.suite.world import Build, Project, evaluate

CASES = ["test_desk.py::test_one", "test_desk.py::test_two"]
TESTS = """
    import os
    import socket
    import threading

    import httpx
    import pytest

    import desk

    PATH = "/ask"

    def meet():
        with socket.create_connection(("127.0.0.1", int(os.environ["MEETING"]))) as waiting:
            waiting.recv(1)

    @pytest.fixture(scope="session")
    def server():
        try:
            server = desk.serve()
        except OSError:
            yield
            return
        with server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield
            server.shutdown()

    def ask():
        meet()
        body = {"text": "hello"}
        reply = httpx.post(f"http://127.0.0.1:{os.environ['DESK_PORT']}{PATH}", json=body, trust_env=False)
        meet()
        assert reply.status_code == 200

    def test_one(server):
        ask()

    def test_two(server):
        ask()
"""


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where two cases wait for each other."""

    def meet() -> None:
        while True:
            try:
                first, second = (listener.accept()[0] for _ in range(2))
            except OSError:
                return
            with closing(first), closing(second):
                pass

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_server(("127.0.0.1", 0)) as free,
    ):
        monkeypatch.setenv("MEETING", str(listener.getsockname()[1]))
        monkeypatch.setenv("DESK_PORT", str(free.getsockname()[1]))
        free.close()
        threading.Thread(target=meet, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def outcomes(project: Project, runner: Runner) -> dict[str, str]:
    """How the cases ended, and what was said of those that went wrong."""
    rollouts = evaluate(project.suite(runner, CASES, concurrency=2)).rollouts
    assert all(one.outcome in (Outcome.passed, Outcome.error) for one in rollouts.values())
    return {case: one.trajectory.failure for case, one in rollouts.items()}


@pytest.mark.usefixtures("meeting")
def test_a_case_that_asks_the_server_of_another_process_is_an_error(build: Build, fork_runner: Runner) -> None:
    said = outcomes(build({"desk.py": SERVER, "test_desk.py": TESTS}), fork_runner)

    (own, other) = sorted(said.values())
    assert own == ""
    assert "that another process of this run has started" in other
    assert "--gepa-concurrency 1" in other
    assert "worker_id" in other


@pytest.mark.usefixtures("meeting")
def test_a_server_that_speaks_a_model_s_protocol_may_be_shared(build: Build, fork_runner: Runner) -> None:
    tests = TESTS.replace('"/ask"', '"/v1/chat/completions"')
    assert set(outcomes(build({"desk.py": SERVER, "test_desk.py": tests}), fork_runner).values()) == {""}


@pytest.mark.usefixtures("meeting")
def test_a_server_that_was_started_before_the_processes_is_common(build: Build, fork_runner: Runner) -> None:
    conftest = """
        import subprocess
        import sys

        started = subprocess.Popen([sys.executable, "desk.py"], stdout=subprocess.PIPE, text=True)
        started.stdout.readline()

        def pytest_unconfigure():
            started.kill()
    """
    project = build({"desk.py": SERVER, "test_desk.py": TESTS, "conftest.py": conftest})

    assert set(outcomes(project, fork_runner).values()) == {""}


def test_one_case_at_a_time_asks_its_own(build: Build, fork_runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("DESK_PORT", str(free.getsockname()[1]))
    project = build({"desk.py": SERVER, "test_desk.py": TESTS.replace("meet()\n", "pass\n")})

    rollouts = evaluate(project.suite(fork_runner, CASES)).rollouts.values()

    assert [one.outcome for one in rollouts] == [Outcome.passed] * 2
