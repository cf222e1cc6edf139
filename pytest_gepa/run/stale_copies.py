"""Prompts that reach the model though nobody opened their file: the code reads a copy, and edits have no effect."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from pytest_gepa.errors import SetupError
from pytest_gepa.prompts.components import Component
from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.trace.attribution import still_said

PACKAGES = frozenset({"site-packages", "dist-packages"})


def refuse_stale_copies(
    rollouts: Iterable[Rollout],
    components: Mapping[str, Component],
    wanted: Collection[str] | None = None,
) -> None:
    """Raise `SetupError` if the text of a component was in requests while no process that sent it opened its file.

    `wanted` are the components that matter, by default all.
    """
    names = stale_copies(rollouts, [name for name in components if wanted is None or name in wanted])
    if names:
        raise SetupError(told_of_copies(names, components))


def uses_what_was_opened(rollouts: Iterable[Rollout]) -> bool:
    """Whether a component was in a request of a process that had opened its file."""
    return bool(_read(rollouts))


def stale_copies(rollouts: Iterable[Rollout], components: Iterable[str]) -> list[str]:
    """Those of the components that are sent by processes which do not open their files.

    Who opens a file and sends nothing of it, such as a test of the files themselves, is not the code that sends it.
    """
    runs = list(rollouts)
    unread = {name for run in runs for name in run.unopened} - _read(runs)
    return [name for name in components if name in unread]


def told_of_copies(names: Sequence[str], components: Mapping[str, Component]) -> str:
    """What to say of such components."""
    return (
        f"the text of {', '.join(names)} reaches the model, but no process of the run opened "
        f"{'its file' if len(names) == 1 else 'their files'} and sent it: {_mend(names, components)}"
    )


def with_doubts_settled(
    rollouts: Iterable[Rollout], run_again: Callable[[Sequence[str]], Mapping[str, Rollout]]
) -> list[Rollout]:
    """The rollouts, and those of some cases that were run again in processes of their own.

    Where a file was opened for an earlier case only, the code may have kept the text (a cached loader), or reads a copy
    (a test of the files came first). In a process in which that case is the first, the two differ.
    """
    runs = list(rollouts)
    known = _read(runs).union(name for run in runs for name in run.unopened)
    first: dict[str, str] = {}
    for run in runs:
        for name in run.uses:
            if name in run.carried and name not in (*known, *run.reads):
                first.setdefault(name, run.case)
    for case in dict.fromkeys(first.values()):
        runs += run_again([case]).values()
    return runs


def without_effect(
    pairs: Iterable[tuple[Rollout, Rollout]],
    sides: tuple[Mapping[str, str], Mapping[str, str]],
    names: Iterable[str],
) -> list[str]:
    """Those of the components that differ between two sides of which the difference shows in no request.

    `pairs` are the rollouts of the same cases under both sides' texts. Requests that are equal may do without what
    differs. So one side must still say what only the other side's text has.
    """
    both = [pair for pair in pairs if all(run.request_keys for run in pair)]
    return [name for name in names if _arrives_nowhere(name, both, sides)]


def told_without_effect(names: Sequence[str], components: Mapping[str, Component]) -> str:
    """What to say of such components."""
    return (
        f"the text of {', '.join(names)} reaches the model, but another text in its place changes no request: "
        f"{_mend(names, components, 'an installed package, or what a program that is not Python has read?')}"
    )


def refuse_without_effect(
    pairs: Sequence[tuple[Rollout, Rollout]],
    sides: tuple[Mapping[str, str], Mapping[str, str]],
    components: Mapping[str, Component],
    wanted: Collection[str],
) -> None:
    """Raise `SetupError` if a wanted component that no process both opened and sent differs without effect.

    Where one did both, equal requests are no sign of a copy: a text may be written anew and come to the same.
    """
    read = _read(run for pair in pairs for run in pair)
    names = [name for name in components if name in wanted and name not in read]
    if names := without_effect(pairs, sides, names):
        raise SetupError(told_without_effect(names, components))


def _arrives_nowhere(
    name: str, pairs: Iterable[tuple[Rollout, Rollout]], sides: tuple[Mapping[str, str], Mapping[str, str]]
) -> bool:
    concerned = [pair for pair in pairs if any(name in run.uses for run in pair)]
    if any(one.request_keys != other.request_keys for one, other in concerned):
        return False
    one_text, other_text = (side.get(name) for side in sides)
    return (
        one_text is not None
        and other_text is not None
        and any(
            still_said(other_text, sides[0].values(), one.trajectory.calls)
            or still_said(one_text, sides[1].values(), other.trajectory.calls)
            for one, other in concerned
        )
    )


def _read(rollouts: Iterable[Rollout]) -> set[str]:
    """What a process has both opened and sent. What it had from an earlier case may have been opened by that alone."""
    return {
        name
        for run in rollouts
        for name in {*run.reads, *run.imported}.difference(set(run.carried).difference(run.reads))
        if name in run.uses or name in run.unopened
    }


def _mend(names: Sequence[str], components: Mapping[str, Component], guess: str = "an installed package?") -> str:
    copies = (copy for name in names if (copy := _installed_copy(components[name].path)) is not None)
    copy = next(copies, None)
    where = guess if copy is None else f"there is one at {copy}"
    return (
        f"the code reads a copy ({where}), and no edit would have any effect; install the project with "
        "`pip install -e .`, so that the file itself is read, or leave it out with --gepa-prompts"
    )


def _installed_copy(path: Path) -> Path | None:
    """The file of the same place or content in a package directory of this environment, None if there is none."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    tails = [Path(*path.parts[start:]) for start in range(1, len(path.parts))]
    for entry in sys.path:
        place = Path(entry)
        if PACKAGES.isdisjoint(place.parts):
            continue
        for tail in tails:
            copy = place / tail
            # A directory and a name in common are no accident, a name alone is one unless the content is the same.
            if _is_another(copy, path) and (len(tail.parts) > 1 or copy.read_bytes() == content):
                return copy
    return None


def _is_another(copy: Path, path: Path) -> bool:
    try:
        return copy.is_file() and not copy.samefile(path)
    except OSError:
        return False
