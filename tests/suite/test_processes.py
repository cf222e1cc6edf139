from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.suite import fork
from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.isolation import choose_runner
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.suite.runner import Runner, new_python, with_fixed_order, with_package
from tests.fake_openai import FakeOpenAI
from tests.suite.world import PRELOAD, Build, Project, evaluate, logged, outcomes

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no `/proc` tells of it")
AT_ONCE = 3
CASES = tuple(f"test_meet.py::test_meets[{number}]" for number in range(6))
TESTS = """
    import json, os, urllib.request
    from pathlib import Path

    import pytest

    DIARY = Path(__file__).parent.parent / "temp" / "diary"

    def note(line):
        with DIARY.open("a") as stream:
            stream.write(f"{line} {os.getpid()}\\n")

    def meet(question):
        body = json.dumps({"messages": [{"role": "user", "content": question}]}).encode()
        with urllib.request.urlopen(os.environ["FAKE_URL"] + "/chat/completions", body) as answer:
            return json.load(answer)["choices"][0]["message"]["content"]

    note("imported")

    @pytest.fixture(scope="session")
    def session_wide():
        note("set up")
        yield
        note("torn down")

    @pytest.fixture
    def own():
        yield
        note("closed")

    @pytest.mark.parametrize("number", range(6))
    def test_meets(gepa, number, session_wide, own, tmp_path, tmp_path_factory):
        file = tmp_path / "mine"
        assert not file.exists()
        file.write_text(str(number))
        print(f"before {number}")
        assert meet(f"hello from {number}") == "all are here"
        print(f"after {number}")
        gepa.log("pid", os.getpid())
        gepa.log("root", str(tmp_path_factory.getbasetemp().parent))
        gepa.log("text", file.read_text())
"""


@pytest.fixture(scope="module")
def meeting() -> Iterator[FakeOpenAI]:
    """A server that answers only when as many requests are in flight as cases may be."""
    barrier = threading.Barrier(AT_ONCE)

    def reply(_request: dict[str, Any]) -> str:
        barrier.wait(timeout=60)
        return "all are here"

    with FakeOpenAI(reply) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_URL", server.base_url)
        yield server


@pytest.fixture(scope="module")
def project(build: Build) -> Project:
    return build({"test_meet.py": TESTS})


@pytest.fixture(scope="module")
def met(project: Project, runner: Runner, meeting: FakeOpenAI) -> tuple[Evaluation, Counter[str]]:
    """An evaluation of cases that overlap, and what they noted in their diary: lines without the process id."""
    diary = _new_diary(project)
    evaluation = evaluate(project.suite(runner, CASES, concurrency=AT_ONCE))
    return evaluation, Counter(line.rpartition(" ")[0] for line in diary.read_text().splitlines())


def test_as_many_cases_run_at_once_as_may(met: tuple[Evaluation, Counter[str]]) -> None:
    rollouts = met[0].rollouts.values()

    assert [rollout.outcome.value for rollout in rollouts] == ["passed"] * len(CASES)
    assert len({logged(rollout, "pid") for rollout in rollouts}) == AT_ONCE


def test_every_process_has_a_root_of_its_own_for_temporary_files(
    met: tuple[Evaluation, Counter[str]],
) -> None:
    roots: dict[str, set[str]] = {}
    for rollout in met[0].rollouts.values():
        roots.setdefault(logged(rollout, "pid"), set()).add(logged(rollout, "root"))

    assert [len(of_one) for of_one in roots.values()] == [1] * AT_ONCE
    assert len(set.union(*roots.values())) == AT_ONCE


def test_cases_find_their_own_files_and_output(met: tuple[Evaluation, Counter[str]]) -> None:
    for number, case in enumerate(CASES):
        rollout = met[0].rollouts[case]
        assert logged(rollout) == str(number)
        assert dict(rollout.trajectory.output)["Captured stdout call"] == f"before {number}\nafter {number}\n"


def test_session_fixtures_live_once_in_each_process(met: tuple[Evaluation, Counter[str]]) -> None:
    diary = met[1]

    assert (diary["set up"], diary["torn down"]) == (AT_ONCE, AT_ONCE)
    assert diary["closed"] == len(CASES)


