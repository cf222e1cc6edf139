from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest

from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.runner import Runner
from tests.suite.world import Build, Project, evaluate, logged

KERNEL = "src/kernel.py"
TODAY = "VALUE = 'today'\nif __name__ == '__main__':\n    print(VALUE)\n"
# As many bytes as before, so that neither size nor time tells the compiled form from this.
CANDIDATE = TODAY.replace("today", "other")
WAYS = """
    import ast, importlib, importlib.util, inspect, linecache, os, runpy, subprocess, sys
    from pathlib import Path

    import kernel
    import pytest

    FILE = Path(__file__).parent / "src" / "kernel.py"
    ENVIRON = {**os.environ, "PYTHONPATH": str(FILE.parent), "PYTHONDONTWRITEBYTECODE": ""}

    @pytest.fixture
    def see(gepa):
        return lambda value: gepa.log("text", value)

    def value_of(source):
        return ast.literal_eval(source.partition("\\n")[0].partition(" = ")[2])

    def run(*words):
        return subprocess.check_output([sys.executable, *words], env=ENVIRON, text=True).strip()

    def test_import(see):
        see(kernel.VALUE)

    def test_import_again(see):
        see(importlib.reload(kernel).VALUE)

    def test_spec(see):
        spec = importlib.util.spec_from_file_location("another", FILE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        see(module.VALUE)

    def test_run_path(see):
        see(runpy.run_path(str(FILE))["VALUE"])

    def test_run_module(see):
        see(runpy.run_module("kernel")["VALUE"])

    def test_exec(see):
        names = {"__name__": "x"}
        exec(FILE.read_text(), names)
        see(names["VALUE"])

    def test_source_of_the_module(see):
        see(value_of(inspect.getsource(kernel)))

    def test_source_by_its_loader(see):
        see(value_of(kernel.__loader__.get_source("kernel")))

    def test_lines(see):
        linecache.clearcache()
        see(value_of(linecache.getline(str(FILE), 1)))

    def test_child_that_imports(see):
        see(run("-c", "import kernel; print(kernel.VALUE)"))

    def test_child_that_runs_the_module(see):
        see(run("-m", "kernel"))
"""
OTHER = """
    import os, py_compile, subprocess, sys, zipimport
    from pathlib import Path

    import pytest

    FILE = Path(__file__).parent / "src" / "kernel.py"

    def test_script():
        subprocess.run([sys.executable, FILE], check=True, stdout=subprocess.DEVNULL)

    def test_compiling(gepa):
        sys.dont_write_bytecode = False
        with pytest.raises(OSError):
            py_compile.compile(str(FILE), doraise=True)

    def test_compiling_beside_it(gepa, tmp_path):
        assert py_compile.compile(str(FILE), cfile=str(tmp_path / "kernel.pyc"), doraise=True)

    def test_zip(gepa):
        assert zipimport.zipimporter(str(FILE.parent.parent / "packed.zip")).load_module("packed").X == 1
"""
HELPER = "def value():\n    assert True\n    return 'today'\n"
PATHS = """
    import sys
    from pathlib import Path

    import pytest

    sys.path.insert(0, str(Path(__file__).parent / "src"))
    pytest.register_assert_rewrite("helper")
"""


def names(source: str) -> list[str]:
    return [line.split("(")[0].split()[1] for line in source.splitlines() if line.startswith("    def test_")]


@pytest.fixture(scope="module")
def project(build: Build) -> Project:
    project = build(
        {
            "conftest.py": PATHS,
            KERNEL: TODAY,
            "src/helper.py": HELPER,
            "test_ways.py": WAYS,
            "test_other.py": OTHER,
            "test_helper.py": "import helper\n\ndef test_helper(gepa):\n    gepa.log('text', helper.value())\n",
        }
    )
    with zipfile.ZipFile(project.root / "packed.zip", "w") as packed:
        packed.writestr("packed.py", "X = 1")
    # Compiled forms of today's files, valid for Python and for pytest: they are what an import would take.
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": str(project.root / "src")}
    subprocess.run([sys.executable, "-c", "import kernel, helper"], env=environ, check=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_helper.py"]
    subprocess.run(command, cwd=project.root, env=environ, check=True, stdout=subprocess.DEVNULL)
    return project


@pytest.fixture(scope="module")
def seen(project: Project, usual_runner: Runner) -> Evaluation:
    cases = [f"test_ways.py::{name}" for name in names(WAYS)]
    return evaluate(project.suite(usual_runner, cases, prompts=[KERNEL]), CANDIDATE, prompt=KERNEL)


@pytest.mark.parametrize("case", names(WAYS))
def test_code_is_the_candidate_although_a_valid_compiled_form_is_there(seen: Evaluation, case: str) -> None:
    assert logged(seen.rollouts[f"test_ways.py::{case}"]) == "other"


def test_code_with_rewritten_asserts_is_the_candidate_too(project: Project, usual_runner: Runner) -> None:
    suite = project.suite(usual_runner, ["test_helper.py::test_helper"], prompts=["src/helper.py"])
    text = HELPER.replace("today", "other")

    (rollout,) = evaluate(suite, text, prompt="src/helper.py").rollouts.values()

    assert logged(rollout) == "other"


def test_a_test_file_may_itself_be_the_code(project: Project, fork_runner: Runner) -> None:
    suite = project.suite(fork_runner, ["test_helper.py::test_helper"], prompts=["test_helper.py"])
    text = (project.root / "test_helper.py").read_text().replace("helper.value()", "'rewritten'")

    (rollout,) = evaluate(suite, text, prompt="test_helper.py").rollouts.values()

    assert logged(rollout) == "rewritten"


def compiled(project: Project) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in project.root.rglob("*.pyc")}


def test_no_compiled_form_of_a_candidate_is_left_behind(project: Project, fork_runner: Runner) -> None:
    before = compiled(project)
    cases = [f"test_other.py::{name}" for name in ("test_compiling", "test_compiling_beside_it", "test_zip")]
    suite = project.suite(fork_runner, [*cases, "test_ways.py::test_child_that_imports"], prompts=[KERNEL])

    rollouts = evaluate(suite, CANDIDATE, prompt=KERNEL).rollouts

    assert {rollout.outcome.value for rollout in rollouts.values()} == {"passed"}
    assert compiled(project) == before
    assert before


def test_a_script_that_python_opens_by_itself_is_an_error(project: Project, fork_runner: Runner) -> None:
    suite = project.suite(fork_runner, ["test_other.py::test_script"], prompts=[KERNEL])

    (rollout,) = evaluate(suite, CANDIDATE, prompt=KERNEL).rollouts.values()

    assert (rollout.outcome.value, rollout.score) == ("error", None)
    assert f"not in effect: {KERNEL} was read past the overlay" in rollout.trajectory.failure
