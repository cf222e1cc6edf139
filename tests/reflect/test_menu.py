from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.codec import to_json
from pytest_gepa.prompts.edits import KINDS
from pytest_gepa.reflect.menu import FULL, Menu, MenuChoice, ReplyOutcome, full_menu
from tests.reflect.exhibits import EXAMPLE, RULE


def after(*outcomes: ReplyOutcome, choice: MenuChoice | None = None) -> MenuChoice:
    """The choice after these replies, each under the menu that was current."""
    choice = choice or MenuChoice()
    for outcome in outcomes:
        choice = choice.record(choice.current, outcome)
    return choice


RULE_CHOICE = after("invalid", "invalid")


def test_a_model_starts_with_the_full_menu() -> None:
    assert MenuChoice().menu is FULL


@pytest.mark.parametrize(
    ("outcomes", "menu"),
    [
        (["invalid"], FULL),
        (["invalid", "invalid"], RULE),
        (["invalid", "gain", "no gain", "invalid"], RULE),
        (["invalid", "gain", "no gain", "gain", "invalid"], FULL),
        (["no gain"] * 3, FULL),
        (["no gain"] * 4, RULE),
        (["no gain", "no gain", "invalid", "no gain", "no gain"], RULE),
        (["no gain"] * 3 + ["gain"] + ["no gain"] * 3, FULL),
    ],
)
def test_the_record_decides(outcomes: list[ReplyOutcome], menu: Menu) -> None:
    assert after(*outcomes).menu is menu


def test_a_model_that_has_gained_under_the_full_menu_is_given_it_longer() -> None:
    able = after("gain")
    assert after(*["no gain"] * 11, choice=able).menu is FULL
    demoted = after(*["no gain"] * 12, choice=able)
    assert demoted.menu is RULE
    assert after("invalid", "invalid", choice=able).menu is RULE
    # It is no other model when the full menu comes again.
    again = after(*["no gain"] * 7, choice=demoted)
    assert after(*["no gain"] * 11, choice=again).menu is FULL


def test_a_gain_under_a_shrunken_menu_says_nothing_of_the_full_one() -> None:
    again = after("gain", *["no gain"] * 7, choice=RULE_CHOICE)
    assert again.menu is FULL
    assert after(*["no gain"] * 4, choice=again).menu is RULE


def test_four_fruitless_rules_make_way_for_examples_and_three_of_these_for_the_full_menu() -> None:
    assert after(*["no gain"] * 3, choice=RULE_CHOICE).menu is RULE
    examples = after(*["no gain", "invalid"] * 2, choice=RULE_CHOICE)
    assert examples.menu is EXAMPLE
    assert after("no gain", "no gain", choice=examples).menu is EXAMPLE
    assert after("no gain", "invalid", "no gain", choice=examples) == MenuChoice()
    assert after(*["no gain"] * 3, "gain", *["no gain"] * 3, choice=RULE_CHOICE).menu is RULE
    assert after("no gain", "no gain", "gain", "no gain", "no gain", choice=examples).menu is EXAMPLE


@pytest.mark.parametrize(
    ("kinds", "menus"),
    [
        (KINDS, ["full", "rule", "example", "full"]),
        (("add", "replace"), ["full", "rule", "full", "rule"]),
        (("example",), ["full", "example", "full", "example"]),
        (("replace", "rewrite"), ["full", "full", "full", "full"]),
    ],
)
def test_a_menu_whose_kind_is_forbidden_is_passed_over(kinds: tuple[str, ...], menus: list[str]) -> None:
    choice = MenuChoice(kinds=kinds)
    seen = [choice.menu.name]
    while len(seen) < len(menus):
        before = choice
        choice = choice.record(choice.current, "no gain")
        if choice.fruitless < before.fruitless:
            seen.append(choice.menu.name)
    assert seen == menus
    assert choice.kinds == kinds


def test_the_schema_names_the_kinds_that_are_allowed() -> None:
    def edit(menu: Menu) -> Any:
        return menu.schema["properties"]["edits"]["items"]["properties"]

    assert edit(FULL)["kind"]["enum"] == list(KINDS)
    assert "case" in edit(FULL)
    narrow = full_menu(("add", "delete"))
    assert edit(narrow)["kind"]["enum"] == ["add", "delete"]
    assert "case" not in edit(narrow)


def test_replies_still_under_way_at_a_change_count_only_if_they_bring_a_gain() -> None:
    assert RULE_CHOICE.record("full", "invalid") == RULE_CHOICE
    assert RULE_CHOICE.record("full", "gain") == MenuChoice(has_gained=True)
    assert MenuChoice().record("rule", "no gain") == MenuChoice()


@given(
    st.lists(st.tuples(st.sampled_from(["full", "rule", "example"]), st.sampled_from(["invalid", "no gain", "gain"])))
)
def test_the_record_survives_json_and_stays_small(replies: list[tuple[Any, Any]]) -> None:
    choice = MenuChoice()
    for menu, outcome in replies:
        choice = choice.record(menu, outcome)
        state = json.loads(json.dumps(to_json(choice)))
        lists = {name: tuple(state[name]) for name in ("recent", "kinds")}
        assert MenuChoice(**{**state, **lists}) == choice
        assert len(choice.recent) <= 4


@pytest.mark.parametrize("menu", [FULL, RULE, EXAMPLE], ids=lambda menu: menu.name)
def test_schemas_are_strict(menu: Menu) -> None:
    def objects(schema: Any) -> list[Any]:
        nested = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
        return [schema, *(found for item in nested for found in objects(item))]

    for schema in objects(menu.schema):
        if schema["type"] == "object":
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])
