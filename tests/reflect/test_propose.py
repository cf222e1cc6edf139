from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.codec import to_json
from pytest_gepa.errors import ReflectionError
from pytest_gepa.prompts.examples import Example
from pytest_gepa.prompts.guards import FormatProblem, Guard, no_format_problem
from pytest_gepa.prompts.leaks import CaseText, Leaks
from pytest_gepa.prompts.summary import summarize
from pytest_gepa.reflect.endpoint import ReflectionEndpoint
from pytest_gepa.reflect.menu import FULL, Menu, full_menu, shrunken_menus
from pytest_gepa.reflect.model import ContextTooLong, RawReply, ReflectionModel
from pytest_gepa.reflect.propose import EvidenceBudget, ProposedEdit, propose
from pytest_gepa.reflect.request import ChatMessage
from pytest_gepa.trace.redact import Redactor
from tests.fake_openai import FakeOpenAI
from tests.reflect.exhibits import (
    COMPONENTS,
    EXAMPLE,
    ROUTE,
    ROUTE_TEXT,
    RULE,
    exhibit,
    passing,
    route_call,
)


class Script:
    """A reflection model that says its lines in order, and remembers what it was asked."""

    def __init__(self, *lines: str | RawReply | Exception) -> None:
        self.lines: Iterator[str | RawReply | Exception] = iter(lines)
        self.asked: list[Sequence[ChatMessage]] = []
        self.schemas: list[Any] = []

    def ask(self, messages: Sequence[ChatMessage], schema: Mapping[str, Any] | None = None) -> RawReply:
        self.asked.append(messages)
        self.schemas.append(schema)
        line = next(self.lines)
        if isinstance(line, Exception):
            raise line
        return RawReply(line, "stop", "", 100, 10) if isinstance(line, str) else line


def full(*edits: tuple[str, str, str], case: object = "1") -> str:
    return json.dumps(
        {
            "diagnoses": [{"case": case, "problem": "Not the queue's name.", "cause": "Names are not listed."}],
            "edits": [{"kind": kind, "find": find, "text": text} for kind, find, text in edits],
        }
    )


def proposed(
    model: Any,
    menu: Menu = FULL,
    budget: EvidenceBudget | None = None,
    text: str = ROUTE_TEXT,
    cases: Sequence[tuple[str, tuple[str, ...]]] = (),
    today: str = "",
    learnt: Mapping[str, Sequence[str]] | None = None,
    format_problem: FormatProblem = no_format_problem,
    **changes: Any,
) -> ProposedEdit:
    arguments = {
        "failing": [exhibit()],
        "neighbours": [passing()],
        "discarded": [],
        "components": {**COMPONENTS, ROUTE: text},
        **changes,
    }
    guard = Guard(
        {**COMPONENTS, ROUTE: today or text},
        Leaks([CaseText(*case) for case in cases], [today or text]),
        format_problem,
    )
    guard.learn(learnt or {})
    return propose(ROUTE, text, guard, model=model, menu=menu, budget=budget or EvidenceBudget(), **arguments)


def not_to_blame(proposal: ProposedEdit) -> bool:
    """Whether the model gave a valid reply and wants no change of this prompt."""
    return proposal.text is None and bool(proposal.replies) and not proposal.replies[-1].rejection


def test_an_edit_becomes_a_new_text() -> None:
    proposal = proposed(Script(full(("add", "", "Use lower case."), ("replace", "a queue", "one of the queues"))))
    assert proposal.text == (
        "You route tickets of the Juniper desk to one of the queues.\nAnswer with the queue's name.\nUse lower case.\n"
    )
    assert proposal.diagnosis == "Not the queue's name. Names are not listed."
    assert proposal.summary == (
        "- You route tickets of the Juniper desk to a queue.\n"
        "+ You route tickets of the Juniper desk to one of the queues.\n"
        "+ Use lower case."
    )
    assert proposal.calls == 1
    assert proposal.rejections == ()
    assert not not_to_blame(proposal)


@pytest.mark.parametrize(("today", "most"), [("Name the queue.\n", 1_516), (40 * "Name it now.\n", None)])
def test_no_passage_is_asked_for_that_is_longer_than_the_prompt_may_get(today: str, most: int | None) -> None:
    script = Script(full(("add", "", "Use lower case.")))
    proposed(script, text=today)
    edit = script.schemas[0]["properties"]["edits"]["items"]["properties"]
    # A bound above 2,000 slows down servers that hold a model to it by a grammar.
    assert edit["text"].get("maxLength") == edit["find"].get("maxLength") == most


