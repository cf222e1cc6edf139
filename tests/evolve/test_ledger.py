from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_gepa.evolve.doubt import fewest_trials, leads_on_fewer_trials, unsettled
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.minibatch import FailedCase
from pytest_gepa.evolve.problem import SearchCase
from pytest_gepa.evolve.tasks import CaseResult


def scored(score: float | None, **more: object) -> CaseResult:
    return CaseResult(score, **{"uses": ("a",), "keys": "k", **more})  # type: ignore[arg-type]


def ledger_of(seed: dict[str, float | None], **weights: float) -> Ledger:
    ledger = Ledger([SearchCase(case, weights.get(case, 1.0)) for case in seed])
    ledger.record_seed("seed", {case: scored(score) for case, score in seed.items()})
    return ledger


def test_means_are_weighted() -> None:
    ledger = ledger_of({"x": 1.0, "y": 0.0}, x=3.0)
    assert ledger.mean("seed") == 0.75


def test_a_case_without_evidence_under_the_seed_takes_no_part_for_anyone() -> None:
    ledger = ledger_of({"x": 1.0, "y": None})
    ledger.record("child", {"x": scored(0.0), "y": scored(1.0)})
    assert ledger.active == ("x",)
    assert ledger.mean("child") == 0.0
    assert ledger.divide("child") == (("x",), ())


def test_a_case_that_the_baseline_did_not_reach_takes_no_part() -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("y")])
    ledger.record_seed("seed", {"x": scored(1.0)})
    assert ledger.active == ("x",)


@pytest.mark.parametrize(("before", "mean"), [(1.0, 1.0), (0.0, 0.5)])
def test_trouble_under_a_child_is_neither_a_failure_nor_a_gain(before: float, mean: float) -> None:
    ledger = ledger_of({"x": 1.0, "y": before})
    ledger.record("child", {"x": scored(1.0), "y": scored(None)})
    assert ledger.missing("child") == ()
    assert ledger.mean("child") == mean
    assert ledger.divide("child") == ((), ("x",))


def test_a_case_that_reaches_no_model_is_inherited_and_never_missing() -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("plain")])
    modelless = CaseResult(0.0, (), "it fails", False, "")
    ledger.record_seed("seed", {"x": scored(0.0), "plain": modelless})
    assert ledger.missing("child") == ("x",)
    ledger.record("child", {"x": scored(1.0)})
    assert ledger.results["child"]["plain"] == modelless
    assert ledger.workable("child") == {}


def test_only_failures_that_used_a_component_can_be_worked_on() -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("y")])
    ledger.record_seed("seed", {"x": scored(0.0, likeness="bad"), "y": scored(0.0, uses=())})
    assert ledger.workable("seed") == {"x": FailedCase("bad", ("a",))}
    assert ledger.cost(["a"], ledger.active) == 1


def test_a_case_passes_from_its_threshold_on() -> None:
    ledger = Ledger([SearchCase("x", threshold=0.8), SearchCase("y")])
    ledger.record_seed("seed", {"x": scored(0.8), "y": scored(0.99)})
    assert ledger.divide("seed") == (("y",), ("x",))
    assert not ledger.solved("seed")


def test_a_failed_case_is_worked_on_although_its_score_reaches_the_threshold() -> None:
    ledger = Ledger([SearchCase("x", threshold=0.5)])
    ledger.record_seed("seed", {"x": scored(0.75, passed=False)})
    assert ledger.divide("seed") == (("x",), ())
    assert not ledger.solved("seed")


def test_a_graded_case_that_passes_is_worked_on_until_it_has_full_marks_and_is_not_broken_before() -> None:
    ledger = Ledger([SearchCase("x")])
    ledger.record_seed("seed", {"x": scored(1.0, passed=True)})
    ledger.record("worse", {"x": scored(0.9, passed=True)})
    ledger.record("broken", {"x": scored(0.9, passed=False)})
    assert ledger.divide("worse") == (("x",), ())
    assert (ledger.broken("worse"), ledger.broken("broken")) == ((), ("x",))


