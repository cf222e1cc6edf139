"""The menus of edits that a reflection model is offered, and which of them it gets, by its own record. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

MenuName = Literal["full", "rule"]
ReplyOutcome = Literal["invalid", "no gain", "gain"]


@dataclass(frozen=True, slots=True)
class Menu:
    """A kind of reply: its name and the JSON schema (strict: all is required, nothing else is allowed)."""

    name: MenuName
    schema: Mapping[str, Any]


def _strict(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_TEXT = {"type": "string"}
FULL = Menu(
    "full",
    _strict(
        {
            "diagnoses": {
                "type": "array",
                "items": _strict({"case": _TEXT, "problem": _TEXT, "cause": _TEXT}),
            },
            "edits": {
                "type": "array",
                "items": _strict(
                    {
                        "kind": {"type": "string", "enum": ["add", "replace", "delete", "rewrite"]},
                        "find": _TEXT,
                        "text": _TEXT,
                    }
                ),
            },
        }
    ),
)
"""Diagnoses and any edits: for models that can write them."""

# Small models do not find the end of a string by themselves now and then.
_SENTENCE = {"type": "string", "maxLength": 300}
RULE = Menu("rule", _strict({"diagnosis": _SENTENCE, "rule": _SENTENCE}))
"""One short rule to add: what a model of half a billion parameters still manages."""

MENUS: Mapping[MenuName, Menu] = {"full": FULL, "rule": RULE}

_WINDOW = 4
_INVALID_AT_MOST = 1
_FRUITLESS_UNDER_FULL = 4
_FRUITLESS_UNDER_RULE = 6


@dataclass(frozen=True, slots=True)
class MenuChoice:
    """Which menu the model gets next, and the record of its replies since the menu last changed.

    A model starts with the full menu. It gets the rule menu when 2 of its last 4 replies were invalid or 4
    valid ones in a row gained nothing, and the full one again after 6 fruitless replies, or when a full
    reply still under way at the change brings a gain.
    """

    current: MenuName = "full"
    recent: tuple[ReplyOutcome, ...] = ()
    fruitless: int = 0

    @property
    def menu(self) -> Menu:
        """The menu to ask with."""
        return MENUS[self.current]

    def record(self, menu: MenuName, outcome: ReplyOutcome) -> MenuChoice:
        """The choice after a reply under `menu`.

        "invalid": rejected before a rollout was spent. "no gain": tried and not accepted, or no prompt of the
        request was held to blame: a model that always says so is of no use either.
        """
        if menu != self.current:
            return MenuChoice("full") if (menu, outcome) == ("full", "gain") else self
        if menu == "rule":
            fruitless = 0 if outcome == "gain" else self.fruitless + 1
            if fruitless >= _FRUITLESS_UNDER_RULE:
                return MenuChoice("full")
            return replace(self, fruitless=fruitless)
        recent = (*self.recent, outcome)[-_WINDOW:]
        # An invalid reply is no evidence for or against what valid ones gain.
        fruitless = {"gain": 0, "no gain": self.fruitless + 1, "invalid": self.fruitless}[outcome]
        if recent.count("invalid") > _INVALID_AT_MOST or fruitless >= _FRUITLESS_UNDER_FULL:
            return MenuChoice("rule")
        return MenuChoice("full", recent, fruitless)
