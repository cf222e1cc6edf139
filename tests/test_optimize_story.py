"""What an optimization runs, and keeps, without processes (`optimize_world`)."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gepa.errors import SetupError
from pytest_gepa.optimize.evaluator import MOST_SILENT
from pytest_gepa.reflect.model import ReflectionModel
from pytest_gepa.report.build import build_result
from pytest_gepa.run.clock import ConfirmCut
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.replay_order import RecordedCrew
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.condense import KEPT_BYTES
from tests.optimize_world import PROMPT, TODAY, World, add_words

IDLE = "- always think of the customer first\n- be of good cheer\n"
EASY = {f"{word}-{number}": word for word in ("date", "unit", "sign", "case", "form") for number in range(4)}
HOPELESS = {f"hopeless-{number}": "never" for number in range(5)}


def with_ballast(text: str, lacking: Sequence[str], attempt: int) -> str:
    """All that can be mended with two useless lines among it, and later nothing but talk."""
    useful = [word for word in lacking if word != "never"]
    if not useful:
        return f"{text}- remark {len(text)} {attempt}\n"
    return add_words(text, useful[:1], attempt) + IDLE + add_words("", useful[1:], attempt)


def rollouts(world: World) -> int:
    return sum(len(asked.cases) for asked in world.suite.asked)


@pytest.mark.parametrize("budget", [170, 200, 230])
def test_the_winner_is_shrunk_although_the_search_has_used_up_what_it_had(budget: int, tmp_path: Path) -> None:
    world = World({**EASY, **HOPELESS}, with_ballast)
    state = world.run(tmp_path, budget=budget, trials=1)
    assert "too few to run another candidate" in state.search_ended
    assert state.shrink is not None
    assert state.shrink.done == "every change was tried"
    states = Counter(need.state for need in state.shrink.needs)
    assert (states["needed"], states["not measured"]) == (5, 0)
    assert state.winner is not None
    assert not any(line in state.winner.texts[PROMPT] for line in IDLE.splitlines())
    assert state.is_confirmed
    assert state.spent == rollouts(world) <= budget


def interrupted(text: str, lacking: Sequence[str], attempt: int) -> str:
    raise KeyboardInterrupt


class Pressed:
    """A suite's `stop` during which Ctrl-C is pressed once more."""

    def __init__(self) -> None:
        self.presses = 0

    def __call__(self) -> None:
        self.presses += 1
        signal.raise_signal(signal.SIGINT)


def test_a_second_ctrl_c_while_the_run_stops_does_not_lose_the_winner(tmp_path: Path) -> None:
    world = World(EASY, interrupted)
    world.suite.stop = pressed = Pressed()  # type: ignore[method-assign]
    better, usual = add_words(TODAY, ["date", "unit", "sign"], 0), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        world.run(tmp_path, ancestor={PROMPT: better})
    assert pressed.presses == 1
    assert world.state.winner is not None
    assert world.state.winner.texts == {PROMPT: better}
    assert signal.getsignal(signal.SIGINT) is usual


def test_a_message_that_cannot_be_handled_does_not_lose_the_winner(tmp_path: Path) -> None:
    crew = Crew()

    def unheard() -> None:
        raise OSError("no space left")

    world = World(EASY, interrupted)
    world.suite.stop = lambda: crew.tell(unheard)  # type: ignore[method-assign]
    better = add_words(TODAY, ["date"], 0)
    with pytest.raises(KeyboardInterrupt):
        world.run(tmp_path, ancestor={PROMPT: better}, crew=crew)
    assert world.state.winner is not None
    assert world.state.winner.texts == {PROMPT: better}


LONG = "".join(f"{at:06d} " for at in range(90_000))


def long_answers(case: str, passes: bool, trial: str) -> str:
    """The same in every trial, of a length that no run can keep of all of them."""
    return f"{case} {'yes' if passes else 'no'} {LONG}"


