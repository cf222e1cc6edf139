"""Proposals without a model: what failing checks state becomes a rule, a case becomes an example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from pytest_gepa.evolve.candidate import seed_candidate
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.leaks import CaseText, Leaks, case_values
from pytest_gepa.reflect.modelfree import ModelFree
from pytest_gepa.reflect.propose import MODEL_FREE, ProposedEdit
from pytest_gepa.reflect.rules import rules
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

PROMPT = "prompts/route.md"
TEXT = "You route the tickets of the Juniper desk.\n"
SOURCE = "def test_route(ticket, queue):\n    assert route(ticket) == queue\n"


def case(number: int, *parameters: tuple[str, object], source: str = SOURCE, split: str = "search") -> Case:
    name = f"test_route.py::test[{number}]"
    return Case(name, name, source, tuple((key, repr(value)) for key, value in parameters), split=split)


def shown(case: Case, answer: str, *printed: str, statement: str = "assert route(ticket) == queue") -> Exhibit:
    """A failing run with what pytest prints of it."""
    lines = [
        f">       {statement}",
        *(f"E       {line}" for line in printed),
        "",
        "test_route.py:5: AssertionError",
    ]
    asked = (Message("system", TEXT), Message("user", dict(case.parameters).get("ticket", "'?'").strip("'")))
    call = Call("k", "model", asked, Message("assistant", answer))
    trajectory = Trajectory((call,), failure="\n".join(lines))
    return Exhibit(case, Rollout("seed", case.id, "search/0", Outcome.failed, 0.0, trajectory, uses=(PROMPT,)))


def compared(case: Case, got: object, wanted: object, answer: str | None = None) -> Exhibit:
    return shown(case, str(got) if answer is None else answer, f"AssertionError: assert {got!r} == {wanted!r}")


def suite(*wanted: object, source: str = SOURCE) -> list[Case]:
    return [case(n, ("ticket", f"ticket {n}"), ("queue", one), source=source) for n, one in enumerate(wanted)]


def texts(failing: Sequence[Exhibit], cases: Sequence[Case]) -> list[str]:
    return [rule.text for rule in rules(failing, cases)]


LABELS = "Answer with exactly one of `billing`, `fault` and `sales`, spelt as here, and nothing else."


def test_labels_that_several_cases_want_become_a_rule():
    cases = suite("billing", "fault", "sales", "fault", "sales", "billing")
    (first, *_) = rules([compared(cases[0], "Billing team", "billing")], cases)
    assert first.text == LABELS
    assert first.reason.startswith("1 failing case had something else than one of the 3 labels")


def test_the_side_of_the_parameter_is_the_one_that_is_wanted():
    cases = suite("billing", "fault", "billing", "fault")
    failing = shown(cases[0], "Billing team", "AssertionError: assert 'billing' == 'Billing team'")
    assert texts([failing], cases)[0].startswith("Answer with exactly one of `billing` and `fault`")


def test_texts_that_each_case_has_alone_are_no_labels():
    cases = suite("alpha", "beta", "gamma", "delta")
    assert texts([compared(cases[0], "Alpha it is", "alpha")], cases) == [
        "Answer with the value alone, without a sentence around it, quotation marks or a full stop."
    ]


def test_labels_of_a_field_are_told_with_the_field():
    cases = suite("billing", "fault", "billing", "fault")
    failing = compared(cases[0], "Billing", "billing", answer='{"queue": "Billing", "urgent": true}')
    assert texts([failing], cases)[0] == "The value of `queue` is exactly one of `billing` and `fault`, spelt as here."


def test_labels_that_the_check_itself_names():
    source = "def test_route(ticket, queue):\n    x = route(ticket)\n    assert x in OK\n"
    cases = suite("b", "c", source=source)
    printed = "AssertionError: assert 'maybe' in ('no', 'yes')"
    assert texts([shown(cases[0], "maybe", printed, statement="assert x in OK")], cases) == [
        "Answer with exactly one of `no` and `yes`, spelt as here, and nothing else."
    ]


def test_a_date_that_all_cases_want_in_one_form():
    cases = suite("2024-05-01", "2023-12-24", "2022-01-31")
    failing = compared(cases[1], "24 December 2023", "2023-12-24")
    assert texts([failing], cases) == ["Answer with the value alone, in the form YYYY-MM-DD."]


def test_another_form_is_told_as_a_regular_expression():
    cases = suite("12.50", "1200.00", "7.25")
    assert texts([compared(cases[0], "12,5", "12.50")], cases) == [
        r"Answer with the value alone, in the form of the regular expression `\d+\.\d{2}`."
    ]


def test_a_value_of_the_right_form_needs_no_rule_for_it():
    cases = suite("2024-05-01", "2023-12-24", "2022-01-31")
    assert texts([compared(cases[1], "2023-12-25", "2023-12-24")], cases) == []


@pytest.mark.parametrize(
    ("wanted", "got", "how"),
    [
        (("alpha", "beta", "gamma"), "Alpha.", "in lower case, without quotation marks or a full stop"),
        (("USD", "EUR", "CHF"), '"usd"', "in capital letters, without quotation marks or a full stop"),
        (
            ("Berlin", "Paris", "Rome"),
            "It is Berlin",
            "without a sentence around it, quotation marks or a full stop",
        ),
    ],
)
def test_a_value_that_is_spelt_otherwise_or_stands_in_a_sentence(wanted: tuple[str, ...], got: str, how: str):
    cases = suite(*wanted)
    assert f"Answer with the value alone, {how}." in texts([compared(cases[0], got, wanted[0])], cases)


JSON = "def test(ticket, queue):\n    assert json.loads(answer(ticket)) == queue\n"


def test_an_answer_that_is_no_json_object():
    cases = suite({"amount": "1", "currency": "EUR"}, {"amount": "2", "currency": "USD"}, source=JSON)
    failing = shown(cases[0], "1 EUR", "json.decoder.JSONDecodeError: Extra data: line 1 column 3 (char 2)")
    assert texts([failing], cases) == [
        "Answer with one JSON object and nothing else, no explanation and no code fence, with exactly the keys "
        "`amount` and `currency`."
    ]


def test_a_body_that_a_web_service_answers_with_states_no_form_of_the_models_answer():
    call = 'client.post("/route", json={"ticket": ticket}).json()["label"]'
    wanted = ("billing", "shipping") * 2
    cases = suite(*wanted, source=f"def test(ticket, queue):\n    assert {call} == queue\n")
    assert texts([compared(cases[0], "Billing team", "billing")], cases) == [
        "Answer with exactly one of `billing` and `shipping`, spelt as here, and nothing else.",
        "Answer with the value alone, without a sentence around it, quotation marks or a full stop.",
    ]


def test_the_fields_of_the_objects_that_are_wanted():
    amounts, currencies = ("1.50", "20.00", "3.75", "4.00"), ("EUR", "USD", "EUR", "USD")
    wanted = [{"amount": a, "currency": c} for a, c in zip(amounts, currencies, strict=True)]
    cases = suite(*wanted, source=JSON)
    got = {"amount": "1,5", "currency": "euro"}
    failing = compared(cases[0], got, wanted[0], answer='{"amount": "1,5", "currency": "euro"}')
    assert texts([failing], cases) == [
        "The value of `currency` is exactly one of `EUR` and `USD`, spelt as here.",
        r"The value of `amount` has the form of the regular expression `\d+\.\d{2}`.",
    ]


@pytest.mark.parametrize(
    "failure",
    [
        "",
        "assert",
        "E   assert (" + "(" * 5_000,
        ">   assert f(x) ==\nE   assert 1 ==\n\na.py:1: AssertionError",
        ">   assert len(a, b) < 3\nE   assert 'a' in 3\n\na.py:1: AssertionError",
        ">   assert len(a) < True\nE   assert {} == []\n\na.py:1: AssertionError",
        "\x00 assert 'a' == 'b'",
    ],
)
def test_a_failure_that_states_nothing_gives_no_rule(failure: str):
    run = Rollout("seed", "c", "search/0", Outcome.failed, 0.0, Trajectory(failure=failure))
    assert rules([Exhibit(case(1, ("queue", {"a": 1})), run)], suite({"a": 1}, 3, None)) == []


def test_labels_of_a_field_are_stated_where_no_answer_is_json_yet():
    source = "def test_route(ticket, wanted):\n    assert json.loads(route(ticket)) == wanted\n"
    wanted = ({"queue": "billing", "pages": 3}, {"queue": "fault", "pages": 4}) * 3
    cases = [case(n, ("ticket", f"t {n}"), ("wanted", one), source=source) for n, one in enumerate(wanted)]
    failing = [shown(cases[0], "To billing.", "json.decoder.JSONDecodeError: Expecting value")]
    form, labels = texts(failing, cases)
    assert form.startswith("Answer with one JSON object")
    assert labels == "The value of `queue` is exactly one of `billing` and `fault`, spelt as here."


# Proposals


def guard_of(cases: Sequence[Case]) -> Guard:
    strings = [
        CaseText(one.id, case_values(one.parameters, one.source), is_held_out=one.split == "holdout") for one in cases
    ]
    guard = Guard({PROMPT: TEXT}, Leaks(strings, [TEXT]))
    guard.learn({one.id: [dict(one.parameters)["ticket"].strip("'")] for one in cases})
    return guard


def every(maker: ModelFree, failing: Sequence[Exhibit]) -> list[ProposedEdit]:
    seed = seed_candidate({PROMPT: TEXT})
    found = []
    while proposal := maker.propose(seed, [PROMPT], failing):
        found.append(proposal)
    return found


def test_each_proposal_is_made_once_rules_before_examples():
    cases = suite("billing", "fault", "sales", "fault", "sales", "billing")
    failing = [compared(one, "Billing team", dict(one.parameters)["queue"].strip("'")) for one in cases[:2]]
    found = every(ModelFree(cases, guard_of(cases)), failing)
    assert [proposal.text for proposal in found] == [
        f"{TEXT}{LABELS}\n",
        f"{TEXT}Answer with the value alone, without a sentence around it, quotation marks or a full stop.\n",
        f"{TEXT}\nExample input: ticket 0\nExample answer: billing\n",
        f"{TEXT}\nExample input: ticket 1\nExample answer: fault\n",
    ]
    assert {proposal.origin for proposal in found} == {MODEL_FREE}
    assert [[example.case for example in proposal.examples] for proposal in found[2:]] == [
        [cases[0].id],
        [cases[1].id],
    ]
    assert found[0].calls == 0
    assert found[0].diagnosis
    assert found[0].summary == f"+ {LABELS}"


def test_from_another_parent_the_same_may_be_proposed_unless_it_stands_there():
    cases = suite("billing", "fault", "billing", "fault")
    failing = [compared(cases[0], "Billing team", "billing")]
    maker = ModelFree(cases, guard_of(cases), kinds=("add",))
    (first, second) = every(maker, failing)
    assert first.text is not None
    child = seed_candidate({PROMPT: first.text})
    again = maker.propose(child, [PROMPT], failing)
    assert again is not None
    assert again.summary == second.summary


def test_kinds_of_edit_that_are_not_allowed_are_not_proposed():
    cases = suite("billing", "fault", "billing", "fault")
    failing = [compared(cases[0], "Billing team", "billing")]
    assert all(proposal.examples for proposal in every(ModelFree(cases, guard_of(cases), ("example",)), failing))
    assert every(ModelFree(cases, guard_of(cases), ("replace",)), failing) == []


def test_a_value_of_one_case_is_a_leak_and_one_of_several_is_a_label():
    code = "queue-4711-x"
    several = suite(code, "fault", code, "fault", code, "fault")
    failing = [compared(several[0], "Billing team", code)]
    assert code in str(every(ModelFree(several, guard_of(several)), failing)[0].text)
    single = suite(code, "fault", "sales", "fault", "sales", "fault")
    maker = ModelFree(single, guard_of(single), kinds=("add",))
    assert all(code not in str(proposal.text) for proposal in every(maker, [compared(single[0], "Billing team", code)]))


def test_the_component_of_the_answer_comes_first_and_programs_are_left_alone():
    cases = suite("billing", "fault", "billing", "fault")
    other = "prompts/a_first.md"
    seed = seed_candidate({other: "You write a kind reply to the customer.\n", PROMPT: TEXT, "app/make.py": "x = 1\n"})
    guard = Guard(dict(seed.texts), None)
    maker = ModelFree(cases, guard, kinds=("add",))
    failing = [compared(cases[0], "Billing team", "billing")]
    made = [maker.propose(seed, list(seed.texts), failing) for _ in range(5)]
    assert [proposal.component if proposal else "" for proposal in made] == [PROMPT, other, PROMPT, other, ""]


def test_where_the_likeliest_rule_stands_already_the_next_one_is_the_likeliest():
    cases = suite("billing", "fault", "sales", "fault", "sales", "billing")
    failing = [compared(cases[0], "The Billing team.", "billing")]
    model_free = ModelFree(cases, Guard({PROMPT: TEXT}))
    parent = seed_candidate({PROMPT: f"{TEXT}{LABELS}\n"})
    second = model_free.likeliest(parent, [PROMPT], failing)
    assert second is not None
    assert second.text is not None
    assert second.text.startswith(parent.texts[PROMPT])
    assert second.text.removeprefix(parent.texts[PROMPT]).strip() in texts(failing, cases)


def test_where_every_rule_stands_already_an_example_is_the_likeliest_if_it_may_be():
    cases = suite("billing", "fault", "sales", "fault", "sales", "billing")
    failing = [compared(cases[0], "The Billing team.", "billing")]
    parent = seed_candidate({PROMPT: "\n".join((TEXT.rstrip(), *texts(failing, cases), ""))})
    model_free = ModelFree(cases, guard_of(cases))
    assert model_free.likeliest(parent, [PROMPT], failing) is None
    made = model_free.likeliest(parent, [PROMPT], failing, or_example=True)
    assert made is not None
    assert [example.case for example in made.examples] == [cases[0].id]
    assert model_free.likeliest(parent, [PROMPT], failing, or_example=True) is None


def test_examples_in_the_place_of_rules_are_of_what_fails_behind_one_of_what_does_not():
    wanted = ["billing"] * 6 + ["fault"] * 6 + ["sales"] * 8
    cases = suite(*wanted)
    shown = [compared(one, "?", answer) for one, answer in zip(cases, wanted, strict=True)]
    today, parent = seed_candidate({PROMPT: TEXT}), seed_candidate({PROMPT: f"{TEXT}{LABELS}\n"})
    maker = ModelFree(cases, guard_of(cases))
    made = maker.examples(parent, today, [PROMPT], shown[:6], shown[6:], [])
    assert made is not None
    assert [example.case for example in made.examples] == [cases[at].id for at in (0, 6, 12, 7)]
    assert made.text is not None
    assert made.text.startswith(TEXT)
    assert LABELS not in made.text
    alike = ModelFree(cases, guard_of(cases)).examples(parent, today, [PROMPT], shown[:6], shown[6:7], shown[8:])
    assert alike is not None
    assert [example.case for example in alike.examples] == [cases[at].id for at in (0, 8, 9, 10)]
    assert maker.examples(parent, today, [PROMPT], shown, [], []) is None, "nothing fails"
    few = ModelFree(cases[:8], guard_of(cases)).examples(parent, today, [PROMPT], shown[:4], shown[4:8], [])
    assert few is None, "a fifth of eight is one, and one alone is tried elsewhere"


def test_before_a_model_is_asked_only_the_likeliest_rule_is_made_and_once():
    cases = suite("billing", "fault", "sales", "fault", "sales", "billing")
    failing = [compared(cases[0], "The Billing team.", "billing")]
    assert len(texts(failing, cases)) > 1
    model_free = ModelFree(cases, Guard({PROMPT: TEXT}))
    parent = seed_candidate({PROMPT: TEXT})
    first = model_free.likeliest(parent, [PROMPT], failing)
    assert first is not None
    assert first.text == f"{TEXT}{LABELS}\n"
    assert model_free.likeliest(parent, [PROMPT], failing) is None
    assert model_free.propose(parent, [PROMPT], failing) is not None


def test_all_that_is_stated_is_one_edit_with_an_example():
    cases = suite("billing", "fault", "sales", "fault", "sales", "billing")
    failing = [compared(cases[0], "The Billing team.", "billing")]
    model_free, parent = ModelFree(cases, guard_of(cases)), seed_candidate({PROMPT: TEXT})
    made = model_free.together(parent, [PROMPT], failing)
    assert made is not None
    assert made.text is not None
    stated = texts(failing, cases)
    assert len(stated) > 1
    assert all(rule in made.text for rule in stated)
    assert "ticket 0" in made.text
    assert [example.case for example in made.examples] == [cases[0].id]
    assert all(rule.reason in made.diagnosis for rule in rules(failing, cases))


def test_without_an_example_the_rules_are_put_together():
    cases = suite("billing", "fault", "sales", "fault", "sales", "billing")
    failing = [compared(cases[0], "The Billing team.", "billing")]
    made = ModelFree(cases, guard_of(cases), ("add",)).together(seed_candidate({PROMPT: TEXT}), [PROMPT], failing)
    assert made is not None
    assert made.text is not None
    assert all(rule in made.text for rule in texts(failing, cases))
    assert not made.examples


def test_what_a_judge_of_the_test_should_have_said_is_no_rule_for_the_application():
    source = "def test_route(ticket):\n    assert judge(route(ticket)).startswith('yes')\n"
    cases = [case(n, ("ticket", f"ticket {n}"), source=source) for n in range(4)]
    printed = (
        "AssertionError: assert False",
        " +  where False = <built-in method startswith of str object at 0x7f>('yes')",
        " +    where <built-in method startswith of str object at 0x7f> = 'No, impolite.'.startswith",
    )
    failing = [shown(one, "No, impolite.", *printed, statement=source.split("\n")[1].strip()) for one in cases]
    model_free, parent = ModelFree(cases, guard_of(cases), ("add",)), seed_candidate({PROMPT: TEXT})
    assert model_free.propose(parent, [PROMPT], failing) is not None  # of the application's own answer
    for exhibit in failing:
        (answered,) = exhibit.rollout.trajectory.calls
        asked = (Message("system", "Is this reply polite? Say yes or no."), Message("user", "Go away."))
        judged = replace(answered, request=asked)
        judging = replace(exhibit.rollout.trajectory, calls=(answered, judged))
        index = failing.index(exhibit)
        failing[index] = replace(exhibit, rollout=replace(exhibit.rollout, trajectory=judging))
    model_free = ModelFree(cases, guard_of(cases), ("add",))
    assert model_free.propose(parent, [PROMPT], failing) is None


def test_one_rule_alone_is_nothing_to_put_together():
    cases = suite("billing", "fault", "sales", "fault", "sales", "billing")
    failing = [compared(cases[0], "The Billing team.", "billing")]
    first, *others = texts(failing, cases)
    parent = seed_candidate({PROMPT: "\n".join((TEXT.rstrip(), *others, ""))})
    model_free = ModelFree(cases, guard_of(cases), ("add",))
    assert model_free.together(parent, [PROMPT], failing) is None
    made = model_free.likeliest(parent, [PROMPT], failing)
    assert made is not None
    assert first in (made.text or "")
