"""What the reflection model is asked where two versions of a prompt are to be united."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_gepa import hookspecs
from pytest_gepa.evolve.candidate import derive, seed_candidate
from pytest_gepa.evolve.tasks import Discarded, OtherVersion, Reflect
from pytest_gepa.optimize.evaluator import TEXT_BYTES, text_of
from pytest_gepa.optimize.extensions import Extensions
from pytest_gepa.optimize.optimization import make_guard
from pytest_gepa.optimize.proposer import Proposer
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.edits import KINDS
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.reflect.menu import MenuChoice
from pytest_gepa.reflect.withhold import Withholder
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.trajectory import Call, Message, Trajectory
from tests.reflect.exhibits import COMPONENTS, ROUTE, ROUTE_TEXT, exhibit, passing
from tests.reflect.test_propose import Script, full

SEED = seed_candidate(COMPONENTS)
PARENT = derive(SEED, {ROUTE: ROUTE_TEXT.replace("queue.", "queue, and fast.")})
OTHER = derive(SEED, {ROUTE: ROUTE_TEXT.replace("queue.", "queue, and well.")})
FAILING, PASSING = exhibit(), passing()
TASK = Reflect(
    "p1",
    PARENT,
    (ROUTE,),
    (FAILING.case.id,),
    (PASSING.case.id,),
    other=OtherVersion(OTHER, SEED.texts),
)


def proposer_of(script: Script, redact: Callable[[str], str] = str) -> Proposer:
    manager = pytest.PytestPluginManager()
    manager.add_hookspecs(hookspecs)
    cases = {one.case.id: one.case for one in (FAILING, PASSING)}
    rollouts = {(PARENT.id, one.case.id): one.rollout for one in (FAILING, PASSING)}
    model = cast("Any", script)
    model.settings = SimpleNamespace(model="some-model")
    guard = Guard(COMPONENTS)
    withholder = Withholder(list(cases.values()))
    return Proposer(cases, rollouts, model, Extensions(manager.hook), guard, KINDS, withholder, redact)


def test_a_line_of_a_secret_over_several_is_not_told_as_a_change() -> None:
    """Of an edit that came to nothing, nor of the one that is made."""
    secret = "<private>\nACME pays late.\n</private>\n"
    parent = derive(SEED, {ROUTE: f"{secret}{ROUTE_TEXT}"})
    dropped = Discarded(ROUTE, "- ACME pays late.\n+ Be brief.", "no gain")
    task = replace(TASK, parent=parent, discarded=(dropped,), other=None)
    script = Script(full(("add", "", "Be kind.")))
    proposer = proposer_of(script, Redactor({}, ["(?s)<private>.*?</private>"]).redact)
    proposer._rollouts = {(parent.id, one.case.id): one.rollout for one in (FAILING, PASSING)}
    proposal = proposer.propose(task, ROUTE, MenuChoice())

    asked = script.asked[0][1]["content"]
    assert "- [redacted]\n+ Be brief." in asked
    assert "ACME" not in asked + proposal.summary
    assert proposal.summary == "+ Be kind."


def test_why_an_edit_came_to_nothing_is_told_without_what_held_out_cases_have() -> None:
    """A case may say it of itself, in a message that shows the data of all."""
    held = Case("held", "test_a.py::test_route[held]", "", (("ticket", "'The parcel of Aunt Petunia'"),), "holdout")
    told = "no case shown gave evidence: no ticket 'The parcel of Aunt Petunia' in the table"
    task = replace(TASK, discarded=(Discarded(ROUTE, "+ Aunt Petunia waits.", told),), other=None)
    script = Script(full(("add", "", "Be kind.")))
    proposer = proposer_of(script)
    proposer._withholder = Withholder([FAILING.case, PASSING.case, held])
    proposer.propose(task, ROUTE, MenuChoice())
    assert "no ticket [held out] in the table" in script.asked[0][1]["content"]


def test_the_model_reads_what_has_helped_and_which_cases_passed_before() -> None:
    script = Script(full(("add", "", "Be kind.")))
    proposer = proposer_of(script)
    seed_runs = {(SEED.id, FAILING.case.id): replace(FAILING.rollout, outcome=Outcome.passed)}
    proposer._rollouts = {**proposer._rollouts, **seed_runs}
    proposer.learn_baseline(SEED.id)
    proposer.propose(replace(TASK, other=None, tally=(5, 9)), ROUTE, MenuChoice())
    user = script.asked[0][1]["content"]
    assert "and has helped:\n```\n- You route tickets" in user
    assert "+ You route tickets of the Juniper desk to a queue, and fast." in user
    assert "Of 14 cases that are known to use this prompt 5 pass." in user
    assert "It passed under today's prompts" in user


def test_the_model_reads_what_the_cases_do_under_the_other_version() -> None:
    script = Script(full(("replace", "queue, and fast.", "queue, fast and well.")))
    proposer = proposer_of(script)
    theirs = {(OTHER.id, FAILING.case.id): replace(PASSING.rollout, outcome=Outcome.passed)}
    proposer._rollouts = {**proposer._rollouts, **theirs}
    proposer.propose(TASK, ROUTE, MenuChoice())
    assert "Under the other version it passes, with the answer:\n```\nshipping" in script.asked[0][1]["content"]


def test_the_model_reads_the_other_version_and_what_it_changed() -> None:
    script = Script(full(("replace", "queue, and fast.", "queue, fast and well.")))
    proposal = proposer_of(script).propose(TASK, ROUTE, MenuChoice())
    user = script.asked[0][1]["content"]
    _, _, version = user.partition("# Another version")
    assert OTHER.texts[ROUTE] in version
    assert "+ You route tickets of the Juniper desk to a queue, and well." in version
    assert proposal.text is not None
    assert "fast and well" in proposal.text


def test_a_proposal_names_the_failing_cases_that_were_shown_for_its_prompt() -> None:
    """Those that used it; all of them where none did."""
    other = exhibit(name="late-parcel")
    script = Script(*[full(("add", "", "Be kind."))] * 2)
    proposer = proposer_of(script)
    proposer._cases = {one.case.id: one.case for one in (FAILING, other)}
    task = replace(TASK, failing=(FAILING.case.id, other.case.id), neighbours=(), other=None)
    read = []
    for uses in ((ROUTE,), ()):
        used = replace(FAILING.rollout, uses=uses)
        proposer._rollouts = {(PARENT.id, FAILING.case.id): used, (PARENT.id, other.case.id): other.rollout}
        read.append(proposer.propose(task, ROUTE, MenuChoice()).read)
    assert read == [(FAILING.case.id,), task.failing]


def asked_to_unite(parent: str, other: str, redact: Callable[[str], str], *held: Case) -> str:
    """What the model reads of two texts that were made of today's."""
    one, two = (derive(SEED, {ROUTE: text}) for text in (parent, other))
    reply = full(("add", "", "Be kind."))
    script = Script(reply, reply)  # texts that are too long are asked for once more
    proposer = proposer_of(script, redact)
    proposer._rollouts = {(one.id, shown.case.id): shown.rollout for shown in (FAILING, PASSING)}
    proposer._withholder = Withholder([FAILING.case, PASSING.case, *held])
    proposer.propose(replace(TASK, parent=one, other=OtherVersion(two, SEED.texts)), ROUTE, MenuChoice())
    _, _, version = script.asked[0][1]["content"].partition("# Another version")
    return str(version)


