"""Google's generateContent, whole and streamed: bodies of bytes to messages, no I/O.

A stream comes as server-sent events or as one JSON list, each element of the form of a whole answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pytest_gepa.trace.chat import FILTERED, Answer, ChatRequest
from pytest_gepa.trace.fields import (
    Usage,
    count_of,
    dump,
    encoded_size,
    first_text,
    mean,
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

_FILTERS = frozenset({"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "IMAGE_SAFETY"})


# Requests


def read_request(body: bytes) -> ChatRequest | None:
    """Read the body of a request; None when it has no contents. The model, and whether to stream, is in the path."""
    data = read_object(body)
    contents = data.get("contents") if data is not None else None
    if data is None or not isinstance(contents, (list, dict)):
        return None
    messages = []
    if system := _content(_field(data, "systemInstruction")):
        messages += [Message("system", "\n".join(message.content for message in system))]
    for content in contents if isinstance(contents, list) else [contents]:
        messages += _content(content)
    config = object_of(_field(data, "generationConfig"))
    schema = _field(config, "responseSchema") or _field(config, "responseJsonSchema")
    tools = objects_of(data.get("tools"))
    declared = [one for tool in tools for one in objects_of(_field(tool, "functionDeclarations"))]
    built_in = [
        name for tool in tools for name in tool if name not in ("functionDeclarations", "function_declarations")
    ]
    return ChatRequest(
        model=text_of(data.get("model")),
        messages=tuple(messages),
        tools=tuple(filter(None, [*(text_of(one.get("name")) for one in declared), *built_in])),
        other_texts=other_texts(data, "contents", "systemInstruction", "system_instruction"),
        answer_format=schema_text(schema),
    )


def _field(data: Mapping[str, Any], name: str) -> Any:
    """A field under its name in camel case, or in the snake case that is taken as well."""
    snake = "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name)
    return data.get(name, data.get(snake))


def _content(content: Any) -> list[Message]:
    """One content as messages: the results of functions in it each make one of their own."""
    data = object_of(content)
    parts = objects_of(data.get("parts")) or objects_of([data.get("parts")])
    if isinstance(content, str):
        parts = [{"text": content}]
    role = {"model": "assistant"}.get(text_of(data.get("role")), text_of(data.get("role")) or "user")
    results = [object_of(_field(part, "functionResponse")) for part in parts]
    messages = [
        Message("tool", tell(result.get("response")), tool_call_id=text_of(result.get("id") or result.get("name")))
        for result in results
        if result
    ]
    own = [part for part, result in zip(parts, results, strict=True) if not result]
    return [*messages, _message(role, own)] if own else messages


def _message(role: str, parts: Iterable[Mapping[str, Any]]) -> Message:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    for part in parts:
        called = object_of(_field(part, "functionCall"))
        code = object_of(_field(part, "executableCode"))
        ran = object_of(_field(part, "codeExecutionResult"))
        if called:
            name = text_of(called.get("name"))
            calls.append(ToolCall(text_of(called.get("id") or name), name, dump(called.get("args", {}))))
        elif code:
            calls.append(ToolCall("", "code_execution", text_of(code.get("code")), "[no result]"))
        elif ran and calls:
            last = calls.pop()
            calls.append(ToolCall(last.id, last.name, last.arguments, first_text(ran, "output", "outcome")))
        else:
            (thoughts if part.get("thought") is True else texts).append(_text(part))
    # The model's own text may be in many parts because it came in as many pieces.
    between = "" if role == "assistant" else "\n"
    return Message(role, between.join(texts), "".join(thoughts), tuple(calls))


def _text(part: Mapping[str, Any]) -> str:
    if isinstance(part.get("text"), str):
        return str(part["text"])
    for name in ("inlineData", "fileData"):
        if data := object_of(_field(part, name)):
            kind = text_of(_field(data, "mimeType")) or "data"
            place = text_of(_field(data, "fileUri")).partition("?")[0]
            return f"[{kind} {place}]" if place else f"[{kind}, {encoded_size(text_of(data.get('data'))):,} bytes]"
    return ""


# Answers


def read_answer(body: bytes) -> Answer | None:
    """Read a whole answer, be it the list that a stream without events is; None when it is neither."""
    data = read_json(body)
    if not isinstance(data, (dict, list)):
        return None
    return answer_of(objects_of(data) or objects_of([data]))


def is_complete(body: bytes) -> bool:
    """Whether a whole body is a finished answer."""
    data = read_json(body)
    return _is_finished(objects_of(data) or objects_of([data]))


def _is_finished(pieces: Iterable[Mapping[str, Any]]) -> bool:
    """Whether every candidate has a finish reason, and no error has come."""
    state = _State()
    for piece in pieces:
        state.add(piece)
    return state.finished


class _State:
    """Which candidates have come to their end."""

    def __init__(self) -> None:
        self._open: dict[int, bool] = {}
        self._failed = self._is_blocked = False

    def add(self, piece: Mapping[str, Any]) -> None:
        """Take the next piece of an answer."""
        self._failed = self._failed or bool(piece.get("error"))
        self._is_blocked = self._is_blocked or bool(_block_reason(piece))
        for index, candidate in _candidates(piece):
            self._open[index] = self._open.get(index, True) and not _field(candidate, "finishReason")

    @property
    def finished(self) -> bool:
        """Whether there is an answer, and no more of it to come."""
        has_answer = self._is_blocked or bool(self._open)
        return has_answer and not any(self._open.values()) and not self._failed


def _block_reason(piece: Mapping[str, Any]) -> str:
    """Why the prompt was refused, "" where it was not."""
    return text_of(_field(object_of(_field(piece, "promptFeedback")), "blockReason"))


def _candidates(piece: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    for candidate in objects_of(piece.get("candidates")):
        yield count_of(candidate.get("index")), candidate


def answer_of(pieces: Iterable[Mapping[str, Any]]) -> Answer:
    """Read an answer from its pieces, of which one that was not streamed has a single one."""
    parts: dict[int, list[Mapping[str, Any]]] = {}
    reasons: dict[int, str] = {}
    logprob = None
    usage: dict[str, Any] = {}
    error = blocked = ""
    for piece in pieces:
        usage = object_of(_field(piece, "usageMetadata")) or usage
        error = read_error(piece.get("error")) or error
        blocked = _block_reason(piece) or blocked
        for index, candidate in _candidates(piece):
            parts.setdefault(index, []).extend(objects_of(object_of(candidate.get("content")).get("parts")))
            reasons[index] = text_of(_field(candidate, "finishReason")) or reasons.get(index, "")
            if index == 0:
                logprob = mean([_field(candidate, "avgLogprobs")]) or logprob
    messages = [_answer_message(parts[index], reasons[index]) for index in sorted(parts)]
    if blocked and not messages:
        messages = [Message("assistant", refusal(f"{FILTERED} ({blocked})"))]
    return Answer(
        message=messages[0] if messages else None,
        finish_reason=next((reasons[index] for index in sorted(reasons)), blocked),
        error=error,
        alternatives=tuple(messages[1:]),
        logprob=logprob,
        usage=_usage(usage),
    )


def _answer_message(parts: Iterable[Mapping[str, Any]], reason: str) -> Message:
    message = _message("assistant", parts)
    if reason in _FILTERS and not message.content and not message.tool_calls:
        return Message("assistant", refusal(f"{FILTERED} ({reason})"), message.reasoning)
    return message


def _usage(data: Mapping[str, Any]) -> Usage:
    """Tokens; those of thoughts are counted apart there, and among the output here. So are those that a tool of the
    server has given the model to read, which are input."""
    thoughts = count_of(_field(data, "thoughtsTokenCount"))
    return Usage(
        input_tokens=count_of(_field(data, "promptTokenCount")) + count_of(_field(data, "toolUsePromptTokenCount")),
        output_tokens=count_of(_field(data, "candidatesTokenCount")) + thoughts,
        cache_read_tokens=count_of(_field(data, "cachedContentTokenCount")),
        reasoning_tokens=thoughts,
        input_audio_tokens=_audio(data, "promptTokensDetails") + _audio(data, "toolUsePromptTokensDetails"),
        output_audio_tokens=_audio(data, "candidatesTokensDetails"),
        cache_audio_tokens=_audio(data, "cacheTokensDetails"),
    )


def _audio(data: Mapping[str, Any], name: str) -> int:
    """The tokens of audio in a list of counts by modality."""
    counts = objects_of(_field(data, name))
    return sum(count_of(_field(one, "tokenCount")) for one in counts if one.get("modality") == "AUDIO")


class GeminiStream(EventReader):
    """A stream of pieces of an answer, as far as it has come.

    There is no terminal marker: the stream is done when every candidate has its finish reason. Some servers give one
    with every piece.
    """

    has_marker = False

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[dict[str, Any]] = []
        self._state = _State()

    def answer(self) -> Answer | None:
        """The answer as far as it has come; None when nothing has."""
        self._take_rest()
        return answer_of(self._pieces) if self._pieces else None

    def _take(self, event: Event) -> None:
        data = read_object(event.data)
        if data is not None:
            self._pieces.append(data)
            self._state.add(data)
            self.done = self.complete = self._state.finished
