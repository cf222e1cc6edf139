"""What a run says on the terminal."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_gepa.cost.prices import PriceList
from pytest_gepa.evolve.tasks import Decision, Evaluate
from pytest_gepa.prompts.components import Component
from pytest_gepa.report.markdown import render_markdown
from pytest_gepa.report.result import ComponentChange, FrontierEntry, Result, Spent, SplitScores, Trouble
from pytest_gepa.report.section import print_section
from pytest_gepa.report.terminal import PHASES, Terminal, closing_lines, opening_lines, prompt_notes
from pytest_gepa.run.plan import BudgetPlan
from pytest_gepa.run.spending import Spending
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.redact import Redactor
from pytest_gepa.verdict.judge import Tally
from tests.report.runs import PROMPT, Desk, result

COMMAND = "git apply .gepa/runs/2026-01-31-1/best.patch"
DIRECTORY = ".gepa/runs/2026-01-31-1"


def closing(found: Result) -> list[str]:
    return closing_lines(found, DIRECTORY, COMMAND)


def test_the_opening_names_what_is_about_to_be_spent():
    (line,) = opening_lines(1, 31, 10, "large", 700, 246, 7, redact=str)
    assert line == (
        "gepa: 1 prompt, 41 cases (31 search, 10 held out), reflection model large, "
        "budget 700 rollouts (246 of them kept for the confirm run), seed 7, one case at a time"
    )
    (line,) = opening_lines(3, 31, 0, "large", 700, 186, 0, redact=str)
    assert "3 prompts, 31 cases, reflection" in line
    (line,) = opening_lines(3, 31, 0, "large", 700, 186, 0, shrink=93, redact=str)
    assert "(186 of them kept for the confirm run, 93 for shrinking)" in line


def test_it_names_the_model_without_secrets():
    redact = Redactor({}, [r"ACME-\w+", "none"]).redact
    (line,) = opening_lines(1, 31, 10, "ft:ACME-corp", 700, 246, 7, redact=redact)
    assert "reflection model ft:[redacted], " in line
    (line,) = opening_lines(1, 31, 10, "none", 700, 246, 7, redact=redact)
    assert "no reflection model (rules and " in line


def python(name: str, text: str) -> Component:
    return Component(name, Path(name.partition("::")[0]), text, source=text.encode())


def test_what_the_patterns_may_not_have_meant_is_said():
    assert prompt_notes([python("app/kernel.py", "SIZE = 7\n")], []) == []
    assert prompt_notes([], ["prompts/judge.md"]) == [
        "gepa: prompts/judge.md: named like a judge's prompt, so left unchanged; name the file in --gepa-prompts to "
        "have it improved too"
    ]
    (line,) = prompt_notes([], ["a", "b", "c", "d"])
    assert "a, b, c and 1 more: named like judges' prompts, so left unchanged" in line
    prompts = 'SYSTEM_PROMPT = "Be brief and kind."\n'
    assert prompt_notes([python("app/prompts.py", prompts)], []) == [
        "gepa: app/prompts.py is taken as a program, all of its code; app/prompts.py::* takes the texts in it alone"
    ]
    assert prompt_notes([python("app/prompts.py::", prompts)], []) == []
    assert prompt_notes([python("app/prompts.py", "not Python (")], []) == []


def test_a_proven_run_ends_with_the_command():
    lines = closing(
        result(
            fixed=("a", "b"),
            holdout=SplitScores(Tally(1, 4, 0.25), Tally(3, 4, 0.75)),
            changes=(ComponentChange(PROMPT, 100, 1340, 2),),
            spent=Spent(rollouts=80, cached=7, reflections=1, input_tokens=4849, output_tokens=167, seconds=20.5),
            frontier=(FrontierEntry("f00", 7, 12, 0.58, "frontier/f00.patch"),),
        )
    )
    assert lines[-1] == COMMAND
    text = "\n".join(lines)
    assert lines[0].split(maxsplit=1) == ["verdict", "proven: the gain is too large to be chance"]
    assert "3/12 -> 12/12 (confirm run)" in text
    assert "+75 points, 95 % interval +36 to +93, p = 0.0039, 1 trial a side" in text
    assert "fixed 2 cases, broke none" in text
    assert "held out             1/4 -> 3/4" in text
    assert f"{PROMPT}     2 edits, +1,240 characters" in text
    assert "80 rollouts (7 more answered from the cache), 1 reflection, 5,016 tokens, price unknown, 20.5 s" in text
    assert f"{DIRECTORY}/report.html; 1 more on the frontier" in text


@pytest.mark.parametrize("verdict", ["not proven", "worse", "not confirmed"])
def test_a_run_without_a_proof_advises_no_command_and_says_where_the_candidate_is(verdict: str):
    lines = closing(result(verdict=verdict, patch=f"{DIRECTORY}/frontier/abc.patch"))
    assert not any("git apply" in line for line in lines)
    (kept,) = (line for line in lines if line.startswith("kept for reading"))
    assert f"{DIRECTORY}/frontier/abc.patch" in kept


@pytest.mark.parametrize(
    ("changed", "is_told"),
    [({}, True), ({"verdict": "worse"}, False), ({"broken": ("a.py::test_x",)}, False), ({"effect": 0.0}, False)],
)
def test_what_did_better_and_broke_nothing_can_be_taken_all_the_same(changed: dict[str, Any], is_told: bool):
    """A check's few regressed cases are mended so, which are too few to prove anything."""
    found = result(**{"verdict": "not proven", "patch": f"{DIRECTORY}/frontier/abc.patch", **changed})
    told = f"if you find it good all the same: pytest-gepa apply {found.run} --candidate abc, then pytest --gepa-check"
    assert (closing(found)[-1].strip() == told) == is_told


