"""How often a difference is claimed where nothing changed, when several cases look at one answer: with every case
counted for itself, and with the groups that the verdict counts. A confirm run alone, without search and without models.

    python benchmarks/verdict/shared_answers.py [--runs 4000]
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.suite.ties import tied_pairs
from pytest_gepa.trace.trajectory import Call, Message, Trajectory
from pytest_gepa.verdict.interval import wilson
from pytest_gepa.verdict.judge import NOT_PROVEN, PROVEN, CaseScore, judge
from pytest_gepa.wording import count

TRIALS = 3
RATE = 0.5
CELLS = ((10, 5, 1.0), (20, 3, 1.0), (12, 5, 0.5), (50, 1, 1.0))
"""Documents, cases that look at the answer to each, and how much of a case is decided by that answer."""


def side(documents: int, cases: int, part: float, name: str, source: random.Random) -> dict[tuple[str, int], Rollout]:
    """The rollouts of one side: a case passes as the document's answer goes, or for the rest by a draw of its own."""
    runs = {}
    for trial in range(TRIALS):
        for document in range(documents):
            is_good = source.random() < RATE
            said = Message("assistant", f"{trial} {is_good}")
            call = Call(f"{name} {document}", "task", (Message("user", str(document)),), said, shared=True)
            for number in range(cases):
                passed = is_good if source.random() < part else source.random() < RATE
                case = f"{document}/{number}"
                outcome = Outcome.passed if passed else Outcome.failed
                runs[case, trial] = Rollout(name, case, str(trial), outcome, float(passed), Trajectory((call,)))
    return runs


def verdicts(cell: tuple[int, int, float], seed: int) -> Iterator[str]:
    """The verdict of a confirm run with each case for itself, then with groups."""
    source = random.Random(f"{cell} {seed}")
    before, after = (side(*cell, name, source) for name in ("today", "winner"))
    for groups in ({}, tied_pairs(before, after)):
        scores = [
            CaseScore(
                case,
                *(tuple(runs[case, trial].score for trial in range(TRIALS)) for runs in (before, after)),
                group=groups.get(case, ""),
            )
            for case in dict.fromkeys(case for case, _ in before)
        ]
        yield judge(scores, seed=seed).kind


def share(hits: int, runs: int) -> str:
    low, high = wilson(hits, runs)
    return f"{100 * hits / runs:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4000)
    runs = parser.parse_args().runs
    print("| suite | runs | proven or worse, each case for itself | proven | proven or worse, by groups | proven |")
    print("|---|---|---|---|---|---|")
    for cell in CELLS:
        found = [tuple(verdicts(cell, seed)) for seed in range(runs)]
        columns = []
        for way in range(2):
            columns.append(share(sum(kinds[way] != NOT_PROVEN for kinds in found), runs))
            columns.append(share(sum(kinds[way] == PROVEN for kinds in found), runs))
        documents, cases, part = cell
        name = f"{documents} answers, {count(cases, 'case')} each, {100 * part:.0f} % of a case by the answer"
        print(f"| {name} | {runs:,} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
