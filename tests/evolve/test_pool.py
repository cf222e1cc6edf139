from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pytest_gepa.evolve.candidate import Candidate, derive, seed_candidate
from pytest_gepa.evolve.pool import Pool
from pytest_gepa.evolve.problem import SearchCase
from pytest_gepa.evolve.tasks import CaseResult

SEED = seed_candidate({"a": "Intro.\n", "b": "Intro.\n"})


def pool_of(seed: str) -> Pool:
    pool = Pool([SearchCase(str(n)) for n in range(len(seed))], SEED)
    pool.begin(results(seed))
    return pool


def results(scores: str, keys: str = SEED.id) -> dict[str, CaseResult]:
    return {str(n): CaseResult(float(score), ("a", "b"), "", True, keys) for n, score in enumerate(scores)}


def add(pool: Pool, candidate: Candidate, scores: str) -> bool:
    pool.candidates[candidate.id] = candidate
    pool.ledger.record(candidate.id, results(scores, candidate.id))
    return pool.enter(candidate)


def child(text: str, component: str = "a", parent: Candidate = SEED) -> Candidate:
    return derive(parent, {component: parent.texts[component] + text})


def test_a_gain_is_a_better_mean_or_a_case_that_nobody_solved() -> None:
    pool = pool_of("1000")
    assert add(pool, child("x\n"), "0100")
    assert add(pool, child("y\n"), "1100")
    assert not add(pool, child("z\n"), "1100")


def test_the_best_breaks_no_more_than_it_may() -> None:
    pool = pool_of("1000")
    bold, careful = child("bold\n"), child("careful\n")
    add(pool, bold, "0111")
    add(pool, careful, "1100")
    assert pool.best(max_broken=1) == bold
    assert pool.best(max_broken=0) == careful


def test_of_equal_means_the_fewest_broken_win_then_the_shortest_then_the_newest() -> None:
    pool = pool_of("1000")
    add(pool, child("break\n"), "0111")
    add(pool, child("longer text\n"), "1110")
    add(pool, child("old\n"), "1110")
    newest = child("new\n")
    add(pool, newest, "1110")
    assert pool.best(max_broken=9) == newest


def test_before_the_baseline_the_seed_is_the_best() -> None:
    assert Pool([SearchCase("x")], SEED).best(0) == SEED


def test_a_merge_takes_each_component_from_the_side_that_changed_it() -> None:
    pool = pool_of("000")
    add(pool, child("x\n", "a"), "100")
    add(pool, child("y\n", "b"), "011")
    merge = pool.next_merge()
    assert merge is not None
    assert merge.child is not None
    assert merge.child.texts == {"a": "Intro.\nx\n", "b": "Intro.\ny\n"}
    assert merge.child.origin == "merge"
    assert set(merge.cases) == {"0", "1", "2"}
    # Any beginning of the cases holds of both sides.
    assert {"0", "1"} == set(merge.cases[:2])


def test_a_merge_of_one_component_keeps_the_additions_of_both() -> None:
    pool = pool_of("00")
    add(pool, child("x\n"), "10")
    add(pool, child("y\n"), "01")
    merge = pool.next_merge()
    assert merge is not None
    assert merge.child is not None
    assert sorted(merge.child.texts["a"].splitlines()) == ["Intro.", "x", "y"]


def test_a_pair_is_considered_once() -> None:
    pool = pool_of("00")
    add(pool, child("x\n"), "10")
    add(pool, child("y\n"), "01")
    merge = pool.next_merge()
    assert merge is not None
    assert pool.next_merge() is None
    # Where it failed at its gate there is another way to unite the two.
    pool.merge_failed(merge.pair)
    again = pool.next_merge()
    assert again is not None
    assert (again.pair, again.child, again.cases) == (merge.pair, None, merge.cases)
    assert pool.next_merge() is None


def test_no_merge_that_could_not_beat_the_best() -> None:
    pool = pool_of("0000")
    add(pool, child("x\n"), "1000")
    add(pool, child("y\n"), "0100")
    third = child("z\n")
    add(pool, third, "1110")
    assert pool.frontier.members == (third.id,)
    assert pool.next_merge() is None


def test_a_candidate_is_not_merged_with_its_own_ancestor() -> None:
    pool = pool_of("00")
    first = child("x\n")
    add(pool, first, "10")
    add(pool, child("y\n", parent=first), "01")
    assert pool.next_merge() is None


def test_there_is_no_parent_when_no_failure_used_a_component() -> None:
    pool = Pool([SearchCase("x")], SEED)
    pool.begin({"x": CaseResult(0.0, (), "bad", True, "k")})
    assert pool.parents({}) == ()


