"""What every mode takes from the pytest session, and how it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from pytest_gepa.errors import GepaError
from pytest_gepa.prompts.components import Component, todays_texts
from pytest_gepa.prompts.finding import DEFAULT_PATTERNS, find_components, named_outright
from pytest_gepa.prompts.judges import named_by_itself, without_judges
from pytest_gepa.prompts.protected import check_markers
from pytest_gepa.prompts.stray_markers import check_comments
from pytest_gepa.report.section import encodable, held
from pytest_gepa.run.last_steps import LastSteps
from pytest_gepa.settings import Settings
from pytest_gepa.stash import closing_key, exit_status_key, verdict_key
from pytest_gepa.suite.collect import collect_cases
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.shown_case import shown_case
from pytest_gepa.suite.split import hold_out
from pytest_gepa.trace.redact import Redactor

if TYPE_CHECKING:  # a check that has nothing to compare imports none of these
    from pytest_gepa.audit.audit import AuditState
    from pytest_gepa.check.state import CheckState
    from pytest_gepa.run.answers import RunAnswers
    from pytest_gepa.run.spending import Spending


def find_prompts(settings: Settings) -> Sequence[Component]:
    """The prompts, found and checked. Raises `GepaError` where there are none."""
    components = find_components(settings.rootdir, settings.prompts_base, settings.prompts or DEFAULT_PATTERNS)
    if not components:
        looked = ", ".join(settings.prompts or DEFAULT_PATTERNS)
        raise GepaError(
            f"no prompt file found for {looked} in {settings.prompts_base}; name yours with --gepa-prompts GLOB "
            "or gepa_prompts in the ini file (texts in Python code as app/prompts.py::*)"
        )
    check_markers(todays_texts(components))
    check_comments(components)
    return components


def find_improvable(settings: Settings) -> tuple[Sequence[Component], tuple[str, ...]]:
    """The prompts that may be improved, and the ids of judges' that are left out, as nobody has named them outright.

    Raises `GepaError` where there are none.
    """
    components, named = find_prompts(settings), set[str]()
    for pattern in named_outright(settings.prompts_base, settings.prompts):
        found = find_components(settings.rootdir, settings.prompts_base, [pattern])
        named |= named_by_itself([one.id for one in found])
    improvable, judges = without_judges(components, named)
    if not improvable:
        raise GepaError(
            f"all prompts found are called judges, which are not improved unasked ({', '.join(judges)}); name what is "
            "to be improved with --gepa-prompts, file by file"
        )
    return improvable, judges


def find_cases(session: pytest.Session, settings: Settings) -> tuple[Case, ...]:
    """The cases of the session, divided, as others may see them."""
    redact = Redactor(os.environ, settings.redact).redact
    return tuple(shown_case(case, redact) for case in hold_out(collect_cases(session.items, redact), settings.holdout))


def end_steps(steps: LastSteps, stream: IO[str], redact: Callable[[str], str]) -> None:
    """Raise the first error of the last steps; those that came after it are told in a line each, without secrets."""
    # A secret may go over several lines.
    later = [" ".join(redact(said).split()) for said in steps.later]
    print_lines(stream, [f"gepa: also failed at the end: {line}" for line in later])
    steps.raise_first()


def keep_answers(
    steps: LastSteps, answers: RunAnswers, directory: Path, state: AuditState | CheckState, spending: Spending
) -> None:
    """Record a run that has done all of its work."""
    # Out of time or money a replay would go on where there are no answers any more.
    if not (state.is_out_of_time or spending.stopped):
        steps.take(partial(answers.keep, directory))


def check_prices(spending: Spending | None) -> None:
    """Raise `GepaError` where a request came whose price has no bound."""
    if spending is not None and spending.has_met_the_unpriced:
        raise GepaError(spending.stopped)


def tell_plan(config: pytest.Config, lines: list[str]) -> None:
    """End the session with a plan."""
    config.stash[closing_key] = lines
    config.stash[verdict_key] = "plan"
    config.stash[exit_status_key] = 0


def print_lines(stream: IO[str], lines: Sequence[str], *, are_commands: bool = False) -> None:
    """Print lines at once: as they are if they are commands of ours, else as what others may have had a part in."""
    for line in lines:
        stream.write(f"{held(stream, line) if are_commands else encodable(stream, line)}\n")
    stream.flush()
