"""Runs as the report sees them, made without a model: a search driven by hand, and results built field by field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.search import Search
from pytest_gepa.evolve.tasks import CaseResult, Evaluate, Evaluated, Reflect, Reflected, Stopped
from pytest_gepa.optimize.state import RunState
from pytest_gepa.prompts.summary import summarize
from pytest_gepa.reflect.model import RawReply
from pytest_gepa.reflect.propose import Asking, ProposedEdit
from pytest_gepa.report.result import Result
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.trajectory import Trajectory
from pytest_gepa.verdict.judge import Tally

PROMPT = "prompts/route.md"
TEXT = "Answer with the mark.\n"
TALLIES = (Tally(3, 12, 0.25), Tally(12, 12, 1.0))


def result(**changes: object) -> Result:
    """A proven result, with the changes."""
    fields: dict[str, object] = {
        "run": "2026-01-31-1",
        "verdict": "proven",
        "reason": "the gain is too large to be chance",
        "effect": 0.75,
        "interval": (0.36, 0.93),
        "p_value": 0.0039,
        "baseline": TALLIES[0],
        "winner": TALLIES[1],
        "trials": 1,
        "models": {"task": ("small",), "reflection": ("large",)},
        "search_ended": "every case passes",
        "patch": ".gepa/runs/2026-01-31-1/best.patch",
        **changes,
    }
    return Result(**fields)  # type: ignore[arg-type]


def case(name: str, **fields: object) -> Case:
    return Case(f"test_a.py::{name}", f"test_a.py::{name}[label]", **fields)  # type: ignore[arg-type]


@dataclass
class Desk:
    """Cases that each pass when their own word stands in the prompt; a reflection adds the first word that is missing.

    A word with "!" in front spoils: the case passes only while it is not there. A case that is `idle` asks no model.
    """

    words: Sequence[str]
    held_out: Sequence[str] = ()
    trouble: Sequence[str] = ()
    idle: Sequence[str] = ()
    text: str = TEXT
    edit: Callable[[Desk, Reflect], str | None] | None = None
    rollouts: int = 500
    cases: tuple[Case, ...] = ()
    state: RunState = field(init=False)

    def __post_init__(self) -> None:
        searched = tuple(case(word) for word in self.words)
        self.cases = (*searched, *(case(word, split="holdout") for word in self.held_out))
        search = Search(
            [SearchCase(case.id) for case in searched],
            {PROMPT: self.text},
            SearchSettings(rollouts=self.rollouts),
        )
        self.state = RunState(search)

    @property
    def seed(self) -> Candidate:
        return self.state.search.seed

    def rollout(self, candidate: Candidate, name: str, trial: str = "search/0") -> Rollout:
        word = name.removeprefix("test_a.py::")
        if word in self.trouble:
            failure = "E   openai.InternalServerError: out of order\n\nclient.py:12: InternalServerError"
            return Rollout(candidate.id, name, trial, Outcome.error, None, Trajectory(failure=failure), charged=True)
        present = word.removeprefix("!") in candidate.texts[PROMPT].split()
        passed = present is not word.startswith("!")
        outcome = Outcome.passed if passed else Outcome.failed
        return Rollout(candidate.id, name, trial, outcome, float(passed), charged=True, uses=(PROMPT,))

    def search(self, reflections: int = 100) -> Desk:
        """Drive the search to its end, or as if it were interrupted when it asks for another reflection."""
        state, search = self.state, self.state.search
        pending = list(search.ask())
        while pending:
            task = pending.pop(0)
            if isinstance(task, Evaluate):
                search.tell(self._evaluated(task))
            elif state.reflections == reflections:
                return self
            else:
                search.tell(self._reflected(task))
            pending += search.ask()
        state.search_ended = search.done
        return self

    def again(self, candidate: Candidate, word: str, outcomes: str) -> Desk:
        """More trials of a case in the search, which end as told whatever stands in the prompt (`+` passed)."""
        name = f"test_a.py::{word}"
        ledger = self.state.search.pool.ledger
        for outcome in outcomes:
            passed = outcome == "+"
            trial = f"search/{ledger.trials(candidate.id, name)}"
            ledger.repeat(candidate.id, {name: CaseResult(float(passed), (PROMPT,), passed=passed)})
            ended = Outcome.passed if passed else Outcome.failed
            self.state.count(Rollout(candidate.id, name, trial, ended, float(passed), charged=True))
        return self

    def stop(self, reason: str) -> Desk:
        """Run the baseline, then end the search."""
        (task,) = self.state.search.ask()
        assert isinstance(task, Evaluate)
        self.state.search.tell(self._evaluated(task))
        self.state.search.tell(Stopped(reason))
        self.state.search_ended = self.state.search.done
        return self

    def choose(self) -> Desk:
        self.state.winner = self.state.search.best()
        return self

    def confirm(self, trials: int = 1, of: int | None = None) -> Desk:
        """Run both sides on every case in `trials` trials, as if interrupted if that is less than `of`."""
        state = self.state
        assert state.winner is not None
        state.trials = of or trials
        for candidate in (self.seed, state.winner, *state.rivals):
            state.confirm[candidate.id] = {
                (case.id, trial): self.rollout(candidate, case.id, f"run/confirm/{trial}")
                for case in self.cases
                for trial in range(trials)
            }
            for rollout in state.confirm[candidate.id].values():
                state.count(rollout)
        state.is_confirmed = state.trials == trials
        return self

    def _evaluated(self, task: Evaluate) -> Evaluated:
        results = {}
        for name in task.cases:
            rollout = self.rollout(task.candidate, name)
            self.state.rollouts[task.candidate.id, name] = rollout
            self.state.count(rollout)
            likeness = "" if rollout.outcome is Outcome.passed else "wrong"
            results[name] = CaseResult(rollout.score, rollout.uses, likeness, True, task.candidate.id)
            if name.removeprefix("test_a.py::") in self.idle:
                results[name] = CaseResult(rollout.score, ())
        return Evaluated(task.candidate.id, results)

    def _reflected(self, task: Reflect) -> Reflected:
        state = self.state
        state.asked[task.proposal] = task
        state.reflections += 1
        before = task.parent.texts[PROMPT]
        missing = [name.removeprefix("test_a.py::") for name in task.failing]
        text = self.edit(self, task) if self.edit else f"{before}- {missing[0]}\n"
        if text is None:
            state.proposals[task.proposal] = {PROMPT: ProposedEdit(PROMPT, None, rejections=("empty reply",))}
            state.rejections.update(["empty reply"])
            return Reflected(task.proposal, rejections=("empty reply",))
        proposal = ProposedEdit(
            PROMPT,
            text,
            diagnosis="The word is missing.",
            case_diagnoses=((f"{task.failing[0]}[label]", "the answer lacks the mark", "nothing names it"),),
            summary=summarize(before, text),
            replies=(Asking((), RawReply("{}")),),
        )
        state.proposals[task.proposal] = {PROMPT: proposal}
        return Reflected(task.proposal, {PROMPT: text}, proposal.diagnosis, {PROMPT: proposal.summary})
