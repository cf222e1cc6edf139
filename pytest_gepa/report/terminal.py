"""What an optimization says on the terminal: live progress, decisions, the closing section.

What stands in the report as well is worded where it is computed: `build`, `needs`, `phrases`, `rates`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from rich.text import Text

from pytest_gepa.evolve.tasks import Decision
from pytest_gepa.optimize.state import RunState
from pytest_gepa.prompts.addresses import SEPARATOR
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.finding import has_called_prompts
from pytest_gepa.prompts.programs import is_program
from pytest_gepa.report.last_lines import spent_line
from pytest_gepa.report.needs import needs_words
from pytest_gepa.report.patches import REFUSED
from pytest_gepa.report.phrases import drop_words, groups_words, provable_words, resumed_words
from pytest_gepa.report.rates import rates_lines
from pytest_gepa.report.result import Result
from pytest_gepa.report.rows import capped, row
from pytest_gepa.report.section import encodable
from pytest_gepa.report.simulated import simulated_row
from pytest_gepa.report.status_line import StatusLine
from pytest_gepa.settings import NO_MODEL
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.wording import (
    at_a_time,
    count,
    dollars,
    duration,
    interval_words,
    p_words,
    passed,
    points,
    printable,
    some,
)

PHASES = {
    "baseline": "baseline",
    "gate": "trying an edit",
    "merge": "trying a merge",
    "repeat": "running cases again, to see whether answers repeat",
    "rest": "running the other cases",
    "shrink": "shrinking the winner",
}
SHOWN = (
    "accepted",
    "rejected",
    "step",
    "merge",
    "frontier",
    "duplicate",
    "not in effect",
    "invalid",
    "stopped",
    "shrunk",
)
LISTED_PROBLEMS = 3
LISTED_TROUBLE = 10
LISTED_KINDS = 4


class Terminal:
    """Shows a run while it goes on: a status line on a terminal, a line for each decision everywhere.

    `redact` is made to what is said in words: it may quote a model, a prompt or a test. `minutes` are those that the
    run may take, None for any.
    """

    def __init__(
        self,
        stream: IO[str],
        budget: int,
        feed: Callable[[Rollout], None],
        redact: Callable[[str], str],
        minutes: float | None = None,
    ) -> None:
        self._line = StatusLine(stream)
        self._console = self._line.console
        self._budget = budget
        self._feed = feed
        self._redact = redact
        self._minutes = minutes
        self._baseline_over = False
        self._last: Decision | None = None

    def baseline_rollout(self, rollout: Rollout) -> None:
        """A case has been run under today's prompts: pytest shows it in its own way."""
        self._feed(rollout)

    def progress(self, phase: str, state: RunState) -> None:
        """Refresh the status line."""
        if self._line.is_live and self._baseline_over:
            self._line.show(self._progress_line(phase, state))

    def decision(self, decision: Decision, state: RunState) -> None:
        """Print what the search has decided."""
        if decision.kind == "baseline":
            self._baseline_over = True
            self._console.print()
        if decision.kind in SHOWN and not self._repeats(decision):
            line = encodable(self._console.file, self._decision_line(decision, state))
            self._console.print(Text(line, style=_style(decision)))
        if decision.kind == "baseline":
            shortage = state.spending.shortage if state.spending is not None else ""
            for warning in (*map(self._redact, state.warnings), *([shortage] if shortage else [])):
                self._console.print(Text(f"gepa: {encodable(self._console.file, warning)}", style="yellow"))

    def _repeats(self, decision: Decision) -> bool:
        """Whether the line before says already, for the same reason, that there is no edit."""
        last, self._last = self._last, decision
        is_same = last is not None and (last.kind, last.reason) == (decision.kind, decision.reason)
        return decision.kind == "invalid" and is_same

    def confirming(self, trials: int) -> None:
        """Say that the confirm run begins."""
        self._console.print(f"gepa: confirm run, fresh and paired, {count(trials, 'trial')} a side")

    def close(self) -> None:
        """Take the status line away."""
        self._line.close()

    def _progress_line(self, phase: str, state: RunState) -> str:
        pool = state.search.pool
        elapsed = time.monotonic() - state.started
        left = "" if self._minutes is None else f", {duration(max(0.0, 60 * self._minutes - elapsed))} left"
        return (
            f"gepa: {PHASES.get(phase, phase)}; best {100 * max(0.0, pool.best_mean):.0f} %, "
            f"frontier {len(pool.frontier.members)}, "
            f"{state.spent}/{self._budget} rollouts, {count(state.reflections, 'reflection')}, "
            f"{_known_price(state)}{duration(elapsed)}{left}"
        )

    def _decision_line(self, decision: Decision, state: RunState) -> str:
        candidate = state.search.candidates.get(decision.candidate)
        what = ", ".join(candidate.changed) if candidate is not None else ""
        scores = ""
        if len(decision.scores) == 2:
            scores = f" {100 * decision.scores[0]:.0f} % -> {100 * decision.scores[1]:.0f} %"
        spent = f"[{state.spent}/{self._budget}]"
        # Before its lines are joined, as a secret may go over several.
        reason = self._redact(decision.reason)
        return " ".join(f"gepa: {spent} {decision.kind}: {decision.candidate} {what}{scores} {reason}".split())


