"""Which prompt did what: components tied to calls tied to cases, as runs have shown it, kept for the next plan."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pytest_gepa.codec import from_json, short_digest, to_json
from pytest_gepa.suite.passed_on import answers_to, partly_used
from pytest_gepa.suite.rollout import Case, Rollout
from pytest_gepa.suite.ties import tied_runs
from pytest_gepa.trace.attribution import components_used
from pytest_gepa.trace.model_calls import is_to_model
from pytest_gepa.trace.redact import REDACTED
from pytest_gepa.trace.rough import tokens_of
from pytest_gepa.trace.trajectory import Call

FILE = "usage.json"
VERSION = 1
_ADDRESS = re.compile(rf" at 0x(?:[0-9A-Fa-f]|{re.escape(REDACTED)})+")
"""The address of an object, of which a pattern of the user's may have matched a part."""
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """Calls to one model, and their tokens, as in `Tokens`."""

    calls: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    input_audio: int = 0
    output_audio: int = 0
    cached_audio: int = 0

    def __add__(self, other: ModelUsage) -> ModelUsage:
        return ModelUsage(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True, slots=True)
class ReflectionUsage:
    """What the reflections of one run took: replies that were paid for, their tokens by the server's count, and the
    rollouts of the search beside them."""

    model: str
    replies: int
    rollouts: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class CaseUsage:
    """What a case asked of models under the prompts of its day.

    `components` counts, by component id, the calls whose messages held its text, at most in one rollout; `reads` are
    the components whose file was opened in any; `partly` are those that neither tells of and that have a part in the
    case all the same (see `partly_used`). All three are of all runs that `save_usage` puts together. Calls, tokens
    (the servers' own counts, cached answers included) and `seconds` of wall time are those of the last rollout. A usage
    that `is_partial` is of rollouts none of which came to its end: the case may use more. `run` names the run that has
    shown it. `scores` are those of the run's rollouts of the case that gave evidence, of every phase and trial.
    `models` has the calls and tokens of each model by its name. `digest` is that of the case as it was (see
    `case_digest`), "" where it is not known. `group` is that of the cases which share an answer to one of the prompts,
    by the id of its first case, "" for a case that stands alone. `prompts` is the digest of the component texts under
    which the scores were seen (see `prompts_digest`), `program` that of the code which asked (see `program_digest`).
    """

    components: Mapping[str, int]
    reads: tuple[str, ...] = ()
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    run: str = ""
    scores: tuple[float, ...] = ()
    models: Mapping[str, ModelUsage] = field(default_factory=dict)
    digest: str = ""
    group: str = ""
    prompts: str = ""
    program: str = ""
    is_partial: bool = False
    partly: tuple[str, ...] = ()

    @property
    def touches(self) -> frozenset[str]:
        """The components that the case was seen to use, or to open."""
        return frozenset(self.components) | frozenset(self.reads)

    @property
    def goes_by(self) -> frozenset[str]:
        """The components of which a change may reach the case, as far as is known."""
        return self.touches | frozenset(self.partly)


def case_digest(case: Case) -> str:
    """Names a case by what it does, its source, parameters and basis: its id may belong to another one tomorrow.

    Addresses in the texts of parameters (`<Order object at 0x7f...>`) are of one process only, so they do not count.
    """
    parameters = [(name, _ADDRESS.sub("", text)) for name, text in case.parameters]
    content = json.dumps([case.source, parameters, *filter(None, [case.basis])], ensure_ascii=True)
    return short_digest(content)


NOTHING = case_digest(Case("", ""))
"""The digest of every case without a source, parameters and a basis."""


def still_true(known: Mapping[str, CaseUsage], cases: Iterable[Case]) -> dict[str, CaseUsage]:
    """What is known of those of the cases that are as they were. Of a case that shows nothing of what it does nobody
    can tell.
    """
    return {
        case.id: usage
        for case in cases
        if (usage := known.get(case.id)) is not None
        and usage.digest in ("", case_digest(case))
        and usage.digest != NOTHING
    }


def prompts_digest(texts: Mapping[str, str]) -> str:
    """Names the component texts of a run: under others a case fares otherwise. Every one counts, since which of them
    has a part in a score is known only as far as its calls have shown it.
    """
    content = json.dumps(sorted(texts.items()), ensure_ascii=True)
    return short_digest(content)


def with_scores_under(texts: Mapping[str, str], known: Mapping[str, CaseUsage]) -> dict[str, CaseUsage]:
    """The same with the scores that were seen under these component texts alone; who reads what stays known."""
    digest = prompts_digest(texts)
    return {case: usage if usage.prompts == digest else replace(usage, scores=()) for case, usage in known.items()}


def under_program(program: str, known: Mapping[str, CaseUsage]) -> dict[str, CaseUsage]:
    """The same, where what was seen of another program (or may have been, by `""`) is partial: this one may ask with
    other prompts besides."""
    return {
        case: usage if program and usage.program == program else replace(usage, is_partial=True)
        for case, usage in known.items()
    }


def with_digests(learned: Mapping[str, CaseUsage], cases: Iterable[Case], program: str) -> dict[str, CaseUsage]:
    """The same with the digests of the cases of which it was learned, and of the program."""
    return {
        case.id: replace(learned[case.id], digest=case_digest(case), program=program)
        for case in cases
        if case.id in learned
    }


