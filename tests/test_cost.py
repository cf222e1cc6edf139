"""Whole runs under a cap on their cost: it is never passed, what was paid for is kept, what was spent is told."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_openai import Answer, Body
from tests.harness import (
    PROMPT,
    SDK_APP,
    TODAY,
    Project,
    Run,
    World,
    answer_by_rules,
    cases_of,
    new_project,
    no_request,
    propose_one_rule,
    propose_rules,
)

TASK, REFLECTOR = (2.0, 8.0), (5.0, 20.0)
"""USD per million tokens, of input and output."""
REQUEST = 0.004
"""Dollars for which room is reserved before a request of the task: its own text, and the longest answer."""

PRICES = (
    "gepa_prices =\n"
    f"    task input={TASK[0]} output={TASK[1]} max_output=200\n"
    f"    reflector input={REFLECTOR[0]} output={REFLECTOR[1]} max_output=400\n"
)
INI = f"[pytest]\ngepa_shrink = off\n{PRICES}"


class Till:
    """Answers as the world does, with a usage of its own, and counts what that comes to. `n`-th replies may fail."""

    def __init__(self, world: World, *, tokens: tuple[int, int] = (100, 50), fails_every: int = 0) -> None:
        self.nano = 0
        self.calls = 0
        self._tokens = tokens
        self._fails_every = fails_every
        world.task = lambda request: self._sell(request, answer_by_rules(request), TASK)
        world.reflect = lambda request: self._sell(request, propose_rules(request), REFLECTOR)

    def _sell(self, request: Body, said: Answer, price: tuple[float, float]) -> Answer:
        self.calls += 1
        entered, left = self._tokens
        self.nano += math.ceil(1000 * (entered * price[0] + left * price[1]))
        usage = {"prompt_tokens": entered, "completion_tokens": left}
        if self._fails_every and self.calls % self._fails_every == 0:
            return 500, {"error": {"message": "try again"}, "usage": usage}
        message = {"role": "assistant", "content": said}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return {
            "choices": choices,
            "usage": usage,
            "model": request["model"],
            "object": "chat.completion",
            "id": "x",
        }

    @property
    def usd(self) -> float:
        return self.nano / 1e9


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    for project in new_project(tmp_path / "service"):
        project.write({"pytest.ini": INI})
        yield project


def spent(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = run.result["spent"]
    return found


@pytest.mark.thorough
def test_a_run_tells_what_it_spent(project: Project) -> None:
    till = Till(project.world)
    run = project.optimize("--gepa-max-cost=1", "--gepa-trials=1", "--gepa-budget=150")
    assert run.code == 0, run.everything
    assert run.result["verdict"] == "proven"
    assert spent(run)["usd"] == pytest.approx(till.usd)
    assert set(spent(run)["usd_by_role"]) == {"task", "reflection"}
    assert sum(spent(run)["usd_by_role"].values()) == pytest.approx(till.usd)
    assert spent(run)["input_tokens"] == 100 * till.calls
    assert spent(run)["output_tokens"] == 50 * till.calls
    run.matches("gepa: 1 prompt, *budget 150 rollouts / $1.00 *", "spent * tokens, $0.0* of $1.00, *")
    # What a case costs is an objective of the search: 100 tokens at 2 and 50 at 8 dollars a million.
    baseline = next(record["event"] for record in run.records("event") if record["type"] == "Evaluated")
    assert [result["usd"] for result in baseline["results"].values()] == pytest.approx([0.0006] * 12)


@pytest.mark.thorough
def test_without_a_price_the_model_without_one_is_named(project: Project) -> None:
    project.write({"pytest.ini": "[pytest]\ngepa_prices = task input=2 output=8\n"})
    Till(project.world)
    run = project.optimize("--gepa-trials=1", "--gepa-budget=60")
    assert run.code == 0, run.everything
    assert spent(run)["usd"] is None
    assert spent(run)["unpriced"] == ["no price for reflector"]
    run.matches("spent * tokens, price unknown (no price for reflector), *")


@pytest.mark.parametrize(("cap", "fails_every"), [(0.02, 7), pytest.param(0.05, 0, marks=pytest.mark.thorough)])
def test_no_cap_is_passed(project: Project, cap: float, fails_every: int) -> None:
    till = Till(project.world, tokens=(400, 200), fails_every=fails_every)
    project.cases(cases_of(words=tuple("abcd")))
    project.write({"app.py": SDK_APP.replace("max_retries=0", "max_retries=2")})
    run = project.optimize(f"--gepa-max-cost={cap}", "--gepa-concurrency=4", "--gepa-trials=1")
    assert run.code == 0, run.everything
    assert 0 < till.usd <= cap
    assert spent(run)["usd"] == pytest.approx(till.usd)
    outcomes = {record["outcome"] for record in run.records("rollout")}
    assert outcomes <= {"passed", "failed", "stopped"}, "a retry mends what failed on the way"
    assert project.children() == []


@pytest.mark.thorough
def test_what_the_cap_stops_is_no_failure_and_is_said(project: Project) -> None:
    till = Till(project.world, tokens=(400, 200))
    run = project.optimize("--gepa-max-cost=0.014", "--gepa-trials=1")
    assert run.code == 0, run.everything
    assert 0 < till.usd <= 0.014
    stopped = [record for record in run.records("rollout") if record["outcome"] == "stopped"]
    assert stopped
    assert all(record["score"] is None for record in stopped)
    assert "the cost cap of $0.014 has no room for a request of up to" in run.result["search_ended"]
    assert "CostStop" not in run.out


def test_the_confirm_run_s_share_is_kept_from_the_search(project: Project) -> None:
    """The world never gets all cases right, so that the search goes on until its money ends."""
    till = Till(project.world)
    project.world.reflect = lambda request: _slow(till, request)
    run = project.optimize("--gepa-max-cost=0.1", "--gepa-trials=1", "--gepa-budget=4000")
    assert run.code == 0, run.everything
    assert "kept for the confirm run" in run.result["search_ended"]
    assert run.result["trials"] == 1, run.everything
    assert till.usd <= 0.1
    (kept,) = run.records("set aside")
    assert 0 < kept["usd"] < 0.1


def _slow(till: Till, request: Body) -> Answer:
    """The first rule helps; what comes then never does."""
    said = propose_one_rule(request)
    if len(till.__dict__.setdefault("said", [])) >= 1:
        said = json.dumps(
            {"diagnoses": [], "edits": [{"kind": "add", "find": "", "text": f"- Be kind, {till.calls}."}]}
        )
    till.said.append(said)  # type: ignore[attr-defined]
    return till._sell(request, said, REFLECTOR)


def test_a_reflection_model_without_a_price_is_an_error_before_anything_is_sent(project: Project) -> None:
    project.write({"pytest.ini": "[pytest]\ngepa_prices = task input=2 output=8 max_output=100\n"})
    run = project.optimize("--gepa-max-cost=1")
    assert run.code == 4
    assert no_request(run)
    assert "--gepa-max-cost needs the price of the reflection model reflector" in run.everything
    assert "gepa_prices: reflector input=... output=... max_output=..." in run.everything


def test_a_cap_without_room_for_one_reflection_is_an_error_before_anything_is_sent(project: Project) -> None:
    """A thousand tokens of input at 5 and 400 of an answer at 20 USD a million."""
    run = project.optimize("--gepa-max-cost=0.012")
    assert run.code == 4
    assert no_request(run)
    assert "--gepa-max-cost $0.012 has no room for a single request to the reflection model reflector" in run.everything
    assert "up to $0.013 is reserved" in run.everything


def test_a_task_model_without_a_price_ends_the_run_before_its_first_request(project: Project) -> None:
    project.write({"pytest.ini": "[pytest]\ngepa_prices = reflector input=2 output=8 max_output=100\n"})
    run = project.optimize("--gepa-max-cost=1")
    assert run.code == 4, run.everything
    assert no_request(run)
    assert "the price of task is not known, so --gepa-max-cost cannot be kept" in run.everything
    assert run.result["spent"]["usd"] == 0


@pytest.mark.thorough
def test_a_task_model_without_a_longest_answer_ends_the_run(project: Project) -> None:
    project.write({"pytest.ini": INI.replace("max_output=200", "")})
    run = project.optimize("--gepa-max-cost=1")
    assert run.code == 4, run.everything
    assert no_request(run)
    assert "a request to 'task' sets no max_tokens" in run.everything


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gepa_prices = task input=2", "input= and output= are needed"),
        ("gepa_max_cost = 0", "gepa_max_cost (pytest.ini): '0' is not valid; expected a number above 0"),
        ("gepa_max_cost = 1e10", "'1e10' is not valid; expected a number above 0, 1,000,000,000 at most"),
    ],
)
def test_settings_that_cannot_be_are_said(project: Project, text: str, told: str) -> None:
    project.write({"pytest.ini": f"[pytest]\n{text}\n"})
    run = project.optimize()
    assert run.code == 4
    assert no_request(run)
    pytest.LineMatcher(run.everything.splitlines()).fnmatch_lines([f"*{told}*"])


@pytest.mark.thorough
def test_a_run_that_the_cap_has_stopped_is_replayed_to_the_same_end(project: Project) -> None:
    till = Till(project.world, tokens=(400, 200))
    first = project.optimize("--gepa-max-cost=0.014", "--gepa-trials=1")
    assert "the cost cap" in first.result["search_ended"]
    paid = till.calls
    again = project.optimize("--gepa-replay=only", "--gepa-trials=1")
    assert again.code == 0, again.everything
    assert till.calls == paid
    assert again.result["search_ended"] == first.result["search_ended"]
    assert again.result["spent"]["usd"] == 0
    outcomes = [
        sorted((record["case"], record["outcome"]) for record in run.records("rollout")) for run in (first, again)
    ]
    assert outcomes[0] == outcomes[1]


@pytest.mark.thorough
def test_a_confirm_run_with_fewer_trials_for_want_of_money_is_replayed_with_as_many(project: Project) -> None:
    till = Till(project.world, tokens=(400, 200))
    sell = project.world.task

    def never_twice_the_same(request: Body) -> Answer:
        sold: dict[str, Any] = sell(request)  # type: ignore[assignment]
        message = sold["choices"][0]["message"]
        message["content"] += f" {till.calls}" * message["content"].endswith("?")
        return sold

    project.world.task = never_twice_the_same
    project.world.reflect = lambda request: _slow(till, request)
    first = project.optimize("--gepa-max-cost=0.3")
    assert first.records("run")[0]["budget"]["trials"] == 3
    assert first.result["trials"] < 3
    again = project.optimize("--gepa-replay=only")
    assert again.code == 0, again.everything
    for figure in ("verdict", "trials", "effect", "p_value"):
        assert again.result[figure] == first.result[figure]


@pytest.mark.thorough
def test_no_cap_is_passed_by_a_check_and_what_is_not_run_is_said(project: Project) -> None:
    till = Till(project.world, tokens=(400, 200))
    project.commit()
    project.write({PROMPT: TODAY + "Be polite.\n"})
    run = project.pytest("--gepa-check", "--gepa-max-cost=0.06", "--gepa-concurrency=4")
    assert run.code == 0, run.everything
    # What four requests in flight had reserved at most had no room any more.
    assert 0.06 - 4 * REQUEST < till.usd <= 0.06
    found = json.loads((run.directory / "check.json").read_text(encoding="utf-8"))
    assert found["spent"]["usd"] == pytest.approx(till.usd)
    assert (found["verdict"], found["failed"]) == ("not finished", False)
    assert found["stopped"].startswith("the cost cap of $0.06 has no room for a request of up to")
    assert not found["trouble"], "what the cap stops is no trouble of a case"
    assert not (run.directory / "recording").exists(), "a replay has no cap: it would ask for what was never asked"
    run.matches("verdict *not finished: the cost cap of $0.06 has no room for a request of up to *")
    rollouts = run.records("rollout")
    assert {record["outcome"] for record in rollouts} <= {"passed", "failed", "stopped"}
    assert project.children() == []
