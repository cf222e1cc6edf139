"""Anthropic's Messages API: bodies of bytes and streams of events to messages, no I/O.

Results of tools stand there inside the user's messages; they become messages of their own, as other APIs have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pytest_gepa.trace.chat import FILTERED, Answer, ChatRequest
from pytest_gepa.trace.fields import (
    SO_FAR,
    Usage,
    count_of,
    dump,
    first_text,
    flatten,
    object_of,
    objects_of,
    other_texts,
    read_error,
    read_json,
    read_object,
    refusal,
    schema_text,
    tell,
    text_of,
)
from pytest_gepa.trace.sse import Event, EventReader
from pytest_gepa.trace.trajectory import Message, ToolCall

REDACTED_THINKING = "[reasoning that the server keeps to itself]"
NO_RESULT = "[the message does not hold its result]"
NOTHING = "[nothing came back]"

STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
"""The last event of every stream."""


# Requests


def read_request(body: bytes) -> ChatRequest | None:
    """Read the body of a request; None when it holds no list of messages."""
    data = read_object(body)
    if data is None or not isinstance(data.get("messages"), list):
        return None
    system = flatten(data.get("system"))
    messages = [Message("system", system)] if system else []
    for message in objects_of(data["messages"]):
        messages += read_message(message)
    tools = objects_of(data.get("tools"))
    form = object_of(data.get("output_format") or object_of(data.get("output_config")).get("format"))
    return ChatRequest(
        model=text_of(data.get("model")),
        messages=tuple(messages),
        tools=tuple(filter(None, (text_of(tool.get("name") or tool.get("type")) for tool in tools))),
        stream=bool(data.get("stream")),
        other_texts=other_texts(data, "messages", "system"),
        answer_format=schema_text(form.get("schema")),
    )


def read_message(data: Mapping[str, Any]) -> Iterator[Message]:
    """One message of a request: the results of tools in it first come as messages of their own."""
    role, content = text_of(data.get("role")), data.get("content")
    if not isinstance(content, list):
        yield Message(role, flatten(content))
        return
    if role == "assistant":
        yield message_of(objects_of(content))
        return
    pending: list[Any] = []
    for block in content:
        if not _is_result(object_of(block)):
            pending.append(block)
            continue
        if pending:
            yield Message(role, flatten(pending))
            pending = []
        result = _result(object_of(block))
        yield Message("tool", result, tool_call_id=text_of(object_of(block).get("tool_use_id")))
    if pending or not content:
        yield Message(role, flatten(pending))


def _is_result(block: Mapping[str, Any]) -> bool:
    return text_of(block.get("type")).endswith("tool_result")


# Answers


def read_answer(body: bytes) -> Answer | None:
    """Read the body of a response that was not streamed; None when it is no JSON object."""
    data = read_object(body)
    return None if data is None else answer_of(data)


def answer_of(data: Mapping[str, Any]) -> Answer:
    """Read a message, or an error."""
    content = data.get("content")
    message = message_of(objects_of(content)) if isinstance(content, list) else None
    reason = text_of(data.get("stop_reason"))
    if reason == "refusal" and message is not None and not message.tool_calls:
        why = text_of(object_of(data.get("stop_details")).get("explanation")) or FILTERED
        message = replace(message, content="\n".join(filter(None, (message.content, refusal(why)))))
    return Answer(message, reason, error=read_error(data.get("error")), usage=read_usage(data.get("usage")))


def is_complete(body: bytes) -> bool:
    """Whether a response body is a finished answer."""
    data = read_object(body) or {}
    return isinstance(data.get("content"), list) and bool(data.get("stop_reason")) and not data.get("error")


def read_usage(data: Any) -> Usage:
    """Tokens: what was written to the server's cache and read from it is counted apart there, and in here."""
    usage = object_of(data)
    read = count_of(usage.get("cache_read_input_tokens"))
    written = count_of(usage.get("cache_creation_input_tokens"))
    details = object_of(usage.get("output_tokens_details"))
    return Usage(
        input_tokens=count_of(usage.get("input_tokens")) + read + written,
        output_tokens=count_of(usage.get("output_tokens")),
        cache_read_tokens=read,
        reasoning_tokens=count_of(details.get("thinking_tokens") or details.get("reasoning_tokens")),
        cache_write_tokens=written,
    )


def message_of(blocks: Iterable[Mapping[str, Any]]) -> Message:
    """The blocks of one turn of the model as one message. A tool that the server runs has its result in it."""
    texts: list[Mapping[str, Any]] = []
    thoughts: list[str] = []
    calls: dict[str, ToolCall] = {}
    for block in blocks:
        kind = text_of(block.get("type"))
        id = text_of(block.get("id")) or f"#{len(calls)}"
        if kind == "thinking":
            thoughts.append(text_of(block.get("thinking")))
        elif kind == "redacted_thinking":
            thoughts.append(REDACTED_THINKING)
        elif kind.endswith("tool_use"):
            calls[id] = _read_call(block)
        elif _is_result(block):
            id = text_of(block.get("tool_use_id"))
            if id in calls:
                calls[id] = replace(calls[id], result=_result(block) or NOTHING)
        else:
            texts.append(block)
    # Citations split a text into blocks in the middle of its sentences.
    is_cited = any(block.get("citations") for block in texts)
    content = "".join(map(flatten, texts)) if is_cited else flatten(texts)
    return Message("assistant", content, "\n".join(filter(None, thoughts)), tuple(calls.values()))


