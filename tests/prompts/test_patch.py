from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.errors import PatchError
from pytest_gepa.prompts.git_runs import git_apply_check, git_top
from pytest_gepa.prompts.patch import FileChange, PatchLine, check_patch, make_patch
from pytest_gepa.prompts.patch_form import blob_hash
from pytest_gepa.prompts.patch_reading import patch_message, read_patch

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
needs_gnu_patch = pytest.mark.skipif(shutil.which("patch") is None, reason="needs GNU patch")

LINES = [
    b"",
    b"a",
    b"b",
    b"--- a/x",
    b"+++ b/x",
    b"@@ -1 +1 @@",
    b"diff --git a/x b/x",
    b"-- ",
    b"+",
    b"-",
    b" ",
]
LINES += [b"\\ No newline at end of file", b"c\r", b"\r", b"d\x0ce", b"\x85", b"\xe2\x80\xa8", b"\xff\xfe"]
LINE = st.sampled_from(LINES)
DATA = st.builds(lambda lines, end: b"\n".join(lines) + end, st.lists(LINE, max_size=14), st.sampled_from([b"", b"\n"]))
PATHS = [
    "a.md",
    "my file.md",
    "x b/y.md",
    "a b/c.md",
    'q"uo\\te.md',
    "tab\there.md",
    "né.md",
    "é b/ü c.md",
    "end ",
    " a.md",
]
PATHS += ["a  b.md", "line\nbreak.md", "-p.md", "~x/{y}.md"]

INJECTION_LINES = [
    *["--- a/evil.py", "+++ b/evil.py", "@@ -0,0 +1 @@", "+import os"],
    *["diff --git a/evil.py b/evil.py", "new file mode 100755", "index 0000000..1234567", "--- /dev/null"],
    *["+++ b/evil.py", "@@ -0,0 +1 @@", "+import os"],
    *["*** a/evil.py", "--- b/evil.py", "Index: evil.py", "Prereq: 1", "1,2c", "!touch evil.py", "."],
    *[
        "rename from a",
        "rename to b",
        "Binary files a/x and b/x differ",
        "GIT binary patch",
        "old mode 100644",
    ],
    *["X--- a/evil.py", "X+++ b/evil.py", "X@@ -0,0 +1 @@", "X+import os"],
]
INJECTION = "\n".join(INJECTION_LINES)


def git(directory: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        "HOME": str(directory),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(directory.parent),
    }
    return subprocess.run(["git", *arguments], cwd=directory, env=environment, capture_output=True, check=False)


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def applied_by_git(changes: list[FileChange], patch: bytes) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as place:
        top = Path(place)
        for change in changes:
            write(top / change.path, change.old)
        write(top / "the.patch", patch)
        finished = git(top, "apply", "the.patch")
        assert finished.returncode == 0, finished.stderr
        files = {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        del files["the.patch"]
        return files


def test_a_patch_is_a_message_over_a_diff_as_git_writes_it():
    change = FileChange("prompts/a.md", b"one\ntwo\n", b"one\n2\nthree")
    patch = make_patch([change], [PatchLine("Subject: better", quoted=False), PatchLine("it says:\n  two")])
    assert patch.decode() == (
        "Subject: better\n"
        "    | it says:\n"
        "    |   two\n"
        "\n"
        "diff --git a/prompts/a.md b/prompts/a.md\n"
        "index 814f4a422927b82f5f8a43f8fab6d3839e3983f2..a623a0b003e0a9d68f0cffe69882989f57df4d00\n"
        "--- a/prompts/a.md\n"
        "+++ b/prompts/a.md\n"
        "@@ -1,2 +1,3 @@\n"
        " one\n"
        "-two\n"
        "+2\n"
        "+three\n"
        "\\ No newline at end of file\n"
    )


@given(DATA, DATA)
def test_the_patch_of_any_two_texts_makes_one_from_the_other(old, new):
    changes = [FileChange("prompts/a.md", old, new)]
    if old == new:
        with pytest.raises(PatchError, match="no file changes"):
            make_patch(changes, [])
        return
    check_patch(make_patch(changes, [PatchLine("x")]), changes)


@needs_git
@given(st.lists(st.tuples(DATA, DATA).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=3), st.data())
def test_git_makes_of_any_files_what_the_patch_says(pairs, data):
    paths = data.draw(st.lists(st.sampled_from(PATHS), min_size=len(pairs), max_size=len(pairs), unique=True))
    changes = [FileChange(path, old, new) for path, (old, new) in zip(paths, pairs, strict=True)]
    patch = make_patch(changes, [PatchLine(INJECTION)])
    check_patch(patch, changes)
    assert applied_by_git(changes, patch) == {change.path: change.new for change in changes}


@needs_git
@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_any_characters_is_found_by_git_and_by_the_check(path):
    changes = [FileChange(path, b"a\n", b"b\n")]
    patch = make_patch(changes, [])
    check_patch(patch, changes)
    assert applied_by_git(changes, patch) == {path: b"b\n"}


@needs_git
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", b"a"),
        (b"", b"a\n"),
        (b"a", b""),
        (b"a\n", b""),
        (b"a", b"a\n"),
        (b"a\n", b"a"),
        (b"a\r\n", b"a\n"),
        (b"\n", b""),
    ],
)
def test_the_ends_of_files_are_kept_exactly(old, new):
    changes = [FileChange("a.md", old, new)]
    patch = make_patch(changes, [])
    check_patch(patch, changes)
    assert applied_by_git(changes, patch) == {"a.md": new}


