"""The recipes of `docs/ci.md`, run as they are written: in clones of a local origin, against a simulated model.

Of the forge there is what its recipes speak to: variables of the environment, and stand-ins for `pip` (the package is
installed already) and `gh`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.check_prompts import BAD, GOOD
from tests.fake_openai import Answer, Body
from tests.harness import KEY, PROMPT, TIMEOUT, Project, answer_by_rules, cases_of, new_project

INI = "[pytest]\ngepa_prices = task input=2 output=8 max_output=200\n"
TEXT = (Path(__file__).parents[1] / "docs/ci.md").read_text(encoding="utf-8")
EXPRESSIONS = {
    "secrets.OPENAI_API_KEY": KEY,
    "github.token": "a-token",
    "github.event.pull_request.number": "7",
}
STAND_IN = '#!/bin/sh\nprintf "%s\\n" "$(basename "$0") $*" >> "$CALLS"\n'
GH = STAND_IN + 'case "$*" in *comments*--jq*) cat "$COMMENT" 2>/dev/null || true ;; esac\n'


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def recipe(*words: str) -> Any:
    """The YAML recipe that has these words."""
    (found,) = (block for block in blocks("yaml") if all(word in block for word in words))
    return yaml.safe_load(found)


@dataclass
class Clone:
    """A clone of the origin, as a forge's runner or a colleague has it."""

    root: Path
    project: Project
    env: Mapping[str, str]

    def run(self, script: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script as forges do: it ends with the first command that fails."""
        return subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.root,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def paste(self, lines: str) -> subprocess.CompletedProcess[str]:
        """Run lines as a person pastes them: the next one runs whatever became of the last."""
        return self.run(f"set +e\n{lines}")

    def git(self, *args: str) -> subprocess.CompletedProcess[str]:
        return self.run(" ".join(["git", *args]))

    def job(self, steps: list[dict[str, Any]], **env: str) -> list[subprocess.CompletedProcess[str]]:
        """Run the steps of a job of GitHub Actions: after one that failed only those that always run."""
        done: list[subprocess.CompletedProcess[str]] = []
        for step in steps:
            has_failed = any(one.returncode for one in done)
            if "run" not in step or (has_failed and step.get("if") != "${{ !cancelled() }}"):
                continue
            given = {name: expanded(value) for name, value in step.get("env", {}).items()}
            done.append(self.run(step["run"], **env, **given))
        return done

    def checks(self) -> list[dict[str, Any]]:
        paths = sorted((self.root / ".gepa/runs").glob("*/check.json"))
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths]

    @property
    def calls(self) -> list[str]:
        return Path(self.env["CALLS"]).read_text(encoding="utf-8").splitlines()


def expanded(value: str) -> str:
    return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda match: EXPRESSIONS[match[1]], value)


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Project]:
    """A project whose `main` is at a bare origin beside it."""
    for project in new_project(tmp_path / "project"):
        project.write({PROMPT: GOOD, "pytest.ini": INI, "test_route.py": ""})
        project.cases(cases_of(words=("one",)))
        project.commit()
        project.git("branch", "-M", "main")
        project.git("clone", "-q", "--bare", ".", str(tmp_path / "origin.git"))
        project.git("remote", "add", "origin", str(tmp_path / "origin.git"))
        project.git("fetch", "-q", "origin")
        yield project


def clone(project: Project, tmp_path: Path) -> Clone:
    root, tools = tmp_path / "clone", tmp_path / "tools"
    project.git("clone", "-q", str(tmp_path / "origin.git"), str(root))
    tools.mkdir()
    for name, text in (("pip", STAND_IN), ("gh", GH)):
        (tools / name).write_text(text, encoding="utf-8")
        (tools / name).chmod(0o755)
    who = {
        f"GIT_{role}_{what}": f"{what}@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), project.environ["PATH"]])
    env = {
        **project.environ,
        **who,
        "PATH": path,
        "CALLS": str(tmp_path / "calls"),
        "COMMENT": str(tmp_path / "comment"),
    }
    return Clone(root, project, env)


def pull_request(project: Project, tmp_path: Path, text: str) -> Clone:
    """What a forge checks out for a pull request: the merge of its branch into `main`, on no branch."""
    project.git("checkout", "-q", "-b", "edit")
    project.write({PROMPT: text})
    project.git("commit", "-q", "-a", "-m", "an edit")
    project.git("push", "-q", "origin", "edit")
    made = clone(project, tmp_path)
    done = made.run("git checkout -q --detach origin/main && git merge -q --no-ff -m merge origin/edit")
    assert done.returncode == 0, done.stderr
    return made


def keyless(made: Clone) -> Clone:
    """The same without a key, and without a server that could be asked."""
    env = {name: value for name, value in made.env.items() if not name.startswith("OPENAI_")}
    return Clone(made.root, made.project, env)


def test_github_s_check_fails_a_bad_edit_and_fills_the_summary(origin: Project, tmp_path: Path) -> None:
    made = pull_request(origin, tmp_path, BAD)
    summary = tmp_path / "summary.md"
    job = recipe("on: pull_request")["jobs"]["check"]
    install, check, summarize = made.job(
        job["steps"], GITHUB_ACTIONS="true", GITHUB_BASE_REF="main", GITHUB_STEP_SUMMARY=str(summary)
    )
    assert install.returncode == 0
    assert made.calls == ["pip install -e . pytest-gepa[prices]"]
    assert check.returncode == 1, check.stdout + check.stderr
    assert f"\n::error file={PROMPT},line=4," in check.stdout
    assert summarize.returncode == 0
    assert summary.read_text(encoding="utf-8").startswith(
        "<!-- pytest-gepa-check -->\n## Prompt check: 1 case regressed"
    )
    (found,) = made.checks()
    assert found["base"] == made.git("rev-parse", "--short", "origin/main").stdout.strip()


@pytest.mark.thorough
def test_github_s_check_compares_with_the_branch_that_a_pull_request_goes_into(origin: Project, tmp_path: Path) -> None:
    origin.git("checkout", "-q", "-b", "develop")
    origin.write({PROMPT: BAD})
    origin.git("commit", "-q", "-a", "-m", "worse already")
    origin.git("push", "-q", "origin", "develop")
    made = pull_request(origin, tmp_path, f"{BAD}Be polite.\n")
    steps = recipe("on: pull_request")["jobs"]["check"]["steps"]
    _, check, _ = made.job(steps, GITHUB_BASE_REF="develop", GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"))
    assert check.returncode == 0, check.stdout + check.stderr
    (found,) = made.checks()
    assert found["base"] == made.git("rev-parse", "--short", "origin/develop").stdout.strip()


@pytest.mark.thorough
def test_a_fork_rehearses_what_its_contributor_has_recorded(origin: Project, tmp_path: Path) -> None:
    steps = recipe("on: pull_request")["jobs"]["rehearse"]["steps"]
    summary = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    made = pull_request(origin, tmp_path, BAD)
    _, without, summarize = keyless(made).job(steps, **summary)
    assert without.returncode == 4, without.stdout + without.stderr
    assert summarize.returncode == 0

    told = made.paste(blocks("sh")[0])
    assert told.returncode == 0, told.stdout + told.stderr
    assert "pytest --gepa-check --gepa-replay=only" in told.stdout
    assert "gepa_recording/recording.json" in made.git("diff", "--cached", "--name-only").stdout
    shutil.rmtree(made.root / ".gepa")
    asked = len(origin.world.task_requests)
    _, rehearsal, _ = keyless(made).job(steps, **summary)
    assert rehearsal.returncode == 1, rehearsal.stdout + rehearsal.stderr
    assert [found["verdict"] for found in made.checks()] == ["regressed"]
    assert len(origin.world.task_requests) == asked

    assert made.run(f"git checkout -q origin/main -- {PROMPT}").returncode == 0
    _, unchanged, _ = keyless(made).job(steps, **summary)
    assert unchanged.returncode == 0, unchanged.stdout + unchanged.stderr


@pytest.mark.thorough
def test_a_job_of_the_night_notices_a_model_that_changed(origin: Project, tmp_path: Path) -> None:
    (save,) = (block for block in blocks("sh") if "--gepa-save-baseline" in block)
    made = clone(origin, tmp_path)
    done = made.paste(f"{save}git push -q origin main")
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(made.root)
    assert made.project.git("clone", "-q", str(tmp_path / "origin.git"), str(made.root)) == ""
    steps = recipe("cron:")["jobs"]["compare"]["steps"]
    summary = tmp_path / "summary.md"
    _, compare, _ = made.job(steps, GITHUB_STEP_SUMMARY=str(summary))
    assert compare.returncode == 0, compare.stdout + compare.stderr

    def another_model(request: Body) -> Answer:
        return "one-?" if "city: " in request["messages"][1]["content"] else answer_by_rules(request)

    origin.world.task = another_model
    shutil.rmtree(made.root / ".gepa/runs")
    _, compare, summarize = made.job(steps, GITHUB_STEP_SUMMARY=str(summary), GITHUB_ACTIONS="true")
    assert compare.returncode == 1, compare.stdout + compare.stderr
    assert "\n::error file=test_route.py," in compare.stdout
    assert summarize.returncode == 0
    assert "1 case proven worse than in the baseline nightly" in summary.read_text(encoding="utf-8")


@pytest.mark.thorough
def test_github_s_comment_is_made_once_and_then_kept_up_to_date(origin: Project, tmp_path: Path) -> None:
    made = pull_request(origin, tmp_path, BAD)
    recipe_steps = recipe("GH_TOKEN")["steps"]
    env = {"GITHUB_REPOSITORY": "we/it"}
    assert [done.returncode for done in made.job(recipe_steps, **env)] == [0]
    assert not Path(made.env["CALLS"]).exists()  # without a check there is nothing to say

    made.run("pytest --gepa-check --gepa-max-cost 2")
    report = next(made.root.glob(".gepa/runs/*/check.md")).relative_to(made.root)
    assert [done.returncode for done in made.job(recipe_steps, **env)] == [0]
    assert made.calls[-1] == f"gh pr comment 7 --repo we/it --body-file {report}"
    Path(made.env["COMMENT"]).write_text("4711\n", encoding="utf-8")
    assert [done.returncode for done in made.job(recipe_steps, **env)] == [0]
    assert made.calls[-1] == f"gh api --method PATCH repos/we/it/issues/comments/4711 --field body=@{report}"


@pytest.mark.thorough
def test_gitlab_s_check_leaves_its_reports(origin: Project, tmp_path: Path) -> None:
    made = pull_request(origin, tmp_path, BAD)
    job = recipe("merge_request_event")["prompts"]
    sha = made.git("rev-parse", "origin/main").stdout.strip()
    check = made.run("\n".join(job["script"]), CI_MERGE_REQUEST_DIFF_BASE_SHA=sha)
    assert check.returncode == 1, check.stdout + check.stderr
    assert made.run("\n".join(job["after_script"])).returncode == 0
    (finding,) = json.loads((made.root / job["artifacts"]["reports"]["codequality"]).read_text(encoding="utf-8"))
    assert (finding["severity"], finding["location"]) == ("major", {"path": PROMPT, "lines": {"begin": 4}})
    assert 'name="gepa_tier"' in (made.root / job["artifacts"]["reports"]["junit"]).read_text(encoding="utf-8")
    assert list(made.root.glob(job["artifacts"]["paths"][0]))
    rehearsal = recipe("CI_MERGE_REQUEST_SOURCE_PROJECT_ID != ")["rehearse"]["script"]
    done = keyless(made).run("\n".join(rehearsal), CI_MERGE_REQUEST_DIFF_BASE_SHA=sha)
    assert done.returncode == 1, done.stdout + done.stderr


@pytest.mark.thorough
def test_the_pre_push_hook_refuses_a_bad_edit(origin: Project, tmp_path: Path) -> None:
    made = clone(origin, tmp_path)
    hook = made.root / ".git/hooks/pre-push"
    (text,) = (block for block in blocks("sh") if block.startswith("#!/bin/sh"))
    hook.write_text(text, encoding="utf-8")
    hook.chmod(0o755)
    assert (
        made.run(f"git checkout -q -b edit && cat > {PROMPT} <<'EOT'\n{BAD}EOT\ngit commit -q -a -m edit").returncode
        == 0
    )
    pushed = made.git("push", "origin", "edit")
    assert pushed.returncode == 1
    assert "REGRESSED test_route.py::test_route[city-one]" in pushed.stdout + pushed.stderr
    assert not made.git("ls-remote", "origin", "edit").stdout
    assert made.git("push", "--no-verify", "origin", "edit").returncode == 0
    assert made.git("ls-remote", "origin", "edit").stdout


@pytest.mark.thorough
def test_the_hooks_of_pre_commit(origin: Project, tmp_path: Path) -> None:
    if importlib.util.find_spec("pre_commit") is None:
        pytest.skip("pre-commit is not installed")
    made = clone(origin, tmp_path)
    (text,) = (block for block in blocks("yaml") if "default_install_hook_types" in block)
    (made.root / ".pre-commit-config.yaml").write_text(text, encoding="utf-8")
    assert made.run("git checkout -q -b edit && git add -A && pre-commit install").returncode == 0
    # Nothing of a prompt: neither hook runs.
    committed = made.git("commit", "-m", "hooks")
    assert committed.returncode == 0, committed.stderr
    assert committed.stderr.count("Skipped") == 1
    (made.root / PROMPT).write_text(BAD, encoding="utf-8")
    committed = made.git("commit", "-a", "-m", "edit")
    assert committed.returncode == 0, committed.stderr
    assert "SUSPECT test_route.py::test_route[city-one]" in committed.stdout + committed.stderr
    pushed = made.git("push", "origin", "edit")
    assert pushed.returncode == 1
    assert "REGRESSED test_route.py::test_route[city-one]" in pushed.stdout + pushed.stderr
    assert [found["failed"] for found in made.checks()] == [False, True]


def test_the_first_look_refuses_no_commit_for_what_it_cannot_do(origin: Project, tmp_path: Path) -> None:
    made = clone(origin, tmp_path)
    (repository,) = recipe("default_install_hook_types")["repos"]
    (entry,) = (hook["entry"] for hook in repository["hooks"] if hook["id"] == "gepa-look")
    (made.root / PROMPT).write_text(BAD, encoding="utf-8")
    (made.root / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    look = made.run(entry)
    assert "the price of task is not known" in look.stdout + look.stderr
    assert look.returncode == 0
