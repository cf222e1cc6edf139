from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_gepa.trace.chat import Answer, ChatRequest
from pytest_gepa.trace.fields import Usage
from pytest_gepa.trace.response_items import NO_RESULT, REFERS, WAITS
from pytest_gepa.trace.responses import CONTINUES, IN_CONVERSATION, is_complete, read_answer, read_request
from pytest_gepa.trace.responses_stream import ResponsesStream
from pytest_gepa.trace.trajectory import Message, ToolCall
from tests.trace.bodies import encode
from tests.wire import named_events, response, response_events, tool_call

ASKED = {"input": "Capital of France?"}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Look it up."}]}
FUNCTION = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "look",
    "arguments": '{"a": 1}',
}
SAID = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "One moment.", "annotations": []}],
}
TURN = Message("assistant", "One moment.", "Look it up.", (ToolCall("call_1", "look", '{"a": 1}'),))


def messages(**fields: Any) -> tuple[Message, ...]:
    request = read_request(encode({"model": "m", **fields}))
    assert request is not None
    return request.messages


def answered(*items: Any, **fields: Any) -> Answer:
    answer = read_answer(encode({**response(ASKED, {"items": items}), "usage": None, **fields}))
    assert answer is not None
    return answer


def call_of(item: Any) -> ToolCall:
    message = answered(item).message
    assert message is not None
    (call,) = message.tool_calls
    return call


# Requests


def test_instructions_and_input_are_a_system_and_a_user_message() -> None:
    body = {"model": "m", "instructions": "Be brief.", "input": "Capital?", "stream": True}
    assert read_request(encode(body)) == ChatRequest(
        "m", (Message("system", "Be brief."), Message("user", "Capital?")), stream=True
    )


def test_the_items_of_a_turn_are_one_message_and_the_outputs_of_tools_are_others() -> None:
    result = {"type": "function_call_output", "call_id": "call_1", "output": "Paris"}
    parts = [{"type": "input_text", "text": "and"}, {"type": "input_text", "text": "now?"}]
    given = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "Capital?"},
        *(REASONING, SAID, FUNCTION, result),
        {"type": "message", "role": "user", "content": parts},
    ]
    assert messages(input=given) == (
        Message("developer", "Be kind."),
        Message("user", "Capital?"),
        TURN,
        Message("tool", "Paris", tool_call_id="call_1"),
        Message("user", "and\nnow?"),
    )


def test_what_is_sent_back_reads_as_the_answer_that_it_was() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "q"}}
    output = [REASONING, search, SAID, FUNCTION]
    assert messages(input=output) == (answered(*output).message,)


def test_what_a_request_refers_to_is_noted() -> None:
    item = {"type": "item_reference", "id": "msg_7"}
    fields = {"previous_response_id": "resp_7", "conversation": "conv_7", "input": [item]}
    assert messages(**fields) == (
        Message("note", CONTINUES),
        Message("note", IN_CONVERSATION),
        Message("note", REFERS),
    )