def _read_call(block: Mapping[str, Any]) -> ToolCall:
    name = ".".join(filter(None, map(text_of, (block.get("server_name"), block.get("name")))))
    is_own = block.get("type") == "tool_use"
    return ToolCall(text_of(block.get("id")), name, dump(block.get("input", {})), result="" if is_own else NO_RESULT)


def _result(block: Mapping[str, Any]) -> str:
    """What a tool gave back: of found pages the title and address, of programs what they printed."""
    content = block.get("content")
    lines = map(_told, content if isinstance(content, list) else [content])
    text = "\n".join(filter(None, lines))
    return f"[error] {text}" if block.get("is_error") else text


def _told(content: Any) -> str:
    if not isinstance(content, dict):
        return text_of(content)
    if error := text_of(content.get("error_code")):
        return f"[error] {error}"
    if "stdout" in content or "stderr" in content:
        return "\n".join(filter(None, (text_of(content.get("stdout")), text_of(content.get("stderr")))))
    place = " ".join(filter(None, (first_text(content, "title"), first_text(content, "url"))))
    if not place:
        return tell(content)
    said = content.get("content")
    return "\n".join(filter(None, (place, tell(said) if said else "")))


# Streams


class MessagesStream(EventReader):
    """A stream of a message's events, as far as it has come.

    `done` says that the stream has said all (`message_stop`, or an error), `complete` that it is a finished answer,
    which it is with its reason to stop: some clients read no further.
    """

    def __init__(self) -> None:
        super().__init__()
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, _Block] = {}
        self._error = ""

    def answer(self) -> Answer | None:
        """The answer as far as it has come; None when no message has begun and no error was reported."""
        self._take_rest()
        if not self._message and not self._blocks and not self._error:
            return None
        blocks = [self._blocks[index].whole() for index in sorted(self._blocks)]
        answer = answer_of({**self._message, "content": blocks})
        if not self._error:
            return answer
        so_far = f"; {SO_FAR}{answer.message.content}" if answer.message and answer.message.content else ""
        return replace(answer, message=None, error=self._error + so_far)

    def ended(self, body: bytes) -> bytes:
        """See `EventReader`: behind the reason to stop there is nothing but `message_stop`."""
        if self.done or not self.complete:
            return body
        # An event may have been left in its middle.
        end = max(body.rfind(blank) + len(blank) for blank in (b"\n\n", b"\r\n\r\n"))
        reader = MessagesStream()
        reader.feed(body[:end])
        return body[:end] + STOP if reader.complete else body

    def _take(self, event: Event) -> None:
        data = read_object(event.data) or {}
        kind = text_of(data.get("type")) or event.name
        if kind == "message_start":
            self._message = object_of(data.get("message"))
        elif kind == "content_block_start":
            self._blocks[count_of(data.get("index"))] = _Block(object_of(data.get("content_block")))
        elif kind == "content_block_delta":
            block = self._blocks.setdefault(count_of(data.get("index")), _Block({"type": "text"}))
            block.add(object_of(data.get("delta")))
        elif kind == "message_delta":
            spent = {name: count for name, count in object_of(data.get("usage")).items() if count is not None}
            usage = {**object_of(self._message.get("usage")), **spent}
            self._message = {**self._message, **object_of(data.get("delta")), "usage": usage}
            self.complete = bool(self._message.get("stop_reason")) and not self._error
        elif kind == "message_stop":
            self.done = True
            self.complete = not self._error
        elif kind == "error":
            self.done, self.complete = True, False
            self._error = read_error(data.get("error")) or "an error without a message"


class _Block:
    """A content block of a stream, as far as it has come."""

    def __init__(self, begun: Mapping[str, Any]) -> None:
        self._begun = begun
        self._pieces: dict[str, list[str]] = {}
        self._citations: list[Any] = []

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take a delta: pieces of text, of reasoning, or of the JSON that a tool is called with."""
        for name in ("text", "thinking", "partial_json"):
            if isinstance(delta.get(name), str):
                self._pieces.setdefault(name, []).append(delta[name])
        if isinstance(delta.get("citation"), dict):
            self._citations.append(delta["citation"])

    def whole(self) -> dict[str, Any]:
        """The block as it stands in a body that was not streamed."""
        whole = {**self._begun, **({"citations": self._citations} if self._citations else {})}
        for name, pieces in self._pieces.items():
            text = "".join(pieces)
            if name != "partial_json":
                whole[name] = text_of(whole.get(name)) + text
            elif text:
                given = read_json(text)
                whole["input"] = text if given is None else given
        return whole
