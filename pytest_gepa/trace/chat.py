"""The completions protocols of OpenAI and their many imitators, chat and legacy: bodies of bytes to messages, no I/O.

Reading is tolerant: what a server leaves out is empty, what it adds is ignored. Streams are read in `chat_stream`.
`ChatRequest` and `Answer` are what the modules of all protocols read into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_gepa.trace.fields import (
    THOUGHTS,
    Usage,
    dump,
    encoded_size,
    first_text,
    flatten,
    items_of,
    mean,
    media,
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
from pytest_gepa.trace.trajectory import Message, ToolCall, texts_of

FILTERED = "stopped by the content filter of the server"
"""What an answer says that a filter has stopped before its first word."""

_PLAIN = frozenset({"role", "content", "name"})
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a request asks: the model, the messages so far, the names of the tools offered, whether to stream.

    `kind`, `other_texts` and `answer_format` are as in `Call`.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[str, ...] = ()
    stream: bool = False
    kind: str = "chat"
    other_texts: tuple[str, ...] = ()
    answer_format: str = ""

    @property
    def texts(self) -> Iterator[str]:
        """All that the request says: its messages, and the texts of tools and schemas beside them."""
        return texts_of(self.messages, self.other_texts)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. `usage` is its own count of tokens, `error` a failure that it reports.

    A refusal is a message whose content begins with `[refusal]`: the model's own words, or a note that a content
    filter stopped it. `alternatives` and `logprob` are as in `Call`.
    """

    message: Message | None
    finish_reason: str = ""
    error: str = ""
    alternatives: tuple[Message, ...] = ()
    logprob: float | None = None
    usage: Usage = field(default_factory=Usage)


# Requests


def read_request(body: bytes) -> ChatRequest | None:
    """Read the body of a request for a chat completion; None when it holds no list of messages."""
    data = read_object(body)
    if data is None or not isinstance(data.get("messages"), list):
        return None
    tools = [*objects_of(data.get("tools")), *objects_of(data.get("functions"))]
    schema = schema_of(object_of(data.get("response_format")))
    return ChatRequest(
        model=text_of(data.get("model")),
        messages=tuple(map(read_message, objects_of(data["messages"]))),
        tools=tuple(filter(None, map(_tool_name, tools))),
        stream=bool(data.get("stream")),
        other_texts=other_texts(data, "messages"),
        answer_format=schema_text(schema),
    )


def read_prompt(body: bytes) -> ChatRequest | None:
    """Read the body of a request for a legacy completion; None when it holds no prompt. Several are a message each."""
    data = read_object(body)
    prompt = data.get("prompt") if data is not None else None
    if data is None or not isinstance(prompt, (str, list)):
        return None
    is_texts = isinstance(prompt, list) and all(isinstance(one, str) for one in prompt)
    prompts = [str(one) for one in prompt] if is_texts else [prompt if isinstance(prompt, str) else "[tokens]"]
    messages = tuple(Message("user", one) for one in prompts)
    texts = other_texts(data, "prompt")
    return ChatRequest(text_of(data.get("model")), messages, stream=bool(data.get("stream")), other_texts=texts)


def _tool_name(tool: Mapping[str, Any]) -> str:
    detail = tool.get("function") or tool.get("custom")
    named = detail if isinstance(detail, dict) else tool
    return text_of(named.get("name")) or text_of(tool.get("type"))


# Answers


def read_answer(body: bytes) -> Answer | None:
    """Read the body of a response that was not streamed; None when it is no JSON object."""
    data = read_object(body)
    return None if data is None else answer_of(data)


def answer_of(data: Mapping[str, Any]) -> Answer:
    """Read a completion: of several choices the first is the answer, the others are alternatives to it."""
    choices = objects_of(data.get("choices"))
    messages = [_choice_message(choice) for choice in choices]
    first = choices[0] if choices else {}
    return Answer(
        message=messages[0] if messages else None,
        finish_reason=text_of(first.get("finish_reason")),
        error=read_error(data.get("error")) or read_error(first.get("error")),
        alternatives=tuple(message for message in messages[1:] if message is not None),
        logprob=mean(logprobs_of(first)),
        usage=read_usage(data.get("usage")),
    )


