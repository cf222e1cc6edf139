"""Where a project and its runs are."""

from __future__ import annotations

from pathlib import Path

from pytest_gepa.errors import GepaError
from pytest_gepa.run.directory import STATE_DIRECTORY
from pytest_gepa.run.recording import run_age


class CommandError(GepaError):
    """A command cannot do what it was asked for; nothing has been changed."""


def find_project(given: Path | None) -> Path:
    """The rootdir of the project: as given, or the nearest from here upwards that has `.gepa`.

    Raises `CommandError` when there is none.
    """
    here = Path.cwd()
    for directory in (given.resolve(),) if given is not None else (here, *here.parents):
        if (directory / STATE_DIRECTORY).is_dir():
            return directory
    where = f"in {given}" if given is not None else f"in {here} or above it"
    raise CommandError(f"there is no .gepa {where}; run pytest --gepa-optimize first, or name the project: --rootdir")


def runs_of(project: Path) -> list[Path]:
    """The directories of the project's runs, newest first."""
    found = [path for path in (project / STATE_DIRECTORY / "runs").glob("*") if path.is_dir()]
    return sorted(found, key=lambda path: run_age(path.name), reverse=True)


def find_run(project: Path, name: str) -> Path:
    """The directory of a run by its name. Raises `CommandError` when there is none of that name."""
    runs = runs_of(project)
    for directory in runs:
        if directory.name == name:
            return directory
    known = ", ".join(directory.name for directory in runs[:5]) or "none"
    raise CommandError(f"there is no run {name!r}; the newest are: {known}")
