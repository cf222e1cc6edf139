"""What fixtures of a wider scope than one case did, kept for every case that uses them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import pytest

from pytest_gepa.suite.pytest_internals import active_fixtures, fixtures_of
from pytest_gepa.trace.record import Held
from pytest_gepa.trace.recorder import Recorder

_Failed: TypeAlias = tuple[BaseException, tuple[Held, ...]]
"""What the setup of a fixture has raised, and the holds behind it."""


class FixtureWatch:
    """A plugin that has the recorder hold what is seen while a wider fixture is set up.

    A fixture is wider when its value outlives the case: by its own scope, or by that of its parameters.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._held: dict[pytest.FixtureDef[Any], Held] = {}
        self._used: list[pytest.FixtureDef[Any]] = []
        self._failed: list[_Failed] = []
        self._failed_now: list[_Failed] = []

    def used(self) -> list[Held]:
        """The holds of the fixtures that the case used whose teardown has begun."""
        used, self._used = self._used, []
        self._failed_now = []  # an error holds all that the code knew which raised it
        return self._holds(used)

    def failed(self, error: BaseException | None) -> list[Held]:
        """The holds behind an error that a setup has raised: of the wider fixture that failed first, and of those that
        a failed fixture of any scope takes. pytest raises the same error again for every case that uses it."""
        return [held for known, holds in (*self._failed, *self._failed_now) if known is error for held in holds]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Iterator[None]:
        """Keep what is seen, and from then on leave its teardown to no case: any case may be the last."""
        # By name, as the fixture asks for them now: one that overrides another of its name asks for that one.
        active = active_fixtures(request)
        below = [active[name] for name in fixturedef.argnames if name in active]
        if fixturedef.scope == "function" == request.scope:
            self._used += below
            try:
                return (yield)
            except BaseException as error:
                self._failed_now.append((error, tuple(self._holds(below))))
                raise
        request.addfinalizer(self._recorder.return_to)  # the first to be added is the last to be run
        held = self._held[fixturedef] = self._recorder.hold(self._holds(below))
        self._watch_requests(request, held)
        try:
            return (yield)
        except BaseException as error:
            self._failed.append((error, (held,)))
            raise
        finally:
            self._recorder.let_go(held)
            request.addfinalizer(self._recorder.leave)

    def _holds(self, fixtures: Iterable[pytest.FixtureDef[Any]]) -> list[Held]:
        return [self._held[fixture] for fixture in fixtures if fixture in self._held]

    def _watch_requests(self, request: pytest.FixtureRequest, held: Held) -> None:
        """Learn what the fixture asks for while it is set up: what has its value by then is not set up again."""
        original = request.getfixturevalue

        def getfixturevalue(argname: str) -> Any:
            value = original(argname)
            fixture = active_fixtures(request).get(argname)
            held.below = (*held.below, *self._holds([fixture] if fixture is not None else []))
            return value

        with contextlib.suppress(AttributeError):  # should a pytest to come forbid it, less is known
            request.getfixturevalue = getfixturevalue  # type: ignore[method-assign]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Note which fixtures the case has used, those that it asked for by `getfixturevalue` included."""
        self._used += fixtures_of(item).values()
