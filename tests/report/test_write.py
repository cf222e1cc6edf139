"""The run directory and what is written into it."""

from __future__ import annotations

import errno
import json
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.prompts.finding import find_components
from pytest_gepa.report import write
from pytest_gepa.report.build import build_result
from pytest_gepa.report.patches import PatchBase
from pytest_gepa.report.result import ChangeNeed, Result
from pytest_gepa.report.terminal import closing_lines
from pytest_gepa.report.write import write_run
from pytest_gepa.run import directory as run_directory
from pytest_gepa.run.directory import new_run_directory, state_directory
from pytest_gepa.trace.redact import Redactor
from tests.report.runs import PROMPT, TEXT, Desk

WORDS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")
TODAY = date(2026, 1, 31)


def written(root: Path, desk: Desk, redact: Callable[[str], str] = str, **changes: Any) -> tuple[Path, Result]:
    """Write a run of the desk's prompt, which stands in `root`; its result with the changes."""
    (root / "prompts").mkdir()
    (root / PROMPT).write_text(desk.text, encoding="utf-8")
    components = {found.id: found for found in find_components(root, root, ["prompts/*.md"])}
    directory = new_run_directory(root, TODAY)
    result = replace(build_result(directory.name, desk.state, desk.cases, 0, "large"), **changes)
    base = PatchBase(root, is_git=False)
    return directory, write_run(directory, result, desk.state, components, desk.cases, base, redact)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_runs_of_a_day_are_numbered_from_one(tmp_path: Path):
    names = [new_run_directory(tmp_path, TODAY).name for _ in range(3)]
    assert names == ["2026-01-31-1", "2026-01-31-2", "2026-01-31-3"]
    assert new_run_directory(tmp_path, date(2026, 2, 1)).name == "2026-02-01-1"


def test_the_number_of_a_run_that_was_deleted_is_not_given_once_more(tmp_path: Path):
    first, *_ = [new_run_directory(tmp_path, TODAY) for _ in range(3)]
    first.rmdir()
    (first.parent / "2026-01-31-kept").mkdir()
    assert new_run_directory(tmp_path, TODAY).name == "2026-01-31-4"


def test_the_state_directory_is_private_and_ignored_by_git(tmp_path: Path):
    directory = new_run_directory(tmp_path, TODAY)
    assert {mode(path) for path in (directory, directory.parent, tmp_path / ".gepa")} == {0o700}
    assert (tmp_path / ".gepa/.gitignore").read_text(encoding="utf-8") == "*\n"


def test_a_gitignore_of_the_users_own_is_kept(tmp_path: Path):
    (state_directory(tmp_path) / ".gitignore").write_text("cache\n", encoding="utf-8")
    state_directory(tmp_path)
    assert (tmp_path / ".gepa/.gitignore").read_text(encoding="utf-8") == "cache\n"


def test_a_proven_winner_becomes_the_best_patch(tmp_path: Path):
    directory, result = written(tmp_path, Desk(WORDS).search().choose().confirm())
    assert result.patch == ".gepa/runs/2026-01-31-1/best.patch"
    assert (directory / "best.patch").read_text(encoding="utf-8").startswith("gepa: 0/7 -> 7/7 cases, proven better\n")
    assert {mode(path) for path in directory.iterdir() if path.is_file()} == {0o600}
    assert (tmp_path / PROMPT).read_text(encoding="utf-8") == TEXT


def test_a_winner_that_is_not_proven_goes_to_the_frontier(tmp_path: Path):
    directory, result = written(tmp_path, Desk(WORDS[:3]).search().choose().confirm())
    assert result.verdict == "not proven"
    assert not (directory / "best.patch").exists()
    assert result.patch.startswith(".gepa/runs/2026-01-31-1/frontier/")
    assert (tmp_path / result.patch).read_text(encoding="utf-8").startswith("gepa: 0/3 -> 3/3 cases, NOT PROVEN\n")


