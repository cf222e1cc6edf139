"""The chat-completions protocol of OpenAI and its many imitators: bodies of bytes to messages, and no I/O.

Reading is tolerant: what a server leaves out is empty, what it adds is ignored. Streams are read in `sse`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_gepa.trace.trajectory import Message, ToolCall


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a request asks: the model, the messages so far, the names of the tools offered, whether to
    stream."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[str, ...] = ()
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. Tokens are its own count, 0 when it sent none. `error` is a failure that it
    reports."""

    message: Message | None
    finish_reason: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    error: str = ""


def is_chat(method: str, path: str) -> bool:
    """Whether an HTTP request of this method and path (without query) asks for a chat completion."""
    return method.upper() == "POST" and path.rstrip("/").endswith("/chat/completions")


def read_request(body: bytes) -> ChatRequest | None:
    """Read the body of a request; None when it holds no list of messages."""
    data = read_object(body)
    if data is None or not isinstance(data.get("messages"), list):
        return None
    return ChatRequest(
        model=text_of(data.get("model")),
        messages=tuple(read_message(item) for item in data["messages"] if isinstance(item, dict)),
        tools=_tool_names([*items_of(data.get("tools")), *items_of(data.get("functions"))]),
        stream=bool(data.get("stream")),
    )


def read_answer(body: bytes) -> Answer | None:
    """Read the body of a response that was not streamed; None when it is no JSON object.

    Of several choices the first is taken.
    """
    data = read_object(body)
    if data is None:
        return None
    choices = [item for item in items_of(data.get("choices")) if isinstance(item, dict)]
    choice = choices[0] if choices else {}
    message = choice.get("message")
    input_tokens, output_tokens = read_usage(data.get("usage"))
    return Answer(
        message=read_message({"role": "assistant", **message}) if isinstance(message, dict) else None,
        finish_reason=text_of(choice.get("finish_reason")),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        error=read_error(data.get("error")),
    )


def is_complete(body: bytes) -> bool:
    """Whether a response body is a finished answer, every choice of it with a message and a finish reason."""
    data = read_object(body)
    choices = items_of(data.get("choices")) if data is not None else []
    return bool(choices) and all(
        isinstance(choice, dict)
        and isinstance(choice.get("message"), dict)
        and bool(choice.get("finish_reason"))
        for choice in choices
    )


def read_message(data: Mapping[str, Any]) -> Message:
    """Read one message of a request or an answer.

    Content parts are joined, those that are no text become `[image]`, `[audio]` and the like. A refusal that
    comes in place of content is put there as `[refusal] ...`.
    """
    content = flatten(data.get("content"))
    refusal = text_of(data.get("refusal"))
    calls = [read_tool_call(item) for item in items_of(data.get("tool_calls")) if isinstance(item, dict)]
    if isinstance(data.get("function_call"), dict):
        calls.append(read_tool_call({"function": data["function_call"]}))
    return Message(
        role=text_of(data.get("role")),
        content=content if content or not refusal else f"[refusal] {refusal}",
        reasoning=read_reasoning(data),
        tool_calls=tuple(calls),
        tool_call_id=text_of(data.get("tool_call_id")),
    )


def read_reasoning(data: Mapping[str, Any]) -> str:
    """The reasoning of a message or delta: under its own names, or as `thinking` parts among the content."""
    named = flatten(data.get("reasoning_content")) or flatten(data.get("reasoning"))
    thoughts = [part.get("thinking") for part in items_of(data.get("content")) if isinstance(part, dict)]
    return named or "\n".join(filter(None, map(flatten, thoughts)))


def read_tool_call(data: Mapping[str, Any]) -> ToolCall:
    """Read one entry of `tool_calls`; arguments that are no text, as some servers send them, become JSON."""
    detail = data.get("function") or data.get("custom")
    detail = detail if isinstance(detail, dict) else {}
    arguments = detail.get("arguments", detail.get("input"))
    return ToolCall(
        id=text_of(data.get("id")),
        name=text_of(detail.get("name")),
        arguments=arguments
        if isinstance(arguments, str)
        else ""
        if arguments is None
        else json.dumps(arguments),
    )


def read_usage(data: Any) -> tuple[int, int]:
    """Tokens in and out, under the names of either of OpenAI's protocols."""
    usage = data if isinstance(data, dict) else {}
    return _count(usage, "prompt_tokens", "input_tokens"), _count(usage, "completion_tokens", "output_tokens")


def read_error(data: Any) -> str:
    """The text of an `error` field, an object or a string, "" if there is none."""
    if isinstance(data, dict):
        return text_of(data.get("message")) or json.dumps(data)
    return text_of(data)


def flatten(content: Any) -> str:
    """The text of a message's content: a string, a list of parts, or nothing."""
    if isinstance(content, (list, tuple)):
        return "\n".join(filter(None, map(_part, content)))
    return _part(content)


def read_object(body: bytes | str) -> dict[str, Any] | None:
    """Parse a JSON object, None for anything else."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def items_of(value: Any) -> Sequence[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """The value if it is a string, "" for None, else its `str`."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        return text_of(part)
    for name in ("text", "refusal", "content"):
        if isinstance(part.get(name), str):
            return str(part[name])
    kind = text_of(part.get("type"))
    if kind in ("thinking", "reasoning"):
        return ""
    for word in ("image", "audio", "video", "file"):
        if word in kind:
            return f"[{word}]"
    return f"[{kind or 'part'}]"


def _tool_names(tools: Sequence[Any]) -> tuple[str, ...]:
    names = []
    for tool in tools:
        if isinstance(tool, dict):
            detail = tool.get("function") or tool.get("custom")
            named = detail if isinstance(detail, dict) else tool
            names.append(text_of(named.get("name")) or text_of(tool.get("type")))
    return tuple(filter(None, names))


def _count(usage: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = usage.get(name)
        if isinstance(value, (int, float)) and value > 0:
            return int(value)
    return 0
