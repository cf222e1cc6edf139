"""Edits of several prompts asked for in one request: for models that can hold them all, who read the evidence once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pytest_gepa.errors import ReflectionError
from pytest_gepa.prompts.edits import EditError
from pytest_gepa.prompts.examples import Example
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.summary import one_line, summarize
from pytest_gepa.reflect.masked import Masked
from pytest_gepa.reflect.menu import Menu, full_menu, joint_menu
from pytest_gepa.reflect.model import ContextTooLong, RawReply
from pytest_gepa.reflect.propose import (
    Asking,
    EvidenceBudget,
    Proposal,
    Reflector,
    ask_fitting,
)
from pytest_gepa.reflect.reader import ReplyReader, nodeids_of
from pytest_gepa.reflect.reply import Reply, ReplyError, read_object
from pytest_gepa.reflect.request import Asked, ChatMessage, build_joint_request, correction
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.trace.redact_lines import HiddenLines

_TRIES = 2


@dataclass(frozen=True, slots=True)
class _Read:
    """What a reply makes of one prompt."""

    reply: Reply
    text: str | None
    taken: tuple[Example, ...]


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
) -> list[Proposal]:
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
    exchanges: list[Asking] = []
    refused: dict[str, list[str]] = {name: [] for name in names}
    found: dict[str, _Read] = {}
    follow_up: list[ChatMessage] = []
    tokens = budget.tokens
    for _ in range(_TRIES):
        try:
            messages, raw, taken_tokens = ask_fitting(build, follow_up, model, menu, tokens)
        except ReflectionError as error:
            if not exchanges and not isinstance(error, ContextTooLong):
                raise
            kind = "context too long" if isinstance(error, ContextTooLong) else "no reply"
            refused[names[0]].append(f"{kind}: {error}")
            break
        if taken_tokens < tokens:
            tokens = taken_tokens
            budget.lower(tokens)
        read, problems = _read(raw, menu, readers)
        found.update(read)
        for name, reason in problems.items():
            refused[name].append(reason)
        said = "; ".join(f"{name}: {reason}" for name, reason in problems.items())
        exchanges.append(Asking(tuple(messages), raw, said))
        if not problems:
            break
        follow_up = correction(raw.text, redact(said))
    return [
        _proposal(one, found.get(one.component), refused[one.component], exchanges, failing, at > 0)
        for at, one in enumerate(asked)
    ]


def _shown(one: Asked, masked: Masked, redact: Callable[[str], str]) -> Asked:
    """A prompt as the model may see it."""
    hidden = HiddenLines([one.text], redact)
    discarded = [(hidden.redact(summary), redact(reason)) for summary, reason in one.discarded]
    return replace(one, text=masked.shown, discarded=discarded)


def _read(
    raw: RawReply, menu: Menu, readers: Mapping[str, ReplyReader]
) -> tuple[dict[str, _Read], dict[str, str]]:
    """What the reply makes of each prompt, and why its edits of a prompt cannot be used; of the first one, where none
    can be read.
    """
    try:
        parts = _divided(raw, menu, tuple(readers))
    except ReplyError as error:
        return {}, {next(iter(readers)): error.reason}
    found: dict[str, _Read] = {}
    problems: dict[str, str] = {}
    for name, part in parts.items():
        try:
            found[name] = _Read(*readers[name].read(part))
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
    read: _Read | None,
    refused: Sequence[str],
    exchanges: Sequence[Asking],
    failing: Sequence[Exhibit],
    is_shared: bool,
) -> Proposal:
    told = Asking((), RawReply(""), refused[-1] if read is None and refused else "", shared=True)
    replies = (told,) if is_shared else tuple(exchanges)
    if read is None:
        return Proposal(one.component, None, rejections=tuple(refused), replies=replies)
    diagnoses = tuple(
        (nodeid, problem, cause)
        for case, problem, cause in read.reply.case_diagnoses
        for nodeid in nodeids_of(case, failing)
    )
    return Proposal(
        one.component,
        read.text,
        read.reply.diagnosis,
        diagnoses,
        "" if read.text is None else summarize(one.text, read.text),
        tuple(refused),
        replies,
        read.taken,
    )