def test_a_rule_becomes_a_new_line() -> None:
    script = Script('{"diagnosis": "no form", "rule": "The answer must be in lower case."}')
    assert proposed(script, RULE).text == ROUTE_TEXT + "The answer must be in lower case.\n"


def test_a_whole_text_in_a_fence_is_taken() -> None:
    assert proposed(Script("Here:\n```\nName the queue in lower case.\n```")).text == "Name the queue in lower case.\n"


@pytest.mark.parametrize("case", ["1", "Failing case 1", "#1", "tests/test_route.py::test_route[double-charge]"])
def test_diagnoses_name_the_case_that_the_model_means(case: str) -> None:
    (diagnosis,) = proposed(Script(full(("add", "", "x"), case=case))).case_diagnoses
    assert diagnosis[0] == "tests/test_route.py::test_route[double-charge]"


@pytest.mark.parametrize("case", ["1, 2", "1 and 2", "Failing cases 1 & 2", "1-2", "1 to 2, 2", [1, 2], ["#1", "2"]])
def test_a_diagnosis_may_be_about_several_cases(case: object) -> None:
    failing = [exhibit(name="twice"), exhibit(name="late")]
    found = proposed(Script(full(("add", "", "x"), case=case)), failing=failing).case_diagnoses
    assert [diagnosis[0] for diagnosis in found] == [one.case.nodeid for one in failing]


def test_a_case_that_does_not_exist_stays_in_the_models_words() -> None:
    assert proposed(Script(full(("add", "", "x"), case="case 7"))).case_diagnoses[0][0] == "case 7"


def test_no_edit_means_not_to_blame_and_is_no_rejection() -> None:
    proposal = proposed(Script(full()))
    assert not_to_blame(proposal)
    assert (proposal.text, proposal.summary, proposal.rejections, proposal.calls) == (None, "", (), 1)
    assert proposal.diagnosis


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("I would add a rule.", "no JSON and no single fence"),
        (RawReply("{", "length"), "truncated"),
        (full(("replace", "no such passage", "x")), "not found: 'no such passage' does not occur"),
        (full(("replace", "{ticket}", "the ticket")), "placeholder lost: the placeholder '{ticket}' is lost"),
        (full(("rewrite", "", "{ticket}" + "word " * 900)), "too long: the edited text has"),
    ],
)
def test_a_rejected_reply_is_asked_for_once_more_with_the_reason(bad: str | RawReply, words: str) -> None:
    script = Script(bad, full(("add", "", "Use lower case.")))
    proposal = proposed(script, text="Route {ticket}.\n")
    assert proposal.text == "Route {ticket}.\nUse lower case.\n"
    (rejection,) = proposal.rejections
    assert rejection.startswith(words)
    first, second = script.asked
    assert list(second[:2]) == list(first)
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    assert rejection in second[3]["content"]
    assert [exchange.rejection for exchange in proposal.replies] == [rejection, ""]
    assert proposal.calls == 2


def test_a_reason_that_quotes_the_edited_text_goes_back_without_its_secret() -> None:
    def redact(said: str) -> str:
        return said.replace("sk-hidden", "[redacted]") if "sk-hidden" in said else said

    def quoting(component: str, text: str) -> str:
        return f"wrong format: {text}"

    script = Script(full(("add", "", "x")), full())
    proposed(script, text="api_key: sk-hidden\nsystem: Route.\n", format_problem=quoting, redact=redact)
    said = script.asked[1][3]["content"]
    assert "wrong format: api_key: [redacted]" in said
    assert "sk-hidden" not in said


def test_two_rejections_are_the_end() -> None:
    proposal = proposed(Script("no", "```\n```", full(("add", "", "x"))))
    assert proposal.text is None
    assert proposal.rejections == (
        "no JSON and no single fence: answer with the JSON object alone",
        "empty fence",
    )
    assert proposal.calls == 2
    assert not not_to_blame(proposal)


def test_trouble_at_the_first_question_is_raised() -> None:
    with pytest.raises(ReflectionError, match="down"):
        proposed(Script(ReflectionError("down")))


def test_trouble_after_a_paid_reply_keeps_what_was_paid_for() -> None:
    proposal = proposed(Script("no", ReflectionError("down")))
    assert (proposal.text, proposal.calls) == (None, 1)
    assert proposal.rejections[-1] == "no reply: down"