def test_the_model_reads_all_that_either_version_has_changed_in_their_ancestor() -> None:
    rules = [f"- Rule {number}: {'as it was agreed, ' * 20}and so on." for number in range(30)]
    ours, theirs = (ROUTE_TEXT + "\n".join(some) + "\n" for some in (rules[:6], rules[6:]))
    before, _, after = asked_to_unite(ours, theirs, str).partition("What the one above has changed")
    told, _, _ = after.partition("All of the other version")
    assert all(f"+ {rule}" in told for rule in rules[:6])
    assert f"+ {rules[6]}" in before
    assert "more changed lines)" in before
    assert len(before) < 5_000


def test_what_either_version_has_changed_is_told_without_secrets_and_held_out_texts() -> None:
    held = Case("held", "t.py::held", "", (("ticket", "'The parcel of Aunt Petunia'"),), "holdout")
    secret = "<private>\nACME pays late.\n</private>\n"
    version = asked_to_unite(
        f"{secret}{ROUTE_TEXT}- The parcel of Aunt Petunia waits.\n",
        f"{ROUTE_TEXT}{secret}",
        Redactor({}, ["(?s)<private>.*?</private>"]).redact,
        held,
    )
    assert "ACME" not in version
    assert "Petunia" not in version
    assert "[held out] waits." in version


@pytest.mark.parametrize("menu", ["rule", "example"])
def test_a_model_that_is_asked_for_less_than_a_text_is_not_asked_to_unite(menu: Any) -> None:
    script = Script()
    proposal = proposer_of(script).propose(TASK, ROUTE, MenuChoice(menu))
    assert (proposal.text, proposal.rejections, script.asked) == (None, (), [])


