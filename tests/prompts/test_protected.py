from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.edits import Edit, EditError, apply_edits
from pytest_gepa.prompts.finding import find_components
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.protected import check_markers, kept, protected_lines, protection_problem, told
from pytest_gepa.prompts.stray_markers import check_comments

MARKED = """\
Route the ticket.
<!-- gepa: keep -->
Never promise a refund.
<!-- gepa: end -->
Answer in one word.
"""
LINES = st.sampled_from(
    [
        "a",
        "",
        "- b",
        "<!-- gepa: keep -->",
        "<!-- gepa: end -->",
        "# gepa: keep",
        "# gepa: end",
        "x {# gepa: keep #} y",
    ]
)
TEXTS = st.lists(LINES, max_size=8).map("\n".join)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("<!-- gepa: keep -->", "<!-- gepa: end -->"),
        ("<!--gepa:keep-->", "<!--  gepa:  end  -->"),
        ("{# gepa: keep #}", "{#- gepa: end -#}"),
        ("{{! gepa: keep }}", "{{!-- gepa: end --}}"),
        ("<%# gepa: keep %>", "<%# gepa: end %>"),
        ("/* gepa: keep */", "/* gepa: end */"),
        ("# gepa: keep", "  ## gepa: end"),
        ("// gepa: keep", "// gepa: end"),
        ("; gepa: keep", ";; gepa: end"),
        ("-- gepa: keep", "-- gepa: end"),
        ("% gepa: keep", "% gepa: end"),
    ],
)
def test_a_region_is_marked_in_the_formats_own_comments(opening, closing):
    text = f"a\n{opening}\nb\n{closing}\nc\n"
    assert kept(text) == (f"{opening}\nb\n{closing}",)
    assert protected_lines(text) == ((2, 4),)


def test_a_region_may_be_part_of_a_line_and_there_may_be_several():
    text = "a <!-- gepa: keep -->b<!-- gepa: end --> c\nd\n{# gepa: keep #}\ne"
    assert kept(text) == ("<!-- gepa: keep -->b<!-- gepa: end -->", "{# gepa: keep #}\ne")
    assert told(protected_lines(text)) == "lines 1 and 3 to 4"


def test_a_region_that_is_not_closed_runs_to_the_end():
    assert kept("a\n# gepa: keep\nb\n\n") == ("# gepa: keep\nb\n\n",)
    assert protected_lines("a\n# gepa: keep\nb\n\n") == ((2, 3),)


@pytest.mark.parametrize(
    "prose", ["", "Say gepa: keep in a comment.", "a # gepa: keep", "<!-- keep -->", "gepa: end", "# Keep"]
)
def test_what_is_no_marker_protects_nothing(prose):
    assert kept(prose) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n<!-- gepa: end -->\n", "line 2: gepa: end closes nothing"),
        ("# gepa: keep\n\n# gepa: keep\n", "line 3: gepa: keep stands inside a region"),
        ("# gepa: kepp\n", "line 1: a comment says gepa: kepp; known are gepa: keep and gepa: end"),
        ("<!-- gepa: keep\n-->\n", "line 1: a comment with gepa: is not closed"),
        ("{# gepa: #}", "known are"),
        ("<!-- gepa: keep this -->", "known are"),
    ],
)
def test_malformed_markers_are_an_error_that_names_the_line(text, words):
    with pytest.raises(PromptError, match=words):
        kept(text)
    with pytest.raises(PromptError, match=r"prompts/a.md: line"):
        check_markers({"prompts/a.md": text})
    with pytest.raises(PromptError, match=r"prompts/a.md: line"):
        Guard({"prompts/a.md": text})


@pytest.mark.parametrize(
    "text",
    [
        MARKED.replace("refund", "gift"),
        MARKED.replace("<!-- gepa: end -->\n", ""),
        MARKED.replace("Never promise a refund.\n", ""),
        MARKED.replace("<!-- gepa: keep -->", "<!--gepa: keep-->"),
        "Route it.\n",
        MARKED + "<!-- gepa: keep -->\nMine.\n",
        MARKED + MARKED,
        MARKED + "<!-- gepa: nonsense -->\n",
        MARKED.replace("Never", "Never  "),
    ],
)
def test_a_region_must_stay_to_the_letter(text):
    assert (protection_problem(MARKED, text) or "").startswith("protected region: ")


