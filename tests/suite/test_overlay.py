from __future__ import annotations

import pytest

from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.runner import Runner
from tests.suite.world import PROMPT, TODAY, Build, Project, evaluate, logged, outcomes

CANDIDATE = "Greet them as it was never done, ümläuts and all.\n"
READS = """
    import codecs, importlib.resources, io, linecache, mmap, os, pkgutil, shutil, subprocess, warnings
    from pathlib import Path

    import jinja2
    import pytest

    import prompts

    ROOT = Path(__file__).parent
    FILE = ROOT / "prompts" / "greet.md"

    @pytest.fixture
    def see(gepa):
        return lambda text: gepa.log("text", text)

    def test_open(see):
        with open(FILE, encoding="utf-8") as stream:
            see(stream.read())

    def test_open_of_a_name_in_bytes(see):
        with open(os.fsencode(FILE), encoding="utf-8") as stream:
            see(stream.read())

    def test_io_open(see):
        with io.open(FILE, "rb", buffering=0) as stream:
            see(stream.read().decode())

    def test_path_open(see):
        with FILE.open(encoding="utf-8") as stream:
            see(stream.read())

    def test_path_read_text(see):
        see(FILE.read_text(encoding="utf-8"))

    def test_path_read_bytes(see):
        see(FILE.read_bytes().decode())

    def test_importlib_resources(see):
        see(importlib.resources.files("prompts").joinpath("greet.md").read_text(encoding="utf-8"))

    def test_codecs_open(see):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stream = codecs.open(str(FILE), encoding="utf-8")
        with stream:
            see(stream.read())

    def test_os_open(see):
        descriptor = os.open(FILE, os.O_RDONLY)
        see(os.read(descriptor, os.fstat(descriptor).st_size).decode())
        os.close(descriptor)

    def test_mmap(see):
        with open(FILE, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as view:
            see(bytes(view).decode())

    def test_pkgutil(see):
        see(pkgutil.get_data("prompts", "greet.md").decode())

    def test_linecache(see):
        see("".join(linecache.getlines(str(FILE))))

    def test_jinja2(see):
        loader = jinja2.FileSystemLoader(FILE.parent)
        see(jinja2.Environment(loader=loader, keep_trailing_newline=True).get_template("greet.md").render())

    def test_shutil_copy(see, tmp_path):
        see(Path(shutil.copy(FILE, tmp_path / "copy")).read_text(encoding="utf-8"))

    def test_alias_of_the_directory(see):
        see((ROOT / "alias" / "greet.md").read_text(encoding="utf-8"))

    def test_alias_of_the_file(see):
        see((ROOT / "alias.txt").read_text(encoding="utf-8"))

    def test_relative_path(see, monkeypatch):
        monkeypatch.chdir(FILE.parent)
        see(Path("greet.md").read_text(encoding="utf-8"))

    def test_path_with_dots(see):
        see(Path(ROOT, "prompts", "..", "prompts", ".", "greet.md").read_text(encoding="utf-8"))

    def test_standard_input_of_a_program(see):
        with open(FILE) as stream:
            see(subprocess.run(["cat"], stdin=stream, capture_output=True).stdout.decode())
"""
WAYS = tuple(line.split("(")[0].split()[1] for line in READS.splitlines() if line.startswith("    def test_"))
ODD = """
    import io, os
    from pathlib import Path

    PROMPTS = Path(__file__).parent / "prompts"

    def test_file_io():
        with io.FileIO(PROMPTS / "greet.md") as stream:
            assert stream.read()

    def test_open_for_update():
        with open(PROMPTS / "greet.md", "r+") as stream:
            assert stream.read()

    def test_writes(gepa):
        with open(PROMPTS / "notes.md", "a") as stream:
            stream.write("more")
        with os.fdopen(os.open(PROMPTS / "notes.md", os.O_WRONLY | os.O_APPEND), "w") as stream:
            stream.write(" and more")
        gepa.log("text", (PROMPTS / "notes.md").read_text())

    def test_names_that_are_none(gepa):
        errors = []
        for name in ("prompts/missing.md", "greet.md", "prompts/greet.md\\0", "greet.md/greet.md"):
            try:
                open(name)
            except (OSError, ValueError) as error:
                errors.append(type(error).__name__)
        gepa.log("text", " ".join(errors))
"""


@pytest.fixture(scope="module")
def project(build: Build) -> Project:
    project = build(
        {
            "test_reads.py": READS,
            "test_odd.py": ODD,
            "prompts/__init__.py": "",
            "prompts/notes.md": "Notes.\n",
        }
    )
    (project.root / "alias").symlink_to("prompts")
    (project.root / "alias.txt").symlink_to("prompts/greet.md")
    return project


@pytest.fixture(scope="module")
def reads(project: Project, fork_runner: Runner) -> Evaluation:
    return evaluate(project.suite(fork_runner, [f"test_reads.py::{way}" for way in WAYS]), CANDIDATE)


@pytest.mark.parametrize("way", WAYS)
def test_a_way_of_reading_gives_the_text_of_the_candidate(reads: Evaluation, way: str) -> None:
    assert logged(reads.rollouts[f"test_reads.py::{way}"]) == CANDIDATE


@pytest.mark.parametrize("way", [way for way in WAYS if way != "test_linecache"])
def test_a_way_of_reading_is_told_as_a_read(reads: Evaluation, way: str) -> None:
    assert reads.rollouts[f"test_reads.py::{way}"].reads == (PROMPT,)


def test_the_file_itself_keeps_its_bytes(project: Project, reads: Evaluation) -> None:
    assert reads.rollouts
    assert (project.root / PROMPT).read_text() == TODAY


@pytest.mark.parametrize("case", ["test_file_io", "test_open_for_update"])
def test_a_read_around_the_overlay_is_an_error_and_never_a_score(
    project: Project, fork_runner: Runner, case: str
) -> None:
    (rollout,) = evaluate(project.suite(fork_runner, [f"test_odd.py::{case}"]), CANDIDATE).rollouts.values()

    assert (rollout.outcome.value, rollout.score) == ("error", None)
    assert "not in effect" in rollout.trajectory.failure
    assert PROMPT in rollout.trajectory.failure


def test_what_a_case_writes_goes_to_the_real_file(project: Project, fork_runner: Runner) -> None:
    suite = project.suite(fork_runner, ["test_odd.py::test_writes"])

    (rollout,) = evaluate(suite, CANDIDATE).rollouts.values()

    assert (project.root / "prompts/notes.md").read_text() == "Notes.\nmore and more"
    assert logged(rollout) == "Notes.\n"


def test_opening_what_is_not_there_fails_as_ever(project: Project, fork_runner: Runner) -> None:
    suite = project.suite(fork_runner, ["test_odd.py::test_names_that_are_none"])

    (rollout,) = evaluate(suite, CANDIDATE).rollouts.values()

    assert logged(rollout) == "FileNotFoundError FileNotFoundError ValueError FileNotFoundError"
    assert outcomes(evaluate(suite, CANDIDATE)) == {"test_names_that_are_none": "passed"}
