from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.filling import filled_by
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.placeholders import declared
from pytest_gepa.prompts.rendering import MOST_RENDERINGS, Renderer

SUM = "{% for item in items %}- {{ item.name | upper }}: {{ item.price }}\n{% endfor %}Total in {{ currency }}.\n"
BASE = "You are a clerk.\n{% block body %}{% endblock %}"
CHILD = '{% extends "base.j2" %}{% block body %}Hello {{ name }}. {% include "parts/form.j2" %}{% endblock %}'
FORM = "Answer in {{ n }} words."
FAMILY = {"prompts/base.j2": BASE, "prompts/child.j2": CHILD, "prompts/parts/form.j2": FORM}
ITEMS = {"items": [{"name": "pen", "price": 2}], "currency": "EUR"}


def problem(parent: str, text: str, *seen: dict[str, object], component: str = "p/sum.j2") -> str | None:
    renderer = Renderer({component: parent})
    renderer.learn((component, variables) for variables in seen)
    return renderer.problem(component, parent, text, filled_by(parent, declared(component)))


def test_a_template_that_renders_as_before_is_let_through():
    assert problem(SUM, "Read this:\n" + SUM, ITEMS) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SUM.replace("item.price", "item.price / zero"), "undefined"),
        (SUM.replace("upper", "shout"), "shout"),
        (SUM.replace("{% endfor %}", ""), "TemplateSyntaxError"),
        (SUM.replace("item.price", "item.price.amount.value"), "no attribute 'amount'"),
        (SUM.replace("currency", "curency"), "'curency' is undefined"),
        (SUM + "{{ ''.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_one_that_fails_with_what_the_tests_gave_it_is_refused(text, words):
    reason = problem(SUM, text, ITEMS) or ""
    assert reason.startswith("not rendered: ")
    assert words in reason


def test_without_any_rendering_seen_nothing_is_known():
    assert problem(SUM, SUM.replace("currency", "curency")) is None


@pytest.mark.parametrize(
    "parent",
    ["{{ name | of_the_project }} x", "{% include 'elsewhere.j2' %}", "{{ 1 / 0 }}", "{% if %}", "{{ f() }}"],
)
def test_where_the_parent_does_not_render_here_nothing_is_held_against_the_edit(parent):
    assert problem(parent, parent + "{{ nothing.at.all }}", {"name": "x"}) is None


def test_a_parent_that_stands_undefined_names_lets_the_edit_have_them_too():
    parent = "Dear {{ title }} {{ name }}"
    assert problem(parent, parent + " {{ more }}", {"name": "x"}) is None
    assert problem(parent, parent + " {{ more.of.it }}", {"name": "x"})
    assert problem("{{ a.b.c }}", "{{ d.e.f }}", {}) is None


def test_every_different_set_of_variables_is_tried_up_to_a_bound():
    text = "{% if kind == 3 %}{{ 1 / 0 }}{% endif %}{{ kind }}"
    seen = [{"kind": number} for number in range(5)]
    assert problem("{{ kind }}", text, *seen)
    assert problem("{{ kind }}", text, *seen[:3]) is None
    many = [{"kind": 0}] * 500 + [{"kind": 100 + number} for number in range(MOST_RENDERINGS)] + [{"kind": 3}]
    assert problem("{{ kind }}", text, *many) is None


def family() -> Renderer:
    renderer = Renderer(FAMILY)
    renderer.learn([("prompts/child.j2", {"name": "Ann", "n": 3})])
    return renderer


def test_includes_and_parents_are_rendered_through_the_template_that_takes_them_in():
    assert family().problem("prompts/parts/form.j2", FORM, FORM + " Be kind.") is None
    assert "'m' is undefined" in (family().problem("prompts/parts/form.j2", FORM, "Answer in {{ m }} words.") or "")
    assert family().problem("prompts/base.j2", BASE, BASE.replace("{% endblock %}", ""))
    assert family().problem("prompts/child.j2", CHILD, CHILD.replace("base.j2", "bass.j2"))


def test_a_template_that_takes_no_part_in_a_rendering_is_not_judged_by_it():
    renderer = Renderer({**FAMILY, "prompts/other.j2": "{{ x }}"})
    renderer.learn([("prompts/child.j2", {"name": "Ann", "n": 3})])
    assert renderer.problem("prompts/other.j2", "{{ x }}", "{{ y.z }}") is None


def test_of_two_templates_of_a_name_the_nearer_one_is_taken():
    texts = {"a/top.j2": "{% include 'form.j2' %}", "a/form.j2": "{{ n }}", "b/form.j2": "{{ m.x.y.z }}"}
    renderer = Renderer(texts)
    renderer.learn([("a/top.j2", {"n": 1})])
    assert renderer.problem("a/form.j2", "{{ n }}", "{{ n.o.p }}")
    assert renderer.problem("b/form.j2", "{{ m }}", "{{ m.o.p }}") is None


def test_a_template_that_grows_without_bounds_is_not_judged():
    endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}"
    assert problem("{{ n }}", endless, {"n": 1}) is None
    assert problem("{{ n }}", "{{ 'x' * 9000000 }}", {"n": 1}) is None
    assert problem("{{ n }}", "{{ ['x'] * 99999999999999 }}{{ 9 ** 9 ** 9 }}", {"n": 1}) is None
    assert problem("{{ n * 2 }} {{ 'ab' * n }} {{ n ** 2 }}", "{{ n * 2 }}{{ m.o }}", {"n": 3})


