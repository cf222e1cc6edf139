"""Short reviews, each to be called positive, negative or neutral, in that one word."""

from __future__ import annotations

import app
import pytest

SEARCH = [
    ("I love this kettle, it boils in no time.", "positive"),
    ("The strap broke on the second day. Awful.", "negative"),
    ("The package contains two cables and a manual.", "neutral"),
    ("Best pillow I have ever slept on!", "positive"),
    ("Terrible sound, I sent it back.", "negative"),
    ("The box arrived on Tuesday.", "neutral"),
    ("A wonderful book, I read it twice.", "positive"),
    ("The waiter was rude and the soup was cold.", "negative"),
    ("The table is made of pine.", "neutral"),
    ("Great value, and the staff were so friendly.", "positive"),
    ("It leaks everywhere. A waste of money.", "negative"),
    ("The lamp has a cord of two metres.", "neutral"),
    ("My children adore this game.", "positive"),
    ("I regret buying these shoes, they hurt.", "negative"),
    ("It comes in blue, grey and green.", "neutral"),
    ("Works perfectly, I am delighted.", "positive"),
    ("The screen flickers and support never answered.", "negative"),
    ("The film lasts ninety minutes.", "neutral"),
    ("The cake was delicious, thank you!", "positive"),
    ("The worst hotel I have stayed in.", "negative"),
    ("The shop is open from nine to five.", "neutral"),
    ("A superb little camera, sharp pictures.", "positive"),
    ("The jacket fell apart after one wash.", "negative"),
    ("The set has six glasses.", "neutral"),
    ("Fantastic concert, we danced all night.", "positive"),
    ("Boring plot and dreadful acting.", "negative"),
    ("The app needs 80 megabytes of space.", "neutral"),
    ("So comfortable, I bought a second pair.", "positive"),
    ("It arrived late, dirty and scratched.", "negative"),
    ("The bag weighs one kilogram.", "neutral"),
]

HELD_OUT = [
    ("An excellent guide, clear and full of good ideas.", "positive"),
    ("The battery died within a week, very disappointing.", "negative"),
    ("The mug holds 300 millilitres.", "neutral"),
    ("We had a lovely stay and will come again.", "positive"),
    ("The pizza was burnt and far too expensive.", "negative"),
    ("The museum is next to the station.", "neutral"),
    ("This vacuum cleaner is a joy to use.", "positive"),
    ("I hate the smell of this soap.", "negative"),
    ("The keyboard has 104 keys.", "neutral"),
    ("The dentist was gentle and kind, I am grateful.", "positive"),
    ("Useless instructions, nothing fits together.", "negative"),
    ("The novel was published in spring.", "neutral"),
    ("Beautiful colours and a perfect fit.", "positive"),
    ("They lost my order and refused a refund.", "negative"),
    ("The towel is one metre long.", "neutral"),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [*SEARCH, *(pytest.param(*case, marks=pytest.mark.gepa(split="holdout")) for case in HELD_OUT)],
)
def test_sentiment_is_one_word(text: str, expected: str) -> None:
    answer = app.answer(text)
    assert answer == expected, f"expected exactly {expected!r}, the answer was {answer!r}"
