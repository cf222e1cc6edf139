"""Where Hypothesis keeps the examples that it has found to fail: for each child session a place of its own."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

EXAMPLES = "HYPOTHESIS_STORAGE_DIRECTORY"

USUAL = ".hypothesis"
TABLES = "unicode_data"
"""What Hypothesis takes from its directory beside examples: tables that are slow to make, and the same for all."""


def own_examples(temp: Path) -> str:
    """A new directory in `temp` for the variable `EXAMPLES`, in a process that runs where its user's pytest does.

    Kept examples are tried first: what one trial has found by chance would fail in all that follow it, under whichever
    prompts, and the user's own directory would fill with what rejected candidates did wrong.
    """
    own = temp / "hypothesis"
    own.mkdir()
    tables = Path(os.environ.get(EXAMPLES) or USUAL, TABLES).absolute()
    if tables.is_dir():
        with contextlib.suppress(OSError):  # not every system has links for everyone
            (own / TABLES).symlink_to(tables, target_is_directory=True)
    return str(own)
