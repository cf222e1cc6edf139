from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.placeholders import (
    ANGLE,
    CAPITALS,
    DOLLAR,
    EMBEDDED,
    EVERY,
    FORMAT,
    JINJA,
    MUSTACHE,
    PRINTF,
    SQUARE,
    declared,
    literal_segments,
    placeholders,
    syntax,
)

TEMPLATE_LIKE = st.lists(
    st.sampled_from(["{", "}", "{{", "}}", "{%", "%}", "{#", "#}", "$", "<", ">", "</x>", "x", "y.z", " ", "\n", "raw"])
    | st.text(max_size=3),
    max_size=25,
).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{x} {x.y} {x[0]} {x!r:>10} {x:{width}}", {"{x}", "{x.y}", "{x[0]}", "{x!r:>10}", "{x:{width}}"}),
        ('Reply as {{"a": 1}} for {text}.', {"{text}"}),
        ("{{x}} stays, {y} is filled in", {"{y}"}),
        ("{{{x}}}", {"{x}"}),
        ("{{{{x}}}}", set()),
        ("Dear {{name}},", {"{{ name }}"}),
        ("{{ a }} {{-  b | upper -}} {{c.d[0]}}", {"{{ a }}", "{{ b | upper }}", "{{ c.d[0] }}"}),
        ("{{ a }} and {b}", {"{{ a }}", "{b}"}),
        ("{%- if a %}yes{%   endif %}", {"{% if a %}", "{% endif %}"}),
        ("{# {{ a }} {b} #}{{ c }}", {"{{ c }}"}),
        ("{% raw %}{{ a }}{% endraw %}", {"{% raw %}", "{% endraw %}"}),
        ('{{#if a}}{{role "system"}}{{/if}}', {"{{ #if a }}", '{{ role "system" }}', "{{ /if }}"}),
        ("$x ${y} $$z $5 US$", {"$x", "${y}"}),
        ("Use <name> and <xml>this</xml>", {"<name>"}),
        ("<<name>> and <% code %> and <%= x  y %>", {"<<name>>", "<% code %>", "<% = x y %>"}),
        ("[[ticket]] and [[ a.b ]], but not [[1, 2]] or [x]", {"[[ticket]]", "[[ a.b ]]"}),
        ("__TICKET__ and __TWO_WORDS__, but not __init__ or __A", {"__TICKET__", "__TWO_WORDS__"}),
        ("%(name)s is 100 % sure", {"%(name)s"}),
        ("Dear %s, you owe %5.2f of %d%%.", {"%s", "%5.2f", "%d"}),
        ("Dear %s, as of %Y-%m-%d", set()),
        ("50%s off, 100% sure", set()),
        ("{{ .Name }} and {{- range .Items -}}", {"{{ .Name }}", "{{ range .Items }}"}),
        ("vector<int>, a < b > c, <br>, <https://example.org>, <|im_start|>", set()),
    ],
)
def test_each_syntax_is_recognised_as_it_is_written(text, expected):
    assert placeholders(text) == expected


@pytest.mark.parametrize(
    "prose",
    [
        'Answer as {"a": 1}.',
        '{"a": {"b": [1, 2]}}',
        "{'a': 1}",
        "{a: 1}",
        "{{ name: string }}",
        "{a, b}",
        "{ x }",
        r"\d{4}",
        "{}",
        "It costs $5 or $5.50.",
        "if a < b and b > c",
        "100 %",
        "{% 5 %}",
    ],
)
def test_prose_with_braces_dollars_or_angles_holds_no_placeholder(prose):
    assert placeholders(prose) == frozenset()


def test_the_syntax_of_a_placeholder_can_be_told():
    found = placeholders("{a} $b ${c} <d> {% if e %}") | placeholders("{{ f }}")
    assert {name: syntax(name) for name in found} == {
        "{a}": FORMAT,
        "$b": DOLLAR,
        "${c}": DOLLAR,
        "<d>": ANGLE,
        "{% if e %}": JINJA,
        "{{ f }}": JINJA,
    }


