"""Trajectories as JSON in which what is said again is written once: agents send their whole history with every call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from pytest_gepa.codec import fields_from_json, fields_to_json, from_json, to_json
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

LEAST_SAVED = 20_000
"""Characters that must be saved: below, a trajectory is written plainly, call by call."""

T = TypeVar("T")


def pack(trajectory: Trajectory) -> dict[str, Any]:
    """A trajectory as JSON.

    Where much repeats, a request is a list of ranges `[first, end)` of the list `messages`, which has each message
    once, and `other_texts` of ranges of the list `texts`.
    """
    if _repeated(trajectory) < LEAST_SAVED:
        return fields_to_json(trajectory)
    messages: _Pool[Message] = _Pool()
    texts: _Pool[str] = _Pool()
    calls = [
        {
            **fields_to_json(replace(call, request=(), other_texts=())),
            "request": messages.ranges(call.request),
            "other_texts": texts.ranges(call.other_texts),
        }
        for call in trajectory.calls
    ]
    rest = fields_to_json(replace(trajectory, calls=()))
    return {**rest, "messages": to_json(messages.items), "texts": texts.items, "calls": calls}


def unpack(data: Mapping[str, Any]) -> Trajectory:
    """The trajectory that `pack` wrote, either way; equal messages are the same object. Raises as `from_json`."""
    if "messages" not in data:
        return fields_from_json(Trajectory, data)
    messages = [from_json(Message, item) for item in data["messages"]]
    texts: list[str] = list(data["texts"])
    calls = tuple(
        replace(
            fields_from_json(Call, {**call, "request": (), "other_texts": ()}),
            request=_taken(messages, call["request"]),
            other_texts=_taken(texts, call["other_texts"]),
        )
        for call in data["calls"]
    )
    return replace(fields_from_json(Trajectory, {**data, "calls": ()}), calls=calls)


class _Pool(Generic[T]):
    """Items, each once, in the order of their first use."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._places: dict[T, int] = {}
        self._last: tuple[T, ...] = ()
        self._ranges: list[list[int]] = []

    def ranges(self, wanted: tuple[T, ...]) -> list[list[int]]:
        """Where some items are, as few ranges as it takes."""
        # Most requests begin with the whole of the one before: to compare them costs next to nothing.
        shared = len(self._last) if wanted[: len(self._last)] == self._last else 0
        found = [list(ends) for ends in self._ranges] if shared else []
        for item in wanted[shared:]:
            place = self._places.setdefault(item, len(self.items))
            if place == len(self.items):
                self.items.append(item)
            if found and found[-1][1] == place:
                found[-1][1] += 1
            else:
                found.append([place, place + 1])
        self._last, self._ranges = wanted, found
        return found


def _taken(items: Sequence[T], ranges: Sequence[Sequence[int]]) -> tuple[T, ...]:
    return tuple(item for first, end in ranges for item in items[first:end])


def _repeated(trajectory: Trajectory) -> int:
    """Characters that are there more than once."""
    seen: set[int] = set()  # ids, which stay while the trajectory is there
    equal: set[Message | str] = set()
    total = 0
    for call in trajectory.calls:
        items: tuple[Message | str, ...] = (*call.request, *call.other_texts)
        for item in items:
            size = len(item) if isinstance(item, str) else len(item.content) + len(item.reasoning)
            if id(item) in seen or item in equal:
                total += size
            else:
                seen.add(id(item))
                equal.add(item)
    return total
