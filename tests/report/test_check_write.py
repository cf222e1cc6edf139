"""The files of a check."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.report.check_formats import annotation_lines
from pytest_gepa.report.check_markdown import render_check_markdown
from pytest_gepa.report.check_result import CheckResult
from pytest_gepa.report.check_write import write_check
from pytest_gepa.run.directory import new_run_directory
from pytest_gepa.trace.redact import Redactor
from tests.report.checks import change, regressed, result, side
from tests.report.test_check_markdown import hostile_result

FILES = ["check.json", "check.md", "gl-code-quality.json"]
SECRET = "hunter2-and-more"


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_files_of_a_check_are_private(tmp_path: Path):
    directory = new_run_directory(tmp_path, date(2026, 1, 31))
    assert write_check(directory, result()) == result()
    assert sorted(path.name for path in directory.iterdir()) == FILES
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_directory_that_is_not_there_is_made(tmp_path: Path):
    write_check(tmp_path / "run", result())
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_they_hold_the_result(tmp_path: Path):
    write_check(tmp_path, result())
    assert from_json(CheckResult, json.loads(read(tmp_path / "check.json"))) == result()
    assert read(tmp_path / "check.md") == render_check_markdown(result())
    assert [finding["check_name"] for finding in json.loads(read(tmp_path / "gl-code-quality.json"))] == [
        "gepa-regressed",
        "gepa-suspect",
    ]


def test_secrets_are_in_no_file_and_not_in_what_comes_back(tmp_path: Path):
    redact = Redactor({"SERVICE_API_KEY": SECRET}).redact
    case = replace(regressed(f"test_x[{SECRET}]"), base=side(8, 8, SECRET), today=side(0, 8, SECRET, SECRET))
    clean = write_check(tmp_path, result(cases=(case,), changes=(change(diff=f"+{SECRET}\n"),)), redact)
    assert all(SECRET not in read(tmp_path / name) for name in FILES)
    assert all("[redacted]" in read(tmp_path / name) for name in FILES)
    assert SECRET not in "".join(annotation_lines(clean))


def test_a_prompt_is_named_as_it_is_for_by_that_it_is_found_again(tmp_path: Path):
    one = change(component=f"prompts/{SECRET}.md", path=f"prompts/{SECRET}.md")
    clean = write_check(tmp_path, result(changes=(one,)), Redactor({"SERVICE_API_KEY": SECRET}).redact)
    assert clean.changes == (one,)


def test_a_password_that_is_a_word_of_ours_leaves_the_form_alone(tmp_path: Path):
    redact = Redactor({"DB_PASSWORD": "regressed", "API_TOKEN": "components"}).redact
    clean = write_check(tmp_path, result(), redact)
    assert [case.tier for case in clean.cases] == [case.tier for case in result().cases]
    assert clean.cases[0].components == result().cases[0].components
    assert clean.verdict == "regressed"


@pytest.mark.parametrize("pattern", [r"\d", "[0-9a-f]", r"\d{4}-\d{2}-\d{2}", "git|pytest|--"])
def test_a_pattern_of_the_users_changes_no_name_of_ours(tmp_path: Path, pattern: str):
    told = result(command="pytest --gepa-optimize --gepa-ancestor=64bbd7296122 tests/test_a.py")
    clean = write_check(tmp_path, told, Redactor({}, [pattern]).redact)

    for name in ("run", "base", "verdict", "command", "gate"):
        assert getattr(clean, name) == getattr(told, name)
    assert [(case.tier, case.path, case.components) for case in clean.cases] == [
        (case.tier, case.path, case.components) for case in told.cases
    ]
    assert from_json(CheckResult, json.loads(read(tmp_path / "check.json"))) == clean


def test_half_of_a_surrogate_pair_can_be_written(tmp_path: Path):
    broken = hostile_result("a\ud83d")
    write_check(tmp_path, broken)
    assert json.loads(read(tmp_path / "check.json")) == to_json(broken)
    read(tmp_path / "check.md")
    read(tmp_path / "gl-code-quality.json")
