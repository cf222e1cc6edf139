"""The bill: what was sent, what it came to, and what nobody knows of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_gepa.cost.bill import Account, Bill
from pytest_gepa.cost.prices import PriceList, Tokens

PRICES = PriceList(["task input=1 output=2", "judge input=4 output=4"])


@pytest.fixture
def bill(tmp_path: Path) -> Bill:
    return Bill(tmp_path / "bill")


def sent(bill: Bill, model: str, tokens: Tokens | None, role: str = "task") -> None:
    bill.end(bill.begin(role, model), role, model, tokens)


def read(bill: Bill) -> Account:
    account = Account(PRICES)
    account.take(Bill(bill.path))
    return account


def test_nothing_was_sent(bill: Bill) -> None:
    account = read(bill)
    assert (account.usd, account.unpriced, account.input_tokens) == (0.0, (), 0)


def test_calls_are_priced_one_by_one_and_told_by_role(bill: Bill) -> None:
    sent(bill, "task", Tokens(100, 10))
    sent(bill, "judge", Tokens(10, 10))
    sent(bill, "task", Tokens(1000, 0), role="reflection")
    account = read(bill)
    assert account.usd == pytest.approx(1200e-6)
    assert account.usd_by_role == {"reflection": pytest.approx(1000e-6), "task": pytest.approx(200e-6)}
    assert (account.input_tokens, account.output_tokens) == (1110, 20)


def test_what_makes_the_sum_unknown_is_named(bill: Bill) -> None:
    sent(bill, "task", Tokens(100, 10))
    sent(bill, "task", None)
    sent(bill, "judge", None)
    sent(bill, "judge", None)
    sent(bill, "new", Tokens(1, 1))
    sent(bill, "", Tokens(1, 1))
    bill.begin("task", "task")
    account = read(bill)
    assert account.usd is None
    assert account.known_usd == pytest.approx(120e-6)
    assert account.unpriced == (
        "no price for a model without a name",
        "no price for new",
        "2 calls of judge told no tokens",
        "1 call of task told no tokens",
        "1 call of task never ended",
    )


def test_an_error_that_cost_nothing_leaves_the_sum_known(bill: Bill) -> None:
    sent(bill, "a-model-of-nobody", Tokens())
    assert (read(bill).usd, read(bill).unpriced) == (0.0, ())


def test_a_bill_is_read_from_where_it_was_left_and_half_a_line_waits(bill: Bill) -> None:
    account = Account(PRICES)
    number = bill.begin("task", "task")
    account.take(bill)
    assert account.unpriced == ("1 call of task never ended",)
    whole = bill.path.read_bytes()
    bill.end(number, "task", "task", Tokens(5, 0))
    line = bill.path.read_bytes().removeprefix(whole)
    bill.path.write_bytes(whole + line[:20])
    account.take(bill)
    assert account.usd is None
    bill.path.write_bytes(whole + line)
    account.take(bill)
    assert account.usd == pytest.approx(5e-6)


def test_a_line_that_the_disk_had_no_room_for_leaves_the_sum_unknown(
    bill: Bill, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(bill, "task", Tokens(5, 0))
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
        with pytest.raises(OSError, match="No space left"):
            bill.begin("task", "task")
    sent(bill, "task", Tokens(7, 0))
    account = read(bill)
    assert account.usd is None
    assert account.known_usd == pytest.approx(12e-6)
    assert account.unpriced == ("1 call of a model without a name told no tokens",)
