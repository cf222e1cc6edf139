"""An addition that names no place goes to the end, but not behind the input that is filled in there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.edits import Edit, apply_edits
from pytest_gepa.prompts.input_place import addition_place


def added(text: str, kind: str = "add", addition: str = "New.") -> str:
    return apply_edits(text, [Edit(kind, text=addition)])


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Find dates.\n\nText: {text}\nDate:\n", "Find dates.\nNew.\n\nText: {text}\nDate:\n"),
        ("Rules:\n- one\n\n{{ text }}\n", "Rules:\n- one\n- New.\n\n{{ text }}\n"),
        ("Do it.\n\n## Input\n\n$text\n", "Do it.\nNew.\n\n## Input\n\n$text\n"),
        (
            "Do it.\n\nContext:\n{context}\n\nQuestion: {question}\nAnswer:",
            "Do it.\nNew.\n\nContext:\n{context}\n\nQuestion: {question}\nAnswer:",
        ),
        ("You help {name}.\n\nQuestion: {question}\n", "You help {name}.\nNew.\n\nQuestion: {question}\n"),
        ("Review: {text}\nSentiment:\n", "New.\n\nReview: {text}\nSentiment:\n"),
        ("Text:\n\n{text}\n", "New.\n\nText:\n\n{text}\n"),
        ("Do it.\n\n问题：\n\n{question}\n", "Do it.\nNew.\n\n问题：\n\n{question}\n"),
        (
            "Rules:\n- Answer in {language}.\n\nTicket: {ticket}\n",
            "Rules:\n- Answer in {language}.\n- New.\n\nTicket: {ticket}\n",
        ),
        (
            "Do it.\n\nTicket:\n- Subject: {subject}\n- Body: {body}\n",
            "Do it.\nNew.\n\nTicket:\n- Subject: {subject}\n- Body: {body}\n",
        ),
        (
            "Help {company}.\n\nContext:\n{context}\n\nQuestion: {question}\nAnswer:",
            "Help {company}.\nNew.\n\nContext:\n{context}\n\nQuestion: {question}\nAnswer:",
        ),
        (
            "Help {company}.\n\nCustomer: {customer}\n\nTicket: {ticket}\n",
            "Help {company}.\nNew.\n\nCustomer: {customer}\n\nTicket: {ticket}\n",
        ),
        (
            "Review for {company}.\n\nFile: {path}\n\n```diff\n{diff}\n```\n",
            "Review for {company}.\nNew.\n\nFile: {path}\n\n```diff\n{diff}\n```\n",
        ),
        (
            "Help {{ company }}.\n\nContext:\n{{ context }}\n\nQuestion: {{ question }}\nAnswer:",
            "Help {{ company }}.\nNew.\n\nContext:\n{{ context }}\n\nQuestion: {{ question }}\nAnswer:",
        ),
        (
            "Help {company}.\n\nAnswer in {language}.\n\nContext: {context}\n\nQuestion: {question}\n",
            "Help {company}.\n\nAnswer in {language}.\nNew.\n\nContext: {context}\n\nQuestion: {question}\n",
        ),
    ],
)
def test_it_goes_before_the_input_at_the_end(text: str, after: str) -> None:
    assert added(text) == after


@pytest.mark.parametrize(
    "input_",
    [
        "Question: {question}\n\nAnswer:\n",
        "### Input:\n{input}\n\n### Response:\n",
        "Human: {text}\n\nAssistant:",
        "<doc>{doc}</doc>\n\n<answer>\n",
        "<doc>\n\n{doc}\n\n</doc>\n\n---\n\nLabel:",
        "Text: %s\nSummary:\n",
        "Text: %(text)s\n",
        "Text: {}\nSummary:\n",
        "Text: {0}\n",
        "Translate this into French:\n\n{}\n",
    ],
)
def test_it_goes_before_an_input_in_whatever_form_and_what_calls_for_the_answer(input_: str) -> None:
    assert added(f"Do it.\n\n{input_}") == f"Do it.\nNew.\n\n{input_}"
    assert added(input_) == (f"New.\n\n{input_}" if input_ not in ALONE else f"{input_}New.\n")


ALONE = {"Text: %(text)s\n", "Text: {0}\n"}
"""One paragraph that does not call for an answer: rules stand behind the input."""


@pytest.mark.parametrize(
    "blocks",
    [
        "{% if text %}\nText: {{ text }}\n{% endif %}\n",
        "{% if text %}\n\nText: {{ text }}\n\n{% endif %}\n",
        "{% if h %}H: {{ h }}{% endif %}\n\nTicket: {{ t }}\nLabel:\n",
        "{% for e in shots %}\nTicket: {{ e.t }}\nLabel: {{ e.l }}\n{% endfor %}\n\nTicket: {{ t }}\nLabel:\n",
        "{% if h %}\nThat was said before:\n\nHello.\n\n{{ h }}\n{% endif %}\n\nTicket: {{ t }}\n",
        "{% set n = 1 %}\nTicket {{ n }}: {{ t }}\n\nLabel:\n",
        "{{#each shots}}\nQ: {{q}}\n{{/each}}\n\nQ: {{question}}\n",
    ],
)
def test_it_goes_before_whole_blocks_of_template_code(blocks: str) -> None:
    assert added(f"Do it.\n\n{blocks}") == f"Do it.\nNew.\n\n{blocks}"


@pytest.mark.parametrize(
    "text",
    [
        "Find dates.\n\nBe brief.\n",
        "What is the sentiment of this review? {text}\n",
        "Text: {text}\n\nFind the date in it.\n",
        'Answer as JSON.\n\n{"a": 1}\n',
        "{% if a %}\nDo it.\n\nText: {{ text }}\n{% endif %}\n",
        "Do it.\n\n{% if brief %}\nBe brief.\n{% endif %}\n",
        "Text: {text}\n\n{% if brief %}Be brief.{% endif %}\n",
        "Do it.\n\n<% if text %>\nText: {text}\n<% end %>\n",
        "You help {name}.\n\n## Rules\n",
        "Text: {text}\n\nLearned rules:\n",
        'Extract from {text}.\n\nAnswer with JSON:\n```json\n{"a": 1}\n```\n',
        "Answer as JSON:\n\n```json\n{}\n```\n",
        "Find it.\n\nIf there is none, return {}.\n",
        "Find it.\n\nThey match \\d{4}.\n",
        "Find it.\n\nA month is %m.\n",
        "---\nname: x\n---\n\n{text}\n",
        "Do it.\n\n<text>\n",
    ],
)
def test_elsewhere_it_goes_to_the_end(text: str) -> None:
    assert addition_place(text) == len(text)
    assert added(text) == text + "New.\n"


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Rules:\n- Amounts in {currency}.\n- Be brief.\n", "- New."),
        ("Extract totals.\n\nRules:\n- Amounts in {currency}.\n- Dates as YYYY-MM-DD.\n", "- New."),
        ("You serve {company}.\n\n## Rules\n\n1. Answer in {language}.\n2. Be brief.\n", "3. New."),
        ("- Answer in this language: {language}\n- Be brief.\n- Be kind.\n", "- New."),
        ("Rules:\n- Answer in {language},\n  in a few words.\n", "- New."),
    ],
)
def test_a_list_of_rules_is_no_input(text: str, after: str) -> None:
    assert added(text) == f"{text}{after}\n"


def test_an_example_stands_apart_from_the_input() -> None:
    text = "Find dates.\n\nText: {text}\nDate:\n"
    example = "Text: 1 May\nDate: 05-01"
    assert added(text, "example", example) == f"Find dates.\n\n{example}\n\nText: {{text}}\nDate:\n"


def test_several_additions_keep_their_order() -> None:
    edits = [Edit("add", text=word) for word in ("one", "two")]
    assert apply_edits("Text: {text}\nDate:", edits) == "one\ntwo\n\nText: {text}\nDate:"


def test_nothing_goes_into_a_protected_region() -> None:
    text = "Do it.\n<!-- gepa: keep -->\nSafe.\n\nText: {text}\n<!-- gepa: end -->\n"
    assert added(text) == text + "New.\n"


TURNS = "system:\nYou classify tickets.\n\nuser:\nMy card was charged twice.\n\nassistant:\nbilling\n\n"
ALPACA = "Classify it.\n\n### Input:\nMy card was charged twice.\n\n### Response:\nbilling\n\n"
DASHES = "---\n# Role\nYou triage.\n---\n\n"


@pytest.mark.parametrize(
    ("text", "above"),
    [
        (f"{TURNS}user:\n{{{{question}}}}", "system:\nYou classify tickets.\n"),
        (f"{TURNS}user:\n\n{{question}}\n", "system:\nYou classify tickets.\n"),
        (f"{ALPACA}### Input:\n{{input}}\n\n### Response:\n", "Classify it.\n"),
        (f"{ALPACA}### Input:\n\n{{input}}\n\n### Response:\n", "Classify it.\n"),
        ("Do it.\n\n## Examples\n\nText:\na\n\nDate:\nb\n\nText:\n{text}\n\nDate:\n", "Do it.\n"),
        ("Do it.\n\n```\na\n```\n\nBe brief.\n\n```\n{text}\n```\n", "Do it.\n\n```\na\n```\n\nBe brief.\n"),
        (f"{DASHES}Be brief.\n\nTicket: {{ticket}}\n\nLabel:\n", f"{DASHES}Be brief.\n"),
    ],
)
def test_it_goes_before_the_examples_that_are_told_in_the_turns_of_the_input(text: str, above: str) -> None:
    assert text.startswith(above)
    assert added(text) == f"{above}New.\n{text.removeprefix(above)}"


def test_where_the_turns_begin_in_a_protected_region_it_goes_before_the_input_alone() -> None:
    text = "Do it.\n// gepa: keep\n\nText:\na\n\nDate:\nb\n// gepa: end\n\nText:\n{text}\n\nDate:\n"
    place = text.rindex("Text:")
    assert addition_place(text) == place
    assert added(text) == f"{text[: place - 1]}New.\n\n{text[place:]}"


def test_a_section_with_such_examples_is_rewritten_up_to_the_input() -> None:
    text = f"## Task\n\n{ALPACA}### Input:\n{{input}}\n\n### Response:\n"
    made = apply_edits(text, [Edit("section", "## Task", "Be brief.")])
    assert made == "## Task\n\nBe brief.\n\n### Input:\n{input}\n\n### Response:\n"


PIECES = st.sampled_from(
    (
        *("{text}", "{{ x }}", "$x", "%s", "{}", "{% if x %}", "{% endif %}", "<t>", "</t>"),
        *("Text:", "- one", "# Head", "\n", "\n\n", "Say.", "---", " "),
    )
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_what_was_there_stays_in_its_order(text: str) -> None:
    place = addition_place(text)
    assert 0 <= place <= len(text)
    assert place == len(text) or place == 0 or text[place - 1] == "\n"
    result = added(text)
    new = "- New." if "- New." in result else "New."
    assert result.replace(new, "", 1).split() == text.split()
    assert result.count("New.") == 1


@pytest.mark.parametrize(
    ("above", "below"),
    [
        (
            "Route.\n\n",
            "<example>\nA customer writes.\n\n<input>\nfoo\n</input>\n</example>\n\n<input>\n{text}\n</input>\n",
        ),
        ("# Task\nRoute.\n\n# Rules\n- a\n\n", "# Task\n{mail}\n"),
        (
            "Rules for mail.\n\nInput:\nthe customer's mail, as text.\n\nRules:\n- a\n- b\n\n",
            "Input:\n{mail}\n",
        ),
    ],
)
def test_what_is_added_goes_neither_into_an_example_nor_above_the_rules(above: str, below: str) -> None:
    assert addition_place(above + below) == len(above)
