"""What an optimization runs, and keeps, without processes (`optimize_world`)."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_gepa.crew import Crew
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
def test_the_winner_is_shrunk_although_the_search_has_used_up_what_it_had(
    budget: int, tmp_path: Path
) -> None:
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
    better = add_words(TODAY, ["date", "unit", "sign"], 0)
    with pytest.raises(KeyboardInterrupt):
        world.run(tmp_path, ancestor={PROMPT: better})
    assert pressed.presses == 1
    assert world.state.winner is not None
    assert world.state.winner.texts == {PROMPT: better}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


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