@pytest.mark.parametrize(
    "path",
    ["", "/a.md", "../a.md", "a//b.md", "./a.md", "a/.git/config", ".GIT/hooks/x", "a\0b", "a/", "a\ud800"],
)
def test_a_path_that_leads_elsewhere_is_refused(path):
    with pytest.raises(PatchError):
        make_patch([FileChange(path, b"a\n", b"b\n")], [])


def test_a_file_cannot_stand_in_a_patch_twice():
    with pytest.raises(PatchError, match="twice"):
        make_patch([FileChange("a.md", b"a\n", b"b\n"), FileChange("a.md", b"a\n", b"c\n")], [])


def test_files_without_a_change_are_left_out():
    changes = [FileChange("a.md", b"a\n", b"a\n"), FileChange("b.md", b"a\n", b"b\n")]
    patch = make_patch(changes, [])
    assert b"a.md" not in patch
    check_patch(patch, changes)


def message_of(*lines: PatchLine) -> list[str]:
    patch = make_patch([FileChange("a.md", b"a\n", b"b\n")], lines)
    return patch.split(b"\n\ndiff --git ")[0].decode().split("\n")


def test_what_a_reader_cannot_see_is_escaped_in_the_message():
    assert message_of(PatchLine("a\x1b[31m\tb\r\u202e\u2028\ud800\U000e0041 é漢")) == [
        "    | a\\x1b[31m\\x09b\\x0d\\u202e\\u2028\\ud800\\U000e0041 é漢"
    ]
    assert message_of(PatchLine("Subject: a\nb\x1b", quoted=False)) == ["Subject: a\\x0ab\\x1b"]


@pytest.mark.parametrize(
    "line", [*INJECTION_LINES, "From 12 to 13", " --- a/x", "+++", "12/31 -> 27/31", "> a", "\t@@"]
)
def test_a_heading_that_could_be_read_as_a_diff_is_quoted(line):
    (written,) = message_of(PatchLine(line, quoted=False))
    assert written.startswith("    | ")


@pytest.mark.parametrize("line", ["Subject: better", "Proven better: +48 points", "fixed 15 cases, broke none"])
def test_an_ordinary_heading_stands_as_it_is(line):
    assert message_of(PatchLine(line, quoted=False)) == [line]


@needs_git
def test_no_quoted_text_gets_into_the_diff_for_git():
    changes = [FileChange("a.md", b"a\n", b"b\n")]
    patch = make_patch(changes, [PatchLine(INJECTION), PatchLine(INJECTION, quoted=False)])
    check_patch(patch, changes)
    assert applied_by_git(changes, patch) == {"a.md": b"b\n"}


@needs_gnu_patch
def test_no_quoted_text_gets_into_the_diff_for_gnu_patch(tmp_path):
    write(tmp_path / "a.md", b"a\n")
    patch = make_patch([FileChange("a.md", b"a\n", b"b\n")], [PatchLine(INJECTION), PatchLine(INJECTION, quoted=False)])
    finished = subprocess.run(["patch", "-p1", "--batch"], cwd=tmp_path, input=patch, capture_output=True, check=False)
    assert finished.returncode == 0, finished.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]
    assert (tmp_path / "a.md").read_bytes() == b"b\n"