LONG = [exhibit(route_call("word " * 20_000), name=f"{n}") for n in range(3)]


def test_a_request_too_long_for_the_context_is_halved_and_the_budget_remembered() -> None:
    script = Script(ContextTooLong("long"), ContextTooLong("long"), full(("add", "", "x")), full(("add", "", "y")))
    budget = EvidenceBudget()
    assert proposed(script, budget=budget, failing=LONG).text
    budget.begin_round()
    assert budget.tokens == 3_000
    sizes = [len(messages[1]["content"]) for messages in script.asked]
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < 0.6 * sizes[1]
    assert proposed(script, budget=budget, failing=LONG).text
    assert len(script.asked[3][1]["content"]) == sizes[2]


def test_halving_starts_from_the_evidence_that_was_sent() -> None:
    script = Script(ContextTooLong("long"), full(("add", "", "x")))
    budget = EvidenceBudget()
    proposed(script, budget=budget)
    budget.begin_round()
    assert budget.tokens < 300


def test_a_prompt_that_never_fits_is_given_up_without_an_error() -> None:
    script = Script(*(ContextTooLong("long") for _ in range(9)))
    budget = EvidenceBudget()
    proposal = proposed(script, failing=LONG, budget=budget)
    budget.begin_round()
    assert budget.tokens == EvidenceBudget().tokens
    assert len(script.asked) == 5
    assert proposal.rejections == ("context too long: long",)
    assert (proposal.text, proposal.calls) == (None, 0)


def test_the_budget_is_only_lowered() -> None:
    budget = EvidenceBudget(8_000)
    budget.lower(4_000)
    budget.lower(6_000)
    budget.begin_round()
    assert budget.tokens == 4_000


def test_what_one_reflection_learns_changes_none_of_the_same_round() -> None:
    budget = EvidenceBudget()
    alone, after = Script(full(("add", "", "x"))), Script(full(("add", "", "x")))
    proposed(alone, failing=LONG)
    proposed(Script(ContextTooLong("long"), full(("add", "", "x"))), budget=budget, failing=LONG)
    proposed(after, budget=budget, failing=LONG)
    assert after.asked == alone.asked


def test_the_second_question_of_a_reflection_holds_no_more_than_the_first_had_to() -> None:
    script = Script(ContextTooLong("long"), "no edit", full(("add", "", "x")))
    assert proposed(script, failing=LONG).text
    assert script.asked[2][:2] == script.asked[1]


def test_a_proposal_goes_into_the_journal() -> None:
    record = json.loads(json.dumps(to_json(proposed(Script("no", full(("add", "", "x")))))))
    assert [exchange["rejection"][:7] for exchange in record["replies"]] == ["no JSON", ""]
    assert record["replies"][0]["request"][0]["role"] == "system"
    assert record["replies"][1]["reply"]["output_tokens"] == 10


def test_a_proposal_through_the_sdk() -> None:
    with FakeOpenAI(lambda request: full(("add", "", "Use lower case."))) as server:
        model = ReflectionModel(ReflectionEndpoint("reflector", server.base_url, "k", 10.0))
        assert proposed(model).text == ROUTE_TEXT + "Use lower case.\n"
        model.close()
    assert "# Prompt to edit: prompts/route.md" in server.prompts[0]


@given(st.text(max_size=400), st.text(max_size=400))
def test_summaries_are_short_and_name_changes_only(before: str, after: str) -> None:
    summary = summarize(before, after)
    assert len(summary) <= 440
    assert all(line.startswith(("+ ", "- ", "(")) for line in summary.split("\n") if line)


def test_a_long_change_is_summed_up() -> None:
    summary = summarize("", "\n".join(f"rule {n}: " + "word " * 60 for n in range(9)))
    assert summary.startswith("+ rule 0: word")
    assert summary.endswith("(7 more changed lines)")


# Examples, and what the guard has to say


TICKET = "My card was charged twice"
CASE = "tests/test_route.py::test_route#double-charge"
WHOLE = f"Example: {TICKET} -> billing"
STRINGS = [(CASE, (TICKET, "billing")), ("other", ("Where is the parcel of my old aunt?", "shipping"))]


def example(text: str, case: str = "1", **more: str) -> str:
    edits = [{"kind": "example", "find": "", "text": text, "case": case, **more}]
    return json.dumps({"diagnoses": [], "edits": edits})


