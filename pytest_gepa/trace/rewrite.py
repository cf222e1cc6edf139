"""A change made to every text of a trajectory; what an agent sends again and again is changed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pytest_gepa.trace.trajectory import Call, Message, Step, ToolCall, Trajectory


def rewrite_trajectory(trajectory: Trajectory, change: Callable[[str], str]) -> Trajectory:
    """The same trajectory with `change` made to every text in it; the keys of the calls are hashes and stay."""
    changed: dict[Message, Message] = {}

    def message(given: Message) -> Message:
        known = changed.get(given)
        if known is None:
            known = changed[given] = rewrite_message(given, change)
        return known

    def call(given: Call) -> Call:
        return replace(
            given,
            request=tuple(map(message, given.request)),
            answer=None if given.answer is None else message(given.answer),
            error=change(given.error),
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


def rewrite_message(given: Message, change: Callable[[str], str]) -> Message:
    """The same for one message; the same object if nothing in it changes."""
    made = tuple(_tool_call(call, change) for call in given.tool_calls)
    content, reasoning = change(given.content), change(given.reasoning)
    if content is given.content and reasoning is given.reasoning and made == given.tool_calls:
        return given
    return replace(given, content=content, reasoning=reasoning, tool_calls=made)


def _tool_call(given: ToolCall, change: Callable[[str], str]) -> ToolCall:
    return replace(given, arguments=change(given.arguments), result=change(given.result))
