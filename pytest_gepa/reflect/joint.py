"""Edits of several prompts asked for in one request: for models that can hold them all, who read the evidence once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from pytest_gepa.prompts.edits import EditError
from pytest_gepa.prompts.examples import Example
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.summary import one_line
from pytest_gepa.reflect.masked import Masked
from pytest_gepa.reflect.menu import Menu, full_menu, joint_menu
from pytest_gepa.reflect.model import RawReply
from pytest_gepa.reflect.propose import (
    Asking,
    EvidenceBudget,
    ProposedEdit,
    Reflector,
    ask_until_read,
    proposed,
)
from pytest_gepa.reflect.reader import Read, ReplyReader
from pytest_gepa.reflect.reply import ReplyError, read_object
from pytest_gepa.reflect.request import Asked, build_joint_request, longest_reply
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.trace.redact_lines import HiddenLines


def propose_jointly(
    asked: Sequence[Asked],
    guard: Guard,
    *,
    failing: Sequence[Exhibit],
    neighbours: Sequence[Exhibit],
    components: Mapping[str, str],
    model: Reflector,
    kinds: tuple[str, ...],
    budget: EvidenceBudget,
    attempt: int = 0,
    examples: Sequence[Example] = (),
    redact: Callable[[str], str] = str,
) -> list[ProposedEdit]:
    """Ask for edits of all prompts in `asked`; a proposal for each, in their order.

    The arguments are those of `propose`. The first proposal has what was asked and replied, and what that took. Where
    an edit of one prompt cannot be applied, or is refused, the whole reply goes back to the model once; the edits of
    other prompts stand. Raises `ReflectionError` if not even a first reply comes.
    """
    names = tuple(one.component for one in asked)
    menu = joint_menu(kinds, names, max(map(guard.longest, names)))
    masked = {one.component: Masked.of(one.text, redact) for one in asked}
    readers = {
        one.component: ReplyReader(
            one.component, one.text, masked[one.component], guard, full_menu(kinds), failing, examples
        )
        for one in asked
    }
    build = partial(
        build_joint_request,
        [_shown(one, masked[one.component], redact) for one in asked],
        failing,
        neighbours,
        menu,
        {name: redact(text) for name, text in components.items()},
        attempt=attempt,
    )
    refused: dict[str, list[str]] = {name: [] for name in names}
    found: dict[str, Read] = {}

    def read(raw: RawReply) -> str:
        usable, problems = _read(raw, menu, readers)
        # A second reply need not say again what the first one has edited.
        found.update({name: one for name, one in usable.items() if one.text is not None or name not in found})
        for name, reason in problems.items():
            refused[name].append(reason)
        return "; ".join(f"{name}: {reason}" for name, reason in problems.items())

    longest = longest_reply(one.text for one in asked)
    exchanges, missing = ask_until_read(build, read, model, menu, budget, redact, longest)
    refused[names[0]] += missing
    return [
        _proposal(one, found.get(one.component), refused[one.component], exchanges, failing, at > 0)
        for at, one in enumerate(asked)
    ]


def _shown(one: Asked, masked: Masked, redact: Callable[[str], str]) -> Asked:
    """A prompt as the model may see it."""
    hidden = HiddenLines([one.text], redact)
    discarded = [(hidden.redact(summary), redact(reason)) for summary, reason in one.discarded]
    return replace(one, text=masked.shown, discarded=discarded)


def _read(raw: RawReply, menu: Menu, readers: Mapping[str, ReplyReader]) -> tuple[dict[str, Read], dict[str, str]]:
    """What the reply makes of each prompt, and why its edits of a prompt cannot be used; of the first one, where none
    can be read.
    """
    try:
        parts = _divided(raw, menu, tuple(readers))
    except ReplyError as error:
        return {}, {next(iter(readers)): error.reason}
    found: dict[str, Read] = {}
    problems: dict[str, str] = {}
    for name, part in parts.items():
        try:
            found[name] = readers[name].read(part)
        except (ReplyError, EditError) as error:
            problems[name] = str(error)
    return found, problems


def _divided(raw: RawReply, menu: Menu, names: tuple[str, ...]) -> dict[str, RawReply]:
    """The reply as one for each prompt: all diagnoses, and its own edits. Raises `ReplyError`."""
    data = read_object(raw.text, raw.finish_reason, raw.refusal, menu)
    edits = data.get("edits")
    if not isinstance(edits, list) or not all(isinstance(edit, dict) for edit in edits):
        raise ReplyError('wrong shape: "edits" is missing or no list of objects')
    known = {one_line(name): name for name in names}
    for edit in edits:
        if not isinstance(edit.get("prompt"), str) or edit["prompt"] not in known:
            raise ReplyError(
                f"no such prompt: {one_line(str(edit.get('prompt')), 60)!r}; name one of {', '.join(known)}"
            )
    return {
        name: replace(
            raw,
            text=json.dumps({**data, "edits": [edit for edit in edits if known[edit["prompt"]] == name]}),
        )
        for name in names
    }


def _proposal(
    one: Asked,
    read: Read | None,
    refused: Sequence[str],
    exchanges: Sequence[Asking],
    failing: Sequence[Exhibit],
    is_shared: bool,
) -> ProposedEdit:
    told = Asking((), RawReply(""), refused[-1] if read is None and refused else "", shared=True)
    replies = (told,) if is_shared else exchanges
    return proposed(one.component, one.text, read, refused, replies, failing)
