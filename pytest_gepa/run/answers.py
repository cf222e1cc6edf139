"""The stored answers of one run, by `--gepa-replay`: what its parts read and write, and what is left when it ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_gepa.codec import to_json
from pytest_gepa.errors import RecordingError
from pytest_gepa.redaction import without_secrets
from pytest_gepa.run.clock import ConfirmCut
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.directory import STATE_DIRECTORY
from pytest_gepa.run.plan import BudgetPlan
from pytest_gepa.run.recording import (
    IN_RUN,
    UNFINISHED,
    find_recording,
    load_answers,
    read_recording,
    write_recording,
)
from pytest_gepa.run.replay_order import RecordedCrew
from pytest_gepa.run.resume import EarlierRun
from pytest_gepa.run.trials import confirm_number
from pytest_gepa.settings import SHAPING, Settings
from pytest_gepa.suite.charges import Charges
from pytest_gepa.suite.rollout import Case
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.replay import RESUMED, Stores
from pytest_gepa.wording import count


class RunAnswers:
    """Opened before anything is sent, closed when nothing more is.

    `name` is that of the run in its trials: in a replay that of the recorded one. `cache` and `recording` are the
    directories for child sessions, "" for none; `charges` tells for a replay which rollouts were charged. Raises
    `ReplayError` when there is nothing to replay. `place` is where the answers are kept while the run goes on, and stay
    where it comes to no end. A run that resumes an `earlier` one takes its results in the order of that one, and
    counts what was charged there. `notes` are said when it begins, `problems` when it has ended. `confirm_cut` is what
    the time has left of the confirm run that is replayed.
    """

    def __init__(
        self,
        settings: Settings,
        run: str,
        reflection_model: str,
        place: Path,
        redact: Callable[[str], str],
        earlier: EarlierRun | None = None,
    ) -> None:
        self._settings = settings
        self._model = reflection_model
        self._redact = redact
        self._earlier = earlier
        self.name = run
        self.replay: str = settings.replay
        self.notes: list[str] = []
        self.problems: tuple[str, ...] = ()
        self.charges: Charges | None = None
        self.confirm_cut: ConfirmCut | None = None
        self._order: tuple[str, ...] | None = None
        directory = settings.rootdir / STATE_DIRECTORY / "cache"
        is_off = settings.replay == "off"
        self._cache = None if is_off else ResponseCache(directory)
        self._recording = None if is_off else ResponseCache(place)
        self._is_recorded = False
        if settings.replay == "only":
            if not directory.is_dir():
                self._cache = None
            self._read()
            return
        if earlier is not None and self._recording is not None:
            self.replay = RESUMED
            self.charges, self._order = earlier.history.charges, earlier.history.course
            self.notes.append(earlier.note)
            if settings.max_cost is not None and earlier.cost_note:
                self.notes.append(earlier.cost_note)
            earlier.give_answers(self._recording)
        if self._cache is not None:
            self._cache.trim(settings.cache_size)
            if self._cache.broken:
                self.notes.append(
                    f"gepa: every answer is paid for again, as .gepa/cache cannot be used ({self._cache.broken}); "
                    "`pytest-gepa cache --clear` removes what is there"
                )

    @property
    def cache(self) -> str:
        """The directory of the cache for child sessions, "" for none."""
        return "" if self._cache is None else str(self._cache.directory)

    @property
    def recording(self) -> str:
        """The directory of the recording for child sessions, "" for none."""
        return "" if self._recording is None else str(self._recording.directory)

    def stores(self) -> Stores:
        """The same for requests of this process."""
        return Stores(self._cache, self._recording, self.replay, self._redact)

    def crew(self) -> Crew:
        """What hands the results of the search to its driver."""
        if self._order is None:
            return Crew()
        return RecordedCrew(self._order, tells_late=self._settings.replay == "only")

    def as_recorded(self, plan: BudgetPlan, cases: Sequence[Case]) -> BudgetPlan:
        """The plan with no more confirm trials than a recorded run had: a cap on its cost may have left it fewer."""
        if self._settings.replay != "only":
            return plan
        usual = {case.id for case in cases if case.trials is None}
        found = [
            1 + number
            for _, case, trial in self.charges or {}
            if case in usual and (number := confirm_number(self.name, trial)) is not None
        ]
        return replace(plan, trials=min(plan.trials, max(found))) if found else plan

    def keep(self, directory: Path) -> None:
        """Write the recording of a run that came to its end into its directory; a replay is not recorded again.

        One that would lack answers is not written, which is one of the `problems`.
        """
        if self._recording is None or self._settings.replay != "auto":
            return
        try:
            write_recording(
                directory / IN_RUN,
                directory / "journal.jsonl",
                self._recording,
                _shaping(self._settings, self._redact),
                os.environ,
                self._redact,
            )
        except RecordingError as error:
            self.problems = (f"this run has left no recording, as answers could not be stored: {error}",)
        else:
            self._is_recorded = True

    def close(self) -> None:
        """Keep the cache within its bounds, and let go of it."""
        if self._cache is not None and self._settings.replay == "auto":
            self._cache.trim(self._settings.cache_size)
        self.stores().close()
        if self._is_recorded and self._recording is not None:
            shutil.rmtree(self._recording.directory, ignore_errors=True)
            if self._earlier is not None:
                self._earlier.drop_answers()

    def _read(self) -> None:
        recording = read_recording(find_recording(self._settings.rootdir, self._settings.mode))
        assert self._recording is not None
        answers = load_answers(recording.directory, self._recording)
        self.name, self.charges, self._order = recording.run, recording.charges, recording.order
        self.confirm_cut = None if recording.confirm_cut is None else ConfirmCut(*recording.confirm_cut)
        where = os.path.relpath(recording.directory, self._settings.rootdir)
        self.notes.append(
            f"gepa: replaying {recording.directory_name} from {where}, {count(answers, 'answer')}; nothing is sent"
        )
        differences = recording.differences(_shaping(self._settings, self._redact))
        model = self._redact(self._model)
        if recording.reflection_model != model:
            differences.append(f"reflection-model was {recording.reflection_model}, is {model}")
        if differences:
            self.notes.append(f"gepa: the recorded run had other settings: {'; '.join(differences)}")


def answers_place(settings: Settings, directory: Path, temp: Path) -> Path:
    """Where a run keeps its answers while it goes on: an optimization in its own directory, as it may be cut off."""
    is_resumable = settings.mode == "optimize" and settings.replay == "auto"
    return directory / UNFINISHED if is_resumable else temp / IN_RUN


def _shaping(settings: Settings, redact: Callable[[str], str]) -> dict[str, Any]:
    every = to_json(without_secrets(settings, redact))
    return {name: every[name] for name in SHAPING}
