"""How a run went, as its journal tells: its beginning, the order in which its results came, and what it paid for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_gepa.evolve.tasks import STOPS
from pytest_gepa.own import OwnName
from pytest_gepa.run.journal import read_journal
from pytest_gepa.suite.charges import Charge, Charges
from pytest_gepa.suite.rollout import Outcome

_STOPS = tuple(f"{one.__name__} " for one in STOPS)
_TROUBLE = {outcome.value for outcome in Outcome if outcome.is_trouble}
_NAMES = {"Evaluated": "candidate", "Reflected": "proposal"} | {one.__name__: "reason" for one in STOPS}


@dataclass(frozen=True, slots=True)
class Resumed:
    """The run that this one went on with: its name, the rollouts that it had paid for, and what it had cost in USD, or
    at least had where `usd_is_least`.
    """

    run: OwnName
    paid: int
    usd: float
    usd_is_least: bool = False


@dataclass(frozen=True, slots=True)
class RunHistory:
    """`about` is the journal's first record, `result` what its last one or `result.json` says, {} where a run came to
    no result.

    `order` names the results of the search as they came in, and what stopped it. `is_decided` says that the search
    had ended and its winner was being shrunk or confirmed. `confirm_cut` has how many trials of the confirm run the
    time has left, and why; None for all.
    """

    about: Mapping[str, Any]
    order: tuple[str, ...] = ()
    charges: Charges = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    confirm_cut: tuple[int, str] | None = None
    is_decided: bool = False

    @property
    def was_stopped(self) -> bool:
        """Whether time, money or a failing reflection model ended the search."""
        return any(name.startswith(_STOPS) for name in self.order)

    @property
    def cost(self) -> tuple[float, bool]:
        """The most that the run has cost, or what is known of it, in USD; and whether it may be more."""
        spent = self.result.get("spent") or {}
        for name in ("usd_at_most", "usd"):
            if spent.get(name) is not None:
                return float(spent[name]), False
        return float(sum((spent.get("usd_by_role") or {}).values())), True

    @property
    def course(self) -> tuple[str, ...]:
        """The order for a run that resumes this one: without what stopped the search, unless a winner had been chosen
        by then.
        """
        return self.order if self.is_decided else tuple(name for name in self.order if not name.startswith(_STOPS))


def read_history(journal: Path) -> RunHistory:
    """The history of a run. Raises `OSError` for a file that cannot be read, `ValueError` for one that has no
    beginning."""
    history = _history(read_journal(journal))
    return history if history.result else replace(history, result=_result_beside(journal))


def _result_beside(journal: Path) -> Mapping[str, Any]:
    """What a run wrote down before its journal's last record, which a full disk may have kept it from; {} for none."""
    try:
        result = json.loads((journal.parent / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return result if isinstance(result, dict) and "verdict" in result else {}


def _history(records: Iterable[Mapping[str, Any]]) -> RunHistory:
    """One record after the other, as whole trajectories are among them: together they may not fit into memory."""
    about: Mapping[str, Any] | None = None
    order: list[str] = []
    charges: dict[tuple[str, str, str], Charge] = {}
    result: Mapping[str, Any] = {}
    cut: tuple[int, str] | None = None
    is_decided = False
    for record in records:
        kind = record["record"]
        if kind == "run":
            about = record
        elif kind == "event" and (name := _NAMES.get(record["type"])) is not None:
            order.append(f"{record['type']} {record['event'][name]}")
        elif kind == "rollout":
            charges[_place(record)] = _charge(record)
        elif kind == "attempt":
            # Of a case whose last attempt was not seen: its rollout says the same, and comes later.
            charges[_place(record)] = Charge(trouble=True, in_vain=int(record["paid"]))
        elif kind in ("shrink", "confirm", "confirm cut"):
            is_decided = True
            if kind == "confirm cut":
                cut = int(record["trials"]), str(record["reason"])
        elif kind == "result":
            result = record["result"]
    if about is None:
        raise ValueError("a journal without its first record")
    return RunHistory(about, tuple(order), charges, result, cut, is_decided)


def _place(record: Mapping[str, Any]) -> tuple[str, str, str]:
    return record["candidate"], record["case"], record["trial"]


def _charge(record: Mapping[str, Any]) -> Charge:
    ended = record.get("outcome")
    return Charge(
        bool(record["charged"]),
        stopped=ended == Outcome.stopped.value,
        seconds=record.get("model_seconds"),
        trouble=ended in _TROUBLE,
        in_vain=int(record.get("in_vain", 0)),
    )
