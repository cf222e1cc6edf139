"""Texts that are shown line by line, without the secrets that go over several lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.summary import summarize
from pytest_gepa.trace.redact import REDACTED, Redactor
from pytest_gepa.trace.redact_lines import HiddenLines, redact_by_line

redact = Redactor({}, [r"(?s)<private>.*?</private>", r"\d{6}"]).redact


def test_a_text_without_secrets_is_divided_into_its_lines() -> None:
    assert redact_by_line("one\n\ntwo\n", redact).splitlines() == ["one", "", "two"]


def test_a_secret_over_several_lines_is_marked_in_each_of_them() -> None:
    text = "Use <private>\nACME\n\nand partners\n</private> only.\nAccount 123456.\n"

    assert redact_by_line(text, redact).splitlines() == [
        "Use [redacted]",
        "[redacted]",
        "",
        "[redacted]",
        "[redacted] only.",
        "Account [redacted].",
    ]


@pytest.mark.parametrize("text", ["Was [redacted] before.\n123456\n", "[redacted][redacted]", "[redacted]"])
def test_marks_that_stand_there_already_stay(text: str) -> None:
    assert redact_by_line(text, redact) == redact(text)


def test_of_what_is_not_only_marked_the_lines_are_shown_as_they_come() -> None:
    assert redact_by_line("a\nb", lambda text: f"x{text}\ny") == "xa\nb\ny"


pieces = st.sampled_from(
    ["<private>", "</private>", "123456", REDACTED, "a", "b c", "\n", "\r\n", "\x0b", "\u2028", "\r"]
)


@given(st.lists(pieces, max_size=14).map("".join))
def test_it_shows_no_more_than_the_whole_text_redacted_and_as_many_lines(text: str) -> None:
    lines = redact_by_line(text, redact).splitlines()
    flat = redact_by_line(text, redact)

    assert len(lines) == len(text.splitlines())
    assert _visible(flat) == _visible(redact(text))


def _visible(text: str) -> str:
    return "".join(text.replace(REDACTED, "").split())


PROMPT = "Route.\n<private>\n    ACME pays late.\n---\n</private>\nKeep it short.\n"
LONG = "It is " + "a very long word for " * 20


def test_a_line_of_a_secret_is_hidden_where_a_change_shows_it() -> None:
    hidden = HiddenLines([PROMPT], redact)

    assert hidden.redact("- ACME pays late.\n+ Keep it short.\n+ Ask 123456.") == (
        "- [redacted]\n+ Keep it short.\n+ Ask [redacted]."
    )
    assert hidden.redact("    ACME pays late.") == "[redacted]"
    assert hidden.redact("---") == "---"


def test_the_rest_of_a_line_in_which_a_secret_ends_is_shown() -> None:
    hidden = HiddenLines(["<private>\nACME</private> is a client.\n"], redact)

    assert hidden.redact("+ ACME</private> is a client.") == "+ [redacted] is a client."


def test_a_long_line_of_a_secret_is_known_by_its_beginning() -> None:
    text = f"<private>\n{LONG}\n</private>\n"
    (shown,) = summarize(text, text.replace("It is", "It was")).splitlines()[:1]

    assert shown.startswith("- It is a very long word")
    assert shown.endswith("...")
    assert HiddenLines([text], redact).redact(shown) == "- [redacted]"


def test_texts_without_secrets_hide_nothing() -> None:
    assert HiddenLines(["ACME\n"], redact).redact("ACME <private>\n</private>") == "ACME [redacted]"


@given(st.lists(st.sampled_from(["<private>", "</private>", "one", "two", "three"]), max_size=10))
def test_no_line_of_a_text_shows_what_the_whole_text_hides(lines: list[str]) -> None:
    text = "\n".join(lines)
    hidden = HiddenLines([text], redact)

    for line, shown in zip(lines, redact_by_line(text, redact).splitlines(), strict=True):
        if shown == REDACTED:
            assert hidden.redact(f"+ {line}") == f"+ {REDACTED}"
