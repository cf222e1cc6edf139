"""What models cost: the user's own table first, then `genai-prices` where it is installed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Protocol

from pytest_gepa.errors import SettingsError

NANO = 10**9
"""Money is counted in whole billionths of a dollar."""

PER_TOKEN = 1000
"""A dollar for a million tokens is so many billionths for one."""

FORM = "a model, then input= and output= in USD per million tokens; cached=, written=, max_output=, context= if known"


class Tokens(NamedTuple):
    """What a call took. Those read from the server's cache and those written to it are among the input. Of the input,
    of the output and of what was read from the cache some are audio."""

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    input_audio: int = 0
    output_audio: int = 0
    cached_audio: int = 0


class Tariff(Protocol):
    """What one model costs, and the bounds that are known of it: most tokens of one answer, and of its context."""

    @property
    def max_output(self) -> int | None: ...  # noqa: D102
    @property
    def context(self) -> int | None: ...  # noqa: D102
    def price(self, tokens: Tokens) -> int:
        """The price of a call in billionths of a dollar, rounded up."""
        ...


@dataclass(frozen=True, slots=True)
class Price:
    """A line of the user's table: USD per million tokens. Without a price of their own, tokens read from the server's
    cache, or written to it, cost what others do; those of audio cost what text does."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    written: Decimal | None = None
    max_output: int | None = None
    context: int | None = None

    def price(self, tokens: Tokens) -> int:
        """See `Tariff`."""
        cached = self.input if self.cached is None else self.cached
        written = self.input if self.written is None else self.written
        read = min(tokens.cached, tokens.input)
        kept = min(tokens.written, tokens.input - read)
        usd = (tokens.input - read - kept) * self.input + read * cached + kept * written
        return math.ceil((usd + tokens.output * self.output) * PER_TOKEN)


class PriceList:
    """Finds what a model costs. `lines` are those of the setting `gepa_prices`.

    A model may be named by a pattern with `*`; the first that fits counts, after an exact name. Raises `SettingsError`
    for a line that cannot be read.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self.lines = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
        self._own: dict[str, Price] = {}
        for line in self.lines:
            name, price = _read(line)
            if name in self._own:
                raise SettingsError(f"{name} has two lines; leave one")
            self._own[name] = price
        self._found: dict[str, Tariff | None] = {}

    def find(self, model: str) -> Tariff | None:
        """The tariff of a model, None when it is unknown."""
        if model not in self._found:
            self._found[model] = self._own_price(model) or published(model)
        return self._found[model]

    def _own_price(self, model: str) -> Price | None:
        exact = self._own.get(model)
        if exact is not None:
            return exact
        fitting = (price for name, price in self._own.items() if "*" in name and fnmatchcase(model, name))
        return next(fitting, None)


def _read(line: str) -> tuple[str, Price]:
    """One line of the table."""
    name, *pairs = line.split()
    known = {field.name for field in fields(Price)}
    given: dict[str, Any] = {}
    for pair in pairs:
        key, is_pair, text = pair.partition("=")
        if not is_pair or key not in known or key in given:
            raise SettingsError(f"{line!r}: {pair!r} is not valid; a line is {FORM}")
        given[key] = _number(line, pair, text, is_count=key in ("max_output", "context"))
    if "input" not in given or "output" not in given:
        raise SettingsError(f"{line!r}: input= and output= are needed; a line is {FORM}")
    return name, Price(**given)


def _number(line: str, pair: str, text: str, *, is_count: bool) -> Decimal | int:
    if is_count and re.fullmatch(r"[1-9][0-9_]*", text):
        return int(text)
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal(-1)
    if is_count or not number.is_finite() or number < 0:
        kind = "a whole number of tokens" if is_count else "USD per million tokens, 0 or more"
        raise SettingsError(f"{line!r}: {pair!r} is not valid; expected {kind}")
    return number


# Published prices


@dataclass(frozen=True, slots=True)
class Published:
    """A model that `genai-prices` knows. It tells the context only, which no answer can be longer than."""

    prices: Any
    context: int | None

    @property
    def max_output(self) -> int | None:
        """See `Tariff`."""
        return self.context

    def price(self, tokens: Tokens) -> int:
        """See `Tariff`."""
        from genai_prices import Usage

        # Some gateways count what was cached apart; the package would refuse more of it than there is input.
        entered = max(tokens.input, tokens.cached + tokens.written)
        usage = Usage(
            input_tokens=entered,
            output_tokens=tokens.output,
            cache_read_tokens=tokens.cached or None,
            cache_write_tokens=tokens.written or None,
            output_audio_tokens=min(tokens.output_audio, tokens.output) or None,
            **_audio_of_input(entered, tokens),
        )
        total: Decimal = self.prices.calc_price(usage)["total_price"]
        return math.ceil(total * NANO)


def _audio_of_input(entered: int, tokens: Tokens) -> dict[str, int]:
    """What the package must be told of audio: also how much of what was cached is audio, which is as little as can be
    where the server tells none of it. No part may be larger than the whole."""
    heard = min(tokens.input_audio, entered)
    if not heard:
        return {}
    # What does not fit into the plain input was cached.
    spare = heard - (entered - tokens.cached - tokens.written)
    read = min(max(tokens.cached_audio, spare, 0), tokens.cached, heard)
    kept = min(max(spare - read, 0), tokens.written)
    audio = {"input_audio_tokens": heard}
    if tokens.cached:
        audio["cache_audio_read_tokens"] = read
    if tokens.written:
        audio["cache_audio_write_tokens"] = kept
    return audio


def published(model: str) -> Tariff | None:
    """What `genai-prices` says of a model, None if it does not know it or is not installed.

    `openai/gpt-5` is looked for as such, then as the model of that provider.
    """
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    provider, _, name = model.rpartition("/")
    ways: list[Mapping[str, Any]] = [{"model_ref": model}]
    if provider and name:
        ways += [{"model_ref": name, "provider_id": provider}, {"model_ref": name}]
    for way in ways:
        try:
            found = calc_price(Usage(input_tokens=1, output_tokens=1), **way)
        except (LookupError, ValueError):
            continue
        return Published(found.model_price, getattr(found.model, "context_window", None))
    return None


def usd(nano: int) -> float:
    """Billionths as dollars."""
    return nano / NANO
