"""For whom the code that runs was started: what tells background work that outlives its test from the running test."""

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar

from pytest_gepa.trace.record import Held

started_for: ContextVar[tuple[object, Held] | None] = ContextVar("pytest_gepa_started_for", default=None)
"""The recorder and the place of the code of this context. It goes along into tasks."""


def context_tells() -> bool:
    """Whether the context variable may be believed: in the main thread, and where an event loop runs.

    A worker of a pool may carry the context of the test that needed it first: where threads inherit contexts (an option
    of Python 3.14), or where something has them do so (pytest-check and instruments of tracing do).
    """
    if threading.current_thread() is threading.main_thread():
        return True
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None
