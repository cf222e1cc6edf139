"""Whole checks of suites of twenty cases, simulated with the real rules: false alarms, what is found, calls.

python benchmarks/check/sequential.py [CHECKS]     (default: 2000 a row, seeds 0 to CHECKS - 1)
"""

from __future__ import annotations

import math
import random
import sys
from dataclasses import dataclass, replace

from pytest_gepa.verdict.holm import holm
from pytest_gepa.verdict.sequential import ALPHA, CAP, Trials, fisher_p, judge_cases, look_at, next_look

Rates = tuple[float, float]
HARMLESS: list[Rates] = [(1, 1)] * 15 + [(0.5, 0.5)] * 3 + [(0.9, 0.9)] * 2
SUITES: dict[str, list[Rates]] = {
    "nothing changed, no case flaky": [(1, 1)] * 20,
    "harmless, 3 flaky at 50 %, 2 at 90 %": HARMLESS,
    "harmless, all 20 flaky at 50 %": [(0.5, 0.5)] * 20,
    "harmless, all 20 flaky at 90 %": [(0.9, 0.9)] * 20,
    "one case 100 % -> 50 %": [*HARMLESS[1:], (1, 0.5)],
    "one case 100 % -> 0 %": [*HARMLESS[1:], (1, 0)],
    "one case 100 % -> 70 %": [*HARMLESS[1:], (1, 0.7)],
    "one case 90 % -> 40 %": [*HARMLESS[1:], (0.9, 0.4)],
}


@dataclass(frozen=True)
class Outcome:
    """One check: whether it exits with 1, what it calls the last case, and the calls that it took."""

    fails: bool
    last: str
    calls: int


def sequential(rates: list[Rates], seed: int, cap: int) -> Outcome:
    """As `pytest_gepa.check.check` does it."""
    draw = random.Random(seed).random
    cases = [Trials(str(number), cap=cap) for number in range(len(rates))]
    calls = 0
    while True:
        tiers = judge_cases(cases)
        due = [at for at, tier in enumerate(tiers) if not tier.decided]
        if not due:
            return Outcome(any(tier.tier == "regressed" for tier in tiers), tiers[-1].tier, calls)
        for at in due:
            one, (before, after) = cases[at], rates[at]
            more = range(next_look(one) - one.handed_out)
            calls += 2 * len(more)
            cases[at] = look_at(
                replace(
                    one,
                    base=one.base + tuple(float(draw() < before) for _ in more),
                    today=one.today + tuple(float(draw() < after) for _ in more),
                    handed_out=next_look(one),
                )
            )


def fixed(rates: list[Rates], seed: int, trials: int) -> Outcome:
    """As many trials of every case, one look, the same test and the same correction over the cases."""
    draw = random.Random(seed).random
    counts = [
        (sum(draw() < before for _ in range(trials)), sum(draw() < after for _ in range(trials)))
        for before, after in rates
    ]
    p_values = holm([fisher_p(before, trials, after, trials) for before, after in counts])
    tiers = ["regressed" if p_value <= ALPHA else "" for p_value in p_values]
    return Outcome("regressed" in tiers, tiers[-1], 2 * trials * len(rates))


def once(rates: list[Rates], seed: int) -> Outcome:
    """One run before and one after: a case that passed and now fails has broken."""
    draw = random.Random(seed).random
    broken = ["regressed" if draw() < before and not draw() < after else "" for before, after in rates]
    return Outcome("regressed" in broken, broken[-1], 2 * len(rates))


def wilson(found: int, number: int) -> str:
    """A share with its 95 % Wilson interval, in per cent."""
    z = 1.959963984540054
    share = found / number
    centre = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = z * math.sqrt(share * (1 - share) / number + z * z / (4 * number**2)) / (1 + z * z / number)
    return f"{100 * share:.1f} ({100 * max(0, centre - half):.1f} to {100 * min(1, centre + half):.1f})"


def row(suite: str, method: str, outcomes: list[Outcome]) -> str:
    """One line of the table."""
    number = len(outcomes)
    calls = sum(outcome.calls for outcome in outcomes) / number
    cells = [suite, method, wilson(sum(outcome.fails for outcome in outcomes), number)]
    is_harmed = suite.startswith("one case")
    for tier in ("regressed", "suspect"):
        share = wilson(sum(outcome.last == tier for outcome in outcomes), number)
        cells.append(share if is_harmed else "")
    return f"| {' | '.join([*cells, f'{calls:.0f}'])} |"


def main() -> None:
    """Print the table."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print(f"{number} checks a row, seeds 0 to {number - 1}; per cent with 95 % Wilson intervals.\n")
    print("| suite of 20 cases | trials | exits with 1 | harmed case regressed | suspect | calls |")
    print("|---|---|---|---|---|---|")
    for suite, rates in SUITES.items():
        for cap in (CAP, 8):
            outcomes = [sequential(rates, seed, cap) for seed in range(number)]
            print(row(suite, f"by need, cap {cap}", outcomes), flush=True)
        print(row(suite, f"fixed, {CAP} a side", [fixed(rates, seed, CAP) for seed in range(number)]))
        print(row(suite, "one run each", [once(rates, seed) for seed in range(number)]), flush=True)


if __name__ == "__main__":
    main()