@pytest.mark.parametrize("case", ["1", "case 1", "tests/test_route.py::test_route[double-charge]"])
def test_a_case_taken_whole_is_named_with_the_proposal(case: str) -> None:
    proposal = proposed(Script(example(WHOLE, case)), cases=STRINGS)
    assert proposal.text == f"{ROUTE_TEXT}{WHOLE}\n"
    assert proposal.examples == (Example(CASE, ROUTE, WHOLE),)


@pytest.mark.parametrize("case", ["", "none", "0", "N/A", "invented"])
def test_an_invented_example_names_no_case(case: str) -> None:
    proposal = proposed(Script(example("Example: the kettle is broken -> repairs", case)), cases=STRINGS)
    assert proposal.text is not None
    assert proposal.examples == ()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (example(WHOLE, ""), "leak: "),
        (example(WHOLE, "2"), "no such case: '2' is none of the failing cases 1 to 1"),
        (example("Example: My card was charged -> billing"), "not the whole case: "),
        (example(f"{WHOLE}\nWhere is the parcel of my old aunt?"), "leak: "),
        (full(("add", "", f"If it says: {TICKET}, answer billing.")), "leak: "),
        (full(("section", "## Rules", "x")), "no such section: "),
    ],
)
def test_what_the_guard_refuses_is_told_once(bad: str, words: str) -> None:
    script = Script(bad, full(("add", "", "Use lower case.")))
    proposal = proposed(script, cases=STRINGS)
    assert proposal.text == f"{ROUTE_TEXT}Use lower case.\n"
    assert proposal.rejections[0].startswith(words)
    assert proposal.rejections[0] in script.asked[1][3]["content"]
    assert proposal.examples == ()


def test_examples_that_the_parent_has_are_let_off_while_they_stand() -> None:
    parent = f"{ROUTE_TEXT}{WHOLE}\n"
    taken = [Example(CASE, ROUTE, WHOLE)]
    kept = proposed(
        Script(full(("add", "", "Use lower case."))),
        text=parent,
        cases=STRINGS,
        examples=taken,
        today=ROUTE_TEXT,
    )
    assert kept.text == f"{parent}Use lower case.\n"
    assert kept.examples == ()
    reworded = full(("replace", "Example: My card was charged twice -> billing", f"'{TICKET}' goes to billing."))
    left = proposed(Script(reworded, reworded), text=parent, cases=STRINGS, examples=taken, today=ROUTE_TEXT)
    assert left.text is None
    assert {reason[:5] for reason in left.rejections} == {"leak:"}


def test_an_example_in_another_prompt_lets_its_case_off_here_too() -> None:
    elsewhere = [Example(CASE, "prompts/reply.md", WHOLE)]
    assert proposed(Script(full(("add", "", WHOLE))), cases=STRINGS, examples=elsewhere).text


def test_the_menus_for_weak_models_add_a_rule_or_an_example() -> None:
    reply = {"diagnosis": "d", "input": TICKET, "expected": "billing"}
    proposal = proposed(Script(json.dumps(reply)), EXAMPLE, cases=STRINGS)
    assert proposal.text == f"{ROUTE_TEXT}\nExample input: {TICKET}\nExample answer: billing\n"
    assert [one.case for one in proposal.examples] == [CASE]
    invented = {**reply, "input": "The kettle is broken", "expected": "repairs"}
    assert proposed(Script(json.dumps(invented)), EXAMPLE, cases=STRINGS).examples == ()


def test_where_input_and_answer_are_known_a_weak_model_only_chooses_the_case() -> None:
    script = Script(json.dumps({"diagnosis": "d", "case": "1"}))
    proposal = proposed(script, EXAMPLE, cases=STRINGS, learnt={CASE: [TICKET]})
    assert proposal.text == f"{ROUTE_TEXT}\nExample input: {TICKET}\nExample answer: billing\n"
    assert proposal.examples == (Example(CASE, ROUTE, f"Example input: {TICKET}\nExample answer: billing"),)
    assert script.schemas[0]["properties"]["case"]["enum"] == ["1"]
    assert '"case" is the number of the case' in script.asked[0][0]["content"]


@pytest.mark.parametrize("case", ["7", "the first one"])
def test_a_choice_of_no_case_is_told(case: str) -> None:
    replies = [json.dumps({"diagnosis": "d", "case": name}) for name in (case, "1")]
    proposal = proposed(Script(*replies), EXAMPLE, cases=STRINGS, learnt={CASE: [TICKET]})
    assert proposal.rejections[0].startswith("no such case: ")
    assert proposal.examples


