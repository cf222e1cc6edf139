"""The items of OpenAI's Responses API as messages: what a request brings along, and what a response puts out.

The items of one turn of the model (its reasoning, calls and messages) become one message, in a request as in an
answer, so that what is sent back is known again. Calls of tools that the server runs carry what these gave back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pytest_gepa.trace.fields import (
    dump,
    first_text,
    flatten,
    is_data,
    items_of,
    media,
    object_of,
    objects_of,
    tell,
    text_of,
    without_data,
)
from pytest_gepa.trace.trajectory import Message, ToolCall

REFERS = "[refers to an item of an earlier response]"
NO_RESULT = "[the response does not hold its result]"
WAITS = "[waits for approval]"

_SERVER_RUNS = frozenset(
    {"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call"}
    | {"mcp_list_tools"}
)
_OTHER_CALLS = frozenset({"mcp_list_tools", "mcp_approval_request", "program"})
_RESULTS = ("results", "outputs", "output", "result", "sources", "tools", "error")
_ABOUT = frozenset({"id", "type", "status", "call_id", "name", "server_label", "created_by", "approval_request_id"})
_KEPT_BACK = frozenset({"env", "container_id", "fingerprint", "caller", "encrypted_content", "pending_safety_checks"})
_NO_ARGUMENTS = _ABOUT | _KEPT_BACK | frozenset(_RESULTS)


def read_items(items: Iterable[Mapping[str, Any]]) -> Iterator[Message]:
    """The items of a request as messages."""
    turn = _Turn()
    for item in items:
        if turn.takes(item):
            turn.add(item)
            continue
        if turn.begun:
            yield turn.message()
            turn = _Turn()
        yield _other_item(item)
    if turn.begun:
        yield turn.message()


def message_of(output: Iterable[Mapping[str, Any]]) -> Message:
    """The items of an answer as one message."""
    turn = _Turn()
    for item in output:
        turn.add(item)
    return turn.message()


class _Turn:
    """Collects the items of one turn of the model."""

    def __init__(self) -> None:
        self.begun = False
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[ToolCall] = []
        self._cited: dict[str, None] = {}

    def takes(self, item: Mapping[str, Any]) -> bool:
        """Whether an item of a request is the model's own."""
        kind = _kind(item)
        if kind == "message":
            return item.get("role") == "assistant"
        return kind == "reasoning" or kind.endswith("_call") or kind in _OTHER_CALLS

    def add(self, item: Mapping[str, Any]) -> None:
        """Take an item of the model, or the output of a tool that the server has run for it."""
        self.begun = True
        kind = _kind(item)
        if kind == "message":
            self._texts.append(flatten(item.get("content")))
            self._cited.update(dict.fromkeys(_citations(item)))
        elif kind == "reasoning":
            self._thoughts += [flatten(item.get("summary")), *_thoughts(item)]
        elif kind.endswith("_output"):
            self._give(text_of(item.get("call_id")), _other_item(item).content)
        elif self.takes(item):
            self._calls.append(_read_call(item))
        else:
            self._texts.append(_other_item(item).content)

    def message(self) -> Message:
        """All of it as one message."""
        return Message(
            "assistant",
            "\n".join(filter(None, self._texts)),
            "\n".join(filter(None, self._thoughts)),
            tuple(self._with_citations(call) for call in self._calls),
        )

    def _give(self, id: str, result: str) -> None:
        for index, call in enumerate(self._calls):
            if call.id == id:
                self._calls[index] = replace(call, result=result)

    def _with_citations(self, call: ToolCall) -> ToolCall:
        """What an answer cites is all that is known of a search unless its results were asked for."""
        if self._cited and call.result == NO_RESULT and call.name in ("web_search", "file_search"):
            return replace(call, result="\n".join(["[cited in the answer:]", *self._cited]))
        return call


def _thoughts(item: Mapping[str, Any]) -> Iterator[str]:
    return (first_text(part, "text") for part in objects_of(item.get("content")))


def _citations(item: Mapping[str, Any]) -> Iterator[str]:
    for part in objects_of(item.get("content")):
        for note in objects_of(part.get("annotations")):
            if said := " ".join(filter(None, map(text_of, (note.get("title"), note.get("url"), note.get("filename"))))):
                yield said


def _read_call(item: Mapping[str, Any]) -> ToolCall:
    """A call of any kind: what it asks as arguments, and what came back if the server has run it."""
    kind = _kind(item)
    id = text_of(item.get("call_id") or item.get("id"))
    name = kind.removesuffix("_call")
    if item.get("name"):
        name = ".".join(filter(None, map(text_of, (item.get("server_label"), item["name"]))))
    given = item.get("arguments", item.get("input"))
    if given is None:
        given = _arguments(item)
    result = ""
    if kind == "mcp_approval_request":
        result = WAITS
    elif kind in _SERVER_RUNS:
        result = _result(item) or NO_RESULT
    return ToolCall(id, name, dump(without_data(given)) if not isinstance(given, str) else given, result)


def _arguments(item: Mapping[str, Any]) -> dict[str, Any]:
    asked = {name: value for name, value in item.items() if name not in _NO_ARGUMENTS and value is not None}
    if set(asked) == {"action"} and isinstance(asked["action"], dict):
        asked = {name: value for name, value in asked["action"].items() if name not in ("sources", "env")}
    if item.get("type") == "mcp_list_tools":
        asked = {"server": item.get("server_label")}
    # Clients send items back with their fields in an order of their own.
    return dict(sorted(asked.items()))


def _result(item: Mapping[str, Any]) -> str:
    """What a tool gave back, as text."""
    if item.get("type") == "image_generation_call" and isinstance(item.get("result"), str):
        return media("image", {"data": item["result"]})
    holders = (item, object_of(item.get("action")))
    results = [holder[name] for holder in holders for name in _RESULTS if holder.get(name)]
    state = text_of(item.get("status"))
    failed = [f"[{state}]"] if state in ("failed", "incomplete") else []
    return "\n".join([*(_told(result) for result in results), *failed])


def _told(result: Any) -> str:
    """A result as text: of found files the name and the passage, of pages and tools the address or the name."""
    lines = []
    for one in items_of(result) or [result]:
        said = object_of(one)
        name = first_text(said, "filename", "url", "name", "logs")
        text = first_text(said, "text", "description")
        lines.append(": ".join(filter(None, (name, text))) if name and not is_data(name) else tell(one))
    return "\n".join(filter(None, lines))


def _other_item(item: Mapping[str, Any]) -> Message:
    """An item that is not the model's own: a message of the application, a tool's output, a reference."""
    kind = _kind(item)
    if kind == "message":
        return Message(text_of(item.get("role")), flatten(item.get("content")))
    if kind.endswith("_output"):
        output = next((item[name] for name in ("output", "result", "tools") if name in item), None)
        return Message("tool", tell(output), tool_call_id=text_of(item.get("call_id") or item.get("id")))
    if kind == "item_reference":
        return Message("note", REFERS)
    told = {name: value for name, value in item.items() if name not in ("type", "id", "encrypted_content")}
    said = tell(told) if told else ""
    return Message("note", f"[{kind}] {said}".rstrip())


def _kind(item: Mapping[str, Any]) -> str:
    return text_of(item.get("type")) or ("message" if "role" in item else "item")
