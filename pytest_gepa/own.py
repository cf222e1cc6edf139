"""The texts that are this program's own, told by the types of the fields that hold them."""

from __future__ import annotations

from typing import Annotated, TypeAlias

OWN = "own"

OwnName: TypeAlias = Annotated[str, OWN]
"""A text that names something of ours: the id of a candidate, case, proposal or component, a run or a trial, the digest
of a request, a word of a fixed set, a path below a run's directory.

Things are found again by it, so that no redaction may change it, whatever a user's pattern matches; and it may hold
nothing that others have written.
"""
