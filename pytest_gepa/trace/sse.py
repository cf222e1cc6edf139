"""A stream of server-sent chat chunks, read as it comes, to the answer that it amounts to."""

from __future__ import annotations

import json
from typing import Any

from pytest_gepa.trace.chat import (
    Answer,
    flatten,
    items_of,
    read_error,
    read_message,
    read_object,
    read_reasoning,
    read_usage,
    text_of,
)


class ChatStream:
    """Takes the bytes of an event stream in pieces of any size. Nothing that a server sends makes it raise.

    `done` says that the stream has said all (`[DONE]`), `complete` that the answer has ended (that, or a
    finish reason). Of several choices the first is followed.
    """

    def __init__(self) -> None:
        self.done = False
        self._rest = b""
        self._data: list[bytes] = []
        self._message: dict[str, Any] = {}
        self._texts: dict[str, list[str]] = {"content": [], "reasoning_content": [], "refusal": []}
        self._tools: dict[int, dict[str, Any]] = {}
        self._finish_reason = ""
        self._usage: Any = None
        self._error = ""

    @property
    def complete(self) -> bool:
        """Whether the answer has come to its end."""
        return self.done or bool(self._finish_reason)

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the stream."""
        lines = (self._rest + piece).splitlines(keepends=True)
        # A last line without its end is kept; so is one that ends in "\r", which may be half of "\r\n".
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for line in lines:
            self._line(line.rstrip(b"\r\n"))

    def answer(self) -> Answer | None:
        """The answer as far as it has come; None when no message has begun and no error was reported."""
        rest, self._rest = self._rest, b""
        if rest:
            self._line(rest.rstrip(b"\r"))
        self._dispatch()
        texts = {name: "".join(parts) for name, parts in self._texts.items() if parts}
        begun = bool(self._message or texts or self._tools or self._finish_reason)
        if not begun and not self._error:
            return None
        tools = [self._tools[index] for index in sorted(self._tools)]
        input_tokens, output_tokens = read_usage(self._usage)
        return Answer(
            message=read_message({"role": "assistant", **self._message, **texts, "tool_calls": tools})
            if begun
            else None,
            finish_reason=self._finish_reason,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            error=self._error,
        )

    def _line(self, line: bytes) -> None:
        if not line:
            self._dispatch()
        elif line.startswith(b"data:"):
            value = line[5:].removeprefix(b" ")
            if value.strip() == b"[DONE]":
                self._dispatch()
                self.done = True
            else:
                self._data.append(value)

    def _dispatch(self) -> None:
        data, self._data = self._data, []
        chunk = read_object(b"\n".join(data)) if data else None
        if chunk is None:
            return
        self._usage = chunk.get("usage") or self._usage
        self._error = read_error(chunk.get("error")) or self._error
        for choice in items_of(chunk.get("choices")):
            if isinstance(choice, dict) and not choice.get("index"):
                self._finish_reason = text_of(choice.get("finish_reason")) or self._finish_reason
                # Some servers send the whole message as their last chunk where a delta belongs.
                delta = choice.get("delta") or choice.get("message")
                if isinstance(delta, dict):
                    self._merge(delta)

    def _merge(self, delta: dict[str, Any]) -> None:
        if delta.get("role"):
            self._message["role"] = delta["role"]
        if isinstance(delta.get("function_call"), dict):
            _extend(self._message.setdefault("function_call", {}), delta["function_call"])
        for name, text in (
            ("content", flatten(delta.get("content"))),
            ("reasoning_content", read_reasoning(delta)),
            ("refusal", text_of(delta.get("refusal"))),
        ):
            if text:
                self._texts[name].append(text)
        for call in items_of(delta.get("tool_calls")):
            if isinstance(call, dict):
                self._merge_tool(call)

    def _merge_tool(self, call: dict[str, Any]) -> None:
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


def _extend(detail: dict[str, Any], delta: dict[str, Any]) -> None:
    """Add a delta to a function's name and arguments. The name comes whole, the arguments in pieces."""
    detail["name"] = text_of(delta.get("name")) or detail.get("name", "")
    arguments = delta.get("arguments", delta.get("input"))
    if arguments is not None:
        piece = arguments if isinstance(arguments, str) else json.dumps(arguments)
        detail["arguments"] = detail.get("arguments", "") + piece
