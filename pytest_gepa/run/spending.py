"""What a run spends: counted for the report, bounded by `--gepa-max-cost`; the confirm run's share is kept for it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

from pytest_gepa.cost.bill import Account
from pytest_gepa.cost.book import UNBOUNDED
from pytest_gepa.cost.estimate import Unbounded, most
from pytest_gepa.cost.meter import Meter
from pytest_gepa.cost.prices import NANO, PriceList, usd
from pytest_gepa.cost.purse import STOP_WORDS, CapState, dollars
from pytest_gepa.errors import SettingsError
from pytest_gepa.run.plan import BudgetPlan
from pytest_gepa.suite.rollout import Case, Rollout
from pytest_gepa.trace.model_calls import is_to_model
from pytest_gepa.trace.rough import tokens_of
from pytest_gepa.trace.trajectory import Call

MARGIN = 1.3
"""By so much the confirm run may cost more than the baseline shows: the winner's prompts are longer than today's."""

CONFIRM_PART = 0.5
"""Of what the baseline has left of the cap, the confirm run's share takes so much at most, unless it is one trial's."""

_Place: TypeAlias = tuple[object, ...]
"""Where the answer to a call is found again, whichever case asks."""


def trials_within(price: Callable[[int], float], trials: int, limit: float) -> int:
    """The most trials of a confirm run, up to so many, whose price is within a limit; at least 1."""
    return next((number for number in range(trials, 1, -1) if price(number) <= limit), 1)


class Spending:
    """The costs of one run, in a new directory that its processes share.

    `cap` is in USD, None for none. `plan` and `cases` say what the confirm run will take; `stored` are rollouts of it,
    by case and number of the trial, whose answers are there already. `shares_answers` is False where nothing is stored,
    so that each case pays for what it asks. `reflection` is what one request to the reflection model reserves at the
    least, in billionths of a dollar.
    """

    def __init__(
        self,
        directory: Path,
        prices: PriceList,
        cap: float | None,
        plan: BudgetPlan,
        cases: Sequence[Case],
        stored: Sequence[tuple[str, int]] = (),
        *,
        shares_answers: bool = True,
        reflection: int = 0,
    ) -> None:
        self._stored = stored
        self._reflection = reflection
        self._shares_answers = shares_answers
        self.directory = directory
        self.prices = prices
        self._cap = None if cap is None else math.floor(Decimal(str(cap)) * NANO)
        self._meter = Meter.create(directory, prices, self._cap)
        self._account = Account(prices)
        self._plan = plan
        self._cases = cases
        self._seen: dict[str, dict[_Place, int]] = {}
        self.shortage = ""
        """Why the cap leaves nothing to search with, in words, known when the confirm run's share is set aside."""

    def reflection(self) -> Meter:
        """The meter of the calls that this process makes."""
        return Meter(self._meter.bill, self.prices, self._meter.purse, "reflection")

    @property
    def account(self) -> Account:
        """What is on the bill by now."""
        self._account.take(self._meter.bill)
        return self._account

    @property
    def standing(self) -> CapState | None:
        """How the cap stands, None without one."""
        return None if self._meter.purse is None else self._meter.purse.standing()

    @property
    def stopped(self) -> str:
        """Why nothing more may be sent, "" while something may."""
        purse = self._meter.purse
        if purse is None:
            return ""
        if reason := purse.reason:
            return reason
        try:
            stopped = purse.standing().stopped
        except OSError as error:
            return f"the ledger of the cost cap cannot be used: {error}"
        return (purse.reason or STOP_WORDS[stopped]) if stopped else ""

    @property
    def has_met_the_unpriced(self) -> bool:
        """Whether a request came whose price has no bound, which only the user can mend."""
        standing = self.standing
        return standing is not None and standing.stopped == UNBOUNDED

    def learn(self, rollout: Rollout) -> None:
        """Note what a case takes under today's prompts."""
        asked: Counter[_Place] = Counter()
        answers: dict[_Place, int] = {}
        for number, call in enumerate(rollout.trajectory.calls):
            place: _Place = (rollout.case, number)
            if self._shares_answers and _is_kept(call):
                request = (call.key, call.shared)
                place = (*request, asked[request])
                asked[request] += 1
            answers[place] = self._fresh_price(call)
        self._seen[rollout.case] = answers

    def keep_confirm_share(self) -> int:
        """Set aside what the confirm run will take, in billionths of a dollar; 0 without a cap.

        As many trials as are planned and take `CONFIRM_PART` of what is left at most: the search must have something,
        and what it leaves is the confirm run's too.
        """
        purse = self._meter.purse
        if purse is None:
            return 0
        standing = purse.standing()
        free = standing.cap - standing.spent - standing.reserved
        # The last requests need room for the most that they can come to.
        trials = trials_within(
            lambda number: self._confirm_price(number) + standing.largest,
            self._plan.trials,
            CONFIRM_PART * free,
        )
        share = math.ceil(self._confirm_price(trials)) + standing.largest
        purse.set_aside(share)
        largest = max(standing.largest, self._reflection)
        if free - share < largest or free <= share:
            self.shortage = (
                f"the cost cap of {dollars(standing.cap)} leaves nothing to search with: {dollars(standing.spent)} "
                f"spent, {dollars(share)} kept for a confirm run of {trials} trial{'s' * (trials > 1)} a side, and a "
                f"request may need {dollars(largest)}; give more with --gepa-max-cost"
            )
        return share

    def open_confirm_share(self) -> None:
        """Let the confirm run have what was set aside, and what the search has left."""
        if self._meter.purse is not None:
            self._meter.purse.open_rest()

    def affordable_trials(self, trials: int) -> int:
        """The most trials of the confirm run, up to so many, that what is left may pay for; at least 1."""
        standing = self.standing
        if standing is None:
            return trials
        # As in the share: the last requests reserve the most that they can come to.
        return trials_within(self._confirm_price, trials, standing.left - standing.largest)

    def _confirm_price(self, trials: int) -> float:
        most = {case.id: case.trials or trials for case in self._cases}
        seen = self._trial_prices(most)
        mean = sum(seen.values()) / len(seen) if seen else 0.0
        price = {case: seen.get(case, mean) for case in most}
        whole = (1 + self._plan.candidates) * sum(most[case] * price[case] for case in most)
        stored = sum(price[case] for case, trial in self._stored if trial < most.get(case, 0))
        return MARGIN * max(0.0, whole - stored)

    def _trial_prices(self, trials: Mapping[str, int]) -> dict[str, int]:
        """What each case that was seen adds to a trial. An answer that several have, of a fixture or to equal requests,
        is paid for once: it is counted for the one with the most trials.
        """
        counted: set[_Place] = set()
        prices: dict[str, int] = {}
        for case in sorted(self._seen, key=lambda name: -trials.get(name, 0)):
            answers = self._seen[case]
            prices[case] = sum(price for place, price in answers.items() if place not in counted)
            counted.update(answers)
        return prices

    def list_price(self, calls: Sequence[Call]) -> float | None:
        """What calls cost in USD when no answer is stored, None where the price of one is not known."""
        priced = [call for call in calls if is_to_model(call)]
        if any(self.prices.find(call.model) is None for call in priced):
            return None
        return usd(sum(map(self._fresh_price, priced)))

    def _fresh_price(self, call: Call) -> int:
        """What a call costs when its answer is not stored."""
        tariff = self.prices.find(call.model) if is_to_model(call) else None
        return 0 if tariff is None else tariff.price(tokens_of(call))


