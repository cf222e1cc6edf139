"""How a hook of ours is called: what it raises is told with hook, plugin and line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import pytest

from pytest_gepa.cut import cut
from pytest_gepa.errors import HookError

if TYPE_CHECKING:
    from pluggy import HookCaller, HookRelay

MOST_SAID = 300


def tell_finished(
    hooks: HookRelay, result: Mapping[str, Any], directory: str, mode: str, redact: Callable[[str], str]
) -> None:
    """Tell the plugins of the end of a run. Raises `HookError`, whose text `redact` has seen."""
    call_hook(hooks, "pytest_gepa_run_finished", redact, result=result, directory=directory, mode=mode)


def call_hook(hooks: HookRelay, name: str, redact: Callable[[str], str], **arguments: object) -> Any:
    """What the plugins return. Raises `HookError` for whatever they raise, an interrupt apart; `redact` is made to what
    that says.
    """
    caller: HookCaller = getattr(hooks, name)
    try:
        return caller(**arguments)
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except BaseException as error:  # `pytest.fail` and `sys.exit` are no exceptions
        # Whole: of a secret that is cut short, nobody knows the rest for one.
        said = " ".join(redact(f"{type(error).__name__}: {error}").split())
        raise HookError(f"the hook {name} of {_blamed(caller, error)} raised {cut(said, MOST_SAID)}") from error


def names_of(caller: HookCaller) -> str:
    """The plugins that implement a hook."""
    return " or ".join(implementation.plugin_name for implementation in caller.get_hookimpls())


def _blamed(caller: HookCaller, error: BaseException) -> str:
    """The plugin whose function an exception came through, and the line; else all that may be to blame."""
    owners = {
        getattr(implementation.function, "__code__", None): implementation.plugin_name
        for implementation in caller.get_hookimpls()
    }
    for frame, line in walk_tb(error.__traceback__):
        if frame.f_code in owners:
            return f"{owners[frame.f_code]}, line {line},"
    return names_of(caller)
