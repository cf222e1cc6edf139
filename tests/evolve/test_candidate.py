from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.evolve.candidate import (
    Candidate,
    ancestors,
    candidate_id,
    common_ancestor,
    derive,
    seed_candidate,
)


def family(*candidates: Candidate) -> dict[str, Candidate]:
    return {candidate.id: candidate for candidate in candidates}


def test_the_same_texts_are_the_same_candidate_whatever_their_order() -> None:
    assert candidate_id({"a": "1", "b": "2"}) == candidate_id({"b": "2", "a": "1"})
    assert len(candidate_id({})) == 12


def test_text_cannot_move_from_one_component_to_another_unnoticed() -> None:
    assert candidate_id({"a": "1", "b": "2"}) != candidate_id({"a": "2", "b": "1"})
    assert candidate_id({"a": "1,b"}) != candidate_id({"a": "1", "b": ""})


def test_a_known_identity_stays_what_it_is() -> None:
    assert candidate_id({"prompts/a.md": "Sch\u00f6n.\n"}) == "0ace510ef4c1"


def test_a_child_names_the_components_that_differ_from_its_first_parent() -> None:
    parent = seed_candidate({"a": "1", "b": "2"})
    child = derive(parent, {"b": "3", "a": "1"}, proposal="p1")
    assert child.changed == ("b",)
    assert child.parents == (parent.id,)
    assert child.texts == {"a": "1", "b": "3"}


def test_a_child_ignores_texts_of_components_that_its_parent_does_not_have() -> None:
    assert derive(seed_candidate({"a": "1"}), {"z": "9"}).texts == {"a": "1"}


def test_ancestors_are_counted_by_the_shortest_way_up() -> None:
    seed = seed_candidate({"a": "0"})
    left, right = derive(seed, {"a": "1"}), derive(seed, {"a": "2"})
    deep = derive(left, {"a": "3"})
    both = derive(deep, {"a": "4"}, others=(right.id,))
    tree = family(seed, left, right, deep, both)
    assert ancestors(tree, both.id) == {both.id: 0, deep.id: 1, right.id: 1, left.id: 2, seed.id: 2}


def test_the_nearest_common_ancestor_is_found_and_may_be_one_of_the_two() -> None:
    seed = seed_candidate({"a": "0"})
    trunk = derive(seed, {"a": "1"})
    left, right = derive(trunk, {"a": "2"}), derive(trunk, {"a": "3"})
    tree = family(seed, trunk, left, right)
    assert common_ancestor(tree, left.id, right.id) == trunk.id
    assert common_ancestor(tree, left.id, trunk.id) == trunk.id


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_a_candidate_comes_back_from_json(texts: dict[str, str]) -> None:
    child = derive(seed_candidate({"a": "1", **texts}), {"a": "2"}, diagnosis="why", proposal="p1+p2")
    assert from_json(Candidate, to_json(child)) == child
