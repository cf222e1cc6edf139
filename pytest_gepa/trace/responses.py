"""OpenAI's Responses API: bodies of bytes to messages, no I/O. Items are read in `response_items`, streams in
`responses_stream`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pytest_gepa.trace.chat import FILTERED, Answer, ChatRequest
from pytest_gepa.trace.fields import (
    flatten,
    mean,
    object_of,
    objects_of,
    other_texts,
    read_error,
    read_object,
    read_usage,
    refusal,
    schema_of,
    schema_text,
    text_of,
)
from pytest_gepa.trace.response_items import message_of, read_items
from pytest_gepa.trace.trajectory import Message

CONTINUES = "[continues an earlier response, whose messages are not in the request]"
IN_CONVERSATION = "[continues a conversation that the server keeps]"

FINISHED = frozenset({"completed", "incomplete"})
"""The states of a response that has come to its end, if need be at a limit."""

_NOT_FINISHED = frozenset({"failed", "cancelled", "queued", "in_progress"})


# Requests


def read_request(body: bytes) -> ChatRequest | None:
    """Read the body of a request; None when it has no input of any kind."""
    data = read_object(body)
    if data is None or not any(data.get(name) for name in ("input", "prompt", "instructions", "previous_response_id")):
        return None
    tools = objects_of(data.get("tools"))
    schema = schema_of(object_of(object_of(data.get("text")).get("format")))
    return ChatRequest(
        model=text_of(data.get("model")),
        messages=tuple(_messages(data)),
        tools=tuple(filter(None, map(_tool_name, tools))),
        stream=bool(data.get("stream")),
        other_texts=other_texts(data, "input", "instructions", "prompt", "previous_response_id", "conversation"),
        answer_format=schema_text(schema),
    )


def _messages(data: Mapping[str, Any]) -> Iterator[Message]:
    if data.get("previous_response_id"):
        yield Message("note", CONTINUES)
    if data.get("conversation"):
        yield Message("note", IN_CONVERSATION)
    if isinstance(data.get("prompt"), dict):
        yield Message("system", _stored_prompt(data["prompt"]))
    instructions = data.get("instructions")
    if isinstance(instructions, str) and instructions:
        yield Message("system", instructions)
    yield from read_items(objects_of(instructions))
    given = data.get("input")
    if isinstance(given, str):
        yield Message("user", given)
    yield from read_items(objects_of(given))


def _stored_prompt(prompt: Mapping[str, Any]) -> str:
    """A prompt that the server keeps, by its id and with what fills it in."""
    variables = object_of(prompt.get("variables"))
    lines = [f"{name} = {flatten(value)}" for name, value in variables.items()]
    return "\n".join([f"[the prompt {text_of(prompt.get('id'))}, kept by the server]", *lines])


def _tool_name(tool: Mapping[str, Any]) -> str:
    kind, name = text_of(tool.get("type")), text_of(tool.get("name") or tool.get("server_label"))
    return name if kind in ("function", "custom") else " ".join(filter(None, (kind, name)))


# Answers


def read_answer(body: bytes) -> Answer | None:
    """Read the body of a response that was not streamed; None when it is no JSON object."""
    data = read_object(body)
    return None if data is None else answer_of(data)


def answer_of(data: Mapping[str, Any]) -> Answer:
    """Read a response. One that has failed, or has not ended yet, has no message but an error."""
    output = data.get("output")
    status = text_of(data.get("status")) or ("completed" if isinstance(output, list) else "")
    error = read_error(data.get("error"))
    usage = read_usage(data.get("usage"))
    if error or status not in FINISHED:
        state = f"the response is {status}" if status in _NOT_FINISHED else ""
        return Answer(None, status, error=error or state, usage=usage)
    reason = text_of(object_of(data.get("incomplete_details")).get("reason"))
    items = objects_of(output)
    message = message_of(items)
    if reason == "content_filter" and not message.content and not message.tool_calls:
        message = replace(message, content=refusal(FILTERED))
    parts = [part for item in items for part in objects_of(item.get("content"))]
    entries = [entry for part in parts for entry in objects_of(part.get("logprobs"))]
    logprob = mean(entry.get("logprob") for entry in entries)
    return Answer(message, reason or status, logprob=logprob, usage=usage)


def is_complete(body: bytes) -> bool:
    """Whether a response body is a finished answer: completed, or incomplete for a limit or a filter."""
    data = read_object(body) or {}
    status = data.get("status") or "completed"
    return status in ("completed", "incomplete") and isinstance(data.get("output"), list) and not data.get("error")