def test_a_prompt_that_the_server_keeps_is_told_with_its_variables() -> None:
    variables = {"city": "Paris", "photo": {"type": "input_image", "image_url": "https://h/a.png"}}
    (message,) = messages(prompt={"id": "pmpt_1", "version": "2", "variables": variables})
    assert message.role == "system"
    assert message.content == "[the prompt pmpt_1, kept by the server]\ncity = Paris\nphoto = [image https://h/a.png]"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [{"type": "input_text", "text": "Paris"}],
            },
            Message("tool", "Paris", tool_call_id="c"),
        ),
        (
            {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
            Message("tool", "done", tool_call_id="c"),
        ),
        (
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,QUJD"},
            },
            Message("tool", "[image, 3 bytes]", tool_call_id="c"),
        ),
        (
            {"type": "local_shell_call_output", "id": "c", "output": '{"stdout": "x"}'},
            Message("tool", '{"stdout": "x"}', tool_call_id="c"),
        ),
        (
            {
                "type": "shell_call_output",
                "call_id": "c",
                "output": [{"stdout": "x", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
            },
            Message("tool", '{"stdout": "x", "outcome": {"type": "exit", "exit_code": 0}}', tool_call_id="c"),
        ),
        (
            {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
            Message("note", '[mcp_approval_response] {"approval_request_id": "mcpr_1", "approve": true}'),
        ),
        ({"type": "compaction", "id": "c", "encrypted_content": "zzz"}, Message("note", "[compaction]")),
    ],
)
def test_other_items_of_an_input_are_told(item: Any, expected: Message) -> None:
    assert messages(input=[item]) == (expected,)


def test_tools_are_named_and_their_descriptions_and_the_asked_for_schema_kept() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "The capital."}}}
    tools = [
        {"type": "function", "name": "look", "description": "Looks it up.", "parameters": {}},
        {"type": "web_search"},
        {"type": "mcp", "server_label": "wiki", "server_description": "All articles."},
        {"type": "custom", "name": "run", "description": "Runs it."},
    ]
    form = {"type": "json_schema", "name": "City", "schema": schema}
    request = read_request(encode({"input": "x", "tools": tools, "text": {"format": form}}))
    assert request is not None
    assert request.tools == ("look", "web_search", "mcp wiki", "run")
    assert request.other_texts == ("Looks it up.", "All articles.", "Runs it.", "The capital.")
    assert request.answer_format == json.dumps(schema)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"model": "m"}', b'{"input": ""}'])
def test_what_asks_nothing_is_no_request(body: bytes) -> None:
    assert read_request(body) is None


# Answers


def test_an_answer_is_read_with_its_usage() -> None:
    body = response(ASKED, {"content": "It is Paris.", "reasoning_content": "hm"})
    body["usage"]["input_tokens_details"]["cached_tokens"] = 2
    body["usage"]["output_tokens_details"]["reasoning_tokens"] = 1
    assert read_answer(encode(body)) == Answer(
        Message("assistant", "It is Paris.", "hm"),
        "completed",
        usage=Usage(3, 3, cache_read_tokens=2, reasoning_tokens=1),
    )
    assert is_complete(encode(body))


def test_a_refusal_is_the_content() -> None:
    answer = read_answer(encode(response(ASKED, {"refusal": "I cannot."})))
    assert answer is not None
    assert answer.message == Message("assistant", "[refusal] I cannot.")


def test_log_probabilities_are_those_of_the_words() -> None:
    part = {"type": "output_text", "text": "ab", "logprobs": [{"logprob": -1.0}, {"logprob": -2.0}]}
    assert answered({**SAID, "content": [part]}).logprob == -1.5


def test_an_answer_that_met_its_limit_says_so_and_is_complete() -> None:
    details = {"incomplete_details": {"reason": "max_output_tokens"}, "status": "incomplete"}
    assert answered(SAID, **details) == Answer(Message("assistant", "One moment."), "max_output_tokens")
    assert is_complete(encode({"output": [SAID], **details}))


