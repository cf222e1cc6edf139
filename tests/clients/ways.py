"""The ways in which a client is used, and what each must lead to: what every test of clients is written in."""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_gepa.trace.trajectory import Message, ToolCall
from tests.fake_openai import Answer, FakeOpenAI, tool_call

QUESTION = "Capital of France?"
MESSAGES: list[Any] = [{"role": "user", "content": QUESTION}]
TEXT = "It is Paris."
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"name": "look_up", "description": "Look a country up.", "parameters": SCHEMA}
SAID = Message("assistant", TEXT)


@dataclass(frozen=True)
class Way:
    """One way to make one call: `ask` makes it and returns what the application got, which must be `gets`.

    The server answers with `answer`, and `said` is what must be recorded of that. Where a server counts tokens and the
    client asks for the count, it `counts`.
    """

    ask: Callable[[FakeOpenAI], Any]
    answer: Answer = TEXT
    gets: Any = TEXT
    said: Message = SAID
    streamed: bool = False
    counts: bool = True
    asked: str = QUESTION


class Ways(dict[str, Way]):
    """The ways of one client by name. A coroutine function is run in an event loop of its own."""

    def __call__(self, name: str, **about: Any) -> Callable[[Callable[[FakeOpenAI], Any]], Way]:
        """Make a function a way, under a name that the table in `docs/clients.md` uses."""

        def add(ask: Callable[[FakeOpenAI], Any]) -> Way:
            assert name not in self, name
            self[name] = Way(_blocking(ask), streamed="stream" in name, **about)
            return self[name]

        return add


def as_tool(name: str = "look_up") -> dict[str, Any]:
    """What a way is about that leads to a call of the tool."""
    answer = {"tool_calls": [tool_call(name, {"city": "Paris"})]}
    return {"answer": answer, "gets": "Paris", "said": called(name)}


def called(tool: str) -> Message:
    """What is recorded of an answer that calls a tool."""
    return Message("assistant", "", tool_calls=(ToolCall("call_1", tool, '{"city": "Paris"}'),))


def as_json(text: str = '{"city": "Paris"}') -> dict[str, Any]:
    """What a way is about that leads to an answer in JSON."""
    return {"answer": text, "gets": "Paris", "said": Message("assistant", text)}


def as_vector() -> dict[str, Any]:
    """What a way is about that asks for an embedding: a step, of which the numbers are not kept."""
    return {"gets": [0.5, 0.25, 1.0], "said": Message("assistant", "[1 vector of 3 dimensions]")}


def client(name: str) -> Any:
    """The module of a client; its tests are skipped where that is not installed."""
    pytest.importorskip(name, reason=f"{name} is not in this environment; .ci/clients tests it in one of its own")
    return importlib.import_module(name)


def _blocking(ask: Callable[[FakeOpenAI], Any]) -> Callable[[FakeOpenAI], Any]:
    if not inspect.iscoroutinefunction(ask):
        return ask

    @functools.wraps(ask)
    def run(server: FakeOpenAI) -> Any:
        return asyncio.run(ask(server))

    return run
