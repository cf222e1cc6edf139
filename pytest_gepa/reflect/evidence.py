"""Evidence for a reflection: rollouts as sections of text that fit a token budget.

How a rollout is told is in `transcript`, how parts are cut in `fit`, how a section looks on the page in the
templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_gepa.prompts.summary import one_line
from pytest_gepa.reflect.fit import BYTES_PER_TOKEN, EvidencePart, Rank, Section, fit, least_size, thin
from pytest_gepa.reflect.scrub import scrub
from pytest_gepa.reflect.transcript import Exhibit, Narrator

DEFAULT_TOKENS = 12_000
"""Budget of one request's evidence; the prompt to edit and the instruction come on top."""

_BYTES_PER_PART = 250
"""A run is thinned to so many parts that each could have about this much."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Sections that fit the budget. `left_out` counts failing cases for which there was no room at all."""

    functions: tuple[Section, ...] = ()
    failing: tuple[Section, ...] = ()
    neighbours: tuple[Section, ...] = ()
    left_out: int = 0


def gather(
    targets: Sequence[str],
    components: Mapping[str, str],
    failing: Sequence[Exhibit],
    neighbours: Sequence[Exhibit],
    token_budget: int = DEFAULT_TOKENS,
) -> Evidence:
    """Everything known of the failing rollouts, each test function's body once, and the neighbours in short. `targets`
    are the prompts to edit.
    """
    narrator = Narrator(targets, components)
    limit = _limit(token_budget)
    exhibits = _distinct(failing)
    most = max(8, limit // max(1, len(exhibits)) // _BYTES_PER_PART)
    told = [thin(narrator.failing(exhibit, number), most) for number, exhibit in enumerate(exhibits, start=1)]
    shown, room = _that_fit(told, limit, least=1)
    functions, room = _that_fit(_functions(exhibits[: len(shown)]), room)
    passing, _ = _that_fit([narrator.passing(exhibit) for exhibit in neighbours], min(room, limit // 5))
    return _fitted(functions, shown, passing, limit, len(told) - len(shown))


def gather_briefly(
    component: str, components: Mapping[str, str], failing: Sequence[Exhibit], token_budget: int
) -> Evidence:
    """Input, answer and failure only, of as many failing rollouts as the budget holds."""
    narrator = Narrator([component], components)
    limit = _limit(token_budget)
    told = [narrator.failing_briefly(exhibit) for exhibit in failing]
    shown, _ = _that_fit(told, limit, least=1)
    return _fitted([], shown, [], limit, len(told) - len(shown))


def _limit(token_budget: int) -> int:
    return int(token_budget * BYTES_PER_TOKEN)


def _fitted(
    functions: Sequence[Section],
    failing: Sequence[Section],
    passing: Sequence[Section],
    limit: int,
    left_out: int,
) -> Evidence:
    sections = fit([*functions, *failing, *passing], limit)
    first, second = len(functions), len(functions) + len(failing)
    return Evidence(tuple(sections[:first]), tuple(sections[first:second]), tuple(sections[second:]), left_out)


def _that_fit(sections: Sequence[Section], room: int, least: int = 0) -> tuple[list[Section], int]:
    """The first sections that fit into `room` when cut as far as can be, `least` of them anyway; and the room left."""
    taken: list[Section] = []
    for section in sections:
        size = least_size(section)
        if size > room and len(taken) >= least:
            break
        taken.append(section)
        room = max(0, room - size)
    return taken, room


def _distinct(exhibits: Sequence[Exhibit]) -> list[Exhibit]:
    """Exhibits without those that repeat another trial of the same case to the letter."""
    seen: set[tuple[str, str, str]] = set()
    kept: list[Exhibit] = []
    for exhibit in exhibits:
        trajectory = exhibit.rollout.trajectory
        sight = (exhibit.case.id, trajectory.answer, trajectory.failure)
        if sight not in seen:
            seen.add(sight)
            kept.append(exhibit)
    return kept


def _functions(exhibits: Sequence[Exhibit]) -> list[Section]:
    """The body of each test function once, under its name."""
    sources: dict[str, str] = {}
    for exhibit in exhibits:
        if exhibit.case.source.strip():
            sources.setdefault(exhibit.case.source, exhibit.case.nodeid.partition("[")[0])
    return [
        Section(one_line(name), (EvidencePart("", scrub(source), Rank.input, "python"),))
        for source, name in sources.items()
    ]
