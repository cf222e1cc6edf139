from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.edits import Edit, EditError, apply_edits
from pytest_gepa.prompts.pieces import find_pieces
from pytest_gepa.prompts.sections import headings

GUIDE = """\
# Desk

Be kind.

## Rules

- one
- two

### Exceptions

None.

## Form

One word.
"""
TITLES = st.sampled_from(["# A", "## B", "### C", "# D", "## E", "#### F"])
BODIES = st.lists(st.sampled_from(["text", "- item", "", "1. first", "**bold** words"]), max_size=4).map("\n".join)
MARKED = ["## A", "### B", "# C", "#### D", "==", "--", "* a", "```", "<b>", "</b>", "**B**", "1. a", "#", "a b", ""]
OUTLINES = st.lists(st.tuples(TITLES, BODIES), min_size=1, max_size=6, unique_by=lambda pair: pair[0])


def rewritten(text: str, find: str, body: str) -> str:
    return apply_edits(text, [Edit("section", find, body)])


def refusal(text: str, find: str, body: str = "x") -> str:
    with pytest.raises(EditError) as caught:
        rewritten(text, find, body)
    return str(caught.value)


@pytest.mark.parametrize("find", ["## Rules", " ## Rules ", "Rules"])
def test_a_section_gets_a_new_body_and_deeper_headings_belong_to_it(find):
    assert rewritten(GUIDE, find, "- three") == GUIDE.replace("- one\n- two\n\n### Exceptions\n\nNone.", "- three")


def test_the_last_and_the_deepest_section_can_be_rewritten():
    assert rewritten(GUIDE, "## Form", "Two words.") == GUIDE.replace("One word.", "Two words.")
    assert rewritten(GUIDE, "### Exceptions", "- a") == GUIDE.replace("None.", "- a")
    assert rewritten("## A\nx", "## A", "y") == "## A\ny"


def test_the_whole_of_a_text_under_its_title_is_a_section_too():
    assert rewritten(GUIDE, "# Desk", "Short.") == "# Desk\n\nShort.\n"


def test_a_body_that_opens_with_its_heading_is_understood():
    assert rewritten(GUIDE, "## Form", "## Form\n\nTwo words.") == GUIDE.replace("One word.", "Two words.")


def test_an_empty_section_gets_its_first_body():
    assert rewritten("# A\n\n# B\nb\n", "# A", "a") == "# A\na\n\n# B\nb\n"
    assert rewritten("# A", "# A", "a") == "# A\na"


@pytest.mark.parametrize(
    ("text", "find", "expected"),
    [
        ("Rules\n=====\n\nold\n\nForm\n----\nold\n", "Rules", "Rules\n=====\n\nnew\n"),
        ("Rules\n=====\n\nold\n\nForm\n----\nold\n", "Form", "Rules\n=====\n\nold\n\nForm\n----\nnew\n"),
        ("**Rules:**\nold\n\n**Form**\nold\n", "Rules", "**Rules:**\nnew\n\n**Form**\nold\n"),
        ("1. Rules\n   old\n2. Form\n   old\n", "1. Rules", "1. Rules\nnew\n2. Form\n   old\n"),
        ("1 Rules\nold\n1.1 More\nold\n2 Form\n", "1 Rules", "1 Rules\nnew\n2 Form\n"),
        ("<rules>\nold\n</rules>\nend\n", "<rules>", "<rules>\nnew\n</rules>\nend\n"),
        ('<rules kind="x">\n</rules>\n', "<rules>", '<rules kind="x">\nnew\n</rules>\n'),
        ("# A\n```\n# not a heading\n```\nold\n# B\n", "# A", "# A\nnew\n# B\n"),
    ],
)
def test_other_kinds_of_headings_are_known(text, find, expected):
    assert rewritten(text, find, "new") == expected


@pytest.mark.parametrize(
    ("text", "find", "body", "words"),
    [
        (
            GUIDE,
            "## Nowhere",
            "x",
            "no such section: no heading is '## Nowhere'; copy one of them as it stands: '# Desk'",
        ),
        ("plain\n", "# A", "x", "no such section: the text has no headings"),
        ("# A\na\n# A\nb\n", "# A", "x", "ambiguous section: 2 sections"),
        (GUIDE, "## Rules", "ok\n\n## More\n\nx", "section too wide"),
        (GUIDE, "## Rules", "ok\n\n# More", "section too wide"),
        (GUIDE, " ", "x", "nothing to find"),
        (GUIDE, "## Rules", " \n", "empty edit"),
        ("<a>\nx\n</a>\n<a>\ny\n</a>\n", "<a>", "x", "no such section"),
    ],
)
def test_a_section_that_cannot_be_told_is_refused(text, find, body, words):
    assert refusal(text, find, body).startswith(words)


def test_a_body_may_hold_deeper_headings_and_headings_in_fences():
    body = "### Deeper\n\nx\n\n```\n# comment\n```"
    assert body in rewritten(GUIDE, "## Form", body)


def test_an_edit_inside_the_section_overlaps_with_it():
    with pytest.raises(EditError, match="overlapping edits"):
        apply_edits(GUIDE, [Edit("section", "## Rules", "x"), Edit("delete", "- one")])


