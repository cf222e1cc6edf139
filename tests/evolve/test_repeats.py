from __future__ import annotations

from pytest_gepa.evolve.candidate import derive, seed_candidate
from pytest_gepa.evolve.pool import Pool
from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.repeats import Repeats
from pytest_gepa.evolve.tasks import CaseResult, Evaluate
from pytest_gepa.evolve.work import Work

SEED = seed_candidate({"p": "Answer.\n"})
CHILD = derive(SEED, {"p": "Answer well.\n"})


def results(key: str, **scores: float) -> dict[str, CaseResult]:
    return {case: CaseResult(score, ("p",), keys=key) for case, score in scores.items()}


def repeats_of(
    seed: dict[str, float], again: dict[str, float], child: dict[str, float], rollouts: int = 50
) -> tuple[Repeats, Work]:
    """The seed's first trials, those of them that were repeated, and a child's."""
    pool, work = Pool([SearchCase(case) for case in seed], SEED), Work(rollouts)
    pool.begin(results("old", **seed))
    if again:
        pool.ledger.repeat(SEED.id, results("old", **again))
    pool.add(CHILD)
    pool.ledger.record(CHILD.id, results("new", **child))
    return Repeats(pool, work, SearchSettings(probe=2)), work


def asked(work: Work) -> list[tuple[str, tuple[str, ...], int]]:
    tasks = [task for task in work.take_tasks() if isinstance(task, Evaluate)]
    assert all(task.purpose == "repeat" for task in tasks)
    return [(task.candidate.id, task.cases, task.trial) for task in tasks]


FAILING = {"a": 0.0, "b": 0.0, "c": 0.0}
NOISY = {"a": 1.0, "b": 0.0}


def test_todays_prompts_are_probed_once_and_spread_over_the_cases() -> None:
    repeats, work = repeats_of({**FAILING, "d": 0.0}, {}, {})
    assert repeats.probe()
    ((candidate, cases, trial),) = asked(work)
    assert (candidate, len(cases), trial) == (SEED.id, 2, 1)
    assert "a" in cases
    assert "b" not in cases
    assert not repeats.probe()


def test_a_lead_by_cases_that_the_rival_has_run_more_often_is_put_to_the_test() -> None:
    repeats, work = repeats_of(FAILING, NOISY, {"a": 1.0, "b": 1.0, "c": 0.0})
    assert repeats.of_leads(CHILD, (SEED.id,), ("a", "b", "c"))
    assert asked(work) == [(CHILD.id, ("a", "b"), 1)]


def test_a_lead_that_holds_without_them_is_not() -> None:
    repeats, work = repeats_of(FAILING, NOISY, {"a": 1.0, "b": 1.0, "c": 1.0})
    assert not repeats.of_leads(CHILD, (SEED.id,), ("a", "b", "c"))
    assert asked(work) == []


def test_what_seems_broken_is_repeated_before_a_candidate_has_its_place() -> None:
    repeats, work = repeats_of({"a": 1.0, "b": 0.0, "c": 0.0}, {"a": 1.0}, {"a": 0.0, "b": 1.0, "c": 1.0})
    assert repeats.before_its_place(CHILD, SEED.id)
    assert asked(work) == [(CHILD.id, ("a",), 1)]


def test_where_there_is_no_room_nothing_is_repeated() -> None:
    repeats, work = repeats_of(FAILING, NOISY, {"a": 1.0, "b": 1.0, "c": 0.0}, rollouts=1)
    assert not repeats.of_leads(CHILD, (SEED.id,), ("a", "b", "c"))
    assert asked(work) == []


def test_before_everything_is_taken_for_solved_it_is_run_once_more_where_trials_differ() -> None:
    repeats, work = repeats_of(FAILING, NOISY, {"a": 1.0, "b": 1.0, "c": 1.0})
    assert repeats.before_its_place(CHILD, SEED.id)
    assert asked(work) == [(CHILD.id, ("a", "b", "c"), 1)]
