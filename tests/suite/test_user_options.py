from __future__ import annotations

import importlib.util
import shlex

import pytest

from pytest_gepa.suite.runner import Runner
from tests.suite.world import Build, Project, evaluate, logged, outcomes

TESTS = """
    import logging

    import pytest

    import app

    def test_fails():
        assert app.double(1) == 3

    def test_fails_too():
        raise ValueError("no")

    @pytest.mark.llm
    def test_passes(gepa, request):
        print("printed")
        logging.getLogger("app").warning("logged")
        if request.config.pluginmanager.hasplugin("cacheprovider"):
            request.config.cache.set("app/value", 1)
"""
FILES = {"app.py": "def double(x):\n    return 2 * x\n", "test_app.py": TESTS}
CASES = ("test_app.py::test_fails", "test_app.py::test_fails_too", "test_app.py::test_passes")
OUTCOMES = {"test_fails": "failed", "test_fails_too": "failed", "test_passes": "passed"}
PLUGINS = {"xdist": "xdist", "cov": "pytest_cov", "timeout": "pytest_timeout", "asyncio": "pytest_asyncio"}
# Those of one line go together; alone they are tried among the thorough tests.
OPTIONS = (
    (
        "-x",
        "-m 'not llm'",
        "-n 2",
        "--junitxml=junit.xml",
        "--basetemp=tmp",
        "--durations=5",
        "-s",
    ),
    (
        "--maxfail=1",
        "-k test_fails_too",
        "-n auto --dist loadfile",
        "--log-file=out.log",
        "--timeout=30",
        "-q",
    ),
    ("--lf", "--ff", "--nf", "--sw", "-vv --capture=sys", "-rA --color=yes --showlocals"),
    (
        "--sw-skip",
        "--cache-clear",
        "--deselect test_app.py::test_passes",
        "--strict-markers --strict-config",
        "-W error -o asyncio_default_fixture_loop_scope=function",
        "--import-mode=importlib",
    ),
    (
        "--setup-only",
        "--setup-plan",
        "--cov=app --cov-report=xml --cov-report=html",
        "-qq --tb=no --no-header --no-summary",
    ),
    ("--cov --cov-append", "--pdb", "--trace", "-x -- test_app.py"),
    ("-p no:terminal", "-p no:cacheprovider", "-p no:gepa_unknown", "test_app.py::test_fails"),
    ("--gepa-optimize --gepa-budget=3 --gepa-reflection-model=none",),
)


def is_installed(options: str) -> bool:
    needed = {name for option, name in PLUGINS.items() if f"--{option}" in options}
    needed |= {"xdist"} if " -n " in f" {options}" else set()
    return all(importlib.util.find_spec(name) for name in needed)


@pytest.fixture(scope="module")
def project(build: Build) -> Project:
    ini = "[pytest]\npythonpath = .\nmarkers =\n    llm: asks a model\n"
    return build({"pytest.ini": ini, ".pytest_cache/v/app/value": "0", **FILES})


@pytest.mark.parametrize(
    "options",
    [
        *map(" ".join, OPTIONS),
        *(
            pytest.param(one, marks=pytest.mark.thorough)
            for together in OPTIONS
            for one in together
            if len(together) > 1
        ),
    ],
)
def test_what_a_user_asks_of_his_own_session_does_not_reach_the_cases(
    project: Project, fork_runner: Runner, options: str
) -> None:
    if not is_installed(options):
        pytest.skip("its plugin is not installed")
    before = project.snapshot()

    evaluation = evaluate(project.suite(fork_runner, CASES, args=shlex.split(options)))

    assert outcomes(evaluation) == OUTCOMES
    assert project.snapshot() == before


@pytest.mark.parametrize("options", ["-x --lf -n 2 --junitxml=junit.xml -m 'not llm' -s", "--cov=app --sw"])
def test_nor_does_it_reach_those_of_a_subprocess(project: Project, spawn_runner: Runner, options: str) -> None:
    if not is_installed("-n --cov"):
        pytest.skip("its plugin is not installed")
    before = project.snapshot()

    evaluation = evaluate(project.suite(spawn_runner, CASES, args=shlex.split(options)))

    assert outcomes(evaluation) == OUTCOMES
    assert project.snapshot() == before


