"""Further trials: of today's prompts, to see whether trials end alike, and of a candidate whose result is in doubt."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.doubt import fewest_trials, leads_on_fewer_trials, unsettled
from pytest_gepa.evolve.gate import judge_gate
from pytest_gepa.evolve.pool import Pool
from pytest_gepa.evolve.problem import SearchSettings, spread
from pytest_gepa.evolve.tasks import Evaluate
from pytest_gepa.evolve.work import Work


class Repeats:
    """Hands out further trials; each method returns False where there is nothing to repeat, or no room for it."""

    def __init__(self, pool: Pool, work: Work, settings: SearchSettings) -> None:
        self._pool = pool
        self._work = work
        self._settings = settings
        self._has_probed = False

    def probe(self) -> bool:
        """Repeat some of the seed's cases, spread over all that use a component, to see whether trials end alike.

        It is done once, before the first candidate is judged by more than its gate: before that, what it tells would
        change little.
        """
        if self._has_probed or self._work.done:
            return False
        self._has_probed = True
        ledger, seed = self._pool.ledger, self._pool.seed
        using = [case for case in ledger.active if ledger.results[seed.id][case].uses]
        return self._run(seed, spread(using, min(self._settings.probe, self._work.budget.remaining)))

    def of_leads(self, candidate: Candidate, rivals: Sequence[str], cases: Sequence[str]) -> bool:
        """Repeat the cases whose lead over a rival may be the luck of fewer trials, if it leads by them alone."""
        ledger = self._pool.ledger
        doubted = leads_on_fewer_trials(ledger, candidate.id, rivals, cases)
        rest = [case for case in cases if case not in doubted]
        if not doubted or judge_gate(ledger, candidate, rivals, rest).verdict == "passed":
            return False
        return self._run(candidate, doubted)

    def of_failures(self, candidate: Candidate) -> bool:
        """Repeat the cases that fail, maybe by chance."""
        return self._run(candidate, unsettled(self._pool.ledger, candidate.id))

    def before_its_place(self, candidate: Candidate, base: str) -> bool:
        """Repeat what its place hangs on: failures and leads that may be chance, then what came to nothing or seems
        to be broken, and all else once before everything is taken for solved.
        """
        ledger = self._pool.ledger
        if self.of_failures(candidate) or self.of_leads(candidate, (base,), ledger.active):
            return True
        if not self._settings.probe:
            return False
        if self._run(candidate, ledger.without_evidence(candidate.id)):
            return True
        cases = fewest_trials(ledger, candidate.id, ledger.turned(base, candidate.id)[1])
        if not cases and ledger.noise and ledger.solved(candidate.id):
            cases = ledger.run_once(candidate.id)
        return self._run(candidate, cases)

    def _run(self, candidate: Candidate, cases: tuple[str, ...]) -> bool:
        """Hand out another trial of cases that have had equally many."""
        if self._work.done or not cases or not self._work.budget.reserve(len(cases)):
            return False
        trial = max(1, self._pool.ledger.trials(candidate.id, cases[0]))
        self._work.hand_out(Evaluate(candidate, cases, "repeat", trial))
        return True
