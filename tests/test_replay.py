"""Whole runs from stored answers: the second run of a project, and the replay of a recorded one elsewhere."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.cli import main
from pytest_gepa.run.answers import RunAnswers
from tests.check_world import world_settings
from tests.fake_openai import Answer, Body
from tests.harness import (
    KEY,
    KINDS,
    PROMPT,
    SDK_APP,
    Project,
    Run,
    answer_by_rules,
    edits,
    files_below,
    new_project,
    no_request,
    rule,
)

OFFLINE = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}
PIPELINE = """\
from pathlib import Path

from openai import OpenAI

PROMPTS = Path(__file__).parent / "prompts"


def run(text):
    client = OpenAI(max_retries=0)
    for step in ("extract", "sort", "phrase"):
        system = (PROMPTS / f"{step}.md").read_text()
        messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
        stream = client.chat.completions.create(model="task", messages=messages, stream=step == "sort")
        if step == "sort":
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        else:
            text = stream.choices[0].message.content
    return text
"""
PIPELINE_TESTS = """\
import pytest

from pipeline import run


@pytest.mark.parametrize("word", ["one", "two", "three", "four", "five", "six", "seven", "eight"])
def test_run(word):
    assert run(word).endswith("in full")
"""


def moved(project: Project, name: str, run: Run) -> Project:
    """The project as a fresh clone has it, with the recording of a run committed."""
    clone = project.copy(name)
    shutil.copytree(run.directory / "recording", clone.root / "gepa_recording")
    return clone


@dataclass(frozen=True)
class Recorded:
    """A project in which a run was recorded, and what it gave; the recording is in its place to be committed."""

    project: Project
    run: Run

    def clone(self, root: Path) -> Project:
        """The project as a fresh clone has it."""
        copied = self.project.copy("clone")
        shutil.move(copied.root, root)
        return Project(root, copied.world, copied.server)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """A run with four cases in flight. Its server answers no more once it is over: a replay must not ask."""
    for project in new_project(tmp_path_factory.mktemp("recorded") / "project"):
        run = project.optimize("--gepa-trials=1", "--gepa-concurrency=4")
        assert run.result["verdict"] == "proven"
        assert main(["record", "--rootdir", str(project.root)]) == 0
        yield Recorded(project, run)


SAME = """\
import pytest
from app import route


@pytest.fixture(scope="session")
def answer():
    return route("fruit", "one")


@pytest.mark.parametrize("number", range(12))
def test_same(answer, number):
    assert route("city", "two") == "two-?"
    assert answer == "one-FRU"
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="no locks between processes here")
def test_what_several_workers_ask_at_once_is_paid_for_once(project: Project) -> None:
    project.write({"test_route.py": SAME})
    second = threading.Event()

    def task(request: Body) -> Answer:
        # Held back, so that every worker has the time to ask as well; none of them must.
        if sum(body["messages"] == request["messages"] for body in project.world.task_requests) > 1:
            second.set()
        second.wait(1)
        return answer_by_rules(request)

    project.world.task = task
    run = project.optimize("--gepa-trials=1", "--gepa-concurrency=6")
    assert run.result["verdict"] == "nothing to do"
    assert not second.is_set()
    assert len(run.task_requests) == 2


@pytest.fixture
def clone(recorded: Recorded, tmp_path: Path) -> Project:
    return recorded.clone(tmp_path / "clone")


def replay(project: Project, *args: str) -> Run:
    return project.optimize("--gepa-trials=1", "--gepa-replay=only", *args, env=OFFLINE)


def spent(requests: Sequence[Body]) -> Counter[str]:
    return Counter(str(request["messages"][0]["content"]) for request in requests)


@pytest.fixture
def pipeline(project: Project) -> Project:
    """Three prompts in a row; the last one decides, and only "in full" makes it right."""
    project.write(
        {
            "pipeline.py": PIPELINE,
            "test_route.py": PIPELINE_TESTS,
            "prompts/extract.md": "Extract the word.\n",
            "prompts/sort.md": "Sort the letters.\n",
            "prompts/phrase.md": "Phrase the answer.\n",
        }
    )
    (project.root / PROMPT).unlink()

    def task(request: Body) -> str:
        system, user = (message["content"] for message in request["messages"])
        ending = " in full" if "in full" in system else ""
        return f"{user}{ending}"

    def reflect(request: Body) -> str:
        is_last = "phrase.md" in request["messages"][1]["content"].partition("```")[0]
        return edits("Answer in full.") if is_last else edits()

    project.world.task, project.world.reflect = task, reflect
    return project


