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
    ],
)
def test_it_goes_before_the_input_at_the_end(text: str, after: str) -> None:
    assert added(text) == after


@pytest.mark.parametrize(
    "text",
    [
        "Find dates.\n\nBe brief.\n",
        "What is the sentiment of this review? {text}\n",
        "Text: {text}\n\nFind the date in it.\n",
        'Answer as JSON.\n\n{"a": 1}\n',
        "Do it.\n\n{% if text %}\nText: {{ text }}\n{% endif %}\n",
        "---\nname: x\n---\n\n{text}\n",
        "Do it.\n\n<text>\n",
    ],
)
def test_elsewhere_it_goes_to_the_end(text: str) -> None:
    assert addition_place(text) == len(text)
    assert added(text) == text + "New.\n"


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


PIECES = st.sampled_from(
    ["{text}", "{{ x }}", "$x", "Text:", "- one", "# Head", "\n", "\n\n", "Say.", "---", " "]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_what_was_there_stays_in_its_order(text: str) -> None:
    place = addition_place(text)
    assert 0 <= place <= len(text)
    assert place == len(text) or place == 0 or text[place - 1] == "\n"
    result = added(text)
    if text.strip():
        assert result.replace("New.", "", 1).split() == text.split() or "- New." in result
    assert result.count("New.") == 1