def test_the_shortest_that_does_better_is_on_the_frontier_and_may_be_drawn() -> None:
    pool = pool_of("1000")
    short, long = child("short\n"), child("a much longer text that does more\n")
    add(pool, long, "1110")
    add(pool, short, "1100")
    assert pool.frontier.members == (long.id, short.id)
    # The longer one is as good on all 4 cases, so the short one has the share of one case.
    assert pool.frontier.shares(pool.frontier.members) == pytest.approx([4 / 5, 1 / 5])
    assert [parent.candidate for parent in pool.parents({})] == [long.id, short.id]


def test_a_place_for_what_is_saved_goes_to_the_next_that_saves_more() -> None:
    pool = pool_of("1000")
    add(pool, child("a much longer text that does more\n"), "1110")
    short, shortest = child("short\n"), child("so\n")
    add(pool, short, "1100")
    add(pool, shortest, "0110")
    assert shortest.id in pool.frontier.members
    assert short.id not in pool.frontier.members
    # It is not drawn any more, but nobody is as good and shorter: it keeps its patch.
    assert pool.bargains() == ()


def test_what_does_no_better_than_the_seed_saves_nothing() -> None:
    pool = pool_of("1000")
    add(pool, child("a longer text\n"), "1100")
    add(pool, derive(SEED, {"a": "I.\n"}), "0100")
    assert SEED.id not in pool.frontier.members
    assert len(pool.frontier.members) == 1


def outlays(scores: str, **values: float) -> dict[str, CaseResult]:
    return {case: replace(result, **values) for case, result in results(scores).items()}  # type: ignore[arg-type]


def test_the_cheapest_has_a_place_only_where_prices_are_known() -> None:
    for known in (True, False):
        dear, cheap = ({"usd": price} if known else {} for price in (0.02, 0.01))
        pool = Pool([SearchCase(str(n)) for n in range(8)], SEED)
        pool.begin(outlays("10000000", **dear))
        first, second = child("a\n"), child("more of it\n")
        for candidate, found in (
            (first, outlays("11111100", **dear)),
            (second, outlays("11100000", **cheap)),
        ):
            pool.candidates[candidate.id] = candidate
            pool.ledger.record(candidate.id, found)
            pool.enter(candidate)
        assert (second.id in pool.frontier.members) is known


def test_equal_latency_with_noise_keeps_nobody_on_the_frontier() -> None:
    draw = random.Random(3)
    pool = Pool([SearchCase(str(n)) for n in range(20)], SEED)

    def timed(passing: int) -> dict[str, CaseResult]:
        scores = "1" * passing + "0" * (20 - passing)
        return {
            case: replace(result, seconds=draw.lognormvariate(0.0, 0.5)) for case, result in results(scores).items()
        }

    pool.begin(timed(1))
    for better in range(2, 18):
        candidate = child("x" * 40 + "y" * (20 - better) + "\n")
        pool.candidates[candidate.id] = candidate
        pool.ledger.record(candidate.id, timed(better))
        pool.enter(candidate)
        # The newcomer is better on every case and shorter; an earlier one stays only if it seems to be faster.
        assert len(pool.frontier.members) <= 2
    assert pool.frontier.members[0] == candidate.id


def test_named_scores_keep_a_candidate_on_the_frontier() -> None:
    def graded(form: float, fact: float) -> dict[str, CaseResult]:
        objectives = {"form": form, "fact": fact}
        return {"0": CaseResult((form + fact) / 2, ("a",), "", True, "k", objectives=objectives)}

    pool = Pool([SearchCase("0")], SEED)
    pool.begin(graded(0.2, 0.2))
    formal, factual = child("formal\n"), child("factual\n")
    for candidate, found in ((formal, graded(1.0, 0.2)), (factual, graded(0.2, 0.9))):
        pool.candidates[candidate.id] = candidate
        pool.ledger.record(candidate.id, found)
        assert pool.enter(candidate)
    assert set(pool.frontier.members) == {formal.id, factual.id}


def scored(score: float, **objectives: float) -> CaseResult:
    return CaseResult(score, ("a",), "", True, "k", objectives=objectives)


def test_a_named_score_that_a_further_trial_has_taken_away_is_no_objective_any_more() -> None:
    pool = Pool([SearchCase("0"), SearchCase("1")], SEED)
    pool.begin({"0": scored(1, tone=1), "1": scored(0, facts=0)})
    pool.ledger.repeat(SEED.id, {"0": scored(0)})
    pool.ledger.repeat(SEED.id, {"0": scored(0)})
    pool.weigh_again()
    assert pool.frontier.members == (SEED.id,)
    newcomer = child("x\n")
    pool.add(newcomer)
    pool.ledger.record(newcomer.id, {"0": scored(1, tone=1), "1": scored(1, facts=1)})
    assert pool.enter(newcomer)