def two_at_once(_desk: Desk, task: object) -> str:
    del task
    return f"{TEXT}- ant\n- bee\n"


def test_other_candidates_of_the_frontier_get_a_patch_each(tmp_path: Path):
    desk = Desk(["ant", "bee", "!ant", "cat"], edit=two_at_once).search(reflections=1).choose()
    directory, result = written(tmp_path, desk)
    (entry,) = result.frontier
    assert entry.patch == f".gepa/runs/{directory.name}/frontier/{entry.candidate}.patch"
    assert (
        (tmp_path / entry.patch)
        .read_text(encoding="utf-8")
        .startswith("gepa: frontier candidate, 2/4 cases (search score, unconfirmed)\n")
    )
    assert result.patch == ""


def test_the_result_on_disk_is_the_result(tmp_path: Path):
    directory, result = written(tmp_path, Desk(WORDS, held_out=["hen"]).search().choose().confirm())
    data = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    assert data == to_json(result)
    assert from_json(Result, data) == result


def test_half_of_a_surrogate_pair_in_a_reason_breaks_nothing(tmp_path: Path):
    desk = Desk(WORDS).search().choose().confirm()
    desk.state.rejections.update(["wrong shape: \ud83d"])
    directory, _ = written(tmp_path, desk)
    data = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    assert len(data["rejections"]) == 1
    assert (directory / "report.md").exists()


def test_a_prompt_that_was_changed_meanwhile_is_left_alone_and_the_patch_is_written(tmp_path: Path):
    desk = Desk(WORDS).search().choose().confirm()
    (tmp_path / "prompts").mkdir()
    (tmp_path / PROMPT).write_text(TEXT, encoding="utf-8")
    components = {found.id: found for found in find_components(tmp_path, tmp_path, ["prompts/*.md"])}
    (tmp_path / PROMPT).write_text("Changed by its owner.\n", encoding="utf-8")
    directory = new_run_directory(tmp_path, TODAY)
    result = build_result(directory.name, desk.state, desk.cases, 0, "large")
    write_run(directory, result, desk.state, components, desk.cases, PatchBase(tmp_path, is_git=False))
    assert (directory / "best.patch").exists()
    assert (tmp_path / PROMPT).read_text(encoding="utf-8") == "Changed by its owner.\n"


def tree(root: Path, text: str) -> tuple[Path, Path]:
    """A git repository of one prompt, and the prompt."""
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / "prompts").mkdir()
    (root / PROMPT).write_text(text, encoding="utf-8")
    return root, root / PROMPT


def written_without_its_prompt(root: Path, redact: Callable[[str], str] = str) -> tuple[Path, Result]:
    """Write a run of a prompt that somebody has removed meanwhile."""
    desk = Desk(WORDS).search().choose().confirm()
    root, prompt = tree(root, desk.text)
    components = {found.id: found for found in find_components(root, root, ["prompts/*.md"])}
    prompt.unlink()
    directory = new_run_directory(root, TODAY)
    result = build_result(directory.name, desk.state, desk.cases, 0, "large")
    return directory, write_run(directory, result, desk.state, components, desk.cases, PatchBase.of(root), redact)


def test_a_prompt_that_is_gone_at_the_end_loses_no_result(tmp_path: Path):
    directory, result = written_without_its_prompt(tmp_path)
    warning = result.warnings[0]  # of the winner; the others are those of the frontier
    assert "git would not take this patch" in warning
    assert f"{PROMPT} was changed or removed while the run went on" in warning
    assert json.loads((directory / "result.json").read_text("utf-8"))["warnings"][0] == warning
    assert "**Warning:** " in (directory / "report.md").read_text("utf-8")
    assert (directory / "best.patch").is_file()
    lines = closing_lines(result, str(directory), "git apply it")
    assert any(line.startswith("warning  ") and "removed while" in line for line in lines)
    assert "git apply it" not in lines
    assert any(line.startswith("not to be applied") for line in lines)


