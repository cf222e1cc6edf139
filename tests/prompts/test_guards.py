from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gepa.prompts.guards import check_edit, growth_limit

PLAIN = "Extract the date from the text.\n"
FORMATTED = 'Read {text}.\nReply as {{"date": "..."}} in {language}.\n'
JINJA = "{% if shout %}Loudly: {% endif %}Summarise {{ text }} in {{ n }} words.\n"
JSON = 'Reply as {"date": "2026-01-31"}. The text is {text}.\n'
PIECES = st.lists(
    st.sampled_from(
        ["{", "}", "{{", "}}", "{%", "%}", "{#", "#}", "$x", "<y>", "{x}", "raw", "---\n", "a", " ", "\n"]
    )
    | st.text(max_size=3),
    max_size=20,
).map("".join)


@pytest.mark.parametrize(
    ("parent", "text"),
    [
        (PLAIN, "Extract the date from the text. Write it as YYYY-MM-DD.\n"),
        (PLAIN, 'Extract the date. Reply as {"date": "2026-01-31"}.\n'),
        (PLAIN, "Extract the date. Write <date>2026-01-31</date>. It may cost $5.\n"),
        (PLAIN, "Extrahiere das Datum 📅 👩\u200d🔬.\n\t- knapp\n"),
        (
            FORMATTED,
            'Read {text} in {language}, and {text} again.\nReply as {{"date": "...", "n": [1]}} only.\n',
        ),
        (FORMATTED, "In {language}: {text}. Reply with {{date}}.\n"),
        (JINJA, "Summarise {{text}} in {{ n }} words{% if shout %} (loudly){% endif %}.\n"),
        (JSON, 'Reply as {"date": "2026-01-31", "n": 1}. The text is {text}.\n'),
        ("---\nmodel: x\n---\nHello {{name}}\n", "---\nmodel: x\n---\nHello dear {{name}}\n"),
        ("A form feed \x0c and \r\n", "One form feed \x0c and \r\n"),
        ("Translate: {}\n", "Translate this: {}\n"),
        ("Set theory: { is an opening brace.\n", "Set theory: { is an opening brace, as in {x.y}.\n"),
    ],
)
def test_an_edit_within_bounds_is_let_through(parent, text):
    assert check_edit(parent, parent, text) is None


