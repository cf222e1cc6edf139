"""The recipes in `docs/ci.md`: what can be known of them without a server."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from pytest_gepa.check.baselines import baseline_text, read_baseline
from pytest_gepa.options import MODES, SETTINGS
from pytest_gepa.report.check_formats import junit_properties
from pytest_gepa.report.check_markdown import MARKER
from pytest_gepa.report.check_write import write_check
from pytest_gepa.verdict.sequential import most_provable
from tests.report.checks import regressed, result

DOCS = Path(__file__).parents[2] / "docs"
CI = (DOCS / "ci.md").read_text(encoding="utf-8")
CHECK = (DOCS / "check.md").read_text(encoding="utf-8")
OPTIONS = {f"--gepa-{setting.name}" for setting in (*MODES, *SETTINGS)}


def recipes() -> list[object]:
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", CI, re.DOTALL)]


def test_recipes_are_yaml():
    assert len(recipes()) == 8
    assert all(recipes())


def test_no_recipe_gives_a_key_to_code_of_a_fork():
    workflow = recipes()[0]
    assert isinstance(workflow, dict)
    assert workflow[True] == "pull_request"  # `on`, as YAML 1.1 reads it
    assert "secrets." in str(workflow["jobs"]["check"])
    assert "secrets." not in str(workflow["jobs"]["rehearse"])
    assert "pull_request_target" not in "".join(re.findall(r"```yaml\n(.*?)```", CI, re.DOTALL))


def jobs() -> list[str]:
    """The commands of each job of a forge."""
    found: list[str] = []
    for recipe in recipes():
        every = recipe.get("jobs", recipe) if isinstance(recipe, dict) else {}
        for job in (job for job in every.values() if isinstance(job, dict)):
            steps = [step["run"] for step in job.get("steps", ()) if "run" in step]
            found.append("\n".join([*steps, *job.get("script", ())]))
    return [commands for commands in found if commands]


def test_a_job_with_a_cap_installs_the_prices():
    capped = [commands for commands in jobs() if "--gepa-max-cost" in commands]
    assert len(capped) == 4
    assert all("pip install -e . 'pytest-gepa[prices]'" in commands for commands in capped)


def test_only_options_that_there_are():
    told = set(re.findall(r"--gepa-[a-z]+(?:-[a-z]+)*", CI + CHECK))
    assert told <= OPTIONS


def test_the_comment_is_found_by_its_mark():
    assert f'startswith("{MARKER}")' in CI


def test_files_and_properties_are_those_that_are_written(tmp_path: Path):
    write_check(tmp_path, result())
    assert all(f"| `{path.name}` |" in CHECK for path in tmp_path.iterdir())
    assert all(f"`{name}`" in CHECK for name, _ in junit_properties(regressed()))


def test_the_baseline_of_the_docs_is_one(tmp_path: Path):
    (text,) = re.findall(r"```json\n(.*?)```", CHECK, re.DOTALL)
    (tmp_path / "nightly.json").write_text(text, encoding="utf-8")
    found = read_baseline(tmp_path / "nightly.json")
    assert baseline_text(found) == text
    assert [(case.passed, case.trials) for case in found.cases.values()] == [(32, 32), (27, 32)]


def test_what_the_docs_say_that_a_baseline_proves():
    rows = re.findall(r"^\| (\d+) \| passes (\d+) of 32 at most \| passes (\d+) of 32 at most \|$", CHECK, re.MULTILINE)
    assert len(rows) == 4
    for row in rows:
        recorded, alone, twenty = map(int, row)
        assert (most_provable(recorded, 1), most_provable(recorded, 20)) == (alone, twenty)