def test_a_patch_that_cannot_be_made_loses_no_result(tmp_path: Path):
    desk = Desk(WORDS).search().choose().confirm()
    root, _ = tree(tmp_path / "project", desk.text)
    components = {found.id: found for found in find_components(root, root, ["prompts/*.md"])}
    directory = new_run_directory(root, TODAY)
    result = build_result(directory.name, desk.state, desk.cases, 0, "large")
    elsewhere = PatchBase(tmp_path / "elsewhere", is_git=False)
    result = write_run(directory, result, desk.state, components, desk.cases, elsewhere)
    assert (result.verdict, result.patch) == ("proven", "")
    assert "best.patch could not be made" in result.warnings[0]
    assert "review the patch" not in "\n".join(closing_lines(result, str(directory), ""))
    assert (directory / "report.md").is_file()


@pytest.mark.parametrize("rule", ["error", "error-all", "fix", "warn", ""])
def test_lines_that_end_in_spaces_are_taken_whatever_git_is_told_of_them(tmp_path: Path, rule: str):
    def spaced(desk: Desk, task: object) -> str:
        del task
        return desk.text + "".join(f"- {word}  \n" for word in WORDS)

    desk = Desk(WORDS, edit=spaced).search().choose().confirm()
    root, prompt = tree(tmp_path, desk.text)
    if rule:
        subprocess.run(["git", "-C", str(root), "config", "apply.whitespace", rule], check=True)
    components = {found.id: found for found in find_components(root, root, ["prompts/*.md"])}
    directory = new_run_directory(root, TODAY)
    result = build_result(directory.name, desk.state, desk.cases, 0, "large")
    base = PatchBase.of(root)
    result = write_run(directory, result, desk.state, components, desk.cases, base)
    assert (result.verdict, result.warnings) == ("proven", ())
    command = base.command(root / result.patch, root, [prompt])
    assert ("--whitespace=nowarn" in command) is (rule not in ("warn", ""))
    subprocess.run(command, shell=True, cwd=root, check=True)
    assert "- ant  \n" in prompt.read_text("utf-8")


def test_a_page_that_cannot_be_made_costs_the_page_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_given: object) -> str:
        raise RecursionError("too deep")

    monkeypatch.setattr(write, "render_page", fail)
    directory, result = written(tmp_path, Desk(WORDS).search().choose().confirm())
    assert result.warnings == ("report.html could not be made: RecursionError: too deep",)
    assert from_json(Result, json.loads((directory / "result.json").read_text("utf-8"))) == result
    assert "report.html could not be made" in (directory / "report.md").read_text("utf-8")
    assert (directory / "best.patch").exists()
    assert not (directory / "report.html").exists()