def test_nothing_to_do_ends_with_the_report():
    lines = closing(result(verdict="nothing to do", trials=0, patch="", reason="every case passes already"))
    assert lines[-1].split() == ["report", f"{DIRECTORY}/report.html"]
    assert not any(line.startswith("effect") for line in lines)


def test_a_run_that_was_interrupted_in_its_confirm_run_claims_no_effect():
    lines = closing(
        result(
            verdict="not confirmed",
            trials=3,
            effect=0.0,
            interval=(0.0, 0.0),
            p_value=1.0,
            patch="x/abc.patch",
        )
    )
    assert not any(line.startswith("effect") for line in lines)


def test_broken_cases_come_first():
    lines = closing(result(broken=("a.py::test_x[one]",)))
    assert lines[0] == "BREAKS 1 case: a.py::test_x[one]"
    assert any("broke 1" in line for line in lines)


def test_requests_of_no_case_are_said():
    text = "\n".join(closing(result(stray=("small: hello", "small: how are you?"))))
    assert "calls of no case     2 requests at import, " in text
    assert "the first: small: hello" in text
    assert "calls of no case" not in "\n".join(closing(result()))


def test_trouble_in_recording_is_said():
    text = "\n".join(closing(result(problems=tuple(f"no {number}" for number in range(5)))))
    assert text.count("trouble in recording no ") == 3
    assert "no 2" in text
    assert "and 2 more, in the report" in text
    assert "recording" not in "\n".join(closing(result()))


def test_trouble_and_rejections_are_said():
    trouble = tuple(Trouble(f"a.py::test_{n}", "timeout", "too slow") for n in range(30))
    text = "\n".join(closing(result(trouble=trouble, rejections={"leak": 2, "empty reply": 1})))
    assert "trial not counted    a.py::test_0: timeout: too slow" in text
    assert "20 more" in text
    assert "3 replies of the reflection model: leak (2), empty reply (1)" in text


def test_what_was_refused_without_a_model_were_no_replies():
    found = result(models={"task": ("small",), "reflection": ("none",)}, rejections={"leak": 2, "refused": 1})
    assert "rejected             3 proposals: leak (2), refused (1)" in closing(found)
    for heading, told in (
        ("Replies of the reflection model", result(rejections={"leak": 2})),
        ("Proposals", found),
    ):
        assert f"## {heading} that were rejected\n" in render_markdown(told)


def test_what_others_wrote_cannot_steer_the_terminal():
    hostile = "\x1b[2J\u202e\rx"
    lines = closing(
        result(
            reason=hostile,
            broken=(hostile,),
            trouble=(Trouble(hostile, "error", hostile),),
            stray=(hostile,),
            problems=(hostile,),
            rejections={hostile: 1},
            changes=(ComponentChange(hostile, 1, 2, 1),),
        )
    )
    assert not any({"\x1b", "\u202e", "\r", "\n"} & set(line) for line in lines)


def test_the_section_keeps_long_lines_whole_so_that_they_can_be_copied():
    stream = io.StringIO()
    command = "git apply " + "very-" * 60 + "long.patch"
    print_section(stream, "gepa", ["verdict x [bold]not markup[/bold] :smile:", command], "proven")
    rule, verdict, last = stream.getvalue().splitlines()
    assert " gepa " in rule
    assert set(rule) == {*"=gepa "}
    assert verdict == "verdict x [bold]not markup[/bold] :smile:"
    assert last == command


def screen() -> tuple[Terminal, io.StringIO, list[Rollout]]:
    stream, fed = io.StringIO(), []
    return Terminal(stream, 320, fed.append, str), stream, fed


def test_baseline_rollouts_are_fed_to_pytest():
    terminal, stream, fed = screen()
    rollout = Rollout("c", "a.py::test_x", "search/0", Outcome.failed, 0.0)
    terminal.baseline_rollout(rollout)
    assert fed == [rollout]
    assert stream.getvalue() == ""


