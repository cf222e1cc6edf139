"""What a reply makes of a prompt: its edits applied, put before the guard, the cases that it takes as examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pytest_gepa.prompts.edits import ADDITIONS, Edit, apply_edits
from pytest_gepa.prompts.examples import Example, cases_of, still_kept
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.summary import one_line
from pytest_gepa.reflect.masked import Masked
from pytest_gepa.reflect.menu import Menu
from pytest_gepa.reflect.model import RawReply
from pytest_gepa.reflect.reply import EXAMPLE_ANSWER, Reply, ReplyError, example_text, parse_reply
from pytest_gepa.reflect.slips import only_fence
from pytest_gepa.reflect.transcript import Exhibit

_CASE_NUMBER = re.compile(r"(?:failing )?(?:case )?#?(\d{1,4})", re.IGNORECASE)
_BETWEEN = re.compile(r"\s*(?:,|;|&|\band\b)\s*(?:and\b\s*)?")
_RANGE = re.compile(r"(\d{1,4})\s*(?:-|\u2013|\bto\b)\s*(\d{1,4})")


class Read(NamedTuple):
    """What a reply makes of a prompt: the new text (None: no change is wanted), and the cases that it has taken in."""

    reply: Reply
    text: str | None
    taken: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class ReplyReader:
    """Reads replies to one request: applies their edits, and has the guard look at what comes of it."""

    component: str
    parent_text: str
    masked: Masked
    guard: Guard
    menu: Menu
    failing: Sequence[Exhibit]
    examples: Sequence[Example]

    def read(self, raw: RawReply) -> Read:
        """What the reply makes of the prompt. Raises `ReplyError` and `EditError`."""
        shown = self.masked.shown
        reply = parse_reply(raw.text, raw.finish_reason, raw.refusal, self.menu, shown)
        if not reply.edits:
            return Read(reply, None, ())
        reply = replace(reply, edits=tuple(_unfenced(edit, shown) for edit in reply.edits))
        written = [self._written(edit) for edit in reply.edits]
        examples = [self._taken(edit) for edit in written]
        edits = [
            self._escaped(edit, is_raw=edit is not given) for edit, given in zip(written, reply.edits, strict=True)
        ]
        reply = replace(reply, edits=tuple(edits))
        taken = tuple(
            replace(example, text=edit.text)
            for example, edit in zip(examples, reply.edits, strict=True)
            if example is not None
        )
        text = self.masked.restore(apply_edits(shown, reply.edits))
        elsewhere = [example for example in self.examples if example.component != self.component]
        here = [example for example in self.examples if example.component == self.component]
        kept = still_kept([*here, *taken], {self.component: text})
        if reason := self.guard.check(self.component, self.parent_text, text, cases_of([*elsewhere, *kept])):
            raise ReplyError(self.masked.without_secrets(reason))
        return Read(reply, text, taken)

    def _written(self, edit: Edit) -> Edit:
        """The edit, with the text of the case where a model has only chosen one."""
        number = number_of(edit.case, self.failing) if edit.kind == "example" and not edit.text else None
        pair = None if number is None else self.guard.pair(self.failing[number].case.id)
        return edit if pair is None else replace(edit, text=example_text(*pair))

    def _escaped(self, edit: Edit, *, is_raw: bool) -> Edit:
        """The edit as it is written in a file whose text is filled in."""
        is_addition = edit.kind in ADDITIONS
        text = self.guard.escaped(self.component, self.masked.shown, edit.text, is_addition=is_addition, is_raw=is_raw)
        return replace(edit, text=text)

    def _taken(self, edit: Edit) -> Example | None:
        """The case that an edit has taken as an example, None if it has taken none.

        A model that is asked for one example is not asked for the case's number as well. Raises `ReplyError` if there
        is no such case, or it is not whole.
        """
        if not edit.case:
            return self._copied(edit) if self.menu.name == "example" and edit.kind == "example" else None
        number = number_of(edit.case, self.failing)
        if number is None:
            raise ReplyError(
                f"no such case: {one_line(edit.case, 60)!r} is none of the failing cases 1 to {len(self.failing)}; "
                "leave it empty for an invented example"
            )
        case = self.failing[number].case.id
        if reason := self.guard.whole_problem(edit.text, case):
            raise ReplyError(reason)
        return Example(case, self.component, edit.text)

    def _copied(self, edit: Edit) -> Example | None:
        """The case whose input an example holds. Raises `ReplyError` if its answer is not the one that is expected."""
        for exhibit in self.failing:
            case = exhibit.case.id
            if not self.guard.holds_input(edit.text, case):
                continue
            failed = exhibit.rollout.trajectory.answer.strip()
            is_failed = failed and edit.text.rpartition(EXAMPLE_ANSWER)[2].strip() == failed
            if is_failed or self.guard.whole_problem(edit.text, case):
                raise ReplyError(
                    "wrong answer: this is not what the test expects for that input; copy it from the case's failure"
                )
            return Example(case, self.component, edit.text)
        return None


def _unfenced(edit: Edit, parent: str) -> Edit:
    """The edit, without the fence in which a model has written a whole new text because it was shown the old one so."""
    block = only_fence(edit.text) if edit.kind == "rewrite" and only_fence(parent) is None else None
    return edit if block is None or not block.content.strip() else replace(edit, text=block.content)


def nodeids_of(case: str, failing: Sequence[Exhibit]) -> list[str]:
    """The nodeids of the failing cases that the model means, one or several, else the model's own words."""
    number = number_of(case, failing)
    if number is not None:
        return [failing[number].case.nodeid]
    numbers = _numbers(re.sub(r"^\s*(?:failing\s+)?cases?\s+", "", case, flags=re.IGNORECASE))
    if not numbers or not all(1 <= number <= len(failing) for number in numbers):
        return [one_line(case)]
    return [failing[number - 1].case.nodeid for number in dict.fromkeys(numbers)]


def _numbers(words: str) -> list[int]:
    """The numbers of a list such as `1, 3 and 5-7`, [] if it is none."""
    found: list[int] = []
    for word in _BETWEEN.split(words.strip()):
        if span := _RANGE.fullmatch(word):
            found += range(int(span[1]), int(span[2]) + 1)
        elif number := _CASE_NUMBER.fullmatch(word):
            found.append(int(number[1]))
        else:
            return []
    return found


def number_of(case: str, failing: Sequence[Exhibit]) -> int | None:
    """The position of the failing case that the model means by its number or its nodeid, None if that is none."""
    named = next((at for at, exhibit in enumerate(failing) if exhibit.case.nodeid in case), None)
    number = _CASE_NUMBER.fullmatch(case.strip())
    if named is None and number and 1 <= int(number[1]) <= len(failing):
        return int(number[1]) - 1
    return named
