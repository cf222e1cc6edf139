"""Threads as the system counts them: of those of a library written in C, Python knows nothing."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings

END_SECONDS = 0.2  # after a thread was waited for, the system may count it for a moment


def count() -> int:
    """The threads of this process."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


def let_fork() -> bool:
    """Whether a child that is forked of this process would miss no thread."""
    if threading.active_count() > 1:
        return False
    return count() == 1 or left_at_fork(1) == 1


def left_at_fork(expected: int) -> int:
    """The threads that stay when this process is forked, waited for until there are no more than `expected`.

    A child would not miss those that their library ends before each fork and starts again when it needs them, as
    OpenBLAS does for numpy. Whether it does, one fork tells. Those of OpenMP stay, and a child would wait for them for
    ever.
    """
    with contextlib.suppress(OSError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's own, of a fork beside threads
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
    until = time.monotonic() + END_SECONDS
    while count() > expected and time.monotonic() < until:
        time.sleep(0.001)
    return count()
