"""What the hooks of all HTTP libraries share: where calls are recorded now, and the functions that are patched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pytest_gepa.trace.admission import Target, begin, hold_back
from pytest_gepa.trace.exchange import Exchange
from pytest_gepa.trace.outermost import is_below, tell_of_call
from pytest_gepa.trace.patches import Patches
from pytest_gepa.trace.protocols import FALLBACK


class Wire:
    """The state of the capture in a process. Without a target nothing is recorded, and patched functions do what they
    did before."""

    def __init__(self) -> None:
        self.target: Target | None = None
        self.patches = Patches()

    def begin(
        self,
        *,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        is_network: Callable[[], bool],
        is_in_process: Callable[[], bool] = lambda: False,
    ) -> Exchange | None:
        """See `admission.begin`; None also for what a library further up is sending and has recorded, and for a body
        that cannot be known."""
        if self.target is None or method.upper() != "POST":
            return None
        if body is None:
            hold_back(self.target, url, is_network)
        if not body or is_below(body):
            return None
        exchange = begin(
            self.target,
            method=method,
            url=url,
            headers=headers,
            body=body,
            is_network=is_network,
            is_in_process=is_in_process,
        )
        if exchange is not None and exchange.protocol is not FALLBACK:
            tell_of_call()
        return exchange


class Hook(Protocol):
    """How the requests of one HTTP library are seen."""

    @property
    def names(self) -> tuple[str, ...]:
        """The modules that must have been imported, by somebody else."""
        ...

    def is_loaded(self, module: Any) -> bool:
        """Whether the module has run to its end."""
        ...

    def patch(self, module: Any, wire: Wire) -> None:
        """Have the library's requests recorded from now on."""
        ...


def bytes_of(body: object) -> bytes | None:
    """A body that is at hand as a whole; None for files, iterators and the like, which can be read once, and that is
    the library's to do."""
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return bytes(body) if isinstance(body, (bytes, bytearray, memoryview)) else None