def test_without_evidence_of_its_own_a_case_passes_as_under_the_seed() -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("y")])
    ledger.record_seed("seed", {"x": scored(0.5, passed=True), "y": scored(0.5)})
    ledger.record("child", {"x": scored(None)})
    assert [ledger.passes("child", case) for case in ("x", "y")] == [True, False]


def test_a_case_that_may_hang_on_a_prompt_is_not_inherited_and_costs_nothing() -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("plain")])
    plain = CaseResult(1.0, (), "", False, "", depends=True)
    ledger.record_seed("seed", {"x": scored(0.0), "plain": plain})
    assert ledger.missing("child") == ("x", "plain")
    assert ledger.cost(["a"], ["plain"]) == 0


def test_a_case_that_one_side_passes_only_sometimes_is_not_broken() -> None:
    cases = ("flaky today", "flaky then", "broken", "broken at last")
    ledger = Ledger([SearchCase(case) for case in cases])
    ledger.record_seed("seed", dict.fromkeys(cases, scored(1)))
    ledger.record("child", dict.fromkeys(cases, scored(0)))
    assert ledger.broken("child") == cases
    ledger.repeat("seed", {"flaky today": scored(0), "broken": scored(1)})
    ledger.repeat("child", {"flaky then": scored(1), "broken": scored(0)})
    assert ledger.broken("child") == ("broken", "broken at last")


def test_broken_are_the_cases_that_the_seed_passes_and_a_candidate_fails() -> None:
    ledger = ledger_of({"x": 1.0, "y": 0.0, "z": 1.0})
    ledger.record("child", {"x": scored(0.0), "y": scored(0.0), "z": scored(None)})
    assert ledger.broken("child") == ("x",)


def test_two_cases_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same id"):
        Ledger([SearchCase("x"), SearchCase("x")])


def trial(passed: bool, keys: str = "k") -> CaseResult:
    return CaseResult(float(passed), ("a",), "" if passed else "no", True, keys, passed)


def repeated(keys: str | None = None, **trials: str) -> Ledger:
    """A ledger whose case "c" had these trials (`+` passed) under candidates of these names, "s" the seed. Each has
    requests of its own where no `keys` are given.
    """
    ledger = Ledger([SearchCase("c")])
    for name, outcomes in trials.items():
        own = name if keys is None else keys
        record = ledger.record_seed if name == "s" else ledger.record
        record(name, {"c": trial(outcomes[0] == "+", own)})
        for outcome in outcomes[1:]:
            ledger.repeat(name, {"c": trial(outcome == "+", own)})
    return ledger


@pytest.mark.parametrize(
    ("trials", "score", "passes", "is_settled"),
    [("+", 1, True, False), ("-+", 0.5, False, False), ("-++", 1, True, True), ("+--", 0, False, True)],
)
def test_a_repeated_case_is_judged_by_the_median_of_its_trials(
    trials: str, score: float, passes: bool, is_settled: bool
) -> None:
    ledger = repeated(s="-", x=trials)
    assert (ledger.score("x", "c"), ledger.passes("x", "c")) == (score, passes)
    assert ledger.is_settled("x", "c") is is_settled
    assert ledger.trials("x", "c") == len(trials)
    assert ("c" in ledger.workable("x")) is not passes


def test_noise_is_what_repeats_of_the_seed_tell_and_never_nothing_once_any_trial_differed() -> None:
    assert repeated(s="--", x="-").noise == 0
    assert repeated(s="-+", x="-").noise == 0.5
    assert 0 < repeated(s="--", x="-+").noise <= 0.5


def test_a_case_whose_trials_differ_under_most_candidates_is_set_aside() -> None:
    ledger = repeated(s="-+", x="+-", y="-+", z="-")
    assert ledger.undecidable == ("c",)
    assert ledger.workable("z") == {}
    assert ledger.solved("z")
    assert fewest_trials(ledger, "z", ["c"]) == ()
    assert repeated(s="-+", x="+-", y="--", z="-").undecidable == ()


