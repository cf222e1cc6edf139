"""Optimizations that were cut off and resumed: nothing is paid for twice, and the course is the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa import __version__
from pytest_gepa.cli import main
from pytest_gepa.errors import ResumeError
from pytest_gepa.prompts.components import Component
from pytest_gepa.run.history import read_history
from pytest_gepa.run.journal import Journal
from pytest_gepa.run.recording import IN_RUN, UNFINISHED
from pytest_gepa.run.resume import EarlierRun, find_earlier
from pytest_gepa.settings import Settings
from pytest_gepa.suite.charges import Charge
from pytest_gepa.suite.rollout import Case
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.keys import stored_key
from pytest_gepa.trace.stored import StoredAnswer
from tests.check_world import world_settings
from tests.fake_openai import Answer, Body, FakeOpenAI
from tests.harness import (
    PROMPT,
    Project,
    Run,
    answer_by_rules,
    cases_of,
    new_project,
    no_request,
    propose_one_rule,
)

USUAL = ("--gepa-reflection-model=reflector", "--gepa-concurrency=1")


def requests(*runs: Run) -> Counter[str]:
    """How often each request was made, of the task model and of the reflection model."""
    return Counter(
        json.dumps(request, sort_keys=True) for run in runs for request in (*run.task_requests, *run.reflections)
    )


def resume(project: Project, *args: str, **kwargs: Any) -> Run:
    return project.pytest("--gepa-resume", *USUAL, *args, **kwargs)


def cut_off(
    project: Project,
    at: int,
    cut: Callable[[], None],
    *,
    reflection: bool = True,
    begin: Callable[[Project], Run] = lambda project: project.optimize("--gepa-trials=1"),
) -> Run:
    """A run that ends at its `at`-th reflection or else rollout, by what `cut` does meanwhile."""
    world = project.world

    def reflect(request: Body) -> Answer:
        if reflection and len(world.reflections) == at:
            cut()
        return propose_one_rule(request)

    def task(request: Body) -> Answer:
        if not reflection and len(world.task_requests) == at:
            cut()
        return answer_by_rules(request)

    world.reflect, world.task = reflect, task
    run = begin(project)
    world.reflect, world.task = propose_one_rule, answer_by_rules
    assert run.directory  # the newest now, and no more when another has begun
    return run


@dataclass(frozen=True)
class Story:
    """The same optimization whole, and cut off at its third reflection and resumed."""

    whole: Run
    first: Run
    second: Run
    project: Project


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    for project in new_project(tmp_path_factory.mktemp("resume") / "project"):
        project.world.reflect = propose_one_rule
        whole = project.copy("whole").optimize("--gepa-trials=1")
        first = cut_off(project, 3, project.interrupt)
        second = resume(project)
        assert second.directory
        yield Story(whole, first, second, project)


def test_a_run_that_was_interrupted_says_how_to_go_on_with_it(story: Story) -> None:
    assert story.first.code == 2
    story.first.matches("verdict*not confirmed*", "go on*--gepa-resume in place of --gepa-optimize*")
    assert "go on" not in story.whole.out


def test_what_it_had_found_is_kept_as_not_confirmed(story: Story) -> None:
    patches = story.first.patches
    assert {path.parent.name for path in patches} == {"frontier"}
    patch = story.project.root / story.first.result["patch"]
    assert patch in patches
    assert "NOT CONFIRMED" in patch.read_text(encoding="utf-8").partition("diff --git")[0]
    assert "git apply" not in story.first.everything
    assert story.project.children() == []
    checked = story.project.copy("checked")
    checked.commit()
    checked.git("apply", "--check", str(patch))
    assert story.first.journal[-1]["record"] == "result"


def test_a_journal_tells_the_version_of_the_package(story: Story) -> None:
    assert story.first.records("run")[0]["pytest_gepa"] == __version__


def test_it_is_gone_on_with_to_the_end_that_it_would_have_come_to(story: Story) -> None:
    assert story.second.code == 0, story.second.everything
    assert story.second.result["verdict"] == story.whole.result["verdict"] == "proven"
    assert story.second.best_patch.read_bytes() == story.whole.best_patch.read_bytes()
    assert story.second.directory != story.first.directory


def test_its_recording_has_the_name_of_its_own_directory(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    name = story.second.directory.name
    root = story.project.root
    assert main(["record", name, "--rootdir", str(root)]) == 0
    assert f"Run {name} is recorded" in capsys.readouterr().out
    head = json.loads((root / "gepa_recording" / "recording.json").read_text("utf-8"))
    shutil.rmtree(root / "gepa_recording")
    assert head["directory"] == name


def test_nothing_is_asked_twice_but_what_was_under_way(story: Story) -> None:
    twice = requests(story.first, story.second) - requests(story.whole)
    assert twice.total() <= 1
    assert not requests(story.whole) - requests(story.first, story.second)


def test_what_was_paid_before_counts_against_the_budget_and_is_told_apart(story: Story) -> None:
    before, after = story.first.result["spent"], story.second.result["spent"]
    paid = [len(run.reflections) for run in (story.first, story.second)]
    assert [before["reflections"], after["reflections"]] == paid
    resumed = story.second.result["resumed"]
    told = {"run": story.first.directory.name, "paid": before["rollouts"], "usd": 0.0, "usd_is_least": True}
    assert resumed == told
    assert before["rollouts"] > 0
    assert before["rollouts"] + after["rollouts"] == story.whole.result["spent"]["rollouts"]
    assert after["cached"] >= before["rollouts"]
    name = story.first.directory.name
    story.second.matches(
        f"gepa: going on with {name}, which has paid for {before['rollouts']} rollouts*",
        f"resumed*{name}, which had paid for {before['rollouts']} rollouts",
    )
    for report in ("report.md", "report.html"):
        assert f"Went on with {name}" in (story.second.directory / report).read_text("utf-8")


def test_how_long_calls_took_is_known_of_stored_answers_too_as_the_frontier_goes_by_it(story: Story) -> None:
    def seconds(run: Run) -> dict[tuple[str, str, str], float]:
        return {
            (one["candidate"], one["case"], one["trial"]): one["model_seconds"]
            for one in run.records("rollout")
            if one["trial"].startswith("search/")
        }

    first, second = seconds(story.first), seconds(story.second)
    assert len(first) >= 12
    assert None not in first.values()
    assert {place: second[place] for place in first} == first


@pytest.mark.thorough
def test_what_was_gone_on_with_can_be_replayed(story: Story) -> None:
    replay = story.project.optimize("--gepa-trials=1", "--gepa-replay=only")
    assert replay.code == 0, replay.everything
    assert no_request(replay)
    assert replay.result["verdict"] == "proven"
    assert replay.best_patch.read_bytes() == story.whole.best_patch.read_bytes()


@pytest.mark.thorough
def test_a_run_whose_process_died_is_gone_on_with(project: Project) -> None:
    project.world.reflect = propose_one_rule
    whole = project.copy("whole").optimize("--gepa-trials=1")
    first = cut_off(project, 2, lambda: os.killpg(project.pid, signal.SIGKILL))
    assert not (first.directory / "result.json").exists()
    second = resume(project)
    assert second.result["verdict"] == "proven", second.everything
    assert second.best_patch.read_bytes() == whole.best_patch.read_bytes()
    assert (requests(first, second) - requests(whole)).total() <= 1


@pytest.mark.thorough
def test_what_a_case_had_paid_for_before_it_was_run_again_counts(project: Project) -> None:
    world = project.world
    world.reflect = propose_one_rule
    whole = project.copy("whole").optimize("--gepa-trials=1")
    world.forget()

    def task(request: Body) -> Answer:
        is_late = len(world.task_requests) in (2, 5)
        # A timeout at a gateway: the model behind it may have answered, and is paid for it.
        return (504, {"error": {"message": "try again"}}) if is_late else answer_by_rules(request)

    def cut(request: Body) -> Answer:
        if len(world.reflections) == 2:
            project.interrupt()
        return propose_one_rule(request)

    world.task, world.reflect = task, cut
    first = project.optimize("--gepa-trials=1")
    world.task, world.reflect = answer_by_rules, propose_one_rule
    retries = [record["event"] for record in first.records("event") if record["type"] == "Retried"]
    assert sum(retry["charged"] for retry in retries) == 2
    paid = first.result["spent"]["rollouts"]
    second = resume(project)
    assert second.result["resumed"]["paid"] == paid
    assert paid + second.result["spent"]["rollouts"] == whole.result["spent"]["rollouts"] + 2
    assert second.best_patch.read_bytes() == whole.best_patch.read_bytes()


@pytest.mark.thorough
def test_servers_may_have_moved_meanwhile(project: Project) -> None:
    """As one that a conftest starts for each session, at a port that is free."""
    project.world.reflect = propose_one_rule
    whole = project.copy("whole").optimize("--gepa-trials=1")
    first = cut_off(project, 2, project.interrupt)
    assert (first.directory / "answers").is_dir()
    with FakeOpenAI(project.world.reply) as other:
        second = resume(project, env={"OPENAI_BASE_URL": other.base_url})
    assert (requests(first, second) - requests(whole)).total() <= 1
    assert second.best_patch.read_bytes() == whole.best_patch.read_bytes()
    assert not any((run.directory / "answers").exists() for run in (first, second))


@pytest.mark.thorough
def test_a_confirm_run_that_was_cut_off_is_gone_on_with(project: Project) -> None:
    project.world.reflect = propose_one_rule
    whole = project.copy("whole").optimize("--gepa-trials=1")
    asked = len(whole.task_requests)
    first = cut_off(project, asked - 4, project.interrupt, reflection=False)
    assert first.result["verdict"] == "not confirmed"
    second = resume(project)
    assert second.result["verdict"] == "proven"
    assert not second.reflections
    assert 4 <= len(second.task_requests) <= 6
    assert second.result["p_value"] == whole.result["p_value"]


AT_ONCE = """\
from pytest_gepa.suite import evaluate

