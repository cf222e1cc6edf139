"""Reading a reflection model's reply, strictly: what is not plainly an edit is rejected, never guessed at.

Whether an edit can be applied, and may be, is not decided here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from pytest_gepa.cut import cut
from pytest_gepa.errors import GepaError
from pytest_gepa.prompts.edits import KINDS, Edit
from pytest_gepa.reflect.fence import Fence, UnclosedFenceError, find_fences
from pytest_gepa.reflect.menu import Menu
from pytest_gepa.reflect.slips import (
    is_diff,
    leaves_parts_out,
    with_whole_commands,
    without_trailing_commas,
)
from pytest_gepa.reflect.thoughts import OBJECT, UnclosedThoughtError, behind_thoughts, without_thoughts

_MOST_RULE = 600
MOST_EXAMPLE = 1_500
"""Characters of an example's input and answer together, in the menu for weak models."""

_MOST_DIAGNOSIS = 2_000
EXAMPLE_ANSWER = "Example answer:"
"""Stands before the answer in an example of the example menu."""

_NO_CASE = re.compile(r"(?:none|null|n/?a|invented|new|0|-)?\W{0,2}", re.IGNORECASE)


class ReplyError(GepaError):
    """A reply that cannot be used; `reason` opens with a few fixed words, and tells the model what to mend."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model found and wants changed.

    `case_diagnoses` holds (case, problem, cause) with the case as the model named it. No edits mean that the
    model does not hold this prompt to blame.
    """

    diagnosis: str
    case_diagnoses: tuple[tuple[str, str, str], ...]
    edits: tuple[Edit, ...]


def parse_reply(text: str, finish_reason: str, refusal: str, menu: Menu, parent: str = "") -> Reply:
    """Read a whole reply. Raises `ReplyError` on refused, truncated, empty, ambiguous and malformed ones.

    Understood are the menu's JSON, bare or in the only fence, and the whole new text in the only fence,
    which is an edit of kind "rewrite". Closed thoughts (`<think>...</think>`) are dropped. `parent` is the text to
    edit: what it says itself of a rest that stays leaves no part of it out.
    """
    text = _said(text, finish_reason, refusal)
    for behind in behind_thoughts(text):
        with suppress(ReplyError):
            return _parsed(behind, menu, parent)
    return _parsed(_answer(text), menu, parent)


def read_object(text: str, finish_reason: str, refusal: str, menu: Menu) -> dict[str, Any]:
    """The JSON object of a whole reply, as it is. Raises `ReplyError` as `parse_reply`, and where there is none."""
    text = _said(text, finish_reason, refusal)
    for behind in behind_thoughts(text):
        if data := _complete_object_of(behind, menu):
            return data
    data = _object_of(_answer(text), menu)
    if data is None:
        raise ReplyError("no JSON: answer with the JSON object alone")
    return data


def _said(text: str, finish_reason: str, refusal: str) -> str:
    """What a reply says, thoughts and all."""
    if refusal.strip():
        raise ReplyError(f"refused: {' '.join(refusal.split())[:200]}")
    if finish_reason == "content_filter":
        raise ReplyError("refused: the server's content filter stopped the reply")
    if finish_reason == "length":
        raise ReplyError("truncated: the reply was cut off at the token limit; be shorter")
    _refuse_broken_characters(text)
    return text.replace("\r\n", "\n").strip()


def _answer(text: str) -> str:
    """What a reply says, without closed thoughts."""
    if not text.startswith("{"):
        try:
            text = without_thoughts(text).strip()
        except UnclosedThoughtError:
            raise ReplyError("unclosed <think>: the reply ends before the answer") from None
    if not text:
        raise ReplyError("empty reply")
    return text


def _parsed(text: str, menu: Menu, parent: str) -> Reply:
    data = _object_of(text, menu)
    return _from_fence(text, menu, parent) if data is None else _from_json(data, menu, parent)


def _complete_object_of(text: str, menu: Menu) -> dict[str, Any] | None:
    """The one object with all keys of the menu's JSON, None where there is none such."""
    text = with_whole_commands(text)
    forms = dict.fromkeys((text, without_trailing_commas(text)))
    return next((data for form in forms if menu.schema and (data := _only_reply_in(form, menu))), None)


def _object_of(text: str, menu: Menu) -> dict[str, Any] | None:
    if data := _complete_object_of(text, menu):
        return data
    return _json_object(text) if text.startswith("{") and menu.schema else None


