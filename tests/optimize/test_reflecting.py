from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.evolve.tasks import Reflected
from pytest_gepa.optimize.reflecting import RepliesInOrder, Turns


def take_all(turns: Turns, drawn: Sequence[int], meeting: threading.Barrier) -> tuple[list[int], int]:
    """Take turns in threads that start in this order; tells in which order they began, and how many at once."""
    begun: list[int] = []
    under_way, most = 0, 0
    lock = threading.Lock()

    def work(turn: int) -> None:
        nonlocal under_way, most
        with turns.take(turn):
            with lock:
                begun.append(turn)
                under_way += 1
                most = max(most, under_way)
            meeting.wait(60)
            with lock:
                under_way -= 1

    threads = [threading.Thread(target=work, args=(turn,)) for turn in drawn]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return begun, most


@given(st.permutations(range(6)))
def test_one_place_is_taken_in_the_order_in_which_turns_were_drawn(order: list[int]) -> None:
    turns = Turns(1)
    drawn = [turns.draw() for _ in order]
    begun, most = take_all(turns, [drawn[at] for at in order], threading.Barrier(1))
    assert (begun, most) == (drawn, 1)


@given(st.permutations(range(6)), st.sampled_from([2, 3]))
def test_all_places_are_taken_and_no_more(order: list[int], places: int) -> None:
    turns = Turns(places)
    drawn = [turns.draw() for _ in order]
    # As many must meet as there are places; the others wait for them.
    _, most = take_all(turns, [drawn[at] for at in order], threading.Barrier(places))
    assert most == places


def test_a_turn_that_ends_in_an_error_is_over() -> None:
    turns = Turns(1)
    first, second = turns.draw(), turns.draw()
    with pytest.raises(ZeroDivisionError), turns.take(first):
        raise ZeroDivisionError
    with turns.take(second):
        pass


@given(st.permutations("abcde"))
def test_replies_are_handed_on_as_they_were_asked_for(coming: list[str]) -> None:
    replies = RepliesInOrder()
    for name in "abcde":
        replies.expect(name)
    handed: list[str] = []
    for at, name in enumerate(coming, 1):
        handed += [reply.proposal for reply in replies.take(Reflected(name))]
        # None waits for one that was asked for after it.
        assert all(earlier not in coming[:at] or earlier in handed for earlier in "abcde"[: len(handed) + 1])
    assert handed == list("abcde")
