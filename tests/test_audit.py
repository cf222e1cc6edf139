"""Audits: what the cases notice of a prompt, what that costs, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.audit.audit import Ablation, Audit, AuditState
from pytest_gepa.audit.plan import AuditPlan, PromptPlan
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.pieces import find_cuts
from pytest_gepa.report.audit_build import build_audit_result
from pytest_gepa.report.audit_listing import audit_markdown
from pytest_gepa.report.audit_result import AuditResult
from pytest_gepa.report.audit_text import audit_closing
from pytest_gepa.run.journal import Journal, read_journal
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory
from tests.fake_openai import Answer, Body
from tests.fake_suite import FakeSuite, interrupt_twice
from tests.harness import ALONE, PROMPT, TIMEOUT, Project, Run, answer_by_rules, newest_run, no_request, rule

PROMPTS = f"""\
Answer with the word and its mark.

- {rule("fruit")}
- {rule("animal")}
- {rule("tool")}
"""
TESTS = """\
import pytest

from app import route

CASES = [
    ("fruit", "one", "one-FRU"),
    ("animal", "one", "one-ANI"),
    ("animal", "One.", "one-CAT"),
{more}]


@pytest.mark.parametrize(("kind", "word", "expected"), CASES)
def test_route(kind, word, expected):
    assert route(kind, word) == expected


def test_some_answer():
    assert route("fruit", "two")


def test_bare():
    is_right = route("fruit", "three") == "three-FRU"
    assert is_right


def test_flaky():
    assert route("fruit", "flaky") == "flaky-FRU"
"""


TELLING = """\
def pytest_gepa_run_finished(result, directory, mode):
    print(f"told of {mode}: {len(result['prompts'])} prompt in {directory}")
