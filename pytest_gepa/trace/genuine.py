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


def is_played(connection: Any, response: Any) -> bool:
    """Whether a response of urllib3 was played from a cassette of vcrpy, whose class of connections is in use. In doubt
    it was not: what it cost counts.

    The cassette hands out what it holds. Of a response that it has just recorded it holds a copy.
    """
    held = getattr(getattr(connection, "cassette", None), "responses", ())
    # Up to 1.26 a response of urllib3 is made of the connection's.
    for answer in (response, getattr(response, "_original_response", None)):
        played = getattr(answer, "recorded_response", None)
        if played is not None and any(played is one for one in held):
            return True
    return False


def _package(function: Any) -> str:
    if not isinstance(function, FunctionType):
        return ""
    return str(function.__globals__.get("__name__", "")).partition(".")[0]