def _is_kept(call: Call) -> bool:
    """Whether the answer to a call is stored for the next case that asks the same in the same trial."""
    return bool(call.key) and call.answer is not None and call.kind != "other"


def check_reflection_price(prices: PriceList, model: str, cap: float) -> None:
    """Raises `SettingsError` where a cap in USD cannot be kept with this reflection model, or has no room for a single
    request to it; nothing has been sent then.
    """
    if prices.find(model) is None:
        raise SettingsError(
            f"--gepa-max-cost needs the price of the reflection model {model}, which is not known; add a line to "
            f"gepa_prices: {model} input=... output=... max_output=... (USD per million tokens)"
        )
    try:
        least = reflection_reserve(prices, model)
    except Unbounded:
        raise SettingsError(
            f"--gepa-max-cost needs the longest answer of the reflection model {model}, which is asked without a "
            "limit; add its max_output= to its line in gepa_prices"
        ) from None
    if least > cap * NANO:
        raise SettingsError(
            f"--gepa-max-cost {dollars(round(cap * NANO))} has no room for a single request to the reflection model "
            f"{model}, for which up to {dollars(least)} is reserved (the price of its longest answer); give more"
        )


def reflection_reserve(prices: PriceList, model: str) -> int:
    """What a request to the reflection model reserves at the least, in billionths of a dollar; 0 for no known price.
    Raises `Unbounded`.
    """
    tariff = prices.find(model)
    return 0 if tariff is None else most(model, tariff, b"")