def _only_reply_in(text: str, menu: Menu) -> dict[str, Any] | None:
    """The one object with all keys of the menu's JSON that begins on a line of its own, whatever stands around it:
    a sentence, fences with quotations, tags. None where there is none, or more than one.
    """
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=_unique)
    found: list[dict[str, Any]] = []
    end = 0
    for start in OBJECT.finditer(text):
        if start.end() - 1 < end:
            continue  # inside of the object before
        try:
            data, end = decoder.raw_decode(text, start.end() - 1)
        except (ValueError, RecursionError, ReplyError):
            continue
        if isinstance(data, dict) and set(menu.schema["required"]) <= set(data) and data not in found:
            found.append(data)
    return found[0] if len(found) == 1 else None


def _broken_object(text: str) -> str:
    """Why the first thing that looks like an object of JSON with text in it cannot be read, "" if nothing does."""
    for start in OBJECT.finditer(text):
        try:
            json.JSONDecoder(strict=False).raw_decode(text, start.end() - 1)
        except ValueError as error:
            if re.match(r'\{\s*"', text[start.end() - 1 :]):
                return f"malformed JSON: {error}"
        except RecursionError:
            return "malformed JSON: nested too deep"
    return ""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ReplyError("malformed JSON: a key stands twice in one object")
    return dict(pairs)


def _from_fence(text: str, menu: Menu, parent: str) -> Reply:
    try:
        fences = find_fences(text)
    except UnclosedFenceError:
        raise ReplyError("unclosed fence: the reply ends inside it") from None
    if not menu.schema and not fences:
        raise ReplyError("no fence: write the whole new text in one fence")
    if len(fences) != 1 and menu.schema and (problem := _broken_object(text)):
        raise ReplyError(problem)
    if not fences:
        raise ReplyError("no JSON and no single fence: answer with the JSON object alone")
    if len(fences) > 1:
        raise ReplyError(f"several fences: there are {len(fences)}, and it is not clear which of them is the edit")
    block = fences[0]
    if not block.content.strip():
        raise ReplyError("empty fence")
    if data := _json_in(block, menu):
        return _from_json(data, menu, parent)
    _refuse_partial_text(block.content, parent, block.info, is_code=not menu.schema)
    _refuse_kind("rewrite", menu)
    around = f"{text[: block.start]}\n{text[block.end :]}"
    return Reply(_shortened(around), (), (Edit("rewrite", "", block.content.removesuffix("\n")),))


def _json_in(block: Fence, menu: Menu) -> dict[str, Any] | None:
    """The object in a fence that holds the menu's JSON, None if it holds a text."""
    content = block.content.strip()
    if not menu.schema:
        return None
    # A prompt may be JSON itself: without the info string, only an object of the menu's own keys is a reply.
    if block.info.lower() in ("json", "jsonc", "json5"):
        return _json_object(content)
    if not content.startswith("{"):
        return None
    try:
        data = _json_object(content)
    except ReplyError:
        return None
    return data if set(menu.schema["required"]) <= set(data) else None


def _refuse_partial_text(text: str, parent: str, info: str = "", *, is_code: bool = False) -> None:
    if is_diff(text, info):
        raise ReplyError("a diff instead of the text: use the edits of the JSON form")
    if leaves_parts_out(text, parent, is_code=is_code):
        raise ReplyError("parts of the text left out: use the edits of the JSON form, or write all of it")


def _json_object(text: str) -> dict[str, Any]:
    try:
        data = json.loads(without_trailing_commas(with_whole_commands(text)), strict=False, object_pairs_hook=_unique)
    except ValueError as error:
        raise ReplyError(f"malformed JSON: {error}") from None
    except RecursionError:
        raise ReplyError("malformed JSON: nested too deep") from None
    if not isinstance(data, dict):
        _wrong_shape("an object is wanted")
    return data


def _from_json(data: dict[str, Any], menu: Menu, parent: str) -> Reply:
    if menu.name == "full":
        return _full_reply(data, menu, parent)
    if menu.name == "rule":
        return _rule_reply(data)
    return _choice_reply(data) if "case" in menu.schema["properties"] else _example_reply(data)


def _rule_reply(data: dict[str, Any]) -> Reply:
    diagnosis, rule = _string(data, "diagnosis"), _string(data, "rule").strip()
    if len(rule) > _MOST_RULE:
        raise ReplyError(f"rule too long: {len(rule)} characters; one short sentence is wanted")
    edits = (Edit("add", "", rule),) if rule else ()
    return Reply(_shortened(diagnosis), (), edits)