@given(OUTLINES, st.data())
def test_only_the_named_section_changes_and_reads_back(outline, data):
    text = "\n".join(f"{title}\n{body}" for title, body in outline) + "\n"
    at = data.draw(st.integers(0, len(outline) - 1))
    title = outline[at][0]
    result = rewritten(text, title, "brand new")
    level = title.count("#")
    end = next((n for n in range(at + 1, len(outline)) if outline[n][0].count("#") <= level), len(outline))
    before = [line for line, _ in outline[: at + 1]] + [line for line, _ in outline[end:]]
    assert [line for line in result.split("\n") if line.startswith("#")] == before
    assert result.startswith("\n".join(f"{t}\n{b}" for t, b in outline[:at]))
    assert rewritten(result, title, "brand new") == result
    assert result.endswith("\n") == text.endswith("\n")


@given(
    st.lists(st.sampled_from(MARKED), max_size=10).map("\n".join),
    st.sampled_from(["## A", "### B", "# C", "A", "B"]),
    BODIES,
)
def test_any_text_gives_an_edit_or_a_refusal(text, find, body):
    try:
        result = rewritten(text, find, body)
    except EditError:
        return
    assert body.strip("\n").split("\n")[-1] in result


BACKTICKS = "## Ticket\n```{ticket}```\n## Rules\n- Never promise a refund.\n## Output\nOne word.\n"


def test_code_between_backticks_on_a_line_opens_no_fence():
    made = apply_edits(BACKTICKS, [Edit("section", "## Ticket", "The customer wrote: ```{ticket}```")])
    assert made == BACKTICKS.replace("```{ticket}```", "The customer wrote: ```{ticket}```")
    assert [one.title for one in headings(BACKTICKS)] == ["Ticket", "Rules", "Output"]
    assert [one.kind for one in find_pieces(BACKTICKS)] == [
        "heading", "paragraph", "heading", "bullet", "heading", "paragraph",
    ]  # fmt: skip


def test_a_fence_that_is_never_closed_hides_no_heading():
    text = "## One\n```\nopen\n## Two\nText.\n"
    assert [one.title for one in headings(text)] == ["One", "Two"]
    assert [one.title for one in headings("## One\n```\n## in\n```\n## Two\n")] == ["One", "Two"]


def test_a_body_that_comes_with_the_tags_of_its_element_is_understood():
    text = "<rules>\n- a\n</rules>\n"
    edit = Edit("section", "<rules>", "<rules>\n- a\n- b\n</rules>")
    assert apply_edits(text, [edit]) == "<rules>\n- a\n- b\n</rules>\n"


TAGGED = "<instructions>\nYou route tickets.\n\n## Rules\n- a\n- b\n</instructions>\n\nAnswer with one word.\n"
COPIED = TAGGED.replace("- a\n- b", "- c").replace("with one word", "briefly")
INPUT = "<ticket>\n{ticket}\n</ticket>\n"
ASKED = "Route tickets.\n\n## Rules\n- a\n- b\n\nTicket: {ticket}\nQueue:\n"


@pytest.mark.parametrize(
    ("text", "body", "expected"),
    [
        (TAGGED, "- c", TAGGED.replace("- a\n- b", "- c")),
        (TAGGED, "- c\n</instructions>", TAGGED.replace("- a\n- b", "- c")),
        (TAGGED, "- c\n</instructions>\n\nAnswer briefly.", COPIED),
        (
            TAGGED,
            "<instructions>\n- c\n</instructions>\n- d",
            TAGGED.replace("- a\n- b", "<instructions>\n- c\n</instructions>\n- d"),
        ),
        (f"{TAGGED}\n{INPUT}", "- c\n</instructions>\n\nAnswer briefly.", f"{COPIED}\n{INPUT}"),
        (f"{TAGGED}\n{INPUT}", f"- c\n</instructions>\n\nAnswer briefly.\n\n{INPUT}", f"{COPIED}\n{INPUT}"),
        (TAGGED, "<x>\n- c\n</x>", TAGGED.replace("- a\n- b", "<x>\n- c\n</x>")),
        ("<a>Do it.\n# Rules\n<b>\nx\n</b>\ny\n</a>\nEnd.\n", "z", "<a>Do it.\n# Rules\nz\n</a>\nEnd.\n"),
        ("<a>\n</a>\n# Rules\nx\n</a>\ny\n", "z", "<a>\n</a>\n# Rules\nz\n"),
        ("<a>\n# Rules\n```\n</a>\n```\nx\n</a>\ny\n", "z", "<a>\n# Rules\nz\n</a>\ny\n"),
        ("<a>\n# Rules\n</a>\ny\n", "z", "<a>\n# Rules\nz\n</a>\ny\n"),
        (ASKED, "- c", ASKED.replace("- a\n- b", "- c")),
        (ASKED, "- c\n\nThe ticket: {ticket}", "Route tickets.\n\n## Rules\n- c\n\nThe ticket: {ticket}\n"),
        ("Do.\n\n# Rules\n- a\n\nText: {}\nLabel:\n", "- c", "Do.\n\n# Rules\n- c\n\nText: {}\nLabel:\n"),
        (
            "Do.\n\n# Rules\n\nTicket: {ticket}\n",
            "{ticket} comes first.",
            "Do.\n\n# Rules\n\n{ticket} comes first.\n",
        ),
    ],
)
def test_a_section_ends_with_the_element_around_it_and_before_the_input_at_the_end(text, body, expected):
    assert rewritten(text, "Rules", body) == expected