def test_nothing_is_left_of_the_temporary_files(project: Project, met: tuple[Evaluation, Counter[str]]) -> None:
    assert met
    assert not list(project.temp.glob("job-*"))


def test_the_fork_server_collects_once(project: Project, meeting: FakeOpenAI) -> None:
    # A server of its own: one that has met a session that it could not fork does not try again.
    runner = choose_runner("fork", project.temp, PRELOAD, [])
    try:
        assert _imports(project, runner) == 1
    finally:
        runner.close()


def test_a_subprocess_collects_for_itself(project: Project, spawn_runner: Runner, meeting: FakeOpenAI) -> None:
    assert _imports(project, spawn_runner) == AT_ONCE


@pytest.mark.parametrize(
    "unsafe",
    [
        pytest.param(
            "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            "import openai\n"
            "client = openai.OpenAI(base_url='http://127.0.0.1:9', api_key='none', max_retries=0)\n"
            "try:\n"
            "    client.chat.completions.create(model='m', messages=[])\n"
            "except openai.APIConnectionError:\n"
            "    pass\n",
            marks=pytest.mark.thorough,
        ),
        "import urllib.request\n"
        "try:\n"
        '    urllib.request.urlopen(\'http://127.0.0.1:9/v1/chat/completions\', b\'{"model": "m", "messages": []}\')\n'
        "except OSError:\n"
        "    pass\n",
        "import socket\ndatabase, server = socket.socketpair()\n",
        pytest.param(
            "import ctypes\n"
            "c = ctypes.CDLL(None)\n"
            "c.pthread_create(ctypes.byref(ctypes.c_ulong()), None, c.pause, None)\n",
            marks=ON_LINUX,
        ),
    ],
    ids=[
        "a thread was started",
        "a model was called through its SDK",
        "a model was called",
        "a connection was opened",
        "a library has started a thread",
    ],
)
def test_each_process_collects_for_itself_when_forking_later_is_unsafe(
    build: Build, meeting: FakeOpenAI, unsafe: str
) -> None:
    project = build({"conftest.py": unsafe, "test_meet.py": TESTS})
    runner = choose_runner("fork", project.temp, PRELOAD, [])

    first, later = _imports(project, runner), _imports(project, runner)
    runner.close()

    assert (first, later) == (1 + AT_ONCE, AT_ONCE)


@ON_LINUX
def test_a_library_that_ends_its_threads_before_a_fork_makes_none_unsafe(build: Build, meeting: FakeOpenAI) -> None:
    conftest = """
        import ctypes, os

        c = ctypes.CDLL(None)
        thread, gate = ctypes.c_ulong(), ctypes.create_string_buffer(64)
        c.sem_init(gate, 0, 0)
        c.pthread_create(ctypes.byref(thread), None, c.sem_wait, gate)

        def end():
            if thread:
                c.sem_post(gate)
                c.pthread_join(thread, None)
                thread.value = 0

        os.register_at_fork(before=end)
    """
    project = build({"conftest.py": conftest, "test_meet.py": TESTS})
    runner = choose_runner("fork", project.temp, PRELOAD, [])

    assert _imports(project, runner) == 1
    runner.close()


def test_a_session_that_cannot_fork_ends_what_its_conftest_has_started(build: Build) -> None:
    conftest = """
        import threading, time
        from pathlib import Path

        def note(line):
            with (Path(__file__).parent.parent / "temp" / "containers").open("a") as stream:
                stream.write(line)

        def pytest_configure():
            note("+")
            threading.Thread(target=threading.Event().wait, daemon=True).start()

        def pytest_sessionfinish():
            time.sleep(0.2)
            note("-")

        def pytest_unconfigure():
            time.sleep(0.2)
            note("=")
    """
    project = build({"conftest.py": conftest, "test_it.py": "def test_one(): pass\n"})
    runner = choose_runner("fork", project.temp, PRELOAD, [])
    found = evaluate(project.suite(runner, ["test_it.py::test_one"]))
    runner.close()
    assert outcomes(found) == {"test_one": "passed"}
    assert (project.temp / "containers").read_text() == "+-=" * 2


