"""The checks of pytest-check that a case makes, each with its result: the library itself logs failures only.

Nothing is imported: where its plugin is not loaded, nothing happens.
"""

from __future__ import annotations

import functools
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_gepa.suite.rollout import Grade

NO_CHECKS = frozenset({"assert_equal", "check_func"})
"""Public functions of pytest-check that make no check when they are called."""

# The library shows the frames between a check and the test, and stops at the first that lies in site-packages.
FRAME_FILE = "<pytest-gepa>"

_COLOR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Batch:
    """Checks in the order in which they were made, and the exceptions that they have swallowed."""

    checks: tuple[Grade, ...] = ()
    swallowed: tuple[BaseException, ...] = ()


class SoftChecks:
    """A plugin that counts checks. `take` hands over those made since it was last asked."""

    def __init__(self, on_problem: Callable[[str], None]) -> None:
        self._on_problem = on_problem
        self._made: list[Grade] = []
        self._swallowed: list[BaseException] = []
        self._seen: set[str] = set()
        self._inside = threading.local()
        self._module: Any = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: pytest.Config) -> Iterator[None]:
        """Begin before any file of the project can take a function by name; its plugin has been loaded by now."""
        plugin = sys.modules.get("pytest_check.plugin")
        if plugin is not None and early_config.pluginmanager.is_registered(plugin):
            module = self._module = sys.modules["pytest_check"]
            try:
                self._watch(module)
            except Exception as error:  # another version: then only what failed is known
                self._on_problem(f"the checks of pytest-check are not counted: {type(error).__name__}: {error}")
        return (yield)

    def take(self) -> Batch:
        """The checks made since the last call; those that failed without our seeing them come last."""
        if self._module is None:
            return Batch()
        made, swallowed, seen = self._made, self._swallowed, self._seen
        self._made, self._swallowed, self._seen = [], [], set()
        unseen = [text for text in self._failures() if text not in seen]
        made += [_grade(len(made) + number, [text]) for number, text in enumerate(unseen, start=1)]
        return Batch(tuple(made), tuple(swallowed))

    def _failures(self) -> Sequence[str]:
        failures: Sequence[str] = self._module.check_log.get_failures()
        return failures

    def _number_of_failures(self) -> int:
        log = self._module.check_log
        # Releases before 3 tell the failures only, of which the options of the user may leave out some.
        number: int = log.get_num_failures() if hasattr(log, "get_num_failures") else len(log.get_failures())
        return number

    def _watch(self, module: Any) -> None:
        for name in set(module.check_functions.__all__) - NO_CHECKS:
            counted = self._counted(getattr(module.check_functions, name))
            setattr(module, name, counted)
            setattr(module.check, name, counted)
        for context in (type(module.check), module.check_raises.CheckRaisesContext):
            context.__exit__ = self._counted(context.__exit__, self._note_swallowed)
        decorate = module.check_functions.check_func

        @functools.wraps(decorate)
        def check_func(function: Callable[..., Any]) -> Callable[..., Any]:
            return self._counted(decorate(function))

        module.check_func = module.check.check_func = check_func

    def _counted(
        self, check: Callable[..., Any], on_failure: Callable[[Sequence[Any]], None] = lambda _: None
    ) -> Callable[..., Any]:
        """A check as it is, which notes what came of it; `on_failure` is told its arguments."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if getattr(self._inside, "a_check", False):
                return check(*args, **kwargs)
            failures, number = len(self._failures()), self._number_of_failures()
            self._inside.a_check = True
            returned = False
            try:
                result = check(*args, **kwargs)
                returned = True
                return result
            finally:
                self._inside.a_check = False
                failed = self._number_of_failures() > number
                if failed or returned:  # what raises for another reason has found nothing out
                    self._note(self._failures()[failures:] or [""] if failed else [])
                if failed:
                    on_failure(args)

        counted.__code__ = counted.__code__.replace(co_filename=FRAME_FILE)
        return functools.wraps(check)(counted)

    def _note_swallowed(self, arguments: Sequence[Any]) -> None:
        self._swallowed += [value for value in arguments if isinstance(value, BaseException)]

    def _note(self, failures: Sequence[str]) -> None:
        self._seen.update(failures)
        self._made.append(_grade(len(self._made) + 1, failures))


def _grade(number: int, failures: Sequence[str]) -> Grade:
    told = (_COLOR.sub("", text).removeprefix("FAILURE: ").strip() for text in failures)
    return Grade(f"check {number}", 0.0 if failures else 1.0, "\n".join(told), "check")