def is_complete(body: bytes) -> bool:
    """Whether a response body is a finished answer, every choice of it with a message and a finish reason."""
    data = read_object(body) or {}
    choices = items_of(data.get("choices"))
    return bool(choices) and not data.get("error") and all(map(_is_finished, choices))


def _is_finished(choice: Any) -> bool:
    """Whether a choice came to its end; a gateway may tell of an error in it, with status 200."""
    if not isinstance(choice, dict) or choice.get("error"):
        return False
    return bool(choice.get("finish_reason")) and _said(choice) is not None


def logprobs_of(choice: Mapping[str, Any]) -> Iterator[Any]:
    """The log probabilities of a choice's tokens, the refusal's included, as the server has put them."""
    given = object_of(choice.get("logprobs"))
    for entry in (*objects_of(given.get("content")), *objects_of(given.get("refusal"))):
        yield entry.get("logprob")
    yield from items_of(given.get("token_logprobs"))


def _said(choice: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message of a choice; the text of a legacy one as such; None if it has neither."""
    message = choice.get("message")
    if isinstance(message, dict):
        return message
    return {"content": choice["text"]} if isinstance(choice.get("text"), str) else None


def _choice_message(choice: Mapping[str, Any]) -> Message | None:
    said = _said(choice)
    if said is None:
        return None
    message = read_message({"role": "assistant", **said})
    is_silent = not message.content and not message.tool_calls
    if is_silent and choice.get("finish_reason") == "content_filter":
        return replace(message, content=refusal(FILTERED))
    return message


# Messages


def read_message(data: Mapping[str, Any]) -> Message:
    """Read one message of a request or an answer.

    Content parts are joined, those that are no text noted as in `fields.flatten`; so are sounds and images beside
    the content, of sounds also what was said. A refusal is put there as `[refusal] ...`.
    """
    # Most are no more than this, and a long conversation has many.
    if isinstance(data.get("content"), str) and data.keys() <= _PLAIN:
        return Message(text_of(data.get("role")), data["content"])
    refused = text_of(data.get("refusal"))
    contents = [flatten(data.get("content")), *_media(data), refusal(refused) if refused else ""]
    calls = [read_tool_call(item) for item in objects_of(data.get("tool_calls"))]
    if isinstance(data.get("function_call"), dict):
        calls.append(read_tool_call({"function": data["function_call"]}))
    return Message(
        role=text_of(data.get("role")),
        content="\n".join(filter(None, contents)),
        reasoning=read_reasoning(data),
        tool_calls=tuple(calls),
        tool_call_id=text_of(data.get("tool_call_id")),
    )


def _media(data: Mapping[str, Any]) -> Iterator[str]:
    audio = object_of(data.get("audio"))
    if isinstance(audio.get("transcript"), str):
        yield audio["transcript"]
    if isinstance(audio.get("data"), str) and audio["data"]:
        yield f"[audio, {encoded_size(audio['data']):,} bytes]"
    # In a request: the sound of an earlier answer, by its id.
    elif audio and "transcript" not in audio:
        yield "[audio]"
    yield from (media("image", image) for image in objects_of(data.get("images")))


def read_reasoning(data: Mapping[str, Any]) -> str:
    """The reasoning of a message or delta: under one of the names that servers give it, or as parts of the content."""
    for name in _REASONING:
        if isinstance(data.get(name), (str, list)) and (said := flatten(data[name])):
            return said
    parts = [*objects_of(data.get("reasoning_details")), *objects_of(data.get("thinking_blocks"))]
    parts += [part for part in objects_of(data.get("content")) if part.get("type") in THOUGHTS]
    return "\n".join(filter(None, map(_thought, parts)))


def _thought(part: Mapping[str, Any]) -> str:
    said = part.get("thinking")
    return flatten(said) if said is not None else first_text(part, "text", "summary", "content")


def read_tool_call(data: Mapping[str, Any]) -> ToolCall:
    """Read one entry of `tool_calls`; arguments that are no text, as some servers send them, become JSON."""
    detail = object_of(data.get("function") or data.get("custom"))
    arguments = detail.get("arguments", detail.get("input"))
    return ToolCall(
        id=text_of(data.get("id")),
        name=text_of(detail.get("name")),
        arguments="" if arguments is None else dump(arguments),
    )
