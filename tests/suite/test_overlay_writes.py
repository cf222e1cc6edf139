"""What a case does to a prompt file is done to a copy of its own; the file is the user's."""

from __future__ import annotations

import pytest

from pytest_gepa.suite.evaluate import Evaluation
from pytest_gepa.suite.runner import Runner
from tests.suite.world import PROMPT, TODAY, Build, Project, evaluate, logged, outcomes

CANDIDATE = "Greet them as it was never done.\n"
WRITES = """
    import fileinput, io, os, shutil, subprocess, sys
    from pathlib import Path

    import pytest

    FILE = Path(__file__).parent / "prompts" / "greet.md"

    @pytest.fixture(autouse=True)
    def text():
        FILE.write_text("Text.")

    @pytest.fixture
    def other(tmp_path):
        path = tmp_path / "other"
        path.write_text("Other.")
        return path

    def test_write_bytes():
        FILE.write_bytes(b"Other.")

    def test_open_for_writing():
        with open(FILE, "w") as stream:
            stream.write("Other.")
        assert stream.name == str(FILE)

    def test_open_for_writing_by_os_open():
        with open(FILE, "w", opener=os.open) as stream:
            stream.write("Other.")

    def test_append():
        FILE.write_text("Oth")
        with FILE.open("a") as stream:
            stream.write("er.")

    def test_update():
        with open(FILE, "r+") as stream:
            assert stream.read() == "Text."
            stream.seek(0)
            stream.write("Other.")

    def test_append_and_read():
        with open(FILE, "a+") as stream:
            stream.seek(0)
            assert stream.read() == "Text."
            stream.truncate(0)
            stream.write("Other.")

    def test_os_open():
        descriptor = os.open(FILE, os.O_RDWR | os.O_TRUNC)
        os.write(descriptor, b"Other.")
        os.close(descriptor)

    def test_os_open_from_a_directory():
        directory = os.open(FILE.parent, os.O_RDONLY)
        descriptor = os.open("greet.md", os.O_WRONLY | os.O_TRUNC, dir_fd=directory)
        os.write(descriptor, b"Other.")
        os.close(descriptor)
        os.close(directory)

    def test_truncate():
        FILE.write_text("Other. And more.")
        os.truncate(FILE, 6)

    def test_replace(other):
        os.replace(other, FILE)
        assert not other.exists()

    def test_replace_by_pathlib(other):
        other.replace(FILE)

    def test_move(other):
        shutil.move(str(other), str(FILE))

    def test_move_over_a_link(other):
        link = FILE.with_name("link.md")
        link.symlink_to("greet.md")
        os.replace(other, link)
        assert not link.is_symlink() and FILE.read_text() == "Text."
        os.replace(link, FILE)

    def test_copy(other):
        shutil.copyfile(other, FILE)

    def test_rename_and_write(tmp_path):
        os.rename(FILE, tmp_path / "greet.md")
        assert (tmp_path / "greet.md").read_text() == "Text."
        FILE.write_text("Other.")

    def test_remove():
        FILE.unlink()
        with pytest.raises(FileNotFoundError, match="prompts/greet.md"):
            FILE.read_text()
        with open(FILE, "x") as stream:
            stream.write("Other.")
        with pytest.raises(FileExistsError, match="prompts/greet.md"):
            open(FILE, "x")

    def test_remove_from_a_directory(other):
        directory = os.open(FILE.parent, os.O_RDONLY)
        os.remove("greet.md", dir_fd=directory)
        os.close(directory)
        os.rename(other, FILE)

    def test_links_are_links(tmp_path):
        os.link(FILE, tmp_path / "greet.md")
        os.unlink(tmp_path / "greet.md")
        (tmp_path / "greet.md").symlink_to(FILE)
        shutil.rmtree(tmp_path)
        assert FILE.read_text() == "Text."
        FILE.write_text("Other.")

    def test_in_place():
        with fileinput.input(FILE, inplace=True) as lines:
            for line in lines:
                print("Other.", end="")

    def test_child():
        subprocess.run([sys.executable, "-c", f"open({str(FILE)!r}, 'w').write('Other.')"], check=True)
"""
WAYS = tuple(line.split("(")[0].split()[1] for line in WRITES.splitlines() if line.startswith("    def test_"))
READ_BACK = """
    def pytest_runtest_teardown(item):
        assert (item.path.parent / "prompts" / "greet.md").read_text() in ("Other.", "Normal.")
"""
WORKERS = """
    import time
    from pathlib import Path

    HERE = Path(__file__).parent

    def wait(name):
        end = time.monotonic() + 30
        while not (HERE.parent / name).exists():
            assert time.monotonic() < end
            time.sleep(0.01)

    def test_one(gepa):
        (HERE / "prompts/greet.md").write_text("Normal.")
        (HERE.parent / "written").touch()
        wait("read")

    def test_two(gepa):
        wait("written")
        gepa.log("text", (HERE / "prompts/greet.md").read_text())
        (HERE.parent / "read").touch()
"""
REFUSED = """
    import io
    from pathlib import Path

    def test_file_io():
        io.FileIO(Path(__file__).parent / "prompts/greet.md", "w")
"""

SHELL = """
    import subprocess
    from pathlib import Path

    def test_shell():
        subprocess.run("echo more >> greet.md", shell=True, cwd=Path(__file__).parent / "prompts", check=True)
"""


@pytest.fixture(scope="module")
def project(build: Build) -> Project:
    return build({"test_writes.py": WRITES, "conftest.py": READ_BACK})


@pytest.fixture(scope="module")
def writes(project: Project, runner: Runner) -> Evaluation:
    return evaluate(project.suite(runner, [f"test_writes.py::{way}" for way in WAYS]), CANDIDATE)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_written_is_read_back(writes: Evaluation, way: str) -> None:
    rollout = writes.rollouts[f"test_writes.py::{way}"]
    assert (rollout.outcome.value, rollout.trajectory.failure) == ("passed", "")


def test_the_file_itself_keeps_its_bytes(project: Project, writes: Evaluation) -> None:
    assert writes.rollouts
    assert (project.root / PROMPT).read_text() == TODAY


def test_a_worker_does_not_see_what_another_one_writes(build: Build, runner: Runner) -> None:
    project = build({"test_it.py": WORKERS})
    suite = project.suite(runner, ["test_it.py::test_one", "test_it.py::test_two"], concurrency=2)

    found = evaluate(suite, CANDIDATE)

    assert outcomes(found) == {"test_one": "passed", "test_two": "passed"}
    assert logged(found.rollouts["test_it.py::test_two"]) == CANDIDATE
    assert (project.root / PROMPT).read_text() == TODAY


def test_what_cannot_be_redirected_is_refused(build: Build, fork_runner: Runner) -> None:
    project = build({"test_it.py": REFUSED})

    (rollout,) = evaluate(project.suite(fork_runner, ["test_it.py::test_file_io"]), CANDIDATE).rollouts.values()

    assert rollout.outcome.value == "error"
    assert "opened for writing in a way that cannot be redirected" in rollout.trajectory.failure
    assert (project.root / PROMPT).read_text() == TODAY


def test_a_file_that_was_changed_all_the_same_is_told(build: Build, fork_runner: Runner) -> None:
    project = build({"test_it.py": SHELL})
    suite = project.suite(fork_runner, ["test_it.py::test_shell"])

    assert suite.problems == ()
    evaluate(suite, CANDIDATE)

    (told,) = suite.problems
    assert told.startswith(f"{PROMPT} is not what it was when this run began")
