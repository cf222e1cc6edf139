from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from pytest_gepa.trace import capture
from pytest_gepa.trace.admission import Target
from pytest_gepa.trace.recorder import Recorder

LIBRARIES = [name for name in ("httpx", "httpx2") if importlib.util.find_spec(name) is not None]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Each of the two HTTP libraries that is installed."""
    return importlib.import_module(request.param)


@contextlib.contextmanager
def capturing(*settings: Any, **named: Any) -> Iterator[Recorder]:
    """A recorder with capture on (`settings` are those of `Target`) and a case running; it must have noted no
    problem of its own at the end."""
    recorder = Recorder()
    capture.install(Target(recorder, *settings, **named))
    recorder.begin("case")
    try:
        yield recorder
    finally:
        capture.uninstall()
    assert recorder.problems == ()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """See `capturing`; nothing is stored."""
    with capturing(None, None) as recorder:
        yield recorder


def ask(content: str = "Capital of France?", **fields: Any) -> dict[str, Any]:
    """The body of a chat request with one user message."""
    return {"model": "fake", "messages": [{"role": "user", "content": content}], **fields}