def test_that_there_is_no_edit_is_not_said_again_for_the_same_reason():
    terminal, stream, _ = screen()
    desk = Desk(["ant", "bee"]).search()
    for reason in ("nothing left", "nothing left", "leak", "nothing left"):
        terminal.decision(Decision("invalid", "", desk.seed.id, reason), desk.state)
        terminal.decision(Decision("done", "", "", reason), desk.state)
    told = [line.partition("invalid: ")[2] for line in stream.getvalue().splitlines()]
    assert told == ["nothing left", "leak", "nothing left"]


def test_decisions_are_shown_in_a_line_each_with_what_is_spent():
    terminal, stream, _ = screen()
    desk = Desk(["ant", "bee"]).search()
    state = desk.state
    accepted = next(name for name in state.search.candidates if name != desk.seed.id)
    terminal.decision(Decision("accepted", accepted, desk.seed.id, "better on the cases shown", (0.0, 0.5)), state)
    terminal.decision(Decision("invalid", "", desk.seed.id, "empty\nreply \x1b[2J"), state)
    terminal.decision(Decision("done", "", "", "every case passes"), state)
    first, second = stream.getvalue().splitlines()
    assert first == (f"gepa: [{state.spent}/320] accepted: {accepted} {PROMPT} 0 % -> 50 % better on the cases shown")
    assert second == rf"gepa: [{state.spent}/320] invalid: empty reply \x1b[2J"


def test_what_others_wrote_is_shown_without_secrets():
    """Names of ours stay, whatever a pattern of the user's matches."""
    stream = io.StringIO()
    redact = Redactor({}, [r"(?s)<private>\n.*?\n</private>", "[0-9a-f]{12}"]).redact
    terminal = Terminal(stream, 320, lambda rollout: None, redact)
    desk = Desk(["ant", "bee"]).search()
    state = desk.state
    accepted = next(name for name in state.search.candidates if name != desk.seed.id)
    key = "sk-live1234567890abcdefgh"
    state.warnings.append(f"the model says {key}")
    terminal.decision(Decision("accepted", accepted, "", f"{key} of\n<private>\nACME\n</private>"), state)
    terminal.decision(Decision("baseline", accepted, "", ""), state)
    first, _, warning = stream.getvalue().splitlines()
    assert first == f"gepa: [{state.spent}/320] accepted: {accepted} {PROMPT} [redacted] of [redacted]"
    assert warning == "gepa: the model says [redacted]"


def test_without_a_terminal_there_is_no_status_line():
    terminal, stream, _ = screen()
    state = Desk(["ant", "bee"]).search().state
    terminal.decision(Decision("baseline", state.search.seed.id, "", "2 cases gave evidence", (0.0,)), state)
    before = stream.getvalue()
    terminal.progress("rest", state)
    terminal.close()
    assert stream.getvalue() == before


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("minutes", "left"), [(None, False), (60.0, True)])
def test_the_status_line_tells_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch, minutes: float | None, left: bool
):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    stream = Tty()
    terminal = Terminal(stream, 320, lambda rollout: None, str, minutes)
    state = Desk(["ant", "bee"]).search().state
    state.started = time.monotonic() - 600
    terminal.decision(Decision("baseline", state.search.seed.id, "", "2 cases gave evidence", (0.0,)), state)
    terminal.progress("rest", state)
    terminal.close()
    shown = stream.getvalue()
    assert "10 min 0 s" in shown
    assert ("10 min 0 s, 50 min 0 s left" in shown) == left


def test_the_confirm_run_is_announced():
    terminal, stream, _ = screen()
    terminal.confirming(3)
    assert stream.getvalue() == "gepa: confirm run, fresh and paired, 3 trials a side\n"


def test_a_stream_that_cannot_hold_every_sign_breaks_nothing():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    terminal = Terminal(stream, 320, lambda _rollout: None, str)
    desk = Desk(["ant"])
    terminal.decision(Decision("invalid", "", desk.seed.id, "Größe"), desk.state)
    print_section(stream, "gepa", ["Größe \N{SNOWMAN}"], "proven")
    stream.flush()
    assert stream.buffer.getvalue().count(b"Gr") == 2  # type: ignore[attr-defined]


def test_that_the_cap_leaves_nothing_to_search_with_is_said_after_the_baseline(tmp_path: Path):
    desk = Desk(["ant"])
    stream = io.StringIO()
    terminal = Terminal(stream, 100, lambda rollout: None, str)
    spending = Spending(tmp_path / "costs", PriceList([]), 1.0, BudgetPlan(9, 6, 3, 0, 1), desk.cases)
    desk.state.spending = spending
    terminal.decision(Decision("baseline", desk.seed.id, "", ""), desk.state)
    assert "search with" not in stream.getvalue()
    spending.shortage = "the cost cap leaves nothing to search with"
    terminal.decision(Decision("baseline", desk.seed.id, "", ""), desk.state)
    assert stream.getvalue().endswith("gepa: the cost cap leaves nothing to search with\n")


def test_every_purpose_of_an_evaluation_has_words():
    named = re.findall(r'"([a-z]+)"', Evaluate.__doc__ or "")
    assert {"baseline", "repeat", "shrink"} <= set(named) == PHASES.keys()