def test_a_pair_that_was_merged_is_not_merged_again_when_places_are_given_anew() -> None:
    pool = pool_of("000")
    add(pool, child("x\n", "a"), "100")
    add(pool, child("y\n", "b"), "011")
    merge = pool.next_merge()
    assert merge is not None
    pool.weigh_again()
    assert pool.next_merge() is None
    pool.merge_failed(merge.pair)
    pool.weigh_again()
    again = pool.next_merge()
    assert again is not None
    assert again.child is None, "a pair whose merge failed is considered once more"
    pool.weigh_again()
    assert pool.next_merge() is None


def test_finalists_of_equal_means_come_in_the_order_in_which_they_were_found() -> None:
    pool = pool_of("000")
    found = [child(f"{number}\n") for number in range(8)]
    for one in found:
        add(pool, one, "100")
    assert [finalist.candidate for finalist in pool.finalists(0)] == found


def test_only_what_bars_a_candidate_is_in_doubt() -> None:
    pool = pool_of("1000")
    add(pool, child("bold\n"), "0111")
    assert pool.in_doubt(max_broken=0) == ("0",)
    assert pool.in_doubt(max_broken=1) == ()


def test_a_case_that_turns_out_to_be_undecidable_gives_no_place_and_is_no_reason_to_merge() -> None:
    pool = pool_of("1100")
    lucky, steady = child("lucky\n"), child("steady\n")
    add(pool, lucky, "1101")
    add(pool, steady, "1110")
    assert set(pool.frontier.members) == {lucky.id, steady.id}
    for name, again in ((SEED.id, 1.0), (lucky.id, 0.0)):
        pool.ledger.repeat(name, {"3": CaseResult(again, ("a", "b"), "", True, name)})
        pool.heed_undecidable()
        assert lucky.id in pool.frontier.members
    pool.ledger.repeat(steady.id, {"3": CaseResult(1.0, ("a", "b"), "", True, steady.id)})
    pool.heed_undecidable()
    assert pool.ledger.undecidable == ("3",)
    assert pool.frontier.members == (steady.id,)
    assert pool.next_merge() is None


def graded(scores: Sequence[float], keys: str = SEED.id) -> dict[str, CaseResult]:
    return {str(n): CaseResult(score, ("a", "b"), "", True, keys) for n, score in enumerate(scores)}


def graded_pool(*seed: float, again: float) -> Pool:
    """The first case has had a second trial under today's prompts."""
    pool = Pool([SearchCase(str(n)) for n in range(len(seed))], SEED)
    pool.begin(graded(seed))
    pool.ledger.repeat(SEED.id, graded([again]))
    pool.weigh_again()
    return pool


def enter(pool: Pool, candidate: Candidate, *scores: float) -> bool:
    pool.candidates[candidate.id] = candidate
    pool.ledger.record(candidate.id, graded(scores, candidate.id))
    return pool.enter(candidate)


def test_two_that_differ_by_chance_alone_are_not_merged() -> None:
    pool = graded_pool(0.3, 0.3, 0.3, 0.3, again=0.5)
    enter(pool, child("x\n", "a"), 0.6, 0.5, 0.6, 0.5)
    enter(pool, child("y\n", "b"), 0.5, 0.6, 0.5, 0.6)
    assert len(pool.frontier.members) == 2
    assert pool.next_merge() is None


def test_a_merge_is_judged_by_the_cases_in_which_a_side_is_ahead_by_more_than_chance() -> None:
    pool = graded_pool(0.3, 0.3, 0.3, 0.3, again=0.5)
    enter(pool, child("x\n", "a"), 0.9, 0.4, 0.6, 0.5)
    enter(pool, child("y\n", "b"), 0.4, 0.9, 0.5, 0.6)
    merge = pool.next_merge()
    assert merge is not None
    assert set(merge.cases) == {"0", "1"}


def test_a_gain_of_a_whole_case_is_one_where_few_cases_are_graded() -> None:
    pool = graded_pool(0.5, *[0.0] * 15, again=0.9)
    assert enter(pool, child("x\n", "a"), 0.5, 1.0, *[0.0] * 14)
    assert enter(pool, child("y\n", "b"), 0.5, 0.0, 1.0, *[0.0] * 13)
    # Best on no case alone, it is the best in the mean, by more than one graded case comes to there.
    assert enter(pool, child("x\ny\n", "a"), 0.5, 1.0, 1.0, *[0.0] * 13)
