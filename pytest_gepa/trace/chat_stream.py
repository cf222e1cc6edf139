"""A stream of completion chunks, chat or legacy, read as it comes to the answer that it amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_gepa.trace.chat import Answer, answer_of, logprobs_of, read_reasoning
from pytest_gepa.trace.fields import dump, flatten, object_of, objects_of, read_error, read_object, text_of
from pytest_gepa.trace.sse import END, Event, EventReader


class ChatStream(EventReader):
    """A stream of chunks, as far as it has come.

    `done` says that the stream has said all (`[DONE]`), `complete` that the answer has ended (that, or a finish
    reason for every choice).
    """

    def __init__(self) -> None:
        super().__init__()
        self._choices: dict[int, _Choice] = {}
        self._usage: Any = None
        self._error = ""

    def answer(self) -> Answer | None:
        """The answer as far as it has come; None when no message has begun and no error was reported."""
        self._take_rest()
        choices = [self._choices[index].whole() for index in sorted(self._choices)]
        begun = [choice for choice in choices if choice is not None]
        if not begun and not self._error:
            return None
        return answer_of({"choices": begun, "usage": self._usage, "error": self._error or None})

    def _take(self, event: Event) -> None:
        if event.data == END:
            self.done = self.complete = True
            return
        chunk = read_object(event.data) or {}
        self._usage = chunk.get("usage") or self._usage
        self._error = read_error(chunk.get("error")) or self._error
        for choice in objects_of(chunk.get("choices")):
            index = choice.get("index")
            number = index if isinstance(index, int) else 0
            self._choices.setdefault(number, _Choice()).add(choice)
        choices = self._choices.values()
        self.complete = self.done or (bool(choices) and all(choice.finish_reason for choice in choices))


class _Choice:
    """One of the choices of a stream, as far as it has come."""

    def __init__(self) -> None:
        self.finish_reason = ""
        self._role = ""
        self._texts: dict[str, list[str]] = {}
        self._audio: dict[str, list[str]] = {}
        self._images: list[Any] = []
        self._function: dict[str, Any] = {}
        self._tools: dict[int, dict[str, Any]] = {}
        self._logprobs: list[Any] = []

    def add(self, choice: Mapping[str, Any]) -> None:
        """Take a chunk's choice."""
        self.finish_reason = text_of(choice.get("finish_reason")) or self.finish_reason
        if choice.get("logprobs"):
            self._logprobs += logprobs_of(choice)
        # Some servers send the whole message as their last chunk where a delta belongs; legacy ones send a text.
        delta = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
        if isinstance(delta, dict):
            self._merge(delta)

    def whole(self) -> dict[str, Any] | None:
        """The choice as it stands in a body that was not streamed; None when nothing of it has come."""
        message: dict[str, Any] = {name: "".join(parts) for name, parts in self._texts.items()}
        if self._role:
            message["role"] = self._role
        if self._audio:
            message["audio"] = {name: "".join(parts) for name, parts in self._audio.items()}
        if self._images:
            message["images"] = self._images
        if self._function:
            message["function_call"] = _joined(self._function)
        if self._tools:
            tools = (self._tools[index] for index in sorted(self._tools))
            message["tool_calls"] = [{**tool, "function": _joined(tool["function"])} for tool in tools]
        if not message and not self.finish_reason:
            return None
        return {
            "message": message,
            "finish_reason": self.finish_reason,
            "logprobs": {"token_logprobs": self._logprobs},
        }

    def _merge(self, delta: Mapping[str, Any]) -> None:
        self._role = text_of(delta.get("role")) or self._role
        content = delta.get("content")
        if isinstance(content, str) and delta.keys() <= {"role", "content"}:
            if content:
                self._texts.setdefault("content", []).append(content)
            return
        if isinstance(delta.get("function_call"), dict):
            _extend(self._function, delta["function_call"])
        for name, text in (
            ("content", flatten(content)),
            ("reasoning_content", read_reasoning(delta)),
            ("refusal", text_of(delta.get("refusal"))),
        ):
            if text:
                self._texts.setdefault(name, []).append(text)
        for name, piece in object_of(delta.get("audio")).items():
            if name in ("data", "transcript") and isinstance(piece, str):
                self._audio.setdefault(name, []).append(piece)
        self._images += objects_of(delta.get("images"))
        for call in objects_of(delta.get("tool_calls")):
            self._merge_tool(call)

    def _merge_tool(self, call: Mapping[str, Any]) -> None:
        index = call.get("index")
        if not isinstance(index, int):
            index = self._index_of(text_of(call.get("id")))
        tool = self._tools.setdefault(index, {"id": "", "function": {}})
        tool["id"] = text_of(call.get("id")) or tool["id"]
        detail = call.get("function") or call.get("custom")
        if isinstance(detail, dict):
            _extend(tool["function"], detail)

    def _index_of(self, id: str) -> int:
        """Where a tool call without an index belongs: to the one of its id, a new one, or the last."""
        for index, tool in self._tools.items():
            if id and tool["id"] == id:
                return index
        last = max(self._tools, default=-1)
        return last + 1 if id or last < 0 else last


def _extend(detail: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Add a delta to a function's name and arguments. The name comes whole, the arguments in pieces."""
    detail["name"] = text_of(delta.get("name")) or detail.get("name", "")
    arguments = delta.get("arguments", delta.get("input"))
    if arguments is not None:
        detail.setdefault("pieces", []).append(dump(arguments))


def _joined(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": detail.get("name"), "arguments": "".join(detail.get("pieces", ()))}
