from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gepa.trace.sse import Event, Events, Lines, is_events
from tests.trace.bodies import cut

ENDS = ("\n", "\r\n", "\r")
STREAM = (
    ": a comment\nevent: first\ndata: one\n\nid: 7\nretry: 5\ndata: two\ndata:  and two\nevent: x\n\n"
    "event: nothing\n\ndata:three\n\ndata: Köln\n\n"
)
EVENTS = [
    Event("first", b"one"),
    Event("x", b"two\n and two"),
    Event("", b"three"),
    Event("", "Köln".encode()),
]


def read(pieces: Iterable[bytes]) -> list[Event]:
    events = Events()
    return [event for piece in pieces for event in events.feed(piece)] + list(events.rest())


@given(st.lists(st.integers(0, 300)), st.sampled_from(ENDS))
@example(list(range(300)), "\r\n")
@example(list(range(300)), "\r")
def test_events_are_the_same_however_they_are_cut_and_whatever_ends_their_lines(cuts: list[int], end: str) -> None:
    assert read(cut(STREAM.replace("\n", end).encode(), cuts)) == EVENTS


@given(st.binary(max_size=200), st.lists(st.integers(0, 300)))
def test_no_bytes_whatever_raise_and_cuts_lose_nothing(data: bytes, cuts: list[int]) -> None:
    assert read(cut(data, cuts)) == read([data])


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b""])))
def test_lines_are_those_of_the_whole(pieces: list[bytes]) -> None:
    lines = Lines()
    found = [line for piece in pieces for line in lines.feed(piece)] + list(lines.rest())
    assert found == b"".join(pieces).splitlines()


def test_the_terminal_marker_is_told_before_the_empty_line_behind_it() -> None:
    events = Events()
    assert list(events.feed(b"data: a\n\ndata: [DONE]\n")) == [Event("", b"a"), Event("", b"[DONE]")]


def test_an_event_is_told_when_it_is_whole_and_no_earlier() -> None:
    events = Events()
    assert list(events.feed(b"data: a\n")) == []
    assert list(events.feed(b"\n")) == [Event("", b"a")]
    assert list(events.rest()) == []


def test_the_last_event_may_lack_its_empty_line() -> None:
    assert read([b"event: e\ndata: a"]) == [Event("e", b"a")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"data: a", True), (b"\n event: a", True), (b": ping", True), (b'{"data": 1}', False), (b"", False)],
)
def test_a_body_of_events_is_known(body: bytes, expected: bool) -> None:
    assert is_events(body) is expected
