"""An optimization that was cut off, gone on with: by its journal the new run takes the same course, and its answers are
in the cache.

So a run that was interrupted, or whose process died, loses nothing but what was under way.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.errors import ResumeError
from pytest_gepa.journal import cleaned, is_being_written, read_journal
from pytest_gepa.prompts.components import Component
from pytest_gepa.recording import IN_RUN, UNFINISHED, load_answers, run_age
from pytest_gepa.report.run_directory import STATE_DIRECTORY
from pytest_gepa.report.wording import dollars
from pytest_gepa.run_history import RunHistory, read_history
from pytest_gepa.settings import SHAPING, Settings
from pytest_gepa.suite.rollout import Case
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.redact import REDACTED

NAMED = 3
"""Of cases and prompts that are not as they were, so many are named."""

_UNFINISHED = ("", "not confirmed")
_ANEW = "begin a new one with --gepa-optimize: what is stored is not paid for again there either"


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """A run that is gone on with.

    `usd` is what it and those that it went on with are known to have cost at most; a run that wrote no result tells
    nothing of that.
    """

    directory: Path
    history: RunHistory
    usd: float = 0.0

    @property
    def directory_name(self) -> str:
        """How its user knows it."""
        return self.directory.name

    @property
    def name(self) -> str:
        """What it is called in its trials: the new run's are the same."""
        return str(self.history.about["run"])

    @property
    def reflection_model(self) -> str:
        """The name of the model that reflected."""
        return str(self.history.about["reflection_model"])

    @property
    def paid(self) -> int:
        """Rollouts that it paid for."""
        return sum(bool(charged) for charged in self.history.charges.values())

    @property
    def note(self) -> str:
        """What is said before the run goes on."""
        return (
            f"gepa: going on with {self.directory_name}, which has paid for {self.paid} rollouts; they count against "
            "the budget, and are not paid for again"
        )

    def give_answers(self, store: ResponseCache) -> None:
        """Put its answers into a store that is new: that of the run that goes on. What it lacks is asked for again."""
        unfinished = self.directory / UNFINISHED
        if unfinished.is_dir():
            with suppress(OSError):
                shutil.copytree(unfinished, store.directory)
        elif (self.directory / IN_RUN).is_dir():
            load_answers(self.directory / IN_RUN, store)

    def as_it_began(self, settings: Settings, typed: Callable[[str], bool]) -> Settings:
        """The settings with those that shape a run as they were when it began; `typed` says which are on the command
        line. What the run has cost is taken from the cap.

        Raises `ResumeError` for a typed one that would have it go another way, and where nothing is left of the cap.
        """
        then = from_json(Settings, self.history.about["settings"])
        model = settings.reflection_model if REDACTED in self.reflection_model else self.reflection_model
        wanted = {**{name: getattr(then, name) for name in SHAPING}, "reflection_model": model}
        for name, value in wanted.items():
            if typed(name) and getattr(settings, name) != value:
                option = f"--gepa-{name.replace('_', '-')}"
                raise ResumeError(
                    f"{self.directory_name} began with {option} {value}; a run goes on as it began, so leave {option} "
                    f"out, or {_ANEW}"
                )
        return replace(settings, mode="optimize", max_cost=self._left_of(settings.max_cost), **wanted)

    def _left_of(self, cap: float | None) -> float | None:
        """What is left of a cap in USD. Raises `ResumeError` where nothing is."""
        if cap is not None and cap <= self.usd:
            raise ResumeError(
                f"--gepa-max-cost: {self.directory_name} has spent {dollars(self.usd)} of {dollars(cap)} already; give "
                "more to go on"
            )
        return None if cap is None else cap - self.usd

    def check(
        self,
        cases: Sequence[Case],
        components: Sequence[Component],
        ancestor: Mapping[str, str],
        redact: Callable[[str], str],
    ) -> None:
        """Raise `ResumeError` where cases or prompts are not those with which the run began."""
        texts = {component.id: component.text for component in components}
        self._compare("prompt", texts, "give the same --gepa-prompts, and the prompts as they were", redact)
        self._compare("ancestor", ancestor, "name the commit that --gepa-ancestor was then", redact)
        then = {case["id"]: case for case in self.history.about["cases"]}
        now = {case["id"]: case for case in _written("cases", cases, redact)}
        self._tell("case", then, now, "give the same tests and options, and the tests as they were")

    def _compare(self, kind: str, texts: Mapping[str, str], mend: str, redact: Callable[[str], str]) -> None:
        field = "components" if kind == "prompt" else kind
        self._tell(kind, self.history.about[field], _written(field, texts, redact), mend)

    def _tell(self, kind: str, then: Mapping[str, Any], now: Mapping[str, Any], mend: str) -> None:
        other = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        if not other:
            return
        named = ", ".join(
            f"{name} ({'is new' if name not in then else 'is gone' if name not in now else 'has changed'})"
            for name in other[:NAMED]
        )
        more = f" and {len(other) - NAMED} more" if len(other) > NAMED else ""
        raise ResumeError(
            f"{self.directory_name} cannot be gone on with, as {len(other)} {kind}{'s' * (len(other) > 1)} are not as "
            f"they were when it began: {named}{more}; {mend}, or {_ANEW}"
        )


def _written(name: str, value: Any, redact: Callable[[str], str]) -> Any:
    """A value as a journal gives it back."""
    return json.loads(json.dumps(to_json(cleaned(name, value, redact))))


def find_earlier(rootdir: Path, name: str = "") -> EarlierRun:
    """The run of this name, or the newest optimization. Raises `ResumeError` for one that cannot be gone on with."""
    runs = rootdir / STATE_DIRECTORY / "runs"
    found = {path.parent.name: path for path in runs.glob("*/journal.jsonl") if _mode(path) == "optimize"}
    newest = sorted(found, key=run_age, reverse=True)
    if not newest:
        raise ResumeError(f"there is no optimization in {runs} to go on with; begin one with --gepa-optimize")
    if name and name not in found:
        raise ResumeError(
            f"there is no optimization {name!r} in {runs}; the newest are {', '.join(newest[:NAMED])}"
        )
    return _read(found, name or newest[0])


def _read(found: Mapping[str, Path], name: str) -> EarlierRun:
    path = found[name]
    if is_being_written(path):
        raise ResumeError(f"{name} is still going on")
    history = _history(path)
    verdict = str(history.result.get("verdict", ""))
    if verdict not in _UNFINISHED:
        raise ResumeError(f"{name} has come to its end ({verdict}), there is nothing to go on with; {_ANEW}")
    spent = history.result.get("spent", {})
    usd = float(spent.get("usd_at_most") or spent.get("usd") or 0.0)
    # One that went on with another, and was cut off before it was as far, does not tell of all that was paid for.
    before = str(history.about.get("resumes", ""))
    if before in found and run_age(before) < run_age(name):
        older = _read(found, before)
        history = replace(
            history,
            order=max(history.results_in_order, older.history.results_in_order, key=len),
            charges={**older.history.charges, **history.charges},
        )
        usd += older.usd
    return EarlierRun(path.parent, history, usd)


def _history(path: Path) -> RunHistory:
    try:
        history = read_history(path)
        from_json(Settings, history.about["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResumeError(f"{path}: a journal that cannot be read ({error!r}); {_ANEW}") from None
    return history


def _mode(journal: Path) -> str:
    """The mode of the run that a journal is of, "" where it tells none."""
    try:
        return str(next(read_journal(journal))["settings"]["mode"])
    except (OSError, StopIteration, KeyError, TypeError):
        return ""