GOOD = FileChange("a.md", b"one\ntwo\nthree\n", b"one\n2\nthree\n")
PATCH = make_patch([GOOD], [PatchLine("Subject: x", quoted=False)])
EXTRA = make_patch([FileChange("b.md", b"a\n", b"b\n")], [])


@pytest.mark.parametrize(
    "patch",
    [
        b"",
        b"nonsense\n",
        PATCH + EXTRA,
        EXTRA + PATCH,
        PATCH.replace(b"a.md", b"b.md"),
        PATCH.replace(b"+2\n", b"+3\n"),
        PATCH.replace(b" one\n", b" 1\n"),
        PATCH.replace(b"-two\n", b""),
        PATCH.replace(b"@@ -1,3 +1,3 @@", b"@@ -2,3 +2,3 @@"),
        PATCH.replace(b"index ", b"old mode 100644\nnew mode 100755\nindex "),
        PATCH.replace(b"index ", b"rename from a.md\nrename to b.md\nindex "),
        PATCH.replace(b"+++ b/a.md", b"+++ /dev/null"),
        PATCH.replace(b"--- a/a.md", b"--- /dev/null"),
        PATCH + b"stray\n",
        PATCH + b"\n",
        b"--- a/evil.py\n" + PATCH,
        b"--- a/evil.py\n+++ b/evil.py\n@@ -0,0 +1 @@\n+x\n" + PATCH,
        b"    --- a/evil.py\n" + PATCH,
        b"GIT binary patch\n" + PATCH,
        PATCH.removesuffix(b"\n") + b"\n\\ No newline at end of file\n",
    ],
)
def test_a_patch_that_does_anything_else_is_refused(patch):
    check_patch(PATCH, [GOOD])
    with pytest.raises(PatchError):
        check_patch(patch, [GOOD])


def test_hunks_out_of_order_are_refused():
    old = b"".join(b"line %d\n" % at for at in range(30))
    change = FileChange("a.md", old, old.replace(b"line 2\n", b"two\n").replace(b"line 25\n", b"many\n"))
    head, first, second = make_patch([change], []).split(b"@@ -")
    check_patch(b"@@ -".join([head, first, second]), [change])
    with pytest.raises(PatchError, match="not in order"):
        check_patch(b"@@ -".join([head, second, first]), [change])


@given(st.data())
def test_a_patch_with_a_line_lost_doubled_or_changed_is_refused_or_means_the_same(data):
    lines = PATCH.split(b"\n")
    at = data.draw(st.integers(0, len(lines) - 2))
    lines[at : at + 1] = data.draw(st.lists(st.sampled_from([lines[at], b"", b" x", b"+x", b"-x", b"@@"]), max_size=2))
    patch = b"\n".join(lines)
    try:
        check_patch(patch, [GOOD])
    except PatchError:
        return
    assert patch.split(b"diff --git")[1:] == PATCH.split(b"diff --git")[1:]


