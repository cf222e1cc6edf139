"""The request for one edit of one prompt, as chat messages. The wording is in the templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jinja2

from pytest_gepa.prompts.protected import protected_lines, told
from pytest_gepa.prompts.summary import one_line
from pytest_gepa.reflect.evidence import DEFAULT_TOKENS, gather, gather_briefly
from pytest_gepa.reflect.fence import fence
from pytest_gepa.reflect.fit import BYTES_PER_TOKEN, estimate_tokens
from pytest_gepa.reflect.menu import Menu, MenuName
from pytest_gepa.reflect.scrub import scrub
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.trace.cut import byte_length, cut_middle

ChatMessage = dict[str, str]

_RULE_TOKENS = 1_500
"""Most evidence under a shrunken menu: such a model takes in little, and its context may be 4,096 tokens."""

SHOWN_TO_WEAK = 3
"""Failing cases in a request under a shrunken menu."""

_DISCARDED_BYTES: Mapping[MenuName, int] = {"full": 500, "rule": 200, "example": 200, "program": 1_500}
"""Of each discarded edit that is shown. The full menu shows all that the search tells of."""

_SIBLING_BYTES = 1_500
"""Of each other prompt that is shown beside the one to edit."""

_SIBLINGS_SHARE = 0.2
"""Of the evidence's room, for all of them."""

SHORT_REPLY = 6_000
"""Bytes of a rejected reply that are quoted at least."""

_LATEST: Mapping[MenuName, int] = {"rule": 3, "example": 3, "program": 4}
"""So many discarded edits are shown under the other menus."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Where the search stands with a prompt: what it has `changed` in today's text that helped, "" for nothing, and how
    many characters it may have. `passes` and `fails` count the cases that use it, as far as they are known.
    """

    longest: int
    changed: str = ""
    passes: int = 0
    fails: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt that is to be edited: its id, its text, and (summary, reason) of edits of it that were tried."""

    component: str
    text: str
    discarded: Sequence[tuple[str, str]]
    situation: Situation | None = None


class Version(NamedTuple):
    """Another version of a prompt: its text, what it has `changed` in the ancestor of both, and what the prompt itself
    has (`own`).
    """

    text: str
    changed: str
    own: str


def build_request(
    component_id: str,
    text: str,
    failing: Sequence[Exhibit],
    neighbours: Sequence[Exhibit],
    discarded: Sequence[tuple[str, str]],
    menu: Menu,
    components: Mapping[str, str],
    token_budget: int = DEFAULT_TOKENS,
    attempt: int = 0,
    other: Version | None = None,
    situation: Situation | None = None,
) -> list[ChatMessage]:
    """One system and one user message that ask for an edit of the prompt `component_id`, whose text is `text`.

    `discarded` holds (summary, reason) of edits of this text that were tried, oldest first. `components` holds
    every prompt's text under the candidate that was run. `token_budget` bounds the evidence, not the prompt
    itself. `attempt` counts earlier requests that were otherwise the same, so that this one differs from them.
    `other` is another version of the text with which it is to be united, `situation` what the search knows of the
    prompt. The prompt's text is the first fenced block of the user message and stands nowhere else in a block of its
    own.
    """
    known = {**components, component_id: text}
    asked = Asked(component_id, text, discarded, situation)
    tried = [one for one in discarded if menu.name not in ("rule", "example") or _is_addition(one[0])]
    latest = tried[-_LATEST.get(menu.name, len(tried)) :]
    siblings: list[tuple[str, str]] = []
    if menu.name in ("rule", "example"):
        # No neighbours: small models take an answer that passed for the one that is wanted everywhere.
        evidence = gather_briefly(component_id, known, failing[:SHOWN_TO_WEAK], min(token_budget, _RULE_TOKENS))
    else:
        siblings = _siblings(known, [asked], failing, token_budget)
        room = token_budget - estimate_tokens("".join(text for _, text in siblings))
        evidence = gather([component_id], known, failing, neighbours, room)
    values = {
        **_told(asked),
        **_others(known, [asked], siblings),
        "evidence": evidence,
        "discarded": [
            (cut_middle(scrub(summary), _DISCARDED_BYTES[menu.name]), one_line(reason)) for summary, reason in latest
        ],
        "attempt": attempt,
        "version": other,
        "kinds": menu.kinds,
        "chooses": "case" in menu.schema.get("properties", {}),
    }
    return _messages(menu, values)


def build_joint_request(
    asked: Sequence[Asked],
    failing: Sequence[Exhibit],
    neighbours: Sequence[Exhibit],
    menu: Menu,
    components: Mapping[str, str],
    token_budget: int = DEFAULT_TOKENS,
    attempt: int = 0,
) -> list[ChatMessage]:
    """The same for several prompts at once, whose evidence is told once. The prompts are the first fenced blocks."""
    known = {**components, **{one.component: one.text for one in asked}}
    siblings = _siblings(known, asked, failing, token_budget)
    room = token_budget - estimate_tokens("".join(text for _, text in siblings))
    return _messages(
        menu,
        {
            "prompts": [_told(one) for one in asked],
            "situation": asked[0].situation,
            **_others(known, asked, siblings),
            "evidence": gather([one.component for one in asked], known, failing, neighbours, room),
            "discarded": [
                (
                    cut_middle(scrub(summary), _DISCARDED_BYTES["full"]),
                    f"{one_line(one.component)}: {one_line(reason)}",
                )
                for one in asked
                for summary, reason in one.discarded
            ],
            "attempt": attempt,
            "version": None,
            "kinds": menu.kinds,
        },
    )


def _is_addition(summary: str) -> bool:
    """Whether an edit has only added something, as a weak model is asked to."""
    return all(line.startswith(("+ ", "(")) for line in summary.split("\n"))


def _told(asked: Asked) -> dict[str, object]:
    """What is said of a prompt to edit."""
    lines = protected_lines(asked.text)
    return {
        "component": one_line(asked.component),
        "text": asked.text,
        "protected": told(lines) if lines else "",
        "situation": asked.situation,
    }


def _siblings(
    known: Mapping[str, str], asked: Sequence[Asked], failing: Sequence[Exhibit], token_budget: int
) -> list[tuple[str, str]]:
    """Other prompts that the failing cases used, with what a share of the evidence's room holds of their texts."""
    names = {one.component for one in asked}
    used = {name for exhibit in failing for name in exhibit.rollout.uses} - names
    room = int(token_budget * BYTES_PER_TOKEN * _SIBLINGS_SHARE)
    told: list[tuple[str, str]] = []
    for name in sorted(used & known.keys()):
        shown = cut_middle(scrub(known[name]), min(_SIBLING_BYTES, room))
        room -= byte_length(shown)
        if room < 0:
            break
        told.append((one_line(name), shown))
    return told


