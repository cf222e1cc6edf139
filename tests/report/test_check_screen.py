"""What a check shows of itself while it goes on."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from pytest_gepa.check.state import TODAY, CheckState
from pytest_gepa.evolve.candidate import seed_candidate
from pytest_gepa.report.check_screen import CheckTerminal
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.verdict.sequential import Trials


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(state: CheckState, stream: io.StringIO) -> str:
    screen = CheckTerminal(stream)
    screen.progress(state)
    screen.close()
    return stream.getvalue()


def state_of(trials: int) -> CheckState:
    """After so many trials of one case."""
    today = seed_candidate({"prompts/a.md": "Be brief."})
    runs = {number: Rollout(today.id, "a", str(number), Outcome.passed, 1.0) for number in range(trials)}
    return CheckState(today, today, rollouts={(TODAY, "a"): runs}, charged=trials)


def test_a_comparison_says_how_many_cases_are_undecided() -> None:
    state = state_of(3)
    state.trials = {"a": Trials("a", base=(1.0,) * 32, today=(1.0,) * 3, handed_out=3, is_recorded=True)}
    assert "gepa: 1 case of 1 undecided, 3 rollouts, " in shown(state, Terminal())


def test_a_baseline_says_how_many_trials_it_has() -> None:
    state = state_of(3)
    state.planned = 64
    assert "gepa: 3 of 64 trials, 3 rollouts, " in shown(state, Terminal())


def test_nothing_is_shown_before_the_first_trials_are_over_or_where_there_is_no_terminal() -> None:
    assert shown(state_of(1), Terminal()) == ""
    state = state_of(3)
    state.planned = 64
    assert shown(state, io.StringIO()) == ""


def test_colours_that_are_forced_make_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    state = state_of(3)
    state.planned = 64
    assert shown(state, io.StringIO()) == ""


def test_cases_are_judged_anew_only_where_trials_have_been_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of(3)
    one = Trials("a", base=(1.0,) * 32, today=(1.0,) * 3, handed_out=3, is_recorded=True)
    state.trials = {"a": one}
    judged = []
    tiers = CheckState.tiers
    monkeypatch.setattr(CheckState, "tiers", lambda state: judged.append(1) or tiers(state))
    screen = CheckTerminal(Terminal())
    for _ in range(3):
        screen.progress(state)
    state.trials["a"] = replace(one, handed_out=4)
    screen.progress(state)
    screen.close()
    assert len(judged) == 2
