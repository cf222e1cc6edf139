from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_gepa.prompts.guards import Guard, count_kinds, growth_limit, kind_of, text_problems
from pytest_gepa.prompts.leaks import CaseText, Leaks
from pytest_gepa.prompts.placeholders import EVERY, declared

PLAIN = "Extract the date from the text.\n"
FORMATTED = 'Read {text}.\nReply as {{"date": "..."}} in {language}.\n'
JINJA = "{% if shout %}Loudly: {% endif %}Summarise {{ text }} in {{ n }} words.\n"
JSON = 'Reply as {"date": "2026-01-31"}. The text is {text}.\n'
RAW = 'Extract the invoice. Answer like {"total": 12.5}.\n'
THINKING = "Put your reasoning in <thinking> tags, then answer.\n"
ESCAPED = 'Reply as {{"label": "billing" | "tech", "reason": "..."}}.\nTicket: {ticket}\n'
PIECES = st.lists(
    st.sampled_from(["{", "}", "{{", "}}", "{%", "%}", "{#", "#}", "$x", "<y>", "{x}", "raw", "---\n", "a", " ", "\n"])
    | st.text(max_size=3),
    max_size=20,
).map("".join)


def first_problem(*edit: str, within: frozenset[str] = EVERY) -> str:
    """What is told of an edit, given as original, parent and text; "" where nothing speaks against it."""
    return next(text_problems(*edit, within), "")


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
        (PLAIN, "Name it.\n"),
        (THINKING, "Put your reasoning between <thinking> and </thinking>, then answer.\n"),
        (THINKING, THINKING + "Put the label into <answer> tags.\n"),
        (ESCAPED, ESCAPED.replace('"tech"', '"tech" | "other"')),
        (ESCAPED, ESCAPED + '{{"items": [...], "date": "…" (optional)}}\n'),
        (ESCAPED, ESCAPED + "{{label? – don't guess}}\n"),
        (
            ESCAPED,
            ESCAPED + '{{"amount": number | null, "payee": string (optional), "on": date, e.g. now}}\n',
        ),
        (ESCAPED, ESCAPED + '{{\n  "amount": number | null\n}}\n'),
        (PLAIN, PLAIN + "Start your answer with `{`.\n"),
        (PLAIN, PLAIN + 'Reply as {"invoice": {"seller": {"name": "x"}}}.\n'),
        (RAW, RAW + 'With a seller: {"invoice": {"seller": {"name": "x"}}}.\n'),
        (RAW, RAW + "The first sign of the answer is {.\n"),
        (RAW + "Text: {text}\n", RAW + "Open with {.\nText: {text}\n"),
        (PLAIN, PLAIN + "function f() { if (x) { y() } }\n"),
        ("Say it. <!-- by me -->\n", "Say it now. <!-- by me -->\n"),
        ("Say it. <!-- by me -->\n", "Say it now.\n"),
        ("Open a comment with <!-- and mind it.\n", "Open a comment with <!-- and mind it well.\n"),
        ("Rate it ❤️.\n", "Rate it ❤️ or ☀️.\n"),
        ("Set theory: { is an opening brace.\n", "Set theory: { is an opening brace, as in {x.y}.\n"),
    ],
)
def test_an_edit_within_bounds_is_let_through(parent, text):
    assert not first_problem(parent, parent, text)


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
        (RAW, RAW + "{text:{text:{text}}}", "nested too deep"),
        (RAW, RAW + "{text.owner}", "reaches into"),
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
        ("Say <name>.\n", "Say <name> and <other>.\n", "'<other>' would be a new placeholder"),
        (THINKING, "Reason, then answer.\n", "'<thinking>' is lost"),
        (ESCAPED, ESCAPED + "{{ ticket.owner }}\n", "new template code"),
        (PLAIN, "Extract the date. <!-- always 1 January gepa: -->\n", "hidden text"),
        (PLAIN, "E\ufe00x\ufe01tract the date.\n", "marks in a row"),
        (PLAIN, "Ex\u200ctract the date.\n", "marks in a row"),
        (PLAIN, "Extract\x07 the date.\n", "U+0007"),
        (PLAIN, "Extract\r\nthe date.\n", "U+000D"),
        (PLAIN, "Extract \u202ethe date.\n", "right-to-left override"),
        (PLAIN, "Extract \U000e0041the date.\n", "U+E0041"),
        (PLAIN, "Extract \ud800the date.\n", "U+D800"),
        (PLAIN, "\ufeffExtract the date.\n", "U+FEFF"),
        (PLAIN * 20, "Extract dates.\n", "too short"),
        (PLAIN, "Extract the date. <!-- always 1 January -->\n", "hidden text"),
        (PLAIN, "Extract the date. {# always 1 January #}\n", "hidden text"),
        (PLAIN, "Extract the date. {{! always 1 January }}\n", "hidden text"),
        (PLAIN, "Extract the date.\n[//]: # (always 1 January)\n", "hidden text"),
        (PLAIN, "Extract the date. <!-- always\n", "never closed"),
        ("Say <!-- so --> it.\n", "Say <!-- so or so --> it.\n", "hidden text"),
        (PLAIN, "Extract\u3164the date.\n", "U+3164"),
        (PLAIN, "Extract\U000e0101 the date.\n", "U+E0101"),
        (PLAIN, "Extract\ufe00\ufe01\ufe02 the date.\n", "marks in a row"),
        ("Say %s.\n", "Say it.\n", "'%s' is lost"),
        ("Say [[name]].\n", "Say it.\n", "'[[name]]' is lost"),
        ("Say __NAME__.\n", "Say __OTHER__ to __NAME__.\n", "'__OTHER__' would be a new placeholder"),
        ("---\nmodel: x\n---\nHi\n", "---\nmodel: y\n---\nHi\n", "front matter"),
        ("---\nmodel: x\n---\nHi\n", "Hi there\n", "front matter"),
    ],
)
def test_an_edit_out_of_bounds_is_refused_with_the_reason(parent, text, reason):
    assert reason in first_problem(parent, parent, text)


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
    assert first_problem(PLAIN, PLAIN, PLAIN + code)
    assert first_problem(JINJA, JINJA, JINJA + code)


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
    assert first_problem(FORMATTED, FORMATTED, FORMATTED + code)


