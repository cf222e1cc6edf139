"""The baseline's reports, fed into the user's session as xdist does, so that it looks and counts like a pytest run."""

from __future__ import annotations

import os
import traceback
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import pytest

from pytest_gepa.suite.pytest_internals import finish_progress
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.wording import count

MOST_WAITING = 50
"""Cases that wait for one before them: whoever looks on wants to see that they have ended."""


class Feeder:
    """Feeds the baseline's reports into the user's session, so that it looks and counts like a pytest run.

    `cases` are all of the session's; `expected` are those that will be run, all of them by default. `properties` are
    added to the reports of a case, by its id, as JUnit knows them.
    """

    def __init__(
        self,
        session: pytest.Session,
        cases: Sequence[Case],
        expected: Collection[str] | None = None,
        most_waiting: float = MOST_WAITING,
    ) -> None:
        self._most_waiting = most_waiting
        self._config = session.config
        self._items = dict(zip((case.id for case in cases), session.items, strict=True))
        searched = [case.id for case in cases if case.split == "search"]
        order = [*searched, *(case.id for case in cases if case.split == "holdout")]
        self._order = [case for case in order if expected is None or case in expected]
        self._waiting: dict[str, Rollout] = {}
        self._late: set[str] = set()
        self._failed: dict[str, int] = {}
        self.properties: Mapping[str, Sequence[tuple[str, str]]] = {}

    def feed(self, rollout: Rollout) -> None:
        """Hand on what has come in, in the order of collection: cases that run at once end in any order. One for which
        more than `most_waiting` others wait, as it is slow or run again, comes behind them.
        """
        if rollout.case in self._late:
            self._late.discard(rollout.case)
            self._hand_on(rollout)
            return
        self._waiting[rollout.case] = rollout
        while self._order and (self._order[0] in self._waiting or len(self._waiting) > self._most_waiting):
            case = self._order.pop(0)
            if case in self._waiting:
                self._hand_on(self._waiting.pop(case))
            else:
                self._late.add(case)

    def flush(self) -> None:
        """Hand on what still waits for a case that will not come."""
        for case in [case for case in self._order if case in self._waiting]:
            self._hand_on(self._waiting.pop(case))

    @property
    def problems(self) -> tuple[str, ...]:
        """Which hooks of plugins and conftest files have failed with reports, in words."""
        return tuple(
            f"{what}, with the reports of {count(number, 'case')}; what is hung on a report in the process of its case "
            "comes here as text"
            for what, number in self._failed.items()
        )

    def _hand_on(self, rollout: Rollout) -> None:
        """The reports of one case, under the nodeid that it has in the user's session. A hook of another that fails
        with them costs the run nothing: the cases are paid for.
        """
        item, hook = self._items[rollout.case], self._config.hook
        try:
            hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            for report in self._reports(rollout, item):
                hook.pytest_runtest_logreport(report=report)
            hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            what = f"a hook failed ({os.path.basename(last.filename)}:{last.lineno}: {type(error).__name__}: {error})"
            self._failed[what] = self._failed.get(what, 0) + 1
        finish_progress(self._config)

    def _reports(self, rollout: Rollout, item: pytest.Item) -> list[pytest.TestReport]:
        reports: list[pytest.TestReport] = []
        if rollout.outcome is Outcome.stopped:
            path, line, _ = item.location
            reason = f"Skipped: {rollout.trajectory.failure}"
            return [_report(item, "skipped", (path, line or 0, reason))]
        for data in rollout.reports:
            report = self._config.hook.pytest_report_from_serializable(config=self._config, data=dict(data))
            report.nodeid = item.nodeid
            report.user_properties = [*report.user_properties, *self.properties.get(rollout.case, ())]
            if isinstance(report.longrepr, list):
                report.longrepr = tuple(report.longrepr)  # of a skip, which JSON has no other way to hold
            reports.append(report)
        if reports:
            return reports
        return [_report(item, "failed", f"{rollout.outcome.value}: {rollout.trajectory.failure}")]


def _report(
    item: pytest.Item, outcome: Literal["failed", "skipped"], said: str | tuple[str, int, str]
) -> pytest.TestReport:
    """The report of a case that pytest has none of."""
    return pytest.TestReport(item.nodeid, item.location, {}, outcome, said, "setup")