@needs_git
def test_the_git_top_is_found_from_below_and_only_inside_a_tree(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    top = tmp_path / "top é"
    (top / "sub").mkdir(parents=True)
    assert git_top(top / "sub") is None
    assert git(top, "init", "-q").returncode == 0
    assert git_top(top / "sub") == top.resolve()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert git_top(top / "sub") == top.resolve()


def test_without_git_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_top(tmp_path) is None
    assert git_apply_check(write(tmp_path / "x.patch", b"nonsense"), tmp_path) is None


@needs_git
def test_git_is_asked_whether_a_patch_applies(tmp_path):
    top = tmp_path / "top"
    write(top / "prompts/a.md", b"a\n")
    assert git(top, "init", "-q").returncode == 0
    (top / "other").mkdir()
    patch_file = write(tmp_path / "x.patch", make_patch([FileChange("prompts/a.md", b"a\n", b"b\n")], []))
    assert git_apply_check(patch_file, top) is None
    assert git_apply_check(patch_file, top / "prompts") is None
    assert "Skipped patch" in (git_apply_check(patch_file, top / "other") or "")
    write(top / "prompts/a.md", b"c\n")
    assert "does not apply" in (git_apply_check(patch_file, top) or "")
    assert (top / "prompts/a.md").read_bytes() == b"c\n"


@needs_git
@pytest.mark.parametrize("attributes", ["* text=auto eol=crlf", "* text=auto", "* -text"])
def test_a_file_with_windows_line_ends_is_patched_in_a_tree_that_converts_them(tmp_path, attributes):
    change = FileChange("a.md", b"a\r\nb\r\nc\r\n", b"a\r\nB\r\nc\r\nd\r\n")
    path = write(tmp_path / "a.md", change.old)
    write(tmp_path / ".gitattributes", attributes.encode() + b"\n")
    assert git(tmp_path, "init", "-q").returncode == 0
    assert git(tmp_path, "add", ".").returncode == 0
    write(tmp_path / "x.patch", make_patch([change], []))
    assert git(tmp_path, "apply", "x.patch").returncode == 0
    assert path.read_bytes() == change.new


@needs_git
def test_the_mode_of_a_file_is_as_before(tmp_path):
    path = write(tmp_path / "a.md", b"a\n")
    path.chmod(0o755)
    write(tmp_path / "x.patch", make_patch([FileChange("a.md", b"a\n", b"b\n")], []))
    finished = git(tmp_path, "apply", "x.patch")
    assert (finished.returncode, finished.stderr) == (0, b"")
    assert path.stat().st_mode & 0o777 == 0o755


# Reading


@given(DATA, DATA)
def test_a_patch_that_is_read_makes_one_text_from_the_other_and_from_no_third(old, new):
    if old == new:
        return
    (file,) = read_patch(make_patch([FileChange("prompts/a.md", old, new)], [PatchLine("x")]))
    assert (file.path, file.old, file.new) == ("prompts/a.md", blob_hash(old), blob_hash(new))
    assert file.apply(old) == new
    with pytest.raises(PatchError, match="not the file that the patch was made for"):
        file.apply(old + b"more")


@pytest.mark.parametrize(
    "path",
    [
        "a.md",
        "with space.md",
        "ends in space ",
        "a b/c.md",
        "t\tab\n.md",
        'q"uo\\te.md',
        "prömpt.md",
        "\x7f\x01",
        "b/b/x",
    ],
)
def test_every_path_that_can_be_written_is_read_again(path):
    changes = [FileChange(path, b"one\n", b"two\n"), FileChange("z.md", b"", b"new")]
    files = read_patch(make_patch(changes, []))
    assert [file.path for file in files] == [path, "z.md"]
    assert [file.apply(change.old) for file, change in zip(files, changes, strict=True)] == [b"two\n", b"new"]
    assert files[0].counts == (1, 1)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (b"+++ b/prompts/a.md", b"+++ b/prompts/b.md", "does more to|cannot be parsed"),
        (b"a/prompts/a.md b/prompts/a.md", b"a/../x b/../x", "does more to|cannot be parsed"),
        (b"prompts/a.md", b"../../etc/passwd", "cannot be the path"),
        (b"prompts/a.md", b"/etc/passwd", "cannot be the path"),
        (b"prompts/a.md", b".git/hooks/pre-commit", "cannot be the path"),
        (b"index ", b"old mode 100644\nnew mode 100755\nindex ", "does more to|cannot be parsed"),
        (b"index ", b"similarity index 90%\nindex ", "does more to|cannot be parsed"),
        (b"+two\n", b"+two\nrm -rf /\n", "does more to|belong to no file|cannot be parsed"),
        (b"diff --git", b"diff --nothing", "no file|does more to|belong to no"),
    ],
)
def test_a_patch_that_was_changed_by_hand_is_refused(before, after, said):
    patch = make_patch([FileChange("prompts/a.md", b"one\n", b"two\n")], [PatchLine("x")])
    assert before in patch
    with pytest.raises(PatchError, match=said):
        read_patch(patch.replace(before, after))


def test_a_hunk_that_was_changed_by_hand_does_not_give_what_the_patch_announces():
    patch = make_patch([FileChange("prompts/a.md", b"one\n", b"two\n")], [PatchLine("x")])
    (file,) = read_patch(patch.replace(b"+two", b"+owned"))
    with pytest.raises(PatchError, match="does not give the file"):
        file.apply(b"one\n")


def test_the_message_of_a_patch_is_what_stands_above_its_files():
    lines = [PatchLine("gepa: better", quoted=False), PatchLine("\x1b[31mred")]
    patch = make_patch([FileChange("a.md", b"one\n", b"two\n")], lines)
    assert patch_message(patch) == "gepa: better\n    | \\x1b[31mred\n\n"
