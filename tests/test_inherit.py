"""Which results a candidate has without a run; and that whole runs make use of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gepa.evolve.candidate import Candidate, derive, seed_candidate
from pytest_gepa.run.inherit import modelless, untouched
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory
from tests.fake_openai import Body
from tests.harness import Project, edits, new_project, told

ROUTE, REPLY = "You sort tickets into queues.\n", "You write a friendly reply.\n"
SEED = seed_candidate({"route.md": ROUTE, "reply.md": REPLY})
CHILD = derive(SEED, {"reply.md": REPLY + "Sign it.\n"})


def run(case: str, *sent: str, reads: tuple[str, ...] = (), outcome: Outcome = Outcome.passed) -> Rollout:
    calls = tuple(Call("k", "m", (Message("user", text),), None) for text in sent)
    texts = {"route.md": ROUTE, "reply.md": REPLY}
    uses = tuple(name for name, text in texts.items() if any(text in one for one in sent))
    return Rollout(SEED.id, case, "search/0", outcome, 1.0, Trajectory(calls), uses=uses, reads=reads)


def spared(*runs: Rollout, child: Candidate = CHILD, used: Mapping[str, Collection[str]] | None = None) -> set[str]:
    known = {(one.candidate, one.case): one for one in runs}
    cases = [one.case for one in runs]
    return set(untouched(child, [SEED], known, cases, cases, used or {}))


BOTH = run("both", ROUTE, REPLY)


def test_a_case_without_the_changed_prompt_is_untouched():
    assert spared(BOTH, run("route only", ROUTE)) == {"route only"}


def test_a_case_that_goes_by_an_answer_to_the_changed_prompt_is_run_again():
    said = "Dear customer, thank you for writing to us about your bill."
    (route, reply) = BOTH.trajectory.calls
    answered = Trajectory((route, replace(reply, answer=Message("assistant", said))))
    both = replace(BOTH, trajectory=answered)
    kept = run("kept", f"{ROUTE}\n\n{said.replace(' ', chr(10), 1)} What now?")
    assert spared(both, kept, run("route only", ROUTE)) == {"route only"}
    assert spared(BOTH, kept) == {"kept"}


def test_a_case_that_was_seen_to_use_the_changed_prompt_under_another_candidate_is_run_again():
    assert spared(BOTH, run("kept", ROUTE), used={"kept": {"route.md", "reply.md"}}) == set()


def test_a_case_that_opens_the_changed_file_is_run_again():
    assert spared(BOTH, run("route only", ROUTE, reads=("reply.md",))) == set()


def test_a_case_that_shows_any_piece_of_the_changed_prompt_is_run_again():
    child = derive(SEED, {"reply.md": "Sign it.\n"})
    long = seed_candidate({"route.md": ROUTE, "reply.md": REPLY + "\n" + "x" * 400})
    piece = Rollout(long.id, "piece", "search/0", Outcome.passed, 1.0, run("piece", REPLY).trajectory)
    whole = Rollout(long.id, "whole", "search/0", Outcome.passed, 1.0, BOTH.trajectory, uses=("reply.md", "route.md"))
    known = {(long.id, "piece"): piece, (long.id, "whole"): whole}
    child = derive(long, {"reply.md": "Sign it.\n"})
    assert untouched(child, [long], known, ["piece", "whole"], ["piece"], {}) == {}


def test_a_prompt_that_was_seen_nowhere_can_be_missed_nowhere():
    assert spared(run("route only", ROUTE)) == set()


def test_trouble_is_not_inherited():
    assert spared(BOTH, run("route only", ROUTE, outcome=Outcome.error)) == set()


def test_only_cases_without_calls_and_reads_are_modelless():
    mocked = run("mocked", "What is 2 + 2?")
    mocked = replace(mocked, trajectory=Trajectory((replace(mocked.trajectory.calls[0], sent=False),)))
    runs = [run("sum"), run("reader", reads=("route.md",)), mocked, BOTH]
    known = {(one.candidate, one.case): one for one in runs}
    names = ["sum", "reader", "both", "mocked", "never run"]
    assert set(modelless(SEED, known, names, names)) == {"sum", "mocked"}


def later(case: str, *carried: str, imported: tuple[str, ...] = ()) -> Rollout:
    """A run without a call, in a process where earlier cases had read prompts."""
    return replace(run(case), imported=(*imported, *carried), carried=carried)


def modelless_of(*runs: Rollout) -> set[str]:
    known = {(one.candidate, one.case): one for one in runs}
    names = [one.case for one in runs]
    return set(modelless(SEED, known, names, names))


def test_a_prompt_that_is_nowhere_seen_to_arrive_may_have_been_kept_for_later_cases():
    assert modelless_of(run("first", reads=("route.md",)), later("later", "route.md"), run("alone")) == {"alone"}


def test_one_that_is_seen_to_arrive_is_none_that_later_cases_go_by_unseen():
    assert modelless_of(BOTH, later("later", "route.md")) == {"later"}
    assert modelless_of(BOTH, later("later", imported=("route.md",))) == set()


def test_a_text_that_was_cut_out_of_what_is_kept_of_a_request_was_in_it_all_the_same():
    cut = replace(run("cut", ROUTE), uses=("route.md", "reply.md"))
    assert spared(BOTH, cut, run("route only", ROUTE)) == {"route only"}


# Whole runs: cases note down that they ran

APP = """\
import json
import os
import urllib.request
from pathlib import Path