evaluate.BACKOFF_SECONDS = evaluate.OUTAGE_SECONDS = (0.0, 0.0)
"""
DOWN: Answer = (503, {"error": {"message": "out of order"}})


@pytest.mark.thorough
def test_a_confirm_run_whose_server_had_gone_is_gone_on_with(project: Project) -> None:
    world = project.world
    world.reflect = propose_one_rule
    project.write({"conftest.py": AT_ONCE})
    whole = project.copy("whole").optimize("--gepa-trials=1")
    searched = len(whole.task_requests) - 2 * len(cases_of())
    world.task = lambda request: DOWN if len(world.task_requests) > searched else answer_by_rules(request)
    first = project.optimize("--gepa-trials=1")
    assert (first.code, first.result["verdict"]) == (0, "not confirmed"), first.everything
    assert "no case gave evidence in trial 1; the first failure: " in first.result["reason"]
    world.task = answer_by_rules
    second = resume(project)
    assert second.result["verdict"] == "proven", second.everything
    assert not second.reflections
    assert second.result["p_value"] == whole.result["p_value"]


@pytest.mark.thorough
def test_a_baseline_in_which_the_server_was_down_is_made_good_before_anything_is_edited(
    project: Project,
) -> None:
    world, lost = project.world, {f"{kind}: {word}" for kind, word in cases_of()[:10]}

    def task(request: Body) -> Answer:
        return DOWN if request["messages"][1]["content"] in lost else answer_by_rules(request)

    world.reflect = propose_one_rule
    project.write({"conftest.py": AT_ONCE})
    world.task = task
    first = project.optimize("--gepa-trials=1")
    assert first.code == pytest.ExitCode.USAGE_ERROR, first.everything
    assert "10 of 12 cases ended in trouble under today's prompts: " in first.err
    assert (first.result["verdict"], first.reflections) == ("not confirmed", [])
    world.task = answer_by_rules
    second = resume(project)
    assert (second.code, second.result["verdict"]) == (0, "proven"), second.everything
    assert second.result["resumed"]["paid"] == first.result["spent"]["rollouts"]


@pytest.mark.thorough
def test_with_several_cases_in_flight_nothing_is_paid_for_twice_either(project: Project) -> None:
    cut_off(project, 2, project.interrupt)
    again = project.pytest("--gepa-resume", "--gepa-reflection-model=reflector", "--gepa-concurrency=6")
    assert again.result["verdict"] == "proven"
    limit = again.records("run")[0]["budget"]["limit"]
    assert again.result["spent"]["rollouts"] + again.result["resumed"]["paid"] <= limit


@pytest.mark.thorough
def test_one_that_was_gone_on_with_and_cut_off_again_is_gone_on_with(project: Project) -> None:
    project.world.reflect = propose_one_rule
    whole = project.copy("whole").optimize("--gepa-trials=1")
    first = cut_off(project, 2, project.interrupt)
    second = cut_off(project, 3, project.interrupt, reflection=False, begin=resume)
    assert second.directory != first.directory
    assert second.code == 2
    third = resume(project)
    assert third.best_patch.read_bytes() == whole.best_patch.read_bytes()
    spent = sum(run.result["spent"]["rollouts"] for run in (first, second, third))
    # An answer that comes in the very moment of an interrupt is stored, and counted by nobody.
    assert 0 <= whole.result["spent"]["rollouts"] - spent <= 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--gepa-seed=4"], "began with --gepa-seed 0"),
        (["--gepa-replay=off"], "--gepa-resume goes on from stored answers"),
        (["--gepa-check"], "exclude each other"),
        (["-k", "fruit"], "9 cases are not as they were when the run began: *(is gone)"),
    ],
)
def test_what_would_have_it_go_another_way_is_refused(interrupted: Project, args: list[str], said: str) -> None:
    run = interrupted.pytest("--gepa-resume", *args)
    assert run.code == 4
    assert no_request(run)
    pytest.LineMatcher(run.err.splitlines()).fnmatch_lines([f"*{said}*"])


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a run that was cut off at its first reflection."""
    for project in new_project(tmp_path_factory.mktemp("interrupted") / "project"):
        cut_off(project, 1, project.interrupt)
        yield project


