"""One proposal: ask for an edit of one prompt, read it, apply it, check it; a rejected one is asked for once more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from pytest_gepa.errors import ReflectionError
from pytest_gepa.own import OwnName
from pytest_gepa.prompts.edits import EditError
from pytest_gepa.prompts.examples import Example, cases_of, still_kept
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.summary import summarize
from pytest_gepa.reflect.evidence import DEFAULT_TOKENS
from pytest_gepa.reflect.fit import estimate_tokens
from pytest_gepa.reflect.masked import Masked
from pytest_gepa.reflect.menu import Menu, choosing_menu, full_menu
from pytest_gepa.reflect.model import ContextTooLong, RawReply
from pytest_gepa.reflect.reader import Read, ReplyReader, nodeids_of
from pytest_gepa.reflect.reply import MOST_EXAMPLE, ReplyError
from pytest_gepa.reflect.request import (
    SHORT_REPLY,
    SHOWN_TO_WEAK,
    ChatMessage,
    Situation,
    Version,
    build_request,
    correction,
    longest_reply,
)
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.trace.redact_lines import HiddenLines

MODEL_FREE = "model-free"
"""The origin of a proposal that the checks of the cases state."""

PLUGIN = "plugin"
"""The origin of a proposal that a plugin has made."""

_TRIES = 2
_HALVINGS = 4


class Reflector(Protocol):
    """What answers requests; see `ReflectionModel`."""

    def ask(self, messages: Sequence[ChatMessage], schema: Mapping[str, Any] | None = None) -> RawReply:
        """One answer to a chat. Raises `ContextTooLong` and `ReflectionError`."""


class EvidenceBudget:
    """How many tokens of evidence a request may hold; lowered to what a model has taken.

    What is learned in a round of reflections holds from the next one on: else what one of them shows would hang on
    which of the others had ended.
    """

    def __init__(self, tokens: int = DEFAULT_TOKENS) -> None:
        self._tokens = tokens
        self._learned = tokens
        self._lock = threading.Lock()

    @property
    def tokens(self) -> int:
        """The budget of this round."""
        return self._tokens

    def lower(self, tokens: int) -> None:
        """Note that more evidence than this was too long for the model, and this was not."""
        with self._lock:
            self._learned = min(self._learned, tokens)

    def begin_round(self) -> None:
        """Let what was noted so far hold."""
        with self._lock:
            self._tokens = self._learned


@dataclass(frozen=True, slots=True)
class Asking:
    """One request and its reply, for the journal; `rejection` is "" for the reply that was taken.

    Of one that was `shared` with another proposal only that it came is told here; it was paid for there.
    """

    request: tuple[ChatMessage, ...]
    reply: RawReply
    rejection: str = ""
    shared: bool = False


@dataclass(frozen=True, slots=True)
class ProposedEdit:
    """What came of asking for an edit.

    `text` is the component's new text, or None if there is no edit. `rejections` says, for each reply that
    was refused, why, in a few fixed words first. `case_diagnoses` holds (nodeid, problem, cause). `summary`
    is the change in a few lines, for people and for later requests. `examples` are the cases that the edit has
    taken whole into the text. `origin` is "model", `MODEL_FREE` or `PLUGIN`. `read` are the failing cases that were
    shown for this component, where they are not all those of the task.
    """

    component: OwnName
    text: str | None
    diagnosis: str = ""
    case_diagnoses: tuple[tuple[str, str, str], ...] = ()
    summary: str = ""
    rejections: tuple[str, ...] = ()
    replies: tuple[Asking, ...] = field(default=(), repr=False)
    examples: tuple[Example, ...] = ()
    origin: OwnName = "model"
    read: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        """Number of replies that were paid for."""
        return sum(not (exchange.shared or exchange.reply.stored) for exchange in self.replies)


def propose(
    component: str,
    parent_text: str,
    guard: Guard,
    *,
    failing: Sequence[Exhibit],
    neighbours: Sequence[Exhibit],
    discarded: Sequence[tuple[str, str]],
    components: Mapping[str, str],
    model: Reflector,
    menu: Menu,
    budget: EvidenceBudget,
    attempt: int = 0,
    examples: Sequence[Example] = (),
    redact: Callable[[str], str] = str,
    other: Version | None = None,
    situation: Situation | None = None,
) -> ProposedEdit:
    """Ask for an edit of `component`, whose text is `parent_text` in the parent.

    `examples` are the cases that the parent's texts have taken whole. `redact` gives a text without its secrets: the
    model sees none of a prompt's, and the edited text has them in their places. The other arguments are those of
    `build_request`. A reply that cannot be read, applied or allowed goes back to the model once, with the reason.
    Raises `ReflectionError` if not even a first reply comes.
    """
    if menu.name == "example":
        menu = _example_menu(menu, guard, failing)
    elif menu.name == "full":
        menu = full_menu(menu.kinds, guard.longest(component))
    masked = Masked.of(parent_text, redact)
    hidden = HiddenLines([parent_text], redact)
    reader = ReplyReader(component, parent_text, masked, guard, menu, failing, examples)
    build = partial(
        build_request,
        component,
        masked.shown,
        failing,
        neighbours,
        [(hidden.redact(summary), redact(reason)) for summary, reason in discarded],
        menu,
        {name: redact(text) for name, text in components.items()},
        attempt=attempt,
        other=None if other is None else Version(*map(redact, other)),
        situation=situation,
    )
    found: list[Read] = []

    def read(raw: RawReply) -> str:
        try:
            found.append(reader.read(raw))
        except (ReplyError, EditError) as error:
            return str(error)
        return ""

    exchanges, missing = ask_until_read(build, read, model, menu, budget, redact, longest_reply([parent_text]))
    rejections = [asking.rejection for asking in exchanges if asking.rejection]
    return proposed(component, parent_text, found[0] if found else None, [*rejections, *missing], exchanges, failing)


def proposed(
    component: str,
    parent_text: str,
    read: Read | None,
    rejections: Sequence[str],
    replies: Sequence[Asking],
    failing: Sequence[Exhibit],
) -> ProposedEdit:
    """The proposal of what was read of the replies, None where that is nothing."""
    if read is None:
        return ProposedEdit(component, None, rejections=tuple(rejections), replies=tuple(replies))
    diagnoses = tuple(
        (nodeid, problem, cause)
        for case, problem, cause in read.reply.case_diagnoses
        for nodeid in nodeids_of(case, failing)
    )
    return ProposedEdit(
        component,
        read.text,
        read.reply.diagnosis,
        diagnoses,
        "" if read.text is None else summarize(parent_text, read.text),
        tuple(rejections),
        tuple(replies),
        read.taken,
    )


def proposal_of_plugin(
    component: str,
    parent_text: str,
    text: str,
    guard: Guard,
    masked: Masked,
    examples: Sequence[Example] = (),
) -> ProposedEdit:
    """What a plugin's text for `component` comes to; it stands before the same guard as a model's edit. `masked` is the
    parent's text, of whose secrets a refusal tells none.
    """
    if text == parent_text:
        return ProposedEdit(component, None, origin=PLUGIN)
    here = [example for example in examples if example.component == component]
    kept = [example for example in examples if example.component != component]
    kept += still_kept(here, {component: text})
    if reason := guard.check(component, parent_text, text, cases_of(kept)):
        return ProposedEdit(component, None, rejections=(masked.without_secrets(reason),), origin=PLUGIN)
    return ProposedEdit(component, text, summary=summarize(parent_text, text), origin=PLUGIN)


def _example_menu(menu: Menu, guard: Guard, failing: Sequence[Exhibit]) -> Menu:
    """Where the input and the answer of every case shown are known, and short, the model need not copy them."""
    pairs = [guard.pair(exhibit.case.id) for exhibit in failing[:SHOWN_TO_WEAK]]
    if all(pair is not None and len("".join(pair)) <= MOST_EXAMPLE for pair in pairs):
        return choosing_menu(menu, len(pairs))
    return menu


def ask_until_read(
    build: Callable[..., list[ChatMessage]],
    read: Callable[[RawReply], str],
    model: Reflector,
    menu: Menu,
    budget: EvidenceBudget,
    redact: Callable[[str], str],
    longest: int,
) -> tuple[list[Asking], list[str]]:
    """Ask, and once more where a reply cannot be used; returns what was asked and replied, and why a reply is missing.

    `read` takes a reply, and says why it cannot be used, "" if it can. One of up to `longest` bytes is quoted whole
    then, where the context holds it. Raises `ReflectionError` if not even a first reply comes.
    """
    exchanges: list[Asking] = []
    follow_ups: list[list[ChatMessage]] = [[]]
    tokens = budget.tokens
    for _ in range(_TRIES):
        try:
            messages, raw, taken_tokens = ask_fitting(build, follow_ups, model, menu, tokens)
        except ContextTooLong as error:
            return exchanges, [f"context too long: {error}"]
        except ReflectionError as error:
            if not exchanges:
                raise
            # What came before was paid for and is kept; if the trouble lasts, the next proposal meets it first.
            return exchanges, [f"no reply: {error}"]
        if taken_tokens < tokens:
            tokens = taken_tokens
            budget.lower(tokens)
        problem = read(raw)
        exchanges.append(Asking(tuple(messages), raw, problem))
        if not problem:
            break
        # A model that has to mend a text must have it before it, unless that is too long for its context.
        forms = [correction(raw.text, redact(problem), most) for most in (longest, SHORT_REPLY)]
        follow_ups = forms[:1] if forms[0] == forms[1] else forms
    return exchanges, []


def ask_fitting(
    build: Callable[..., list[ChatMessage]],
    follow_ups: Sequence[Sequence[ChatMessage]],
    model: Reflector,
    menu: Menu,
    tokens: int,
) -> tuple[list[ChatMessage], RawReply, int]:
    """The messages sent, the reply and the tokens of evidence it was given. While the request does not fit the model's
    context it gets the next of the `follow_ups`, then half as many `tokens` again and again.
    """
    forms = [*follow_ups]
    halvings = 0
    while True:
        messages = [*build(token_budget=tokens), *forms[0]]
        try:
            raw = model.ask(messages, menu.schema or None)
        except ContextTooLong:
            if len(forms) > 1:
                forms.pop(0)
            # If even little evidence is too much, the prompt itself is too long, and others keep their budget.
            elif halvings == _HALVINGS:
                raise
            else:
                # Half of a budget that was not used up would give the same request again.
                tokens = min(tokens, estimate_tokens(messages[1]["content"])) // 2
                halvings += 1
        else:
            return messages, raw, tokens