def _choice_reply(data: dict[str, Any]) -> Reply:
    """A case, whose input and answer make the example: the text is not the model's to write."""
    diagnosis, case = _string(data, "diagnosis"), _string(data, "case").strip()
    edits = () if _NO_CASE.fullmatch(case) else (Edit("example", "", "", case),)
    return Reply(_shortened(diagnosis), (), edits)


def example_text(given: str, answer: str) -> str:
    """An example of an input and its answer, on a line each where they have one line."""
    return "\n".join(
        f"{label}{chr(10) if chr(10) in text else ' '}{text}"
        for label, text in (("Example input:", given), (EXAMPLE_ANSWER, answer))
    )


def _example_reply(data: dict[str, Any]) -> Reply:
    """Input and answer. Both empty mean that there is nothing to add."""
    diagnosis = _string(data, "diagnosis")
    given, answer = _string(data, "input").strip("\n "), _string(data, "expected").strip("\n ")
    if not given and not answer:
        return Reply(_shortened(diagnosis), (), ())
    if not given or not answer:
        _wrong_shape('an example has an "input" and an "expected" answer')
    if len(given) + len(answer) > MOST_EXAMPLE:
        raise ReplyError(f"example too long: {len(given) + len(answer)} characters; a short one is wanted")
    return Reply(_shortened(diagnosis), (), (Edit("example", "", example_text(given, answer)),))


def _full_reply(data: dict[str, Any], menu: Menu, parent: str) -> Reply:
    cases = tuple(
        (_named(item, "case"), _string(item, "problem"), _string(item, "cause")) for item in _objects(data, "diagnoses")
    )
    edits = tuple(_edit(item, menu, parent) for item in _objects(data, "edits"))
    # Cases that share a cause often have it word for word.
    sentences = dict.fromkeys(f"{problem.strip()} {cause.strip()}".strip() for _, problem, cause in cases)
    return Reply(_shortened("\n".join(filter(None, sentences))), cases, edits)


def _edit(item: dict[str, Any], menu: Menu, parent: str) -> Edit:
    kind = _string(item, "kind")
    if kind not in KINDS:
        _wrong_shape(f'"kind" is {kind[:40]!r}, not one of {", ".join(menu.kinds)}')
    _refuse_kind(kind, menu)
    # What an edit of a kind has no use for is left out by some, and null with others.
    find = _string(item, "find") if _given(item, "find") or kind in ("replace", "delete", "section") else ""
    text = _string(item, "text") if _given(item, "text") or kind != "delete" else ""
    if kind in ("rewrite", "section"):
        _refuse_partial_text(text, parent)
    # Models fill the field in for other kinds too, where it says nothing.
    case = _named(item, "case").strip() if kind == "example" and _given(item, "case") else ""
    return Edit(kind, find, text, "" if _NO_CASE.fullmatch(case) else case)


def _refuse_kind(kind: str, menu: Menu) -> None:
    if kind not in menu.kinds:
        what = "a whole new text" if kind == "rewrite" else f"an edit of kind {kind}"
        raise ReplyError(f"kind not allowed: {what} is not wanted here; allowed are {', '.join(menu.kinds)}")


def _string(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str):
        _wrong_shape(f'"{key}" is missing or no string')
    _refuse_broken_characters(value)
    return value


def _given(data: dict[str, Any], key: str) -> bool:
    return data.get(key) is not None


def _named(data: dict[str, Any], key: str) -> str:
    """Which cases are meant, as a text; models also give their numbers as numbers, or a list of them."""
    value = data.get(key)
    several = value if isinstance(value, list) else [value]
    if all(isinstance(one, (str, int)) for one in several):
        return _string({key: ", ".join(map(str, several))}, key)
    return _string(data, key)


def _objects(data: dict[str, Any], key: str) -> Sequence[dict[str, Any]]:
    value = data.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        _wrong_shape(f'"{key}" is missing or no list of objects')
    return value


def _refuse_broken_characters(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ReplyError("broken characters: half of a surrogate pair") from None


def _wrong_shape(detail: str) -> NoReturn:
    raise ReplyError(f"wrong shape: {detail}")


def _shortened(text: str) -> str:
    return cut(text.strip(), _MOST_DIAGNOSIS)
