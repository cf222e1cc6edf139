"""The modules that the fork server imports beforehand: a help to speed, which no run may die of."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pytest_gepa.errors import RunnerError
from pytest_gepa.suite.fork import ForkedSession, ForkRunner, _Server
from pytest_gepa.suite.modules import environment_modules
from tests.suite.world import Build, evaluate, outcomes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
SUITE = {
    "test_it.py": """
        import sys

        def test_one(gepa):
            gepa.log("harmless", "gepa_harmless" in sys.modules)
    """
}
CASES = ["test_it.py::test_one"]

LATE = {
    "conftest.py": """
        import pytest

        @pytest.fixture(scope="session")
        def early():
            import wave

        @pytest.fixture(scope="session")
        def quiet(early):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("QUIET", "1")
                import colorsys
                yield
    """,
    "test_it.py": """
        import sys

        def test_one(gepa, request):
            before = [name for name in ("wave", "colorsys") if name in sys.modules]
            request.getfixturevalue("quiet")
            gepa.log("before", " ".join(before))
    """,
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of modules that the server can import."""
    directory = tmp_path / "modules"
    directory.mkdir()
    (directory / "gepa_harmless.py").write_text("")
    (directory / "gepa_deadly.py").write_text("import os\nos._exit(3)\n")
    (directory / "gepa_threaded").mkdir()
    (directory / "gepa_threaded/__init__.py").write_text("")
    (directory / "gepa_threaded/pool.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    (directory / "gepa_endless.py").write_text("import threading\nthreading.Event().wait()\n")
    monkeypatch.setenv("PYTHONPATH", str(directory))
    return directory


@contextlib.contextmanager
def runner_of(temp: Path, *names: str, prompts: tuple[str, ...] = ()) -> Iterator[ForkRunner]:
    runner = ForkRunner(temp, names, prompts)
    yield runner
    runner.close()


@pytest.mark.thorough
def test_as_many_modules_and_prompts_as_there_are(build: Build, modules: Path, tmp_path: Path) -> None:
    missing = [f"gepa_no_such_module_{'x' * 60}_{number}" for number in range(12_000)]
    prompts = tuple(str(modules / f"{name}.md") for name in missing)
    with runner_of(tmp_path, "pytest", *missing, "gepa_harmless", prompts=prompts) as runner:
        found = evaluate(build(SUITE).suite(runner, CASES))
    assert found.rollouts[CASES[0]].trajectory.steps[0].value == "true"


@pytest.mark.thorough
def test_modules_that_read_a_prompt_are_left_out_however_many(modules: Path, tmp_path: Path) -> None:
    prompt = modules / "prompt.md"
    prompt.write_text("Hello.")
    names = [f"gepa_reads_{'x' * 60}_{number}" for number in range(4_000)]
    for name in names:
        (modules / f"{name}.py").write_text(f"open({str(prompt)!r}).close()")
    server = _Server(tmp_path)
    try:
        assert not server.preload(["gepa_harmless", *names], [str(prompt)])
        assert server.tainted == names
    finally:
        server.close()


def test_a_module_that_ends_the_server_costs_the_preload_only(build: Build, modules: Path, tmp_path: Path) -> None:
    with runner_of(tmp_path, "gepa_harmless", "gepa_deadly") as runner:
        assert outcomes(evaluate(build(SUITE).suite(runner, CASES))) == {"test_one": "passed"}


def test_an_import_of_ours_that_fails_costs_nothing_else(modules: Path, tmp_path: Path) -> None:
    (modules / "_sqlite3.py").write_text("raise ImportError('this Python was built without it')\n")
    server = _Server(tmp_path)
    try:
        assert server.preload(["gepa_harmless"], [])
    finally:
        server.close()


def test_the_server_is_told_as_little_of_the_running_session_as_its_children(
    modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "names"
    (modules / "gepa_environ.py").write_text(f"import os\nopen({str(file)!r}, 'w').write(' '.join(os.environ))\n")
    monkeypatch.setenv("COV_CORE_SOURCE", "src")  # by which pytest-cov measures whatever Python is started
    monkeypatch.setenv("MINE", "kept")
    server = _Server(tmp_path)
    try:
        server.preload(["gepa_environ"], [])
    finally:
        server.close()
    names = file.read_text().split()
    assert "MINE" in names
    assert not {"COV_CORE_SOURCE", "PYTEST_CURRENT_TEST", "PYTEST_VERSION"} & {*names}


def test_a_package_that_starts_a_thread_is_left_out_and_no_other(build: Build, modules: Path, tmp_path: Path) -> None:
    files = {"test_it.py": SUITE["test_it.py"] + "        gepa.log('pool', 'gepa_threaded.pool' in sys.modules)\n"}
    names = ("gepa_threaded", "gepa_threaded.pool", "gepa_harmless")
    with runner_of(tmp_path, "pytest", *names) as runner:
        found = evaluate(build(files).suite(runner, CASES))
        assert "gepa_harmless" in runner._preload
        assert not {"gepa_threaded", "gepa_threaded.pool"} & {*runner._preload}
    assert [step.value for step in found.rollouts[CASES[0]].trajectory.steps] == ["true", "false"]


def test_so_does_one_that_was_learned_later(build: Build, modules: Path, tmp_path: Path) -> None:
    suite_of = build(SUITE).suite
    with runner_of(tmp_path, "pytest", "gepa_harmless") as runner:
        runner._has_learned = True
        evaluate(suite_of(runner, CASES))
        runner._has_learned = False
        runner._learn(["gepa_deadly"])
        found = evaluate(suite_of(runner, CASES))
    assert found.rollouts[CASES[0]].trajectory.steps[0].value == "true"


def test_a_server_that_does_not_answer_is_ended(modules: Path, tmp_path: Path) -> None:
    server = _Server(tmp_path)
    assert server.preload(["gepa_harmless"], [])
    server._control.settimeout(0.1)
    with pytest.raises(RunnerError, match="cannot be reached"):
        server.preload(["gepa_endless"], [])
    server.close()  # which waits for its end


def test_a_session_that_dies_at_once_is_forgotten(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[ForkedSession] = []

    def die(session: ForkedSession, job: object) -> None:
        opened.append(session)
        raise BrokenPipeError("gone")

    monkeypatch.setattr(ForkedSession, "send", die)
    with runner_of(tmp_path) as runner:
        with pytest.raises(RunnerError, match="died at once: gone"):
            evaluate(build(SUITE).suite(runner, CASES))
        assert not runner._sessions
        assert opened[0].channel.fileno() == -1


def test_a_fork_that_the_system_refuses_costs_the_cases_of_one_job_only(
    build: Build, modules: Path, tmp_path: Path
) -> None:
    (modules / "gepa_refuses.py").write_text(
        "import os\n"
        "fork = os.fork\n"
        "def refuse():\n"
        "    os.fork = fork\n"
        "    raise BlockingIOError(11, 'too many processes')\n"
        "os.fork = refuse\n"
    )
    suite_of = build(SUITE).suite
    with runner_of(tmp_path, "pytest", "gepa_harmless", "gepa_refuses") as runner:
        first, later = (evaluate(suite_of(runner, CASES)).rollouts[CASES[0]] for _ in range(2))
        assert "gepa_harmless" in runner._preload
    assert first.outcome.value == "crashed"
    assert first.trajectory.failure == "no session could be forked: [Errno 11] too many processes"
    assert later.outcome.value == "passed"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="elsewhere no `/proc` tells of it")
def test_a_fork_that_fails_leaves_no_socket_open(tmp_path: Path) -> None:
    server = _Server(tmp_path)
    server.close()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(RunnerError):
        server.fork(tmp_path / "log", set(), 1.0)
    after = os.listdir("/proc/self/fd")
    assert set(after) <= set(before)  # the servers of earlier tests may still be closing theirs


def test_a_server_that_was_killed_between_two_jobs_is_started_anew(build: Build, modules: Path, tmp_path: Path) -> None:
    with runner_of(tmp_path, "gepa_harmless") as runner:
        suite = build(SUITE).suite(runner, CASES)
        evaluate(suite)
        assert runner._server is not None
        runner._server.kill()
        found = evaluate(suite)
    assert outcomes(found) == {"test_one": "passed"}
    assert found.rollouts[CASES[0]].trajectory.steps[0].value == "true"


def test_what_is_imported_after_a_fixture_has_set_a_variable_is_not_loaded_before_it(
    build: Build, tmp_path: Path
) -> None:
    with runner_of(tmp_path, "pytest") as runner:
        suite = build(LATE).suite(runner, CASES)
        first, later = (evaluate(suite).rollouts[CASES[0]].trajectory.steps[0].value for _ in range(2))
    assert (first, later) == ("", "wave")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no `/proc` tells of it")
def test_a_library_that_ends_its_threads_before_a_fork_is_preloaded(modules: Path, tmp_path: Path) -> None:
    lines = [
        "import ctypes, os",
        "c = ctypes.CDLL(None)",
        "thread, gate = ctypes.c_ulong(), ctypes.create_string_buffer(64)",
        "c.sem_init(gate, 0, 0)",
        "c.pthread_create(ctypes.byref(thread), None, c.sem_wait, gate)",
        "def end():",
        "    if thread:",
        "        c.sem_post(gate)",
        "        c.pthread_join(thread, None)",
        "        thread.value = 0",
        "os.register_at_fork(before=end)",
    ]
    (modules / "gepa_blas.py").write_text("\n".join([*lines, ""]))
    server = _Server(tmp_path)
    try:
        assert server.preload(["gepa_blas", "gepa_harmless"], [])
        assert server.tainted == []
    finally:
        server.close()


@pytest.mark.parametrize(
    ("name", "is_rewritten", "is_preloaded"),
    [
        ("desk_checks", True, False),
        ("desk_checks", False, True),
        ("anyio.streams", True, True),
        ("pytest_randomly", True, False),
    ],
)
def test_checks_that_are_installed_and_what_draws_at_import_are_left_to_the_sessions(
    monkeypatch: pytest.MonkeyPatch, name: str, is_rewritten: bool, is_preloaded: bool
) -> None:
    """Of what the server has loaded pytest could not rewrite the asserts, which then say nothing."""
    module = ModuleType(name)
    module.__file__ = str(Path(pytest.__file__).parent.parent / f"{name}.py")
    if is_rewritten:
        vars(module)["@pytest_ar"] = object()
    monkeypatch.setitem(sys.modules, name, module)
    assert (name in environment_modules()) == is_preloaded
