"""Every request to a model that this process sends through an HTTP library that is known, whichever client makes it.

The libraries are patched on their classes, once somebody has imported them; none is imported here. The application
must not be able to tell. What is done for each of them is in `hooks`.
"""

from __future__ import annotations

import sys
from types import ModuleType

from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.exchange import describe
from pytest_gepa.trace.hooks.aiohttp import AiohttpHook
from pytest_gepa.trace.hooks.asyncio_runner import AsyncioRunnerHook
from pytest_gepa.trace.hooks.http_client import HttpClientHook
from pytest_gepa.trace.hooks.httpx_family import HttpxHook
from pytest_gepa.trace.hooks.requests import RequestsHook
from pytest_gepa.trace.hooks.urllib3 import Urllib3Hook
from pytest_gepa.trace.import_hook import ImportWatch
from pytest_gepa.trace.wire import Hook, Wire

HOOKS: tuple[Hook, ...] = (HttpxHook(), RequestsHook(), Urllib3Hook(), AiohttpHook(), HttpClientHook())
"""The libraries that are understood."""

WATCHED: tuple[Hook, ...] = (*HOOKS, AsyncioRunnerHook())
"""All that is patched."""

_wire = Wire()


def install(target: Target) -> None:
    """Record the calls of this process from now on, in modules already imported and those imported later.

    Installed again, it changes the target for the requests to come. The caller closes cache and recording.
    """
    _wire.target = target
    _watch.start()
    for hook in WATCHED:
        for name in hook.names:
            module = sys.modules.get(name)
            if module is not None and hook.is_loaded(module):
                _patch(hook, module)


def uninstall() -> None:
    """Record no longer, and put back what was there before; a function that somebody has wrapped since stays, idle.

    For tests, whose process goes on: a child session ends with what it has patched.
    """
    _wire.target = None
    _watch.stop()
    _wire.patches.undo()


def _imported(module: ModuleType) -> None:
    for hook in WATCHED:
        if module.__name__ in hook.names:
            _patch(hook, module)


_watch = ImportWatch([name for hook in WATCHED for name in hook.names], _imported)


def _patch(hook: Hook, module: ModuleType) -> None:
    if _wire.target is None:
        return
    try:
        hook.patch(module, _wire)
    except Exception as error:
        _wire.target.recorder.add_problem(f"the calls of {module.__name__} are not seen: {describe(error)}")