def usage_of(run: str, texts: Mapping[str, str], rollouts: Iterable[Rollout]) -> dict[str, CaseUsage]:
    """What rollouts under `texts`, component texts by id, have shown, by case id."""
    shown: dict[str, list[Rollout]] = {}
    rollouts = list(rollouts)
    groups = tied_runs(rollouts, texts, by_prompts=True)
    digest = prompts_digest(texts)
    answers = {name: answers_to([name], rollouts) for name in texts}
    whole = {one.case for one in rollouts if one.outcome.is_evidence and not one.may_repeat}
    for rollout in rollouts:
        if rollout.outcome.is_evidence or (rollout.case not in whole and rollout.trajectory.calls):
            shown.setdefault(rollout.case, []).append(rollout)
    known: dict[str, CaseUsage] = {}
    for case, runs in shown.items():
        last = runs[-1]
        calls = last.trajectory.calls
        used = _most([_used(texts, one) for one in runs])
        reads = {name for one in runs for name in one.reads}
        known[case] = CaseUsage(
            components=used,
            reads=tuple(sorted(reads)),
            calls=len(calls),
            input_tokens=sum(call.input_tokens for call in calls),
            output_tokens=sum(call.output_tokens for call in calls),
            seconds=last.seconds,
            run=run,
            scores=tuple(one.score for one in runs if one.score is not None),
            models=_by_model(calls),
            is_partial=case not in whole,
            partly=tuple(sorted(partly_used(texts, answers, *runs).difference(used, reads))),
            group=groups.get(case, ""),
            prompts=digest,
        )
    return known


def _used(texts: Mapping[str, str], rollout: Rollout) -> dict[str, int]:
    """The calls of a rollout that held the text of a component, by component."""
    used: dict[str, int] = {}
    wanted = {name: text for name, text in texts.items() if name in rollout.uses}
    for call in rollout.trajectory.calls:
        for component in components_used(wanted, [call]):
            used[component] = used.get(component, 0) + 1
    return {component: used.get(component, 1) for component in rollout.uses}


def _most(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The highest of several counts for each name: a prompt that is not asked for every time is used all the same."""
    most: dict[str, int] = {}
    for one in counts:
        for name, number in one.items():
            most[name] = max(number, most.get(name, 0))
    return dict(sorted(most.items()))


def _by_model(calls: Iterable[Call]) -> dict[str, ModelUsage]:
    found: dict[str, ModelUsage] = {}
    for call in calls:
        if is_to_model(call):
            tokens = tokens_of(call)
            found[call.model] = found.get(call.model, ModelUsage()) + ModelUsage(1, *tokens)
    return dict(sorted(found.items()))


def load_usage(directory: Path) -> dict[str, CaseUsage]:
    """What earlier runs have learned, from the state directory; nothing from a file that is missing or damaged."""
    try:
        cases = _read(directory)["cases"]
        return {str(case): from_json(CaseUsage, usage) for case, usage in cases.items()}
    except _DAMAGE:
        return {}


def load_reflection(directory: Path) -> ReflectionUsage | None:
    """What the reflections of the last run that had any took; None if that is not known."""
    try:
        return from_json(ReflectionUsage, _read(directory)["reflection"])
    except _DAMAGE:
        return None


def usage_today(directory: Path, cases: Iterable[Case], texts: Mapping[str, str]) -> dict[str, CaseUsage]:
    """What earlier runs have learned that holds today: of cases that are as they were, and scores under `texts`."""
    return with_scores_under(texts, still_true(load_usage(directory), cases))


def _read(directory: Path) -> dict[str, Any]:
    data = json.loads((directory / FILE).read_text(encoding="utf-8"))
    return data if data["version"] == VERSION else {}


def save_usage(directory: Path, learned: Mapping[str, CaseUsage], reflection: ReflectionUsage | None = None) -> None:
    """Add what a run has learned to what is known; cases that it did not run keep what was known of them, and so do
    reflections where it had none. Of a case that is as it was, as are prompts and program, the prompts that it was
    seen to use stay known: a prompt that is asked for now and then is used."""
    before = load_usage(directory)
    # What broke off tells less than what is known of a whole run.
    cases = before | {
        case: _added(before.get(case), usage)
        for case, usage in learned.items()
        if not (usage.is_partial and case in before and not before[case].is_partial)
    }
    reflection = reflection or load_reflection(directory)
    known = {
        "version": VERSION,
        "cases": to_json(dict(sorted(cases.items()))),
        "reflection": to_json(reflection),
    }
    text = json.dumps(known, indent=1)
    # Written aside and moved, so that another session never reads half of it.
    aside = directory / f"{FILE}.{os.getpid()}"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text + "\n")
    os.replace(aside, directory / FILE)


def _added(before: CaseUsage | None, usage: CaseUsage) -> CaseUsage:
    """A usage with the components of an earlier one of the same case, prompts and program."""
    now = (usage.digest, usage.prompts, usage.program)
    if before is None or not all(now) or now != (before.digest, before.prompts, before.program):
        return usage
    if usage.digest == NOTHING:
        return usage
    reads = tuple(sorted({*before.reads, *usage.reads}))
    partly = tuple(sorted({*before.partly, *usage.partly}))
    components = _most([before.components, usage.components])
    return replace(usage, components=components, reads=reads, partly=partly)
