"""How calls of every kind are told: what an ordinary chat does not have."""

from __future__ import annotations

from dataclasses import replace

from pytest_gepa.reflect.calls import MOST_ALTERNATIVES
from pytest_gepa.reflect.evidence import gather_briefly
from pytest_gepa.reflect.menu import FULL
from pytest_gepa.reflect.request import build_request
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.trace.trajectory import Call, Message, ToolCall, Trajectory
from tests.reflect.exhibits import COMPONENTS, ROUTE, ROUTE_TEXT, call, exhibit, route_call


def told(*failing: Exhibit, components: dict[str, str] | None = None) -> str:
    known = COMPONENTS if components is None else components
    messages = build_request(ROUTE, known[ROUTE], failing, [], [], FULL, known, 12_000)
    return messages[1]["content"].partition("# Failing cases")[2]


def embedding(*texts: str, answer: str | None = "[2 vectors of 1,536 dimensions]", error: str = "") -> Call:
    said = Message("assistant", answer) if answer is not None else None
    messages = tuple(Message("user", text) for text in texts)
    return Call("k", "e", messages, said, error=error, kind="embedding")


def posted(text: str = "query\nParis", answer: str = '{"hits": 3}') -> Call:
    return Call("k", "", (Message("user", text),), Message("assistant", answer), kind="other")


def test_a_request_for_vectors_is_one_line() -> None:
    text = told(exhibit(embedding("card charged\ntwice", "x" * 90), route_call()))
    line = f"Call 1, embedding of 'card charged twice', '{'x' * 57}...': 2 vectors of 1,536 dimensions"
    assert line in text
    assert text.count("card charged") == 1
    many = told(exhibit(embedding(*"abcdef"), route_call()))
    assert "Call 1, embedding of 'a', 'b', 'c' and 3 more: 2 vectors" in many
    failed = told(exhibit(embedding("a", answer=None, error="too long"), route_call()))
    assert "Call 1, embedding of 'a': no vectors (too long)" in failed


def test_vectors_are_never_the_answer_nor_the_input_of_a_run() -> None:
    run = exhibit(route_call("ticket 5", "sales"), embedding("sales"))
    assert run.rollout.trajectory.answer == "sales"
    (section,) = gather_briefly(ROUTE, COMPONENTS, [run], 1_500).failing
    assert [(part.label, part.text) for part in section.parts[:2]] == [
        ("Input:", "ticket 5"),
        ("Answer:", "sales"),
    ]
    assert len(section.parts) == 3


def test_an_endpoint_of_another_kind_is_told_as_what_was_posted_and_what_came_back() -> None:
    text = told(exhibit(posted(), route_call()))
    assert "Call 1, data posted to another kind of endpoint:\n```\nquery\nParis\n```" in text
    assert 'Call 1, response:\n```\n{"hits": 3}\n```' in text


def test_the_answer_of_a_model_goes_before_the_response_of_another_endpoint() -> None:
    run = exhibit(route_call("ticket 5", "sales"), posted())
    assert run.rollout.trajectory.answer == "sales"
    (section,) = gather_briefly(ROUTE, COMPONENTS, [run], 1_500).failing
    assert section.parts[1].text == "sales"
    only = Trajectory((posted(),))
    assert only.answer == '{"hits": 3}'


def test_further_answers_are_told_and_many_are_counted() -> None:
    others = tuple(Message("assistant", f"queue {number}") for number in range(MOST_ALTERNATIVES + 2))
    text = told(exhibit(replace(route_call(), alternatives=others)))
    assert "Answer:\n```\nBilling team\n```" in text
    assert "Further answer to the same request (1 of 6):\n```\nqueue 0\n```" in text
    assert "queue 4" not in text
    assert "[... 2 further answers not shown ...]" in text


def test_answers_that_differ_in_their_alternatives_are_told_apart() -> None:
    one = replace(route_call(), alternatives=(Message("assistant", "sales"),))
    other = replace(route_call(), alternatives=(Message("assistant", "other"),))
    assert "2 times the same" not in told(exhibit(one, other))
    assert "2 times the same" in told(exhibit(one, one))