@pytest.mark.thorough
def test_a_candidate_that_changes_the_last_of_three_prompts_buys_one_request_in_three(
    pipeline: Project,
) -> None:
    run = pipeline.optimize("--gepa-trials=1")
    assert run.code == 0
    bought = spent(run.task_requests)
    # The search, then the confirm run, which shares nothing with it: each side of it, once more.
    assert bought["Phrase the answer.\n"] == 8 + 8
    assert sum(count for prompt, count in bought.items() if "in full" in prompt) == 8 + 8
    assert bought["Extract the word.\n"] == bought["Sort the letters.\n"] == 8 + 8
    assert run.result["verdict"] == "proven"


@pytest.mark.thorough
def test_a_second_run_on_the_same_server_buys_its_confirm_run_only(project: Project) -> None:
    first = project.optimize("--gepa-trials=1")
    patch = first.best_patch.read_bytes()
    shutil.rmtree(project.root / ".gepa/runs")  # so that the next run has the same name
    again = project.optimize("--gepa-trials=1")
    assert again.directory == first.directory
    assert again.reflections == []
    assert len(again.task_requests) == 2 * 12
    assert len(again.task_requests) < len(first.task_requests)
    assert again.best_patch.read_bytes() == patch
    assert again.result["spent"]["rollouts"] == 2 * 12


@pytest.mark.thorough
def test_replay_off_neither_reads_nor_stores(project: Project) -> None:
    first = project.optimize("--gepa-trials=1")
    off = project.optimize("--gepa-trials=1", "--gepa-replay=off")
    assert len(off.task_requests) >= len(first.task_requests)
    assert off.reflections
    assert not (off.directory / "recording").exists()
    shutil.rmtree(project.root / ".gepa")
    project.optimize("--gepa-trials=1", "--gepa-replay=off")
    assert not (project.root / ".gepa/cache").exists()


def assert_replayed(run: Run, recorded: Run) -> None:
    """It came to the very end of the recorded run, and asked for nothing."""
    assert run.code == 0, run.everything
    assert no_request(run)
    assert run.best_patch.read_bytes() == recorded.best_patch.read_bytes()
    assert {path.name for path in run.patches} == {path.name for path in recorded.patches}
    name = recorded.directory.name
    run.matches(f"gepa: replaying {name} from gepa_recording, * answers; nothing is sent")
    assert run.result["spent"]["rollouts"] == 0
    for figure in ("verdict", "effect", "interval", "p_value", "baseline", "winner", "fixed", "broken"):
        assert run.result[figure] == recorded.result[figure]


@pytest.mark.thorough
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_recorded_run_gives_the_same_patch_elsewhere_without_server_key_or_cache(
    project: Project, concurrency: int
) -> None:
    how = f"--gepa-concurrency={concurrency}"
    recorded = project.optimize(how, "--gepa-trials=2")
    assert recorded.result["verdict"] == "proven"
    clone = moved(project, "elsewhere", recorded)
    project.server.close()
    run = clone.optimize(how, "--gepa-trials=2", "--gepa-replay=only", env=OFFLINE)
    assert_replayed(run, recorded)


@pytest.mark.thorough
def test_a_replay_needs_no_settings_of_the_environment(recorded: Recorded, clone: Project) -> None:
    run = clone.pytest("--gepa-optimize", "--gepa-trials=1", "--gepa-replay=only", env=OFFLINE)
    assert_replayed(run, recorded.run)

    today = clone.prompt()
    assert main(["apply", "--yes", "--rootdir", str(clone.root)]) == 0
    assert all(rule(kind) in clone.prompt() for kind in KINDS)
    assert main(["undo", "--yes", "--rootdir", str(clone.root)]) == 0
    assert clone.prompt() == today


@pytest.mark.thorough
def test_a_run_can_be_replayed_where_it_was_made(project: Project) -> None:
    recorded = project.optimize("--gepa-trials=1")
    patch = recorded.best_patch.read_bytes()
    shutil.rmtree(project.root / ".gepa/cache")
    run = project.optimize("--gepa-trials=1", "--gepa-replay=only")
    assert no_request(run)
    assert run.directory != recorded.directory
    assert run.best_patch.read_bytes() == patch
    assert not (run.directory / "recording").exists(), "a replay is not recorded again"
    assert not (project.root / ".gepa/cache").exists()


@pytest.mark.thorough
def test_streams_are_recorded_and_replayed(pipeline: Project) -> None:
    recorded = pipeline.optimize("--gepa-trials=1")
    clone = moved(pipeline, "elsewhere", recorded)
    run = clone.optimize("--gepa-trials=1", "--gepa-replay=only", env=OFFLINE)
    assert run.code == 0, run.everything
    assert no_request(run)
    assert run.best_patch.read_bytes() == recorded.best_patch.read_bytes()


