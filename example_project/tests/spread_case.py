"""How a case is written in the test files: the excerpt, the line an analyst enters, the checker's note."""

from __future__ import annotations

from textwrap import dedent

import pytest
from desk.line import SpreadLine


def case(name: str, item: str, excerpt: str, line: SpreadLine, why: str) -> object:
    """Make a parameter set (item, excerpt, line, why) with the id `name`."""
    return pytest.param(item, dedent(excerpt).strip(), line, why, id=name)