def _known_price(state: RunState) -> str:
    """What is known to be spent, "" while that is nothing."""
    usd = state.spending.account.known_usd if state.spending is not None else 0.0
    return f"{dollars(usd)}, " if usd else ""


def _style(decision: Decision) -> str:
    return {"accepted": "green", "frontier": "green", "rejected": "dim"}.get(decision.kind, "")


def prompt_notes(components: Sequence[Component], judges: Sequence[str]) -> list[str]:
    """What users may not have meant by their patterns: a judge left out, a program taken whole for its texts."""
    lines = []
    if judges:
        like = "a judge's prompt" if len(judges) == 1 else "judges' prompts"
        lines.append(
            f"gepa: {some(judges)}: named like {like}, so left unchanged; name the file in --gepa-prompts to have it "
            "improved too"
        )
    for one in components:
        if is_program(one.id) and not one.id.endswith(SEPARATOR) and has_called_prompts(one):
            lines.append(
                f"gepa: {one.id} is taken as a program, all of its code; {one.id}::* takes the texts in it alone"
            )
    return lines


def opening_lines(
    prompts: int,
    searched: int,
    held_out: int,
    model: str,
    budget: int,
    confirm: int,
    seed: int,
    cap: float | None = None,
    shrink: int = 0,
    concurrency: int = 1,
    *,
    redact: Callable[[str], str],
) -> list[str]:
    """What will be done, before it is; `confirm` and `shrink` are kept of the `budget` of rollouts. `redact` is made to
    the name of the reflection `model`.
    """
    kept = f"{confirm} of them kept for the confirm run{f', {shrink} for shrinking' if shrink else ''}"
    cases = count(searched + held_out, "case")
    split = f" ({searched} search, {held_out} held out)" if held_out else ""
    model = (
        "no reflection model (rules and examples are taken from the cases)"
        if model == NO_MODEL
        else f"reflection model {redact(model)}"
    )
    return [
        f"gepa: {count(prompts, 'prompt')}, {cases}{split}, {model}, "
        f"budget {count(budget, 'rollout')}{'' if cap is None else f' / {dollars(cap)}'} "
        f"({kept}), seed {seed}, {at_a_time(concurrency)}"
    ]


def closing_lines(result: Result, directory: str, command: str, *, resumable: bool = False) -> list[str]:
    """The closing section, the line to type last. `directory` is the run's, as seen from where the user is.

    `command` is "" where there is no patch; `resumable` says that the run can be resumed.
    """
    changes = [
        row(change.component, f"{count(change.edits, 'edit')}, {change.after - change.before:+,} characters")
        for change in result.changes
    ]
    lines = [*_verdict_lines(result), *changes, *rates_lines(result), *_trouble_lines(result)]
    if result.rejections:
        lines.append(row("rejected", _rejections(result)))
    if result.resumed:
        lines.append(row("resumed", resumed_words(result.resumed)))
    lines.append(spent_line(result.spent, count(result.spent.reflections, "reflection")))
    return [printable(line) for line in lines] + _last_lines(result, directory, command, resumable)


