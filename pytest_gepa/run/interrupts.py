"""Ctrl-C, and the signals by which others end a process, while a run goes on and while it writes down what it has."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What `timeout`, `docker stop`, a cancelled CI job and a closed terminal send."""


class Ending:
    """The handler of these signals while a run goes on: the first does what `act` says, by default as Ctrl-C does.

    Further ones do nothing, as `timeout` sends two. In a fork of the process they do what they did before.
    """

    def __init__(self) -> None:
        self.act: Handler = signal.default_int_handler
        self._owner = os.getpid()
        self._has_come = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """A signal has come."""
        if os.getpid() != self._owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not self._has_come:
            self._has_come = True
            self.act(number, frame)


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Let whoever ends the process in here end the run as Ctrl-C does, so that what was paid for is written down.

    A signal that another handles, or that is ignored, as with `nohup`, is left alone. A program that is started has
    the usual handlers: with one in Python a signal is not inherited as ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    ending = Ending()
    for number in taken:
        signal.signal(number, ending)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def heard_by(hear: Handler) -> Iterator[None]:
    """Have `hear` take what would raise `KeyboardInterrupt`.

    Elsewhere than in the main thread, or where another handles Ctrl-C, nothing is different.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    takes_ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if takes_ctrl_c:
        signal.signal(signal.SIGINT, hear)
    try:
        with _acting(_in_effect(), hear):
            yield
    finally:
        if takes_ctrl_c:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no second Ctrl-C, nor whoever ends the process, cut short the second or so in which results are taken in and
    written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _acting(_in_effect(), _do_nothing):
            yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _in_effect() -> Ending | None:
    """The handler that `ended_as_by_ctrl_c` has set, None outside of it."""
    handlers = map(signal.getsignal, ENDING)
    return next((handler for handler in handlers if isinstance(handler, Ending)), None)


@contextmanager
def _acting(ending: Ending | None, act: Handler) -> Iterator[None]:
    """Have the handler, if there is one, do this."""
    if ending is None:
        yield
        return
    usual, ending.act = ending.act, act
    try:
        yield
    finally:
        ending.act = usual


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    pass
