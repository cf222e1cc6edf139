from __future__ import annotations

import pytest

from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.runner import Runner
from tests.suite.world import PROMPT, TODAY, Build, Project, evaluate, logged, outcomes

CANDIDATE = "Greet them as it was never done, ümläuts and all.\n"
READS = """
    import asyncio, codecs, fileinput, importlib.resources, io, linecache, mmap, os, pickle, pkgutil, shutil
    import subprocess, threading, tokenize, warnings
    from io import open as its_own_open
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

    def test_hard_link(see, tmp_path):
        os.link(FILE, tmp_path / "linked")
        see((tmp_path / "linked").read_text(encoding="utf-8"))

    def test_chain_of_links(see, tmp_path):
        (tmp_path / "one").symlink_to(FILE)
        os.symlink("one", tmp_path / "two")
        see((tmp_path / "two").read_text(encoding="utf-8"))

    def test_link_to_a_hard_link(see, tmp_path):
        os.link(FILE, tmp_path / "linked")
        (tmp_path / "one").symlink_to("linked")
        see((tmp_path / "one").read_text(encoding="utf-8"))

    def test_open_for_update(see):
        with open(FILE, "r+", encoding="utf-8") as stream:
            see(stream.read())

    def test_open_for_appending_and_reading(see):
        with open(FILE, "a+b") as stream:
            stream.seek(0)
            see(stream.read().decode())

    def test_os_open_for_update(see):
        with os.fdopen(os.open(FILE, os.O_RDWR), "r+", encoding="utf-8") as stream:
            see(stream.read())

    def test_open_code(see):
        with io.open_code(str(FILE)) as stream:
            see(stream.read().decode())

    def test_os_open_from_a_directory(see):
        directory = os.open(FILE.parent, os.O_RDONLY)
        with os.fdopen(os.open("greet.md", os.O_RDONLY, dir_fd=directory), encoding="utf-8") as stream:
            see(stream.read())
        os.close(directory)

    def test_opener(see):
        with open(FILE, encoding="utf-8", opener=os.open) as stream:
            see(stream.read())

    def test_opener_from_a_directory(see):
        directory = os.open(FILE.parent, os.O_RDONLY)
        opener = lambda name, flags: os.open(name, flags, dir_fd=directory)
        with open("greet.md", encoding="utf-8", opener=opener) as stream:
            see(stream.read())
        os.close(directory)

    def test_tokenize_open(see):
        with tokenize.open(str(FILE)) as stream:
            see(stream.read())

    def test_fileinput(see):
        with fileinput.input(FILE, encoding="utf-8") as lines:
            see("".join(lines))

    def test_open_imported_by_name(see):
        with its_own_open(FILE, encoding="utf-8") as stream:
            see(stream.read())

    class Reader:
        open_text = open
        open_descriptor = os.open

    def test_open_as_an_attribute_of_a_class(see):
        with Reader().open_text(FILE, encoding="utf-8") as stream:
            see(stream.read())

    def test_os_open_as_an_attribute_of_a_class(see):
        with os.fdopen(Reader().open_descriptor(FILE, os.O_RDONLY), encoding="utf-8") as stream:
            see(stream.read())

    def test_open_that_was_pickled(see):
        with pickle.loads(pickle.dumps(open))(FILE, encoding="utf-8") as stream:
            see(stream.read())

    def test_resource_as_a_file(see):
        with importlib.resources.as_file(importlib.resources.files("prompts") / "greet.md") as path:
            see(path.read_text(encoding="utf-8"))

    def test_package_loader(see):
        environment = jinja2.Environment(loader=jinja2.PackageLoader("prompts", ""), keep_trailing_newline=True)
        see(environment.get_template("greet.md").render())

    def test_compiled_templates_of_another_text(see, tmp_path):
        cache = jinja2.FileSystemBytecodeCache(str(tmp_path))
        stale = jinja2.DictLoader({"greet.md": "Stale."})
        jinja2.Environment(loader=stale, bytecode_cache=cache).get_template("greet.md").render()
        loader = jinja2.FileSystemLoader(FILE.parent)
        environment = jinja2.Environment(loader=loader, bytecode_cache=cache, keep_trailing_newline=True)
        see(environment.get_template("greet.md").render())

    def test_template_that_is_looked_at_again(see):
        loader = jinja2.FileSystemLoader(FILE.parent)
        environment = jinja2.Environment(loader=loader, auto_reload=True, keep_trailing_newline=True)
        environment.get_template("greet.md")
        see(environment.get_template("greet.md").render())

    def test_copy_of_the_directory(see, tmp_path):
        see((Path(shutil.copytree(FILE.parent, tmp_path / "copy")) / "greet.md").read_text(encoding="utf-8"))

    def test_thread(see):
        texts = []
        thread = threading.Thread(target=lambda: texts.append(FILE.read_text(encoding="utf-8")))
        thread.start()
        thread.join()
        see(texts[0])

    def test_asyncio_thread(see):
        see(asyncio.run(asyncio.to_thread(FILE.read_text, encoding="utf-8")))

    def test_cleared_environment(see, monkeypatch):
        for name in os.environ:
            monkeypatch.delenv(name)
        see(FILE.read_text(encoding="utf-8"))

    def test_name_of_the_stream(gepa):
        with open(FILE, encoding="utf-8") as stream, open(FILE, "rb") as binary:
            assert stream.name == binary.name == str(FILE)
            gepa.log("text", stream.read())

    def test_standard_input_of_a_program(see):
        with open(FILE) as stream:
            see(subprocess.run(["cat"], stdin=stream, capture_output=True).stdout.decode())
"""
WAYS = tuple(line.split("(")[0].split()[1] for line in READS.splitlines() if line.startswith("    def test_"))
ODD = """
    import io
    from pathlib import Path

    PROMPTS = Path(__file__).parent / "prompts"

    def test_file_io():
        with io.FileIO(PROMPTS / "greet.md") as stream:
            assert stream.read()

    def test_sqlite():
        import sqlite3
        sqlite3.connect(PROMPTS / "greet.md").close()

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
        }
    )
    (project.root / "alias").symlink_to("prompts")
    (project.root / "alias.txt").symlink_to("prompts/greet.md")
    return project


@pytest.fixture(scope="module")
def reads(project: Project, runner: Runner) -> Evaluation:
    return evaluate(project.suite(runner, [f"test_reads.py::{way}" for way in WAYS]), CANDIDATE)


@pytest.mark.parametrize("way", WAYS)
def test_a_way_of_reading_gives_the_text_of_the_candidate(reads: Evaluation, way: str) -> None:
    assert logged(reads.rollouts[f"test_reads.py::{way}"]) == CANDIDATE


@pytest.mark.parametrize("way", WAYS)
def test_a_way_of_reading_is_told_as_a_read(reads: Evaluation, way: str) -> None:
    assert PROMPT in reads.rollouts[f"test_reads.py::{way}"].reads


def test_the_file_itself_keeps_its_bytes(project: Project, reads: Evaluation) -> None:
    assert reads.rollouts
    assert (project.root / PROMPT).read_text() == TODAY


@pytest.mark.parametrize(
    "case",
    [
        "test_file_io",
        "test_sqlite",
    ],
)
def test_a_read_around_the_overlay_is_an_error_and_never_a_score(
    project: Project, fork_runner: Runner, case: str
) -> None:
    (rollout,) = evaluate(project.suite(fork_runner, [f"test_odd.py::{case}"]), CANDIDATE).rollouts.values()

    assert (rollout.outcome.value, rollout.score) == ("error", None)
    assert "not in effect" in rollout.trajectory.failure
    assert PROMPT in rollout.trajectory.failure
    assert "(test_odd.py:" in rollout.trajectory.failure  # where it is
    assert "read it with open()" in rollout.trajectory.failure  # how to mend it


def test_opening_what_is_not_there_fails_as_ever(project: Project, fork_runner: Runner) -> None:
    suite = project.suite(fork_runner, ["test_odd.py::test_names_that_are_none"])

    (rollout,) = evaluate(suite, CANDIDATE).rollouts.values()

    assert logged(rollout) == "FileNotFoundError FileNotFoundError ValueError FileNotFoundError"
    assert outcomes(evaluate(suite, CANDIDATE)) == {"test_names_that_are_none": "passed"}


def test_a_file_that_is_missing_is_told_of_where_the_code_opens_it(build: Build, runner: Runner) -> None:
    project = build({"test_it.py": "def test_it():\n    open('missing.txt')\n"})
    (rollout,) = evaluate(project.suite(runner, ["test_it.py::test_it"])).rollouts.values()
    assert "test_it.py:2: FileNotFoundError" in rollout.trajectory.failure
    assert "opening.py" not in rollout.trajectory.failure
