"""Signs of who answers a request: the library itself over the network, or somebody that mocks it within the process."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any


def is_of(owner: Any, name: str, *packages: str) -> bool:
    """Whether a method of a class or an object is a plain function of one of the packages, replacements of ours left
    aside.

    Its globals tell: `__module__` is copied by `functools.wraps`, and what was remembered at the start may have been
    replaced by then.
    """
    function = getattr(owner, name, None)
    function = getattr(function, "__func__", function)
    while _package(function) == "pytest_gepa":
        function = getattr(function, "__wrapped__", None)
    return _package(function) in packages


def sockets_are_genuine() -> bool:
    """Whether connections are made by the interpreter's own sockets (httpretty, mocket and pytest-socket put theirs in
    the place)."""
    socket = getattr(sys.modules.get("socket"), "socket", None)
    return getattr(socket, "__module__", "") == "socket"


def _package(function: Any) -> str:
    if not isinstance(function, FunctionType):
        return ""
    return str(function.__globals__.get("__name__", "")).partition(".")[0]
