from __future__ import annotations

from pytest_gepa.evolve.candidate import derive, seed_candidate
from pytest_gepa.evolve.minibatch import Minibatch
from pytest_gepa.evolve.proposal import Part, gate_cases, unite, usable, without_rival_rewrites
from pytest_gepa.evolve.pruning import prunings
from pytest_gepa.evolve.tasks import Reflected

PARENT = seed_candidate({"a": "Intro.\n", "b": "Intro.\n"})


def part(number: int, failing: str, neighbours: str = "", **texts: str) -> Part:
    reply = Reflected(f"p{number}", texts, f"why {number}")
    return Part(f"p{number}", Minibatch(tuple(failing), tuple(neighbours)), ("a", "b"), reply)


def test_a_text_equal_to_the_parents_or_of_another_component_is_of_no_use() -> None:
    reply = Reflected("p1", {"a": "Intro.\n", "b": "New.\n", "z": "?"})
    assert usable(PARENT, reply) == {"b": "New.\n"}
    assert usable(PARENT, None) == {}


def test_the_edits_of_several_reflections_become_one_child() -> None:
    child = unite(PARENT, [part(1, "x", a="Intro.\none\n"), part(2, "y", a="Intro.\ntwo\n", b="B.\n")])
    assert child.texts == {"a": "Intro.\none\ntwo\n", "b": "B.\n"}
    assert (child.proposal, child.diagnosis) == ("p1+p2", "why 1\n\nwhy 2")
    assert child.changed == ("a", "b")


def test_the_gate_holds_an_equal_share_of_each_reflections_cases() -> None:
    parts = [part(1, "abcdef", "xy"), part(2, "ghijkl", "yz")]
    assert gate_cases(parts, 4, 2) == (("a", "b", "g", "h"), ("x", "y"))


def test_a_pruning_takes_an_example_away_with_all_of_its_lines() -> None:
    child = derive(PARENT, {"a": "Intro.\n\nExample input: 7\nExample answer: odd\n\n- mind the date\n"})
    assert {one.texts["a"].strip() for one in prunings(child, PARENT.texts)} == {
        "Intro.\n\n\n- mind the date",
        "Intro.\n\nExample input: 7\nExample answer: odd",
    }


def test_a_pruning_lacks_one_added_line_likely_repetitions_first() -> None:
    text = "Intro.\n- quote the price\n- mind the date\n- mind the date of birth\n"
    child = derive(PARENT, {"a": text})
    lost = [set(text.split("\n")) - set(one.texts["a"].split("\n")) for one in prunings(child, PARENT.texts)]
    assert {"- quote the price"} == lost[-1]
    assert sorted(next(iter(lines)) for lines in lost[:2]) == ["- mind the date", "- mind the date of birth"]
    assert all(one.origin == "pruning" for one in prunings(child, PARENT.texts))


def test_a_pruning_leaves_no_fence_tag_or_heading_behind_nor_takes_one_alone() -> None:
    parent = seed_candidate({"a": "Say:\n```\nyes\n```\n"})
    added = "Or:\n```\nno\n```\n## Dates\n- mind the year\n- mind the day\n<example>\nHello.\n\nBye.\n</example>\n"
    child = derive(parent, {"a": f"{parent.texts['a']}{added}"})
    gone = {
        "Or:\n```\nno\n```\n",
        "- mind the year\n",
        "- mind the day\n",
        "<example>\nHello.\n\nBye.\n</example>\n",
    }
    pruned = [one.texts["a"].replace("\n\n", "\n") for one in prunings(child, parent.texts)]
    assert sorted(pruned) == sorted(child.texts["a"].replace(one, "").replace("\n\n", "\n") for one in gone)


def test_the_seeds_own_lines_are_not_pruned() -> None:
    assert prunings(PARENT, PARENT.texts) == []


def test_of_several_rewrites_of_one_text_only_the_first_is_taken() -> None:
    parent = seed_candidate({"a": "one\ntwo\nthree\n", "b": "one\ntwo\n"})
    first = part(1, "x", a="uno\ndos\ntres\n")
    second = part(2, "y", a="eins\nzwei\ndrei\n", b="one\ntwo\nmore\n")
    adding = part(3, "z", a="one\ntwo\nthree\nfour\n")
    other = part(4, "z", b="eins\nzwei\n")
    kept = without_rival_rewrites(parent, [first, second, adding, other])
    assert kept == [first, adding, other]


def test_a_prompt_of_one_line_is_not_rewritten_by_an_addition() -> None:
    parts = [part(1, "x", a="Intro. One.\n"), part(2, "y", a="Intro. Two.\n")]
    assert without_rival_rewrites(PARENT, parts) == parts
