"""`pytest-gepa runs` and `show`, on what runs have left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.cli import main
from pytest_gepa.run.journal import Journal
from tests.check_world import world_settings
from tests.harness import Project


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".gepa/runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def leave(root: Path, name: str, mode: str = "optimize", file: str = "", resumes: str = "", **result: Any) -> Path:
    """A run's directory with its journal, and its result if it has one."""
    directory = root / ".gepa/runs" / name
    directory.mkdir()
    journal = Journal(directory / "journal.jsonl", str)
    settings = world_settings(mode=mode, rootdir=Path(), prompts_base=Path(), replay="auto")
    journal.write("run", settings=settings, resumes=resumes)
    journal.close()
    if file:
        (directory / file).write_text(json.dumps(result), encoding="utf-8")
    return directory


def said(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> list[str]:
    assert main(list(args)) == code
    streams = capsys.readouterr()
    return (streams.err if code else streams.out).splitlines()


def test_runs_are_listed_newest_first_with_what_came_of_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spent = {"rollouts": 526}
    leave(root, "2026-11-22-9", file="result.json", verdict="proven", effect=0.68, spent=spent)
    leave(root, "2026-11-22-10", "check", "check.json", verdict="regressed", effect=-0.5, spent={"rollouts": 1})
    leave(root, "2026-11-23-1", "audit", "audit.json", is_finished=False, spent={"rollouts": 90})
    leave(root, "2026-11-23-2", file="result.json", verdict="not confirmed", effect=0.0, spent=spent)
    leave(root, "2026-11-23-3")
    assert said(capsys, "runs") == [
        "2026-11-23-3   optimize  cut off                           pytest --gepa-resume=2026-11-23-3",
        "2026-11-23-2   optimize  not confirmed       526 rollouts  pytest --gepa-resume=2026-11-23-2",
        "2026-11-23-1   audit     not finished        90 rollouts",
        "2026-11-22-10  check     regressed           1 rollout",
        "2026-11-22-9   optimize  proven, +68 points  526 rollouts",
    ]


def test_of_many_runs_the_newest_are_listed_unless_all_are_asked_for(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(1, 23):
        leave(root, f"2026-11-22-{number}")
    few = said(capsys, "runs")
    assert few[0].startswith("2026-11-22-22 ")
    assert (len(few), few[-1]) == (21, "and 2 older runs: pytest-gepa runs --all")
    assert len(said(capsys, "runs", "--all")) == 22


def test_one_that_another_has_gone_on_with_is_not_offered(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(root, "2026-11-22-1", file="result.json", verdict="not confirmed")
    leave(root, "2026-11-22-2", file="result.json", resumes="2026-11-22-1", verdict="proven", effect=0.5)
    assert said(capsys, "runs") == [
        "2026-11-22-2  optimize  proven, +50 points",
        "2026-11-22-1  optimize  not confirmed",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("journal.jsonl", "[]\n"),
        ("journal.jsonl", '{"settings": null}\n'),
        ("result.json", "[]"),
        ("result.json", '{"spent": null, "verdict": null}'),
        ("result.json", '{"spent": {"rollouts": "many"}}'),
    ],
)
def test_files_of_another_form_do_not_take_the_list_down(
    root: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    (leave(root, "2026-11-22-1") / name).write_text(text, encoding="utf-8")
    (line,) = said(capsys, "runs")
    assert line.split()[0] == "2026-11-22-1"
    assert "cut off" in line


def test_without_any_run_that_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "runs") == [f"{root / '.gepa'}: no run yet"]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on files here")
def test_a_run_that_goes_on_is_told_as_such(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(leave(root, "2026-11-22-1") / "journal.jsonl", str)
    assert said(capsys, "runs") == ["2026-11-22-1  optimize  goes on"]
    journal.close()


def test_a_damaged_run_is_listed_all_the_same(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = leave(root, "2026-11-22-1", file="result.json")
    (directory / "result.json").write_text("{", encoding="utf-8")
    (directory / "journal.jsonl").write_text("", encoding="utf-8")
    (root / ".gepa/runs/2026-11-22-2").mkdir()
    assert said(capsys, "runs") == ["2026-11-22-2  ?  cut off", "2026-11-22-1  ?  cut off"]


def test_the_newest_report_is_shown_and_cannot_steer_the_terminal(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, report in (("2026-11-22-1", "report.md"), ("2026-11-22-2", "check.md")):
        (leave(root, name) / report).write_text(f"# {name}\n\nsaid \x1b[2J\n", encoding="utf-8")
    leave(root, "2026-11-22-3")
    assert said(capsys, "show") == ["# 2026-11-22-2", "", "said \\x1b[2J"]
    assert said(capsys, "show", "2026-11-22-1")[0] == "# 2026-11-22-1"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise here")
def test_whoever_reads_the_report_may_have_seen_enough(root: Path) -> None:
    (leave(root, "2026-11-22-1") / "report.md").write_text("a line of many\n" * 20_000, encoding="utf-8")
    command = [sys.executable, "-m", "pytest_gepa.cli", "show"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


def test_where_there_is_no_report_it_is_said_where_to_look(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(root, "2026-11-22-1")
    (line,) = said(capsys, "show", "2026-11-22-1", code=1)
    assert line.startswith("pytest-gepa show: run 2026-11-22-1 has left no report")
    (line,) = said(capsys, "show", code=1)
    assert line.endswith("pytest-gepa runs lists all")
    (line,) = said(capsys, "show", "2026-11-22-7", code=1)
    assert "there is no run '2026-11-22-7'" in line


@pytest.mark.thorough
def test_a_run_and_a_check_are_listed_and_shown(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    run = project.optimize("--gepa-trials=1")
    listed, *_ = said(capsys, "runs", "--rootdir", str(project.root))
    assert listed.split()[1:4] == ["optimize", "proven,", f"{100 * run.result['effect']:+.0f}"]
    shown = said(capsys, "show", "--rootdir", str(project.root))
    assert shown == (run.directory / "report.md").read_text("utf-8").splitlines()


def test_a_check_that_found_nothing_changed_is_told_as_one(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = root / ".gepa/runs/2026-11-22-1"
    directory.mkdir()
    told = {"verdict": "nothing changed", "spent": {"rollouts": 0}}
    (directory / "check.json").write_text(json.dumps(told), encoding="utf-8")
    assert said(capsys, "runs") == ["2026-11-22-1  check  nothing changed  0 rollouts"]


def test_a_baseline_that_was_saved_is_not_told_as_cut_off(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    run = project.pytest("--gepa-save-baseline=nightly", "--gepa-trials=1")
    assert run.code == 0, run.everything
    (line,) = said(capsys, "runs", "--rootdir", str(project.root))
    assert line.split()[1:3] == ["save-baseline", "saved"]