@pytest.mark.thorough
def test_settings_are_those_with_which_it_began(project: Project) -> None:
    world = project.world

    def cut(request: Body) -> Answer:
        project.interrupt()
        return propose_one_rule(request)

    world.reflect = cut
    project.optimize("--gepa-trials=2", "--gepa-seed=7", "--gepa-budget=130")
    world.reflect = propose_one_rule
    project.write({"pytest.ini": "[pytest]\ngepa_shrink = off\ngepa_seed = 3\n"})
    run = project.pytest("--gepa-resume", "--gepa-seed=7", env={"GEPA_REFLECTION_MODEL": "other"})
    assert run.result["seed"] == 7
    assert run.result["models"]["reflection"] == ["reflector"]
    assert run.records("run")[0]["budget"]["limit"] == 130
    assert run.records("confirm")[0]["trials"] == 2


# What cannot be resumed, told by the journal alone


def settings_of(**changed: Any) -> Settings:
    usual = {"mode": "optimize", "rootdir": Path(), "prompts_base": Path(), "replay": "auto"}
    return world_settings(**{**usual, **changed})


def begun(root: Path, name: str = "2026-11-22-1", **changed: Any) -> Journal:
    """The beginning of a run's journal."""
    directory = root / ".gepa/runs" / name
    directory.mkdir(parents=True)
    journal = Journal(directory / "journal.jsonl", str)
    about: dict[str, Any] = {
        "run": f"{changed.get('resumes') or name}.abcd",
        "settings": settings_of(),
        "cases": [Case("t.py::a", "t.py::a", "def a(): ..."), Case("t.py::b", "t.py::b")],
        "components": {PROMPT: "Do it.\n"},
        "reflection_model": "reflector",
        "resumes": "",
        "ancestor": {},
        **changed,
    }
    journal.write("run", **about)
    return journal


