"""Forks of a process of which another thread holds the locks of the capture, as multiprocessing makes them."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.recorder import Recorder
from pytest_gepa.trace.renderings import TemplateWatch

PATIENCE = 10  # seconds after which a fork that hangs is ended


def _uses(directory: Path) -> dict[str, tuple[object, Callable[[], object]]]:
    """By name: what has a lock, and a use of it."""
    cache, recorder, watch = ResponseCache(directory), Recorder(), TemplateWatch({}, {})
    return {
        "cache": (cache, lambda: cache.get("k")),
        "flights": (cache.flights, lambda: cache.flights.take_off("k")),
        "recorder": (recorder, lambda: recorder.claim("x")),
        "renderings": (watch, lambda: watch.taken(str)),
    }


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("name", ["cache", "flights", "recorder", "renderings"])
def test_what_another_thread_holds_is_free_in_a_fork(tmp_path: Path, name: str) -> None:
    owner, use = _uses(tmp_path)[name]
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with vars(owner)["_lock"]:
            held.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE)
            use()
            code = 0
        finally:
            os._exit(code)
    over.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_what_is_collected_in_the_midst_of_a_block_may_use_the_recorder() -> None:
    """As a coroutine that was left in the midst of a request: it gives its number back."""
    recorder = Recorder()
    ordinal = recorder.claim("x")

    class Left:
        def __del__(self) -> None:
            recorder.release(ordinal)

    left = [Left()]
    with recorder._lock:
        left.clear()
    assert recorder.claim("x").number == 0
