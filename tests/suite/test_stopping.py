from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pytest_gepa.suite import evaluate as evaluate_module
from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.isolation import choose_runner
from pytest_gepa.suite.runner import Runner
from tests.fake_openai import FakeOpenAI
from tests.suite.world import PRELOAD, PROMPT, Build, Project, Purse, evaluate, has_ended, logged, outcomes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")

WAITING = """
    import os, subprocess, urllib.request
    from pathlib import Path

    import pytest

    PIDS = Path(__file__).parent.parent / "temp" / "pids"

    @pytest.mark.parametrize("number", range(4))
    def test_waits(number):
        started = subprocess.Popen(["sleep", "600"], start_new_session=True)
        (PIDS / f"{started.pid}").touch()
        (PIDS / f"{os.getpid()}").touch()
        (PIDS / f"{os.getppid()}").touch()
        urllib.request.urlopen(os.environ["FAKE_URL"] + "/chat/completions", b"{}")
"""
CASES = tuple(f"test_waits.py::test_waits[{number}]" for number in range(4))


@pytest.fixture(params=["fork", "spawn"])
def own_runner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runner]:
    """A runner of the test's own, for one that was stopped runs nothing more."""
    runner = choose_runner(request.param, tmp_path, PRELOAD, [])
    yield runner
    runner.close()


@pytest.fixture
def project(build: Build) -> Project:
    project = build({"test_waits.py": WAITING, "test_quick.py": "def test_quick(): pass\n"})
    (project.temp / "pids").mkdir()
    return project


class Waiting:
    """A server that keeps its clients waiting; `all_here` is set when `clients` of them are."""

    def __init__(self, clients: int) -> None:
        self.all_here, self.is_over = threading.Event(), threading.Event()
        self._clients = clients
        self._here = 0

    def reply(self, _request: dict[str, Any]) -> str:
        self._here += 1
        if self._here >= self._clients:
            self.all_here.set()
        self.is_over.wait(60)
        return "too late"


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiting]:
    waiting = Waiting(clients=2)
    with FakeOpenAI(waiting.reply) as server:
        monkeypatch.setenv("FAKE_URL", server.base_url)
        yield waiting
        waiting.is_over.set()


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


