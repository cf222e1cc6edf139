"""The report as a page: what it shows, that all text of others is text, and that its links lead somewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.report import traces
from pytest_gepa.report.build import build_result
from pytest_gepa.report.page import Line, build_page, changed_lines, render_page
from pytest_gepa.report.result import Finding, FrontierEntry, TakenCase, Trouble
from pytest_gepa.trace.rewrite import rewrite_tree
from pytest_gepa.trace.trajectory import Trajectory
from pytest_gepa.wording import printable
from tests.report.runs import PROMPT, Desk

WORDS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu")
HOSTILE = '</dd></style><script>alert(1)</script><img src=x onerror=y> & "quoted" \' {{ 7 * 6 }}'
VOID = {"meta"}


class Read(HTMLParser):
    """Elements with their attributes, the texts in them, and which were opened and not closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag: str) -> list[str]:
        """The texts of all elements of a kind."""
        return [text for around, text in self.texts if around == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(text for tag, text in self.texts if tag != "style").split())


def html_of(desk: Desk, **changes: object) -> str:
    found = replace(build_result("2026-01-31-1", desk.state, desk.cases, 0, "large"), **changes)  # type: ignore[arg-type]
    return render_page(build_page(found, desk.state, desk.cases))


def searched(**fields: object) -> Desk:
    return Desk(WORDS, **fields).search().choose().confirm()  # type: ignore[arg-type]


def test_a_proven_run():
    page = Read(html_of(searched(held_out=["hen"])))
    assert page.open == []
    for said in (
        "gepa run 2026-01-31-1 proven",
        "today 0/7",
        "winner 7/7",
        "held out, today 0/1",
        "p = 0.016",
        "7 cases fixed, 0 cases broken",
        "hen[label] (held out)",
        "the answer lacks the mark. nothing names it",
        "1. Edit of prompts/route.md",
    ):
        assert said in page.text, said
    added = [attrs for tag, attrs in page.elements if tag == "div" and attrs.get("class") == "added"]
    assert len(added) >= len(WORDS)


def test_every_link_leads_to_a_trace_on_the_page_and_nothing_is_fetched_or_run():
    page = Read(html_of(searched()))
    links = [attrs["href"] for tag, attrs in page.elements if tag == "a"]
    targets = {f"#{attrs['id']}" for _, attrs in page.elements if "id" in attrs}
    assert links
    assert set(links) <= targets
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "img", "link", "iframe", "object", "form"})
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on") or name == "src"]
    policies = [attrs["content"] for _, attrs in page.elements if "http-equiv" in attrs]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_a_case_that_passed_on_one_side_only_is_told_with_both_runs():
    page = Read(html_of(searched()))
    told = page.of("small")
    for side in ("today's prompts", "the winner"):
        assert told.count(f"{side}, confirm run, trial 1") == len(WORDS)


def test_an_edit_is_named_by_its_first_line_cut_visibly():
    desk = Desk(WORDS, edit=lambda desk, _: f"{desk.text}- {' '.join(WORDS)} {'long ' * 40}\n")
    page = Read(html_of(desk.search().choose().confirm()))
    named = f"+ - {' '.join(WORDS)} {'long ' * 40}"[:87]
    assert f"prompts/route.md : {named}... by the reflection model" in page.text


def test_a_run_without_a_winner_says_so():
    page = Read(html_of(Desk(WORDS).stop("the money is spent")))
    assert "No prompt is changed." in page.text
    assert "nothing is claimed about the gain" in page.text
    assert "None was kept." in page.text


def test_trials_of_a_case_are_counted():
    page = Read(html_of(Desk(WORDS).search().choose().confirm(trials=3)))
    assert page.text.count("3/3") == page.text.count("0/3") == len(WORDS)


def test_what_went_wrong_is_on_the_page():
    page = Read(
        html_of(
            searched(),
            warnings=("best.patch could not be made",),
            trouble=(Trouble("a.py::test_y", "timeout", "no answer within 120 seconds"),),
            stray=("small: hello",),
            problems=("a capture failed",),
            rejections={"refused: no": 2},
            broken=("a.py::test_z",),
            undecidable=("a.py::test_u",),
            examples=(TakenCase(PROMPT, "a.py::test_e"),),
            frontier=(FrontierEntry("f00", 7, 12, 0.58, ""),),
        )
    )
    for said in (
        "best.patch could not be made",
        "A trial of a.py::test_y was not counted: timeout: no answer within 120 seconds",
        "A request of no case: small: hello",
        "Trouble in recording: a capture failed",
        "2 × refused: no",
        "Breaks 1 case that today's prompts pass in every trial: a.py::test_z",
        "whatever the prompt: a.py::test_u",
        "as examples: a.py::test_e",
        "none, see the warning",
    ):
        assert said in page.text, said