def test_a_choice_of_none_is_no_edit() -> None:
    reply = json.dumps({"diagnosis": "d", "case": "none"})
    assert not_to_blame(proposed(Script(reply), EXAMPLE, cases=STRINGS, learnt={CASE: [TICKET]}))


@pytest.mark.parametrize("answer", ["Billing team", "shipping"])
def test_an_example_with_another_answer_than_the_expected_one_is_refused(answer: str) -> None:
    failed = json.dumps({"diagnosis": "d", "input": TICKET, "expected": answer})
    right = json.dumps({"diagnosis": "d", "input": TICKET, "expected": "billing"})
    proposal = proposed(Script(failed, right), EXAMPLE, cases=STRINGS)
    assert proposal.rejections[0].startswith("wrong answer: ")
    assert [one.case for one in proposal.examples] == [CASE]


def test_what_the_settings_forbid_is_refused_in_every_form() -> None:
    narrow = full_menu(("add", "replace"))
    script = Script(full(("rewrite", "", "All new.")), "```\nAll new.\n```")
    proposal = proposed(script, narrow)
    assert [reason.partition(":")[0] for reason in proposal.rejections] == ["kind not allowed"] * 2
    assert "add, replace" in proposal.rejections[0]
    (rule, *_) = shrunken_menus(("add",))
    assert proposed(Script("```\nAll new.\n```", "```\nAll new.\n```"), rule).text is None


def test_a_refusal_that_quotes_a_secret_part_of_the_prompt_tells_nothing_of_it() -> None:
    redact = Redactor({}, ["(?s)<private>.*?</private>"]).redact
    text = f"You route.\n\n<private>\nACME Ltd pays late; ask Zoe Quist.\n</private>\n\n{ROUTE_TEXT}"
    hidden = f"You route.\n\n<!--\n[redacted]\n-->\n\n{ROUTE_TEXT}"
    script = Script(full(("rewrite", "", hidden)), full(("add", "", "Be kind.")))
    proposal = proposed(script, text=text, redact=redact)
    (rejection,) = proposal.rejections
    assert rejection.startswith("hidden text: ")
    for said in (rejection, script.asked[-1][-1]["content"]):
        assert "ACME" not in said
        assert "<private>" not in said
    assert proposal.text is not None
    assert "ACME Ltd" in proposal.text


LONG_PROMPT = "Name the queue, and nothing else.\n" * 500


def test_a_long_reply_that_is_refused_is_handed_back_whole_where_the_context_holds_it() -> None:
    refused = full(("replace", "no such passage", "word " * 3_200))
    script = Script(refused, full(("add", "", "Use lower case.")))
    assert proposed(script, text=LONG_PROMPT).text
    assert script.asked[1][2]["content"] == refused
    script = Script(refused, ContextTooLong("long"), full(("add", "", "Use lower case.")))
    budget = EvidenceBudget()
    assert proposed(script, text=LONG_PROMPT, budget=budget).text
    assert "characters cut ...]" in script.asked[2][2]["content"]
    assert script.asked[2][:2] == script.asked[1][:2]
    budget.begin_round()
    assert budget.tokens == EvidenceBudget().tokens


def test_a_whole_text_that_comes_in_a_fence_is_taken_without_it_but_for_a_prompt_that_is_one() -> None:
    for fenced in ("```\nName the queue.\n```", "\n```markdown\nName the queue.\n```\n"):
        assert proposed(Script(full(("rewrite", "", fenced)))).text == "Name the queue.\n"
    prompt = "```\nRoute it.\n```\n"
    kept = proposed(Script(full(("rewrite", "", "```\nName the queue.\n```"))), text=prompt)
    assert kept.text == "```\nName the queue.\n```\n"
    shown = "Answer so:\n```\nbilling\n```"
    assert proposed(Script(full(("rewrite", "", shown)))).text == f"{shown}\n"


def test_a_prompt_that_speaks_itself_of_a_rest_that_stays_can_be_written_anew() -> None:
    line = "(the rest stays the same)"
    text = f"Shorten the letter.\nWrite\n{line}\nwhere you leave something as it is.\n"
    new = text.replace("Shorten", "Cut")
    assert proposed(Script(full(("rewrite", "", new))), text=text).text == new
    other = new.replace(line, "[the rest is unchanged]")
    refused = proposed(Script(full(("rewrite", "", other)), full()), text=text)
    assert refused.rejections[0].startswith("parts of the text left out")
