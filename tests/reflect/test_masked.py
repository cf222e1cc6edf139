from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.reflect.masked import Masked
from pytest_gepa.reflect.reply import ReplyError
from pytest_gepa.trace.redact import Redactor

ONE, OTHER = "swordfish-4711", "battery-staple"
redact = Redactor({"A_KEY": ONE, "B_KEY": OTHER}).redact


def test_a_text_without_secrets_is_shown_as_it_is() -> None:
    text = "Answer in one word."

    assert Masked.of(text, redact) == Masked(text)
    assert Masked(text).restore("Another text.") == "Another text."


def test_an_edit_beside_a_secret_keeps_the_secret() -> None:
    masked = Masked.of(f"Key: {ONE}.\nAnswer.\nUse {OTHER}, {ONE}.", redact)

    assert masked.shown == "Key: [redacted].\nAnswer.\nUse [redacted], [redacted]."
    assert masked.restore(masked.shown + "\nBe brief.") == f"Key: {ONE}.\nAnswer.\nUse {OTHER}, {ONE}.\nBe brief."


@pytest.mark.parametrize(
    "edited",
    [
        "Answer.\nUse [redacted].",
        "Key: [redacted]!\nAnswer.\nUse [redacted].",
        "Use [redacted].\nAnswer.\nKey: [redacted].",
        "Key: [redacted].\nUse [redacted].\nAnd [redacted].",
    ],
)
def test_an_edit_of_a_line_with_a_secret_is_refused(edited: str) -> None:
    with pytest.raises(ReplyError, match="redacted part changed"):
        Masked.of(f"Key: {ONE}.\nUse {OTHER}.", redact).restore(edited)


@given(st.lists(st.sampled_from([ONE, OTHER, "[redacted]", "a", ".", "\n", "(.*", ONE[:5]]), max_size=12))
def test_a_text_that_is_not_edited_comes_back_whole(parts: list[str]) -> None:
    text = "".join(parts)
    masked = Masked.of(text, redact)

    assert masked.restore(masked.shown) == text
    assert ONE not in masked.shown


BLOCK = "<private>\nACME Ltd pays late, its credit line is 40.\nAsk Zoe Quist first.\n</private>"
hide = Redactor({"A_KEY": ONE}, [r"(?s)<private>.*?</private>"]).redact


@pytest.mark.parametrize("quoted", [str, repr], ids=["plain", "escaped"])
@pytest.mark.parametrize("length", [20, 40, 60, 200])
def test_what_quotes_a_piece_of_a_secret_says_nothing_of_it(length: int, quoted: Callable[[str], str]) -> None:
    text = f"You route.\n{BLOCK}\nUse {ONE}."
    masked = Masked.of(text, hide)
    said = masked.without_secrets(f"hidden text: {quoted(text[11:][:length])} would be a comment")

    assert said.startswith("hidden text: ")
    assert said.endswith("would be a comment")
    assert "[redacted]" in said
    assert not [word for word in ("private", "ACME", "credit", "Zoe", ONE) if word in said]


def test_what_speaks_of_something_else_stays() -> None:
    told = "too long: the edited text has 4711 characters"
    assert Masked.of(f"Key: {ONE}.", redact).without_secrets(told) == told
    assert Masked("Key.").without_secrets(told) == told
