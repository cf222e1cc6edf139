"""The bill of a run: a line when a request is sent, by whichever process, and a line when it has ended."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pytest_gepa.cost.prices import PriceList, Tokens, usd
from pytest_gepa.shared_lines import NewLines, append


class Item(NamedTuple):
    """A line of the bill. `tokens` are those of a request that has ended, None where the server told none and yet may
    have charged for it; a request that is only now sent has none either. `role` is "task" (made in the suite: also by
    judges) or "reflection"."""

    number: str
    has_ended: bool
    role: str
    model: str
    tokens: Tokens | None


class Bill:
    """A file to which all processes of a run write, a line at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = NewLines(path)

    def begin(self, role: str, model: str) -> str:
        """Note that a request is sent; the number by which its end is noted. Raises `OSError`."""
        number = os.urandom(8).hex()
        self._add(Item(number, False, role, model, None))
        return number

    def end(self, number: str, role: str, model: str, tokens: Tokens | None) -> None:
        """Note what a request came to. Raises `OSError`."""
        self._add(Item(number, True, role, model, tokens))

    def new(self) -> list[Item]:
        """What has been written since the last time."""
        return [_item(line) for line in self._lines.take()]

    def _add(self, item: Item) -> None:
        append(self.path, item)


def _item(line: Any) -> Item:
    try:
        number, has_ended, role, model, tokens = line
    except TypeError:  # cut short: of unknown cost
        return Item("", True, "task", "", None)
    return Item(number, has_ended, role, model, None if tokens is None else Tokens(*tokens))


@dataclass(slots=True)
class BillLine:
    """What the calls of one role to one model came to. `nano` is billionths of a dollar, of those calls that could be
    priced; `untold` counts the calls that have ended without the server telling their tokens."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nano: int = 0
    untold: int = 0


@dataclass(slots=True)
class Account:
    """What is on the bill so far, by role and model, priced call by call."""

    prices: PriceList = field(default_factory=PriceList)
    parts: dict[tuple[str, str], BillLine] = field(default_factory=dict)
    _unknown: set[str] = field(default_factory=set)
    _open: dict[str, str] = field(default_factory=dict)

    def take(self, bill: Bill) -> None:
        """Add what is new on the bill."""
        for item in bill.new():
            if item.has_ended:
                self._open.pop(item.number, None)
                self._add(item)
            else:
                self._open[item.number] = item.model

    def _add(self, item: Item) -> None:
        part = self.parts.setdefault((item.role, item.model), BillLine())
        if item.tokens is None:
            part.calls += 1
            part.untold += 1
            return
        if not any(item.tokens):
            return  # an error, or no connection
        part.calls += 1
        part.input_tokens += item.tokens.input
        part.output_tokens += item.tokens.output
        tariff = self.prices.find(item.model)
        if tariff is None:
            self._unknown.add(item.model)
        else:
            part.nano += tariff.price(item.tokens)

    @property
    def input_tokens(self) -> int:
        """Tokens of input of all calls that told."""
        return sum(part.input_tokens for part in self.parts.values())

    @property
    def output_tokens(self) -> int:
        """Tokens of output of all calls that told."""
        return sum(part.output_tokens for part in self.parts.values())

    @property
    def usd(self) -> float | None:
        """What all calls came to; None when something of it is unknown."""
        return None if self.unpriced else self.known_usd

    @property
    def known_usd(self) -> float:
        """What is known of it."""
        return usd(sum(part.nano for part in self.parts.values()))

    @property
    def usd_by_role(self) -> dict[str, float]:
        """What the calls of each role came to, as far as is known."""
        roles = sorted({role for role, _ in self.parts})
        return {role: usd(sum(part.nano for (name, _), part in self.parts.items() if name == role)) for role in roles}

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Why the sum is unknown, a phrase for each model."""
        untold = Counter[str]()
        for (_, model), part in self.parts.items():
            untold[model] += part.untold
        gaps = ((untold, "told no tokens"), (Counter(self._open.values()), "never ended"))
        names = {model: model or "a model without a name" for counts, _ in gaps for model in counts}
        names.update({model: model or "a model without a name" for model in self._unknown})
        return (
            *(f"no price for {names[model]}" for model in sorted(self._unknown)),
            *(
                f"{number} {'call' if number == 1 else 'calls'} of {names[model]} {what}"
                for counts, what in gaps
                for model, number in sorted(counts.items())
                if number and model not in self._unknown
            ),
        )