def test_a_filter_that_stopped_the_answer_is_a_refusal() -> None:
    details = {"incomplete_details": {"reason": "content_filter"}, "status": "incomplete"}
    assert answered(**details).message == Message("assistant", "[refusal] stopped by the content filter of the server")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"status": "failed", "error": {"code": "server_error", "message": "Broken."}}, "Broken."),
        ({"status": "failed"}, "the response is failed"),
        ({"status": "queued"}, "the response is queued"),
        ({"status": "cancelled"}, "the response is cancelled"),
    ],
)
def test_a_response_that_has_not_come_to_its_end_is_an_error(fields: Any, error: str) -> None:
    answer = answered(SAID, **fields)
    assert (answer.message, answer.error) == (None, error)
    assert not is_complete(encode({"output": [SAID], **fields}))


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            {
                "type": "web_search_call",
                "action": {
                    "type": "search",
                    "query": "capital",
                    "sources": [{"type": "url", "url": "https://w/f"}],
                },
            },
            ToolCall("i", "web_search", '{"query": "capital", "type": "search"}', "https://w/f"),
        ),
        (
            {"type": "web_search_call", "action": {"type": "open_page", "url": "https://w/f"}},
            ToolCall("i", "web_search", '{"type": "open_page", "url": "https://w/f"}', NO_RESULT),
        ),
        (
            {
                "type": "file_search_call",
                "queries": ["capital"],
                "results": [
                    {"file_id": "f", "filename": "a.md", "score": 0.9, "text": "Paris is"},
                    {"text": "x"},
                ],
            },
            ToolCall("i", "file_search", '{"queries": ["capital"]}', "a.md: Paris is\nx"),
        ),
        (
            {
                "type": "code_interpreter_call",
                "container_id": "c",
                "code": "print(1)",
                "outputs": [{"type": "logs", "logs": "1\n"}, {"type": "image", "url": "https://h/plot.png"}],
            },
            ToolCall("i", "code_interpreter", '{"code": "print(1)"}', "1\n\nhttps://h/plot.png"),
        ),
        (
            {"type": "code_interpreter_call", "code": "1/0", "outputs": None, "status": "failed"},
            ToolCall("i", "code_interpreter", '{"code": "1/0"}', "[failed]"),
        ),
        (
            {"type": "image_generation_call", "revised_prompt": "a cat", "result": "QUJD"},
            ToolCall("i", "image_generation", '{"revised_prompt": "a cat"}', "[image, 3 bytes]"),
        ),
        (
            {
                "type": "mcp_call",
                "server_label": "wiki",
                "name": "get",
                "arguments": '{"t": 1}',
                "output": "Paris",
            },
            ToolCall("i", "wiki.get", '{"t": 1}', "Paris"),
        ),
        (
            {
                "type": "mcp_call",
                "server_label": "wiki",
                "name": "get",
                "arguments": "{}",
                "error": {"type": "http"},
            },
            ToolCall("i", "wiki.get", "{}", '{"type": "http"}'),
        ),
        (
            {
                "type": "mcp_list_tools",
                "server_label": "wiki",
                "tools": [{"name": "get", "description": "Gets.", "input_schema": {}}, {"name": "put"}],
            },
            ToolCall("i", "mcp_list_tools", '{"server": "wiki"}', "get: Gets.\nput"),
        ),
        (
            {"type": "mcp_approval_request", "server_label": "wiki", "name": "put", "arguments": "{}"},
            ToolCall("i", "wiki.put", "{}", WAITS),
        ),
        (
            {"type": "computer_call", "call_id": "c", "action": {"type": "click", "x": 3, "y": 4}},
            ToolCall("c", "computer", '{"type": "click", "x": 3, "y": 4}'),
        ),
        (
            {
                "type": "local_shell_call",
                "call_id": "c",
                "action": {"type": "exec", "command": ["ls"], "env": {"API_KEY": "s3cret"}},
            },
            ToolCall("c", "local_shell", '{"command": ["ls"], "type": "exec"}'),
        ),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "run", "input": "free text"},
            ToolCall("c", "run", "free text"),
        ),
        (
            {
                "type": "tool_search_call",
                "call_id": "c",
                "arguments": {"query": "maps"},
                "execution": "client",
            },
            ToolCall("c", "tool_search", '{"query": "maps"}'),
        ),
        (
            {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}},
            ToolCall("c", "apply_patch", '{"operation": {"type": "delete_file", "path": "a"}}'),
        ),
    ],
)
def test_a_call_of_a_tool_says_what_was_asked_and_what_the_server_gave_back(item: Any, expected: ToolCall) -> None:
    assert call_of({"id": "i", "status": "completed", **item}) == expected


def test_what_an_answer_cites_is_told_for_a_search_without_results() -> None:
    note = {"type": "url_citation", "title": "France", "url": "https://w/f", "start_index": 0, "end_index": 3}
    part = {"type": "output_text", "text": "Paris.", "annotations": [note, note]}
    search = {"type": "web_search_call", "id": "ws_1", "action": {"type": "search", "query": "q"}}
    message = answered(search, {**SAID, "content": [part]}).message
    assert message is not None
    assert message.content == "Paris."
    assert message.tool_calls[0].result == "[cited in the answer:]\nFrance https://w/f"


