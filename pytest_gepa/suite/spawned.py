"""A child session in a process of its own: job and cases come on stdin."""

from __future__ import annotations

import os

from pytest_gepa.suite.job import Channel, PipePair
from pytest_gepa.suite.session import serve


def main() -> None:
    """Run the job; events leave on what was standard output, which is then pointed at the log."""
    channel = Channel(PipePair(os.dup(0), os.dup(1)))
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    serve(channel)


if __name__ == "__main__":
    main()