def test_long_answers_that_repeat_are_known_to_and_are_not_kept_whole(tmp_path: Path) -> None:
    world = World({f"date-{number}": "date" for number in range(6)})
    world.answer = long_answers
    state = world.run(tmp_path)
    assert len(state.repeats) == 4
    answers = [call.answer for run in state.repeats for call in run.trajectory.calls]
    assert all(answer is not None and len(answer.content) <= KEPT_BYTES for answer in answers)
    assert state.trials == 1


def test_answers_that_differ_are_tried_as_often_as_is_usual(tmp_path: Path) -> None:
    world = World({f"date-{number}": "date" for number in range(6)})
    world.answer = lambda case, passes, trial: f"{passes} in {trial}"
    assert world.run(tmp_path).trials == 3


def off_in_the_confirm_run(*cases: str) -> Callable[[str, str, str], bool]:
    """Passes by word, but for some cases, which pass today's prompts too in their first trial there."""
    return lambda text, case, trial: EVERY[case] in text or (trial.endswith("/confirm/0") and case in cases)


EVERY = {f"{word}-{number}": word for word in ("date", "unit") for number in range(4)}


def one_word(text: str, lacking: Sequence[str], attempt: int) -> str:
    return add_words(text, lacking[:1], attempt)


@pytest.mark.parametrize("confirmed", [1, 2])
def test_a_first_trial_that_is_unlike_the_search_is_followed_by_the_others_for_every_candidate(
    confirmed: int, tmp_path: Path
) -> None:
    world = World(EVERY, one_word)
    world.passes = off_in_the_confirm_run("date-0")
    state = world.run(tmp_path, confirm=confirmed, max_broken=8)
    assert len(state.rivals) == confirmed - 1
    assert [record["trials"] for record in world.records("confirm")] == [1, 3]
    assert {len(side) for side in state.confirm.values()} == {3 * len(EVERY)}
    assert state.is_confirmed


@pytest.mark.parametrize("confirmed", [1, 2])
def test_a_first_trial_like_the_search_is_enough_for_every_candidate(confirmed: int, tmp_path: Path) -> None:
    world = World(EVERY, one_word)
    state = world.run(tmp_path, confirm=confirmed, max_broken=8)
    assert len(state.confirm) == 1 + confirmed
    assert {len(side) for side in state.confirm.values()} == {len(EVERY)}


def test_who_is_no_better_than_today_is_not_confirmed_beside_the_winner(tmp_path: Path) -> None:
    words = {
        **{case: word for case, word in EVERY.items() if word == "date"},
        "base-0": "it",
        "base-1": "it",
        "odd": "old",
    }
    world = World(words, lambda text, lacking, attempt: f"{text}- mind the date\n")
    # What was in use before solves a case that no edit of today's prompt can solve, and nothing else.
    world.passes = lambda text, case, trial: (case == "odd") == ("old" in text) and words[case] in text
    state = world.run(tmp_path, ancestor={PROMPT: "The old one: do it.\n"}, confirm=3, max_broken=8, budget=90)
    stands = {state.search.candidates[one.candidate].origin for one in state.search.frontier()}
    assert "ancestor" in stands
    assert state.winner is not None
    assert state.winner.id != state.search.seed.id
    assert "ancestor" not in {one.origin for one in (state.winner, *state.rivals)}


