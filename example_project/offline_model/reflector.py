"""The simulated reflection model: it finds some of the problems that a request shows, and proposes edits.

It is no oracle. It attends to a few problems at a time, misses some, may state a convention too widely or
learn the wrong lesson, and may lose a line when it writes a prompt anew. All its choices are hashed from the
request's text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from offline_model.conventions import BY_KEY
from offline_model.evidence import Failure, Finding, extraction_is_to_blame, findings
from offline_model.mistakes import MISTAKES
from offline_model.reading import stated, stated_by
from offline_model.request import Request, read_request
from offline_model.statements import Convention, statements

ATTENTION = 3
FOUND = 0.6
CAREFUL, CAREFUL_WHEN_WARNED = 0.25, 0.6
WRONG_LESSON = 0.2
REWRITES, FORGETS = 0.2, 0.2
_PLACE = re.compile(r"^.*\.py:\d+.*$", re.MULTILINE)
_FILLERS = ("Read the whole excerpt before you answer.", "Check the answer once more against the excerpt.")
_WARNINGS = {
    "entity": ("own accounts", "separate financial statements"),
    "restated": ("(2023 restated", "(restated)"),
    "parentheses": ("cost of sales", "expenditure"),
    "scale": ("per share", "per-share"),
    "dates": ("form 10-",),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A convention, the forms in which the cases ask for it, and the names of those cases."""

    key: str
    forms: frozenset[str]
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of the reply: kind "add", "replace", "delete" or "rewrite", as pytest-gepa asks for it."""

    kind: str
    find: str
    text: str


def answer(text: str, schema: dict[str, Any]) -> str:
    """Reply to a reflection request; `schema` holds the properties of the JSON asked for, {} for a text."""
    request = read_request(text)
    edits = _edits(request)
    if "edits" in schema:
        edits = _perhaps_rewritten(request, edits)
        reply = {"diagnoses": _diagnoses(request), "edits": [_as_json(edit) for edit in edits]}
        return json.dumps(reply, ensure_ascii=False)
    if "rule" in schema:
        rule = next((edit.text for edit in edits if edit.kind in ("add", "replace")), "")
        return json.dumps({"diagnosis": _diagnosis_in_short(request), "rule": rule}, ensure_ascii=False)
    return f"{_diagnosis_in_short(request)}\n\n```\n{_rewritten(request, edits)}```\n"


def _as_json(edit: Edit) -> dict[str, str]:
    return {"kind": edit.kind, "find": edit.find, "text": edit.text}


def _chance(request: Request, *about: str) -> float:
    """A number in [0, 1) hashed from the request and from what it decides.

    Where the test files stand is no part of the problem: the same cases get the same answer from any directory.
    """
    text = _PLACE.sub("", request.text)
    digest = blake2b("\x1f".join((text, *about)).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _problems(request: Request) -> list[Problem]:
    """The problems that the failing cases show and the prompt does not deal with, the most frequent first."""
    seen: dict[str, list[tuple[str, str]]] = {}
    for failure in request.failures:
        for finding in findings(failure, request.stage):
            seen.setdefault(finding.key, []).append((finding.form, failure.name))
    forms = stated(request.prompt, request.stage)
    problems = [
        Problem(key, frozenset(form for form, _ in shown), tuple(dict.fromkeys(name for _, name in shown)))
        for key, shown in seen.items()
    ]
    open_ones = [problem for problem in problems if not _is_dealt_with(problem, forms)]
    return sorted(open_ones, key=lambda problem: (-len(problem.cases), _chance(request, "order", problem.key)))


def _is_dealt_with(problem: Problem, forms: dict[str, str]) -> bool:
    current = forms.get(problem.key, "")
    if "wrong" in problem.forms:
        return not current
    return current == "careful" or (current == "plain" and "careful" not in problem.forms)


def _diagnoses(request: Request) -> list[dict[str, str]]:
    return [
        {
            "case": failure.name,
            "problem": _problem_in_words(failure),
            "cause": _cause_in_words(request, failure),
        }
        for failure in request.failures
    ]


def _problem_in_words(failure: Failure) -> str:
    if not failure.wrong:
        return "The request does not show what the check objected to."
    return "; ".join(f"{field} should be {want}, came out as {got}" for field, (want, got) in failure.wrong.items())


def _cause_in_words(request: Request, failure: Failure) -> str:
    if not failure.wrong:
        return "Nothing can be said without the failure."
    found = findings(failure, request.stage)
    if found:
        return " ".join(_in_words(finding) for finding in found)
    if request.stage == "normalise" and extraction_is_to_blame(failure):
        return f'The figure "{failure.figure}" was already the wrong one when it reached this step.'
    return "The fields that differ are not made by this prompt; it is not to blame here."


def _in_words(finding: Finding) -> str:
    convention = BY_KEY[finding.key]
    return convention.overdone if finding.form == "careful" and convention.overdone else convention.gap


def _diagnosis_in_short(request: Request) -> str:
    causes = dict.fromkeys(_cause_in_words(request, failure) for failure in request.failures)
    return " ".join(list(causes)[:ATTENTION]) or "The request shows no failing case."


def _edits(request: Request) -> list[Edit]:
    problems = _problems(request)
    if not problems:
        return []
    attended = problems[:ATTENTION]
    found = [
        problem for problem in attended if _chance(request, "find", problem.key) < 1 - (1 - FOUND) ** len(problem.cases)
    ]
    if not found:
        filler = _FILLERS[int(_chance(request, "filler") * len(_FILLERS))]
        return [Edit("add", "", filler)] if filler not in request.text else []
    edits = _with_a_wrong_lesson(request, found, [_edit(request, problem) for problem in found])
    return [edit for edit in edits if edit.kind == "add" or request.prompt.count(edit.find) == 1]


def _edit(request: Request, problem: Problem) -> Edit:
    convention = BY_KEY[problem.key]
    old = _statement(request, problem.key)
    if "wrong" in problem.forms:
        mend = BY_KEY.get(convention.mended_by)
        if mend and not _statement(request, mend.key):
            return Edit("replace", old, _wording(request, mend, problem))
        return Edit("delete", f"\n- {old}" if f"\n- {old}" in request.prompt else old, "")
    text = _wording(request, convention, problem)
    if old and request.prompt.count(old) == 1:
        return Edit("replace", old, text)
    return Edit("add", "", text)


def _statement(request: Request, key: str) -> str:
    """The statement of the prompt that puts a convention or a mistaken idea; "" if none does."""
    return next((each for each in statements(request.prompt) if key in stated_by(each, request.stage)), "")


def _wording(request: Request, convention: Convention, problem: Problem) -> str:
    """One of the convention's wordings, rather the careful one where the request warns of exceptions."""
    choices = convention.wordings
    if convention.careful_wordings:
        shown = " ".join([*request.neighbours, *(failure.excerpt for failure in request.failures)]).lower()
        warned = any(words in shown for words in _WARNINGS.get(convention.key, ()))
        likely = CAREFUL_WHEN_WARNED if warned else CAREFUL
        all_plain_tried = all(_was_tried(request, text) for text in convention.wordings)
        if "careful" in problem.forms or all_plain_tried or _chance(request, "careful", convention.key) < likely:
            choices = convention.careful_wordings
    fresh = [text for text in choices if not _was_tried(request, text)] or choices
    return fresh[int(_chance(request, "wording", convention.key) * len(fresh))]


