"""A check in Markdown: what it says, that it fits, and that nothing in it is read as markup."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from pytest_gepa.report.check_markdown import LIMIT, MARKER, render_check_markdown
from pytest_gepa.report.check_result import TIERS, CheckResult
from pytest_gepa.report.check_terminal import check_lines
from pytest_gepa.report.check_wording import TIER_WORDS
from pytest_gepa.report.fitting import ReportPart, fit, width
from pytest_gepa.report.foreign import code, fence, line
from pytest_gepa.report.result import Spent, Trouble
from tests.report.checks import DIFF, FAILURE, ROUTE, case, change, regressed, result, side

HOSTILE = (
    "# A heading\n```\n</code></td></table></details><script>alert(1)</script> [link](http://x) ![i](http://y) `code` "
    "| cell |\n\n- item @octocat #1 owner/repo#2 www.example.com https://example.com \\| \\` $a$ \x1b[2J\u202e\n````\n"
)
TROUBLE = "--gepa-fail-on-trouble"
OUR_TAG = re.compile(
    r"</?(?:details|summary|table|tr|th|td|code|br|em|sub)(?: (?:width|align|valign)=\"[a-z0-9%]+\")*>"
)
parse = MarkdownIt("gfm-like", {"linkify": False}).parse


def flat(tokens: list[Token]) -> list[Token]:
    return [inner for token in tokens for inner in (token, *flat(token.children or []))]


def hostile_result(text: str = HOSTILE) -> CheckResult:
    cases = tuple(
        case(text, tier, side(8, 8, text, text), side(0, 8, text, text), components=(text, ROUTE))
        for tier in (*TIERS, "trouble", "suspect")
    )
    return result(
        reason=text,
        base=text,
        revision=text,
        changes=(
            change(
                component=text,
                path=text,
                diff=text,
                before=text,
                state="renamed",
                moved=text,
                unfilled=(text,),
                only_today=(text,),
            ),
            change(),
        ),
        cases=cases,
        trouble=(Trouble(text, text, text),),
        models={text: (text, text)},
        problems=(text,),
        command=text,
        spent=Spent(unpriced=(text,)),
        on_new_prompts=(text,),
        on_deleted_prompts=(text,),
        not_collected=(text,),
        stopped=text,
    )


def check_markup(report: str) -> None:
    """Only headings, tags and structure of ours; no links, no images, no mentions."""
    tokens = flat(parse(report))
    assert not {token.type for token in tokens} & {"link_open", "image", "hr", "blockquote_open", "s_open"}
    told = [after.content for token, after in itertools.pairwise(tokens) if token.type == "heading_open"]
    ours = r"Prompt check: |What |Mend it$|Trouble|Regressed: |Suspect: "
    assert all(re.match(ours, title) for title in told), told
    opened = closed = 0
    is_code = False
    for token in tokens:
        if token.type == "html_inline" and re.fullmatch("</?code>", token.content):
            is_code = token.content == "<code>"
        if token.type in ("html_block", "html_inline"):
            bare = OUR_TAG.sub("", token.content.replace(MARKER, ""))
            assert not re.search(r"<|(?<!<code>)>", bare), token.content
            opened += token.content.count("<details>")
            closed += token.content.count("</details>")
        if token.type == "text" and not is_code:
            assert not re.search(r"[@#$]\w|://|www\.", token.content), token.content
        if token.type in ("bullet_list_open", "ordered_list_open"):
            assert token.level == 0
    assert opened == closed


def test_what_broke_comes_first():
    report = render_check_markdown(result())
    assert report.startswith(f"{MARKER}\n## Prompt check: 1 case regressed, 1 suspect\n")
    told = (
        "**Regressed:** 1 case is proven worse under today's prompts.",
        "- Gate: failed (`--gepa-fail-on=regressed`)",
        "- Today's prompts compared with those of `3f2c1ab` (`main`), both under today's code",
        "- 7 cases run under both, 11 not touched by the change",
        "- Score -12 points, 95 % interval -31 to +6, p = 0.02",
        "| regressed | suspect | flaky | failing | stable | improved | trouble |",
        "### What broke first",
        "`tests/test_route.py::test_route[damaged, money back]` is **regressed** (proven worse under today's prompts): "
        "passed 8/8 before, 0/8 today, p = 0.0013; uses `prompts/route.md`.",
        '<tr><td valign="top"><code>REFUND</code></td><td valign="top"><code>REPLACE</code></td></tr>',
        "E         + REPLACE",
        "**`prompts/route.md`** edited, line 4",
        "```diff",
        "-- A question about an invoice is BILLING, in any language.",
        "### Mend it",
        "### What else is worse",
        "### Regressed: 1 case (proven worse under today's prompts)",
        "| `tests/test_route.py::test_route[damaged, money back]` | 8/8 | 0/8 | 0.0013 |",
        "<details><summary>Flaky: 1 case (passes now and then on both sides)</summary>",
        "### Trouble: trials that are not counted, as they gave no evidence",
        "- `tests/test_route.py::test_route[slow]`: timeout: no answer within 120 s",
    )
    lines = report.splitlines()
    assert [entry for entry in told if entry not in lines] == []
    assert sorted(told, key=lines.index) == list(told)
    assert "Left out" not in report
    assert report.endswith("</sub>\n")


def test_the_worst_case_is_the_first():
    mild, grave = regressed("mild"), regressed("grave")
    report = render_check_markdown(result(cases=(replace(mild, today=side(4, 8)), grave)))
    assert report.index("`tests/test_route.py::grave`") < report.index("`tests/test_route.py::mild`")


def test_suspects_alone_are_what_broke():
    only = tuple(case for case in result().cases if case.tier == "suspect")
    report = render_check_markdown(result(verdict="suspect", cases=only, command=""))
    assert "## Prompt check: 1 case suspect\n" in report
    assert "`tests/test_route.py::test_route[invoice in Spanish]` is **suspect**" in report
    assert "Mend it" not in report


def test_a_check_without_changes_is_short():
    report = render_check_markdown(
        CheckResult("2026-01-31-1", "nothing changed", "no prompt differs from the base", "3f2c1ab", "")
    )
    assert "**Nothing changed:** no prompt differs from the base." in report
    assert "Score" not in report
    assert "|" not in report
    assert "What broke" not in report


@pytest.mark.parametrize(
    ("gate", "broken", "words", "shown"),
    [
        ("none", (), "only reports (`--gepa-fail-on=none`)", "only reports (--gepa-fail-on=none)"),
        ("none", (TROUBLE,), f"failed (`{TROUBLE}`)", f"broken ({TROUBLE})"),
        ("score:0.02", (TROUBLE,), f"failed (`{TROUBLE}`)", f"broken ({TROUBLE})"),
        (
            "suspect",
            ("--gepa-fail-on=suspect", TROUBLE),
            f"failed (`--gepa-fail-on=suspect` and `{TROUBLE}`)",
            f"broken (--gepa-fail-on=suspect and {TROUBLE})",
        ),
        ("regressed", (), "passed (`--gepa-fail-on=regressed`)", "held (--gepa-fail-on=regressed)"),
    ],
)
def test_the_gate_is_told_by_the_rules_that_were_broken(gate: str, broken: tuple[str, ...], words: str, shown: str):
    found = result(gate=gate, failed=bool(broken), broken_rules=broken)
    assert f"- Gate: {words}\n" in render_check_markdown(found)
    assert f"gate                 {shown}" in check_lines(found, "dir")


def test_terminal_and_report_say_the_same_of_a_tier():
    lines, report = check_lines(result(), "dir"), render_check_markdown(result())
    for tier in ("regressed", "suspect", "flaky", "failing", "improved"):
        words = f"({TIER_WORDS[tier]})"
        assert f"{tier} {words}:" in lines
        assert words in report


def test_rows_name_the_prompts_where_several_have_changed():
    report = render_check_markdown(result(changes=(change(), change(component="b.md", lines=(3, 4, 9)))))
    assert "| case | before | today | p | prompts |" in report
    assert "**`b.md`** edited, lines 3 to 4 and 9" in report


def test_trouble_of_a_case_without_a_reason_is_told_too():
    assert "- `tests/test_route.py::test_route[slow]`: no evidence on a side" in render_check_markdown(
        result(trouble=())
    )


def test_cases_of_new_prompts_are_named():
    report = render_check_markdown(result(on_new_prompts=("tests/test_new.py::test_a",)))
    assert "<details><summary>Not compared: 1 case of a prompt that the base has not</summary>" in report
    assert "- `tests/test_new.py::test_a`\n\n</details>" in report


def test_cases_of_deleted_prompts_are_named():
    report = render_check_markdown(result(on_deleted_prompts=("test_a.py::a",), not_collected=("test_a.py::b",)))
    assert (
        "<summary>Not compared: 2 cases that used a prompt deleted since; both sides ran without it</summary>" in report
    )
    assert "- `test_a.py::a`\n- `test_a.py::b`, not among the cases of this session\n\n</details>" in report


def test_a_check_that_was_stopped_says_why_once():
    assert "**Not finished:** the cap is reached." in render_check_markdown(result(stopped="the cap is reached"))
    report = render_check_markdown(
        result(
            verdict="not finished",
            reason="the cap is reached; nothing is proven",
            stopped="the cap is reached",
        )
    )
    assert report.count("the cap is reached") == 1


def test_a_simulated_model_is_called_one():
    assert "say nothing about a real model" in render_check_markdown(result(simulated=True))
    assert "say nothing about a real model" not in render_check_markdown(result())


def test_foreign_text_is_never_markup():
    report = render_check_markdown(hostile_result())
    check_markup(report)
    assert "\x1b" not in report
    assert "\u202e" not in report
    # Every row keeps its columns: a parser would pad it, or drop what is too much.
    cells = [after.content for token, after in itertools.pairwise(parse(report)) if token.type == "td_open"]
    assert sum(cell.endswith("</code>, `prompts/route.md`") for cell in cells) == len(TIERS) + 1


def test_a_block_is_closed_by_its_own_fence_only():
    for text in ("```\n", "a ````` b", "~~~", "\n```text\n", ""):
        blocks = [token for token in parse(f"{fence(text, 100)}\nafter\n") if token.type == "fence"]
        assert [block.content.rstrip("\n") for block in blocks] == [text.rstrip("\n")]


def test_text_in_a_sentence_and_as_code_reads_as_it_was():
    for text in ("a`b|c", "<b>", "x & y", "\\|", "*a*", "[l](u)", "plain"):
        (inline,) = (token for token in parse(f"| {code(text)} |\n|---|\n") if token.type == "inline")
        kinds = ("text", "code_inline", "text_special")
        shown = "".join(token.content for token in inline.children or [] if token.type in kinds)
        assert shown == text
    (inline,) = (token for token in parse(f"So: {line('*a* @me http://x')}") if token.type == "inline")
    shown = "".join(token.content for token in inline.children or [])
    assert shown.replace("\u200b", "") == "So: *a* @me http://x"
    assert shown.count("\u200b") == 2


def test_an_oversize_check_keeps_the_gravest_and_says_what_it_left_out():
    cases = [regressed(f"test_{number}[{'x' * number}]") for number in range(150)]
    cases += [case(f"test_s{number}", "stable", side(1, 1), side(1, 1)) for number in range(2_000)]
    report = render_check_markdown(result(cases=tuple(cases), changes=(change(diff=DIFF * 1_000),)))
    assert width(report) <= LIMIT
    assert width(report) > LIMIT - 5_000
    assert "Prompt check: 150 cases regressed" in report
    assert FAILURE in report
    assert "```diff" in report
    assert "more characters)" in report
    assert "*2,000 rows of stable cases left out here.*" not in report.splitlines()[:20]
    (closing,) = (entry for entry in report.splitlines() if entry.startswith("Left out, to fit: "))
    assert "cases with their answers" in closing
    assert "rows of stable cases" in closing
    assert closing.endswith("All of it is in `check.json`, beside this report.")
    check_markup(report)


def test_a_command_that_is_too_long_is_not_shown_in_part():
    report = render_check_markdown(result(command="pytest " + "x" * 10_000))
    assert "it stands in `check.json`, under `command`" in report
    assert "xxx" not in report


PIECES = st.sampled_from(
    [
        *HOSTILE.split(" "),
        HOSTILE,
        "\n",
        "\n\n",
        "`" * 40,
        "|",
        "<",
        "&" * 50,
        "\U0001f600",
        "x" * 3_000,
        "",
        "\r\n",
    ]
)
TEXTS = st.builds(lambda pieces, times: "".join(pieces) * times, st.lists(PIECES, max_size=6), st.integers(0, 8))


@settings(max_examples=30)
@given(text=TEXTS, times=st.sampled_from((0, 1, 3, 60)), changed=st.integers(0, 20))
def test_every_check_fits_and_keeps_its_markup(text: str, times: int, changed: int):
    one = hostile_result(text)
    report = render_check_markdown(
        replace(
            one,
            cases=one.cases * times,
            changes=one.changes * changed,
            trouble=one.trouble * times,
            problems=one.problems * times,
            on_new_prompts=one.on_new_prompts * times,
            on_deleted_prompts=one.on_deleted_prompts * times,
        )
    )
    assert width(report) <= LIMIT
    assert report.startswith(MARKER)
    check_markup(report)


@given(
    sizes=st.lists(st.tuples(st.integers(0, 9), st.lists(st.integers(0, 30_000), max_size=8)), min_size=1, max_size=6)
)
def test_parts_take_room_by_rank(sizes: list[tuple[int, list[int]]]):
    parts = [ReportPart(rank, "h", tuple("x" * size for size in items), "f", "things") for rank, items in sizes]
    text = fit(parts, 50_000, "Rest.")
    total = sum(size for _, items in sizes for size in items)
    assert width(text) <= 50_000
    assert ("Left out" in text) <= (total > 48_000)


def test_where_a_prompt_went_and_which_placeholders_have_gone_is_told():
    moved = change(component="prompts/old.md", state="deleted", moved="app/old.md", lines=())
    found = result(changes=(moved, change(unfilled=("{date}", "{text}"))))
    report, screen = render_check_markdown(found), "\n".join(check_lines(found, "dir"))
    assert "**`prompts/old.md`** deleted, moved to `app/old.md`, as it was" in report
    differ = "placeholders differ: the old text alone has"
    assert f"{differ} `{{date}}`, `{{text}}`; whichever the code of today does not fill in, its side" in report
    assert "prompts/old.md: deleted (moved to app/old.md, as it was)\n" in screen
    assert f"{ROUTE}: edited; {differ} {{date}}, {{text}}; whichever the code" in screen


def test_a_renamed_placeholder_is_told_of_either_side():
    found = result(changes=(change(unfilled=("{labels}",), only_today=("{label_list}",)),))
    report, screen = render_check_markdown(found), "\n".join(check_lines(found, "dir"))
    assert "the old text alone has `{labels}`, today's alone has `{label_list}`; whichever" in report
    assert "the old text alone has {labels}, today's alone has {label_list}; whichever" in screen
