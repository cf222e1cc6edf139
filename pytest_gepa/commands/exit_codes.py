"""What the command `pytest-gepa` ends with; 2, a wrong command line, is argparse's."""

from __future__ import annotations

DONE = 0
"""Done, or there was nothing to do."""

REFUSED = 1
"""Refused or declined: nothing was changed."""
