"""A check for GitHub, GitLab, JUnit, and its JSON form."""

from __future__ import annotations

import json
import re
import typing
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.report.check_formats import annotation_lines, code_quality, junit_properties
from pytest_gepa.report.check_result import TIERS, CaseCheck, CheckResult, SavedBaseline, Side
from pytest_gepa.report.result import Spent, Trouble
from pytest_gepa.run.base_prompts import PromptChange
from tests.report.checks import TONE, case, change, regressed, result, side
from tests.report.test_check_markdown import hostile_result

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/check.schema.json").read_text(encoding="utf-8"))


def read_command(text: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as the runner reads it."""
    found = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", text)
    assert found, text
    level, properties, message = found.groups()

    def plain(value: str) -> str:
        for code, sign in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
            value = value.replace(code, sign)
        return value

    pairs = (pair.split("=", 1) for pair in properties.split(","))
    return level, {name: plain(value) for name, value in pairs}, plain(message)


def test_annotations_mark_the_changed_lines_of_prompts():
    error, warning = (read_command(line) for line in annotation_lines(result()))
    assert error[:2] == (
        "error",
        {
            "file": "prompts/route.md",
            "line": "4",
            "endLine": "4",
            "title": "gepa: 1 case regressed under the change of prompts/route.md",
        },
    )
    assert error[2].startswith(
        "test_route[damaged, money back] passed 8/8 before, 0/8 today (p = 0.0013)\nbefore: REFUND\ntoday: REPLACE\n"
    )
    assert "'REPLACE' == 'REFUND'" in error[2]
    assert warning[0] == "warning"
    assert warning[2].startswith("test_route[invoice in Spanish] passed 8/8 before, 5/8 today")


def test_the_first_of_several_places_is_marked_and_all_are_told():
    _, place, message = read_command(annotation_lines(result(changes=(change(lines=(9, 3, 4, 5)),)))[0])
    assert (place["line"], place["endLine"]) == ("3", "5")
    assert message.endswith("\nchanged: lines 3 to 5 and 9")


def test_lines_that_were_only_taken_away_are_marked_at_the_top():
    _, place, _ = read_command(annotation_lines(result(changes=(change(lines=()),)))[0])
    assert (place["line"], place["endLine"]) == ("1", "1")


def test_a_prompt_has_one_annotation_for_all_of_its_cases():
    cases = tuple(regressed(f"test_{number}") for number in range(8))
    (line,) = annotation_lines(result(cases=cases))
    _, place, message = read_command(line)
    assert place["title"].startswith("gepa: 8 cases regressed")
    assert "\nand 3 more\n" in message


def test_prompts_that_no_worse_case_uses_are_not_annotated():
    unused = change(component=TONE, path="app/prompts.yaml")
    assert len(annotation_lines(result(changes=(unused, change())))) == 2
    assert annotation_lines(result(cases=(case("a", "stable", side(1, 1), side(1, 1)),))) == []


def test_no_more_annotations_than_github_shows():
    changes = tuple(change(component=f"{number}.md") for number in range(30))
    cases = (replace(regressed(), components=tuple(one.component for one in changes)),)
    assert len(annotation_lines(result(changes=changes, cases=cases))) == 10


def test_foreign_text_issues_no_command():
    text = "100%\r\n::error::x, a:b\n::set-env name=A::b\x1b[2J"
    for line in annotation_lines(hostile_result(text)):
        assert "\n" not in line
        assert "\r" not in line
        _, place, message = read_command(line)
        assert set(place) == {"file", "line", "endLine", "title"}
        assert "100%\\x0d\n::error::x, a:b" in message
        assert "\x1b" not in message


def test_code_quality_has_what_gitlab_asks_for():
    worse, suspect = code_quality(result())
    assert worse == {
        "description": "regressed: test_route[damaged, money back] passed 8/8 before, 0/8 today (p = 0.0013), "
        "with the change of prompts/route.md",
        "check_name": "gepa-regressed",
        "fingerprint": worse["fingerprint"],
        "severity": "major",
        "location": {"path": "prompts/route.md", "lines": {"begin": 4}},
    }
    assert (suspect["check_name"], suspect["severity"]) == ("gepa-suspect", "minor")


def test_a_fingerprint_is_the_same_in_the_next_run_and_another_for_another_finding():
    def prints(**changes: object) -> list[str]:
        return [finding["fingerprint"] for finding in code_quality(result(**changes))]

    moved = change(lines=(70, 71), diff="other")
    again = tuple(
        replace(one, today=replace(one.today, trials=12), p_value=0.01, base=replace(one.base, answer="new"))
        for one in result().cases
    )
    assert prints() == prints(run="2026-02-01-7", changes=(moved,), cases=again)
    assert len({*prints(), *prints(cases=(regressed("other"),))}) == 3
    both = change(component=TONE, path="app/prompts.yaml")
    two = prints(changes=(change(), both), cases=(replace(regressed(), components=("prompts/route.md", TONE)),))
    assert len(set(two)) == 2


def test_nothing_worse_gives_an_empty_report():
    assert code_quality(result(cases=())) == []


def test_properties_of_a_case():
    assert junit_properties(regressed()) == [
        ("gepa_tier", "regressed"),
        ("gepa_base_passed", "8"),
        ("gepa_base_trials", "8"),
        ("gepa_base_score", "1"),
        ("gepa_today_passed", "0"),
        ("gepa_today_trials", "8"),
        ("gepa_today_score", "0"),
        ("gepa_p_value", "0.0013"),
        ("gepa_components", "prompts/route.md"),
    ]
    without = dict(junit_properties(case("a", "trouble", side(2, 2), side(0, 0))))
    assert "gepa_today_score" not in without
    assert without["gepa_today_trials"] == "0"


def test_properties_are_text_that_xml_can_hold():
    for one in hostile_result().cases:
        element = ElementTree.Element("property")
        for name, value in junit_properties(one):
            element.set(name, value)
        ElementTree.fromstring(ElementTree.tostring(element))


# The schema


def problems(value: Any, schema: dict[str, Any], at: str = "$") -> list[str]:
    """Where a value is not as the schema says; of JSON schema's words those that ours uses."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    assert set(schema) <= {
        "$defs", "$id", "$schema", "additionalProperties", "description", "enum", "items", "maxItems", "maximum",
        "minItems", "minimum", "pattern", "properties", "required", "title", "type",
    }  # fmt: skip
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "null": type(None),
    }
    names = schema.get("type", list(kinds))
    names = [names] if isinstance(names, str) else names
    if isinstance(value, bool):
        fits = "boolean" in names
    else:
        fits = any(name in kinds and isinstance(value, kinds[name]) for name in names)
    found = [] if fits else [f"{at}: {value!r} is no {names}"]
    found += [f"{at}: {value!r} is not listed"] if value not in schema.get("enum", [value]) else []
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{at}: {value!r} has another form")
    if isinstance(value, (int, float)) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{at}: {value} is out of bounds")
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            found.append(f"{at}: {len(value)} items")
        found += [line for n, item in enumerate(value) for line in problems(item, schema["items"], f"{at}[{n}]")]
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        found += [f"{at}: {name} is missing" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            found += problems(item, known.get(name, others), f"{at}.{name}")
    return found


@pytest.mark.parametrize(
    "made",
    [
        result(),
        hostile_result(),
        result(gate="score:0.02", simulated=True, problems=("x",)),
        result(
            changes=(change(state="renamed", before="old.md", lines=()),),
            spent=Spent(cap=2.0, usd_at_most=0.1),
        ),
        CheckResult("2026-01-31-1", "nothing changed", "no prompt differs", "3f2c1ab", ""),
    ],
)
def test_results_are_as_the_schema_says_and_can_be_read_back(made: CheckResult):
    data = json.loads(json.dumps(to_json(made)))
    assert problems(data, SCHEMA) == []
    assert from_json(CheckResult, data) == made


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("verdict", "fine"), ("failed", "yes"), ("effect", 2), ("interval", [0.1]), ("cases", {}), ("untouched", -1),
        ("gate", "always"), ("models", {"task": "one"}),
    ],
)  # fmt: skip
def test_the_schema_notices_what_is_wrong(field: str, value: object):
    assert problems({**to_json(result()), field: value}, SCHEMA) != []
    assert problems({name: item for name, item in to_json(result()).items() if name != field}, SCHEMA) != []


@pytest.mark.parametrize("kind", [CheckResult, PromptChange, CaseCheck, SavedBaseline, Side, Spent, Trouble])
def test_the_schema_has_every_field(kind: type):
    described = SCHEMA if kind is CheckResult else SCHEMA["$defs"][kind.__name__]
    names = [field.name for field in fields(kind)]
    assert list(described["properties"]) == names
    assert described["required"] == names
    hints = typing.get_type_hints(kind)
    for name, told in described["properties"].items():
        inner = [hint for hint in (hints[name], *typing.get_args(hints[name])) if is_dataclass(hint)]
        refs = re.findall(r"#/\$defs/(\w+)", json.dumps(told))
        assert refs == [hint.__name__ for hint in inner], name


def test_the_schema_knows_every_tier():
    assert SCHEMA["$defs"]["CaseCheck"]["properties"]["tier"]["enum"] == [*TIERS, "trouble"]
