"""The example suite of a check, repeated: the real story and verdict over rates of passing, without processes.

python benchmarks/check/example.py [CHECKS]     (default: 200 of each, seeds 0 to CHECKS - 1)
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.check_world import World, example_world, harmless_world


def repeat(name: str, make: Callable[[int], World], number: int) -> None:
    """Run one suite with many seeds, and print what became of its cases."""
    failed, tiers, calls = 0, Counter[tuple[str, str]](), 0
    for seed in range(number):
        with tempfile.TemporaryDirectory() as directory:
            result = make(seed).check(Path(directory))
        failed += result.failed
        calls += result.spent.rollouts
        tiers.update((case.case.rstrip("0123456789"), case.tier) for case in result.cases)
    print(f"\n{name}: {failed} of {number} checks exit with 1, {calls / number:.0f} calls a check\n")
    print("| case | tier | share |")
    print("|---|---|---|")
    totals = Counter[str]()
    for (case, _), times in tiers.items():
        totals[case] += times
    for (case, tier), times in sorted(tiers.items()):
        print(f"| {case} | {tier} | {100 * times / totals[case]:.1f} % |")


def main() -> None:
    """Print both tables."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    repeat("an edit that breaks one case, helps two and rewords the rest", example_world, number)
    repeat("a harmless rewording, five cases flaky", harmless_world, number)


if __name__ == "__main__":
    main()
