from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.suite.job import Job, PromptFile, encode_line
from pytest_gepa.suite.rollout import Case, Outcome, Rollout

# Lone surrogates are what an answer that was cut in the middle of an emoji holds.
texts = st.text(st.characters(codec=None))


@dataclass(frozen=True, slots=True)
class Inner:
    name: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Outer:
    pair: tuple[int, str]
    many: tuple[Inner, ...]
    table: Mapping[str, Inner]
    maybe: Inner | None = None
    number: float | None = None
    anything: tuple[dict[str, object], ...] = ()


PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    float: st.floats(allow_nan=False),
    float | None: st.none() | st.floats(allow_nan=False),
    tuple[dict[str, object], ...]: st.lists(st.dictionaries(texts, texts | st.integers()), max_size=2).map(tuple),
}


def records(kind: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: PLAIN[hint] for name, hint in hints.items() if hint in PLAIN})


@pytest.mark.parametrize("kind", [Case, Rollout, Job, Outer])
@given(data=st.data())
@settings(max_examples=30)
def test_a_record_survives_the_way_through_json(kind: type, data: st.DataObject) -> None:
    record = data.draw(records(kind))

    assert from_json(kind, json.loads(json.dumps(to_json(record)))) == record


@given(records(Job))
@settings(max_examples=30)
def test_a_job_is_one_line_of_ascii(job: Job) -> None:
    line = encode_line(to_json(job))

    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert from_json(Job, json.loads(line)) == job


@given(st.binary(), texts)
def test_a_prompt_file_keeps_its_bytes(content: bytes, text: str) -> None:
    assert PromptFile.of("/path", {"id": text}, content).content == content


@given(st.dictionaries(st.sampled_from(["a", "later", "id_of_another_version"]), texts))
def test_unknown_keys_are_ignored_and_missing_ones_take_their_default(more: dict[str, str]) -> None:
    assert from_json(Case, {"id": "a", "nodeid": "b", **more}) == Case("a", "b")


@pytest.mark.parametrize(
    ("kind", "data"),
    [(Case, {}), (Inner, {"name": "a", "outcome": "no such"}), (Outer, {"pair": [1, "a", 2]}), (Inner, None)],
)
def test_data_of_another_shape_is_refused(kind: type, data: Any) -> None:
    with pytest.raises((TypeError, ValueError, KeyError)):
        from_json(kind, data)