def ended(root: Path, name: str, verdict: str, usd: float | None = None, **changed: Any) -> None:
    journal = begun(root, name, **changed)
    journal.write("result", result={"verdict": verdict, "spent": {"usd": usd}})
    journal.close()


def earlier(root: Path, **changed: Any) -> EarlierRun:
    begun(root, **changed).close()
    return find_earlier(root)


def test_where_there_is_none_it_is_said_how_to_begin_one(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="begin one with --gepa-optimize"):
        find_earlier(tmp_path)


def test_an_unknown_run_is_told_with_the_newest(tmp_path: Path) -> None:
    ended(tmp_path, "2026-11-22-1", "not confirmed")
    with pytest.raises(
        ResumeError,
        match=r"no optimization '2020-01-01-1' in .* that can be resumed; newest: 2026-11-22-1",
    ):
        find_earlier(tmp_path, "2020-01-01-1")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("seed", 4, "with --gepa-seed 0"),
        ("budget", 99, "without --gepa-budget"),
        ("max_broken", 1, "with --gepa-max-broken 0"),
        ("reflection_model", "other", "with --gepa-reflection-model reflector"),
    ],
)
def test_what_is_typed_and_another_is_refused(tmp_path: Path, name: str, value: Any, said: str) -> None:
    found = earlier(tmp_path)
    settings = world_settings(**{"mode": "resume", "rootdir": tmp_path, name: value})
    with pytest.raises(ResumeError, match=f"2026-11-22-1 began {said}; a run goes on as it began"):
        found.as_it_began(settings, lambda typed: typed == name)
    assert found.as_it_began(settings, _untyped).reflection_model == "reflector"


@pytest.mark.parametrize("verdict", ["proven", "not proven", "worse", "nothing to do"])
def test_a_run_that_came_to_its_end_is_not_gone_on_with(tmp_path: Path, verdict: str) -> None:
    ended(tmp_path, "2026-11-22-1", verdict)
    with pytest.raises(ResumeError, match=rf"2026-11-22-1 has come to its end \({verdict}\)"):
        find_earlier(tmp_path)