def test_equal_requests_of_several_candidates_are_one_draw() -> None:
    """The case uses nothing that they have changed: what differs is the answers that they share, again and again."""
    assert repeated("k", s="-+", x="-+", y="-+", z="-+").undecidable == ()
    assert repeated("", s="-+", x="-+", y="-+").undecidable == ("c",)  # nobody knows what they asked
    ledger = repeated(s="-+", x="-+")
    ledger.record("y", {"c": trial(False, "s")})  # as under the seed, and so is one of its own trials
    ledger.repeat("y", {"c": trial(True, "more")})
    ledger.record("z", {"c": trial(False, "more")})
    ledger.repeat("z", {"c": trial(True, "more")})
    assert ledger.undecidable == ()
    ledger.record("u", {"c": trial(False, "u")})
    ledger.repeat("u", {"c": trial(True, "u")})
    assert ledger.undecidable == ("c",)


def test_two_kinds_of_requests_that_a_third_candidate_joins_are_one() -> None:
    ledger = repeated(s="-+", x="-+", y="-+")
    assert ledger.undecidable == ("c",)
    ledger.record("z", {"c": trial(False, "x")})
    ledger.repeat("z", {"c": trial(True, "y")})
    assert ledger.undecidable == ()


def test_a_case_that_is_set_aside_counts_for_no_turn() -> None:
    steady = repeated(s="-", x="+")
    assert steady.turned("s", "x") == (("c",), ())
    aside = repeated(s="-+", x="+-", y="-+", z="+")
    aside.record("u", {"c": trial(False)})
    assert aside.turned("u", "z") == ((), ())


def test_a_lead_over_a_rival_with_more_trials_is_in_doubt_where_trials_differ() -> None:
    assert leads_on_fewer_trials(repeated(s="-+-", x="+"), "x", ["s"], ["c"]) == ("c",)
    assert leads_on_fewer_trials(repeated(s="-+-", x="++"), "x", ["s"], ["c"]) == ("c",)
    assert leads_on_fewer_trials(repeated(s="-+-", x="+++"), "x", ["s"], ["c"]) == ()
    # No lead, no doubt; and none where all trials have ended alike.
    assert leads_on_fewer_trials(repeated(s="-+-", x="-"), "x", ["s"], ["c"]) == ()
    assert leads_on_fewer_trials(repeated(s="---", x="+"), "x", ["s"], ["c"]) == ()


def test_a_case_whose_repetition_gives_no_evidence_is_not_asked_for_again() -> None:
    ledger = repeated(s="-+-", x="+")
    ledger.repeat("x", {"c": CaseResult(None, ("a",), "", True, "k")})
    assert ledger.trials("x", "c") == 1
    assert leads_on_fewer_trials(ledger, "x", ["s"], ["c"]) == ()
    assert fewest_trials(ledger, "x", ["c"]) == ()


def test_few_failures_beside_many_passes_are_in_doubt_where_trials_differ() -> None:
    ledger = Ledger([SearchCase(str(n)) for n in range(20)])
    ledger.record_seed("s", {str(n): trial(n > 0) for n in range(20)})
    assert unsettled(ledger, "s") == ()
    ledger.repeat("s", {"5": trial(False), "6": trial(True)})
    assert set(unsettled(ledger, "s")) == {"0"}  # the fewest trials first
    ledger.repeat("s", {"0": trial(True)})
    assert set(unsettled(ledger, "s")) == {"0", "5"}


def test_what_stands_without_evidence_is_what_all_trials_of_the_seed_come_to() -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("y")])
    ledger.record_seed("seed", {"x": trial(True), "y": trial(False)})
    ledger.record("child", {"x": CaseResult(None, ("a",)), "y": trial(False)})
    for _ in range(2):
        ledger.repeat("seed", {"x": trial(False)})
    assert ledger.mean("seed") == ledger.mean("child") == 0.0
    assert ledger.scores("child") == ledger.scores("seed")
    assert not ledger.passes("child", "x")


def test_how_far_equal_trials_of_a_graded_case_lie_apart_is_known_from_the_seed() -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("y")])
    ledger.record_seed("seed", {case: scored(0.5, passed=True) for case in "xy"})
    assert ledger.jitter == 0.0
    ledger.repeat("seed", {"x": scored(0.75, passed=True), "y": scored(0.0, passed=False)})
    assert ledger.jitter == 0.25
    ledger.record("child", {"x": scored(0.875, passed=True), "y": scored(0.75, passed=True)})
    # x is at 0.625 today, the median of its trials, and y at 0.25.
    assert ledger.turned("seed", "child") == (("y",), ())