@pytest.mark.parametrize(
    ("text", "syntaxes"),
    [
        ("%s", {PRINTF}),
        ("%(a)d", {PRINTF}),
        ("[[a]]", {SQUARE}),
        ("__A__", {CAPITALS}),
        ("<% a %>", {EMBEDDED}),
        ("<<a>>", {ANGLE}),
    ],
)
def test_the_rarer_syntaxes_can_be_told_too(text, syntaxes):
    assert {syntax(name) for name in placeholders(text)} == syntaxes


@pytest.mark.parametrize(
    ("component", "syntaxes"),
    [
        ("prompts/a.j2", {JINJA}),
        ("prompts/a.md.JINJA2", {JINJA}),
        ("prompts/a.hbs", {MUSTACHE}),
        ("prompts/a.erb", {EMBEDDED}),
        ("prompts/a.md", EVERY),
        ("prompts/all.yaml::router.j2", EVERY),
    ],
)
def test_a_files_type_says_which_syntaxes_to_look_for(component, syntaxes):
    assert declared(component) == syntaxes


def test_only_the_syntaxes_asked_for_are_found():
    text = "{{ a }} {b} $c <d> {{e}}"
    assert placeholders(text, declared("x.j2")) == {"{{ a }}", "{{ e }}"}
    assert placeholders("{{{ a }}} {{#if b}}x{{/if}} {c}", declared("x.hbs")) == {
        "{{{ a }}}",
        "{{ #if b }}",
        "{{ /if }}",
    }


def test_a_tag_with_a_closing_tag_anywhere_is_markup():
    assert placeholders("<text>\n{x}\n</text> <date>") == {"{x}", "<date>"}


@given(st.text() | TEMPLATE_LIKE)
def test_any_text_can_be_searched(text):
    found = placeholders(text)
    assert found == placeholders(text)
    for name in found:
        assert syntax(name) in EVERY


@given(st.text(st.characters(exclude_characters="{}$<>%[_")))
def test_text_without_the_signs_that_open_one_holds_no_placeholder(text):
    assert placeholders(text) == frozenset()


@given(
    st.text(st.characters(exclude_characters="{}$<>%[_")),
    st.from_regex(r"[a-z_][a-z_0-9]{0,8}", fullmatch=True),
    st.text(st.characters(exclude_characters="{}$<>%[_")),
)
def test_what_str_format_fills_in_is_found_in_any_prose(before, name, after):
    text = f"{before}{{{name}}}{after}"
    assert placeholders(text) == {f"{{{name}}}"}
    assert [field for _, field, _, _ in string.Formatter().parse(text) if field] == [name]


@pytest.mark.parametrize("opening", ["{{", "{%", "{#", "{% raw %}", "{a:", "{a[", "<a", "</a", "$", "{", "{{a"])
def test_a_long_text_of_openings_is_searched_to_its_end(opening):
    assert placeholders(opening * 20_000 + " {last_one}") >= {"{last_one}"}


def test_literal_segments_lie_between_placeholders_and_line_ends():
    text = "You are a careful clerk.\n\nRead this: {text}\nThen reply in {language} with one word.  \n"
    assert literal_segments(text, 10) == (
        "You are a careful clerk.",
        "Read this:",
        "Then reply in",
        "with one word.",
    )
    assert literal_segments(text) == ("You are a careful clerk.",)


def test_an_escape_ends_a_literal_segment_since_it_is_sent_as_something_else():
    assert literal_segments('Reply with {{"total amount": {x}}} only', 8) == ("Reply with", '"total amount":')


def test_a_short_text_is_one_segment():
    assert literal_segments("  Be brief.\n") == ("Be brief.",)


def test_a_text_of_short_lines_is_one_segment_line_ends_included():
    assert literal_segments("Be brief.\nNo lists.\nOne word.\n") == ("Be brief.\nNo lists.\nOne word.",)


def test_a_short_text_with_a_placeholder_gives_its_longest_piece():
    assert literal_segments("Translate {x} to {y}") == ("Translate",)


@pytest.mark.parametrize("blank", ["", "  \n", "{x}", "{x}\n{y} "])
def test_a_text_of_placeholders_only_has_no_segments(blank):
    assert literal_segments(blank) == ()


@given(st.text() | TEMPLATE_LIKE, st.integers(1, 20))
def test_segments_stand_in_the_text_as_they_are_and_without_placeholders(text, least):
    for segment in literal_segments(text, least):
        assert segment == segment.strip() != ""
        assert segment in text
        assert "{{" not in segment
