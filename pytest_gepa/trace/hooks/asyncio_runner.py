"""Loops that outlive a case: `asyncio.Runner` runs all that it is given in the context of its first run, which would
have later cases' calls told to the case of that one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextvars import Context
from typing import Any

from pytest_gepa.trace.started_for import context_tells, started_for
from pytest_gepa.trace.wire import Wire


class AsyncioRunnerHook:
    """See `wire.Hook`. No request is seen here: only for whom it is made."""

    names = ("asyncio.runners",)

    def is_loaded(self, module: Any) -> bool:
        """See `wire.Hook`."""
        return hasattr(module, "run")

    def patch(self, module: Any, wire: Wire) -> None:
        """See `wire.Hook`. Python 3.10 has no such class."""
        if hasattr(module, "Runner"):
            wire.patches.replace(module.Runner, "run", _run)


def _run(original: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, coro: Any, *, context: Context | None = None) -> Any:
        own = getattr(self, "_context", None)
        if context is None and isinstance(own, Context):
            with contextlib.suppress(RuntimeError):  # of one that runs already, which `original` refuses
                own.run(started_for.set, started_for.get() if context_tells() else None)
        return original(self, coro, context=context)

    return run
