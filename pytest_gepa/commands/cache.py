"""`pytest-gepa cache`: what is stored of models' answers, and its removal."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from pytest_gepa.commands.exit_codes import DONE
from pytest_gepa.commands.project import CommandError, find_project, runs_of
from pytest_gepa.run.directory import STATE_DIRECTORY
from pytest_gepa.run.journal import read_journal
from pytest_gepa.trace.cache import CacheFigures, ResponseCache


def run(given: argparse.Namespace) -> int:
    """Show size, answers, age and limit; with `--clear` remove every answer."""
    project = find_project(given.rootdir)
    directory = project / STATE_DIRECTORY / "cache"
    if not directory.is_dir():
        print(f"{directory}: no answers are stored")
        return DONE
    cache = ResponseCache(directory)
    try:
        figures = cache.figures()
        if given.clear:
            try:
                cache.clear()
            except OSError as error:  # of a link to somewhere else nothing is removed
                raise CommandError(f"{directory}: cannot be removed: {error}; do so by hand") from error
            print(f"{directory}: removed {_answers(figures.entries) if figures else 'what was there'}")
            return DONE
        if figures is None:
            raise CommandError(f"{directory}: cannot be read: {cache.broken}; pytest-gepa cache --clear removes it")
        _show(directory, figures, _limit(project))
    finally:
        cache.close()
    return DONE


def _show(directory: Path, figures: CacheFigures, limit: int | None) -> None:
    print(directory)
    print(f"  answers  {figures.entries}")
    known = "" if limit is None else f", of at most {_megabytes(limit)} (gepa_cache_size)"
    print(f"  size     {_megabytes(figures.size)}{known}")
    if figures.oldest is not None and figures.newest is not None:
        print(f"  used     from {_day(figures.oldest)} to {_day(figures.newest)}; the oldest go first")


def _limit(project: Path) -> int | None:
    """The limit in bytes that the newest run had; None before the first."""
    for directory in runs_of(project):
        journal = directory / "journal.jsonl"
        if journal.is_file():
            first = next(read_journal(journal), {})
            limit = first.get("settings", {}).get("cache_size")
            return limit if isinstance(limit, int) else None
    return None


def _answers(count: int) -> str:
    return "1 answer" if count == 1 else f"{count} answers"


def _megabytes(size: int) -> str:
    return f"{size / 10**6:,.1f} MB"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