def test_the_output_of_a_tool_that_the_server_has_run_belongs_to_its_call() -> None:
    call = {"type": "shell_call", "id": "sh_1", "call_id": "c", "action": {"commands": ["ls"]}}
    output = {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "a.txt"}]}
    message = answered(call, output).message
    assert message is not None
    assert message.tool_calls == (ToolCall("c", "shell", '{"commands": ["ls"]}', '{"stdout": "a.txt"}'),)


# Streams


def read(*events: Any) -> tuple[Answer | None, ResponsesStream]:
    stream = ResponsesStream()
    for piece in named_events(list(events)):
        stream.feed(piece)
    return stream.answer(), stream


WHOLE = response(ASKED, {"content": "It is Paris.", "reasoning_content": "hm hm", "tool_calls": [tool_call("f", [1])]})
EVENTS = list(response_events(WHOLE))


def test_the_last_event_holds_the_whole_answer() -> None:
    answer, stream = read(*EVENTS)
    assert answer == read_answer(encode(WHOLE))
    assert stream.done
    assert stream.complete


def test_an_answer_is_put_together_from_pieces_where_the_last_event_lacks_it() -> None:
    last = {**EVENTS[-1], "response": {**WHOLE, "output": []}}
    pieces = [event for event in EVENTS[:-1] if event["type"] != "response.output_item.done"]
    assert read(*pieces, last)[0] == read_answer(encode(WHOLE))
    deltas = [event for event in pieces if event["type"].endswith(".delta")]
    answer, _ = read(*deltas, last)
    assert answer is not None
    assert answer.message is not None
    assert (answer.message.content, answer.message.reasoning) == ("It is Paris.", "hm hm")
    assert answer.message.tool_calls[0].arguments == "[1]"


def test_log_probabilities_of_pieces_are_kept() -> None:
    entries = [{"token": "a", "logprob": -1.0}], [{"token": "b", "logprob": -3.0}]
    deltas = [
        {
            "type": "response.output_text.delta",
            "output_index": 0,
            "content_index": 0,
            "delta": "a",
            "logprobs": entry,
        }
        for entry in entries
    ]
    answer, _ = read(*deltas, {"type": "response.completed", "response": {"status": "completed"}})
    assert answer is not None
    assert answer.logprob == -2.0


def test_a_stream_that_breaks_off_keeps_what_came() -> None:
    answer, stream = read(*EVENTS[:13])
    assert answer is not None
    assert answer.message is not None
    assert answer.message.content.startswith("It ")
    assert not stream.complete
    assert not stream.done


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_response_that_fails_is_done_but_no_answer(state: str) -> None:
    error = {"code": "server_error", "message": "Broken."} if state == "failed" else None
    last = {"type": f"response.{state}", "response": {**WHOLE, "status": state, "error": error}}
    answer, stream = read(*EVENTS[:-1], last)
    assert answer is not None
    said = "Broken." if error else "the response is cancelled"
    assert (answer.message, answer.error) == (None, f"{said}; so far: It is Paris.")
    assert stream.done
    assert not stream.complete


def test_an_error_in_a_stream_is_read() -> None:
    answer, stream = read(EVENTS[0], {"type": "error", "code": "x", "message": "Slow down.", "param": None})
    assert answer is not None
    assert (answer.message, answer.error) == (None, "Slow down.")
    assert stream.done
    assert not stream.complete


def test_a_response_at_its_limit_is_a_complete_answer() -> None:
    limit = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    answer, stream = read(*EVENTS[:-1], {"type": "response.incomplete", "response": {**WHOLE, **limit}})
    assert answer is not None
    assert answer.finish_reason == "max_output_tokens"
    assert stream.complete


def test_nothing_but_a_beginning_is_no_answer() -> None:
    assert read()[0] is None
    assert read(*EVENTS[:2])[0] is None