def test_options_from_the_environment_and_the_ini_file_do_not_reach_the_cases(
    build: Build, fork_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-x -k test_fails_too --junitxml=junit.xml")
    ini = """
        [pytest]
        addopts = -x --lf -m "not llm" --log-file=out.log
        cache_dir = state
        log_file = log.txt
        markers =
            llm: asks a model
    """
    project = build({"pytest.ini": ini, "app.py": "def double(x):\n    return 2 * x\n", "test_app.py": TESTS})
    before = project.snapshot()

    assert outcomes(evaluate(project.suite(fork_runner, CASES))) == OUTCOMES
    assert project.snapshot() == before


REPORTER = """
    from pathlib import Path

    def pytest_addoption(parser):
        group = parser.getgroup("reporting")
        group.addoption("--alluredir", dest="allure_report_dir")
        group.addoption("--clean-alluredir", dest="clean_alluredir", action="store_true")
        group.addoption("--json-report", action="store_true")
        group.addoption("--html", dest="htmlpath")
        group.addoption("--cucumberjson", dest="cucumber_json_path")
        group.addoption("--force-regen", action="store_true")
        group.addoption("--store-durations", action="store_true")

    def pytest_configure(config):
        asked = vars(config.option)
        for name in ("allure_report_dir", "htmlpath", "cucumber_json_path"):
            if asked[name]:
                Path(asked[name]).write_text("mine")
        for name in ("clean_alluredir", "json_report", "force_regen", "store_durations"):
            if asked[name]:
                Path(name).write_text("mine")
"""
REPORTS = (
    "--alluredir=allure --clean-alluredir --json-report --html=report.html --cucumberjson=c.json --force-regen "
    "--store-durations"
)


def test_other_reporters_write_nothing(build: Build, fork_runner: Runner) -> None:
    project = build({"pytest.ini": "[pytest]\naddopts = -p reporter\n", "reporter.py": REPORTER, **FILES})
    before = project.snapshot()
    suite = project.suite(fork_runner, CASES, args=shlex.split(REPORTS), search=[str(project.root)])

    assert outcomes(evaluate(suite)) == OUTCOMES
    assert project.snapshot() == before


def test_the_arguments_of_the_running_session_s_workers_do_not_reach_the_cases(
    build: Build, fork_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "another")
    monkeypatch.setenv("COV_CORE_SOURCE", "app")
    monkeypatch.setenv("OF_THE_USER", "kept")
    project = build(
        {
            "test_env.py": """
                import os

                def test_env(gepa):
                    assert os.environ["PYTEST_CURRENT_TEST"].startswith("test_env.py::test_env")
                    assert not {"PYTEST_XDIST_WORKER", "COV_CORE_SOURCE"} & set(os.environ)
                    assert os.environ["OF_THE_USER"] == "kept"
            """
        }
    )

    assert outcomes(evaluate(project.suite(fork_runner, ["test_env.py::test_env"]))) == {"test_env": "passed"}


def test_the_time_limit_of_pytest_timeout_is_a_timeout(build: Build, fork_runner: Runner) -> None:
    if not is_installed("--timeout"):
        pytest.skip("its plugin is not installed")
    tests = """
        import threading

        import pytest

        def test_hangs():
            threading.Event().wait()

        @pytest.mark.timeout(0)
        def test_last():
            pass
    """
    project = build({"test_slow.py": tests})
    suite = project.suite(fork_runner, ["test_slow.py::test_hangs", "test_slow.py::test_last"], args=["--timeout=0.5"])

    assert outcomes(evaluate(suite)) == {"test_hangs": "timeout", "test_last": "passed"}


@pytest.mark.parametrize("options", ["", "-s", "--capture=no --tb=no"])
def test_output_and_failure_are_kept_whatever_the_user_shows(
    project: Project, fork_runner: Runner, options: str
) -> None:
    evaluation = evaluate(project.suite(fork_runner, CASES, args=shlex.split(options)))

    failed, _, passed = evaluation.rollouts.values()
    assert "assert 2 == 3" in failed.trajectory.failure
    output = dict(passed.trajectory.output)
    assert output["Captured stdout call"] == "printed\n"
    assert "logged" in output["Captured log call"]


UNLESS_NAMED = """
    import pytest

    def pytest_configure(config):
        config.is_live = "live" in (config.getoption("-m") or "")

    def pytest_collection_modifyitems(config, items):
        if config.is_live or "whole" in (config.getoption("-k") or "") or config.getoption("--deselect"):
            return
        for item in items:
            if item.get_closest_marker("live"):
                item.add_marker(pytest.mark.skip(reason="asks a real model; -m live runs it"))
"""
LIVE = """
    from pathlib import Path

    import pytest

    TEXT = (Path(__file__).parent / "prompts/greet.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("text", [TEXT])
    @pytest.mark.live
    def test_whole(text):
        pass

    if "today" in TEXT:
        test_whole = pytest.mark.today(test_whole)
"""


@pytest.mark.parametrize(
    "options", ["-m live", "-k 'whole and today'", "--deselect test_none.py", "-m 'live and today'"]
)
def test_a_conftest_may_ask_which_cases_were_chosen_and_none_is_lost_by_that(
    build: Build, fork_runner: Runner, options: str
) -> None:
    ini = "[pytest]\nmarkers =\n    live: asks a model\n    today: of today's prompt\n"
    project = build({"pytest.ini": ini, "conftest.py": UNLESS_NAMED, "test_live.py": LIVE})
    suite = project.suite(fork_runner, ["test_live.py::test_whole[0]"], args=shlex.split(options))

    assert outcomes(evaluate(suite)) == {"test_whole[0]": "passed"}
    # Under another candidate the case has lost the words by which it was chosen.
    assert outcomes(evaluate(suite, "Another text.\n")) == {"test_whole[0]": "passed"}


RETRYING = """
    import pytest

    class Retrying:
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_makereport(self, item, call):
            report = yield
            if report.failed:
                report = pytest.TestReport.from_item_and_call(item, call.from_call(item.runtest, when="call"))
            return report

    def pytest_configure(config):
        if not config.pluginmanager.has_plugin(NAME):
            config.pluginmanager.register(Retrying(), NAME)
"""
FLAKY = """
    tries = []

    def test_passes_the_second_time():
        tries.append(1)
        assert len(tries) > 1
"""


@pytest.mark.parametrize("name", ["pytest-retry", "pytest_retry.retry_plugin"])
def test_a_plugin_that_runs_failing_tests_again_does_not_do_so_in_a_case(
    build: Build, fork_runner: Runner, name: str
) -> None:
    project = build({"conftest.py": RETRYING.replace("NAME", repr(name)), "test_app.py": FLAKY})

    evaluation = evaluate(project.suite(fork_runner, ["test_app.py::test_passes_the_second_time"]))

    assert outcomes(evaluation) == {"test_passes_the_second_time": "failed"}


def test_a_plugin_that_runs_the_tests_itself_is_told_of_and_its_cases_end(build: Build, runner: Runner) -> None:
    taking = """
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(item):
            return True if "first" in item.name else None
    """
    tests = "def test_first():\n    pass\n\ndef test_second():\n    pass\n"
    project = build({"conftest.py": taking, "test_app.py": tests})
    evaluation = evaluate(project.suite(runner, ["test_app.py::test_first", "test_app.py::test_second"]))
    assert outcomes(evaluation) == {"test_first": "crashed", "test_second": "passed"}
    assert "another plugin runs" in evaluation.rollouts["test_app.py::test_first"].trajectory.failure


RECORDING = {
    "conftest.py": """
        def pytest_addoption(parser):
            parser.addoption("--record-mode", dest="record_mode", default=None)
            parser.addoption("--vcr-record", dest="vcr_record", default=None)
    """,
    "test_app.py": """
        def test_modes(gepa, request):
            gepa.log("modes", f"{request.config.option.record_mode} {request.config.option.vcr_record}")
    """,
}


def test_cassettes_of_answers_are_not_written_under_a_candidate(build: Build, fork_runner: Runner) -> None:
    """The options of pytest-recording and pytest-vcr."""
    args = ("--record-mode=rewrite", "--vcr-record=all")
    suite = build(RECORDING).suite(fork_runner, ["test_app.py::test_modes"], args=args)
    (run,) = evaluate(suite).rollouts.values()
    assert logged(run, "modes") == "none none"


EXAMPLES = """
    import os
    from pathlib import Path

    from hypothesis import given, settings, strategies

    def test_finds(gepa):
        seen = []

        @settings(max_examples=50)
        @given(strategies.text())
        def find(text):
            seen.append(text)
            assert len(text) < 3

        try:
            find()
        except AssertionError:
            gepa.log("first", seen[0])
            gepa.log("place", os.environ["HYPOTHESIS_STORAGE_DIRECTORY"])
        tables = Path(os.environ["HYPOTHESIS_STORAGE_DIRECTORY"], "unicode_data")
        gepa.log("tables", tables.resolve() == Path(".hypothesis/unicode_data").resolve())
"""


def test_what_hypothesis_finds_in_one_trial_no_other_begins_with(build: Build, fork_runner: Runner) -> None:
    """A kept example is tried first: by chance the first one fails seldom."""
    project = build({".hypothesis/unicode_data/empty": "", "test_app.py": EXAMPLES})
    suite = project.suite(fork_runner, ["test_app.py::test_finds"])
    runs = [evaluate(suite, trial=f"search/{trial}").rollouts["test_app.py::test_finds"] for trial in range(2)]
    assert len(logged(runs[1], "first")) < 3
    assert len({logged(run, "place") for run in runs}) == 2
    assert {logged(run, "tables") for run in runs} == {"true"}
    assert not (project.root / ".hypothesis/examples").exists()