def test_how_an_answer_ended_is_said() -> None:
    def label(reason: str, content: str = "Bill", logprob: float | None = None) -> str:
        cut = replace(call(("user", "x"), answer=content), finish_reason=reason, logprob=logprob)
        return next(line for line in told(exhibit(cut)).splitlines() if line.startswith("Answer"))

    for reason in ("length", "max_tokens", "max_output_tokens", "MAX_TOKENS"):
        assert label(reason) == "Answer (it was cut off at the token limit):"
    assert label("content_filter") == "Answer (it was cut off by a content filter):"
    assert label("stop", "[refusal] I cannot.") == "Answer (a refusal):"
    assert label("content_filter", "[refusal] stopped by the filter") == "Answer (a refusal):"
    assert label("stop", logprob=-0.254) == "Answer (mean log probability of its tokens -0.25):"
    assert label("stop") == "Answer:"


def test_a_tool_that_the_server_ran_is_told_with_what_it_gave_back() -> None:
    search = ToolCall("ws_1", "web_search", '{"query": "queues"}', "https://w/queues")
    look = ToolCall("call_1", "look", '{"a": 1}')
    answer = Message("assistant", "Billing team", tool_calls=(search, look))
    first = call(("user", "card"), answer=answer)
    second = call(*first.request, answer, Message("tool", "found", tool_call_id="call_1"))
    text = told(exhibit(first, second))
    assert 'Call 1, the server ran web_search:\n```\n{"query": "queues"}\nhttps://w/queues\n```' in text
    assert 'Call 1, answer:\n```\nBilling team\ncalls look({"a": 1})\n```' in text
    assert "Call 2, tool (result of look):\n```\nfound\n```" in text
    assert text.count("https://w/queues") == 1


def test_a_tool_that_the_server_ran_before_is_told_where_the_conversation_is_sent_back() -> None:
    search = ToolCall("ws_1", "web_search", "{}", "https://w/queues")
    text = told(exhibit(call(("user", "card"), Message("assistant", "Hm.", tool_calls=(search,)), ("user", "go on"))))
    assert "assistant, the server ran web_search:\n```\n{}\nhttps://w/queues\n```\nassistant:\n```\nHm.\n```" in text


def test_what_a_request_refers_to_is_one_line_and_never_its_input() -> None:
    note = Message("note", "[continues an earlier response]")
    run = exhibit(call(("user", "card"), note))
    text = told(run)
    assert "\n[continues an earlier response]\n" in text
    assert "note:" not in text
    (section,) = gather_briefly(ROUTE, COMPONENTS, [run], 1_500).failing
    assert section.parts[0].text == "card"


def test_the_form_that_an_answer_must_have_is_told_once() -> None:
    form = '{"type": "object", "properties": {"queue": {"type": "string"}}}'
    calls = [replace(route_call(ticket), answer_format=form) for ticket in ("a", "b")]
    text = told(exhibit(*calls, route_call("c"), replace(route_call("d"), answer_format=form)))
    assert f"Call 1, form that the answer must have:\n```\n{form}\n```" in text
    assert text.count(form) == 1


def test_a_prompt_that_describes_a_tool_is_told_as_such_and_its_calls_are_those_that_use_it() -> None:
    described = replace(call(("user", "card"), answer="sales"), tools=("route",), other_texts=("x", ROUTE_TEXT))
    run = exhibit(described, call(("user", "else"), answer="Dear customer"))
    text = told(run)
    assert "Call 1, tools offered: route" in text
    assert "Call 1, in the description of a tool or field: (the text of prompts/route.md)" in text
    (section,) = gather_briefly(ROUTE, COMPONENTS, [run], 1_500).failing
    assert [(part.label, part.text) for part in section.parts[:2]] == [
        ("Input:", "card"),
        ("Answer:", "sales"),
    ]