def _others(known: Mapping[str, str], asked: Sequence[Asked], siblings: Sequence[tuple[str, str]]) -> dict[str, object]:
    shown = {one.component for one in asked}.union(name for name, _ in siblings)
    return {
        "siblings": siblings,
        "others": [one_line(name) for name in sorted(known) if one_line(name) not in shown],
    }


def _messages(menu: Menu, values: Mapping[str, object]) -> list[ChatMessage]:
    return [
        {"role": "system", "content": _render(f"{menu.name}_system.j2", values)},
        {"role": "user", "content": _render(f"{menu.name}_user.j2", values)},
    ]


def longest_reply(texts: Iterable[str]) -> int:
    """How many bytes of a rejected reply are quoted: all of one that gives these prompts anew, as JSON spells them."""
    return max(SHORT_REPLY, 3 * sum(map(byte_length, texts)))


def correction(reply: str, reason: str, most: int = SHORT_REPLY) -> list[ChatMessage]:
    """Two messages that follow a request: the reply that was rejected, and the reason. Of a reply of more than `most`
    bytes the middle is left out, which the model cannot give again then.
    """
    return [
        {"role": "assistant", "content": cut_middle(scrub(reply), most).strip() or "(nothing)"},
        {"role": "user", "content": _render("correction.j2", {"reason": reason})},
    ]


@cache
def _templates() -> jinja2.Environment:
    # Nothing here is HTML. Text that is not ours is a value, never a template, and goes through `fence`.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pytest_gepa.reflect"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["fence"] = fence
    return environment


def _render(name: str, values: Mapping[str, object]) -> str:
    return _templates().get_template(name).render(values).strip("\n")
