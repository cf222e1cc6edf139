"""The gate that a new candidate has to pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.decisions import Accept, Gate, better_than_rivals
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.problem import TIE

_VERDICTS = {"accept": "passed", "reject": "failed", "wait": ""}


@dataclass(frozen=True, slots=True)
class GateState:
    """Where a candidate stands at its gate.

    `verdict` is "passed", "failed", "not in effect", "no evidence" (no case could be compared) or "" while
    it depends on the cases that are `open`. `before` and `after` are weighted means over the cases
    compared: the better rival's and the candidate's.
    """

    verdict: str
    before: float
    after: float
    open: tuple[str, ...]

    @property
    def compared(self) -> str:
        """The two means in words. What mended nothing may still be half of what is needed."""
        if abs(self.after - self.before) <= TIE:
            return f"it made no difference: mean score {self.after:.2f} on the cases shown, as before"
        return f"mean score {self.after:.2f} on the cases shown, {self.before:.2f} before"


def judge_gate(
    ledger: Ledger,
    child: Candidate,
    rivals: Sequence[str],
    cases: Sequence[str],
    accept: Accept = better_than_rivals,
) -> GateState:
    """Decide on a candidate by what is known of it and its rivals on the gate's cases.

    A case without evidence on one of the sides is left out. What has no effect has not passed.
    Raises `ValueError` when `accept` waits for nothing.
    """
    gate = gate_of(ledger, child, rivals, cases)
    before, after = gate.means
    answer = accept(gate)
    if answer == "wait" and not gate.open:
        raise ValueError("no case of the gate is open")
    verdict = _VERDICTS[answer]
    if verdict and not gate.scores:
        verdict = "no evidence"
    elif verdict and not in_effect(ledger, child, list(gate.scores)):
        verdict = "not in effect"
    return GateState(verdict, before, after, gate.open)


def gate_of(ledger: Ledger, child: Candidate, rivals: Sequence[str], cases: Sequence[str]) -> Gate:
    """Gather what is known of a candidate and its rivals on the cases on which all rivals gave evidence."""
    known = ledger.results.get(child.id, {})
    fair = [case for case in cases if all(ledger.evidence(rival, case) is not None for rival in rivals)]
    still_open = tuple(case for case in fair if case not in known)
    done = [case for case in fair if ledger.evidence(child.id, case) is not None]
    return Gate(
        child,
        {case: ledger.score(child.id, case) for case in done},
        {rival: {case: ledger.score(rival, case) for case in (*done, *still_open)} for rival in rivals},
        still_open,
        {case: ledger.cases[case].weight for case in fair},
    )


def in_effect(ledger: Ledger, child: Candidate, cases: Sequence[str]) -> bool:
    """Whether a request differs from the first parent's in a case that uses a changed component."""
    changed = set(child.changed)
    parents, own = ledger.results[child.parents[0]], ledger.results[child.id]
    exercised = [case for case in cases if case in parents and changed & {*parents[case].uses, *own[case].uses}]
    return any(not own[case].keys or own[case].keys != parents[case].keys for case in exercised)


def why_no_evidence(ledger: Ledger, candidate: str, cases: Sequence[str]) -> str:
    """What was said by the first of the cases that came to nothing under a candidate."""
    known = ledger.results.get(candidate, {})
    said = next((known[case].likeness for case in cases if case in known and known[case].likeness), "")
    return f"no case shown gave evidence{f': {said.splitlines()[-1]}' if said else ''}"
