"""The menus of edits that a reflection model is offered, and which of them it gets, by its own record. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from pytest_gepa.prompts.edits import KINDS

MenuName = Literal["full", "joint", "rule", "example", "program"]
ReplyOutcome = Literal["invalid", "no gain", "gain"]


@dataclass(frozen=True, slots=True)
class Menu:
    """A kind of reply: its name, the JSON schema (strict: all is required, nothing else is allowed; empty for a reply
    that is no JSON), and the kinds of edit that are allowed in a reply, in whatever form it comes.
    """

    name: MenuName
    schema: Mapping[str, Any]
    kinds: tuple[str, ...] = KINDS


def _strict(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


# Small models do not find the end of a string, or of a list, by themselves now and then.
_MOST_ITEMS = 16
_MOST_CHARACTERS = 1_999
"""The longest bound of a text that is asked for: llama.cpp refuses 2,000 in some versions, and is slow above it."""

_CASE = {"type": "string", "maxLength": 300}
_FINDING = {"type": "string", "maxLength": 500}
_SENTENCE = {"type": "string", "maxLength": 300}
_PASSAGE = {"type": "string", "maxLength": 600}


@cache
def full_menu(kinds: tuple[str, ...], most: int | None = None) -> Menu:
    """Diagnoses and any edits of these kinds: for models that can write them.

    A prompt of more than `most` characters would be refused, so no passage of an edit is longer, as far as the server
    can hold the model to that.
    """
    text: dict[str, Any] = {"type": "string"}
    if most is not None and most <= _MOST_CHARACTERS:
        text["maxLength"] = most
    edit = {"kind": {"type": "string", "enum": list(kinds)}, "find": text, "text": text}
    if "example" in kinds:
        edit["case"] = _CASE
    diagnosis = _strict({"case": _CASE, "problem": _FINDING, "cause": _FINDING})
    schema = _strict(
        {
            "diagnoses": {"type": "array", "items": diagnosis, "maxItems": _MOST_ITEMS},
            "edits": {"type": "array", "items": _strict(edit), "maxItems": _MOST_ITEMS},
        }
    )
    return Menu("full", schema, kinds)


@cache
def joint_menu(kinds: tuple[str, ...], prompts: tuple[str, ...], most: int) -> Menu:
    """The full menu for several prompts at once: each edit names the one that it is of."""
    full = full_menu(kinds, most).schema
    edits = full["properties"]["edits"]
    named = {"prompt": {"type": "string", "enum": list(prompts)}, **edits["items"]["properties"]}
    properties = {**full["properties"], "edits": {**edits, "items": _strict(named)}}
    return Menu("joint", _strict(properties), kinds)


FULL = full_menu(KINDS)
"""All kinds of edit."""

_RULE_SCHEMA = _strict({"diagnosis": _SENTENCE, "rule": _SENTENCE})
_EXAMPLE_SCHEMA = _strict({"diagnosis": _SENTENCE, "input": _PASSAGE, "expected": _PASSAGE})


@cache
def shrunken_menus(kinds: tuple[str, ...]) -> tuple[Menu, ...]:
    """The menus for a weak model, in the order in which it gets them, of those that add what is allowed.

    One short rule is what a model of half a billion parameters still manages; one example, a case taken whole, is for
    a model whose rules bring nothing. A whole text that it answers with all the same is taken where that is allowed.
    """
    whole = tuple(kind for kind in kinds if kind == "rewrite")
    menus = (
        Menu("rule", _RULE_SCHEMA, ("add", *whole)),
        Menu("example", _EXAMPLE_SCHEMA, ("example", *whole)),
    )
    return tuple(menu for menu in menus if menu.kinds[0] in kinds)


def choosing_menu(menu: Menu, cases: int) -> Menu:
    """The example menu for cases whose input and answer are known: the model only says which of them it shall be."""
    numbers = [str(number) for number in range(1, cases + 1)]
    case = {"type": "string", "enum": numbers}
    return replace(menu, schema=_strict({"diagnosis": _SENTENCE, "case": case}))


PROGRAM = Menu("program", {}, ("rewrite",))
"""The whole new text in a fence, for code: every model writes it so, and none well inside of a JSON string."""

_WINDOW = 4
_INVALID_AT_MOST = 1
_FRUITLESS_UNDER_FULL = 4
_FRUITLESS_WHEN_ABLE = 12
_FRUITLESS_UNDER: Mapping[MenuName, int] = {"rule": 4, "example": 3}


@dataclass(frozen=True, slots=True)
class MenuChoice:
    """Which menu the model gets next, and the record of its replies since the menu last changed.

    A model starts with the full menu. It gets a shrunken one when 2 of its last 4 replies were invalid or 4
    valid ones in a row gained nothing: rules, after 4 fruitless ones examples, and after 3 fruitless ones of
    these the full menu again; so too when a full reply still under way at the change brings a gain. A model that
    `has_gained` under the full menu has shown that it can use it: then it is 12 fruitless replies that take it away.
    `kinds` are the kinds of edit that are allowed; a menu whose kind is not is passed over.
    """

    current: MenuName = "full"
    recent: tuple[ReplyOutcome, ...] = ()
    fruitless: int = 0
    kinds: tuple[str, ...] = KINDS
    has_gained: bool = False

    @property
    def menu(self) -> Menu:
        """The menu to ask with."""
        shrunken = {menu.name: menu for menu in shrunken_menus(self.kinds)}
        return shrunken.get(self.current) or full_menu(self.kinds)

    def record(self, menu: MenuName, outcome: ReplyOutcome) -> MenuChoice:
        """The choice after a reply under `menu`.

        "invalid": could not be read or applied. "no gain": tried and not accepted, tried before, or refused for what it
        says; or no prompt of the request was held to blame: a model that always says so is of no use either.
        """
        if menu != self.current:
            is_able = (menu, outcome) == ("full", "gain")
            return replace(self._at("full"), has_gained=True) if is_able else self
        if menu != "full":
            fruitless = 0 if outcome == "gain" else self.fruitless + 1
            if fruitless >= _FRUITLESS_UNDER[menu]:
                return self._after(menu)
            return replace(self, fruitless=fruitless)
        recent = (*self.recent, outcome)[-_WINDOW:]
        # An invalid reply is no evidence for or against what valid ones gain.
        fruitless = {"gain": 0, "no gain": self.fruitless + 1, "invalid": self.fruitless}[outcome]
        has_gained = self.has_gained or outcome == "gain"
        most = _FRUITLESS_WHEN_ABLE if has_gained else _FRUITLESS_UNDER_FULL
        if recent.count("invalid") > _INVALID_AT_MOST or fruitless >= most:
            return self._after("full")
        return replace(self, recent=recent, fruitless=fruitless, has_gained=has_gained)

    def _after(self, menu: MenuName) -> MenuChoice:
        order: list[MenuName] = ["full", *(menu.name for menu in shrunken_menus(self.kinds))]
        return self._at(order[(order.index(menu) + 1) % len(order)])

    def _at(self, menu: MenuName) -> MenuChoice:
        return MenuChoice(menu, kinds=self.kinds, has_gained=self.has_gained)
