"""What shrinking makes of the winners of the simulated searches: changes dropped, needed, not measured, and rollouts.

    python benchmarks/search/shrinking.py --simbench PATH [--seeds 20] [--sets W1,W2,W3] [--key flip=0.1] [--most RUNS]

One line for each world: totals over the seeds. `--most` bounds the rollouts of one shrinking, in runs of the suite;
without it the package's own bound holds. The models are **simulated**: the figures say nothing about real ones.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from simulated import Driver

from pytest_gepa.evolve.changes import changes, fair_share
from pytest_gepa.evolve.shrink import Shrink


@dataclass
class Totals:
    """Of all seeds of a world: changes by state, runs in which every change was measured, rollouts of each."""

    states: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("needed", "dropped", "not measured"), 0))
    whole: int = 0
    spent: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)

    def add(self, driver: Driver, most: int | None) -> None:
        """Shrink the winner of a search that has ended."""
        search = driver.search
        winner = search.best()
        if winner.id == search.seed.id:
            return
        before, tasks = search.budget.spent, 0
        own = fair_share(len(driver.cases), len(changes(search.seed, winner)))
        room = min(search.budget.remaining, own if most is None else most * len(driver.cases))
        shrink = Shrink(search.pool, winner, search.budget, room)
        while task := shrink.ask():
            tasks += 1
            shrink.tell(driver.evaluate(task))
        for need in shrink.needs:
            self.states[need.state] += 1
        self.whole += all(need.state != "not measured" for need in shrink.needs)
        self.spent.append(search.budget.spent - before)
        self.asked.append(tasks)
        added = winner.length - search.seed.length
        self.lengths.append((shrink.winner.length - search.seed.length) / added if added > 0 else 1.0)

    def told(self, world: str, key: str) -> str:
        """One line."""
        states = ", ".join(f"{number} {state}" for state, number in self.states.items())
        return (
            f"{world:5} {key:29} {states:46} all measured in {self.whole}/{len(self.spent)}"
            f"   rollouts: median {median(self.spent):g}, most {max(self.spent)}"
            f"   evaluations: median {median(self.asked):g}   added text left: median {median(self.lengths):.0%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simbench", type=Path, required=True, help="directory that holds the package simbench")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--sets", default="W1,W2,W3", help="names of worlds")
    parser.add_argument("--key", default="", help="parameters of the simulated models")
    parser.add_argument("--most", type=int, help="runs of the suite that one shrinking may take")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.simbench))
    from simbench.bench import Bench, InProc

    for world in arguments.sets.split(","):
        totals = Totals()
        for seed in range(arguments.seeds):
            bench = Bench(world, InProc(f"sim,seed={seed},{arguments.key}"), concurrency=1)
            driver = Driver(bench, seed)
            driver.run()
            totals.add(driver, arguments.most)
        print(totals.told(world, arguments.key), flush=True)


if __name__ == "__main__":
    main()
