from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gepa.errors import RunnerError
from pytest_gepa.suite import bind_mounts
from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.isolation import choose_runner
from pytest_gepa.suite.runner import Runner
from tests.suite.world import PROMPT, TODAY, Build, Project, evaluate, logged, outcomes

CANDIDATE = "Greet them as it was never done, ümläuts and all.\n"
READS = """
    import ctypes, io, os, subprocess, sys
    from pathlib import Path

    import pytest

    FILE = Path(__file__).parent / "prompts" / "greet.md"

    @pytest.fixture
    def see(gepa):
        return lambda data: gepa.log("text", data.decode())

    def test_open(see):
        see(FILE.read_bytes())

    def test_file_io(see):
        with io.FileIO(FILE) as stream:
            see(stream.read())

    def test_open_for_update(see):
        with open(FILE, "r+b") as stream:
            see(stream.read())

    def test_cat(see):
        see(subprocess.check_output(["cat", FILE]))

    def test_cat_of_what_the_shell_finds(see):
        see(subprocess.check_output("cat prompts/*.md", shell=True, cwd=FILE.parent.parent))

    def test_isolated_python(see):
        code = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
        see(subprocess.check_output([sys.executable, "-I", "-S", "-c", code, FILE]))

    def test_c(see):
        libc = ctypes.CDLL(None)
        descriptor = libc.open(os.fsencode(FILE), os.O_RDONLY)
        see(os.read(descriptor, 1000))
        os.close(descriptor)

    def test_size(gepa):
        with open(FILE, "rb") as stream:
            gepa.log("text", stream.read(os.path.getsize(FILE)).decode())

    def test_user_and_owner(gepa):
        assert (os.getuid(), os.getgid()) == (FILE.stat().st_uid, FILE.stat().st_gid)
        gepa.log("text", FILE.read_text(encoding="utf-8"))

    def test_writing(see):
        FILE.write_bytes(FILE.read_bytes() + b"!")
        see(subprocess.check_output(["head", "-1", FILE]))
        os.truncate(FILE, FILE.stat().st_size - 1)
"""
CASES = [line.split("(")[0].split()[1] for line in READS.splitlines() if line.startswith("    def test_")]


def _problem() -> str:
    try:
        bind_mounts.check()
    except RunnerError as error:
        return str(error)
    return ""


needs_namespaces = pytest.mark.skipif(bool(_problem()), reason=f"not allowed here: {_problem()}")


@pytest.fixture(scope="module")
def project(build: Build) -> Project:
    return build({"test_reads.py": READS})


@pytest.fixture(scope="module")
def reads(project: Project, runner: Runner) -> Evaluation:
    suite = project.suite(runner, [f"test_reads.py::{case}" for case in CASES], isolation="strict")
    return evaluate(suite, CANDIDATE)


@needs_namespaces
@pytest.mark.parametrize("case", CASES)
def test_every_reader_sees_the_candidate_under_strict_isolation(reads: Evaluation, case: str) -> None:
    assert logged(reads.rollouts[f"test_reads.py::{case}"]) == CANDIDATE
    assert reads.rollouts[f"test_reads.py::{case}"].outcome.value == "passed"


@needs_namespaces
@pytest.mark.parametrize("case", [case for case in CASES if case not in ("test_c", "test_cat_of_what_the_shell_finds")])
def test_what_python_tells_of_is_a_read(reads: Evaluation, case: str) -> None:
    assert reads.rollouts[f"test_reads.py::{case}"].reads == (PROMPT,)


@needs_namespaces
def test_the_file_itself_keeps_its_bytes_even_when_a_case_writes(project: Project, reads: Evaluation) -> None:
    assert reads.rollouts
    assert (project.root / PROMPT).read_text() == TODAY


@needs_namespaces
def test_one_candidate_follows_the_other(project: Project, fork_runner: Runner) -> None:
    suite = project.suite(fork_runner, ["test_reads.py::test_cat"], isolation="strict")

    seen = [logged(*evaluate(suite, f"Candidate {number}.\n").rollouts.values()) for number in range(3)]

    assert seen == [f"Candidate {number}.\n" for number in range(3)]


@pytest.fixture
def no_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New interpreters take themselves to be on another system."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.platform = 'plan9'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.usefixtures("no_linux")
def test_where_it_cannot_be_had_the_message_says_how_to_mend_it(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match=r"gepa_isolation = strict needs Linux with user namespaces.*leave it out"):
        choose_runner("strict", tmp_path, [], [])


@pytest.mark.usefixtures("no_linux")
def test_a_session_that_cannot_have_it_tells_so_and_runs_no_case(project: Project, spawn_runner: Runner) -> None:
    evaluation = evaluate(project.suite(spawn_runner, ["test_reads.py::test_open"], isolation="strict"))

    (rollout,) = evaluation.rollouts.values()
    assert outcomes(evaluation) == {"test_open": "vanished"}
    assert "gepa_isolation = strict needs Linux" in rollout.trajectory.failure