@pytest.mark.parametrize("field", ["diagnosis", "finding", "case", "reason", "prompt", "failure"])
def test_markup_of_others_is_shown_and_not_obeyed(field: str):
    def edit(desk: Desk, task: object) -> str:
        return f"{desk.text}- {' '.join(WORDS)} {HOSTILE if field == 'prompt' else ''}\n"

    desk = Desk(WORDS, edit=edit).search().choose().confirm()
    result = build_result("2026-01-31-1", desk.state, desk.cases, 0, "large")
    (record,) = result.edits
    (change,) = record.changes
    if field == "diagnosis":
        change = replace(change, diagnosis=HOSTILE)
    elif field == "finding":
        change = replace(change, findings=(Finding("a.py::test_x", HOSTILE, HOSTILE),))
    elif field == "case":
        result = replace(result, broken=(f"a.py::test_x[{HOSTILE}]",))
    elif field == "reason":
        result = replace(result, reason=HOSTILE)
    elif field == "failure":
        for runs in desk.state.confirm.values():
            runs.update({key: replace(run, trajectory=Trajectory(failure=HOSTILE)) for key, run in runs.items()})
    result = replace(result, edits=(replace(record, changes=(change,)),))
    html = render_page(build_page(result, desk.state, desk.cases))
    page = Read(html)
    assert page.open == []
    assert "<script" not in html
    assert "<img" not in html
    assert '<script>alert(1)</script><img src=x onerror=y> & "quoted" \' {{ 7 * 6 }}' in page.text


def test_secrets_of_prompts_and_traces_are_taken_out_also_where_they_go_over_lines():
    secret = "<private>\nACME\n</private>"
    desk = Desk(WORDS, edit=lambda desk, _: f"{desk.text}- {' '.join(WORDS)}\n{secret}\n")
    desk.search().choose().confirm()
    for runs in desk.state.confirm.values():
        runs.update({key: replace(run, trajectory=Trajectory(failure=secret)) for key, run in runs.items()})
    # The result comes here without secrets.
    result = replace(build_result("2026-01-31-1", desk.state, desk.cases, 0, "large"), edits=(), needs=(), changes=())
    bare = build_page(result, desk.state, desk.cases)
    clean = build_page(result, desk.state, desk.cases, lambda text: text.replace(secret, "[redacted]"))
    assert "ACME" in render_page(bare)
    assert "ACME" in str(bare.prompts)
    assert "ACME" not in render_page(clean)
    assert "ACME" not in str(clean.prompts)


def test_names_that_are_alike_without_their_secrets_lead_to_their_own_runs():
    desk = searched()
    result = build_result("2026-01-31-1", desk.state, desk.cases, 0, "large")

    def hide(text: str) -> str:
        return re.sub(r"test_a.py::\w+", "test_a.py::[redacted]", text)

    hidden = from_json(type(result), rewrite_tree(to_json(result), hide))
    page = build_page(hidden, desk.state, desk.cases, hide)
    assert len(set(page.traces.usual.values())) == 2 * len(WORDS)
    assert page.traces.read == {}
    assert "[redacted]" in Read(render_page(page)).text


def test_an_outcome_leads_to_the_run_that_it_tells_of():
    desk = searched()
    html = html_of(desk)
    page = Read(html)
    outcomes = re.findall(r'<td class="(\w+)" title="confirm run, 1 trial"><a href="#trace-(\d+)">', html)
    headings = [text for text in page.of("b") if text in ("passed", "failed")]
    assert len(outcomes) == 2 * len(WORDS)
    for outcome, number in outcomes:
        assert headings[int(number) - 1] == outcome


def test_an_interrupted_confirm_run_claims_nothing():
    page = Read(html_of(Desk(WORDS).search().choose().confirm(1, of=3)))
    assert "no whole confirm run" in page.text
    assert "0 cases fixed" not in page.text
    assert "today, search 0/7" in page.text


def test_traces_that_are_left_out_are_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(traces, "MOST_TRACES", 3)
    assert "further traces did not fit on the page" in Read(html_of(searched())).text


@given(st.text())
def test_any_text_of_a_check_is_on_the_page_as_it_is(text: str):
    desk = Desk(WORDS[:1]).search(0)
    name = desk.cases[0].id
    rollout = desk.state.rollouts[desk.seed.id, name]
    desk.state.rollouts[desk.seed.id, name] = replace(rollout, trajectory=Trajectory(failure=f"<{text}>"))
    page = Read(html_of(desk))
    assert page.open == []
    assert "".join(page.of("dd")) == printable(f"<{text}>".strip("\n"))


LINES = st.lists(st.sampled_from(["a", "b", "c", "", "  d"]), max_size=12)


@given(LINES, LINES)
def test_changed_lines_tell_both_texts(before: list[str], after: list[str]):
    lines = list(changed_lines("\n".join(before), "\n".join(after)))
    old, new = "\n".join(before).splitlines(), "\n".join(after).splitlines()
    hidden = sum(int(line.text.split()[0]) for line in lines if line.kind == "gap" and old != new)
    removed = [line.text for line in lines if line.kind in ("same", "removed")]
    added = [line.text for line in lines if line.kind in ("same", "added")]
    if old != new:
        assert len(removed) + hidden == len(old)
        assert len(added) + hidden == len(new)
    if not hidden and old != new:
        assert removed == old
        assert added == new


def test_far_from_a_change_lines_are_left_out():
    text = "\n".join(str(number) for number in range(20))
    lines = list(changed_lines(text, text.replace("10", "ten")))
    assert lines[0] == Line("gap", "7 lines as before")
    assert lines[-1] == Line("gap", "6 lines as before")
    assert [line for line in lines if line.kind not in ("same", "gap")] == [
        Line("removed", "10"),
        Line("added", "ten"),
    ]
    assert list(changed_lines("a\n", "a")) == [Line("gap", "only the ends of lines, or of the file, differ")]
