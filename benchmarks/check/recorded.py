"""Comparisons with saved baselines of twenty cases, simulated with the real rules: false alarms, what is found, calls.

python benchmarks/check/recorded.py [COMPARISONS] [BASELINES]     (default: 1000 a row; 100 baselines of 30 nights each)
"""

from __future__ import annotations

import random
import sys
from dataclasses import replace

from sequential import SUITES, Outcome, Rates, row, wilson

from pytest_gepa.verdict.sequential import CAP, Trials, judge_cases, look_at, next_look

NIGHTS = 30


def record(rates: list[Rates], size: int, seed: int) -> list[Trials]:
    """A baseline: so many trials of every case."""
    draw = random.Random(f"then {seed}").random
    return [
        Trials(str(number), base=tuple(float(draw() < before) for _ in range(size)), cap=CAP, is_recorded=True)
        for number, (before, _) in enumerate(rates)
    ]


def compare(baseline: list[Trials], rates: list[Rates], seed: int) -> Outcome:
    """As `pytest_gepa.check.baseline_check` does it."""
    draw = random.Random(f"today {seed}").random
    cases = list(baseline)
    calls = 0
    while True:
        tiers = judge_cases(cases)
        due = [at for at, tier in enumerate(tiers) if not tier.decided]
        if not due:
            return Outcome(any(tier.tier == "regressed" for tier in tiers), tiers[-1].tier, calls)
        for at in due:
            one = cases[at]
            more = range(next_look(one) - one.handed_out)
            calls += len(more)
            today = one.today + tuple(float(draw() < rates[at][1]) for _ in more)
            cases[at] = look_at(replace(one, today=today, handed_out=next_look(one)))


def main() -> None:
    """Print both tables."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    baselines = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    print(f"{number} comparisons a row, a baseline each; per cent with 95 % Wilson intervals.\n")
    print("| suite of 20 cases | recorded trials | exits with 1 | harmed case regressed | suspect | calls |")
    print("|---|---|---|---|---|---|")
    for suite, rates in SUITES.items():
        for size in (32, 16, 8):
            found = [compare(record(rates, size, seed), rates, seed) for seed in range(number)]
            print(row(suite, str(size), found), flush=True)
    print(f"\n{baselines} baselines of 32 trials, {NIGHTS} nights each, nothing changed.\n")
    print("| suite of 20 cases | nights that exit with 1 | baselines with such a night |")
    print("|---|---|---|")
    for suite in ("harmless, 3 flaky at 50 %, 2 at 90 %", "harmless, all 20 flaky at 90 %"):
        rates = SUITES[suite]
        nights = [
            [compare(baseline, rates, seed * NIGHTS + night).fails for night in range(NIGHTS)]
            for seed in range(baselines)
            for baseline in [record(rates, CAP, seed)]
        ]
        alarms = wilson(sum(map(sum, nights)), baselines * NIGHTS)
        print(f"| {suite} | {alarms} | {wilson(sum(map(any, nights)), baselines)} |", flush=True)


if __name__ == "__main__":
    main()