"""


def audited(project: Project, *args: str, **kwargs: Any) -> Run:
    return project.pytest("--gepa-audit", "--gepa-concurrency=1", *args, **kwargs)


def coverage(run: Run) -> dict[str, Any]:
    (prompt,) = found(run)["prompts"]
    assert isinstance(prompt, dict)
    return prompt


def found(run: Run) -> dict[str, Any]:
    assert (run.directory / "audit.json").exists(), run.everything
    result: dict[str, Any] = json.loads((run.directory / "audit.json").read_text(encoding="utf-8"))
    return result


def every_second_is_wrong() -> Callable[[Body], Answer]:
    asked = 0

    def task(request: Body) -> Answer:
        nonlocal asked
        if request["messages"][1]["content"] != "fruit: flaky":
            return answer_by_rules(request)
        asked += 1
        return "flaky-FRU" if asked % 2 else "no"

    return task


@pytest.fixture
def desk(project: Project) -> Project:
    """A prompt of four pieces, and cases of which most have a fault."""
    project.write({PROMPT: PROMPTS, "test_route.py": TESTS.format(more="")})
    project.world.task = every_second_is_wrong()
    return project


def test_an_audit_tells_what_no_case_notices_and_which_cases_are_no_judges(desk: Project):
    plan = audited(desk, "--gepa-plan")
    assert plan.code == 0, plan.everything
    assert no_request(plan)
    plan.matches(
        "baseline *12 rollouts = 6 cases x 2 trials*",
        f"  {PROMPT}: 4 pieces; 5 texts x 6 cases = 30 rollouts",
        "all *at most 42 rollouts = 12 + 30*",
    )

    desk.write({"conftest.py": TELLING})
    run = audited(desk)
    assert run.code == 0, run.everything
    assert f"told of audit: {len(found(run)['prompts'])} prompt in {run.directory}" in run.out
    run.matches(
        "*gepa: auditing the cases*",
        "test_route.py ..F...*",  # today's prompts, as pytest shows them
        f"*{PROMPT} blanked: 3 of 4 cases notice",
        "prompt coverage      2 of 4 pieces noticed (50 %)",
        f"{PROMPT}*2 of 4 pieces noticed (50 %); blanked, 3 of 4 cases notice",
        f"  line 1 of {PROMPT}: no case notices",
        f"  line 5 of {PROMPT}: no case notices",
        "pass anyhow          1 case, whatever a prompt says: test_route.py::test_some_answer",
        "contradictory        alike inputs, different expectations: *one-ANI*one-CAT*",
        "flaky                test_route.py::test_flaky: passed 1 of 2 trials",
        "failure says nothing test_route.py::test_bare: assert False",
        "listing              .gepa/runs/*/audit.md",
    )
    result = found(run)
    pieces = coverage(run)["pieces"]
    assert [piece["state"] for piece in pieces] == ["unnoticed", "noticed", "noticed", "unnoticed"]
    assert pieces[2]["cases"] == ["test_route.py::test_route[animal-one-one-ANI]"]
    assert result["spent"]["rollouts"] == 12 + 5 * 4 == len(run.task_requests)
    listing = (run.directory / "audit.md").read_text(encoding="utf-8")
    assert f"    2 |   3 | - {rule('fruit')}" in listing
    assert f"    0 |   5 | - {rule('tool')}" in listing

    usage = json.loads((desk.root / ".gepa/usage.json").read_text(encoding="utf-8"))["cases"]
    assert len(usage) == 6
    assert all(known["digest"] for known in usage.values()), "else a case that is edited would count as known"
    assert desk.prompt() == PROMPTS


@pytest.mark.thorough
def test_a_case_for_a_line_that_none_noticed_notices_it_and_all_else_was_paid_for_once(desk: Project):
    audited(desk)
    desk.write({"test_route.py": TESTS.format(more='    ("tool", "one", "one-TOO"),\n')})
    again = audited(desk)
    assert again.code == 0, again.everything
    assert coverage(again)["pieces"][3]["cases"] == ["test_route.py::test_route[tool-one-one-TOO]"]
    assert all("tool" in request["messages"][1]["content"] for request in again.task_requests)
    assert desk.prompt() == PROMPTS


@pytest.mark.thorough
def test_what_the_budget_has_no_room_for_is_not_measured(desk: Project):
    run = audited(desk, "--gepa-budget=20")
    assert run.code == 0, run.everything
    assert len(run.task_requests) <= 20
    run.matches("  3 pieces not measured: the budget had no room for it")
    assert coverage(run)["whole"]["state"] == "noticed"


@pytest.mark.thorough
def test_an_audit_is_replayed_without_the_server(desk: Project):
    first = audited(desk, "--gepa-trials=1")
    shutil.rmtree(desk.root / ".gepa/cache")
    env = {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}
    again = audited(desk, "--gepa-trials=1", "--gepa-replay=only", "--gepa-max-cost=0.01", env=env)
    assert again.code == 0, again.everything
    assert no_request(again)
    again.matches("gepa: replaying *; nothing is sent", "prompt coverage *")
    assert found(again)["prompts"] == found(first)["prompts"]
    spent, before = found(again)["spent"], found(first)["spent"]
    assert (spent["rollouts"], spent["cached"]) == (0, before["rollouts"] + before["cached"])

    desk.write({PROMPT: PROMPTS + "\nBe brief.\n"})
    other = audited(desk, "--gepa-trials=1", "--gepa-replay=only", env=env)
    assert other.code == 4
    assert no_request(other)
    assert "asked for what is not recorded, and nothing was sent" in other.everything


@pytest.mark.thorough
def test_ctrl_c_keeps_what_was_found(desk: Project):
    usual, asked = desk.world.task, 0

    def task(request: Body) -> Answer:
        nonlocal asked
        asked += 1
        if asked == 18:  # of the first piece: 12 for the baseline, 4 for the blank
            desk.interrupt()
        return usual(request)

    desk.world.task = task
    run = audited(desk)
    assert run.code == 2, run.everything
    run.matches("INTERRUPTED *")
    assert coverage(run)["whole"]["state"] == "noticed"
    assert coverage(run)["pieces"][-1]["reason"] == "the audit was interrupted before"
    assert not desk.children()


def test_the_plan_of_a_replay_takes_its_stand_in_variables_from_a_recorded_audit(project: Project):
    """The clients of the test modules find the server that the audit had, as they do in the replay itself."""
    head = {
        "form": 2, "run": "2026-11-22-1.ab", "mode": "audit", "reflection_model": "", "settings": {},
        "environment": {"MISTRAL_BASE_URL": "http://replay.invalid/of-the-audit"},
    }  # fmt: skip
    project.write(
        {
            "gepa_recording/recording.json": json.dumps(head),
            "gepa_recording/order.json": json.dumps({"order": []}),
            "gepa_recording/charged.jsonl": "",
            "test_client.py": "import os\n\nassert os.environ['MISTRAL_BASE_URL'].endswith('of-the-audit')\n",
        }
    )
    run = audited(project, "--gepa-plan", "--gepa-replay=only")
    assert run.code == 0, run.everything


def test_modes_that_exclude_each_other_say_so(project: Project):
    run = audited(project, "--gepa-optimize")
    assert run.code == 4
    assert "--gepa-audit and --gepa-optimize exclude each other" in run.everything
    assert no_request(run)


SHOWN = re.findall(
    r"```(\w*)\n(.*?)```",
    (Path(__file__).parents[1] / "docs/audit.md")
    .read_text(encoding="utf-8")
    .partition("## A case for a line that none noticed")[2]
    .partition("\n## ")[0],
    re.DOTALL,
)
"""The blocks of the page by their language: the prompt, the command, before, the case, after, and the listing."""


@pytest.mark.thorough
def test_a_line_of_the_example_that_no_case_notices_gets_a_case_that_does(tmp_path: Path):
    """As `docs/audit.md` shows it."""
    example = Path(__file__).parents[1] / "example_project"
    root = tmp_path / "desk"
    shutil.copytree(example, root, ignore=shutil.ignore_patterns(".gepa", "__pycache__", ".pytest_cache"))
    prompt, command, before, case, after, listing = (text for _, text in SHOWN)
    (root / "prompts/classify.md").write_text(prompt, encoding="utf-8")

    def lines() -> set[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "GEPA_"))}
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(command.removeprefix("$ "))],
            cwd=root,
            env={**kept, "PYTEST_ADDOPTS": ALONE},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=TIMEOUT,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return {unnumbered(line) for line in done.stdout.splitlines()}

    def unnumbered(line: str) -> str:
        """Without a place in the order, which no line has for good where cases run at once."""
        return re.sub(r"^gepa: \[\d/3\] ", "", line)

    def shown(text: str) -> set[str]:
        return {unnumbered(line) for line in text.splitlines() if line.strip() not in ("", "...")}

    assert shown(before) <= lines()
    (root / "tests/test_spread_pro_forma.py").write_text(case, encoding="utf-8")
    assert shown(after) <= lines()
    assert listing in (newest_run(root) / "audit.md").read_text(encoding="utf-8")


# Without processes: the audit's own decisions, with a suite of functions.

TEXT = "First.\n\nSecond.\n\nThird.\n"
Answers = Callable[[str, str, str], "tuple[float, str]"]
"""Takes a case, the prompt's text and the trial; gives score and answer."""