def test_stop_ends_every_child_and_the_evaluation_returns_what_it_has(
    project: Project, own_runner: Runner, waiting: Waiting
) -> None:
    suite = project.suite(own_runner, CASES, concurrency=2)
    thread, results = in_thread(lambda: evaluate(suite, allowance=Purse(rollouts=10)))
    assert waiting.all_here.wait(60)
    pids = {int(path.name) for path in (project.temp / "pids").iterdir()} - {os.getpid()}
    descriptors = [os.pidfd_open(pid) for pid in pids]

    suite.stop()
    thread.join(60)

    assert [evaluation.rollouts for evaluation in results] == [{}]
    assert len(pids) >= 4
    assert all(has_ended(descriptor) for descriptor in descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    assert not list(project.temp.glob("job-*"))


def test_nothing_runs_after_a_stop(project: Project, own_runner: Runner) -> None:
    suite = project.suite(own_runner, ["test_quick.py::test_quick"])
    assert outcomes(evaluate(suite)) == {"test_quick": "passed"}
    purse = Purse(rollouts=10)

    suite.stop()

    assert evaluate(suite, allowance=purse) == Evaluation({}, {})
    assert purse.asked == []


def test_no_cases_start_no_session(project: Project, own_runner: Runner, tmp_path: Path) -> None:
    assert evaluate(project.suite(own_runner, [])) == Evaluation({}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_runner_that_was_stopped_starts_nothing_for_another_suite(
    project: Project, own_runner: Runner, tmp_path: Path
) -> None:
    project.suite(own_runner, ["test_quick.py::test_quick"]).stop()

    evaluation = evaluate(project.suite(own_runner, ["test_quick.py::test_quick"]))

    assert outcomes(evaluation) == {"test_quick": "crashed"}
    assert list(tmp_path.iterdir()) == []


def test_a_stop_ends_the_pause_before_a_retry_and_the_retry_is_not_made(
    build: Build, own_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_module, "BACKOFF_SECONDS", (600.0, 600.0))
    project = build({"test_error.py": "def test_error():\n    raise ConnectionError\n"})
    suite = project.suite(own_runner, ["test_error.py::test_error"])
    is_asked = threading.Event()

    class Watched(Purse):
        def reserve(self, rollouts: int) -> bool:
            is_asked.set()
            return super().reserve(rollouts)

    purse = Watched(rollouts=10)
    thread, results = in_thread(lambda: evaluate(suite, allowance=purse))
    assert is_asked.wait(60)

    suite.stop()
    thread.join(60)

    assert [outcomes(evaluation) for evaluation in results] == [{"test_error": "error"}]
    assert (purse.asked, purse.settled) == ([1], [(1, 0)])


def test_close_ends_the_fork_server(build: Build, tmp_path: Path) -> None:
    tests = """
        import os
        from pathlib import Path

        def test_tells(gepa):
            session = os.getppid()
            stat = Path(f"/proc/{session}/stat").read_text()
            gepa.log("server", int(stat.rpartition(")")[2].split()[1]))
    """
    runner = choose_runner("fork", tmp_path, PRELOAD, [])
    (rollout,) = evaluate(
        build({"test_tells.py": tests}).suite(runner, ["test_tells.py::test_tells"])
    ).rollouts.values()
    server = int(logged(rollout, "server"))
    assert "pytest_gepa.suite.forkserver" in Path(f"/proc/{server}/cmdline").read_text()
    descriptor = os.pidfd_open(server)

    runner.close()

    assert has_ended(descriptor)
    os.close(descriptor)


def test_a_runner_may_be_closed_twice_and_without_having_run(own_runner: Runner) -> None:
    own_runner.close()
    own_runner.close()


READER = "from pathlib import Path\n\nTEXT = (Path(__file__).parent / 'greet.md').read_text()\n"
LIBRARY_TESTS = """
    import library_user

    def test_library(gepa):
        gepa.log("text", library_user.TEXT)
"""


def test_a_preloaded_module_that_reads_a_prompt_is_dropped_with_those_that_import_it(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = build(
        {
            "prompts/library_reader/__init__.py": "",
            "prompts/library_user.py": "from library_reader.part import TEXT\n",
            "prompts/library_reader/part.py": READER.replace("parent /", "parent.parent /"),
            "test_library.py": LIBRARY_TESTS,
        }
    )
    monkeypatch.setenv("PYTHONPATH", str(project.root / "prompts"))
    monkeypatch.syspath_prepend(str(project.root / "prompts"))
    preload = ["pytest", "library_user", "library_reader", "library_reader.part"]
    runner = choose_runner("fork", tmp_path, preload, [str(project.root / PROMPT)])
    suite = project.suite(runner, ["test_library.py::test_library"], search=[str(project.root / "prompts")])

    seen = [logged(*evaluate(suite, text).rollouts.values()) for text in ("One.\n", "Two.\n")]
    runner.close()

    assert seen == ["One.\n", "Two.\n"]


SLOW_LIBRARY = """
    import os, subprocess, urllib.request

    urllib.request.urlopen(os.environ["FAKE_URL"] + "/chat/completions", b"{}")
"""


def test_a_stop_does_not_wait_for_what_is_being_preloaded(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Waiting(clients=1)
    (tmp_path / "slow_library.py").write_text(dedent(SLOW_LIBRARY), encoding="utf-8")
    with FakeOpenAI(slow.reply) as server:
        monkeypatch.setenv("FAKE_URL", server.base_url)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        runner = choose_runner("fork", tmp_path, [*PRELOAD, "slow_library"], [])
        suite = project.suite(runner, ["test_quick.py::test_quick"])
        thread, results = in_thread(lambda: evaluate(suite))
        assert slow.all_here.wait(60)
        suite.stop()
        thread.join(30)
        ended = list(results)
        slow.is_over.set()
        thread.join(60)
        runner.close()
    assert [evaluation.rollouts for evaluation in ended] == [{}]


LIBRARY_THAT_STARTS_A_THREAD = """
    import os, threading, urllib.request

    urllib.request.urlopen(os.environ["FAKE_URL"] + "/chat/completions", b'{"who": "library"}')
    threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
USES_LIBRARY = """
    import os, sys, sysconfig, urllib.request

    def test_imports_it_as_if_it_were_installed():
        import library_thread
        library_thread.__file__ = os.path.join(sysconfig.get_paths()["purelib"], "library_thread.py")

    def test_works_meanwhile():
        for _ in range(200):
            urllib.request.urlopen(os.environ["FAKE_URL"] + "/chat/completions", b'{"who": "case"}')

    def test_later():
        assert "library_thread" not in sys.modules
"""


@pytest.mark.thorough
def test_cases_go_on_when_a_module_that_cannot_be_preloaded_is_learnt_of(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports: list[str] = []
    is_preloaded, is_other_at_work = threading.Event(), threading.Event()

    def reply(request: dict[str, Any]) -> str:
        if request["who"] == "library":
            # Else one process might run both cases, one after the other.
            is_other_at_work.wait(60)
            imports.append("by the case" if not imports else "by the fork server")
            if len(imports) == 2:
                is_preloaded.set()
        else:
            is_other_at_work.set()
            is_preloaded.wait(60)
        return "go on"

    project = build({"libraries/library_thread.py": LIBRARY_THAT_STARTS_A_THREAD, "test_library.py": USES_LIBRARY})
    libraries = str(project.root / "libraries")
    monkeypatch.setenv("PYTHONPATH", libraries)
    runner = choose_runner("fork", tmp_path, PRELOAD, [])
    names = ("test_imports_it_as_if_it_were_installed", "test_works_meanwhile", "test_later")
    cases = [f"test_library.py::{name}" for name in names]
    suite = project.suite(runner, cases, concurrency=2, search=[libraries])
    with FakeOpenAI(reply) as server:
        monkeypatch.setenv("FAKE_URL", server.base_url)
        first = evaluate(suite, cases=cases[:2])
        later = evaluate(suite, cases=cases[2:])
    runner.close()

    assert imports == ["by the case", "by the fork server"]
    assert set(outcomes(first).values()) == {"passed"}
    assert outcomes(later) == {"test_later": "passed"}


def test_secrets_of_the_environment_reach_the_case_and_not_the_disk(
    project: Project, own_runner: Runner, waiting: Waiting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sk-0123456789abcdefghij"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    (project.root / "test_secret.py").write_text(
        "import os\n"
        "def test_secret(gepa):\n"
        "    print(os.environ['OPENAI_API_KEY'])\n"
        "    gepa.log('key', os.environ['OPENAI_API_KEY'])\n"
        "    assert os.environ['OPENAI_API_KEY'] == 'another'\n"
    )
    suite = project.suite(own_runner, ["test_secret.py::test_secret", CASES[0], CASES[1]], concurrency=3)
    thread, results = in_thread(lambda: evaluate(suite))
    assert waiting.all_here.wait(60)

    while_running = _files_with(secret, tmp_path, project.temp)
    waiting.is_over.set()
    thread.join(60)

    assert while_running == _files_with(secret, tmp_path, project.temp) == []
    rollout = results[0].rollouts["test_secret.py::test_secret"]
    assert rollout.outcome.value == "failed"
    assert secret not in repr((rollout.trajectory, rollout.feedback))
    assert logged(rollout, "key") == "[redacted]"


def _files_with(text: str, *directories: Path) -> list[Path]:
    files = [path for directory in directories for path in directory.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if text.encode() in path.read_bytes()]
