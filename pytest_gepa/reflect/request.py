"""The request for one edit of one prompt, as chat messages. The wording is in the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jinja2

from pytest_gepa.prompts.protected import protected_lines, told
from pytest_gepa.prompts.summary import one_line
from pytest_gepa.reflect.evidence import DEFAULT_TOKENS, Exhibit, gather, gather_briefly
from pytest_gepa.reflect.fence import fence
from pytest_gepa.reflect.menu import Menu, MenuName
from pytest_gepa.reflect.scrub import scrub
from pytest_gepa.trace.cut import cut_middle

ChatMessage = dict[str, str]

_RULE_TOKENS = 1_500
"""Most evidence under a shrunken menu: such a model takes in little, and its context may be 4,096 tokens."""

SHOWN_TO_WEAK = 3
"""Failing cases in a request under a shrunken menu."""

_DISCARDED_BYTES: Mapping[MenuName, int] = {"full": 500, "rule": 200, "example": 200, "program": 1_500}
"""Of each discarded edit that is shown. The full menu shows all that the search tells of."""

_LATEST: Mapping[MenuName, int] = {"rule": 3, "example": 3, "program": 4}
"""So many discarded edits are shown under the other menus."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt that is to be edited: its id, its text, and (summary, reason) of edits of it that were tried."""

    component: str
    text: str
    discarded: Sequence[tuple[str, str]]


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
) -> list[ChatMessage]:
    """One system and one user message that ask for an edit of the prompt `component_id`, whose text is `text`.

    `discarded` holds (summary, reason) of edits of this text that were tried, oldest first. `components` holds
    every prompt's text under the candidate that was run. `token_budget` bounds the evidence, not the prompt
    itself. `attempt` counts earlier requests that were otherwise the same, so that this one differs from them.
    `other` is another version of the text with which it is to be united. The prompt's text is the first fenced
    block of the user message and stands nowhere else in a block of its own.
    """
    known = {**components, component_id: text}
    latest = discarded[-_LATEST.get(menu.name, len(discarded)) :]
    if menu.name in ("rule", "example"):
        # No neighbours: small models take an answer that passed for the one that is wanted everywhere.
        evidence = gather_briefly(
            component_id, known, failing[:SHOWN_TO_WEAK], min(token_budget, _RULE_TOKENS)
        )
    else:
        evidence = gather([component_id], known, failing, neighbours, token_budget)
    values = {
        "component": one_line(component_id),
        "text": text,
        "others": [one_line(name) for name in sorted(known) if name != component_id],
        "evidence": evidence,
        "discarded": [
            (cut_middle(scrub(summary), _DISCARDED_BYTES[menu.name]), one_line(reason))
            for summary, reason in latest
        ],
        "attempt": attempt,
        "version": other,
        "kinds": menu.kinds,
        "chooses": "case" in menu.schema.get("properties", {}),
        "protected": _protected(text),
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
    return _messages(
        menu,
        {
            "prompts": [
                {"component": one_line(one.component), "text": one.text, "protected": _protected(one.text)}
                for one in asked
            ],
            "others": [
                one_line(name) for name in sorted(known) if name not in {one.component for one in asked}
            ],
            "evidence": gather([one.component for one in asked], known, failing, neighbours, token_budget),
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


def _protected(text: str) -> str:
    return told(lines) if (lines := protected_lines(text)) else ""


def _messages(menu: Menu, values: Mapping[str, object]) -> list[ChatMessage]:
    return [
        {"role": "system", "content": _render(f"{menu.name}_system.j2", values)},
        {"role": "user", "content": _render(f"{menu.name}_user.j2", values)},
    ]


def correction(reply: str, reason: str) -> list[ChatMessage]:
    """Two messages that follow a request: the reply that was rejected, in short if it is long, and the reason."""
    return [
        {"role": "assistant", "content": cut_middle(scrub(reply), 6_000).strip() or "(nothing)"},
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
