"""From pytest's reports of one item, and what was recorded meanwhile, to the outcome of a rollout."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from pytest_gepa.suite.pytest_internals import is_subtest
from pytest_gepa.suite.rollout import Outcome
from pytest_gepa.trace.trajectory import Call

# Exceptions that tell of the way to the model and not of the prompt, by the module they live in and a base's name.
INFRASTRUCTURE = {
    "openai": ("APIError", "APIConnectionError"),
    "anthropic": ("APIError",),
    "httpx": ("TransportError", "HTTPStatusError", "StreamError"),
    "httpx2": ("TransportError", "HTTPStatusError", "StreamError"),
    "requests": ("RequestException",),
    "urllib3": ("HTTPError",),
    "aiohttp": ("ClientError",),
    "builtins": ("ConnectionError", "TimeoutError", "MemoryError"),
    "asyncio": ("TimeoutError",),
    "asyncio.exceptions": ("TimeoutError",),
}
TRANSIENT = (408, 409, 425, 429)
PYTEST_TIMEOUT = re.compile(r"Timeout \(?>\s*[\d.]+s\)?")


def is_infrastructure(error: BaseException) -> bool:
    """Whether an exception, or one that led to it or is part of it, tells of the infrastructure."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        if any(_is_listed(base) for base in type(current).__mro__):
            return True
        waiting += [current.__cause__, None if current.__suppress_context__ else current.__context__]
        members = getattr(
            current, "exceptions", None
        )  # an exception group, which Python 3.10 has as a backport
        if isinstance(members, tuple):
            waiting += [member for member in members if isinstance(member, BaseException)]
    return False


def _is_listed(kind: type) -> bool:
    module = kind.__module__
    package = module if module in INFRASTRUCTURE else module.split(".", 1)[0]
    return kind.__name__ in INFRASTRUCTURE.get(package, ())


def unanswered(calls: Sequence[Call]) -> str:
    """The error of a request to a model that never got its answer, "" if all did.

    An attempt that was repeated is forgiven, and so is a request whose answer the application did not want any more, as
    another had come: a race of two models, or of two attempts, has a loser each time.
    """
    last: dict[str, Call] = {call.key: call for call in calls if not call.superseded}
    for call in last.values():
        if call.answer is None and (call.status is None or call.status in TRANSIENT or call.status >= 500):
            return call.error or f"HTTP status {call.status}"
    return ""


def outcome_of(reports: Sequence[pytest.TestReport], calls: Sequence[Call], *, trouble: str) -> Outcome:
    """What the reports of one item amount to.

    `calls` are its calls to models, and no others: a service of the application's own that fails is part of what is
    tested. `trouble` is the infrastructure's error that the item raised, or "".
    """
    own = [report for report in reports if not is_subtest(report)]
    by_phase = {report.when: report for report in own}
    setup, call, teardown = (by_phase.get(phase) for phase in ("setup", "call", "teardown"))
    if setup is None:
        return Outcome.crashed
    if setup.failed:
        return Outcome.error
    if setup.skipped:
        return Outcome.xfailed if hasattr(setup, "wasxfail") else Outcome.skipped
    if call is None:
        return Outcome.crashed
    if teardown is not None and teardown.failed:
        return Outcome.error
    if call.skipped:
        return Outcome.xfailed if hasattr(call, "wasxfail") else Outcome.skipped
    if hasattr(call, "wasxfail"):
        return Outcome.xpassed
    failed = [report for report in reports if report.when == "call" and report.failed]
    if not failed:
        return Outcome.passed
    texts = [report.longreprtext for report in failed]
    # The latter is what pytest says of an `expectedFailure` of unittest that passes.
    if any(text.startswith("[XPASS(strict)]") or text == "Unexpected success" for text in texts):
        return Outcome.xpassed
    if any(PYTEST_TIMEOUT.search(text.rsplit("\n", 3)[-1]) or "Failed: Timeout" in text for text in texts):
        return Outcome.timeout
    if trouble or unanswered(calls):
        return Outcome.error
    return Outcome.failed


def crash_message(report: pytest.TestReport) -> str:
    """The message of what a report failed with, introspection included, without the code around it."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message) if crash is not None else report.longreprtext


def failure_text(reports: Sequence[pytest.TestReport]) -> str:
    """What went wrong as pytest prints it, of failing subtests too, each once."""
    parts = [
        f"{getattr(report, 'head_line', 'subtest')}\n{report.longreprtext}"
        if is_subtest(report)
        else report.longreprtext
        for report in reports
        if report.failed
    ]
    return "\n\n".join(dict.fromkeys(part for part in parts if part.strip()))
