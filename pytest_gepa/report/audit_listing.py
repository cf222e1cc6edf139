"""An audit as Markdown: each prompt whole, with the cases that notice its pieces beside them."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_gepa.prompts.pieces import SPANNING
from pytest_gepa.report.audit_result import AuditResult, PieceCoverage, PromptCoverage
from pytest_gepa.report.audit_text import coverage_words, flaky_words, lines_of
from pytest_gepa.report.foreign import code, line
from pytest_gepa.report.phrases import price
from pytest_gepa.report.simulated import WARNING
from pytest_gepa.wording import count, duration, printable

FEW = 3
"""More cases than these are not named twice."""

LEGEND = (
    "Beside each line stands how many cases do worse without its piece: `0` for none, `kept` for what cannot be left "
    "out, `?` for what was not measured."
)


def audit_markdown(result: AuditResult) -> str:
    """The whole report of an audit, ending in a newline."""
    lines = ["# How good are the cases?", ""]
    if not result.is_finished:
        lines += ["**Interrupted**: what follows was found before.", ""]
    if result.simulated:
        lines += [f"The model is {WARNING}.", ""]
    lines += [
        f"{result.noticed} of {count(result.measured, 'piece')} of the prompts noticed. "
        f"{count(result.cases, 'case')}, {result.passed} of them pass today; {count(result.trials, 'trial')} each.",
        "",
        LEGEND,
        "",
    ]
    for prompt in result.prompts:
        lines += _prompt(prompt)
    lines += _cases(result)
    spent = result.spent
    lines += [
        "## Spent",
        "",
        f"{count(spent.rollouts, 'rollout')}, {spent.cached} more answered from the cache, "
        f"{spent.input_tokens + spent.output_tokens:,} tokens, {line(price(spent))}, {duration(spent.seconds)}.",
    ]
    return "\n".join(lines) + "\n"


def _prompt(prompt: PromptCoverage) -> Iterator[str]:
    yield from (f"## {code(prompt.component)}", "", f"{line(coverage_words(prompt))}.", "")
    marks = _marks(prompt)
    wide = max(map(len, marks.values()), default=1)
    for row, shown in enumerate(prompt.text.rstrip("\n").split("\n"), 1):
        number = prompt.file_lines[row - 1]
        # Indented code: nothing in the text can close it.
        yield f"    {marks.get(row, ''):>{wide}} |{number:>4} | {printable(shown)}".rstrip()
    yield ""
    whole = prompt.whole.cases if prompt.whole is not None else ()
    if prompt.whole is not None:
        yield f"- all of it: {_told(prompt.whole)}"
    for piece in prompt.pieces:
        told = _told(piece, whole if len(whole) > FEW else ())
        yield f"- {lines_of(prompt, piece)} ({piece.kind}): {told}"
    yield ""


def _marks(prompt: PromptCoverage) -> dict[int, str]:
    """What stands beside the lines: of a section, beside its heading only."""
    marks: dict[int, str] = {}
    taken = {piece.first for piece in prompt.pieces if piece.kind not in SPANNING}
    for piece in prompt.pieces:
        says = {"noticed": str(len(piece.cases)), "unnoticed": "0", "kept": "kept"}.get(piece.state, "?")
        rows = range(piece.first, piece.last + 1)
        if piece.kind in SPANNING:
            later = [row for row in taken if row > piece.first]
            rows = range(piece.first, min(rows.stop, *later, piece.first + 1))
        marks.update(dict.fromkeys(rows, says))
    text = prompt.text.split("\n")
    # A secret of several lines that was taken out has made the text shorter.
    return {row: says for row, says in marks.items() if row <= len(text) and text[row - 1].strip()}


def _told(piece: PieceCoverage, known: tuple[str, ...] = ()) -> str:
    if piece.state == "noticed" and piece.cases == known:
        return f"{len(piece.cases)} of {count(piece.measured, 'case')}, the same as all of it"
    if piece.state == "noticed":
        names = ", ".join(map(code, piece.cases))
        return f"{len(piece.cases)} of {count(piece.measured, 'case')}: {names}"
    if piece.state == "unnoticed":
        return "no case notices"
    return f"{piece.state}: {line(piece.reason)}"


def _cases(result: AuditResult) -> Iterator[str]:
    findings = {
        "Pass whatever a prompt says": [
            f"{code(one.case)}: with {', '.join(map(code, one.prompts))} blanked"
            + (", every prompt that it uses" if one.is_every else "")
            for one in result.anyhow
        ],
        "Contradict each other": [
            "; ".join(
                f"{code(case)} expects {code(told)}" for case, told in zip(group.cases, group.expected, strict=True)
            )
            for group in result.contradictions
        ],
        "Flaky": [flaky_words(code(one.case), one.passed, one.trials, one.scores) for one in result.flaky],
        "Fail without a word": [
            f"{code(one.case)}: {code(one.printed, 1_000) if one.printed.strip() else 'no message'}"
            for one in result.says_nothing
        ],
        "Fail today, and so can notice nothing": [code(case) for case in result.failing],
        "Trials not counted": [f"{code(one.case)}: {one.outcome}: {code(one.reason, 1_000)}" for one in result.trouble],
    }
    for title, lines in findings.items():
        if lines:
            yield from (f"## {title}", "", *(f"- {told}" for told in lines), "")
