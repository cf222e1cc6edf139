"""What an edit adds to a prompt that is filled in: its signs are escaped where, and only where, the text needs it."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.guards import Guard

FORMAT = "Read the amount.\nText: {text}\n"
ESCAPED = 'Answer like this: {{"amount": 1}}\nText: {text}\n'
DOLLAR = "Read the amount of $company.\nText: ${text}\n"
PRINTF = "Read the amount.\nText: %s\n"
JSON = 'Answer {"amount": {"value": 1}}.'
DOUBLED = 'Answer {{"amount": {{"value": 1}}}}.'


def written(parent: str, addition: str, component: str = "p.md", **options: object) -> str:
    guard = Guard({component: parent}, **options)  # type: ignore[arg-type]
    text = guard.escaped(component, parent, addition)
    assert guard.check(component, parent, f"{text}\n{parent}") is None
    return text


@pytest.mark.parametrize(
    ("parent", "addition", "expected"),
    [
        pytest.param(FORMAT, "Be brief.", "Be brief.", id="nothing to escape"),
        pytest.param(FORMAT, JSON, DOUBLED, id="JSON"),
        pytest.param(FORMAT, DOUBLED, DOUBLED, id="escaped already"),
        pytest.param(FORMAT, '{\n  "a": {\n  }\n}', '{{\n  "a": {{\n  }}\n}}', id="over several lines"),
        pytest.param(FORMAT, '{{\n  "a": 1\n}}', '{{\n  "a": 1\n}}', id="escaped, over several lines"),
        pytest.param(FORMAT, "Answer {amount} {unit}.", "Answer {{amount}} {{unit}}.", id="a form, no field"),
        pytest.param(FORMAT, 'Give {"a": 1} for {text}', 'Give {{"a": 1}} for {text}', id="beside the field"),
        pytest.param(ESCAPED, f"{ESCAPED}{JSON}", f"{ESCAPED}{DOUBLED}", id="lines that stand there stay"),
        pytest.param(DOLLAR, "As in $5 or $companys.", "As in $$5 or $$companys.", id="dollars"),
        pytest.param(DOLLAR, "As in $$5 for $company.", "As in $$5 for $company.", id="dollars, escaped already"),
        pytest.param(DOLLAR, JSON, JSON, id="braces are nothing to string.Template"),
        pytest.param(PRINTF, "As in 12 % of it.", "As in 12 %% of it.", id="percents"),
        pytest.param(PRINTF, "100 %% sure", "100 %% sure", id="percents, escaped already"),
        pytest.param("Read it.\n", JSON, JSON, id="a text that is not filled in"),
        pytest.param('Like {"a": 1}, for {text}.\n', JSON, JSON, id="a text that str.format cannot fill in"),
        pytest.param("Text: {{ text }}\n", JSON, JSON, id="Jinja2"),
        pytest.param("Costs ${price}: {text}\n", f"$5 {JSON}", f"$5 {DOUBLED}", id="a price in dollars"),
        pytest.param("Name $x: {text}\n", f"12 % {JSON}", f"12 % {DOUBLED}", id="one of two syntaxes"),
        pytest.param("Translate {} into {}.\n", JSON, DOUBLED, id="fields without a name"),
        pytest.param("Read $x, %s.\n", JSON, JSON, id="two others"),
        pytest.param(ESCAPED, f"{DOUBLED}\nOr {JSON}", f"{DOUBLED}\nOr {DOUBLED}", id="escaped in part"),
        pytest.param(FORMAT, '{"a":\n {"b": 1\n}}', '{{"a":\n {{"b": 1\n}}}}', id="two ends of JSON in a line"),
    ],
)
def test_signs_are_doubled_where_the_text_is_filled_in_by_them(parent: str, addition: str, expected: str) -> None:
    assert written(parent, addition) == expected


def test_a_rule_that_speaks_of_a_field_does_not_put_the_input_in_twice() -> None:
    guard = Guard({"p.md": FORMAT})
    rule = "If {text} names no amount, answer {}."
    assert guard.escaped("p.md", FORMAT, rule, is_addition=True).format() == rule
    assert guard.escaped("p.md", FORMAT, "The text: {text}") == "The text: {text}"


@pytest.mark.parametrize(
    ("parent", "rule", "read"),
    [
        (FORMAT, 'Read {text}.\n{{\n  "a": 1\n}}', 'Read {text}.\n{\n  "a": 1\n}'),
        (FORMAT, 'If {text} is empty, {{"a": {{}}}}.', 'If {text} is empty, {"a": {}}.'),
        (FORMAT, 'Read {text}.\n{\n  "a": 1\n}', 'Read {text}.\n{\n  "a": 1\n}'),
        (FORMAT, "}{text}}", "}{text}}"),
        ("Sum {} up.\n", "If {} is empty:\n{{\n}}", "If {} is empty:\n{\n}"),
    ],
)
def test_beside_a_field_that_a_rule_speaks_of_what_is_escaped_stays(parent: str, rule: str, read: str) -> None:
    guard = Guard({"p.md": parent})
    assert guard.escaped("p.md", parent, rule, is_addition=True).format() == read


def test_a_text_of_a_case_is_meant_as_it_stands() -> None:
    guard = Guard({"p.md": FORMAT})
    assert guard.escaped("p.md", FORMAT, "Hello {{name}}", is_raw=True).format() == "Hello {{name}}"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("Text: {{text}}", "Text: {text}"),
        ("Never write {{text}}: {text}", "Never write {text}: A cup."),
        ("{{{text}}}", "{A cup.}"),
        ('{"of": "{text}"}', '{"of": "A cup."}'),
    ],
)
def test_in_a_passage_that_is_replaced_fields_are_told_from_what_is_escaped(text: str, made: str) -> None:
    assert Guard({"p.md": FORMAT}).escaped("p.md", FORMAT, text).format(text="A cup.") == made


def test_an_input_that_is_escaped_by_mistake_is_lost() -> None:
    guard = Guard({"p.md": FORMAT})
    text = guard.escaped("p.md", FORMAT, "Read the amount.\nText: {{text}}\n")
    assert "placeholder lost" in (guard.check("p.md", FORMAT, text) or "")


def test_where_placeholders_are_replaced_tags_may_be_placeholders_too() -> None:
    parent = "Context: <context>\nQuestion: {question}\nAnswer it well."
    guard = Guard({"p.md": parent}, replaced=["p.md"])
    assert "placeholder lost" in (guard.check("p.md", parent, "Question: {question}\nAnswer it well.") or "")


def test_what_a_file_or_a_rendering_tells_of_the_syntax_is_heeded() -> None:
    assert written(FORMAT, JSON, component="p.j2") == JSON
    assert written(FORMAT, JSON, replaced=["p.md"]) == JSON
    assert written(FORMAT, JSON, replaced=["other.md"]) == DOUBLED


SENT = "Call GET /orders/{order_id} to look an order up. Paths begin at $HOME."


def test_in_a_text_that_is_sent_as_it_stands_nothing_is_a_placeholder() -> None:
    guard = Guard({"p.md": f"{SENT}\n", "q.md": f"{SENT}\nText: {{text}}\n"})
    guard.learn({}, requests=[f"You help.\n{SENT}\nWhere is my order?", f"{SENT}\nText: a cup"])
    addition = 'Answer {"status": "..."}, from $5 on, by /items/{item_id}.'
    assert guard.escaped("p.md", f"{SENT}\n", addition) == addition
    assert guard.check("p.md", f"{SENT}\n", f"{SENT}\n{addition}\n") is None
    # The other one has a line that nobody was sent: it is filled in.
    assert "{{item_id}}" in guard.escaped("q.md", f"{SENT}\nText: {{text}}\n", addition)


def test_that_another_prompt_names_a_field_does_not_show_that_it_is_sent_so() -> None:
    one, other = "Answer the question in full.\n{question}\n", "Rewrite it so that {question} stays.\n"
    guard = Guard({"a.md": one, "b.md": other})
    guard.learn({}, requests=["Answer the question in full.\nWhat is up?", other])
    assert "lost" in (guard.check("a.md", one, "Answer the question in one word.\n") or "")
    assert guard.check("b.md", other, "Rewrite it as you like, and well.\n") is None


@pytest.mark.parametrize(
    "text",
    [
        'Ticket: {ticket}\nAnswer as {{"category": "..."}}.\n',
        "Category: <category>\nReason: <reason>\n\nTicket: {ticket}\n",
        "Category: <category>\nCost in [[currency]], with __MARKS__ and $5.\n\nTicket: {ticket}\n",
    ],
)
def test_beside_fields_of_str_format_tags_are_a_form_that_may_change(text: str) -> None:
    parent = "Category: <category>\n\nTicket: {ticket}\n"
    assert Guard({"p.md": parent}).check("p.md", parent, text) is None


def test_beside_fields_of_str_format_a_variable_may_be_named_and_none_may_be_lost() -> None:
    parent = "Paths begin at $HOME.\n\nTask: {task}\n"
    guard = Guard({"p.md": parent})
    assert guard.check("p.md", parent, parent + "Name $project and ${FILE}.\n".replace("{FILE}", "{{FILE}}")) is None
    assert "lost" in (guard.check("p.md", parent, "Begin at home.\n\nTask: {task}\n") or "")


def test_where_braces_are_replaced_a_field_may_still_not_be_lost() -> None:
    guard = Guard({"p.md": FORMAT}, replaced=["p.md"])
    assert "{text} is lost" in (guard.check("p.md", FORMAT, "Read the amount.\n") or "").replace("'", "")
    assert "new placeholder" in (guard.check("p.md", FORMAT, FORMAT + "Or: {other}\n") or "")


def test_json_of_any_depth_may_stand_beside_fields_of_jinja2() -> None:
    parent = "Text: {{ text }}\n"
    deep = '{"a": {"b": {"c": {"d": 1}}}}\n'
    assert Guard({"p.md": parent}).check("p.md", parent, deep + parent) is None


MENTION = re.compile(r"(?<!\{)((?:\{\{)*)\{text\}")
"""A field behind no sign that stands alone."""

PIECES = st.lists(st.sampled_from(["{", "}", "{{", "}}", "{text}", "a", '"b": 1', " ", "\n"]), max_size=14)


@given(PIECES.map("".join))
def test_what_str_format_makes_of_a_rule_is_what_was_meant(addition: str) -> None:
    text = Guard({"p.md": FORMAT}).escaped("p.md", FORMAT, addition, is_addition=True)
    if not has_single(addition, "{}"):
        assert text == addition
        return
    apart = MENTION.sub(r"\1@", addition)
    if not has_single(apart, "{}"):
        assert text.format() == unescaped(apart).replace("@", "{text}")
        return
    meant = [line if is_meant(line) else unescaped(line) for line in addition.split("\n")]
    assert text.format(text="TEXT").split("\n") == meant


@given(PIECES.map("".join))
def test_what_a_case_says_is_read_to_the_letter(addition: str) -> None:
    guard = Guard({"p.md": FORMAT})
    assert guard.escaped("p.md", FORMAT, addition, is_raw=True).format(text="TEXT") == addition


@given(st.text(alphabet="$ab5 \n", max_size=30))
def test_what_string_template_makes_of_it_is_what_was_meant(addition: str) -> None:
    text = Guard({"p.md": DOLLAR}).escaped("p.md", DOLLAR, addition)
    lines = [line if has_single(line, "$") else line.replace("$$", "$") for line in addition.split("\n")]
    assert string.Template(text).substitute() == "\n".join(lines)


@pytest.mark.parametrize("line", ["If there is none, answer {}.", r"Numbers match INV-\d{5}."])
def test_a_field_without_a_name_is_none_in_a_text_that_is_sent_as_it_stands(line: str) -> None:
    parent, addition = f"Find the order in the mail.\n{line}\n", 'Answer like {"order": 1}.'
    guard = Guard({"p.md": parent})
    guard.learn({}, requests=[parent.strip(), "Where is my order?"])
    assert guard.escaped("p.md", parent, addition, is_addition=True) == addition
    assert guard.check("p.md", parent, f"{parent}{addition}\n") is None
    assert guard.check("p.md", parent, "Find the order in the mail, or say none.\n") is None


def test_a_quantifier_that_an_edit_has_put_in_is_no_field() -> None:
    guard, parent = Guard({"p.md": "Read the mail.\n"}), "Read the mail.\nNumbers match \\d{5}.\n"
    assert guard.check("p.md", parent, parent + 'Answer like {"order": 1}.\n') is None
    assert guard.check("p.md", parent, "Read the mail, all of it.\n") is None


def has_single(text: str, signs: str) -> bool:
    for sign in signs:
        text = text.replace(2 * sign, " ")
    return any(sign in text for sign in signs)


def is_meant(line: str) -> bool:
    """Whether a line of a rule is what the model shall read, and not what the file has to say."""
    return has_single(line, "{}") or line.count("{") != line.count("}")


def unescaped(line: str) -> str:
    return line.replace("{{", "{").replace("}}", "}")
