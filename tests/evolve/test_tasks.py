from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.tasks import (
    CaseResult,
    Closing,
    Decision,
    Discarded,
    Evaluate,
    Evaluated,
    Reflect,
    Reflected,
    Retried,
    Retrying,
    Stopped,
)

text = st.text(max_size=8)
texts = st.lists(text, max_size=3).map(tuple)
mapping = st.dictionaries(text, text, max_size=3)
candidates = st.builds(
    Candidate, text, mapping, texts, texts, st.sampled_from(["seed", "reflection", "merge"]), text, text
)
results = st.builds(CaseResult, st.none() | st.floats(0, 1), texts, text, st.booleans(), text)
discarded = st.builds(Discarded, text, text, text)
messages = st.one_of(
    st.builds(Evaluate, candidates, texts, text),
    st.builds(
        Reflect,
        text,
        candidates,
        texts,
        texts,
        texts,
        st.lists(discarded, max_size=2).map(tuple),
        st.integers(),
    ),
    st.builds(Evaluated, text, st.dictionaries(text, results, max_size=3)),
    st.builds(Reflected, text, mapping, text, mapping, texts),
    st.builds(Retrying, st.integers(0, 9)),
    st.builds(Retried, st.integers(0, 9), st.integers(0, 9)),
    st.builds(Stopped, text),
    st.builds(Closing, text),
    st.builds(Decision, text, text, text, text, st.lists(st.floats(0, 1), max_size=2).map(tuple)),
)


@given(messages)
def test_every_message_comes_back_from_a_journal(message: Any) -> None:
    assert from_json(type(message), json.loads(json.dumps(to_json(message)))) == message


@pytest.mark.parametrize("kind", [CaseResult, Reflected])
def test_a_record_without_later_fields_can_be_read(kind: type) -> None:
    data = {"score": 0.5} if kind is CaseResult else {"proposal": "p1"}
    assert to_json(from_json(kind, data)).items() >= data.items()
