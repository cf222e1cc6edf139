"""Rollouts until the search's best candidate has 90 % and 100 % of the true score, on the simulated
worlds.

python benchmarks/search/simulated.py --simbench PATH [--seeds 20] [--sets standard,variants,hard,W2v4]

The search runs in this process against the simulated models, one task at a time. Reflections go the way
of the product (`pytest_gepa.reflect.propose`, full menu), or with `--request plain` through a short
text of our own. A rollout counts as `Bench.curve` counts it; the incumbent is the best candidate that
was run on every case.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from product import default_search

from pytest_gepa.evolve.decisions import Decisions
from pytest_gepa.evolve.problem import SearchCase
from pytest_gepa.evolve.search import Search
from pytest_gepa.evolve.tasks import CaseResult, Decision, Evaluate, Evaluated, Reflect, Reflected
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.leaks import CaseText, Leaks
from pytest_gepa.prompts.summary import all_changes, summarize
from pytest_gepa.reflect.menu import FULL
from pytest_gepa.reflect.model import RawReply
from pytest_gepa.reflect.propose import EvidenceBudget, propose
from pytest_gepa.reflect.request import Version
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

WEAK = "p=0.3,p_rec=0.2,q=0.06,r=0.2"
SETS: Mapping[str, Sequence[tuple[str, str]]] = {
    "standard": [("W1", ""), ("W2", ""), ("W3", "")],
    "variants": [(f"W{world}v{number}", "") for world in (1, 2, 3) for number in (1, 2, 3)],
    "hard": [
        ("W2", "p_direct=0"),
        *[(world, WEAK) for world in ("W1", "W2", "W3")],
        *[(world, "flip=0.1") for world in ("W1", "W2", "W3")],
    ],
}
_FENCE = re.compile(r"```\w*\n(.*?)```", re.S)


@dataclass(frozen=True)
class Run:
    """What came of one seed: the bench's curve, decisions with the rollouts spent by then, and the
    end's reason.
    """

    curve: list[tuple[int, int, float, float, float | None]]
    decisions: list[tuple[int, int, Decision]]
    limit: int
    rollouts: int
    reflections: int
    done: str


class Driver:
    """Answers a search's tasks from a simulated world; `changes` are of the product's own settings."""

    def __init__(
        self,
        bench: Any,
        seed: int,
        request: str = "package",
        decisions: Decisions | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        self.bench = bench
        self.cases = {case.id: case for case in bench.cases}
        self.limit = 20 * len(self.cases)
        self.search = Search(
            [SearchCase(name) for name in self.cases],
            bench.seed_prompts,
            replace(default_search(list(self.cases), seed), **{"rollouts": self.limit, **(changes or {})}),
            decisions=decisions,
        )
        values = [CaseText(case.id, (case.input, *map(str, case.expected.values()))) for case in bench.cases]
        texts = bench.seed_prompts
        self._guard = Guard(texts, Leaks(values, texts.values()), lambda component, text: None)
        self._edit = {"plain": self._plain, "package": self._package}[request]
        self._rollouts: dict[tuple[str, str], Any] = {}
        self._incumbent = self.search.seed.id
        self._decisions: list[tuple[int, int, Decision]] = []

    def run(self) -> Run:
        while not self.search.done:
            tasks = self.search.ask()
            if not tasks:
                raise RuntimeError("the search waits, and nothing is under way")
            for task in tasks:
                event = self.evaluate(task) if isinstance(task, Evaluate) else self._reflect(task)
                for decision in self.search.tell(event):
                    self._decisions.append((self.bench.calls, self.bench.reflections, decision))
                best = self.search.best(max_broken=len(self.cases))
                if best.id != self._incumbent:
                    self._incumbent = best.id
                    self.bench.incumbent(dict(best.texts), self.search.mean(best))
        return Run(
            self.bench.curve,
            self._decisions,
            self.limit,
            self.bench.calls,
            self.bench.reflections,
            self.search.done,
        )

    def evaluate(self, task: Evaluate) -> Evaluated:
        texts = dict(task.candidate.texts)
        results = {}
        for rollout in self.bench.rollouts([(texts, self.cases[name]) for name in task.cases]):
            name = rollout.case.id
            self._rollouts[task.candidate.id, name] = rollout
            keys = hashlib.sha256(json.dumps([texts, name]).encode()).hexdigest()[:16]
            results[name] = CaseResult(
                rollout.score, tuple(sorted(texts)), rollout.feedback, True, keys, text=rollout.case.input
            )
        return Evaluated(task.candidate.id, results)

    def _reflect(self, task: Reflect) -> Reflected:
        texts, summaries, diagnoses, rejections = {}, {}, [], []
        for component in task.components:
            text, diagnosis, refused = self._edit(task, component)
            rejections += refused
            if text is not None:
                texts[component] = text
                summaries[component] = summarize(task.parent.texts[component], text)
                diagnoses.append(diagnosis)
        return Reflected(task.proposal, texts, "\n".join(diagnoses), summaries, tuple(rejections))

    def _plain(self, task: Reflect, component: str) -> tuple[str | None, str, Sequence[str]]:
        found = _FENCE.search(self.bench.reflect(plain_request(task, component, self._shown(task))))
        text = found.group(1).strip() + "\n" if found else ""
        changed = bool(text.strip()) and text != task.parent.texts[component]
        return (text if changed else None), "", ()

    def _package(self, task: Reflect, component: str) -> tuple[str | None, str, Sequence[str]]:
        shown = {name: exhibit(rollout) for name, rollout in self._shown(task).items()}
        other = None
        if task.other is not None:
            base, theirs = task.other.base[component], task.other.candidate.texts[component]
            ours = task.parent.texts[component]
            other = Version(theirs, all_changes(base, theirs), all_changes(base, ours))
        proposal = propose(
            component,
            task.parent.texts[component],
            self._guard,
            failing=[shown[name] for name in task.failing],
            neighbours=[shown[name] for name in task.neighbours],
            discarded=[(one.summary, one.reason) for one in task.discarded if one.component == component],
            components=task.parent.texts,
            model=Reflector(self.bench.reflect),
            menu=FULL,
            budget=EvidenceBudget(),
            attempt=task.attempt,
            other=other,
        )
        return proposal.text, proposal.diagnosis, proposal.rejections

    def _shown(self, task: Reflect) -> dict[str, Any]:
        return {name: self._rollouts[task.parent.id, name] for name in (*task.failing, *task.neighbours)}


class Reflector:
    """The simulated reflection model in the shape that `propose` asks for."""

    def __init__(self, reflect: Callable[[Any], str]) -> None:
        self._reflect = reflect

    def ask(self, messages: Sequence[dict[str, str]], schema: Mapping[str, Any] | None = None) -> RawReply:
        return RawReply(self._reflect(list(messages)), "stop")


def exhibit(rollout: Any) -> Exhibit:
    """Turn a simulated rollout into one of the product's."""
    calls = tuple(
        Call(
            "",
            "sim-task",
            (Message("system", call["system"]), Message("user", call["user"])),
            Message("assistant", call["output"]),
        )
        for call in rollout.trace
    )
    case = Case(rollout.case.id, f"tests/test_desk.py::test_ticket[{rollout.case.id}]")
    outcome = Outcome.passed if rollout.passed else Outcome.failed
    trajectory = Trajectory(calls, failure=rollout.feedback)
    return Exhibit(case, Rollout("", case.id, "search/0", outcome, rollout.score, trajectory, rollout.feedback))


