"""A change made to every text of JSON, or of a trajectory: what an agent sends again and again is changed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pytest_gepa.trace.trajectory import Call, Message, Step, ToolCall, Trajectory

Rewrite = Callable[[str], str]


def same(text: str) -> str:
    """The text as it is."""
    return text


def rewrite_tree(value: Any, change: Rewrite) -> Any:
    """JSON values with `change` made to every text in them, keys too."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {rewrite_tree(key, change): rewrite_tree(item, change) for key, item in value.items()}
    return [rewrite_tree(item, change) for item in value] if isinstance(value, (list, tuple)) else value


def rewrite_trajectory(trajectory: Trajectory, change: Rewrite, name: Rewrite = same) -> Trajectory:
    """The same trajectory with `change` made to every text in it, and `name` to every name and id: of models, tools,
    their calls. The keys of the calls are hashes and stay."""
    changed: dict[Message, Message] = {}

    def message(given: Message) -> Message:
        known = changed.get(given)
        if known is None:
            known = changed[given] = rewrite_message(given, change, name)
        return known

    def call(given: Call) -> Call:
        return replace(
            given,
            model=name(given.model),
            request=tuple(map(message, given.request)),
            answer=None if given.answer is None else message(given.answer),
            error=change(given.error),
            finish_reason=name(given.finish_reason),
            tools=tuple(map(name, given.tools)),
            alternatives=tuple(map(message, given.alternatives)),
            other_texts=tuple(map(change, given.other_texts)),
            answer_format=change(given.answer_format),
        )

    return Trajectory(
        calls=tuple(map(call, trajectory.calls)),
        steps=tuple(Step(change(step.name), change(step.value)) for step in trajectory.steps),
        output=tuple((change(title), change(text)) for title, text in trajectory.output),
        failure=change(trajectory.failure),
    )


def rewrite_message(given: Message, change: Rewrite, name: Rewrite = same) -> Message:
    """The same for one message; the same object if nothing in it changes."""
    rewritten = replace(
        given,
        content=change(given.content),
        reasoning=change(given.reasoning),
        tool_calls=tuple(_tool_call(call, change, name) for call in given.tool_calls),
        tool_call_id=name(given.tool_call_id),
    )
    return given if rewritten == given else rewritten


def _tool_call(given: ToolCall, change: Rewrite, name: Rewrite) -> ToolCall:
    return ToolCall(name(given.id), name(given.name), change(given.arguments), change(given.result))
