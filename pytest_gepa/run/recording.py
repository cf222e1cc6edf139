"""A recorded run as a directory of text files that can be committed: its answers, and in which order it went on.

Without secrets: an answer that holds one is left out and named. How a replay uses it is told in `docs/replay.md`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_gepa import __version__
from pytest_gepa.errors import RecordingError, ReplayError
from pytest_gepa.run.directory import STATE_DIRECTORY, write_text
from pytest_gepa.run.history import read_history
from pytest_gepa.run.stand_ins import NO_KEY, is_stand_in, left_out, stand_ins
from pytest_gepa.suite.charges import Charge, Charges
from pytest_gepa.trace.cache import ResponseCache
from pytest_gepa.trace.keys import split_key, stored_key
from pytest_gepa.trace.replay import WITHHELD
from pytest_gepa.trace.stored import StoredAnswer, decode, without_stamps

COMMITTED = "gepa_recording"
"""Where `pytest-gepa record` puts a recording, in the rootdir; a replay looks there first."""

IN_RUN = "recording"
"""The recording within a run's own directory."""

UNFINISHED = "answers"
"""The answers of a run that has not come to its end, within its directory: a database, as the cache is."""

_FORM = 2
_HEAD, _ORDER, _CHARGES, _ANSWERS = "recording.json", "order.json", "charged.jsonl", "answers"
_MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading JSON raises that is not of the expected form, or nested too deep."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded run, less its answers. `settings` are those that shape a run, by name.

    `order` names the results of the search as they came in. `environment` are variables that stand in for missing
    ones in a replay, `left_out` those that cannot, as their value holds a secret or is no address. `mode` is that of
    the run. `run` is the name under which its answers were kept, `directory_name` that of its directory: not the same
    in a run that went on with another. `confirm_cut` is how many trials of the confirm run the time has left, and why.
    `version` is that of pytest-gepa, "" in one that does not tell.
    """

    directory: Path
    run: str
    reflection_model: str
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    order: tuple[str, ...] = ()
    charges: Charges = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    mode: str = "optimize"
    confirm_cut: tuple[int, str] | None = None
    version: str = ""
    directory_name: str = ""

    def differences(self, settings: Mapping[str, Any]) -> list[str]:
        """Settings that are not as they were, and another version of pytest-gepa, in words."""
        former = [f"pytest-gepa was {self.version}, is {__version__}"]
        return former * (self.version not in ("", __version__)) + [
            f"{name.replace('_', '-')} was {_setting(then)}, is {_setting(settings[name])}"
            for name, then in self.settings.items()
            if name in settings and settings[name] != then
        ]


def _setting(value: Any) -> str:
    return "not set" if value is None else str(value)


# Finding


def find_recording(rootdir: Path, mode: str = "optimize") -> Path:
    """The recording that a replay of this project uses: the committed one, else that of the newest run of this mode.

    Raises `ReplayError` when there is none.
    """
    committed = rootdir / COMMITTED
    if (committed / _HEAD).is_file() and _mode(committed) == mode:
        return committed
    runs = rootdir / STATE_DIRECTORY / "runs"
    found = [path.parent for path in runs.glob(f"*/{IN_RUN}/{_HEAD}") if _mode(path.parent) == mode]
    if not found:
        raise ReplayError(
            f"--gepa-replay=only needs a recorded run, in {committed} or in a run below {runs}; record one with "
            f"pytest --gepa-{mode}, and keep it with pytest-gepa record"
        )
    return max(found, key=lambda path: run_age(path.parent.name))


def _mode(directory: Path) -> str:
    """The mode of the run that a recording is of."""
    return str(_read_json(directory / _HEAD).get("mode", "optimize"))


def recorded_model(rootdir: Path) -> str:
    """The reflection model of the run that a replay of this project uses. Raises `ReplayError` without one."""
    return read_recording(find_recording(rootdir)).reflection_model


def run_age(name: str) -> tuple[str, int]:
    """A key that sorts runs by date and number: of one day the tenth comes after the ninth."""
    day, _, number = name.rpartition("-")
    return day, int(number) if number.isdecimal() else -1


def stand_in(rootdir: Path, environ: MutableMapping[str, str], mode: str = "optimize") -> None:
    """Set the variables that a replay needs and the environment lacks, or has empty: SDKs do not start without a key.

    No key is known here, and none is needed: nothing is sent.
    """
    try:
        recorded = dict(read_recording(find_recording(rootdir, mode)).environment)
    except ReplayError:
        recorded = {}  # told when the run begins
    for name, value in {"OPENAI_API_KEY": NO_KEY, **recorded}.items():
        environ[name] = environ.get(name) or value


# Reading


def read_recording(directory: Path) -> Recording:
    """A recording, less its answers. Raises `ReplayError` for one that cannot be read."""
    head = _read_json(directory / _HEAD)
    if head.get("form") != _FORM:
        raise ReplayError(f"{directory / _HEAD}: a recording of another version of pytest-gepa; record it again")
    try:
        charges = {
            (line["candidate"], line["case"], str(line["trial"])): Charge(
                bool(line["charged"]),
                bool(line.get("stopped")),
                _seconds(line.get("seconds")),
                in_vain=int(line.get("in_vain", 0)),
            )
            for line in _lines(directory / _CHARGES)
        }
        order = _read_json(directory / _ORDER)
        cut = order.get("confirm_cut")
        return Recording(
            directory,
            run=str(head["run"]),
            reflection_model=str(head["reflection_model"]),
            settings=dict(head["settings"]),
            environment={name: value for name, value in dict(head["environment"]).items() if is_stand_in(name, value)},
            left_out=tuple(map(str, head.get("left_out", ()))),
            mode=str(head.get("mode", "optimize")),
            order=tuple(map(str, order["order"])),
            confirm_cut=None if cut is None else (int(cut[0]), str(cut[1])),
            charges=charges,
            version=str(head.get("pytest_gepa", "")),
            directory_name=str(head.get("directory") or str(head["run"]).partition(".")[0]),
        )
    except _MALFORMED as error:
        raise ReplayError(f"{directory}: a recording that lacks something: {error!r}; record it again") from None


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)


def load_answers(directory: Path, store: ResponseCache) -> int:
    """Put the answers of a recording into a store; tells how many. Raises `ReplayError` for a malformed line."""
    count = 0
    for path in sorted((directory / _ANSWERS).glob("*.jsonl")):
        for number, line in enumerate(_lines(path), 1):
            try:
                key = stored_key(str(line["key"]), str(line["trial"]), int(line["number"]))
                store.put(key, WITHHELD if line.get("withheld") else _answer(line).encode())
            except _MALFORMED as error:
                raise ReplayError(f"{path}, line {number}: no answer of a recording: {error!r}") from None
            count += 1
    if store.broken:
        raise ReplayError(f"the answers of {directory} cannot be read in: {store.broken}")
    return count


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ReplayError(f"{path}: cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise ReplayError(f"{path}: not what a recording holds")
    return data


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ReplayError(f"{path}: cannot be read: {error}") from None
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ReplayError(f"{path}, line {number}: {error}") from None
        if not isinstance(record, dict):
            raise ReplayError(f"{path}, line {number}: not what a recording holds")
        yield record


def _answer(line: Mapping[str, Any]) -> StoredAnswer:
    if "json" in line:
        body = json.dumps(line["json"]).encode("ascii")
    elif "events" in line:
        body = "".join(line["events"]).encode()
    else:
        body = line["text"].encode() if "text" in line else base64.b64decode(line["base64"], validate=True)
    return StoredAnswer(int(line["status"]), str(line["content_type"]), body)


# Writing


def write_recording(
    directory: Path,
    journal: Path,
    store: ResponseCache,
    settings: Mapping[str, Any],
    environ: Mapping[str, str],
    redact: Callable[[str], str],
) -> None:
    """Write the recording of a run that has ended, from its journal and the store in which its answers were kept.

    Raises `RecordingError` where some of them could not be: a replay would miss them.
    """
    history = read_history(journal)
    about = history.about
    answers = _answers(store, about["run"], redact)
    if why := store.lack():  # asked when they were read, which may have failed as well
        raise RecordingError(why)
    scratch = directory.with_name(directory.name + ".new")
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / _ANSWERS).mkdir(mode=0o700, parents=True)
    environment = stand_ins(environ, redact)
    head = {
        "form": _FORM,
        "pytest_gepa": about.get("pytest_gepa", ""),
        "run": about["run"],
        "directory": journal.parent.name,
        "mode": about.get("settings", {}).get("mode", "optimize"),
        "reflection_model": about["reflection_model"],
        "settings": dict(settings),
        "environment": environment,
        "left_out": left_out(environ, environment),
    }
    _write(scratch / _HEAD, [json.dumps(head, indent=1)])
    cut = {} if history.confirm_cut is None else {"confirm_cut": history.confirm_cut}
    _write(scratch / _ORDER, [json.dumps({"order": history.order, **cut}, indent=1)])
    _write(scratch / _CHARGES, sorted(_charges(history.charges)))
    for name, lines in answers.items():
        _write(scratch / _ANSWERS / f"{name}.jsonl", sorted(lines))
    shutil.rmtree(directory, ignore_errors=True)
    os.replace(scratch, directory)


def _charges(charges: Charges) -> Iterator[str]:
    """The lines of the charges."""
    for (candidate, case, trial), charge in charges.items():
        place = {"candidate": candidate, "case": case, "trial": trial, "charged": charge.charged}
        stopped = {"stopped": True} if charge.stopped else {}
        seconds = {} if charge.seconds is None else {"seconds": charge.seconds}
        in_vain = {"in_vain": charge.in_vain} if charge.in_vain else {}
        yield _line({**place, **stopped, **seconds, **in_vain})


def _answers(store: ResponseCache, run: str, redact: Callable[[str], str]) -> dict[str, list[str]]:
    """The lines of each file: one file a trial, one line an answer."""
    files: dict[str, list[str]] = {}
    for key, data in store.items():
        parts = split_key(key)
        if parts is None:
            continue
        identity, trial, number = parts
        place = {"key": identity, "number": number, "trial": trial}
        answer = decode(data)
        written = {"withheld": True} if answer is None else _written(answer)
        if _holds_secret(written, redact):
            written = {"withheld": True}
        line = _line({**place, **written})
        name = re.sub(r"[^\w.-]+", "-", trial.removeprefix(f"{run}/"))
        files.setdefault(name, []).append(line)
    return files


def _holds_secret(written: Mapping[str, Any], redact: Callable[[str], str]) -> bool:
    """Whether what a server has written holds one. Names of fields are ours, and the status says nothing."""
    body = _line(written["json"]) if "json" in written else "".join(written.get("events", ()))
    said = (str(written.get(name, "")) for name in ("content_type", "text", "base64"))
    return any(redact(text) != text for text in (without_stamps(body), *said))


def _written(answer: StoredAnswer) -> dict[str, Any]:
    head = {"status": answer.status, "content_type": answer.content_type}
    try:
        text = answer.body.decode()
    except UnicodeDecodeError:
        return {**head, "base64": base64.b64encode(answer.body).decode("ascii")}
    if answer.is_event_stream:
        return {**head, "events": [piece.decode() for piece in answer.pieces()]}
    try:
        data = json.loads(text)
        if json.loads(json.dumps(data)) == data:
            return {**head, "json": data}
    except (ValueError, RecursionError):
        pass
    return {**head, "text": text}


def _line(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False)


def _write(path: Path, lines: Iterable[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))
