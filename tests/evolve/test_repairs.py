from __future__ import annotations

from pytest_gepa.evolve.candidate import derive, seed_candidate
from pytest_gepa.evolve.repairs import Damage, take_back_parts
from pytest_gepa.prompts.examples import Example

BASE = seed_candidate({"a": "Intro.\nkeep\nmiddle\n", "b": "Other.\n"})


def versions(
    text: str, mended: str = "x", broken: str = "y", other: str = "Other.\n", *, is_barred: bool = False
) -> list[dict[str, str]]:
    tip = derive(BASE, {"a": text, "b": other})
    return take_back_parts(Damage(BASE, tip, tuple(mended), tuple(broken), is_barred))


def test_a_repair_may_put_back_as_well_as_take_away() -> None:
    found = versions("Intro.\nmiddle\nadded\n")
    assert [one["a"] for one in found] == ["Intro.\nkeep\nmiddle\nadded\n", "Intro.\nmiddle\n"]


def test_all_that_removed_something_is_put_back_first() -> None:
    found = versions("Start.\nkeep\nmiddle\nadded\n", other="Mine.\n")
    assert found[0] == {"a": "Intro.\nkeep\nmiddle\nadded\n", "b": "Other.\n"}
    assert len(found) == 4


def test_a_change_of_one_hunk_has_no_parts() -> None:
    assert versions("Intro.\nmiddle\n") == []


def test_a_case_broken_among_many_mended_ones_is_left_alone() -> None:
    assert versions("Intro.\nmiddle\nadded\n", mended="stuvw") == []
    assert versions("Intro.\nmiddle\nadded\n", mended="stuv")


def test_a_single_broken_case_that_bars_the_candidate_is_not_left_alone() -> None:
    assert len(versions("Intro.\nmiddle\nadded\n", mended="stuvw", is_barred=True)) == 2


def test_an_example_that_is_a_case_is_taken_back_whole_and_so_is_a_program() -> None:
    example = Example("mine", "a", "My parcel is late.\n\nSend it again.\nGOODS")
    tip = derive(BASE, {"a": f"Intro.\nkeep\nmiddle\n- one\n{example.text}\n"}, taken=(example,))
    found = take_back_parts(Damage(BASE, tip, ("x",), ("y",)))
    assert [one["a"] for one in found] == [
        "Intro.\nkeep\nmiddle\n- one\n",
        f"Intro.\nkeep\nmiddle\n{example.text}\n",
    ]
    program = seed_candidate({"a.py": "a = 1\n"})
    longer = derive(program, {"a.py": "a = 1\nB = 2\n\nC = 3\n"})
    assert take_back_parts(Damage(program, longer, ("x",), ("y",))) == []
