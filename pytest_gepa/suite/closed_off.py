"""Keeps a process off the internet, whatever library it uses: for runs that replay stored answers only."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable
from typing import Any

from pytest_gepa.trace.replay import NotRecorded


def close_off(refused: Callable[[str], None]) -> None:
    """Raise `NotRecorded` in this process, for the rest of its life, where it connects to a public address.

    This machine and private networks may be reached: a test's own database or server is there. `refused` is told in
    words what was asked for. What is done in C (gRPC, uvloop) is not seen.
    """

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and is_public(arguments[1]):
            host, port = arguments[1][:2]
            text = f"no connection to {host}, port {port}: only stored answers are used"
            refused(text)
            raise NotRecorded(text)

    sys.addaudithook(audit)


def is_public(address: object) -> bool:
    """Whether the address of a socket is one of the internet."""
    if not isinstance(address, tuple) or not address or not isinstance(address[0], str):
        return False
    try:
        number = ipaddress.ip_address(address[0].partition("%")[0])
    except ValueError:
        return address[0] not in ("", "localhost")
    mapped = getattr(number, "ipv4_mapped", None)
    return (mapped or number).is_global