@pytest.mark.parametrize("name", ["best.patch", "result.json", "report.md", "report.html"])
def test_a_file_that_cannot_be_written_costs_that_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    usual = run_directory.write_file

    def write_file(path: Path, data: bytes) -> None:
        if path.name == name:
            path.write_bytes(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        usual(path, data)

    for module in (write, run_directory):
        monkeypatch.setattr(module, "write_file", write_file)
    directory, result = written(tmp_path, Desk(WORDS).search().choose().confirm())
    (warning,) = (one for one in result.warnings if name in one)
    assert "could not be made: OSError: [Errno 28] No space left on device" in warning
    names = {"best.patch", "result.json", "report.md", "report.html"}
    # Half a patch would do harm.
    assert {path.name for path in directory.iterdir()} & names == names - {name}
    assert (result.patch == "") is (name == "best.patch")
    if name != "result.json":
        assert from_json(Result, json.loads((directory / "result.json").read_text("utf-8"))) == result


PATTERNS = [r"\d{6}", r"\d+", r"\d", r"[0-9a-f]", r"[0-9a-f]{3,}", r"\d{4}-\d{2}-\d{2}"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_of_the_users_changes_no_name_of_ours(tmp_path: Path, pattern: str):
    """By these names candidates are found, patches lie where the result says, and the command applies one."""
    redact = Redactor({}, [pattern]).redact
    desk = Desk(["ant", "bee", "!ant", "cat"], edit=two_at_once).search(reflections=1).choose()
    (kept,) = {one.candidate for one in desk.state.search.frontier()} - {desk.seed.id}
    directory, result = written(tmp_path, desk, redact, reason=f"it is kept in frontier/{kept}.patch")
    (entry,) = result.frontier

    assert result.run == directory.name
    assert entry.candidate in desk.state.search.candidates
    assert entry.patch == f".gepa/runs/{directory.name}/frontier/{entry.candidate}.patch"
    assert (tmp_path / entry.patch).is_file()
    assert result.reason.endswith(f"frontier/{entry.candidate}.patch")
    assert from_json(Result, json.loads((directory / "result.json").read_text("utf-8"))) == result


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_edits_of_a_winner_are_those_of_its_candidates(tmp_path: Path, pattern: str):
    desk = Desk(WORDS).search().choose().confirm()
    _, result = written(tmp_path, desk, Redactor({}, [pattern]).redact)

    assert result.verdict == "proven"
    assert (tmp_path / result.patch).name == "best.patch"
    assert {edit.candidate for edit in result.edits} <= set(desk.state.search.candidates)
    assert {name for edit in result.edits for name in edit.parents} <= set(desk.state.search.candidates)
    assert [change.component for change in result.changes] == [PROMPT]


def test_a_warning_of_a_patch_names_it_whatever_a_pattern_matches(tmp_path: Path):
    _, result = written_without_its_prompt(tmp_path, Redactor({}, [r"\d+", "route"]).redact)

    assert result.warnings[0].startswith(".gepa/runs/2026-01-31-1/best.patch: git would not take this patch")
    assert f"{PROMPT} was changed or removed" in result.warnings[0]


PRIVATE = f"{TEXT}<private>\nACME pays late.\nBETA too.\n</private>\n"


def without_a_line(_desk: Desk, task: object) -> str:
    del task
    return PRIVATE.replace("ACME pays late.\n", "") + "- ant\n- bee\n"


def test_a_line_of_a_secret_over_several_stands_in_no_report(tmp_path: Path):
    """Only the patch's own lines are those of the file."""
    redact = Redactor({}, ["(?s)<private>.*?</private>"]).redact
    words = ["ant", "bee", "!ant", "cat"]
    desk = Desk(words, text=PRIVATE, edit=without_a_line).search(reflections=1).choose()
    need = ChangeNeed(PROMPT, ("- ACME pays late.", "+ - ant"), "needed")
    directory, result = written(tmp_path, desk, redact, needs=(need,))
    (entry,) = result.frontier
    message, _, diff = (tmp_path / entry.patch).read_text("utf-8").partition("\ndiff --git")
    texts = [path.read_text("utf-8") for path in directory.iterdir() if path.suffix in (".json", ".md")]

    assert result.needs == (replace(need, lines=("- [redacted]", "+ - ant")),)
    assert "    | - [redacted]\n    | + - ant\n" in message
    assert "-ACME pays late.\n" in diff
    assert not [text for text in [message, *texts] if "ACME" in text or "BETA" in text]


@pytest.mark.parametrize("at_least", [True, False])
def test_where_not_all_cases_were_run_without_a_change_reports_say_at_least(at_least: bool, tmp_path: Path):
    desk = Desk(WORDS).search().choose().confirm()
    need = ChangeNeed(PROMPT, ("+ - ant",), "needed", ("test_a.py::test_ant",), at_least=at_least)
    directory, _ = written(tmp_path, desk, str, needs=(need,))
    message = (directory / "best.patch").read_text("utf-8")
    markdown, page = ((directory / f"report.{kind}").read_text("utf-8") for kind in ("md", "html"))

    assert f"worse without it{', at least' if at_least else ''}:\n" in message
    assert ("| at least `test_a.py::test_ant` |" in markdown) is at_least
    assert ("<td>at least <code>" in page) is at_least
