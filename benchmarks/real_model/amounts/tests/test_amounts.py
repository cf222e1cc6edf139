"""Sums of money, each to be given as JSON: the number, and the currency's three letters."""

from __future__ import annotations

import json

import app
import pytest


def money(amount: float, currency: str) -> dict[str, object]:
    return {"amount": amount, "currency": currency}


SEARCH = [
    ("The invoice comes to 1,250 euros.", money(1250, "EUR")),
    ("We paid $40 for the taxi.", money(40, "USD")),
    ("Her ticket cost 18.50 pounds.", money(18.5, "GBP")),
    ("The fine is 300 Swiss francs.", money(300, "CHF")),
    ("A night in the hotel is 9,800 yen.", money(9800, "JPY")),
    ("They raised 75 dollars at the fair.", money(75, "USD")),
    ("The repair was billed at €212.", money(212, "EUR")),
    ("He still owes me £60.", money(60, "GBP")),
    ("The deposit of 500 euros is due today.", money(500, "EUR")),
    ("Lunch was 14.20 dollars in all.", money(14.2, "USD")),
    ("The old lamp was sold for 85 pounds.", money(85, "GBP")),
    ("Parking costs 3.50 euros an hour.", money(3.5, "EUR")),
    ("The grant is worth $12,000.", money(12000, "USD")),
    ("The new bell cost 6,400 Swiss francs.", money(6400, "CHF")),
    ("A bowl of noodles is 950 yen here.", money(950, "JPY")),
    ("The membership fee went up to £35.", money(35, "GBP")),
    ("She won 2,000 euros in the raffle.", money(2000, "EUR")),
    ("The damage was put at 730 dollars.", money(730, "USD")),
    ("The violin was insured for 15,000 pounds.", money(15000, "GBP")),
    ("Please transfer €99.90 by Friday.", money(99.9, "EUR")),
    ("A ski pass is 68 Swiss francs a day.", money(68, "CHF")),
    ("The charity received $5,600 last month.", money(5600, "USD")),
    ("Two coffees came to 7.40 euros.", money(7.4, "EUR")),
    ("The train to Kyoto is 13,320 yen.", money(13320, "JPY")),
    ("His first bicycle cost £120.", money(120, "GBP")),
    ("The phone bill was 27.30 dollars.", money(27.3, "USD")),
    ("The roof will cost 18,700 euros.", money(18700, "EUR")),
    ("A stamp now costs 1.10 Swiss francs.", money(1.1, "CHF")),
    ("The garden shed was £449.", money(449, "GBP")),
    ("They sold the boat for $8,250.", money(8250, "USD")),
]

HELD_OUT = [
    ("The piano lessons are 45 euros each.", money(45, "EUR")),
    ("The van was hired for $160.", money(160, "USD")),
    ("A season ticket is 320 pounds.", money(320, "GBP")),
    ("The tax office sent back 1,430 Swiss francs.", money(1430, "CHF")),
    ("The umbrella was 2,200 yen.", money(2200, "JPY")),
    ("The printer costs €189.", money(189, "EUR")),
    ("Her rent is 875 dollars a month.", money(875, "USD")),
    ("The painting fetched £22,000.", money(22000, "GBP")),
    ("The donation was 650 euros.", money(650, "EUR")),
    ("Each chair cost $54.90.", money(54.9, "USD")),
    ("The plumber asked for 90 pounds.", money(90, "GBP")),
    ("A tram ticket is 2.80 Swiss francs.", money(2.8, "CHF")),
    ("The school spent 3,150 euros on books.", money(3150, "EUR")),
    ("The dinner cost 7,500 yen for both.", money(7500, "JPY")),
    ("He found $20 in the street.", money(20, "USD")),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [*SEARCH, *(pytest.param(*case, marks=pytest.mark.gepa(split="holdout")) for case in HELD_OUT)],
)
def test_amount_is_json(text: str, expected: dict[str, object]) -> None:
    answer = app.answer(text)
    try:
        found = json.loads(answer)
    except ValueError:
        found = "(no JSON)"
    assert found == expected, f"expected exactly {json.dumps(expected)}, the answer was {answer!r}"
