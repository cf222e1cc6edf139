"""The file of a saved baseline, and how cases of today find what was recorded of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.check.baselines import (
    DIGITS,
    Baseline,
    BaselineError,
    RecordedCase,
    baseline_path,
    baseline_text,
    clipped_name,
    read_baseline,
    rounded,
    text_digest,
    write_baseline,
)
from pytest_gepa.check.matching import differences, match
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.usage import NOTHING, case_digest

texts = st.text(max_size=12)
scores = st.dictionaries(st.floats(0, 1).map(rounded), st.integers(1, 50), min_size=1, max_size=4)


@st.composite
def recorded_cases(draw: st.DrawFn) -> RecordedCase:
    found = draw(scores)
    threshold = draw(st.none() | st.floats(0, 1))
    passed = draw(st.integers(0, sum(found.values())))
    return RecordedCase(draw(texts), draw(texts), passed, found, threshold)


baselines = st.builds(
    Baseline,
    saved=texts,
    version=texts,
    models=st.lists(texts, unique=True).map(lambda names: tuple(sorted(names))),
    prompts=st.dictionaries(texts, texts, max_size=3),
    cases=st.dictionaries(texts, recorded_cases(), max_size=4),
)


def recorded(passed: int = 8, trials: int = 8, digest: str = "d", name: str = "test_a.py::test_x") -> RecordedCase:
    found = {1.0: passed, 0.0: trials - passed}
    return RecordedCase(digest, name, passed, {score: number for score, number in found.items() if number})


def baseline(**cases: RecordedCase) -> Baseline:
    return Baseline("2026-01-31", "1.2.3", ("small",), {"prompts/a.md": "0123"}, cases)


# The file


@given(baselines)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, made: Baseline) -> None:
    path = baseline_path(tmp_path_factory.getbasetemp(), "nightly")
    write_baseline(path, made)
    assert read_baseline(path) == made
    assert baseline_text(read_baseline(path)) == path.read_text("ascii")
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_the_file_is_sorted_and_has_a_line_for_each_case() -> None:
    text = baseline_text(baseline(b=recorded(), a=recorded(3)))
    assert text.endswith("}\n")
    assert json.loads(text, object_pairs_hook=in_order)["format"] == 1
    lines = [line for line in text.splitlines() if '"digest"' in line]
    assert [line.split('"')[1] for line in lines] == ["a", "b"]
    assert lines[0].startswith(
        '  "a": {"digest": "d", "name": "test_a.py::test_x", "passed": 3, "scores": {"0": 5, "1": 3}, '
        '"threshold": null, "trials": 8}'
    )


def test_the_threshold_by_which_trials_passed_is_in_the_line_of_its_case() -> None:
    case = recorded()
    lines = baseline_text(baseline(a=case, b=replace(case, threshold=0.8))).splitlines()
    assert [line.partition(', "threshold": ')[2] for line in lines[2:4]] == [
        'null, "trials": 8},',
        '0.8, "trials": 8}',
    ]


def in_order(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert [name for name, _ in pairs] == sorted(name for name, _ in pairs)
    return dict(pairs)


def test_a_case_that_differs_is_one_line_of_a_diff() -> None:
    one, other = (set(baseline_text(baseline(a=recorded(passed), b=recorded())).splitlines()) for passed in (8, 7))
    assert len(one - other) == len(other - one) == 1


def test_a_baseline_of_a_hundred_cases_is_small() -> None:
    cases = {f"tests/test_some.py::test_something[{number}]": recorded() for number in range(100)}
    assert len(baseline_text(baseline(**cases))) < 20_000


def test_names_are_kept_short() -> None:
    assert clipped_name("test_x[one]") == "test_x[one]"
    assert len(clipped_name(f"test_x[{'prompt ' * 1000}]")) == 200


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "has format 2, and this version of pytest-gepa reads format 1; use the version that wrote it"),
        ({"format": "1"}, "is damaged: its format is '1'"),
        ({"cases": []}, "is damaged: "),
        ({"saved": None}, "is damaged: None is no text"),
        ({"models": "small"}, "is damaged: its models are no list"),
        ({"cases": {"a": {}}}, "is damaged: a: scores is missing"),
        ({"cases": {"a": 5}}, "is damaged: a: "),
        ({"cases": {"a": {"scores": {"1": -1}}}}, "is damaged: a: -1 is no number of trials"),
        ({"cases": {"a": {"scores": {"good": 1}}}}, "is damaged: a: could not convert"),
        ({"cases": {"a": {"digest": "d", "passed": 1, "scores": {"2": 1}, "trials": 1}}}, "outside [0, 1]"),
        ({"cases": {"a": {"digest": "d", "passed": 1, "scores": {"nan": 1}, "trials": 1}}}, "outside [0, 1]"),
        ({"cases": {"a": {"digest": "d", "passed": 1, "scores": {"1": 1}, "threshold": 2, "trials": 1}}}, "a: 2 is no"),
        ({"cases": {"a": {"digest": "d", "passed": 2, "scores": {"1": 1}, "trials": 1}}}, "do not agree"),
        ({"cases": {"a": {"digest": "d", "passed": 1, "scores": {"1": 1}, "trials": 3}}}, "do not agree"),
        ({"cases": {"a": {"digest": "d", "passed": 0, "scores": {}, "trials": 0}}}, "do not agree"),
        ({"cases": {"a": {"digest": "d", "passed": 1, "scores": {"1": 10**9}, "trials": 10**9}}}, "do not agree"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_told_with_its_mend(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "nightly.json"
    path.write_text(json.dumps({**json.loads(baseline_text(baseline(a=recorded()))), **change}), "utf-8")
    with pytest.raises(BaselineError, match=re.escape(said)) as error:
        read_baseline(path)
    assert str(path) in str(error.value)
    assert "--gepa-save-baseline nightly" in str(error.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"<<<<<<< HEAD\n{}", b"[" * 100_000, b"{}"])
def test_a_file_that_is_none_of_ours_is_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "nightly.json"
    path.write_bytes(data)
    with pytest.raises(BaselineError, match="take it from git again, or save it again"):
        read_baseline(path)


def test_a_missing_file_is_told_beside_those_that_there_are(tmp_path: Path) -> None:
    write_baseline(baseline_path(tmp_path, "weekly"), baseline(a=recorded()))
    path = baseline_path(tmp_path, "nightly")
    with pytest.raises(BaselineError) as error:
        read_baseline(path)
    assert f"{path} does not exist; there are: weekly. Save one with --gepa-save-baseline nightly" in str(error.value)
    assert "git add -f" in str(error.value)


# What it says of a case


def test_trials_count_as_passed_or_by_their_scores() -> None:
    case = RecordedCase("d", "x", 3, {0.8: 3, 0.2: 1})
    assert case.counted(by_passing=False) == (0.2, 0.8, 0.8, 0.8)
    assert sorted(case.counted(by_passing=True)) == [0.0, 1.0, 1.0, 1.0]
    assert case.mean == pytest.approx(0.65)


@given(st.floats(0, 1))
def test_a_rounded_score_stays_a_score(score: float) -> None:
    assert 0 <= rounded(score) <= 1
    assert abs(rounded(score) - score) <= 10**-DIGITS


# Cases of today


def test_a_case_is_known_by_what_it_does_not_only_by_its_name() -> None:
    found = match(
        baseline(a=recorded(digest="1", name="A"), b=recorded(digest="2")), {"a": "other", "b": "2", "c": "3"}
    )
    assert (list(found.known), found.edited, found.new, found.gone) == (["b"], ("a",), ("c",), ())


def test_rows_that_were_moved_by_a_new_one_are_found_again() -> None:
    then = {f"t.py::test_x[{at}]": recorded(digest=row, name=row) for at, row in enumerate(("red", "green", "blue"))}
    rows = ("red", "new", "green", "blue")
    found = match(baseline(**then), {f"t.py::test_x[{at}]": row for at, row in enumerate(rows)})
    assert {case: case_then.name for case, case_then in found.known.items()} == {
        "t.py::test_x[0]": "red",
        "t.py::test_x[2]": "green",
        "t.py::test_x[3]": "blue",
    }
    assert (found.new, found.edited, found.gone) == (("t.py::test_x[1]",), (), ())


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("1234")),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("1234")),
)
def test_every_case_is_in_one_place(then: dict[str, str], today: dict[str, str]) -> None:
    made = baseline(**{name: recorded(digest=digest, name=name) for name, digest in then.items()})
    found = match(made, today)
    assert sorted([*found.known, *found.new, *found.edited]) == sorted(today)
    used = [case.name for case in found.known.values()]
    assert len(set(used)) == len(used)
    assert not {*used} & {*found.gone}
    assert {*used, *found.gone, *found.edited} == {*then}
    assert all(case.digest == today[name] for name, case in found.known.items())


def test_of_rows_that_do_the_same_each_finds_the_one_with_its_threshold() -> None:
    places = [f"t.py::test_x[{at}]" for at in range(3)]
    then = {
        place: replace(recorded(name=str(threshold)), threshold=threshold)
        for place, threshold in zip(places, (0.5, None, 0.8), strict=True)
    }
    digests = dict.fromkeys(places, "d")
    found = match(baseline(**then), digests, dict(zip(places, (0.8, 0.9, None), strict=True)))
    assert {case: one.name for case, one in found.known.items()} == {places[0]: "0.8", places[2]: "None"}
    assert (found.edited, found.new, found.gone) == ((), (places[1],), ("0.5",))
    assert match(baseline(**then), digests, {}).known == then


def test_an_address_in_a_parameter_makes_no_other_case() -> None:
    one, other = (
        Case("t", "t", "def test(): ...", (("order", f"<Order object at 0x{at:x}>"),)) for at in (0xA0, 0x7F00)
    )
    assert case_digest(one) == case_digest(other)
    assert case_digest(one) != case_digest(replace(one, parameters=(("order", "<Order 2>"),)))


def test_a_case_that_shows_nothing_of_what_it_does_is_compared_with_no_old_trials() -> None:
    made = baseline(**{"a.yaml::polite": recorded(digest=NOTHING)})
    assert match(made, {"a.yaml::polite": NOTHING}).edited == ("a.yaml::polite",)


# Saved again


def test_what_is_saved_again_says_what_is_otherwise() -> None:
    before = baseline(a=recorded(8), b=recorded(8), c=recorded(8))
    after = replace(
        baseline(a=recorded(8), b=recorded(5, digest="e"), d=recorded(8)),
        saved="2026-02-01",
        models=("large", "small"),
        prompts={"prompts/a.md": "4567", "prompts/b.md": "89ab"},
    )
    name = "test_a.py::test_x"
    assert differences(before, after) == [
        "prompt prompts/a.md: another text",
        "prompt prompts/b.md: new",
        "models: small -> large, small",
        f"{name}: 8/8 -> 5/8 (the test is another)",
        f"{name}: new",
        f"{name}: no longer there",
    ]
    assert differences(before, replace(before, saved="2026-02-01")) == []


def test_another_threshold_is_a_difference_of_its_own() -> None:
    known = recorded()
    before, after = baseline(a=known), baseline(a=replace(known, passed=3, threshold=0.8))
    assert differences(before, after) == ["test_a.py::test_x: 8/8 -> 3/8 (score 1.00) (the threshold is another)"]


def test_a_row_that_was_put_in_among_others_makes_one_difference() -> None:
    def table(*rows: str) -> Baseline:
        return baseline(
            **{f"t.py::test_x[{at}]": recorded(digest=row, name=f"test_x[{row}]") for at, row in enumerate(rows)}
        )

    assert differences(table("red", "blue"), table("red", "new", "blue")) == ["test_x[new]: new"]


def test_newlines_of_windows_make_no_other_prompt() -> None:
    assert text_digest("a\r\nb") == text_digest("a\nb") != text_digest("ab")
