"""The command `pytest-gepa`: its arguments, and which subcommand they call.

Exit codes: 0 done, or nothing to do; 1 refused or declined, nothing was changed; 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pytest_gepa.commands.exit_codes import DONE, REFUSED
from pytest_gepa.errors import GepaError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand and return the exit code; what a user can mend is told on stderr."""
    given = _parser().parse_args(arguments)
    command = import_module(f"pytest_gepa.commands.{given.command}")
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # a terminal that cannot show all of Unicode is no reason to fail
    try:
        code: int = command.run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` has. What is still in the buffer must go nowhere at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except GepaError as error:
        from pytest_gepa.wording import for_log  # whose imports are not those of `--help`

        print(for_log(f"pytest-gepa {given.command}: {error}"), file=sys.stderr)
        return REFUSED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pytest-gepa",
        description="Look after what pytest --gepa-optimize has left in .gepa.",
        epilog="Exit codes: 0 done or nothing to do, 1 refused or declined (nothing was changed), 2 usage.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    apply = _add(commands, "apply", "write the texts of a run's patch into the prompt files")
    apply.add_argument("run", nargs="?", metavar="RUN", help="name of the run (default: the newest)")
    apply.add_argument("--candidate", metavar="ID", help="take frontier/ID.patch in place of best.patch")
    apply.add_argument("--yes", action="store_true", help="do not ask")
    undo = _add(commands, "undo", "bring back every byte that apply has changed")
    undo.add_argument("run", nargs="?", metavar="RUN", help="name of the run (default: the one applied last)")
    undo.add_argument("--yes", action="store_true", help="do not ask")
    record = _add(commands, "record", "copy a run's recording to gepa_recording, to be committed and replayed")
    record.add_argument("run", nargs="?", metavar="RUN", help="name of the run (default: the newest recorded)")
    runs = _add(commands, "runs", "list the runs, and what came of them")
    runs.add_argument("--all", action="store_true", help="the oldest too")
    show = _add(commands, "show", "print a run's report")
    show.add_argument("run", nargs="?", metavar="RUN", help="name of the run (default: the newest with one)")
    cache = _add(commands, "cache", "show what is stored of models' answers")
    cache.add_argument("--clear", action="store_true", help="remove every stored answer")
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    command.add_argument(
        "--rootdir",
        type=Path,
        metavar="DIR",
        help="the project, which has .gepa in it (default: here, or the nearest directory above that has)",
    )
    return command


if __name__ == "__main__":
    sys.exit(main())
