"""Saved baselines: how often each case passed on the day that somebody blessed, as a small file that can be committed.

It holds counts, digests and names; no prompt, no answer, no trajectory. A baseline changes only when it is saved again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_gepa.errors import GepaError
from pytest_gepa.own import OwnName

DIRECTORY = "baselines"
"""Where baselines stand, in the state directory of the rootdir."""

FORMAT = 1
DIGITS = 6
"""Scores are rounded to so many digits on both sides: no line of the file then hangs on how a float is added up."""

MOST_TRIALS = 100_000
_NAME_CHARACTERS = 200


class BaselineError(GepaError):
    """A baseline cannot be used; the message says which file, why, and how to mend it."""


@dataclass(frozen=True, slots=True)
class RecordedCase:
    """A case as it was. `digest` names it by what it does (`suite.usage.case_digest`), `name` is its nodeid.

    `scores` are the numbers of trials with evidence by score, in [0, 1], rounded; of these trials `passed` passed.
    `threshold` is the score in [0, 1] from which on they did, None where the asserts alone decided.
    """

    digest: OwnName
    name: str
    passed: int
    scores: Mapping[float, int]
    threshold: float | None = None

    @property
    def trials(self) -> int:
        """Trials with evidence, at least 1."""
        return sum(self.scores.values())

    @property
    def mean(self) -> float:
        """The mean score."""
        return sum(score * number for score, number in self.scores.items()) / self.trials

    def counted(self, *, by_passing: bool) -> tuple[float, ...]:
        """What the trials count in a comparison, one by one: 1 or 0 as they passed, or their scores."""
        if by_passing:
            return (1.0,) * self.passed + (0.0,) * (self.trials - self.passed)
        return tuple(score for score, number in sorted(self.scores.items()) for _ in range(number))


@dataclass(frozen=True, slots=True)
class Baseline:
    """A saved baseline. `saved` is the day (ISO), `version` that of this package, `models` the names that the cases
    asked for, `prompts` digests of the prompts' texts by component id, `cases` by case id.
    """

    saved: OwnName
    version: OwnName
    models: tuple[str, ...] = ()
    prompts: Mapping[OwnName, OwnName] = field(default_factory=dict)
    cases: Mapping[OwnName, RecordedCase] = field(default_factory=dict)


def rounded(score: float) -> float:
    """A score as it counts beside recorded ones."""
    return round(score, DIGITS)


def text_digest(text: str) -> str:
    """Names a text, whatever newlines git has given to its file."""
    plain = text.replace("\r\n", "\n")
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def baseline_path(state_directory: Path, name: str) -> Path:
    """The file of a baseline."""
    return state_directory / DIRECTORY / f"{name}.json"


# Reading


def read_baseline(path: Path) -> Baseline:
    """Read a baseline. Raises `BaselineError` for one that is missing, damaged or of another format."""
    again = f"save it again with --gepa-save-baseline {path.stem}"
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BaselineError(_missing(path)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BaselineError(
            f"the baseline {path} cannot be read: {error}; take it from git again, or {again}"
        ) from None
    found = data.get("format") if isinstance(data, dict) else None
    if isinstance(found, int) and found != FORMAT:
        raise BaselineError(
            f"the baseline {path} has format {found}, and this version of pytest-gepa reads format {FORMAT}; use the "
            f"version that wrote it ({data.get('pytest_gepa', 'not known')}), or {again}"
        )
    try:
        return _baseline(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"{error.args[0]} is missing" if isinstance(error, KeyError) else error
        raise BaselineError(f"the baseline {path} is damaged: {why}; take it from git again, or {again}") from None


def _missing(path: Path) -> str:
    known = sorted(other.stem for other in path.parent.glob("*.json"))
    others = f"; there are: {', '.join(known)}" if known else ""
    return (
        f"there is no baseline {path.stem}: {path} does not exist{others}. Save one with --gepa-save-baseline "
        f"{path.stem}, and keep it in git with git add -f, as git ignores what is in {path.parents[1].name}"
    )


def _baseline(data: Any) -> Baseline:
    if not isinstance(data, dict):
        raise TypeError("it is no object")
    if data["format"] != FORMAT:
        raise ValueError(f"its format is {data['format']!r}")
    if not isinstance(data["models"], list):
        raise TypeError("its models are no list")
    return Baseline(
        saved=_text(data["saved"]),
        version=_text(data["pytest_gepa"]),
        models=tuple(_text(name) for name in data["models"]),
        prompts={_text(name): _text(digest) for name, digest in data["prompts"].items()},
        cases={name: _recorded(name, entry) for name, entry in data["cases"].items()},
    )


def _recorded(name: str, entry: Any) -> RecordedCase:
    try:
        scores = {float(score): _count(number) for score, number in entry["scores"].items()}
        found = RecordedCase(
            _text(entry["digest"]),
            _text(entry.get("name", name)),
            _count(entry["passed"]),
            scores,
            _threshold(entry.get("threshold")),
        )
        trials = _count(entry["trials"])
    except KeyError as error:
        raise ValueError(f"{name}: {error.args[0]} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{name}: {error}") from None
    if not all(0 <= score <= 1 for score in scores):
        raise ValueError(f"{name}: a score lies outside [0, 1]")
    if not 1 <= trials <= MOST_TRIALS or trials != found.trials or found.passed > trials:
        raise ValueError(f"{name}: its numbers of trials do not agree")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no number of trials")
    return value


def _threshold(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is no threshold")
    return float(value)


# Writing


def baseline_text(baseline: Baseline) -> str:
    """The file: JSON with sorted keys, a case a line, so that a diff shows the cases that differ and nothing else."""
    head = {
        "format": FORMAT,
        "models": sorted(baseline.models),
        "prompts": dict(baseline.prompts),
        "pytest_gepa": baseline.version,
        "saved": baseline.saved,
    }
    lines = [
        f"  {json.dumps(case)}: {json.dumps(_entry(case, recorded), sort_keys=True)}"
        for case, recorded in sorted(baseline.cases.items())
    ]
    # "cases" is the first key of all in the order of the alphabet.
    cases = " {\n" + ",\n".join(lines) + "\n }" if lines else " {}"
    return '{\n "cases":' + cases + "," + json.dumps(head, indent=1, sort_keys=True).removeprefix("{") + "\n"


def _entry(case: str, recorded: RecordedCase) -> dict[str, object]:
    entry: dict[str, object] = {
        "digest": recorded.digest,
        "passed": recorded.passed,
        "scores": {f"{score:.{DIGITS}g}": number for score, number in recorded.scores.items()},
        "trials": recorded.trials,
        "threshold": recorded.threshold,
    }
    return entry if recorded.name == case else {**entry, "name": recorded.name}


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write or replace a baseline."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    # Written aside and moved: a run that is cut off here leaves the old one as it was.
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.write_bytes(baseline_text(baseline).encode("ascii"))
    os.replace(aside, path)


def clipped_name(nodeid: str) -> str:
    """A nodeid for the file: a whole prompt may stand in one."""
    return nodeid if len(nodeid) <= _NAME_CHARACTERS else f"{nodeid[: _NAME_CHARACTERS - 4]} ..."