@pytest.mark.thorough
def test_one_whose_teardown_does_not_end_is_ended(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork, "_patience", lambda _: 3.0)
    conftest = """
        import os, threading
        from pathlib import Path

        threading.Thread(target=threading.Event().wait, daemon=True).start()

        def pytest_unconfigure():
            first = Path(__file__).parent.parent / "temp" / "first"
            if not first.exists():
                first.touch()
                threading.Event().wait()
    """
    project = build({"conftest.py": conftest, "test_it.py": "def test_one(): pass\n"})
    runner = choose_runner("fork", project.temp, PRELOAD, [])
    found = evaluate(project.suite(runner, ["test_it.py::test_one"]))
    runner.close()
    assert outcomes(found) == {"test_one": "passed"}
    assert (project.temp / "first").exists()


@ON_LINUX
@pytest.mark.parametrize("way", ["", ", start_new_session=True"], ids=["its group", "a group of its own"])
def test_a_process_that_takes_too_long_is_ended_with_those_it_has_started(
    build: Build, usual_runner: Runner, way: str
) -> None:
    tests = f"""
        import socket, subprocess, threading, time
        from pathlib import Path

        PORT = Path(__file__).parent.parent / "temp" / "port"

        def test_hangs():
            server = socket.create_server(("127.0.0.1", 0))
            PORT.write_text(str(server.getsockname()[1]))
            subprocess.Popen(["sh", "-c", "sleep 600 & wait"], pass_fds=[server.fileno()]{way})
            threading.Event().wait()

        def test_needs_the_port():
            for _ in range(20):
                try:
                    socket.create_server(("127.0.0.1", int(PORT.read_text()))).close()
                    return
                except OSError as error:
                    last = error
                time.sleep(0.1)
            raise AssertionError(str(last))
    """
    cases = ["test_it.py::test_hangs", "test_it.py::test_needs_the_port"]

    found = evaluate(build({"test_it.py": tests}).suite(usual_runner, cases, timeout=3.0))

    assert outcomes(found) == {"test_hangs": "timeout", "test_needs_the_port": "passed"}


def test_a_clock_that_the_project_has_stopped_stops_no_deadline(build: Build, usual_runner: Runner) -> None:
    """As freezegun does for all who ask `time`, from a conftest or a fixture of the session on."""
    tests = """
        import threading

        def test_hangs():
            threading.Event().wait()

        def test_ends():
            pass
    """
    cases = ["test_it.py::test_hangs", "test_it.py::test_ends"]
    project = build({"conftest.py": "import time\n\ntime.monotonic = lambda: -1e9\n", "test_it.py": tests})

    found = evaluate(project.suite(usual_runner, cases, timeout=3.0))

    assert outcomes(found) == {"test_hangs": "timeout", "test_ends": "passed"}
    assert all(0 <= run.seconds < 60 for run in found.rollouts.values())


def test_the_output_of_one_process_s_cases_is_told_apart(build: Build, runner: Runner) -> None:
    tests = """
        import os, subprocess, sys

        def test_first():
            print("first")
            print("first error", file=sys.stderr)

        def test_second():
            subprocess.run(["echo", "second"])
            os.write(2, b"second error")
    """
    suite = build({"test_says.py": tests}).suite(runner, ["test_says.py::test_first", "test_says.py::test_second"])

    first, second = (dict(rollout.trajectory.output) for rollout in evaluate(suite).rollouts.values())

    assert (first["Captured stdout call"], first["Captured stderr call"]) == ("first\n", "first error\n")
    assert (second["Captured stdout call"], second["Captured stderr call"]) == ("second\n", "second error")


def test_what_took_hold_of_the_output_during_collection_writes_on(build: Build, runner: Runner) -> None:
    logs = """
        import functools, logging, sys

        logging.basicConfig(level="INFO")
        tell = functools.partial(print, file=sys.stderr)
    """
    tests = """
        import logging, logs

        def test_first():
            logging.info("first")
            logs.tell("told")

        def test_second():
            logging.info("second")
    """
    suite = build({"conftest.py": "import logs", "logs.py": logs, "test_says.py": tests}).suite(
        runner, ["test_says.py::test_first", "test_says.py::test_second"]
    )

    first, second = evaluate(suite).rollouts.values()

    assert (first.outcome.value, second.outcome.value) == ("passed", "passed")
    assert dict(first.trajectory.output)["Captured stderr call"] == "INFO:root:first\ntold\n"
    assert dict(second.trajectory.output)["Captured stderr call"] == "INFO:root:second\n"


