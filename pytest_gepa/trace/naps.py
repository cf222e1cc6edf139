"""Waiting, and the clock that it goes by, whatever a test has done to the time: it may have stopped it, event loops
with it, or have made `time.sleep` return at once. What is waited for is the business of others."""

from __future__ import annotations

import _thread
import contextlib
import sys
import time
from collections.abc import Callable


def clock(_clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that go on, from any point: see `cache.true_time`."""
    return _clock()


def nap(seconds: float, _sleep: Callable[[float], None] = time.sleep) -> None:
    """Let this thread sleep."""
    _sleep(seconds)


async def nap_async(seconds: float) -> None:
    """Let a task sleep, in whatever event loop is running. A thread tells it that the time is over: the timers of the
    loop may go by a clock that stands still."""
    if _is_in_asyncio():
        await _told_by_a_thread(seconds)
        return
    # Imported here: whoever uses another loop has it, by httpx.
    from anyio import CapacityLimiter, to_thread

    # The application may have taken all threads of the limiter that is there, and wait in them for this very answer.
    await to_thread.run_sync(nap, seconds, limiter=CapacityLimiter(1))


def _is_in_asyncio() -> bool:
    """Whether a task of asyncio is running; the loop alone tells nothing, as trio may have it for a host."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:
        return False
    return asyncio.current_task() is not None


async def _told_by_a_thread(seconds: float) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def end() -> None:
        if not over.done():  # as it is when the task was cancelled
            over.set_result(None)

    def wait() -> None:
        nap(seconds)
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(end)

    # Not one of the loop's executor, whose threads may all be taken, or shut down, nor one that the process waits for
    # when it ends. And of `threading.Thread` a test or a plugin may have made something else.
    _thread.start_new_thread(wait, ())
    await over
