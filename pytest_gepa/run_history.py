"""How a run went, as its journal tells: its beginning, the order in which its results came, and what it paid for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pytest_gepa.journal import read_journal
from pytest_gepa.suite.rollout import Outcome

Charges: TypeAlias = Mapping[tuple[str, str, str], bool | None]
"""By candidate, case and trial, whether a rollout was charged; None for one that the cost cap has stopped."""

_NAMES = {"Evaluated": "candidate", "Reflected": "proposal", "Stopped": "reason", "Closing": "reason"}
_STOPS = ("Stopped ", "Closing ")


@dataclass(frozen=True, slots=True)
class RunHistory:
    """`about` is the journal's first record, `result` what its last one says, {} where a run came to no result.

    `order` names the results of the search as they came in, and what stopped it.
    """

    about: Mapping[str, Any]
    order: tuple[str, ...] = ()
    charges: Charges = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def results_in_order(self) -> tuple[str, ...]:
        """The order without what stopped the search."""
        return tuple(name for name in self.order if not name.startswith(_STOPS))


def read_history(journal: Path) -> RunHistory:
    """The history of a run. Raises `OSError` for a file that cannot be read, `ValueError` for one that has no
    beginning."""
    return _history(read_journal(journal))


def _history(records: Iterable[Mapping[str, Any]]) -> RunHistory:
    """One record after the other, as whole trajectories are among them: together they may not fit into memory."""
    about: Mapping[str, Any] | None = None
    order: list[str] = []
    charges: dict[tuple[str, str, str], bool | None] = {}
    result: Mapping[str, Any] = {}
    for record in records:
        kind = record["record"]
        if kind == "run":
            about = record
        elif kind == "event" and (name := _NAMES.get(record["type"])) is not None:
            order.append(f"{record['type']} {record['event'][name]}")
        elif kind == "rollout":
            is_stopped = record.get("outcome") == Outcome.stopped.value
            place = record["candidate"], record["case"], record["trial"]
            charges[place] = None if is_stopped else bool(record["charged"])
        elif kind == "result":
            result = record["result"]
    if about is None:
        raise ValueError("a journal without its first record")
    return RunHistory(about, tuple(order), charges, result)
