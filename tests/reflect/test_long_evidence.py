"""Evidence of runs that are far too long for it: what tells most must be there, whatever stands beside it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.reflect.evidence import Evidence, gather, gather_briefly
from pytest_gepa.reflect.fit import estimate_tokens
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.condensed import condensed
from pytest_gepa.trace.condense import KEPT_BYTES, condense
from pytest_gepa.trace.trajectory import Call, Message, Step
from tests.reflect.exhibits import COMPONENTS, ROUTE, ROUTE_TEXT, call, exhibit, route_call

BUDGET = 12_000
KEPT = KEPT_BYTES // 5
"""Of a run a fifth is kept here of what is usually, so that texts of a fifth of the size say as much."""
LONG_TEXT = 400_000
"""Characters of a text of 100,000 tokens."""


def words(size: int, name: str) -> str:
    return f"<{name}> " + "The ledger of the third week shows a sum. " * (size // 42) + f"</{name}>"


def kept(one: Exhibit) -> Exhibit:
    """An exhibit as the process of a run has it, where it keeps less."""
    return Exhibit(one.case, replace(one.rollout, trajectory=condense(one.rollout.trajectory, KEPT)))


def told(evidence: Evidence) -> str:
    sections = (*evidence.functions, *evidence.failing, *evidence.neighbours)
    return "\n".join(f"{part.label}\n{part.text}" for section in sections for part in section.parts)


def check(one: Exhibit, *, says: tuple[str, ...]) -> str:
    text = told(gather([ROUTE], COMPONENTS, [kept(one)], [], BUDGET))

    assert estimate_tokens(text) <= BUDGET
    assert "characters cut ...]" in text
    assert [wanted for wanted in says if wanted not in text] == []
    return text


ANSWER = ("system", ROUTE_TEXT), ("user", "My card was charged twice")


def test_an_assertion_that_goes_on_and_on() -> None:
    diff = "\n".join(f"E         - {words(160, str(number))}" for number in range(LONG_TEXT // 180))
    first = ">       assert found == wanted\nE       AssertionError: assert first\n"
    failure = f"{first}{diff}\nE         + the end\n\nt.py:3: AssertionError"

    check(
        exhibit(failure=failure),
        says=(
            "> assert found == wanted",
            "AssertionError: assert first",
            "+ the end",
            "t.py:3",
            "Billing team",
        ),
    )


def test_one_very_long_line() -> None:
    failure = f">       assert x\nE       assert '{words(LONG_TEXT, 'x')}'\n\nt.py:3: AssertionError"

    check(exhibit(failure=failure), says=("> assert x", "assert '<x>", "</x>'", "t.py:3: AssertionError"))


def test_a_tool_result_of_100_000_tokens() -> None:
    result = Message("tool", words(LONG_TEXT, "result"), tool_call_id="1")
    calls = call(*ANSWER, Message("assistant", "I look."), result, answer="Billing team, at last")

    check(
        exhibit(calls),
        says=(
            "My card was charged twice",
            "<result>",
            "</result>",
            "Billing team, at last",
            "'Billing team' == 'billing'",
        ),
    )


def test_six_hundred_calls() -> None:
    calls = [route_call(f"ticket {number} {words(400, str(number))}", f"queue {number}") for number in range(600)]

    text = check(exhibit(*calls), says=("ticket 599", "queue 599", "'Billing team' == 'billing'"))

    assert re.search(r"\[\.\.\. [\d,]+ parts of this run, [\d,]+ characters, cut \.\.\.\]", text)


def test_an_agent_of_two_hundred_calls_that_sends_its_history_again() -> None:
    history: tuple[Message, ...] = (Message("system", ROUTE_TEXT), Message("user", "Find the queue."))
    calls: list[Call] = []
    for number in range(200):
        calls.append(Call(f"k{number}", "m", history, Message("assistant", f"step {number}")))
        history = (
            *history,
            Message("assistant", f"step {number}"),
            Message("tool", words(2_000, f"r{number}")),
        )

    check(exhibit(*calls), says=("Find the queue.", "step 199", "'Billing team' == 'billing'"))


def test_logs_and_steps_give_way_to_what_was_asked_and_answered() -> None:
    one = exhibit(
        route_call(),
        steps=(Step("docs", words(LONG_TEXT, "docs")),),
        output=(("Captured stdout call", words(LONG_TEXT, "out")),),
    )

    check(
        one,
        says=("My card was charged twice", "Billing team", "'Billing team' == 'billing'", "+ Billing team"),
    )


def test_several_failing_asserts_with_long_explanations() -> None:
    diff = "\n".join(f"E         - {words(160, str(number))}" for number in range(1_200))
    failure = (
        "\n".join(f">       assert check_{name}()\n{diff}" for name in ("one", "two", "three")) + "\nt.py:9: Error"
    )

    check(
        exhibit(failure=failure),
        says=("> assert check_one()", "> assert check_two()", "> assert check_three()"),
    )


def test_twenty_cases_that_are_all_too_long() -> None:
    cases = [
        kept(
            exhibit(
                route_call(words(18_000, f"q{number}"), words(18_000, f"a{number}")),
                name=f"case{number}",
                failure=f">       assert x{number}\nE       {words(18_000, f'f{number}')}\n\nt.py:{number}: Error",
            )
        )
        for number in range(20)
    ]
    evidence = gather([ROUTE], COMPONENTS, cases, [], BUDGET)
    text = told(evidence)

    assert estimate_tokens(text) <= BUDGET
    assert evidence.left_out == 0
    assert all(f"> assert x{number}\n" in text and f"t.py:{number}: Error" in text for number in range(20))
    assert all(f"<a{number}>" in text for number in range(20))


LONG = st.integers(0, 8_000).map(lambda size: words(size, "x"))


@given(
    st.lists(st.tuples(LONG, LONG), min_size=1, max_size=6),
    LONG,
    LONG,
    LONG,
    st.integers(300, 6_000),
    st.sampled_from([gather, gather_briefly]),
)
def test_whatever_the_run_its_failure_and_last_answer_are_there(
    talks: list[tuple[str, str]], explanation: str, output: str, last: str, budget: int, tell: object
) -> None:
    calls = [route_call(f"ask {asked}", said) for asked, said in talks]
    one = exhibit(
        *calls,
        route_call("the last question", f"the last answer {last} its end"),
        output=(("Captured stdout call", output),),
        failure=f">       assert the_check()\nE       no: {explanation}\n\nt.py:3: AssertionError",
    )
    arguments = (
        (ROUTE, COMPONENTS, [kept(one)], [], budget) if tell is gather else (ROUTE, COMPONENTS, [kept(one)], budget)
    )
    text = told(tell(*arguments))  # type: ignore[operator]

    assert "the last answer" in text
    assert "its end" in text
    assert "no: <x>" in text
    if tell is gather:
        assert "> assert the_check()" in text
        assert "t.py:3: AssertionError" in text


@pytest.mark.parametrize("size", [100, 5_000])
def test_a_run_of_usual_size_is_told_from_the_very_same_texts(size: int) -> None:
    one = exhibit(route_call(words(size, "q"), words(size, "a")))

    assert condensed(one.rollout) == one.rollout
    assert condensed(one.rollout).trajectory is one.rollout.trajectory


def test_what_a_long_answer_was_compared_with_is_told_in_short_too() -> None:
    long = "The ticket is about a card. " * 30
    lines = [f"AssertionError: assert {long!r} == 'billing'", "  ", "  - billing", f"  + {long}"]
    said = [">       assert x", *(f"E       {line}" for line in lines), "", "t.py:3: AssertionError"]
    one = exhibit(route_call(answer=long), failure="\n".join(said))
    assert "== 'billing'" in told(gather_briefly(ROUTE, COMPONENTS, [one], 1_500))