class Watch:
    """Time that goes on with each rollout only; what a trial takes is `seconds` of each of its cases."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
        self.late = 0.0
        self.seconds: Callable[[str], float] = lambda trial: 10.0
        usual, began = world.passes, time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: began + self.late)

        def passes(text: str, case: str, trial: str) -> bool:
            self.late += self.seconds(trial)
            return usual(text, case, trial)

        world.passes = passes


def differ(case: str, passes: bool, trial: str) -> str:
    """Answers that are never the same, so that all trials are run."""
    return f"{passes} in {trial}"


def remarks_for_ever(text: str, lacking: Sequence[str], attempt: int) -> str:
    useful = [word for word in lacking if word != "never"]
    return add_words(text, useful, attempt) if useful else f"{text}- remark {len(text)} {attempt}\n"


HALF_DONE = {**EVERY, **HOPELESS}


def half_done() -> World:
    """A world whose search finds something to do for ever, and whose answers differ each time."""
    world = World(HALF_DONE, remarks_for_ever)
    world.answer = differ
    return world


def test_the_confirm_run_has_its_share_of_the_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = half_done()
    watch = Watch(monkeypatch, world)
    # All cases take 130 s, the confirm run 780 s; without a bound the search takes half an hour.
    state = world.run(tmp_path, minutes=32)
    assert state.search_ended == "the 32 minutes are over, but for those that are kept for the confirm run"
    assert (state.is_confirmed, state.trials, state.confirm_cut) == (True, 3, "")
    assert watch.late < 32 * 60


def test_shrinking_leaves_the_confirm_run_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"word{n}" for n in range(12)]
    world = World({f"{word}-{n}": word for word in words for n in range(2)}, with_ballast)
    world.answer = differ
    watch = Watch(monkeypatch, world)
    state = world.run(tmp_path, minutes=54)
    assert state.search_ended == "every case passes"
    assert state.shrink is not None
    assert "kept for the confirm run" in state.shrink.done
    assert (state.is_confirmed, state.trials) == (True, 3)
    assert watch.late < 54 * 60


def test_a_trial_for_which_there_is_no_time_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = half_done()
    watch = Watch(monkeypatch, world)
    watch.seconds = lambda trial: 30.0 if "/confirm/" in trial else 10.0
    state = world.run(tmp_path, minutes=30)
    # A trial takes 780 s then.
    assert (state.is_confirmed, state.trials) == (True, 1)
    assert state.confirm_cut == "the 30 minutes have no room for another trial of the confirm run"
    assert {len(side) for side in state.confirm.values()} == {len(HALF_DONE)}
    (cut,) = world.records("confirm cut")
    assert cut["trials"] == 1
    result = build_result("run", state, world.cases, 0, "none")
    assert (result.trials, len(result.warnings)) == (1, 1)
    assert result.warnings[0].startswith("the verdict goes by 1 trial a side: the 30 minutes")


def test_what_the_replies_of_the_reflection_model_have_shown_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReflectionModel, "warning", "its server may cut what it is sent")
    world = half_done()
    state = world.run(tmp_path)
    result = build_result("run", state, world.cases, 0, "none")
    assert result.warnings == ("its server may cut what it is sent",)


def test_when_the_time_is_over_before_the_confirm_run_nothing_is_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(HALF_DONE, remarks_for_ever)
    watch = Watch(monkeypatch, world)
    # Nothing has told that a rollout may take so long.
    watch.seconds = lambda trial: 1e5 if len(world.suite.asked) == 3 else 10.0
    state = world.run(tmp_path, minutes=30)
    assert not state.is_confirmed
    assert state.confirm == {}
    result = build_result("run", state, world.cases, 0, "none")
    assert (result.verdict, result.reason) == (
        "not confirmed",
        "the run was stopped before its confirm run: the 30 minutes are over",
    )


@pytest.mark.parametrize("trials", [0, 2])
def test_a_replay_gives_up_what_the_run_gave_up(trials: int, tmp_path: Path) -> None:
    world = half_done()
    state = world.run(tmp_path, confirm_cut=ConfirmCut(trials, "the 30 minutes are over"))
    assert state.is_confirmed is bool(trials)
    assert state.trials == trials
    assert (state.confirm_cut, state.confirm_stopped) == (
        ("the 30 minutes are over", "") if trials else ("", "the 30 minutes are over")
    )
    assert sum(map(len, state.confirm.values())) == 2 * trials * len(HALF_DONE)


def test_without_a_bound_nothing_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = half_done()
    Watch(monkeypatch, world).seconds = lambda trial: 1e6
    state = world.run(tmp_path)
    assert (state.is_confirmed, state.trials, state.stopped) == (True, 3, "")


def keep_answers(world: World, *, for_good: bool) -> None:
    """Let the application ask for each text and case once: in its life, or in each session where not `for_good`."""
    kept: set[tuple[object, ...]] = set()
    usual = world.suite.run_case

    def run(candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        found = usual(candidate, texts, case, trial)
        # Within a session cases of a word ask the same.
        place = (texts[PROMPT], case) if for_good else (texts[PROMPT], world.words[case], trial)
        if place in kept:
            return replace(found, trajectory=replace(found.trajectory, calls=()), charged=False)
        kept.add(place)
        return found

    world.suite.run_case = run


def test_answers_that_the_application_has_kept_of_the_search_confirm_nothing(tmp_path: Path) -> None:
    world = World(EVERY)
    keep_answers(world, for_good=True)
    state = world.run(tmp_path)
    result = build_result("run", state, world.cases, 0, "none")
    assert result.verdict == "not confirmed"
    assert "asked no model in the confirm run" in result.reason
    assert "GEPA_TRIAL" in result.reason
    assert {len(side) for side in state.confirm.values()} == {len(EVERY)}


def test_answers_that_are_kept_within_a_session_are_no_matter(tmp_path: Path) -> None:
    world = World(EVERY)
    keep_answers(world, for_good=False)
    state = world.run(tmp_path)
    assert build_result("run", state, world.cases, 0, "none").verdict == "proven"


@pytest.mark.parametrize("has_failed", [True, False])
def test_one_trial_of_a_side_in_which_no_case_comes_to_its_model_is_no_store(has_failed: bool, tmp_path: Path) -> None:
    world = World(EVERY)
    usual = world.suite.run_case

    def run(candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        found = usual(candidate, texts, case, trial)
        if not trial.endswith("/confirm/1") or (texts[PROMPT] == TODAY) is not has_failed:
            return found
        failure = "assert 500 == 200" if has_failed else ""
        return replace(found, trajectory=replace(found.trajectory, calls=(), failure=failure))

    world.suite.run_case = run
    state = world.run(tmp_path, trials=3)
    assert build_result("run", state, world.cases, 0, "none").verdict == "proven"
    assert {len(side) for side in state.confirm.values()} == {3 * len(EVERY)}


def test_a_step_that_fails_before_the_model_in_every_trial_is_no_store(tmp_path: Path) -> None:
    world = World({"date-0": "date"})
    usual = world.suite.run_case

    def run(candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        found = usual(candidate, texts, case, trial)
        if "/confirm/" not in trial or texts[PROMPT] != TODAY:
            return found
        return replace(found, trajectory=replace(found.trajectory, calls=(), failure="assert 500 == 200"))

    world.suite.run_case = run
    assert world.run(tmp_path, trials=3).unconfirmed == ""


# Servers that are gone for a while


def let_fail(world: World, is_down: Callable[[str, str, str], bool]) -> None:
    """Have rollouts end as where no server answers: those of which a text, a case and a trial say so."""
    usual = world.suite.run_case

    def run(candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        found = usual(candidate, texts, case, trial)
        if not is_down(texts[PROMPT], case, trial):
            return found
        trajectory = replace(found.trajectory, failure="ConnectionError: no route")
        return replace(found, outcome=Outcome.error, score=None, trajectory=trajectory)

    world.suite.run_case = run


@pytest.mark.parametrize(("trials", "down"), [(1, 0), (3, 0), (3, 2)])
@pytest.mark.parametrize("is_one_side", [False, True])
def test_a_confirm_run_confirms_nothing_when_a_trial_of_it_gives_no_evidence(
    trials: int, down: int, is_one_side: bool, tmp_path: Path
) -> None:
    world = World(EVERY)
    let_fail(
        world,
        lambda text, case, trial: trial.endswith(f"/confirm/{down}") and (text == TODAY or not is_one_side),
    )
    state = world.run(tmp_path, trials=trials)
    result = build_result("run", state, world.cases, 0, "none")
    assert (result.verdict, result.reason) == (
        "not confirmed",
        f"the run was stopped in its confirm run: no case gave evidence in trial {down + 1}; the first failure: "
        "ConnectionError: no route",
    )
    assert {len(side) for side in state.confirm.values()} == {(down + 1) * len(EVERY)}


def test_a_few_cases_that_are_tried_more_often_may_end_in_trouble(tmp_path: Path) -> None:
    class Marked(World):
        @property
        def cases(self) -> list[Case]:
            return [replace(case, trials=2 if case.id == "date-0" else 1) for case in super().cases]

    world = Marked(EVERY)
    let_fail(world, lambda text, case, trial: trial.endswith("/confirm/1"))
    assert world.run(tmp_path, trials=1).is_confirmed


def test_a_baseline_of_which_half_is_trouble_ends_the_run_before_anything_is_edited(tmp_path: Path) -> None:
    world = World({**EVERY, "idle": "Do"})
    let_fail(world, lambda text, case, trial: case.startswith("date") or case == "unit-0")
    told = "5 of 9 cases ended in trouble under today's prompts"
    with pytest.raises(SetupError, match=f"{told}: ConnectionError: no route; .*--gepa-resume goes on"):
        world.run(tmp_path)
    assert {asked.texts[PROMPT] for asked in world.suite.asked} == {TODAY}
    result = build_result("run", world.state, world.cases, 0, "none")
    assert (result.verdict, result.reason) == (
        "not confirmed",
        f"the run was stopped before its confirm run: {told}",
    )


@pytest.mark.parametrize(("words", "down"), [(EVERY, 3), ({"date-0": "date", "unit-0": "unit"}, 1)])
def test_a_few_cases_in_trouble_are_left_out_of_the_search(words: Mapping[str, str], down: int, tmp_path: Path) -> None:
    world = World(words)
    lost = list(words)[:down]
    let_fail(world, lambda text, case, trial: case in lost)
    assert world.run(tmp_path).is_confirmed


def new_each_time(text: str, lacking: Sequence[str], attempt: int) -> str:
    return f"{add_words(text, lacking, attempt)}- remark {len(text)} {attempt}\n"


def test_a_search_whose_server_has_gone_is_ended_and_gone_on_with(tmp_path: Path) -> None:
    world = World(EASY, new_each_time)
    let_fail(world, lambda text, case, trial: text != TODAY)
    told = "3 evaluations in a row gave no evidence"
    with pytest.raises(SetupError, match=f"{told}: ConnectionError: no route; .*--gepa-resume goes on"):
        world.run(tmp_path, trials=1)
    assert world.state.stopped == told
    edited = [asked for asked in world.suite.asked if asked.texts[PROMPT] != TODAY and asked.cases]
    assert len(edited) == MOST_SILENT
    again = World(EASY, new_each_time)
    (tmp_path / "again").mkdir()
    events = [(record["type"], record["event"]) for record in world.records("event")]
    order = [
        f"{kind} {event['candidate' if kind == 'Evaluated' else 'proposal']}"
        for kind, event in events
        if kind in ("Evaluated", "Reflected")
    ]
    assert again.run(tmp_path / "again", trials=1, crew=RecordedCrew(order, tells_late=False)).is_confirmed


def test_a_time_out_in_a_small_suite_leaves_the_confirm_run_its_other_trials(tmp_path: Path) -> None:
    world = World({"date-0": "date"})
    let_fail(world, lambda text, case, trial: trial.endswith("/confirm/1"))
    state = world.run(tmp_path, trials=3)
    assert state.is_confirmed
    assert {len(side) for side in state.confirm.values()} == {3}


@pytest.mark.parametrize("outcome", [Outcome.vanished, Outcome.timeout])
def test_edits_that_are_to_blame_themselves_end_no_search(outcome: Outcome, tmp_path: Path) -> None:
    world = World(EASY, new_each_time)
    usual = world.suite.run_case

    def run(candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        found = usual(candidate, texts, case, trial)
        if texts[PROMPT] == TODAY:
            return found
        return replace(found, outcome=outcome, score=None)

    world.suite.run_case = run
    state = world.run(tmp_path)
    assert state.search_ended
    assert sum(decision.kind == "rejected" for decision in state.decisions) > MOST_SILENT