def named(model: str) -> Functions:
    return Functions(["a"], lambda *_: (1.0, "x"), model=model)


class Functions(FakeSuite):
    """A suite whose cases are functions of the prompt's text."""

    def __init__(
        self,
        cases: Sequence[str],
        answers: Answers,
        uses: Mapping[str, tuple[str, ...]] | None = None,
        model: str = "m",
    ):
        super().__init__(self._rollout)
        self.cases = {name: Case(name, name) for name in cases}
        self._answers = answers
        self._uses = uses or {}
        self._model = model

    @property
    def ran(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Text, trial and cases of every call."""
        return [(asked.texts["p"], asked.trial, asked.cases) for asked in self.asked]

    def _rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        text = texts["p"]
        score, said = self._answers(case, text, trial)
        asked, answer = Message("system", text), Message("assistant", said)
        return Rollout(
            candidate,
            case,
            trial,
            Outcome.passed if score == 1 else Outcome.failed,
            score,
            Trajectory((Call(key=text, model=self._model, request=(asked,), answer=answer),)),
            charged=True,
            uses=self._uses.get(case, ("p",)),
        )


def ended(tmp_path: Path, suite: Functions, *, limit: int = 1000, minutes: float | None = None) -> AuditState:
    """What is known when an audit of these cases has ended."""
    plan = AuditPlan(len(suite.cases), 2, (PromptPlan("p", find_cuts(TEXT), len(suite.cases), False),), limit)
    journal = Journal(tmp_path / "journal.jsonl", str)
    told: list[Ablation] = []

    def tell(made: Ablation, state: AuditState) -> None:
        told.append(made)

    made = Audit(plan, {"p": TEXT}, suite, journal, 1, minutes, lambda _: None, tell)  # type: ignore[arg-type]
    try:
        made.run()
    finally:
        journal.close()
    return made.state


def audit(tmp_path: Path, suite: Functions, *, limit: int = 1000, minutes: float | None = None) -> AuditResult:
    state = ended(tmp_path, suite, limit=limit, minutes=minutes)
    return build_audit_result("r", state, list(suite.cases.values()), [Component("p", tmp_path / "p", TEXT)])


def states(result: AuditResult) -> list[str]:
    (prompt,) = result.prompts
    return [piece.state for piece in prompt.pieces]


def test_a_stopped_case_stops_the_audit_though_nobody_has_written_down_why(tmp_path: Path):
    suite = Functions(["a", "b"], lambda case, text, _: (1.0, "x"), {})
    runs = suite.run_case

    def run(candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        made = runs(candidate, texts, case, trial)
        if texts["p"] == TEXT or case == "a":
            return made
        return replace(made, outcome=Outcome.stopped, trajectory=Trajectory(failure="no room for the bill"))

    suite.run_case = run
    state = ended(tmp_path, suite)
    assert set(state.unmeasured.values()) == {"no room for the bill"}
    assert len({asked.texts["p"] for asked in suite.asked}) == 2


def test_cases_that_do_not_use_a_prompt_or_fail_today_are_not_run_without_it(tmp_path: Path):
    suite = Functions(
        ["a", "other", "fails"],
        lambda case, text, _: (0.0 if case == "fails" else float("Second" in text), "x"),
        {"other": ()},
    )
    result = audit(tmp_path, suite)
    assert {cases for text, _, cases in suite.ran if text != TEXT} == {("a",)}
    assert states(result) == ["unnoticed", "noticed", "unnoticed"]
    assert (result.prompts[0].users, result.prompts[0].able, result.failing) == (2, 1, ("fails",))


class ReadOnce(Functions):
    """The first case reads the prompt, which the process keeps; what is made of it is not seen."""

    def _rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        run = replace(super()._rollout(candidate, texts, case, trial), trajectory=Trajectory(), uses=())
        if case == "a":
            return replace(run, reads=("p",))
        return replace(run, imported=("p",), carried=("p",)) if case == "b" else run


def test_a_prompt_that_is_read_once_for_a_process_is_left_out_for_its_later_cases_too(tmp_path: Path):
    suite = ReadOnce(["a", "b", "c"], lambda case, text, _: (float("Second" in text or case == "a"), "x"))
    result = audit(tmp_path, suite)
    assert {case for text, _, cases in suite.ran if text != TEXT for case in cases} == {"a", "b"}
    assert states(result) == ["unnoticed", "noticed", "unnoticed"]


def test_whole_prompts_go_first_and_a_budget_is_never_passed(tmp_path: Path):
    suite = Functions(["a", "b"], lambda case, text, _: (float("First" in text), "x"))
    result = audit(tmp_path, suite, limit=9)
    assert result.spent.rollouts <= 9
    assert result.prompts[0].whole is not None
    assert result.prompts[0].whole.cases == ("a", "b")
    assert states(result) == ["noticed", "not measured", "not measured"]


def test_of_a_case_whose_answers_vary_a_drop_counts_when_it_comes_twice(tmp_path: Path):
    def answers(case: str, text: str, trial: str) -> tuple[float, str]:
        if "Second" not in text:
            return 0.0, trial  # it is needed
        return float(not ("Third" not in text and trial == "audit/0")), trial  # chance, once

    suite = Functions(["a"], answers)
    result = audit(tmp_path, suite)
    assert states(result) == ["unnoticed", "noticed", "unnoticed"]
    assert sum(trial == "audit/1" for _, trial, _ in suite.ran) == 1 + 3  # today, the blank, two of the pieces


def test_a_drop_whose_second_run_was_not_made_is_not_measured(tmp_path: Path):
    def answers(case: str, text: str, trial: str) -> tuple[float, str]:
        return float("Third" in text), trial

    # Today twice, the blank twice, and each of the three pieces once.
    result = audit(tmp_path, Functions(["a"], answers), limit=7)
    assert states(result) == ["unnoticed", "unnoticed", "not measured"]
    assert "has no second run" in result.prompts[0].pieces[2].reason


def test_a_score_must_drop_by_more_than_it_varies(tmp_path: Path):
    def answers(case: str, text: str, trial: str) -> tuple[float, str]:
        noise = 0.1 if trial == "audit/1" else 0.0
        return (0.8 if "First" in text else 0.65 if text.strip() else 0.2) + noise, "x"

    result = audit(tmp_path, Functions(["a"], answers))
    assert states(result)[0] == "unnoticed"
    assert result.prompts[0].whole is not None
    assert result.prompts[0].whole.state == "noticed"
    assert result.flaky[0].case == "a"


def test_after_the_minutes_nothing_new_is_begun(tmp_path: Path):
    suite = Functions(["a"], lambda case, text, _: (1.0, "x"))
    result = audit(tmp_path, suite, minutes=1e-9)
    assert states(result) == ["not measured"] * 3
    assert not [text for text, _, _ in suite.ran if text != TEXT]


def test_an_audit_knows_that_the_minutes_have_cut_it_short(tmp_path: Path):
    """It leaves no recording then: a replay has its own clock, and would ask for what was never asked."""
    assert ended(tmp_path, named("m"), minutes=1e-9).is_out_of_time
    assert not ended(tmp_path, named("m"), minutes=60).is_out_of_time


def test_a_simulated_model_is_called_one_wherever_its_figures_are(tmp_path: Path):
    result = audit(tmp_path, named("simulated-desk"))
    said = "simulated: the figures say nothing about a real model"
    assert f"model                simulated-desk, {said}" in audit_closing(result, "run")
    assert f"The model is {said}." in audit_markdown(result)
    real = audit(tmp_path, named("a-real-one"))
    assert said not in "".join([*audit_closing(real, "run"), audit_markdown(real)])


def test_a_prompt_that_no_case_uses_is_told(tmp_path: Path):
    result = audit(tmp_path, Functions(["a"], lambda *_: (1.0, "x"), {"a": ()}))
    assert result.prompts[0].users == 0
    assert states(result) == ["unnoticed"] * 3


def test_a_second_ctrl_c_while_an_audit_stops_does_not_lose_what_was_paid_for(tmp_path: Path):
    suite, usual = Functions(["a", "b"], lambda *_: (1.0, "x")), signal.getsignal(signal.SIGINT)
    interrupt_twice(suite)
    with pytest.raises(KeyboardInterrupt):
        ended(tmp_path, suite)
    assert [one["record"] for one in read_journal(tmp_path / "journal.jsonl")] == ["rollout"]
    assert signal.getsignal(signal.SIGINT) is usual
