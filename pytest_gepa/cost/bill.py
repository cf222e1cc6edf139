"""The bill of a run: a line for each request that was sent, by whichever process, whatever became of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pytest_gepa.cost.prices import PriceList, Tokens, usd


class Item(NamedTuple):
    """A request that was sent. `role` is "task" (made in the suite: also by judges) or "reflection"; `tokens` is None
    where the server told none and yet may have charged for it."""

    role: str
    model: str
    tokens: Tokens | None


class Bill:
    """A file to which all processes of a run write, a line at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def add(self, item: Item) -> None:
        """Write an item. Raises `OSError`."""
        line = json.dumps([item.role, item.model, item.tokens]).encode() + b"\n"
        # One write to the end of the file: lines of several processes do not mix.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def new(self) -> Iterator[Item]:
        """What has been written since the last time."""
        try:
            with open(self.path, "rb") as stream:
                stream.seek(self._read)
                data = stream.read()
        except FileNotFoundError:  # nothing was sent
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            role, model, tokens = json.loads(line)
            yield Item(role, model, None if tokens is None else Tokens(*tokens))


@dataclass(slots=True)
class Part:
    """What the calls of one role to one model came to. `nano` is billionths of a dollar, of those calls that could be
    priced; `untold` counts the calls whose tokens the server did not tell."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nano: int = 0
    untold: int = 0


@dataclass(slots=True)
class Account:
    """What is on the bill so far, by role and model, priced call by call."""

    prices: PriceList = field(default_factory=PriceList)
    parts: dict[tuple[str, str], Part] = field(default_factory=dict)
    _unknown: set[str] = field(default_factory=set)

    def take(self, bill: Bill) -> None:
        """Add what is new on the bill."""
        for item in bill.new():
            part = self.parts.setdefault((item.role, item.model), Part())
            part.calls += 1
            if item.tokens is None:
                part.untold += 1
                continue
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
        return None if self.unpriced else usd(sum(part.nano for part in self.parts.values()))

    @property
    def usd_by_role(self) -> dict[str, float]:
        """What the calls of each role came to, as far as is known."""
        roles = sorted({role for role, _ in self.parts})
        return {
            role: usd(sum(part.nano for (name, _), part in self.parts.items() if name == role))
            for role in roles
        }

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Why the sum is unknown, a phrase for each model."""
        untold: dict[str, int] = {}
        for (_, model), part in self.parts.items():
            if part.untold and model not in self._unknown:
                untold[model] = untold.get(model, 0) + part.untold
        silent = (f"{number} calls of {model} told no tokens" for model, number in sorted(untold.items()))
        return (
            *(f"no price for {model or 'a model without a name'}" for model in sorted(self._unknown)),
            *silent,
        )