def test_the_cases_that_wait_go_to_whichever_process_is_free(build: Build, runner: Runner, meeting: FakeOpenAI) -> None:
    tests = (
        TESTS
        + """
    def test_quick():
        pass
    """
    )
    project = build({"test_meet.py": tests})
    cases = [CASES[0], "test_meet.py::test_quick", CASES[1], CASES[2]]
    heard: list[Rollout] = []

    evaluation = evaluate(project.suite(runner, cases, concurrency=AT_ONCE), heard=heard)

    assert set(outcomes(evaluation).values()) == {"passed"}
    assert sorted(rollout.case for rollout in heard) == sorted(cases)


def _new_diary(project: Project) -> Path:
    """An empty diary, and no stored answers: cases that meet must all ask."""
    shutil.rmtree(project.temp / "cache", ignore_errors=True)
    diary = project.temp / "diary"
    diary.unlink(missing_ok=True)
    return diary


def _imports(project: Project, runner: Runner) -> int:
    diary = _new_diary(project)
    evaluation = evaluate(project.suite(runner, CASES[:AT_ONCE], concurrency=AT_ONCE))
    assert set(outcomes(evaluation).values()) == {"passed"}
    return sum(line.startswith("imported") for line in diary.read_text().splitlines())


@pytest.mark.parametrize("before", [{}, {"PYTHONPATH": ""}, {"PYTHONPATH": "/one", "OTHER": "x"}])
def test_a_new_python_finds_the_package_and_not_what_lies_in_its_directory(before: dict[str, str]) -> None:
    found = with_package(before)
    package, *others = found["PYTHONPATH"].split(os.pathsep)
    assert (Path(package) / "pytest_gepa" / "__init__.py").is_file()
    assert others == ["/one"] * ("OTHER" in before)  # an empty entry would be the working directory
    assert {**found, "PYTHONPATH": ""} == {**before, "PYTHONPATH": ""}


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_a_file_by_the_name_of_a_module_is_not_taken_for_it(
    build: Build, isolation: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    shadow = "raise ImportError('the one of the project')\n"
    project = build({"test_it.py": "def test_one(): pass\n", "socket.py": shadow, "base64.py": shadow})
    monkeypatch.chdir(project.root)
    runner = choose_runner(isolation, project.temp, PRELOAD, [])
    request.addfinalizer(runner.close)

    found = evaluate(project.suite(runner, ["test_it.py::test_one"]))

    assert outcomes(found) == {"test_one": "passed"}


def test_a_new_python_keeps_the_other_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/relative.py").write_text("import sys\nprint(__name__, sys.argv[1:])\n")
    environ = with_package({**os.environ, "PYTHONPATH": "lib"})
    said = subprocess.check_output(new_python("relative", "one"), env=environ, text=True)
    assert said == "__main__ ['one']\n"


ORDER = """
import os

def test_it(request):
    print("PYTHONHASHSEED" in os.environ, os.environ.get("PYTHONHASHSEED"), hash("a"), list({"b", "c", "d", "e"}))
    assert {"b": 1, "c": 1, "d": 1, "e": 1} == {"b": 2, "c": 2, "d": 2, "e": 2}
"""


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_sets_have_the_same_order_in_every_run(build: Build, isolation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    project = build({"test_it.py": ORDER})
    told = []
    for _ in range(3):
        runner = choose_runner(isolation, project.temp, PRELOAD, [])
        found = evaluate(project.suite(runner, ["test_it.py::test_it"]))
        runner.close()
        (rollout,) = found.rollouts.values()
        told.append((rollout.trajectory.failure, rollout.trajectory.output))
    assert told[0] == told[1] == told[2]
    assert "False None" in str(told[0])


def test_who_has_chosen_an_order_keeps_it() -> None:
    assert with_fixed_order({}) == {"PYTHONHASHSEED": "0"}
    assert with_fixed_order({"PYTHONHASHSEED": "random"}) == {"PYTHONHASHSEED": "random"}


def test_an_installed_package_puts_nothing_before_the_standard_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = str(Path(fork.__file__).parents[2])
    assert with_package({})["PYTHONPATH"] == home
    monkeypatch.setattr(site, "getsitepackages", lambda: [home])
    assert with_package({"OTHER": "x"}) == {"OTHER": "x"}