def test_the_newest_without_a_verdict_is_gone_on_with_unless_one_is_named(tmp_path: Path) -> None:
    ended(tmp_path, "2026-11-22-9", "not confirmed")
    ended(tmp_path, "2026-11-22-10", "not confirmed")
    ended(tmp_path, "2026-11-22-11", "proven")
    ended(tmp_path, "2026-11-23-1", "not finished", settings=settings_of(mode="check"))
    for number, replay in enumerate(("only", "off"), 2):
        ended(tmp_path, f"2026-11-23-{number}", "not confirmed", settings=settings_of(replay=replay))
    assert find_earlier(tmp_path).directory_name == "2026-11-22-10"
    assert find_earlier(tmp_path, "2026-11-22-9").directory_name == "2026-11-22-9"


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on files here")
def test_a_run_that_still_goes_on_is_left_alone(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    with pytest.raises(ResumeError, match="2026-11-22-1 is still going on"):
        find_earlier(tmp_path)
    journal.close()
    assert find_earlier(tmp_path).directory_name == "2026-11-22-1"


@pytest.mark.parametrize("text", ['{"n": 1, "record": "run", "settings": {"mode": "optimize"}}\n', ""])
def test_a_journal_of_another_form_is_told(tmp_path: Path, text: str) -> None:
    begun(tmp_path).close()
    (tmp_path / ".gepa/runs/2026-11-22-1/journal.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ResumeError, match=r"begin (a new )?one with --gepa-optimize"):
        find_earlier(tmp_path)


def test_the_last_line_of_a_run_that_died_may_be_cut_off(tmp_path: Path) -> None:
    begun(tmp_path).close()
    with (tmp_path / ".gepa/runs/2026-11-22-1/journal.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"n": 2, "record": "rollo')
    assert find_earlier(tmp_path).paid == 0


def rollout(
    journal: Journal,
    case: str,
    *,
    charged: bool,
    outcome: str = "passed",
    trial: str = "search/0",
    in_vain: int = 0,
) -> None:
    seconds = 0.5 if charged else None
    about = {"candidate": "c", "case": case, "trial": trial, "outcome": outcome, "in_vain": in_vain}
    journal.write("rollout", **about, charged=charged, model_seconds=seconds)


def test_charges_and_order_are_read_and_what_stopped_the_search_is_not_in_the_way(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    rollout(journal, "a", charged=True)
    rollout(journal, "b", charged=False)
    rollout(journal, "d", charged=True, outcome="stopped")
    for kind, event in (
        ("Evaluated", {"candidate": "c"}),
        ("Retrying", {"rollouts": 1}),
        ("Closing", {"reason": "the 2 minutes are over"}),
        ("Reflected", {"proposal": "p1"}),
    ):
        journal.write("event", type=kind, event=event)
    journal.close()
    found = find_earlier(tmp_path)
    assert found.paid == 2
    assert found.history.charges == {
        ("c", "a", "search/0"): Charge(charged=True, seconds=0.5),
        ("c", "b", "search/0"): Charge(charged=False),
        ("c", "d", "search/0"): Charge(charged=True, stopped=True, seconds=0.5),
    }
    assert found.history.course == ("Evaluated c", "Reflected p1")
    assert found.history.order == ("Evaluated c", "Closing the 2 minutes are over", "Reflected p1")


def test_attempts_that_were_paid_for_and_run_again_are_counted_and_taken_from_run_to_run(
    tmp_path: Path,
) -> None:
    first = begun(tmp_path, "2026-11-22-1")
    rollout(first, "a", charged=True, in_vain=1)
    rollout(first, "b", charged=False, in_vain=2, trial="2026-11-22-1.abcd/confirm/0")
    first.close()
    assert find_earlier(tmp_path).paid == 4
    second = begun(tmp_path, "2026-11-22-2", resumes="2026-11-22-1")
    rollout(second, "a", charged=True, in_vain=1)
    rollout(second, "c", charged=True, in_vain=1)
    second.close()
    found = find_earlier(tmp_path)
    assert found.paid == 6
    assert found.history.charges["c", "a", "search/0"].in_vain == 1


def test_attempts_count_of_which_the_last_one_never_came(tmp_path: Path) -> None:
    first = begun(tmp_path, "2026-11-22-1")
    for case, paid in (("a", 1), ("a", 2), ("b", 1)):
        first.write("attempt", candidate="c", case=case, trial="search/0", paid=paid)
    rollout(first, "b", charged=True, in_vain=1)
    first.close()
    found = find_earlier(tmp_path)
    assert found.paid == 4
    assert found.history.charges["c", "a", "search/0"] == Charge(trouble=True, in_vain=2)


def test_what_the_newer_run_says_was_paid_for_holds_what_the_older_one_had_paid_for(tmp_path: Path) -> None:
    first = begun(tmp_path, "2026-11-22-1")
    rollout(first, "a", charged=True, outcome="timeout")
    first.close()
    second = begun(tmp_path, "2026-11-22-2", resumes="2026-11-22-1")
    rollout(second, "a", charged=False, in_vain=1)
    second.close()
    assert find_earlier(tmp_path).paid == 1


def test_a_single_rollout_is_told_as_one(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    rollout(journal, "a", charged=True)
    journal.close()
    assert "which has paid for 1 rollout; that counts against the budget" in find_earlier(tmp_path).note


def test_a_search_that_was_over_is_not_taken_up_again(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    journal.write("event", type="Closing", event={"reason": "the 2 minutes are over"})
    journal.write("confirm", winner="c", rivals=[], trials=1)
    journal.close()
    assert find_earlier(tmp_path).history.course == ("Closing the 2 minutes are over",)


def test_what_stopped_a_run_before_it_had_a_winner_need_not_be_its_end(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    journal.write("event", type="Stopped", event={"reason": "the cost cap of $1.00 is reached"})
    journal.write("result", result={"verdict": "not proven", "spent": {"usd": 1.0}})
    journal.close()
    assert find_earlier(tmp_path).history.course == ()


def test_one_that_went_on_with_another_has_paid_for_what_both_have(tmp_path: Path) -> None:
    first = begun(tmp_path, "2026-11-22-1")
    for case in ("a", "b", "c"):
        rollout(first, case, charged=True)
        first.write("event", type="Evaluated", event={"candidate": case})
    first.write("result", result={"verdict": "not confirmed", "spent": {"usd": 0.25}})
    first.close()
    second = begun(tmp_path, "2026-11-22-2", resumes="2026-11-22-1")
    rollout(second, "a", charged=False)
    second.write("result", result={"verdict": "not confirmed", "spent": {"usd": 0.5, "usd_at_most": 0.75}})
    second.close()
    found = find_earlier(tmp_path)
    assert found.paid == 3
    assert found.usd == 1.0
    assert found.history.course == ("Evaluated a", "Evaluated b", "Evaluated c")
    assert found.history.charges["c", "a", "search/0"] == Charge(charged=True, seconds=0.5)
    assert find_earlier(tmp_path, "2026-11-22-1").directory_name == "2026-11-22-2"


def left(journal: Journal, *candidates: str) -> None:
    """Results of the search, as they came in."""
    for candidate in candidates:
        journal.write("event", type="Evaluated", event={"candidate": candidate})


def test_the_course_is_that_of_the_newer_run_where_that_had_a_winner(tmp_path: Path) -> None:
    first = begun(tmp_path, "2026-11-22-1")
    left(first, "a", "b", "c")
    first.close()
    second = begun(tmp_path, "2026-11-22-2", resumes="2026-11-22-1")
    left(second, "a", "d")
    second.write("confirm", winner="d", rivals=[], trials=1)
    second.close()
    assert find_earlier(tmp_path).history.course == ("Evaluated a", "Evaluated d")


def test_the_course_is_that_of_the_older_run_where_only_that_had_a_winner(tmp_path: Path) -> None:
    first = begun(tmp_path, "2026-11-22-1")
    left(first, "a")
    first.write("event", type="Closing", event={"reason": "the 2 minutes are over"})
    first.write("confirm", winner="a", rivals=[], trials=1)
    first.close()
    second = begun(tmp_path, "2026-11-22-2", resumes="2026-11-22-1")
    left(second, "a", "b", "c")
    second.close()
    assert find_earlier(tmp_path).history.course == ("Evaluated a", "Closing the 2 minutes are over")


@pytest.mark.parametrize("name", ["", "2026-11-23-1"])
def test_a_clock_that_was_set_back_between_two_runs_hides_neither(tmp_path: Path, name: str) -> None:
    first = begun(tmp_path, "2026-11-23-1")
    rollout(first, "a", charged=True)
    first.close()
    second = begun(tmp_path, "2026-11-22-5", resumes="2026-11-23-1")
    rollout(second, "b", charged=True)
    second.close()
    found = find_earlier(tmp_path, name)
    assert (found.directory_name, found.paid) == ("2026-11-22-5", 2)


@pytest.mark.parametrize("name", ["", "2026-11-22-1", "2026-11-22-2"])
def test_runs_of_which_each_went_on_with_the_other_are_read_once_each(tmp_path: Path, name: str) -> None:
    """As where the first was deleted, and another one had its number then."""
    for number, other in ((1, 2), (2, 1)):
        journal = begun(tmp_path, f"2026-11-22-{number}", run="2026-11-22-1.aaaa", resumes=f"2026-11-22-{other}")
        rollout(journal, str(number), charged=True)
        journal.close()
    assert find_earlier(tmp_path, name).paid == 2


def test_a_run_that_has_the_number_of_one_that_was_deleted_is_not_taken_for_that(tmp_path: Path) -> None:
    for number, about in ((1, {"run": "2026-11-22-1.aaaa"}), (2, {"run": "2026-11-22-1.bbbb"})):
        resumes = "2026-11-22-1" * (number == 2)
        journal = begun(tmp_path, f"2026-11-22-{number}", resumes=resumes, **about)
        rollout(journal, str(number), charged=True)
        journal.close()
    for name in ("2026-11-22-1", "2026-11-22-2"):
        found = find_earlier(tmp_path, name)
        assert (found.directory_name, found.paid) == (name, 1)
    assert find_earlier(tmp_path).directory_name == "2026-11-22-2"


def test_where_another_has_come_to_its_end_with_it_a_run_is_done(tmp_path: Path) -> None:
    ended(tmp_path, "2026-11-22-1", "not confirmed")
    ended(tmp_path, "2026-11-22-2", "proven", resumes="2026-11-22-1")
    for name in ("", "2026-11-22-1"):
        with pytest.raises(ResumeError, match="2026-11-22-2 has come to its end"):
            find_earlier(tmp_path, name)


def test_the_rollouts_of_a_confirm_run_are_known_by_case_and_trial(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    for trial in ("search/0", "2026-11-22-1.abcd/confirm/0", "2026-11-22-1.abcd/confirm/1"):
        rollout(journal, "a", charged=True, trial=trial)
    # What the cap has stopped, or ended in trouble, has left none of its answers, or not all.
    for case, outcome in (("b", "stopped"), ("c", "error"), ("d", "skipped"), ("e", "failed")):
        rollout(journal, case, charged=True, outcome=outcome, trial="2026-11-22-1.abcd/confirm/0")
    journal.close()
    assert find_earlier(tmp_path).confirmed == (("a", 0), ("a", 1), ("d", 0), ("e", 0))


def test_what_it_has_cost_counts_against_the_cap(tmp_path: Path) -> None:
    ended(tmp_path, "2026-11-22-1", "not confirmed", usd=1.5)
    found = find_earlier(tmp_path)
    assert found.usd == 1.5
    settings = world_settings(mode="resume", rootdir=tmp_path, max_cost=2.0)
    assert found.as_it_began(settings, _untyped).max_cost == 2.0
    with pytest.raises(ResumeError, match=r"has spent \$1.50 of \$1.50 already"):
        found.as_it_began(world_settings(mode="resume", rootdir=tmp_path, max_cost=1.5), _untyped)
    assert found.as_it_began(world_settings(mode="resume", rootdir=tmp_path), _untyped).max_cost is None


def test_of_a_cost_that_is_not_known_the_known_part_counts_and_is_said_to_be_one(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    spent = {"usd": None, "usd_at_most": None, "usd_by_role": {"task": 6.0, "reflection": 0.5}}
    journal.write("result", result={"verdict": "not confirmed", "spent": spent})
    journal.close()
    found = find_earlier(tmp_path)
    assert (found.usd, found.usd_is_least) == (6.5, True)
    assert found.cost_note == ("gepa: only $6.50 of what it has cost is known; --gepa-max-cost cannot count the rest")
    with pytest.raises(ResumeError, match=r"has spent \$6.50 of \$2.00 already"):
        found.as_it_began(world_settings(mode="resume", rootdir=tmp_path, max_cost=2.0), _untyped)


def test_a_result_that_did_not_come_into_the_journal_is_read_beside_it(tmp_path: Path) -> None:
    assert "what it has cost is not known" in earlier(tmp_path).cost_note
    beside = tmp_path / ".gepa/runs/2026-11-22-1/result.json"
    beside.write_text(json.dumps({"verdict": "not confirmed", "spent": {"usd": 0.0}}), encoding="utf-8")
    found = find_earlier(tmp_path)
    assert (found.usd, found.cost_note) == (0.0, "")
    beside.write_text("{", encoding="utf-8")
    assert find_earlier(tmp_path).usd_is_least


def _untyped(name: str) -> bool:
    return False


def test_what_is_typed_and_the_same_is_taken(tmp_path: Path) -> None:
    found = earlier(tmp_path, settings=settings_of(seed=7, edits=("add",)))
    settings: Settings = world_settings(mode="resume", rootdir=tmp_path, seed=7)
    found_settings = found.as_it_began(settings, lambda name: name == "seed")
    assert (found_settings.mode, found_settings.seed, found_settings.edits) == ("optimize", 7, ("add",))


def _check(found: EarlierRun, *, cases: Sequence[Case] | None = None, text: str = "Do it.\n") -> None:
    usual = [Case("t.py::a", "t.py::a", "def a(): ..."), Case("t.py::b", "t.py::b")]
    found.check(usual if cases is None else cases, [Component(PROMPT, Path(PROMPT), text)], {}, str)


def test_the_same_cases_and_prompts_will_do(tmp_path: Path) -> None:
    _check(earlier(tmp_path))


def test_a_prompt_that_has_changed_since_is_told(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=rf"as 1 prompt is not as it was when .*: {PROMPT} \(has changed\); give"):
        _check(earlier(tmp_path), text="Do it well.\n")


def test_what_is_of_one_process_only_makes_no_other_case(tmp_path: Path) -> None:
    then, now = (
        [Case("t.py::a", "t.py::a", parameters=(("order", f"<Order object at {address}>"),))]
        for address in ("0x7f00aa", "0x7f11bb")
    )
    _check(earlier(tmp_path, cases=then), cases=now)


def test_a_commit_that_has_another_name_by_now_may_be_named_anew(tmp_path: Path) -> None:
    found = earlier(tmp_path, settings=settings_of(ancestor="HEAD~1"), ancestor={PROMPT: "Do.\n"})
    typed = world_settings(mode="resume", rootdir=tmp_path, ancestor="1a2b3c4")
    assert found.as_it_began(typed, lambda name: name == "ancestor").ancestor == "1a2b3c4"
    assert found.as_it_began(world_settings(mode="resume", rootdir=tmp_path), _untyped).ancestor == "HEAD~1"
    with pytest.raises(ResumeError, match=r"as 1 ancestor's prompt is not as it was .*name the commit"):
        _check(found)


def test_cases_that_came_went_or_changed_are_told(tmp_path: Path) -> None:
    cases = [Case("t.py::a", "t.py::a", "def a(): pass"), Case("t.py::c", "t.py::c")]
    with pytest.raises(
        ResumeError,
        match=r"as 3 cases are not as they were .*: t.py::a \(has changed\), t.py::b \(is gone\), t.py::c \(is new\)",
    ):
        _check(earlier(tmp_path), cases=cases)


def test_a_secret_in_a_case_makes_it_no_other_case(tmp_path: Path) -> None:
    secret = "sk-abcdef"

    def redact(text: str) -> str:
        return text.replace(secret, "[redacted]")

    case = Case("t.py::a", "t.py::a", parameters=(("key", repr(secret)),))
    directory = tmp_path / ".gepa/runs/2026-11-22-1"
    begun(tmp_path, cases=[case]).close()
    text = (directory / "journal.jsonl").read_text("utf-8")
    (directory / "journal.jsonl").write_text(redact(text), encoding="utf-8")
    find_earlier(tmp_path).check([case], [Component(PROMPT, Path(PROMPT), "Do it.\n")], {}, redact)


def test_a_history_without_its_beginning_is_none(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"n": 1, "record": "event", "type": "Retried"}\n', "utf-8")
    with pytest.raises(ValueError, match="first record"):
        read_history(tmp_path / "journal.jsonl")


def test_answers_that_cannot_be_copied_are_not_bought_again_in_silence(tmp_path: Path) -> None:
    begun(tmp_path).close()
    earlier = find_earlier(tmp_path)
    unfinished = earlier.directory / UNFINISHED
    unfinished.mkdir()
    ResponseCache(unfinished).note_lack("no room")
    (tmp_path / "taken").write_text("in the way")
    with pytest.raises(ResumeError, match="would be paid for again"):
        earlier.give_answers(ResponseCache(tmp_path / "taken"))
    store = ResponseCache(tmp_path / "free")
    earlier.give_answers(store)
    assert store.lack() == ""


def run_directory(root: Path, name: str) -> Path:
    return root / ".gepa/runs" / name


def keep_answer(directory: Path) -> None:
    """Store an answer as a run does that goes on."""
    store = ResponseCache(directory / UNFINISHED)
    store.put("k", b"v")
    store.close()


def given(found: EarlierRun, place: Path, key: str = "k") -> bytes | None:
    """The answer that a run has from the one that it resumes."""
    store = ResponseCache(place)
    found.give_answers(store)
    answer = store.get(key)
    store.close()
    return answer


def test_answers_are_found_behind_a_run_that_died_before_it_had_them(tmp_path: Path) -> None:
    begun(tmp_path, "2026-11-22-1").close()
    keep_answer(run_directory(tmp_path, "2026-11-22-1"))
    begun(tmp_path, "2026-11-22-2", resumes="2026-11-22-1").close()
    found = find_earlier(tmp_path)
    assert found.directory_name == "2026-11-22-2"
    assert given(found, tmp_path / "store") == b"v"
    found.drop_answers()
    assert not list(tmp_path.glob(f".gepa/runs/*/{UNFINISHED}"))


def test_a_run_that_died_while_it_copied_answers_hides_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(source: Path, target: Path, **_: Any) -> None:
        target.mkdir()
        (target / "cache.db").write_bytes(b"half of it")
        raise SystemExit

    begun(tmp_path, "2026-11-22-1").close()
    keep_answer(run_directory(tmp_path, "2026-11-22-1"))
    first = find_earlier(tmp_path)
    begun(tmp_path, "2026-11-22-2", resumes="2026-11-22-1").close()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", die)
        with pytest.raises(SystemExit):
            given(first, run_directory(tmp_path, "2026-11-22-2") / UNFINISHED)
    assert given(find_earlier(tmp_path), tmp_path / "store") == b"v"


def test_the_answers_of_a_recording_are_given_as_well(tmp_path: Path) -> None:
    begun(tmp_path, "2026-11-22-1").close()
    answers = run_directory(tmp_path, "2026-11-22-1") / IN_RUN / "answers"
    answers.mkdir(parents=True)
    line = {"key": "k", "trial": "search/0", "number": 0, "status": 200, "content_type": "", "text": "v"}
    (answers / "search-0.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    found = given(find_earlier(tmp_path), tmp_path / "store", stored_key("k", "search/0", 0))
    assert found == StoredAnswer(200, "", b"v").encode()


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ({}, False),
        ({"pytest_gepa": __version__}, False),
        ({"pytest_gepa": "0.0.9"}, True),
    ],
)
def test_another_version_of_the_package_is_told(tmp_path: Path, version: dict[str, str], said: bool) -> None:
    begun(tmp_path, **version).close()
    note = find_earlier(tmp_path).note
    assert (f"pytest-gepa 0.0.9, this is {__version__}" in note) == said
    assert ("another course" in note) == said
