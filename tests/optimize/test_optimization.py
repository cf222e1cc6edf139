"""What a run is made of: its guard, and the earlier texts with which a search may begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gepa.errors import SettingsError
from pytest_gepa.optimize.optimization import check_ancestor, make_guard
from pytest_gepa.prompts.components import Component
from pytest_gepa.suite.rollout import Case

ROUTE, REPLY = "prompts/route.md", "prompts/reply.md"
COMPONENTS = [
    Component(ROUTE, Path(ROUTE), "Route it.\n"),
    Component(REPLY, Path(REPLY), "Reply.\n<!-- gepa: keep -->\nNever pay.\n<!-- gepa: end -->\n"),
]


def test_what_stands_in_an_earlier_text_is_no_leak() -> None:
    case = Case("t.py::t", "t.py::t", "", (("text", "'The kettle of my old aunt whistles at night'"),))
    before = "Route it.\nFor example: the kettle of my old aunt whistles at night.\n"
    edited = f"{before}Mind the form.\n"
    assert "leak: " in (make_guard(COMPONENTS, [case]).check(ROUTE, before, edited) or "")
    assert make_guard(COMPONENTS, [case], [before]).check(ROUTE, before, edited) is None


@pytest.mark.parametrize("before", ["Reply.\n", "Reply.\n<!-- gepa: keep -->\nNever ask.\n<!-- gepa: end -->\n"])
def test_an_earlier_text_without_what_is_protected_today_is_no_ancestor(before: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{REPLY}: .*--gepa-ancestor.*; name a commit that has them"):
        check_ancestor(COMPONENTS, {ROUTE: "Route.\n", REPLY: before})


def test_one_that_has_it_is_and_so_is_one_that_has_not_this_prompt() -> None:
    kept = COMPONENTS[1].text.replace("Reply.", "Answer.")
    check_ancestor(COMPONENTS, {ROUTE: "Route.\n", REPLY: kept})
    check_ancestor(COMPONENTS, {ROUTE: "Route.\n"})