@pytest.mark.thorough
def test_a_recording_is_text_without_secrets(project: Project) -> None:
    project.world.task = lambda request: f"the key is {KEY}"
    run = project.optimize("--gepa-trials=1")
    directory = run.directory / "recording"
    assert {path for path in files_below(directory) if path.startswith("answers")} >= {
        "answers/search-0.jsonl",
        "answers/reflect-0.jsonl",
    }
    for path in directory.rglob("*"):
        if path.is_file():
            assert KEY not in path.read_text(encoding="utf-8")
            assert project.server.base_url not in path.read_text(encoding="utf-8")
    head = json.loads((directory / "recording.json").read_text(encoding="utf-8"))
    assert head["environment"] == {
        "OPENAI_API_KEY": "replayed",
        "OPENAI_BASE_URL": "http://replay.invalid/v1",
    }
    assert KEY.encode() not in b"".join(
        path.read_bytes() for path in (project.root / ".gepa").rglob("*") if path.is_file()
    )
    again = project.optimize("--gepa-trials=1", "--gepa-replay=only")
    assert again.code == 4
    assert "its answer held a secret and was not recorded" in again.everything


def test_a_case_that_would_have_gone_to_the_network_is_named_with_its_request(clone: Project) -> None:
    clone.cases([("fruit", "one"), ("fruit", "nine"), ("city", "two")])
    run = replay(clone)
    assert run.code == 4
    assert no_request(run)
    assert "1 of the cases asked for what is not recorded, and nothing was sent" in run.everything
    assert (
        "test_route.py::test_route[fruit-nine]: no stored answer: POST /v1/chat/completions, model task, last "
        "message 'fruit: nine'"
    ) in run.everything


@pytest.mark.thorough
def test_an_application_that_makes_do_without_an_answer_does_not_turn_that_into_a_failure(
    clone: Project,
) -> None:
    swallowing = SDK_APP.replace(
        "    reply = client()", "    messages[1]['content'] += '!'\n    try:\n     reply = client()"
    )
    swallowing = swallowing.replace(
        "    return reply.choices", "    except BaseException:\n        return ''\n    return reply.choices"
    )
    clone.write({"app.py": swallowing})
    run = replay(clone)
    assert run.code == 4
    assert "12 of the cases asked for what is not recorded" in run.everything
    assert "and 2 more" in run.everything
    assert {record["outcome"] for record in run.records("rollout")} == {"unrecorded"}


@pytest.mark.thorough
def test_a_reflection_that_is_not_recorded_ends_the_search_and_says_so(clone: Project) -> None:
    (clone.root / "gepa_recording/answers/reflect-0.jsonl").write_text("")
    run = replay(clone)
    assert run.code == 4
    assert "reflection model 'reflector': no stored answer, and nothing was sent" in run.everything
    assert no_request(run)


def test_without_a_recording_nothing_is_begun(project: Project) -> None:
    run = project.optimize("--gepa-replay=only")
    assert run.code == 4
    assert "--gepa-replay=only needs a recorded run" in run.everything
    assert no_request(run)
    assert not (project.root / ".gepa").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("recording.json", "{}", "another version"),
        ("recording.json", "no json", "cannot be read"),
        ("order.json", '{"order": 7}', "lacks something"),
        ("charged.jsonl", "[1]\n", "not what a recording holds"),
        ("answers/search-0.jsonl", '{"key": "k"}\n', "search-0.jsonl, line 1: no answer"),
    ],
)
def test_a_recording_that_is_none_is_refused_with_the_place(clone: Project, name: str, content: str, said: str) -> None:
    (clone.root / "gepa_recording" / name).write_text(content)
    run = replay(clone)
    assert run.code == 4
    assert said in run.everything
    assert not list(clone.root.glob(".gepa/runs/*")), "a run that did not begin"


@pytest.mark.thorough
def test_other_settings_than_those_of_the_recorded_run_are_told(clone: Project) -> None:
    run = replay(clone, "--gepa-seed=5", "--gepa-reflection-model=other")
    run.matches("gepa: the recorded run had other settings: seed was 0, is 5; reflection-model was reflector, is other")


@pytest.mark.thorough
def test_an_error_of_the_server_is_replayed_as_an_error(project: Project) -> None:
    def task(request: Body) -> Any:
        system, user = (message["content"] for message in request["messages"])
        kind, word = user.split(": ")
        if word == "one":
            return 400, {"error": {"message": "filtered"}}
        return f"{word}-{kind[:3].upper()}" if rule(kind) in system else "?"

    project.world.task = task
    app = SDK_APP.replace("    reply = client()", "    try:\n     reply = client()").replace(
        "    return reply.choices",
        "    except Exception:\n        return 'one-' + kind[:3].upper()\n    return reply.choices",
    )
    project.write({"app.py": app})
    recorded = project.optimize("--gepa-trials=1")
    assert recorded.result["verdict"] == "proven"
    clone = moved(project, "elsewhere", recorded)
    run = clone.optimize("--gepa-trials=1", "--gepa-replay=only", env=OFFLINE)
    assert run.code == 0, run.everything
    assert run.best_patch.read_bytes() == recorded.best_patch.read_bytes()


