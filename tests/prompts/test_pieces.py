"""A prompt cut into pieces, and what is left without one of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.pieces import WHOLE, find_cuts, find_pieces, without

PROMPT = """\
You sort tickets.
Read the whole ticket first.

## Rules

- One queue for each ticket,
  whatever it says.
- Never answer it.

  Not even a greeting.
1. First the queue.

```json
{"queue": "billing"}

```

## Form
queue: one of three
reason: a sentence
"""
LINES = st.sampled_from(
    [
        "",
        "   ",
        "Words and more words.",
        "- item",
        "  - inner item",
        "  goes on",
        "2) numbered",
        "```",
        "~~~",
        "# Heading",
        "## Lower",
        "**Bold**",
        "Title",
        "---",
        "name: value",
        "<rules>",
        "</rules>",
        "Say {name} and {{ other }}.",
        "{% if a %}",
        "{% endif %}",
        "{# said to nobody #}",
        "<!-- gepa: keep -->",
        "\ttab",
    ]
)
TEXTS = st.lists(LINES, max_size=14).map("\n".join)


def told(text: str) -> list[tuple[str, int, int]]:
    return [(piece.kind, piece.first, piece.reach) for piece in find_pieces(text)]


def test_a_prompt_is_cut_where_a_person_would_cut_it():
    assert told(PROMPT) == [
        ("paragraph", 1, 2),
        ("heading", 4, 16),
        ("bullet", 6, 7),
        ("bullet", 8, 10),
        ("numbered item", 11, 11),
        ("fenced block", 13, 16),
        ("heading", 18, 20),
        ("field", 19, 19),
        ("field", 20, 20),
    ]


def test_an_element_stands_for_what_is_inside_of_it():
    text = "Sort.\n<rules>\nBe brief.\n</rules>\nEnd."
    assert told(text)[1] == ("element", 2, 4)
    assert [cut.text for cut in find_cuts(text) if cut.kind == "element"] == ["Sort.\nEnd."]


@given(TEXTS)
def test_pieces_do_not_overlap_and_leave_only_blank_lines_out(text):
    rows = [row for piece in find_pieces(text) for row in range(piece.first, piece.last + 1)]
    assert rows == sorted(set(rows))
    assert not any(line.strip() for row, line in enumerate(text.split("\n"), 1) if row not in rows)


@given(TEXTS)
def test_to_drop_all_leaves_blank_text_and_to_drop_none_the_text(text):
    pieces = find_pieces(text)
    assert without(text, ()) == text
    assert not without(text, pieces).strip()


@given(TEXTS)
def test_a_cut_keeps_every_placeholder_and_every_other_line(text):
    from pytest_gepa.prompts.placeholders import placeholders

    for cut in find_cuts(text):
        assert (cut.text is None) == bool(cut.reason)
        if cut.text is not None:
            assert placeholders(text) <= placeholders(cut.text)
        if cut.text is not None and cut.kind != WHOLE:
            lines = text.split("\n")
            rest = [*lines[: cut.first - 1], *lines[cut.last :]]
            kept = [line for line in cut.text.split("\n") if line.strip()]
            assert kept == [line for line in rest if line.strip()]


def test_blank_lines_that_set_a_piece_apart_go_with_it():
    text = "one\n\ntwo\n\nthree\n"
    assert without(text, find_pieces(text)[1:2]) == "one\n\nthree\n"
    assert without(text, find_pieces(text)[2:]) == "one\n\ntwo\n\n"
    assert without(text, find_pieces(text)[:1]) == "two\n\nthree\n"


@pytest.mark.parametrize(
    ("text", "blank"),
    [
        ("Sort it.\n\n- Fast.\n", ""),
        ("Sort {ticket} well.\n\nBe kind.\n", "{ticket}"),
        ("For {{ name }}:\n\n{% for x in y %}\n- {{ x }}\n{% endfor %}\n", None),
    ],
)
def test_a_blanked_prompt_has_its_placeholders_and_no_more(text, blank):
    whole = find_cuts(text)[0]
    assert whole.kind == WHOLE
    if blank is not None:
        assert whole.text is not None
        assert whole.text.strip() == blank


def test_the_only_use_of_a_placeholder_stays_and_says_why():
    cuts = {cut.first: cut for cut in find_cuts("Sort.\n\nTicket: {ticket}\n\nBe kind.\n")[1:]}
    assert cuts[3].text is None
    assert cuts[3].reason == "it holds the only {ticket}"
    assert cuts[1].text == "Ticket: {ticket}\n\nBe kind.\n"


def test_a_placeholder_that_stands_twice_may_go_once():
    first, *rest = find_cuts("Read {x}.\n\nAgain: {x}\n")
    assert first.text is not None
    assert first.text.strip() == "{x}"
    assert all(cut.text for cut in rest)


def test_half_of_a_template_block_is_not_taken_out():
    cuts = find_cuts("A.\n\n{% if x %}\nB.\n\nC.\n{% endif %}\n")
    assert [cut.first for cut in cuts if cut.text is None and cut.kind != WHOLE] == [3, 6]


def test_what_no_model_sees_is_no_piece_to_notice():
    assert [cut.reason for cut in find_cuts("{# note #}\n\n<!-- gepa: keep -->\nSort.\n")[1:]] == [
        "it is a comment, which no model sees",
        "it marks a protected passage",
        "",
    ]


def test_a_text_that_the_file_cannot_hold_is_told():
    cuts = find_cuts("One.\n\nTwo.\n", problem=lambda left: None if left.strip() else "the file must say something")
    assert cuts[0].text is None
    assert cuts[0].reason == "the file must say something"
    assert all(cut.text for cut in cuts[1:])