def plain_request(task: Reflect, component: str, rollouts: Mapping[str, Any]) -> str:
    """Write a reflection request in few words: the prompt in a fence, failing cases, neighbours,
    discarded edits.
    """
    lines = [f"Prompt to edit: {component}", "```", task.parent.texts[component].rstrip(), "```", ""]
    for number, case in enumerate(task.failing, 1):
        lines += [f"## Failing case {number}: {case}", *_told(rollouts[case]), rollouts[case].feedback, ""]
    for case in task.neighbours:
        lines += [f"## Passing case: {case}", *_told(rollouts[case]), ""]
    lines += [f"Tried and discarded: {one.summary} ({one.reason})" for one in task.discarded]
    lines.append(f"Attempt {task.attempt + 1}.")
    return "\n".join(lines)


def _told(rollout: Any) -> list[str]:
    return [line for call in rollout.trace for line in ("user:", call["user"], "answer:", call["output"])]


def run_once(
    world: str, key: str, seed: int, request: str = "package", changes: Mapping[str, Any] | None = None
) -> Run:
    """Run one search; `key` holds parameters of the simulated models as an API key of theirs does."""
    from simbench.bench import Bench, InProc

    bench = Bench(world, InProc(f"sim,seed={seed},{key}"), concurrency=1)
    run = Driver(bench, seed, request, changes=changes).run()
    if run.rollouts > run.limit:
        raise RuntimeError(f"{run.rollouts} rollouts of {run.limit} were used")
    return run


def summary(world: str, key: str, runs: Sequence[Run]) -> str:
    """One line: how soon 90 % and 100 % were reached for good (a run that never did counts as infinite)."""
    from simbench.bench import auc, final_reach

    limit = runs[0].limit
    reach90, reach100 = ([final_reach(run.curve, level, limit) or float("inf") for run in runs] for level in (0.9, 1.0))
    area = statistics.fmean(auc(run.curve, limit // 2) for run in runs)
    reached = sum(reach < float("inf") for reach in reach100)
    slow = sorted(reach90)[max(0, -(-9 * len(runs) // 10) - 1)]
    reflections = statistics.median(run.reflections for run in runs)
    return (
        f"{world:6} {key:29} 90%: median {statistics.median(reach90):5.0f}, 9th decile {slow:5.0f}"
        f"   100%: median {statistics.median(reach100):5.0f}, reached {reached}/{len(runs)}"
        f"   area under the curve to 10 suites {area:.2f}   requests for an edit {reflections:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--simbench", type=Path, required=True, help="directory that holds the package simbench")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--sets", default="standard", help=f"of {', '.join(SETS)}, or names of worlds")
    parser.add_argument("--key", default="", help="parameters of the models, for worlds given by name")
    parser.add_argument("--request", choices=("package", "plain"), default="package")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of SearchSettings")
    parser.add_argument("--decisions", action="store_true", help="print every decision of every run")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.simbench))
    changes = {name: json.loads(value) for name, value in (one.split("=", 1) for one in arguments.set)}
    for name in arguments.sets.split(","):
        for world, key in SETS.get(name, [(name, arguments.key)]):
            runs = []
            for seed in range(arguments.seeds):
                runs.append(run_once(world, key, seed, arguments.request, changes))
                for calls, reflections, decision in runs[-1].decisions if arguments.decisions else ():
                    scores = " ".join(f"{score:.2f}" for score in decision.scores)
                    print(calls, reflections, decision.kind, decision.candidate, decision.reason, scores)
            print(summary(world, key, runs), flush=True)


if __name__ == "__main__":
    main()
