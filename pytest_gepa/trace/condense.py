"""Trajectories cut to a size that can be kept: the middle of the longest texts goes first, and says so.

What a reflection model is then shown of a trajectory is decided in `reflect`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pytest_gepa.trace.cut import MARK_ROOM, byte_length, cut_middle, cut_report, level
from pytest_gepa.trace.rewrite import rewrite_message, rewrite_trajectory
from pytest_gepa.trace.trajectory import Call, Message, Trajectory, answers_among

WHOLE_BYTES = 8_000_000
"""What a child session sends of one case, and the journal keeps: about two million tokens."""

KEPT_BYTES = 400_000
"""What is kept in memory for reflections to choose from: many times what one of them can show."""

_LEAST = 400
"""Bytes of a text below which it says too little: some texts are then kept so far, and others not at all."""


def condense(trajectory: Trajectory, limit: int) -> Trajectory:
    """The trajectory with texts cut so that those it has, each counted once, take about `limit` UTF-8 bytes.

    The same object if they do already. The failure and the last answer have a quarter each to themselves. Of very many
    texts, those of the last calls and of the first are kept, of the others only how long they were.
    """
    every = dict.fromkeys(_texts(trajectory))
    if sum(map(byte_length, every)) <= limit:
        return trajectory
    share = limit // 4
    failure = cut_report(trajectory.failure, share)
    at, answer = _last_answer(trajectory.calls, share)
    spoken = {trajectory.failure, *(_of_message(trajectory.calls[at].answer) if at is not None else ())}
    others = [text for text in every if text not in spoken]
    room = limit - byte_length(failure) - (sum(map(byte_length, _of_message(answer))) if answer else 0)
    cap = level([byte_length(text) for text in others], room)
    kept = set(others) if cap >= _LEAST else _chosen(trajectory, others, room)
    cap = max(cap, _LEAST)

    def change(text: str) -> str:
        return text if byte_length(text) <= MARK_ROOM else cut_middle(text, cap if text in kept else 0)

    calls = list(rewrite_trajectory(replace(trajectory, failure=""), change).calls)
    if at is not None:
        calls[at] = replace(calls[at], answer=answer)
    rest = rewrite_trajectory(replace(trajectory, calls=(), failure=""), change)
    return replace(rest, calls=tuple(calls), failure=failure)


def _last_answer(calls: Sequence[Call], limit: int) -> tuple[int | None, Message | None]:
    """Which call has the last answer, and that answer cut to a limit."""
    for at in answers_among(calls)[-1:]:
        if (answer := calls[at].answer) is not None:
            return at, rewrite_message(answer, lambda text: cut_middle(text, limit))
    return None, None


def _chosen(trajectory: Trajectory, others: Iterable[str], room: int) -> set[str]:
    """The texts for which there is room when each is cut short: beside the calls, then of the last and first calls."""
    calls = trajectory.calls
    order = [*_texts(replace(trajectory, calls=()))]
    for at in _from_both_ends(len(calls)):
        order += _of_call(calls[at])
    wanted = set(others)
    chosen: set[str] = set()
    for text in dict.fromkeys(order):
        if text in wanted:
            room -= min(byte_length(text), _LEAST)
            if room < 0:
                break
            chosen.add(text)
    return chosen


def _from_both_ends(count: int) -> Iterator[int]:
    """Numbers below `count`: three from the end for one from the beginning."""
    first, last = 0, count - 1
    while first <= last:
        for _ in range(min(3, last - first + 1)):
            yield last
            last -= 1
        if first <= last:
            yield first
            first += 1


def _texts(trajectory: Trajectory) -> Iterator[str]:
    yield trajectory.failure
    for step in trajectory.steps:
        yield from (step.name, step.value)
    for title, text in trajectory.output:
        yield from (title, text)
    told: set[Message] = set()
    for call in trajectory.calls:
        yield from _of_call(call, told)


def _of_call(call: Call, told: set[Message] | None = None) -> Iterator[str]:
    """The texts of a call; of messages that are in `told` nothing, and they are added to it."""
    for message in (*call.request, *call.alternatives, *((call.answer,) if call.answer else ())):
        if told is None or message not in told:
            yield from _of_message(message)
            if told is not None:
                told.add(message)
    yield from (call.error, call.answer_format, *call.other_texts)


def _of_message(message: Message | None) -> Iterator[str]:
    if message is not None:
        yield from (message.content, message.reasoning)
        for made in message.tool_calls:
            yield from (made.arguments, made.result)
