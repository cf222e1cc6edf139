"""What pytest tells of the running case: its reports, subtests and soft checks, and trouble on the way to a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from pytest_gepa.cost.purse import CostStop
from pytest_gepa.suite.outcome import crash_message, is_infrastructure
from pytest_gepa.suite.pytest_internals import is_subtest, raised
from pytest_gepa.suite.rollout import Grade
from pytest_gepa.suite.soft_checks import SoftChecks
from pytest_gepa.trace.replay import NotRecorded


class CaseWatch:
    """A plugin that listens to one case at a time, from `begin` on.

    `units` are its subtests and soft checks in order, `body_failed` says that it failed beside them, and `trouble` is
    the infrastructure's error that it met, "" if none. `refused` tells of requests that were not sent: those of a
    wider fixture fail every case that uses it. `setup_error` is what its setup raised.
    """

    def __init__(self, checks: SoftChecks) -> None:
        self._checks = checks
        self.begin()

    def begin(self) -> None:
        """Forget the case before."""
        self.reports: list[pytest.TestReport] = []
        self.units: list[Grade] = []
        self.trouble = ""
        self.refused: tuple[str, ...] = ()
        self.body_failed = False
        self.setup_error: BaseException | None = None
        self._has_raised = False
        self._batch: Sequence[Grade] = ()
        self._checks.take()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[None] | pytest.TestReport:
        """Look at a phase, or a subtest, before plugins turn failed checks into an exception of their own."""
        batch, error = self._checks.take(), raised(item, call)
        for met in (*batch.swallowed, *([error] if error is not None else [])):
            if is_infrastructure(met):
                self.trouble = f"{type(met).__name__}: {met}"
            if isinstance(met, (NotRecorded, CostStop)):
                self.refused = (*self.refused, str(met))
        if call.when == "setup":
            self.setup_error = error
        self._has_raised = error is not None
        self._batch = batch.checks
        return (yield)  # type: ignore[misc]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a report. A soft check that was made in a subtest is part of that, and counts no second time."""
        self.reports.append(report)
        if is_subtest(report):
            if not report.skipped:
                self.units.append(_subtest(report, len(self.units) + 1))
        elif report.when == "call":
            self.units += self._batch
            self.body_failed = self._has_raised and report.failed


def _subtest(report: pytest.TestReport, number: int) -> Grade:
    # `pytest` heads a subtest with the test's name and what tells the subtest apart.
    heading: str = getattr(report, "head_line", "")
    name = heading.removeprefix(report.location[2]).strip()
    name = f"subtest {number}" if name in ("", "(<subtest>)") else name
    return Grade(name, 0.0 if report.failed else 1.0, crash_message(report) if report.failed else "", "subtest")
