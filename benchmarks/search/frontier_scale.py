"""What the search itself costs for each candidate on a large suite: CPU time, by part, and memory.

python benchmarks/search/frontier_scale.py [--candidates 1000] [--cases 10000] [--whole 100]

First the frontier alone with `--candidates` full candidates (target: under 50 ms each, memory linear),
then a whole `Search` with made-up results, up to `--whole` candidates that were run on every case.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pytest_gepa.evolve.frontier import Frontier
from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.search import Search
from pytest_gepa.evolve.tasks import CaseResult, Evaluate, Evaluated, Reflect, Reflected


def percentiles(seconds: list[float]) -> str:
    """Median, 95th percentile and maximum in milliseconds."""
    ordered = sorted(1000 * value for value in seconds)
    return (
        f"median {statistics.median(ordered):.1f} ms, 95 % {ordered[int(0.95 * (len(ordered) - 1))]:.1f} ms,"
        f" most {ordered[-1]:.1f} ms"
    )


def frontier_alone(candidates: int, cases: int, weights: list[float]) -> str:
    """Add candidates that each solve a random two thirds, so that all stay on the frontier, and draw
    parents.
    """
    spent: list[float] = []
    members = fill(candidates, cases, weights, spent)
    tracemalloc.start()
    kept = fill(candidates // 4, cases, weights, [])
    held = tracemalloc.get_traced_memory()[0] / 1e6
    tracemalloc.stop()
    return (
        f"{len(members.members)} members, {percentiles(spent)}; a quarter of them holds {held:.2f} MB"
        f" ({len(kept.members)} members)"
    )


def fill(candidates: int, cases: int, weights: list[float], spent: list[float]) -> Frontier:
    """Build a frontier; append each candidate's seconds to `spent`."""
    rng = random.Random(0)
    frontier = Frontier(weights)
    for number in range(candidates):
        scores = [float(rng.random() < 0.66) for _ in range(cases)]
        # A case of its own for each candidate keeps it on the frontier.
        scores[number % cases] = 2.0
        start = time.process_time()
        frontier.add(f"c{number}", scores)
        frontier.shares(frontier.members)
        frontier.partners(f"c{number}")
        spent.append(time.process_time() - start)
    return frontier


def whole_search(full: int, cases: int) -> str:
    """Drive a search in which every child mends a few cases and breaks a few; time `tell` for each
    candidate.
    """
    rng = random.Random(0)
    words = ["date", "amount", "currency", "salutation", "queue", "priority", "summary", "colour"]
    names = [f"tests/test_big.py::test_case[{number}]" for number in range(cases)]
    good = CaseResult(1.0, ("prompt.md",), "", True, "k")
    kinds = [f"AssertionError: the {a} and the {b} of the answer are wrong" for a in words for b in words]
    bad = [CaseResult(0.0, ("prompt.md",), kind, True, "k") for kind in kinds]
    settings = SearchSettings(rollouts=10**9, patience=10**9, invalid=10**9, chain_tries=0)
    search = Search([SearchCase(name) for name in names], {"prompt.md": "Do it.\n"}, settings)
    passed: dict[str, set[str]] = {}
    costs: list[float] = []
    spent = 0.0
    entered = 0
    while entered < full and not search.done:
        for task in search.ask():
            event: Evaluated | Reflected
            if isinstance(task, Reflect):
                text = task.parent.texts["prompt.md"] + f"- Rule {task.proposal}.\n"
                event = Reflected(task.proposal, {"prompt.md": text}, "", {"prompt.md": "a rule"})
            else:
                event = answer(task, passed, good, bad, names, rng)
            start = time.process_time()
            decisions = search.tell(event)
            spent += time.process_time() - start
            if any(decision.kind in ("frontier", "dominated") for decision in decisions):
                entered += 1
                costs.append(spent)
                spent = 0.0
    return f"{entered} candidates, {len(search.frontier())} members, {percentiles(costs)}"


def answer(
    task: Evaluate,
    passed: dict[str, set[str]],
    good: CaseResult,
    bad: list[CaseResult],
    names: list[str],
    rng: random.Random,
) -> Evaluated:
    """Make up results: half of the seed's cases pass, a child passes its parent's but ten, and forty
    new ones.
    """
    candidate = task.candidate
    if candidate.id not in passed:
        if not candidate.parents:
            passed[candidate.id] = set(rng.sample(names, len(names) // 2))
        else:
            before = passed[candidate.parents[0]]
            lost = rng.sample(sorted(before), min(10, len(before)))
            left = sorted(set(names) - before)
            gained = set(task.cases[:6]) | set(rng.sample(left, min(40, len(left))))
            passed[candidate.id] = (before - set(lost)) | gained
    mine = passed[candidate.id]
    results = {name: good if name in mine else bad[hash_of(name) % len(bad)] for name in task.cases}
    changed = {
        name: CaseResult(one.score, one.uses, one.likeness, one.charged, candidate.id) for name, one in results.items()
    }
    return Evaluated(candidate.id, changed)


def hash_of(name: str) -> int:
    """A number that is the same in every process."""
    return sum(map(ord, name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--whole", type=int, default=100)
    arguments = parser.parse_args()
    rng = random.Random(1)
    equal = [1.0] * arguments.cases
    uneven = [rng.choice([0.5, 1.0, 2.0, 3.7]) for _ in range(arguments.cases)]
    for title, weights in (("equal weights", equal), ("uneven weights", uneven)):
        for part in (arguments.candidates // 2, arguments.candidates):
            print(f"frontier, {part} candidates, {title}: {frontier_alone(part, arguments.cases, weights)}")
    print(f"whole search: {whole_search(arguments.whole, arguments.cases)}")


if __name__ == "__main__":
    main()
