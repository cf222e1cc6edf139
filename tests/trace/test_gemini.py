from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_gepa.trace.chat import Answer, ChatRequest
from pytest_gepa.trace.fields import Usage
from pytest_gepa.trace.gemini import GeminiStream, is_complete, read_answer, read_request
from pytest_gepa.trace.trajectory import Message, ToolCall
from tests.trace.bodies import encode

USAGE = {
    "promptTokenCount": 9,
    "candidatesTokenCount": 4,
    "thoughtsTokenCount": 3,
    "cachedContentTokenCount": 2,
}


def piece(*parts: Any, index: int = 0, **fields: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "index": index, **fields}]}


def test_a_request_is_read_with_its_parts_tools_and_schema() -> None:
    schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING", "description": "The capital."}}}
    body = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What is it?"},
                    {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
                    {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://b/a.pdf?sig=s3cret"}},
                ],
            },
            {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"city": "Köln"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"found": True}}}]},
        ],
        "tools": [
            {"functionDeclarations": [{"name": "look", "description": "Looks.", "parameters": {}}]},
            {"googleSearch": {}},
        ],
        "generationConfig": {"responseMimeType": "application/json", "responseSchema": schema},
    }
    assert read_request(encode(body)) == ChatRequest(
        model="",
        messages=(
            Message("system", "Be brief."),
            Message("user", "What is it?\n[image/png, 3 bytes]\n[application/pdf gs://b/a.pdf]"),
            Message("assistant", "", "", (ToolCall("look", "look", '{"city": "Köln"}'),)),
            Message("tool", '{"found": true}', tool_call_id="look"),
        ),
        tools=("look", "googleSearch"),
        other_texts=("Looks.", "application/json", "The capital."),
        answer_format=json.dumps(schema),
    )


def test_names_in_snake_case_are_read_too() -> None:
    body = {"system_instruction": {"parts": {"text": "Be brief."}}, "contents": {"parts": {"text": "Why?"}}}
    request = read_request(encode(body))
    assert request is not None
    assert request.messages == (Message("system", "Be brief."), Message("user", "Why?"))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"contents": "x"}'])
def test_what_has_no_contents_is_no_request(body: bytes) -> None:
    assert read_request(body) is None


def test_an_answer_is_read_with_its_thoughts_calls_and_usage() -> None:
    call = {"functionCall": {"id": "c1", "name": "look", "args": {"city": "Köln"}}}
    thought = {"text": "hm", "thought": True}
    whole = {
        **piece(thought, {"text": "It is "}, {"text": "Köln."}, call, finishReason="STOP"),
        "usageMetadata": USAGE,
    }
    message = Message("assistant", "It is Köln.", "hm", (ToolCall("c1", "look", '{"city": "Köln"}'),))
    assert read_answer(encode(whole)) == Answer(
        message, "STOP", usage=Usage(9, 7, cache_read_tokens=2, reasoning_tokens=3)
    )
    assert is_complete(encode(whole))


def test_what_a_tool_of_the_server_made_the_model_read_is_input() -> None:
    for name in ("toolUsePromptTokenCount", "tool_use_prompt_token_count"):
        whole = {**piece({"text": "So."}, finishReason="STOP"), "usageMetadata": {**USAGE, name: 650}}
        answer = read_answer(encode(whole))
        assert answer is not None
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (659, 7)


def test_tokens_of_audio_are_among_the_others() -> None:
    usage = {
        **USAGE,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 3},
            {"modality": "AUDIO", "tokenCount": 6},
            {"modality": "AUDIO"},
        ],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}],
        "toolUsePromptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}],
    }
    answer = read_answer(encode({**piece({"text": "So."}, finishReason="STOP"), "usageMetadata": usage}))
    assert answer is not None
    told = answer.usage
    assert (told.input_audio_tokens, told.output_audio_tokens, told.cache_audio_tokens) == (7, 4, 2)


def test_code_that_the_server_has_run_is_a_call_with_its_result() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "print(1)"}}
    ran = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}}
    answer = read_answer(encode(piece(code, ran, {"text": "One."}, finishReason="STOP")))
    assert answer is not None
    assert answer.message == Message("assistant", "One.", "", (ToolCall("", "code_execution", "print(1)", "1\n"),))


def test_further_candidates_are_alternatives_and_the_log_probability_is_kept() -> None:
    body = {
        "candidates": [
            {"content": {"parts": [{"text": "A"}]}, "finishReason": "STOP", "avgLogprobs": -0.5},
            {"content": {"parts": [{"text": "B"}]}, "finishReason": "STOP", "index": 1, "avgLogprobs": -2.0},
        ]
    }
    assert read_answer(encode(body)) == Answer(
        Message("assistant", "A"), "STOP", alternatives=(Message("assistant", "B"),), logprob=-0.5
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "SAFETY"),
        ({"candidates": [{"finishReason": "PROHIBITED_CONTENT"}]}, "PROHIBITED_CONTENT"),
    ],
)
def test_what_a_filter_stopped_is_a_refusal(body: Any, reason: str) -> None:
    answer = read_answer(encode(body))
    assert answer is not None
    assert answer.message is not None
    assert answer.message.content == f"[refusal] stopped by the content filter of the server ({reason})"


PIECES = [
    piece({"text": "It "}),
    piece({"text": "is "}),
    {**piece({"text": "Köln."}, finishReason="STOP"), "usageMetadata": USAGE},
]


def test_a_stream_of_events_and_a_stream_that_is_one_list_are_the_same() -> None:
    stream = GeminiStream()
    for one in PIECES:
        assert not stream.done
        stream.feed(b"data: " + encode(one) + b"\r\n\r\n")
    answer = stream.answer()
    assert stream.done
    assert stream.complete
    assert answer is not None
    assert answer.message == Message("assistant", "It is Köln.")
    assert answer == read_answer(encode(PIECES))
    assert is_complete(encode(PIECES))
    assert not is_complete(encode(PIECES[:-1]))


def test_an_error_is_read_and_is_no_end() -> None:
    error = {"error": {"code": 503, "message": "overloaded"}}
    answer = read_answer(encode(error))
    assert answer == Answer(None, error="overloaded (code 503)")
    stream = GeminiStream()
    for one in (*PIECES, error):
        stream.feed(b"data: " + encode(one) + b"\n\n")
    assert not stream.complete


def test_a_prompt_that_was_blocked_has_got_its_answer() -> None:
    body = encode({"promptFeedback": {"blockReason": "SAFETY"}})
    assert is_complete(body)
    stream = GeminiStream()
    stream.feed(b"data: " + body + b"\r\n\r\n")
    assert stream.complete
