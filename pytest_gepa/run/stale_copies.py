"""Prompts that reach the model though nobody opened their file: the code reads a copy, and edits have no effect."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from pytest_gepa.errors import SetupError
from pytest_gepa.prompts.components import Component
from pytest_gepa.suite.rollout import Rollout

PACKAGES = frozenset({"site-packages", "dist-packages"})


def refuse_stale_copies(
    rollouts: Iterable[Rollout],
    components: Mapping[str, Component],
    wanted: Collection[str] | None = None,
) -> None:
    """Raise `SetupError` if the text of a component was in requests while no process of the run opened its file.

    `wanted` are the components that matter, by default all.
    """
    if told := stale_copies(rollouts, components, wanted):
        raise SetupError(told)


def uses_what_was_opened(rollouts: Iterable[Rollout]) -> bool:
    """Whether a component that some process of the run opened was in a request."""
    runs = list(rollouts)
    return not _opened(runs).isdisjoint(name for run in runs for name in run.uses)


def stale_copies(
    rollouts: Iterable[Rollout],
    components: Mapping[str, Component],
    wanted: Collection[str] | None = None,
) -> str:
    """What to say of components whose text was in requests while nobody opened their files; "" where there are none."""
    runs = list(rollouts)
    unread = {name for run in runs for name in run.unopened} - _opened(runs)
    names = [name for name in components if name in unread and (wanted is None or name in wanted)]
    if not names:
        return ""
    copies = (copy for name in names if (copy := _installed_copy(components[name].path)) is not None)
    copy = next(copies, None)
    where = "an installed package?" if copy is None else f"there is one at {copy}"
    return (
        f"the text of {', '.join(names)} reaches the model, but no process of the run opened "
        f"{'its file' if len(names) == 1 else 'their files'}: the code reads a copy ({where}), and no edit would have "
        "any effect; install the project with `pip install -e .`, so that the file itself is read, or leave it out "
        "with --gepa-prompts"
    )


def _opened(runs: Iterable[Rollout]) -> set[str]:
    return {name for run in runs for name in (*run.reads, *run.imported)}


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