def test_everything_around_a_region_may_change():
    text = MARKED.replace("Route the ticket.", "Read the ticket twice.\nThen route it.").replace(
        "one word", "two words"
    )
    assert protection_problem(MARKED, text) is None
    assert Guard({"a.md": MARKED}).check("a.md", MARKED, text) is None


def test_the_order_of_regions_counts():
    first, second = "# gepa: keep\na\n# gepa: end\n", "# gepa: keep\nb\n# gepa: end\n"
    assert protection_problem(first + second, second + first)


def test_a_model_may_not_protect_a_passage_itself():
    assert "a person's" in (protection_problem("a\n", "a\n<!-- gepa: keep -->\nb\n") or "")


def test_an_addition_goes_before_a_region_that_runs_to_the_end():
    text = "- a\n\n<!-- gepa: keep -->\nThe end.\n"
    assert apply_edits(text, [Edit("add", "", "b")]) == "- a\n- b\n\n<!-- gepa: keep -->\nThe end.\n"
    assert apply_edits("# gepa: keep\nx", [Edit("add", "", "b")]) == "b\n# gepa: keep\nx"
    closed = "<!-- gepa: keep -->\nx\n<!-- gepa: end -->\n"
    assert apply_edits(closed, [Edit("add", "", "b")]) == closed + "b\n"


@given(TEXTS, st.sampled_from(["add", "example"]), st.sampled_from(["new", "new\nlines"]))
def test_an_addition_at_the_end_never_harms_a_region(text, kind, added):
    try:
        before = kept(text)
    except PromptError:
        return
    result = apply_edits(text, [Edit(kind, "", added)])
    assert kept(result) == before
    assert protection_problem(text, result) is None


@given(TEXTS, TEXTS, st.data())
def test_no_edit_that_changes_a_region_gets_past_the_guard(text, new, data):
    try:
        before = kept(text)
    except PromptError:
        return
    find = data.draw(st.sampled_from([line for line in text.split("\n") if line.strip()] or ["a"]))
    kind = data.draw(st.sampled_from(["replace", "delete", "add", "rewrite"]))
    edit = Edit(kind, "" if kind == "rewrite" else find, "" if kind == "delete" else new)
    try:
        result = apply_edits(text, [edit])
    except EditError:
        return
    if protection_problem(text, result) is None:
        assert all(passage in result for passage in before)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.yaml", "n: 1\n# gepa: keep\nsystem: |\n  Never promise.\n# gepa: end\n", 2),
        ("a.yaml", "system: |  # gepa: keep\n  Never promise.\n", 1),
        ("a.toml", "# gepa: keep\nsystem = 'Never promise.'\n", 1),
        ("a.prompty", "---\n# gepa: keep\nname: Never promise.\n---\nbody\n", 2),
        ("a.py", "system = (\n    'Be brief.'\n    # gepa: keep\n    'Never promise.'\n)\n", 3),
    ],
)
def test_a_comment_of_the_file_outside_of_every_text_is_an_error_as_it_protects_nothing(tmp_path, name, content, line):
    (tmp_path / name).write_text(content)
    address = "" if name == "a.prompty" else "::system"
    components = find_components(tmp_path, tmp_path, [name + address])
    with pytest.raises(PromptError, match=rf"a\.\w+: line {line}: this comment with gepa: .*protects nothing"):
        check_comments(components)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.yaml", "system: |\n  # gepa: keep\n  Never promise.\n  # gepa: end\n"),
        ("a.py", "system = '''\n# gepa: keep\nNever promise.\n'''\n# says gepa: keep nowhere\n"),
        ("a.json", '{"system": "# gepa: keep\\nNever promise."}'),
        ("a.md", "---\nname: n\n---\n# gepa: keep\nNever promise.\n"),
    ],
)
def test_a_comment_inside_of_a_text_is_none_of_these(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    components = find_components(tmp_path, tmp_path, [name + ("" if name == "a.md" else "::system")])
    check_comments(components)
    assert len(kept(components[0].text)) == 1