PROMPTS = Path(__file__).parent / "prompts"


def ask(name, word):
    messages = [
        {"role": "system", "content": (PROMPTS / name).read_text(encoding="utf-8")},
        {"role": "user", "content": word},
    ]
    body = json.dumps({"model": "task", "messages": messages}).encode()
    address = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    asked = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]
"""
TESTS = """\
import os

import pytest

from app import ask


@pytest.mark.parametrize("name", ["loud.md", "polite.md"])
@pytest.mark.parametrize("word", ["yes", "no", "maybe", "never", "soon", "late"])
def test_ask(name, word):
    with open("ran.txt", "a") as stream:
        stream.write(f"{os.environ['GEPA_CANDIDATE']} {name} {word}\\n")
    assert ask(name, word) == {"loud.md": f"{word}!", "polite.md": f"{word}, please"}[name]
"""


def answer(request: Body) -> str:
    prompt, word = (message["content"] for message in request["messages"])
    return word + ("!" if "exclamation" in prompt else "") + (", please" if "magic word" in prompt else "")


def reflect(request: Body) -> str:
    is_loud = "# Prompt to edit: prompts/loud.md" in told(request)
    return edits("End with an exclamation mark." if is_loud else "Say the magic word.")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with_files = {
        "app.py": APP,
        "test_ask.py": TESTS,
        "prompts/loud.md": "Answer with the word, loudly.\n",
        "prompts/polite.md": "Answer with the word, politely. Say the magic word.\n",
    }
    for project in new_project(tmp_path):
        for path in project.root.glob("test_*.py"):
            path.unlink()
        for path in (project.root / "prompts").iterdir():
            path.unlink()
        project.write(with_files)
        project.world.task, project.world.reflect = answer, reflect
        yield project


def test_a_changed_prompt_reruns_only_the_cases_that_it_touches(project: Project):
    run = project.optimize("--gepa-trials=1")
    assert run.result["verdict"] == "proven", run.everything
    ran = Counter(
        (candidate, name) for candidate, name, _ in map(str.split, (project.root / "ran.txt").read_text().splitlines())
    )
    by_proposal = {one["candidate"]["origin"]: one["candidate"]["id"] for one in run.records("evaluate")}
    seed, winner = by_proposal["seed"], run.records("decision")[-2]["candidate"]
    others = {name for name, _ in ran} - {seed, winner}
    # Once in the baseline or the search, once in the confirm run, where both sides run everything.
    assert ran == {
        (seed, "loud.md"): 12,
        (seed, "polite.md"): 12,
        (winner, "loud.md"): 12,
        (winner, "polite.md"): 6,
        **{(name, "loud.md"): 6 for name in others},
    }
    inherited = [case for record in run.records("inherited") for case in record["cases"]]
    assert len(inherited) == 6


@pytest.mark.thorough
def test_the_next_plan_knows_who_reads_what(project: Project):
    before = project.pytest("--gepa-plan", "--gepa-reflection-model=reflector")
    before.matches("*who reads what*unknown until the baseline*")
    project.optimize("--gepa-trials=1")
    after = project.pytest("--gepa-plan", "--gepa-reflection-model=reflector")
    after.matches(
        "*who reads what*as run * showed",
        "*prompts/loud.md: 6 cases (test_ask.py 6), 1 call a case",
        "*prompts/polite.md: 6 cases (test_ask.py 6), 1 call a case",
        "*a rollout*1 call, * tokens in, * out*",
    )


KEPT = """\
from functools import cache
from pathlib import Path


@cache
def rules():
    return (Path(__file__).parent / "prompts" / "route.md").read_text(encoding="utf-8")


def route(word):
    return "right" if "The rule." in rules() else "wrong"  # a model in this process: no call is seen
"""
KEPT_TESTS = """\
import pytest

from app import route


@pytest.mark.parametrize("word", range(8))
def test_route(word):
    assert route(word) == "right"
"""


@pytest.mark.thorough
def test_later_cases_of_a_process_are_run_under_a_candidate_whose_prompt_an_earlier_one_has_read(
    tmp_path: Path,
):
    for project in new_project(tmp_path / "kept"):
        (project.root / "test_route.py").unlink()
        project.write({"app.py": KEPT, "test_kept.py": KEPT_TESTS})
        project.world.reflect = lambda _: edits("The rule.")
        run = project.optimize("--gepa-trials=1")
    assert run.result["verdict"] == "proven", run.everything
    winner = run.records("evaluate")[1]["candidate"]["id"]
    found = {one["case"]: one["score"] for one in run.records("rollout") if one["candidate"] == winner}
    searched = [one for one in run.records("rollout") if one["candidate"] == winner and "search" in one["trial"]]
    assert len(found) == len(searched) == 8
    assert set(found.values()) == {1.0}
