"""What ends a run from outside: SIGTERM as Ctrl-C, once, and in nobody else's process."""

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from pytest_gepa.run.crew import Crew
from pytest_gepa.run.interrupts import ENDING, ended_as_by_ctrl_c, undisturbed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Whatever fails here, the session of these tests has its own handlers again; it begins with the usual ones."""
    usual = {number: signal.signal(number, signal.SIG_DFL) for number in ENDING}
    yield
    for number, handler in usual.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_it_interrupts_once_and_the_old_handler_comes_back(number: signal.Signals) -> None:
    with ended_as_by_ctrl_c():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_DFL


def test_one_that_is_ignored_or_handled_stays_so() -> None:
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append("its own"))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ended_as_by_ctrl_c():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
    assert heard == ["its own"]
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
def test_it_is_raised_where_messages_are_read_also_in_the_background(ctrl_c: signal.Handlers) -> None:
    crew, handled = Crew(), []
    usual = signal.signal(signal.SIGINT, ctrl_c)
    try:
        with ended_as_by_ctrl_c(), pytest.raises(KeyboardInterrupt), crew.interruptible():  # noqa: PT012
            crew.tell("a rollout")
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            handled.append(crew.next())
            crew.next()
        assert signal.getsignal(signal.SIGINT) is ctrl_c
    finally:
        signal.signal(signal.SIGINT, usual)
    assert handled == ["a rollout"]


def test_it_does_not_cut_short_what_is_written() -> None:
    with ended_as_by_ctrl_c(), undisturbed():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)


def test_a_fork_of_the_process_is_ended_by_it_as_ever() -> None:
    with ended_as_by_ctrl_c(), undisturbed():
        pid = os.fork()
        if not pid:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
