"""Cases that did not always end alike, as the result and the pages tell of them."""

from __future__ import annotations

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.report.build import build_result
from pytest_gepa.report.markdown import render_markdown
from pytest_gepa.report.phrases import pass_rate
from pytest_gepa.report.result import CaseRates, PassRate, Result
from pytest_gepa.report.terminal import closing_lines
from pytest_gepa.verdict.interval import wilson
from tests.report.runs import Desk, result

WORDS = ("ant", "bee", "cat", "dog")


def built(desk: Desk) -> Result:
    return build_result("2026-01-31-1", desk.state, desk.cases, 0, "large")


def rate(passed: int, trials: int) -> PassRate:
    return PassRate(trials, passed, wilson(passed, trials))


def rates(name: str, today: PassRate, winner: PassRate) -> CaseRates:
    return CaseRates(f"test_a.py::{name}[label]", today, winner)


def shown(found: Result) -> list[str]:
    """The part of the closing section that is about flaky cases."""
    lines = closing_lines(found, "dir", "cmd")
    start = next(at for at, line in enumerate(lines) if line.startswith(("set aside", "flaky")))
    return lines[start : next(at for at, line in enumerate(lines) if line.startswith("spent"))]


def test_of_cases_that_ended_otherwise_in_a_trial_both_sides_are_told_the_least_steady_first():
    desk = Desk(WORDS, held_out=["owl"]).search().choose().confirm(trials=2)
    assert desk.state.winner is not None
    desk.again(desk.seed, "ant", "-").again(desk.seed, "bee", "+").again(desk.state.winner, "cat", "--")
    found = built(desk)
    # Both sides ran each case once in the search and twice in the confirm run, and as often again as told above.
    assert found.rates == (
        rates("cat", rate(0, 3), rate(3, 5)),
        rates("bee", rate(1, 4), rate(3, 3)),
    )
    assert found.undecidable == ()
    assert from_json(Result, to_json(found)) == found


def test_trials_that_all_ended_alike_and_single_ones_are_not_told():
    assert built(Desk(WORDS, trouble=["dog"]).search().choose().confirm(trials=3)).rates == ()
    assert built(Desk(WORDS).search(reflections=1).choose()).rates == ()


def test_a_winner_that_is_todays_prompts_has_no_trials_of_its_own():
    desk = Desk(["ant", "bee"], text="mind the ant\n").search(reflections=0).choose()
    assert desk.state.winner is desk.seed
    desk.again(desk.seed, "ant", "-+")
    assert built(desk).rates == (rates("ant", rate(2, 3), PassRate(0, 0)),)


def test_results_that_a_candidate_has_from_another_are_no_trials_of_it():
    desk = Desk(WORDS).search().choose()
    winner = desk.state.winner
    assert winner is not None
    name = "test_a.py::ant"
    del desk.state.trial_passes[winner.id, name]  # as if it had been inherited
    desk.again(winner, "ant", "+-")
    assert built(desk).rates == (rates("ant", rate(0, 1), rate(1, 2)),)


def test_a_case_that_nobody_can_decide_is_told_with_its_rates():
    desk = Desk(WORDS).search().choose().confirm()
    last = list(desk.state.search.candidates.values())
    for candidate in last[-3:]:
        desk.again(candidate, "dog", "+-+-")
    assert desk.state.search.pool.ledger.undecidable == ("test_a.py::dog",)
    found = built(desk)
    assert found.undecidable == ("test_a.py::dog[label]",)
    assert [one.case for one in found.rates] == [*found.undecidable]
    assert found.rates[0].today == rate(0, 2)
    assert 0 < found.rates[0].winner.passed < found.rates[0].winner.trials
    (first, second) = shown(found)
    assert first == "set aside            1 case passes and fails by chance, whatever the prompt:"
    assert second.strip().startswith("test_a.py::dog[label]: today 0 of 2 (0 to 66 %), winner ")
    assert "Set aside by the search, as they pass and fail by chance" in render_markdown(found)


def test_a_rate_is_told_with_its_interval():
    assert pass_rate(rate(3, 7)) == "3 of 7 (16 to 75 %)"
    assert pass_rate(PassRate(0, 0)) == "no trial"


FLAKY = tuple(rates(f"t{number}", rate(1, 3), rate(2, 2)) for number in range(6))


def test_the_terminal_names_those_set_aside_apart_and_cuts_what_is_long():
    assert shown(result(rates=FLAKY, undecidable=(FLAKY[0].case, FLAKY[2].case))) == [
        "set aside            2 cases pass and fail by chance, whatever the prompt:",
        "                     test_a.py::t0[label]: today 1 of 3 (6 to 79 %), winner 2 of 2 (34 to 100 %)",
        "                     test_a.py::t2[label]: today 1 of 3 (6 to 79 %), winner 2 of 2 (34 to 100 %)",
        "flaky                4 other cases did not always end alike:",
        "                     test_a.py::t1[label]: today 1 of 3 (6 to 79 %), winner 2 of 2 (34 to 100 %)",
        "                     test_a.py::t3[label]: today 1 of 3 (6 to 79 %), winner 2 of 2 (34 to 100 %)",
        "                     test_a.py::t4[label]: today 1 of 3 (6 to 79 %), winner 2 of 2 (34 to 100 %)",
        "                     and 1 more, in the report",
    ]
    lines = shown(result(rates=(rates("x", rate(1, 3), PassRate(0, 0)),)))
    assert lines == [
        "flaky                1 case did not always end alike:",
        "                     test_a.py::x[label]: today 1 of 3 (6 to 79 %)",
    ]


def test_the_report_has_them_all_in_a_table():
    report = render_markdown(result(rates=FLAKY, undecidable=(FLAKY[5].case,))).splitlines()
    start = report.index("## Cases that did not always end alike")
    assert [
        f"| `test_a.py::t{number}[label]` | 1 of 3 (6 to 79 %) | 2 of 2 (34 to 100 %) |" for number in range(6)
    ] == report[start + 6 : start + 12]
    assert "- `test_a.py::t5[label]`" in report[start + 12 :]
    steady = render_markdown(result())
    assert "always end alike" not in steady
    assert "Set aside" not in steady


def test_foreign_names_cannot_pose_as_the_report_nor_steer_the_terminal():
    hostile = "a.py::t[`|\n# x\x1b[2J]"
    found = result(rates=(CaseRates(hostile, rate(1, 3), rate(2, 2)),), undecidable=(hostile,))
    report = render_markdown(found)
    assert "\x1b" not in report
    assert "\n# x" not in report
    (row,) = (line for line in report.splitlines() if line.startswith("| <code>"))
    assert row.count("|") == 4, "a bar in a name must not end a cell"
    assert not any("\x1b" in line for line in closing_lines(found, "dir", "cmd"))