def test_the_checks_unite_nothing() -> None:
    assert proposer_of(Script()).stated(TASK) is None


def test_the_text_of_a_case_is_its_parameters_or_else_what_was_asked() -> None:
    case, rollout = FAILING.case, FAILING.rollout
    assert text_of(case, rollout) == "'My card was charged twice'\n'billing'"
    bare = replace(case, parameters=())
    assert text_of(bare, rollout) == "My card was charged twice"
    assert text_of(bare, replace(rollout, trajectory=replace(rollout.trajectory, calls=()))) == ""
    long = replace(case, parameters=(("ticket", "word " * 10_000),))
    assert len(text_of(long, rollout).encode()) <= TEXT_BYTES + 100


TICKETS = (
    ("The parcel for Kim Mayer never came", "shipping"),
    ("My card was charged twice today", "billing"),
    ("Zora Quist cannot log in since May", "access"),
)


@pytest.mark.parametrize("is_held_out", [False, True])
def test_a_case_whose_request_holds_a_held_out_text_is_no_example(is_held_out: bool) -> None:
    """It is nowhere among its own values: the test has put all tickets into one request."""
    one = "def test_one(ticket, queue):\n    assert route(ticket) == queue\n"
    most = "def test_most(common):\n    assert route('\\n'.join(every(TICKETS))) == common\n"
    cases = [
        Case(
            f"t.py::test_one[{at}]",
            f"t.py::test_one[{at}]",
            one,
            (("ticket", repr(ticket)), ("queue", repr(queue))),
            "holdout" if is_held_out and at == 2 else "search",
        )
        for at, (ticket, queue) in enumerate(TICKETS)
    ]
    batch = Case("t.py::test_most[0]", "t.py::test_most[0]", most, (("common", "'many things'"),))
    cases.append(batch)
    failure = ">       assert answer == common\nE       AssertionError: assert 'shipping and so on' == 'many things'\n"
    run = run_of(batch.id, "\n".join(ticket for ticket, _ in TICKETS), "shipping and so on", failure)
    texts = all_stated(cases, [run])
    assert any("Zora Quist" in text for text in texts) is not is_held_out


@pytest.mark.parametrize("held_out", ["nothing here", "outage"])
def test_a_held_out_value_in_the_source_of_a_test_makes_no_rule_false(held_out: str) -> None:
    """Cut out of a failing case's source, it would part that case from the others of its test."""
    source = "def test_it(ticket, allowed):\n    print('outage')\n    got = route(ticket)\n    assert got in allowed\n"
    labels = [("billing", "refund"), ("billing", "refund"), ("sales", "legal"), (held_out, "zz")]
    cases = [
        Case(
            f"t.py::test_it[{at}]",
            f"t.py::test_it[{at}]",
            source,
            (("ticket", f"'ticket {at}'"), ("allowed", repr(allowed))),
            "holdout" if at == 3 else "search",
        )
        for at, allowed in enumerate(labels)
    ]
    failure = ">       assert got in allowed\nE       AssertionError: assert 'Billing team' in ('billing', 'refund')\n"
    runs = [run_of(case.id, f"ticket {at}", "Billing team", failure) for at, case in enumerate(cases[:2])]
    assert not [text for text in all_stated(cases, runs) if "exactly one of `billing` and `refund`" in text]


def run_of(case: str, asked: str, answer: str, failure: str) -> Rollout:
    call = Call("k", "m", (Message("system", ROUTE_TEXT), Message("user", asked)), Message("assistant", answer))
    found = Trajectory((call,), failure=failure)
    return Rollout(SEED.id, case, "search/0", Outcome.failed, 0.0, found, uses=(ROUTE,))


def all_stated(cases: Sequence[Case], runs: Sequence[Rollout]) -> list[str]:
    """All texts that are made without a model of these failing cases."""
    manager = pytest.PytestPluginManager()
    manager.add_hookspecs(hookspecs)
    model = cast("Any", Script())
    model.settings = SimpleNamespace(model="none")
    proposer = Proposer(
        {case.id: case for case in cases},
        {(SEED.id, run.case): run for run in runs},
        model,
        Extensions(manager.hook),
        make_guard([Component(name, Path(name), text) for name, text in COMPONENTS.items()], cases),
        KINDS,
        Withholder(cases, [], list(COMPONENTS.values())),
        str,
    )
    proposer.learn_baseline(SEED.id)
    task = Reflect("p1", SEED, (ROUTE,), tuple(run.case for run in runs))
    texts: list[str] = []
    while made := proposer.stated(task):
        texts.append(made.text or "")
    return texts