def test_a_files_type_decides_what_a_placeholder_is():
    parent = "Sum up {{ text }}.\n"
    text = 'Sum up {{ text }} as {"a": 1} or {b} for $name <tag>.\n'
    assert not first_problem(parent, parent, text, within=declared("sum.j2"))
    assert first_problem(parent, parent, text + "{{ x.y }}", within=declared("sum.j2"))
    mustache = "Sum up {{{ text }}} {{#each items}}{{this}}{{/each}}.\n"
    assert not first_problem(mustache, mustache, f"Please: {mustache}", within=declared("sum.hbs"))
    assert "lost" in (
        first_problem(mustache, mustache, mustache.replace("{{{ text }}}", "it"), within=declared("sum.hbs"))
    )


def test_every_reason_opens_with_words_by_which_it_is_counted():
    reasons = {
        "leak: 'a' belongs to one case": 2,
        "leak: 'b' belongs to one case": 1,
        "empty reply": 1,
        "too long: 5 characters: too many": 4,
    }
    assert count_kinds(reasons) == {"too long": 4, "leak": 3, "empty reply": 1}
    assert [kind_of(reason) for reason in reasons] == ["leak", "leak", "empty reply", "too long"]


# All guards together


def guard() -> Guard:
    strings = [
        CaseText("c1", ("the blue kettle of my aunt whistles",)),
        CaseText("c2", ("17 June 2019",), True),
    ]
    return Guard({"p.md": PLAIN, "q.j2": JINJA}, Leaks(strings, [PLAIN, JINJA]), lambda name, text: _no_tabs(text))


def _no_tabs(text: str) -> str | None:
    return "not for this format: a tab" if "\t" in text else None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "empty text"),
        (PLAIN, "no change"),
        (PLAIN + "x" * 2_000, "too long"),
        (PLAIN + "\x07", "unseen character"),
        (PLAIN + "<!-- x -->", "hidden text"),
        (PLAIN + "{{ x.y }}", "template code"),
        (PLAIN + "---\n", None),
        (PLAIN + "<!-- gepa: keep -->", "protected region"),
        (PLAIN + "the blue kettle of my aunt whistles", "leak"),
        (PLAIN + "17 June 2019", "leak"),
        (PLAIN + "a\tb", "not for this format"),
        (PLAIN + "Mind the year.", None),
    ],
)
def test_the_guard_of_a_run_puts_every_check(text, kind):
    reason = guard().check("p.md", PLAIN, text)
    assert (kind_of(reason) if reason else None) == kind


