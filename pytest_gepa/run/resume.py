"""An optimization that was cut off, resumed: by its journal the new run takes the same course, and its answers are
there already.

So a run that was interrupted, or whose process died, loses nothing but what was under way.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_gepa import __version__
from pytest_gepa.codec import from_json, to_json
from pytest_gepa.errors import ResumeError
from pytest_gepa.prompts.components import Component, todays_texts
from pytest_gepa.run.directory import STATE_DIRECTORY
from pytest_gepa.run.history import RunHistory, read_history
from pytest_gepa.run.journal import cleaned, is_being_written, read_journal
from pytest_gepa.run.recording import IN_RUN, UNFINISHED, load_answers, run_age
from pytest_gepa.run.trials import confirm_number
from pytest_gepa.settings import SHAPING, Settings
from pytest_gepa.suite.charges import Charges
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.usage import case_digest
from pytest_gepa.trace.cache import LACKING, ResponseCache
from pytest_gepa.trace.redact import REDACTED
from pytest_gepa.wording import count, dollars, some

NAMED = 3
"""Of cases and prompts that are not as they were, so many are named."""

_ANEW = "begin a new one with --gepa-optimize, which buys nothing of the search again that is stored"


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """A run that is resumed.

    `usd` is what it and those that it went on with have cost at most; where `usd_is_least` they may have cost more: a
    run that wrote no result tells nothing of that, and one that met calls of unknown cost a part. `older` are the
    directories of those that it went on with, newest first.
    """

    directory: Path
    history: RunHistory
    usd: float = 0.0
    usd_is_least: bool = False
    older: tuple[Path, ...] = ()

    @property
    def directories(self) -> tuple[Path, ...]:
        """Its own directory, and those of the runs that it went on with, newest first."""
        return (self.directory, *self.older)

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
        """Rollouts that it paid for, those that were run again among them."""
        return sum(charge.paid for charge in self.history.charges.values())

    @property
    def confirmed(self) -> tuple[tuple[str, int], ...]:
        """The rollouts of its confirm run whose answers are there: case and number of the trial, for each side."""
        return tuple(
            (case, number)
            for (_, case, trial), charge in self.history.charges.items()
            if (number := confirm_number(self.name, trial)) is not None and not (charge.stopped or charge.trouble)
        )

    @property
    def note(self) -> str:
        """What is said before the run goes on."""
        then = str(self.history.about.get("pytest_gepa", __version__))
        other = f" (it began under pytest-gepa {then}, this is {__version__}, which may take another course)"
        return (
            f"gepa: going on with {self.directory_name}, which has paid for {count(self.paid, 'rollout')}; that "
            f"counts against the budget, and is not paid for again{other * (then != __version__)}"
        )

    @property
    def cost_note(self) -> str:
        """What is said besides where there is a cap that its cost counts against, "" where all of that is known."""
        if not self.usd_is_least:
            return ""
        known = f"only {dollars(self.usd)} of what it has cost is" if self.usd else "what it has cost is not"
        return f"gepa: {known} known; --gepa-max-cost cannot count the rest"

    def give_answers(self, store: ResponseCache) -> None:
        """Put its answers into a store that is new: that of the run that goes on. What it lacks is asked for again.

        They are there whole or not at all: a part of them, from a run that died while it copied them, would hide the
        others from whoever goes on with that. Raises `ResumeError` where they cannot be copied: what is told to be
        there would be paid for again.
        """
        # A recording is whole; what it was made of may be gone in part.
        every = (one / name for one in self.directories for name in (IN_RUN, UNFINISHED))
        answers = next((place for place in every if place.is_dir()), None)
        if answers is None:
            return
        aside = store.directory.with_name(f"{store.directory.name}.new")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            _copy(answers, aside)
            os.replace(aside, store.directory)
        except OSError as error:
            raise ResumeError(
                f"{self.directory_name}: its answers cannot be copied to {store.directory}, so that they would be "
                f"paid for again: {error}"
            ) from error

    def drop_answers(self) -> None:
        """Remove the answers of this run and of those that it went on with: the one that went on with it has come to
        its end, and recorded its own.
        """
        for directory in self.directories:
            shutil.rmtree(directory / UNFINISHED, ignore_errors=True)

    def as_it_began(self, settings: Settings, typed: Callable[[str], bool]) -> Settings:
        """The settings with those that shape a run as they were when it began; `typed` says which are on the command
        line.

        Raises `ResumeError` for a typed one that would have it go another way, and where nothing is left of the cap.
        """
        then = from_json(Settings, self.history.about["settings"])
        model = settings.reflection_model if REDACTED in self.reflection_model else self.reflection_model
        wanted = {**{name: getattr(then, name) for name in SHAPING}, "reflection_model": model}
        if typed("ancestor"):
            del wanted["ancestor"]  # a name may stand for another commit by now; its texts are compared
        for name, value in wanted.items():
            if typed(name) and getattr(settings, name) != value:
                option = f"--gepa-{name.replace('_', '-')}"
                began = f"with {option} {value}" if value is not None else f"without {option}"
                raise ResumeError(
                    f"{self.directory_name} began {began}; a run goes on as it began, so leave {option} out, or {_ANEW}"
                )
        cap = settings.max_cost
        if cap is not None and cap <= self.usd:
            raise ResumeError(
                f"--gepa-max-cost: {self.directory_name} has spent {dollars(self.usd)} of {dollars(cap)} already; give "
                "more to go on"
            )
        return replace(settings, mode="optimize", **wanted)

    def check(
        self,
        cases: Sequence[Case],
        components: Sequence[Component],
        ancestor: Mapping[str, str],
        redact: Callable[[str], str],
    ) -> None:
        """Raise `ResumeError` where cases or prompts are not those with which the run began."""
        texts = todays_texts(components)
        before, now = self.history.about["components"], _written("components", texts, redact)
        self._tell("prompt", before, now, "give the same --gepa-prompts, and the prompts as they were")
        before, now = self.history.about["ancestor"], _written("ancestor", ancestor, redact)
        self._tell("ancestor's prompt", before, now, "name the commit that --gepa-ancestor was then")
        then, now = (
            {case["id"]: (case_digest(from_json(Case, case)), case["split"]) for case in every}
            for every in (self.history.about["cases"], _written("cases", cases, redact))
        )
        self._tell("case", then, now, "give the same tests and options, and the tests as they were")

    def _tell(self, kind: str, then: Mapping[str, Any], now: Mapping[str, Any], mend: str) -> None:
        other = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        if not other:
            return
        named = [
            f"{name} ({'is new' if name not in then else 'is gone' if name not in now else 'has changed'})"
            for name in other
        ]
        were = "is not as it was" if len(other) == 1 else "are not as they were"
        raise ResumeError(
            f"{self.directory_name} cannot be resumed, as {count(len(other), kind)} {were} when the run began: "
            f"{some(named, NAMED)}; {mend}, or {_ANEW}"
        )


def _written(name: str, value: Any, redact: Callable[[str], str]) -> Any:
    """A value as a journal gives it back."""
    return json.loads(json.dumps(to_json(cleaned(name, value, redact))))


def find_earlier(rootdir: Path, name: str = "") -> EarlierRun:
    """The run of this name, or the newest optimization that has no verdict. Raises `ResumeError` where none can be
    resumed.
    """
    runs = rootdir / STATE_DIRECTORY / "runs"
    known = {path.parent.name: head_of(path) for path in runs.glob("*/journal.jsonl")}
    found = {run: runs / run for run in sorted(known, key=run_age) if is_stored(known[run])}
    if not found:
        raise ResumeError(
            f"there is no optimization in {runs} to resume, whose answers are stored; begin one with --gepa-optimize"
        )
    if name and name not in found:
        newest = ", ".join(list(found)[: -NAMED - 1 : -1])
        raise ResumeError(f"there is no optimization {name!r} in {runs} that can be resumed; newest: {newest}")
    # A name that is taken once more, as the directory that had it is gone, is that of another run.
    before = {
        run: one
        for run in found
        if (one := str(known[run].get("resumes"))) in found and known[one].get("run") == known[run].get("run")
    }
    followed = {one: run for run, one in before.items()}
    if name:
        newest = _chain(followed, name)[-1]  # what was paid for since counts as well
        return _read(found, _chain(before, newest))
    trouble: ResumeError | None = None
    newest_first = list(found)[::-1]
    for run in [one for one in newest_first if one not in followed] or newest_first:
        try:
            return _read(found, _chain(before, run))
        except ResumeError as error:
            trouble = trouble or error
    assert trouble is not None
    raise trouble


def _chain(next_of: Mapping[str, str], name: str) -> list[str]:
    """A run, the next one from it, and so on, each once."""
    chain = [name]
    while (one := next_of.get(chain[-1], name)) not in chain:
        chain.append(one)
    return chain


def head_of(journal: Path) -> Mapping[str, Any]:
    """The first record of a journal, {} where it has none that can be read."""
    try:
        head = next(read_journal(journal), {})
    except OSError:
        return {}
    is_sound = isinstance(head, dict) and isinstance(head.get("settings"), dict)
    return head if is_sound else {}


def is_stored(head: Mapping[str, Any]) -> bool:
    """Whether a run is an optimization that keeps its answers."""
    settings = head.get("settings", {})
    return (settings.get("mode"), settings.get("replay")) == ("optimize", "auto")


def _read(found: Mapping[str, Path], chain: Sequence[str]) -> EarlierRun:
    """A run with what is known of those that it went on with, which come behind it in the chain."""
    name, *rest = chain
    journal = found[name] / "journal.jsonl"
    if is_being_written(journal):
        raise ResumeError(f"{name} is still going on")
    history = _history(journal)
    if not can_go_on(history):
        verdict = history.result["verdict"]
        raise ResumeError(f"{name} has come to its end ({verdict}), there is nothing to resume; {_ANEW}")
    usd, is_least = history.cost
    # One that went on with another, and was cut off before it was as far, does not tell of all that was paid for.
    older = _read(found, rest) if rest else None
    if older is not None:
        further = _further(history, older.history)
        history = replace(
            history,
            order=further.order,
            charges=_together(older.history.charges, history.charges),
            is_decided=further.is_decided,
        )
        usd, is_least = usd + older.usd, is_least or older.usd_is_least
    return EarlierRun(found[name], history, usd, is_least, older.directories if older else ())


def _further(newer: RunHistory, older: RunHistory) -> RunHistory:
    """Of two runs, of which the newer one has taken over from the older, the one whose course counts: one that had
    chosen its winner, the newer one if both had, else the one that came further.
    """
    if newer.is_decided or (not older.is_decided and len(newer.order) >= len(older.order)):
        return newer
    return older


def _copy(answers: Path, store: Path) -> None:
    """Make a store of the answers of a run, of either form. Raises `OSError` where it cannot be written."""
    if answers.name == UNFINISHED:
        # Each answer that the run uses is stored by it: what the earlier one lacked it does not.
        shutil.copytree(answers, store, ignore=shutil.ignore_patterns(LACKING))
        return
    store.mkdir(mode=0o700, parents=True)
    loaded = ResponseCache(store)
    try:
        load_answers(answers, loaded)
    finally:
        loaded.close()


def can_go_on(history: RunHistory) -> bool:
    """Whether a run has no verdict, or was stopped with nothing to judge."""
    verdict = str(history.result.get("verdict", ""))
    if verdict == "not proven":
        return history.was_stopped and not history.is_decided
    return verdict in ("", "not confirmed")


def _together(older: Charges, newer: Charges) -> Charges:
    """What two runs knew, of which the newer one has taken over from the older: what it says was paid for a rollout
    counts what the older had paid for.
    """
    both = {
        place: replace(
            newer[place],
            charged=most.charged,
            seconds=newer[place].seconds if older[place].seconds is None else older[place].seconds,
            in_vain=most.in_vain,
        )
        for place in older.keys() & newer.keys()
        if (most := max(newer[place], older[place], key=lambda one: one.paid))
    }
    return {**older, **newer, **both}


def _history(path: Path) -> RunHistory:
    try:
        history = read_history(path)
        about = history.about
        from_json(Settings, about["settings"])
        from_json(tuple[Case, ...], about["cases"])
        missing = {"run", "reflection_model", "components", "ancestor"} - about.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResumeError(f"{path}: a journal that cannot be read ({error!r}); {_ANEW}") from None
    if missing:
        raise ResumeError(f"{path}: a journal of another version, without {', '.join(sorted(missing))}; {_ANEW}")
    return history