def test_a_cache_that_cannot_be_used_is_told_before_all_is_paid_for_again(tmp_path: Path) -> None:
    cache = tmp_path / ".gepa/cache"
    cache.mkdir(parents=True)
    (cache / "cache.db").write_bytes(b"no database")
    answers = RunAnswers(world_settings(rootdir=tmp_path), "run", "reflector", tmp_path / "recording", str)
    answers.close()
    (told,) = answers.notes
    assert "every answer is paid for again" in told
    assert "file is not a database" in told
    assert main(["cache", "--clear", "--rootdir", str(tmp_path)]) == 0
    mended = RunAnswers(world_settings(rootdir=tmp_path), "run", "reflector", tmp_path / "recording", str)
    mended.close()
    assert mended.notes == []


@pytest.mark.thorough
def test_the_cache_is_kept_within_its_bound_between_runs(project: Project) -> None:
    project.write({"pytest.ini": "[pytest]\ngepa_cache_size = 1\n"})
    padding = "x" * 40_000
    project.world.task = lambda request: padding
    project.optimize("--gepa-trials=1", "--gepa-budget=60")
    size = sum(path.stat().st_size for path in (project.root / ".gepa/cache").rglob("*") if path.is_file())
    assert size < 1_300_000


@pytest.mark.thorough
def test_a_recording_of_an_interrupted_run_is_not_left_behind(project: Project, tmp_path: Path) -> None:
    def reflect(request: Body) -> str:
        project.interrupt()
        return edits()

    project.world.reflect = reflect
    run = project.optimize("--gepa-trials=1")
    assert run.code == 2
    assert not (run.directory / "recording").exists()


LATE = """\
import time
from types import SimpleNamespace

from pytest_gepa.optimize import driver

chosen = []
driver.time = SimpleNamespace(monotonic=lambda: time.monotonic() + 36_000 * (len(chosen) > 1))


def pytest_gepa_select_parent(parents):
    chosen.append(parents)
"""


def assert_replayed_to_the_same_end(project: Project, recorded: Run, *how: str) -> None:
    run = project.optimize("--gepa-replay=only", *how, env=OFFLINE)
    assert run.code == recorded.code == 0, run.everything
    assert no_request(run)
    assert run.best_patch.read_bytes() == recorded.best_patch.read_bytes()
    for figure in ("verdict", "trials", "search_ended", "needs", "winner"):
        assert run.result[figure] == recorded.result[figure]


@pytest.mark.thorough
def test_a_run_that_the_minutes_have_ended_with_a_winner_is_replayed(project: Project) -> None:
    project.write({"pytest.ini": "[pytest]\n", "conftest.py": LATE})
    is_over = threading.Event()

    def reflect(request: Body) -> Answer:
        if len(project.world.reflections) == 1:
            return edits(*(f"- {rule(kind)}" for kind in ("animal", "city")))
        is_over.wait(300)  # the time is over before the second reply comes
        return edits()

    project.world.reflect = reflect
    try:
        recorded = project.optimize("--gepa-max-minutes=60")
    finally:
        is_over.set()
    assert recorded.result["search_ended"] == "the 60 minutes are over"
    assert {need["state"] for need in recorded.result["needs"]} == {"not measured"}
    assert recorded.records("confirm"), "there is a winner"
    assert_replayed_to_the_same_end(project, recorded)


PRICES = "gepa_prices =\n    task input=2 output=8 max_output=200\n    reflector input=5 output=20 max_output=400\n"


@pytest.mark.thorough
def test_a_run_that_the_cap_has_ended_with_a_winner_is_replayed(project: Project) -> None:
    project.write({"pytest.ini": f"[pytest]\n{PRICES}"})

    def reflect(request: Body) -> Answer:
        if len(project.world.reflections) == 1:
            return edits(*(f"- {rule(kind)}" for kind in ("animal", "city")))
        return edits(f"- Be kind, {len(project.world.reflections)} times.")

    project.world.reflect = reflect
    recorded = project.optimize("--gepa-max-cost=0.07")
    assert "kept for the confirm run" in recorded.result["search_ended"], recorded.result
    assert {need["state"] for need in recorded.result["needs"]} == {"not measured"}
    assert recorded.records("confirm"), "there is a winner"
    assert_replayed_to_the_same_end(project, recorded)