@pytest.mark.parametrize(
    ("parent", "text"),
    [
        ("Say {x} and {y}.", "Say {x}."),
        ("Say {x.y} and {z[0]}.", "Well: {x.y}, {z[0]}."),
        ("Say {} to {}.", "To {} say {}."),
        ("Say $x or ${y} for $$5.", "Say $x, $x or ${y}."),
        ("Say %s of %d, 100%%.", "Well, say %s of %d."),
        ("Say %(x)s.", "Say %(x)s: 100%%."),
        ("It is 50 % of $5.", "It is 60 % of $6."),
        ('{"a": 1}', '{"a": 2} {x} $y'),
        ('As {"a": 1}: {x}.', 'As {"a": 20250101}: {x:>80}.'),
        ("Say {x!r:>8}.", "Well, say {x!r:>8}."),
        ("Say %-20s.", "Well, say %-20s: 100%% (of 20000)."),
    ],
)
def test_simpler_templates_that_can_still_be_filled_in_are_let_through(parent, text):
    assert problem(parent, text, component="p.md") is None


@pytest.mark.parametrize(
    ("parent", "text", "words"),
    [
        ("Say {x}.", "Say {x}. {", "str.format"),
        ("Say {x}.", "Say {x} {y}.", "str.format"),
        ("Say $x.", "Say $x for $5.", "string.Template"),
        ("Say $x.", "Say $x and $y.", "string.Template"),
        ("Say %s.", "Say %s, 100 %.", "printf"),
        ("Say %s.", "Say %s and %s.", "printf"),
        ("Say %(x)s.", "Say %(y)s.", "printf"),
        ("Say {x}.", "Say {x:>9999999999}.", "too large"),
        ("Say {x}.", "Say {x!r:>9999999999}.", "too large"),
        ("Say {x}.", "Say {x!a:.^10001}.", "too large"),
        ("Say {x}.", "Say {x.__doc__:9999999999}.", "too large"),
        ("Say {x}.", "Say {x}." + "{x.__doc__:10000}" * 201, "too large"),
        ("Say %s.", "Say %9999999999s.", "too large"),
        ("Say %s.", "Say %-20000s.", "too large"),
        ("Say %.2f.", "Say %.9999999999f.", "too large"),
        ("Say %(x)s.", "Say %(x) 9999999999s.", "too large"),
        ("Say %(x)s.", "Say 100%%%(x)#0.99999d.", "too large"),
        ("Say %s.", "Say %s." + "%10000s" * 201, "too large"),
    ],
)
def test_simpler_templates_that_can_no_longer_be_filled_in_are_refused(parent, text, words):
    reason = problem(parent, text, component="p.md") or ""
    assert reason.startswith("not rendered: ")
    assert words in reason


def test_the_guard_asks_the_renderer_with_what_it_has_learnt():
    guard = Guard({"p/sum.md": "Sum up for $name."})
    assert (guard.check("p/sum.md", "Sum up for $name.", "Sum up for $name, in $5 words.") or "").startswith(
        "not rendered"
    )
    guard = Guard(FAMILY)
    broken = CHILD.replace("Hello ", "Hello, {# dear #}")
    assert guard.check("prompts/child.j2", CHILD, broken)
    assert guard.check("prompts/child.j2", CHILD, CHILD.replace("Hello", "Good day")) is None
    guard.learn({}, [("prompts/child.j2", {"name": "Ann", "n": 3, "day": str(date(2020, 1, 1))})])
    assert guard.check("prompts/child.j2", CHILD, CHILD.replace("Hello", "Good day")) is None


PIECES = st.lists(
    st.sampled_from(
        [
            "{{ a }}",
            "{{ b.c }}",
            "{% if a %}",
            "{% endif %}",
            "{a}",
            "$a",
            "%s",
            "{",
            "}",
            "%",
            "$",
            "x",
            "\n",
        ]
    ),
    max_size=8,
).map("".join)


@given(PIECES, PIECES, st.sampled_from(["p.md", "p.j2"]))
def test_any_texts_can_be_tried_and_a_text_is_never_refused_beside_itself(parent, text, component):
    seen = {"a": 1, "b": {"c": "x"}}
    assert problem(parent, parent, seen, component=component) is None
    reason = problem(parent, text, seen, component=component)
    assert reason is None or reason.startswith("not rendered: ")


@given(PIECES, st.text("abc ,.", min_size=1))
def test_plain_words_around_a_template_never_break_it(parent, words):
    assert problem(parent, f"{words}\n{parent}\n{words}\n", {"a": 1}, component="p.md") is None


def test_what_a_conversion_asks_for_is_not_made():
    """Were it, the guard would ask for ten gigabytes: a stand-in takes any width, its `repr` is filled up."""
    assert problem("Say {x}.", "Say {x!r:9999999999} or {x!s:9999999999}.", component="p.md") is None


def test_a_parent_that_is_too_wide_itself_is_not_tried():
    assert problem("Say %20000s.", "Say %(x)s.", component="p.md") is None
