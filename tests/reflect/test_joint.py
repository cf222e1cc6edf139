"""Several prompts asked for in one request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_gepa.errors import ReflectionError
from pytest_gepa.prompts.edits import KINDS
from pytest_gepa.prompts.guards import FormatProblem, Guard, no_format_problem
from pytest_gepa.reflect.joint import propose_jointly
from pytest_gepa.reflect.menu import joint_menu
from pytest_gepa.reflect.model import ContextTooLong, RawReply
from pytest_gepa.reflect.propose import EvidenceBudget, ProposedEdit
from pytest_gepa.reflect.request import Asked
from tests.reflect.exhibits import COMPONENTS, REPLY_TEXT, ROUTE, ROUTE_TEXT, exhibit, passing
from tests.reflect.test_propose import LONG, Script, not_to_blame

REPLY = "prompts/reply.md"
BOTH = (Asked(ROUTE, ROUTE_TEXT, [("+ Be brief.", "no gain")]), Asked(REPLY, REPLY_TEXT, []))
LOWER, WARM = ("add", "", "Use lower case."), ("replace", "a kind reply", "a warm reply")


def reply(*edits: tuple[str, tuple[str, str, str]], case: str = "1") -> str:
    """A reply with edits, each of a prompt."""
    found = [{"case": case, "problem": "Not the queue's name.", "cause": "Names are not listed."}]
    made = [
        {"prompt": prompt, "kind": kind, "find": find, "text": text, "case": ""} for prompt, (kind, find, text) in edits
    ]
    return json.dumps({"diagnoses": found, "edits": made})


def proposed(
    model: Any,
    asked: Sequence[Asked] = BOTH,
    format_problem: FormatProblem = no_format_problem,
    **changes: Any,
) -> dict[str, ProposedEdit]:
    arguments: dict[str, Any] = {
        "failing": [exhibit()],
        "neighbours": [passing()],
        "components": COMPONENTS,
        "kinds": KINDS,
        "budget": EvidenceBudget(),
        **changes,
    }
    texts = {**COMPONENTS, **{one.component: one.text for one in asked}}
    guard = Guard(texts, format_problem=format_problem)
    made = propose_jointly(asked, guard, model=model, **arguments)
    assert [one.component for one in made] == [one.component for one in asked]
    return {one.component: one for one in made}


def test_each_prompt_gets_its_own_edits_and_the_reply_is_paid_for_once() -> None:
    made = proposed(Script(reply((ROUTE, LOWER), (REPLY, WARM))))
    assert made[ROUTE].text == ROUTE_TEXT + "Use lower case.\n"
    assert made[REPLY].text == "You write a warm reply to the customer.\n"
    assert made[REPLY].summary == f"- {REPLY_TEXT}+ You write a warm reply to the customer."
    case = "tests/test_route.py::test_route[double-charge]"
    for one in made.values():
        assert one.case_diagnoses == ((case, "Not the queue's name.", "Names are not listed."),)
        assert not one.rejections
    assert [one.calls for one in made.values()] == [1, 0]


def test_a_prompt_without_edits_is_not_to_blame() -> None:
    made = proposed(Script(reply((REPLY, WARM))))
    assert made[ROUTE].text is None
    assert not_to_blame(made[ROUTE])
    assert made[REPLY].text is not None


def test_the_request_tells_the_evidence_once_and_all_the_prompts() -> None:
    script = Script(reply((ROUTE, LOWER)))
    proposed(script, attempt=1)
    system, user = (message["content"] for message in script.asked[0])
    assert "SEVERAL of these prompt files" in system
    assert '"edits": [{"prompt": "<the name of the prompt that is edited>", "kind": "..."' in system
    assert user.count("# Failing cases") == 1
    for one in BOTH:
        assert user.count(f"# Prompt to edit: {one.component}\n```\n{one.text}```") == 1
    assert "Other prompts of the same program" not in user
    assert f"Discarded: {ROUTE}: no gain" in user
    assert "This is request 2 about this version of the prompts." in user
    assert user.endswith(f"then edit the prompts that are to blame: {ROUTE}, {REPLY}. Answer with the JSON object.")
    assert script.schemas[0] == joint_menu(KINDS, (ROUTE, REPLY), 1_500 + len(ROUTE_TEXT)).schema


def test_an_edit_that_cannot_be_applied_is_asked_for_once_more_and_the_others_stand() -> None:
    lost = ("replace", "no such passage", "x")
    script = Script(reply((ROUTE, lost), (REPLY, WARM)), reply((ROUTE, LOWER)))
    made = proposed(script)
    said = script.asked[1][-1]["content"]
    assert said.startswith(f"That reply was not used: {ROUTE}: not found: ")
    assert REPLY not in said
    assert made[ROUTE].text == ROUTE_TEXT + "Use lower case.\n"
    assert made[ROUTE].calls == 2
    assert [reason.partition(":")[0] for reason in made[ROUTE].rejections] == ["not found"]
    assert made[REPLY].rejections == ()
    assert made[REPLY].text == "You write a warm reply to the customer.\n"


def test_where_it_is_refused_again_only_that_prompt_is_left_as_it_was() -> None:
    lost = ("replace", "no such passage", "x")
    made = proposed(Script(*[reply((ROUTE, lost), (REPLY, WARM))] * 2))
    assert (made[ROUTE].text, len(made[ROUTE].rejections), not_to_blame(made[ROUTE])) == (None, 2, False)
    assert made[REPLY].text == "You write a warm reply to the customer.\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty reply"),
        ("```\nYou route.\n```", "no JSON"),
        (reply(("prompts/other.md", LOWER)), "no such prompt: 'prompts/other.md'"),
        ('{"diagnoses": [], "edits": [{"kind": "add", "find": "", "text": "x"}]}', "no such prompt: 'None'"),
        ('{"diagnoses": [], "edits": [{"prompt": ["a"], "kind": "add", "text": "x"}]}', "no such prompt"),
        ('{"diagnoses": [], "edits": "none"}', 'wrong shape: "edits"'),
    ],
)
def test_a_reply_that_cannot_be_divided_is_no_edit_of_any(text: str, reason: str) -> None:
    made = proposed(Script(text, text))
    assert all(one.text is None for one in made.values())
    assert all(told.startswith(reason) for told in made[ROUTE].rejections)
    assert (len(made[ROUTE].rejections), made[REPLY].rejections) == (2, ())


def test_a_truncated_reply_is_refused_with_its_reason() -> None:
    made = proposed(Script(RawReply("{", "length"), reply((REPLY, WARM))))
    assert made[ROUTE].rejections[0].startswith("truncated")
    assert made[REPLY].text is not None


def test_a_secret_in_one_of_the_prompts_is_not_shown_and_comes_back_in_its_place() -> None:
    text = "The key is sk-hidden.\nYou write a kind reply.\n"

    def redact(said: str) -> str:
        return said.replace("sk-hidden", "[redacted]") if "sk-hidden" in said else said

    script = Script(reply((ROUTE, LOWER), (REPLY, ("add", "", "Be brief."))))
    made = proposed(script, (BOTH[0], Asked(REPLY, text, [])), redact=redact)
    assert "sk-hidden" not in script.asked[0][1]["content"]
    assert made[REPLY].text == text + "Be brief.\n"


def test_a_reason_that_quotes_the_edited_text_goes_back_without_its_secret() -> None:
    def redact(said: str) -> str:
        return said.replace("sk-hidden", "[redacted]") if "sk-hidden" in said else said

    def quoting(component: str, text: str) -> str:
        return f"wrong format: {text}"

    script = Script(reply((REPLY, ("add", "", "Be brief."))), reply())
    asked = (BOTH[0], Asked(REPLY, "api_key: sk-hidden\nsystem: Reply.\n", []))
    proposed(script, asked, quoting, redact=redact)
    said = script.asked[1][3]["content"]
    assert "wrong format: api_key: [redacted]" in said
    assert "sk-hidden" not in said


def test_trouble_at_the_first_question_is_raised_and_later_keeps_what_was_paid_for() -> None:
    with pytest.raises(ReflectionError):
        proposed(Script(ReflectionError("down")))
    made = proposed(Script("no", ReflectionError("down")))
    assert made[ROUTE].calls == 1
    assert made[ROUTE].rejections[-1] == "no reply: down"


def test_a_request_too_long_for_the_context_is_halved() -> None:
    script = Script(ContextTooLong("long"), reply((ROUTE, LOWER)))
    budget = EvidenceBudget()
    assert proposed(script, failing=LONG, budget=budget)[ROUTE].text
    budget.begin_round()
    assert budget.tokens == 6_000


def test_the_schema_is_strict_and_names_the_prompts() -> None:
    schema: Mapping[str, Any] = joint_menu(("add",), ("a", "b"), 900).schema
    edit = schema["properties"]["edits"]["items"]
    assert edit["properties"]["prompt"] == {"type": "string", "enum": ["a", "b"]}
    assert edit["required"] == list(edit["properties"]) == ["prompt", "kind", "find", "text"]
    assert edit["additionalProperties"] is False