@pytest.mark.parametrize(
    ("parent", "text", "reason"),
    [
        (PLAIN, " \n", "empty"),
        (PLAIN, PLAIN, "changes nothing"),
        (PLAIN, PLAIN + "x" * 1_600, "at most 1532"),
        (FORMATTED, "Reply in {language}.\n", "'{text}' is lost"),
        (FORMATTED, FORMATTED + "And {name}.\n", "'{name}' would be a new placeholder"),
        (FORMATTED, FORMATTED + 'Like {"a": 1}.\n', "double the braces"),
        (FORMATTED, FORMATTED + "Or {} so.\n", "double the braces"),
        (FORMATTED, FORMATTED + "A lone { brace.\n", "str.format"),
        (FORMATTED, FORMATTED.replace("{text}", "{text: >9999999999}"), "'{text}' is lost"),
        (FORMATTED, FORMATTED + "{text: >9999999999}", "would be a new placeholder"),
        (FORMATTED, FORMATTED + "{text.__class__}", "new placeholder"),
        (PLAIN, PLAIN + "{text:{text:{text}}}", "nested too deep"),
        ("Width {text:{n}}\n", "Width {text:{m}}\n", "'{text:{n}}' is lost"),
        ("---\r\nmodel: x\r\n---\r\nHi\n", "Hi\n", "front matter"),
        (PLAIN, PLAIN + "{settings.api_key}", "reaches into"),
        (PLAIN, PLAIN + "{0[key]}", "reaches into"),
        (PLAIN, PLAIN + "{x:{y.z}}", "reaches into"),
        ("Translate: {} to {}\n", "Translate: {}\n", "'{}' is lost"),
        (JSON, JSON.replace("{text}", "that"), "'{text}' is lost"),
        (JINJA, JINJA.replace("{{ n }}", "ten"), "'{{ n }}' is lost"),
        (JINJA, JINJA.replace("{% endif %}", ""), "'{% endif %}' is lost"),
        (JINJA, JINJA + "{{ user }}", "'{{ user }}' would be a new placeholder"),
        (JINJA, JINJA + "{{ 7 * 7 }}", "new template code"),
        (JINJA + "{{ 7 * 7 }}", JINJA + "49", "'{{ 7 * 7 }}' is lost"),
        (JINJA, JINJA + "{% if shout %}", "blocks do not match"),
        (JINJA, JINJA + "{{ '", "broken or not closed"),
        (JINJA, "{#" + JINJA + "#}", "lost"),
        (JINJA, "{% raw %}" + JINJA + "{% endraw %}", "lost"),
        ("Say $name.\n", "Say it.\n", "'$name' is lost"),
        ("Say $name.\n", "Say $name and $other.\n", "'$other' would be a new placeholder"),
        ("Say <name>.\n", "Say it.\n", "'<name>' is lost"),
        (PLAIN, "Extract\x07 the date.\n", "U+0007"),
        (PLAIN, "Extract\r\nthe date.\n", "U+000D"),
        (PLAIN, "Extract \u202ethe date.\n", "right-to-left override"),
        (PLAIN, "Extract \U000e0041the date.\n", "U+E0041"),
        (PLAIN, "Extract \ud800the date.\n", "U+D800"),
        (PLAIN, "\ufeffExtract the date.\n", "U+FEFF"),
        ("---\nmodel: x\n---\nHi\n", "---\nmodel: y\n---\nHi\n", "front matter"),
        ("---\nmodel: x\n---\nHi\n", "Hi there\n", "front matter"),
        (PLAIN, "---\nmodel: y\n---\nHi\n", "front matter"),
    ],
)
def test_an_edit_out_of_bounds_is_refused_with_the_reason(parent, text, reason):
    assert reason in (check_edit(parent, parent, text) or "")


@pytest.mark.parametrize(
    "code",
    [
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ config }}",
        "{{ x|attr('y') }}",
        "{% include '/etc/passwd' %}",
        "{%- set a = 1 -%}",
        "{{ 7*7 }}",
    ],
)
def test_no_template_code_gets_into_a_text_that_may_be_a_template(code):
    assert check_edit(PLAIN, PLAIN, PLAIN + code) is not None
    assert check_edit(JINJA, JINJA, JINJA + code) is not None


@pytest.mark.parametrize(
    "code",
    [
        "{{ x.y }}",
        "{{ x['y'] }}",
        "{{ f() }}",
        "{{ x|attr('y') }}",
        "{{ [].x }}",
        "{{ (x)[y] }}",
        "{% import 'x' %}",
    ],
)
def test_no_template_code_that_calls_or_reaches_gets_in_as_an_escape(code):
    assert check_edit(FORMATTED, FORMATTED, FORMATTED + code) is not None


def test_the_growth_limit_is_taken_from_the_original():
    original, parent = "a" * 2_000, "a" * 3_000
    assert growth_limit(original) == 4_000
    assert check_edit(original, parent, "a" * 4_000) is None
    assert check_edit(original, parent, "a" * 4_001) is not None
    assert growth_limit("short") == 1_505


@settings(deadline=None, max_examples=300)
@given(PIECES, PIECES)
def test_any_two_texts_can_be_checked(parent, text):
    reason = check_edit(parent, parent, text)
    assert reason is None or reason.strip()


@settings(deadline=None, max_examples=300)
@given(PIECES.filter(str.strip), st.text("abc xyz.,", min_size=1))
def test_plain_words_at_the_start_of_the_last_line_are_never_refused(parent, words):
    text = f"{parent}\n\n{words}.\n"
    reason = check_edit(parent, parent, text)
    assert reason is None or "front matter" in reason