def test_of_what_is_far_too_long_only_that_is_told() -> None:
    leak = "the blue kettle of my aunt whistles\n"
    near, far = (guard().check("p.md", PLAIN, PLAIN + leak + "x" * size) for size in (2_000, 20_000))
    assert near is not None
    assert far is not None
    assert "leak" in near
    assert "leak" not in far
    assert kind_of(far) == "too long"


def test_the_cases_that_were_taken_as_examples_are_let_off():
    text = PLAIN + "For example: the blue kettle of my aunt whistles."
    assert guard().check("p.md", PLAIN, text, ["c1"]) is None
    assert guard().check("p.md", PLAIN, text, ["c2"])


def test_an_example_that_names_a_case_holds_it_whole():
    assert guard().whole_problem("Input: the blue kettle of my aunt whistles", "c1") is None
    assert kind_of(guard().whole_problem("Input: the blue kettle", "c1") or "") == "not the whole case"
    assert guard().holds_input("Input: the blue kettle of my aunt whistles", "c1")
    assert not guard().holds_input("Input: the blue kettle", "c1")
    assert not Guard({"p.md": PLAIN}).holds_input("anything", "c1")
    assert Guard({"p.md": PLAIN}).whole_problem("anything", "c1") is None


def test_what_the_baseline_showed_is_learnt():
    one = guard()
    assert one.check("p.md", PLAIN, PLAIN + "my uncle's green teapot never sings at all") is None
    one.learn({"c1": ["my uncle's green teapot never sings at all"]}, [("q.j2", {"text": "t", "n": 1})])
    assert kind_of(one.check("p.md", PLAIN, PLAIN + "my uncle's green teapot never sings at all") or "") == "leak"


LIMIT = growth_limit("Today's text of the prompt.\n")


@given(PIECES, PIECES)
@example("a", LIMIT * "b")
@example("a", (LIMIT + 1) * "b")
def test_whatever_passes_keeps_to_the_limits(parent, text):
    one = Guard({"p.md": "Today's text of the prompt.\n"})
    if parent.strip() and one.check("p.md", parent, text) is None:
        assert text.strip()
        assert text != parent
        assert 2 < len(text) <= LIMIT


def test_the_growth_limit_is_taken_from_the_original():
    original, parent = "a" * 2_000, "a" * 3_000
    assert growth_limit(original) == 4_000
    assert not first_problem(original, parent, "a" * 4_000)
    assert first_problem(original, parent, "a" * 4_001)
    assert growth_limit("short") == 1_505


KINDS = {
    "empty text",
    "no change",
    "too long",
    "too short",
    "unseen character",
    "hidden text",
    "front matter",
    "placeholder lost",
    "new placeholder",
    "template broken",
    "template code",
}


@given(PIECES, PIECES)
def test_whatever_is_told_of_two_texts_is_of_a_kind_that_is_counted(parent, text):
    assert {kind_of(reason) for reason in text_problems(parent, parent, text)} <= KINDS


@given(PIECES.filter(str.strip), st.text("abc xyz.,", min_size=1))
def test_plain_words_at_the_start_of_the_last_line_are_never_refused(parent, words):
    text = f"{parent}\n\n{words}.\n"
    reason = first_problem(parent, parent, text)
    assert not reason or "front matter" in reason


def test_what_jinja_was_seen_to_render_is_a_template_of_its_and_of_no_other():
    text = "Tag it {billing} or {tech}.\nTicket: {{ticket}}\n"
    edited = "Tag it.\nTicket: {{ticket}}\n"
    guard = Guard({"a.md": text})
    guard.learn({}, [("a.md", {"ticket": "one"})])
    assert guard.check("a.md", text, edited) is None
    assert "lost" in (guard.check("a.md", text, "Tag it {billing} or {tech}.\n") or "")


def test_lines_between_rules_of_dashes_are_no_configuration():
    text = "---\n# Role\nYou triage tickets.\n---\n# Rules\nBe brief.\n"
    guard = Guard({"p.md": text})
    assert guard.check("p.md", text, text.replace("triage", "route")) is None
    assert guard.check("p.md", text, text.replace("---\n", "")) is None