def _was_tried(request: Request, text: str) -> bool:
    """Whether the request tells of an edit that began like this one."""
    return text[:60] in request.others


def _with_a_wrong_lesson(request: Request, found: list[Problem], edits: list[Edit]) -> list[Edit]:
    """Now and then, what is learnt from a case is not what it shows."""
    if _chance(request, "lesson") >= WRONG_LESSON:
        return edits
    for index, problem in enumerate(found):
        for mistake in MISTAKES:
            text = mistake.wordings[0]
            if problem.key in mistake.lesson_of and edits[index].kind == "add" and text[:60] not in request.text:
                return [*edits[:index], Edit("add", "", text), *edits[index + 1 :]]
    return edits


def _perhaps_rewritten(request: Request, edits: list[Edit]) -> list[Edit]:
    if len(edits) < 2 or _chance(request, "rewrite") >= REWRITES:
        return edits
    return [Edit("rewrite", "", _rewritten(request, edits))]


def _rewritten(request: Request, edits: list[Edit]) -> str:
    """The whole prompt with the edits in it. A line that was there may get lost."""
    text = request.prompt.rstrip("\n")
    rules = [each for each in statements(request.prompt) if stated_by(each, request.stage)]
    if edits and rules and _chance(request, "forget") < FORGETS:
        lost = rules[int(_chance(request, "forgotten") * len(rules))]
        text = text.replace(f"\n- {lost}", "")
    for edit in edits:
        if edit.kind == "add":
            text = f"{text}\n- {edit.text}"
        elif edit.find in text:
            text = text.replace(edit.find, edit.text, 1)
    return f"{text}\n"
