"""The recipes in `docs/ci.md`: what can be known of them without a server."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from pytest_gepa.report.check_formats import junit_properties
from pytest_gepa.report.check_markdown import MARKER
from pytest_gepa.report.check_write import write_check
from tests.report.checks import regressed, result

DOCS = Path(__file__).parents[2] / "docs"
CI = (DOCS / "ci.md").read_text(encoding="utf-8")
CHECK = (DOCS / "check.md").read_text(encoding="utf-8")
OPTIONS = {
    "--gepa-audit", "--gepa-baseline", "--gepa-check", "--gepa-fail-on", "--gepa-fail-on-trouble", "--gepa-max-cost",
    "--gepa-replay", "--gepa-save-baseline", "--gepa-timeout", "--gepa-trials",
}  # fmt: skip


def recipes() -> list[object]:
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", CI, re.DOTALL)]


def test_recipes_are_yaml():
    assert len(recipes()) == 7
    assert all(recipes())


def test_no_recipe_gives_a_key_to_code_of_a_fork():
    workflow = recipes()[0]
    assert isinstance(workflow, dict)
    assert workflow[True] == "pull_request"  # `on`, as YAML 1.1 reads it
    assert "secrets." in str(workflow["jobs"]["check"])
    assert "secrets." not in str(workflow["jobs"]["rehearse"])
    assert "pull_request_target" not in "".join(re.findall(r"```yaml\n(.*?)```", CI, re.DOTALL))


def test_only_options_that_there_are():
    told = set(re.findall(r"--gepa-[a-z]+(?:-[a-z]+)*", CI + CHECK))
    assert told <= OPTIONS


def test_the_comment_is_found_by_its_mark():
    assert f'startswith("{MARKER}")' in CI


def test_files_and_properties_are_those_that_are_written(tmp_path: Path):
    write_check(tmp_path, result())
    assert all(f"| `{path.name}` |" in CHECK for path in tmp_path.iterdir())
    assert all(f"`{name}`" in CHECK for name, _ in junit_properties(regressed()))
