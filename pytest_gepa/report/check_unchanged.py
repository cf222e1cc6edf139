"""The result of a check that has nothing to run."""

from __future__ import annotations

from pytest_gepa.report.check_result import CheckResult
from pytest_gepa.run.base_prompts import BasePrompts
from pytest_gepa.settings import Settings

DEFAULT_RULE = "regressed"


def nothing_to_compare(run: str, base: BasePrompts, settings: Settings) -> CheckResult:
    """The result of a check that has nothing to run: no prompt has another text than it had."""
    news = {change.state for change in base.changes}
    return CheckResult(
        run=run,
        verdict="no regression" if news else "nothing changed",
        reason=(
            f"the only changes are prompts that are {' or '.join(sorted(news))}, which have nothing to be compared with"
            if news
            else f"every prompt has the text that it had at {base.name}"
        ),
        base=base.name,
        revision=base.revision,
        changes=base.changes,
        interval=(0.0, 0.0),
        gate=settings.fail_on or DEFAULT_RULE,
    )
