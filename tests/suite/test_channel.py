from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.suite.job import Channel, encode_line


class Pieces:
    """A stream that gives its bytes in pieces of its own choice."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)
        self.read = 0

    def fileno(self) -> int:
        return -1

    def recv(self, size: int) -> bytes:
        piece = next(self._pieces, b"")
        self.read += len(piece)
        return piece

    def sendall(self, data: bytes) -> None:
        raise AssertionError

    def close(self) -> None:
        pass


MESSAGES = st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=40), max_size=3), max_size=8)


def in_pieces(data: bytes, ends: list[int]) -> list[bytes]:
    cuts = sorted({end % (len(data) + 1) for end in ends} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(cuts)]


@given(MESSAGES, st.lists(st.integers(0, 5_000), max_size=20))
def test_messages_come_whole_however_the_bytes_arrive(messages: list[dict[str, str]], ends: list[int]) -> None:
    data = b"".join(map(encode_line, messages))
    one, other = (Channel(Pieces(in_pieces(data, ends))) for _ in range(2))

    received: list[object] = []
    while (message := one.receive()) is not None:
        received.append(message)
    arrived: list[object] = []
    is_open = True
    while is_open:
        found, is_open = other.arrived()
        arrived += found

    assert received == arrived == messages


def test_a_line_that_ends_early_is_dropped_and_what_stands_before_it_is_not() -> None:
    channel = Channel(Pieces([encode_line({"a": "b"}) + b'{"a": "c']))

    assert channel.arrived() == ([{"a": "b"}], True)
    assert channel.arrived() == ([], False)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    pair = tuple(map(Channel, socket.socketpair()))
    yield pair  # type: ignore[misc]
    for channel in pair:
        channel.close()


def test_messages_go_both_ways(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    ours.send({"question": 1})
    ours.send({"question": 2})
    theirs.send({"answer": 1})

    assert (theirs.receive(), theirs.receive(), ours.receive()) == (
        {"question": 1},
        {"question": 2},
        {"answer": 1},
    )