def test_a_case_that_lacks_more_of_its_score_is_more_worth_showing() -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("y", threshold=0.5), SearchCase("z")])
    seed = {"x": scored(0.25), "y": scored(0.49), "z": scored(0.0)}
    ledger.record_seed("seed", seed)
    assert {case: one.lacks for case, one in ledger.workable("seed").items()} == {
        "x": 0.75,
        "y": 0.1,
        "z": 1.0,
    }


@pytest.mark.parametrize(
    ("other", "later"),
    [
        ({"reached": (5,)}, 1),
        ({"reached": (6, 1)}, 2),
        ({"reached": (4,)}, 0),
        ({"score": 1.0, "reached": ()}, 1),
        ({"score": None, "reached": ()}, 1),
    ],
)
def test_failing_at_a_later_check_counts_where_no_case_does_worse(other: dict[str, object], later: int) -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("y")])
    ledger.record_seed("seed", {case: scored(0.0, reached=(5,)) for case in "xy"})
    ledger.record("child", {"x": scored(0.0, reached=(7,)), "y": scored(**{"score": 0.0, **other})})  # type: ignore[arg-type]
    assert ledger.further("seed", "child", "xy") == later


def test_a_case_that_does_worse_is_no_step() -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("y")])
    ledger.record_seed("seed", {"x": scored(0.0, reached=(5,)), "y": scored(1.0)})
    ledger.record("child", {"x": scored(0.0, reached=(7,)), "y": scored(0.0, reached=(9,))})
    assert ledger.further("seed", "child", "xy") == 0


def test_a_score_that_is_there_in_one_trial_and_not_in_the_next_is_a_flip_and_no_spread() -> None:
    """A test that only reports whether it was right passes with 0 and with 1 alike."""
    ledger = Ledger([SearchCase("x")])
    ledger.record_seed("seed", {"x": scored(1.0, passed=True)})
    ledger.repeat("seed", {"x": scored(0.0, passed=True)})
    assert ledger.jitter == 0
    assert ledger.noise > 0


def graded_ledger(*scores: float, again: float, **weights: float) -> Ledger:
    """A suite of which the first case has had a second trial under today's prompts."""
    ledger = ledger_of({str(n): score for n, score in enumerate(scores)}, **weights)
    ledger.repeat("seed", {"0": scored(again)})
    return ledger


def test_only_graded_cases_take_part_in_how_far_sums_lie_apart_by_chance() -> None:
    ledger = graded_ledger(0.5, 1.0, 0.5, again=0.25)
    assert ledger.by_chance(["0"]) == 0.25
    assert ledger.by_chance(["1"]) == 0
    assert ledger.by_chance(ledger.active) == pytest.approx(0.25 * 2**0.5)
    ledger.cases["2"] = SearchCase("2", 3.0)
    assert ledger.by_chance(ledger.active) == pytest.approx(0.25 * 10**0.5)


def test_a_little_less_of_a_graded_score_is_no_reason_against_a_step() -> None:
    ledger = graded_ledger(0.5, 0.3, again=0.4)
    ledger.results["seed"]["1"] = scored(0.3, passed=False, reached=(5,))
    ledger.record("child", {"1": scored(0.25, passed=False, reached=(7,))})
    ledger.record("worse", {"1": scored(0.15, passed=False, reached=(7,))})
    assert (ledger.further("seed", "child", ["1"]), ledger.further("seed", "worse", ["1"])) == (1, 0)


def test_a_result_that_a_child_has_from_its_parent_stands_for_all_trials_of_it() -> None:
    ledger = Ledger([SearchCase("x")])
    ledger.record_seed("seed", {"x": trial(False)})
    ledger.repeat("seed", {"x": trial(True)})
    ledger.record("child", {"x": replace(ledger.results["seed"]["x"], charged=False)}, ("seed",))
    ledger.record("other", {"x": trial(False, "another")}, ("seed",))
    assert [ledger.trials(name, "x") for name in ("seed", "child", "other")] == [2, 2, 1]
    for name in ("seed", "child"):
        ledger.repeat(name, {"x": trial(True)})
    assert ledger.score("child", "x") == ledger.score("seed", "x")
