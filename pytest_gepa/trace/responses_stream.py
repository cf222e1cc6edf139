"""A stream of the Responses API's events, read as it comes to the answer that it amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_gepa.trace.chat import Answer
from pytest_gepa.trace.fields import (
    SO_FAR,
    count_of,
    object_of,
    objects_of,
    read_error,
    read_object,
    read_usage,
    text_of,
)
from pytest_gepa.trace.response_items import message_of
from pytest_gepa.trace.responses import FINISHED, answer_of
from pytest_gepa.trace.sse import Event, EventReader

_ENDS = tuple(f"response.{state}" for state in ("completed", "incomplete", "failed", "cancelled"))

# Which field of an item, or kind of part, the pieces of an event belong to.
_PIECES = {
    "response.output_text.delta": "output_text",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "summary",
    "response.reasoning_text.delta": "reasoning_text",
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
}


class ResponsesStream(EventReader):
    """A stream of a response's events, as far as it has come.

    `done` says that the stream has said all (the response is completed, incomplete, failed or cancelled, or an error
    has come), `complete` that it is a finished answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self._response: dict[str, Any] = {}
        self._items: dict[int, dict[str, Any]] = {}
        self._ended_items: set[int] = set()
        self._pieces: dict[int, dict[tuple[str, int], list[str]]] = {}
        self._logprobs: dict[int, list[Any]] = {}
        self._error = ""

    def answer(self) -> Answer | None:
        """The answer as far as it has come; None when no item has begun and no error was reported."""
        self._take_rest()
        output = self._response.get("output") or [self._item(index) for index in sorted({*self._items, *self._pieces})]
        if self.complete:
            return answer_of({**self._response, "output": output})
        message = message_of(objects_of(output)) if output else None
        if self._error or self.done:
            state = text_of(self._response.get("status"))
            so_far = f"; {SO_FAR}{message.content}" if message is not None and message.content else ""
            usage = read_usage(self._response.get("usage"))
            return Answer(None, state, error=f"{self._error or f'the response is {state}'}{so_far}", usage=usage)
        return None if message is None else Answer(message)

    def _take(self, event: Event) -> None:
        data = read_object(event.data) or {}
        kind = text_of(data.get("type")) or event.name
        if isinstance(data.get("response"), dict):
            self._response = {**self._response, **data["response"]}
        if kind in _ENDS:
            self.done = True
            state = kind.removeprefix("response.")
            self._response["status"] = state
            self._error = read_error(self._response.get("error")) or self._error
            self.complete = state in FINISHED and not self._error
        elif kind == "error":
            self.done = True
            self._error = read_error(data.get("error") or data)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._items[_index(data)] = object_of(data.get("item"))
            if kind.endswith("done"):
                self._ended_items.add(_index(data))
        elif kind in _PIECES and isinstance(data.get("delta"), str):
            place = count_of(data.get("content_index")) or count_of(data.get("summary_index"))
            pieces = self._pieces.setdefault(_index(data), {})
            pieces.setdefault((_PIECES[kind], place), []).append(data["delta"])
            self._logprobs.setdefault(_index(data), []).extend(objects_of(data.get("logprobs")))

    def _item(self, index: int) -> dict[str, Any]:
        """An item as the stream has told it: whole, or put together from its pieces."""
        item = self._items.get(index, {})
        if index in self._ended_items:
            return item
        texts = {key: "".join(self._pieces[index][key]) for key in sorted(self._pieces.get(index, {}))}
        return {"type": _kind_of(texts), **item, **_fields(texts, self._logprobs.get(index, []))}


def _index(data: Mapping[str, Any]) -> int:
    return count_of(data.get("output_index"))


def _kind_of(texts: Mapping[tuple[str, int], str]) -> str:
    """The kind of an item whose beginning was not told."""
    names = {name for name, _ in texts}
    if names & {"output_text", "refusal"}:
        return "message"
    return "reasoning" if names & {"summary", "reasoning_text"} else "function_call"


def _fields(texts: Mapping[tuple[str, int], str], logprobs: list[Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for (name, _), text in texts.items():
        if name in ("arguments", "input", "code"):
            fields[name] = text
        elif name == "summary":
            fields.setdefault("summary", []).append({"type": "summary_text", "text": text})
        else:
            said = "refusal" if name == "refusal" else "text"
            part = {"type": name, said: text, "logprobs": logprobs}
            fields.setdefault("content", []).append(part)
    return fields