def _verdict_lines(result: Result) -> Iterator[str]:
    """What was found, on which cases."""
    broken = [*result.broken, *(result.holdout.broken if result.holdout else ())]
    if broken:
        yield f"BREAKS {count(len(broken), 'case')}: {', '.join(broken)}"
    if result.simulated:
        yield simulated_row(name for names in result.models.values() for name in names)
    yield row("verdict", f"{result.verdict}: {result.reason}")
    where = "confirm run" if result.has_confirm else "search"
    yield row("search cases", f"{passed(result.baseline)} -> {passed(result.winner)} ({where})")
    if result.has_confirm:
        yield from _effect_lines(result)
    if result.judged > 1:
        yield row("judged together", f"{result.judged} candidates, each p adjusted for the others (Holm)")
    if result.excluded:
        taken = f"{count(len(result.excluded), 'case')} taken into the prompts as examples"
        yield row("left out", f"{taken}: {', '.join(result.excluded)}")
    if held := result.holdout:
        drop = "" if result.drop is None else f", {drop_words(result.drop)}"
        groups = f"; {groups_words(held.groups, held.baseline.total)}" if held.groups else ""
        yield row("held out", f"{passed(held.baseline)} -> {passed(held.winner)}{drop}{groups}")
    if result.verdict == "not proven":
        yield row("provable", provable_words(result.provable))
    if result.needs:
        yield row("shrunk", needs_words(result.needs))


def _effect_lines(result: Result) -> Iterator[str]:
    yield row(
        "effect",
        f"{points(result.effect)}, {interval_words(result.interval)}, {p_words(result.p_value)}, "
        f"{count(result.trials, 'trial')} a side",
    )
    if result.groups:
        groups = groups_words(result.groups, result.baseline.total)
        yield row("", f"judged as {groups}, as some share answers")
    told = f"broke {len(result.broken)}" if result.broken else "broke none"
    yield row("", f"fixed {count(len(result.fixed), 'case')}, {told}")


def _trouble_lines(result: Result) -> Iterator[str]:
    """What gave no evidence, and what went wrong beside the cases."""
    trouble = [row("trial not counted", f"{item.case}: {item.outcome}: {item.reason}") for item in result.trouble]
    yield from capped(trouble, LISTED_TROUBLE)
    if result.stray:
        yield row(
            "calls of no case",
            f"{count(len(result.stray), 'request')} at import, in collection, in the teardown of a shared fixture or "
            f"in the background; the first: {result.stray[0]}",
        )
    yield from capped([row("trouble in recording", told) for told in result.problems], LISTED_PROBLEMS)
    yield from capped([row("warning", told) for told in result.warnings], LISTED_PROBLEMS)


def _rejections(result: Result) -> str:
    kinds = [f"{kind} ({times})" for kind, times in result.rejections.items()]
    total = sum(result.rejections.values())
    replies = f"{count(total, 'reply')} of the reflection model"
    what = replies if result.has_reflection_model else count(total, "proposal")
    return f"{what}: {some(kinds, LISTED_KINDS)}"


def _last_lines(result: Result, directory: str, command: str, resumable: bool) -> list[str]:
    others = f"; {len(result.frontier)} more on the frontier" if result.frontier else ""
    proven = sum(entry.confirmed is not None and entry.confirmed.verdict == "proven" for entry in result.frontier)
    others += f", {proven} of them proven better too" if proven else ""
    lines = [row("report", f"{directory}/report.html{others}")]
    if result.verdict == "proven" and command:
        if any(told.startswith(f"{result.patch}: {REFUSED}") for told in result.warnings):
            return [*lines, row("not to be applied", f"{directory}/best.patch, which git would not take")]
        return [*lines, "review the patch, then take it with:", command]
    if result.patch:
        place = f"{directory}/frontier/{result.patch.rsplit('/', 1)[-1]}"
        lines.append(row("kept for reading", f"{place} ({result.verdict}, so not advised)"))
        if result.verdict == "not proven" and result.effect > 0 and not result.broken:
            candidate = place.rpartition("/")[2].removesuffix(".patch")
            take = f"pytest-gepa apply {result.run} --candidate {candidate}"
            lines.append(row("", f"if you find it good all the same: {take}, then pytest --gepa-check"))
    if resumable:
        instead = "with --gepa-resume in place of --gepa-optimize; what was paid for is not paid again"
        lines.append(row("go on", instead))
    return lines
