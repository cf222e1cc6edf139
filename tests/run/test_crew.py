from __future__ import annotations

import queue
import signal
import threading

import pytest

from pytest_gepa.run.crew import Crew, Failure


def test_results_become_messages() -> None:
    crew = Crew()
    for number in range(5):
        crew.start(lambda number=number: number)  # type: ignore[misc]

    assert sorted(crew.next() for _ in range(5)) == [0, 1, 2, 3, 4]


def test_the_crew_is_busy_until_every_result_was_taken() -> None:
    crew = Crew()
    go_on = threading.Event()
    crew.start(go_on.wait)
    crew.start(lambda: "done")

    assert (crew.busy, crew.next(), crew.busy) == (2, "done", 1)
    go_on.set()
    assert (crew.next(), crew.busy) == (True, 0)


def test_what_is_told_in_between_comes_first_and_leaves_the_crew_busy() -> None:
    crew = Crew()

    def work() -> str:
        crew.tell("in between")
        return "done"

    crew.start(work)

    assert (crew.next(), crew.busy) == ("in between", 1)
    assert (crew.next(), crew.busy) == ("done", 0)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_of_a_piece_of_work_is_raised_where_the_messages_are_read(error: BaseException) -> None:
    crew = Crew()

    def work() -> None:
        raise error

    crew.start(work)

    with pytest.raises(type(error)) as caught:
        crew.next()
    assert caught.value is error
    assert crew.busy == 0


def test_waiting_ends_after_the_time_that_was_given() -> None:
    with pytest.raises(queue.Empty):
        Crew().next(timeout=0.001)


def test_work_that_never_ends_does_not_keep_the_process() -> None:
    crew = Crew()
    started = threading.Event()
    is_daemon: list[bool] = []

    def work() -> None:
        is_daemon.append(threading.current_thread().daemon)
        started.set()

    crew.start(work)

    assert started.wait(60)
    assert is_daemon == [True]


def test_what_has_come_and_was_not_read_is_there_after_an_interrupt():
    crew = Crew()
    crew.tell("a rollout")
    crew.tell(Failure(ValueError("no use")))
    crew.tell("a reply")
    assert crew.drain() == ["a rollout", "a reply"]
    assert crew.drain() == []


def test_what_had_come_is_handled_whatever_a_part_of_it_raises_and_through_ctrl_c() -> None:
    crew = Crew()
    handled = []
    usual = signal.getsignal(signal.SIGINT)

    def fail() -> None:
        raise OSError("no space left")

    crew.tell(lambda: handled.append("one"))
    crew.tell(fail)
    crew.tell("a result")
    crew.tell(lambda: signal.raise_signal(signal.SIGINT))
    crew.tell(lambda: handled.append("another"))
    crew.keep_waiting()
    assert handled == ["one", "another"]
    assert signal.getsignal(signal.SIGINT) is usual


def test_ctrl_c_is_raised_where_messages_are_read_after_what_had_come() -> None:
    crew = Crew()
    handled = []
    with pytest.raises(KeyboardInterrupt), crew.interruptible():  # noqa: PT012 (the second `next` raises)
        crew.tell("a rollout")
        signal.raise_signal(signal.SIGINT)
        handled.append(crew.next())
        crew.next()
    assert handled == ["a rollout"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_after_the_last_message_is_raised_at_the_end() -> None:
    handled = []
    with pytest.raises(KeyboardInterrupt), Crew().interruptible():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        handled.append("the last message")
    assert handled == ["the last message"]


def test_a_second_ctrl_c_is_raised_where_it_falls() -> None:
    handled = []
    with pytest.raises(KeyboardInterrupt), Crew().interruptible():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        handled.append("first")
        signal.raise_signal(signal.SIGINT)
        handled.append("second")
    assert handled == ["first"]


def test_another_handler_of_ctrl_c_stays() -> None:
    heard = []
    usual = signal.signal(signal.SIGINT, lambda *_: heard.append("its own"))
    try:
        with Crew().interruptible():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert heard == ["its own"]


def test_in_another_thread_ctrl_c_is_left_alone() -> None:
    crew = Crew()

    def work() -> str:
        with crew.interruptible():
            return str(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

    crew.start(work)
    assert crew.next() == "True"
