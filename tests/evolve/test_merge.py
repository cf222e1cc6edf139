from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_gepa.evolve.candidate import derive, seed_candidate
from pytest_gepa.evolve.merge import loses_wording, merge_all, merge_components, merge_text
from pytest_gepa.evolve.pruning import prunings

lines = st.lists(st.sampled_from(["", "a", "b", "c", "d", "e e", "f"]), max_size=7)
texts = st.builds(lambda body, end: "\n".join(body) + end, lines, st.sampled_from(["", "\n"]))

BASE = "Intro.\n- one\n- two\n"


def test_the_additions_of_both_sides_are_kept() -> None:
    merged = merge_text(BASE, BASE + "- three\n", BASE + "- four\n")
    assert merged == BASE + "- three\n- four\n"


def test_a_line_that_both_added_is_kept_once() -> None:
    assert merge_text(BASE, BASE + "- x\n- y\n", "- x\n" + BASE) == BASE + "- x\n- y\n"


EXAMPLE = "\nExample input: {}\nExample answer: {}\n"


def test_an_example_keeps_all_of_its_lines_whatever_lines_others_share_with_it() -> None:
    first, second = EXAMPLE.format("The towel is wet.", "neutral"), EXAMPLE.format("I like it.", "neutral")
    assert merge_text("Intro\n", f"Intro\n{first}", f"Intro\n{second}") == f"Intro\n{first}{second}"
    assert merge_text("Intro\n", f"Intro\n{first}", f"Intro\n{second}{first}") == f"Intro\n{first}{second}"
    alike = EXAMPLE.format("The towel with seven yellow flowers costs money.", "neutral")
    longer = EXAMPLE.format("The towel with seven yellow flowers costs money and time.", "positive")
    assert merge_all("Intro\n", [f"Intro\n{alike}", f"Intro\n{longer}"]) == f"Intro\n{alike}{longer}"


def test_the_deletions_of_both_sides_are_honoured() -> None:
    assert merge_text(BASE, "Intro.\n- two\n", "Intro.\n- one\n") == "Intro.\n"


def test_a_line_that_one_side_deleted_and_the_other_changed_is_the_preferred_sides() -> None:
    deleted, changed = "Intro.\n- two\n", "Intro.\n- one, and well\n- two\n"
    assert merge_text(BASE, changed, deleted) == changed
    assert merge_text(BASE, deleted, changed) == deleted


def test_where_both_changed_a_line_the_preferred_wording_stands_and_other_changes_are_kept() -> None:
    ours, theirs = "Intro.\n- ONE\n- two\n", "Welcome.\n- 1\n- two\n- three\n"
    assert merge_text(BASE, ours, theirs) == "Intro.\n- ONE\n- two\n- three\n"


def test_wording_is_lost_where_the_other_side_rewrote_what_the_preferred_side_changed() -> None:
    ours = "Intro.\n- ONE\n- two\n"
    assert loses_wording(BASE, ours, "Intro.\n- 1\n- two\n")
    assert loses_wording(BASE, "Intro.\n- two\n", ours)  # deleted here, rewritten there
    assert not loses_wording(BASE, ours, ours + "- three\n")  # the same wording
    assert not loses_wording(BASE, ours, "Intro.\n- two\n")
    assert not loses_wording(BASE, ours, "Welcome.\n- one\n- two\n- three\n")
    assert not loses_wording(BASE, ours, BASE)


def test_changes_of_different_lines_are_both_kept() -> None:
    ours, theirs = "Intro.\n- one\n- TWO\n", "Welcome.\n- one\n- two\n"
    assert merge_text(BASE, ours, theirs) == "Welcome.\n- one\n- TWO\n"


def test_a_lost_newline_at_the_end_does_not_make_additions_collide() -> None:
    assert merge_text("a\n", "a\nb", "a\nc") == "a\nb\nc"


def test_components_are_united_one_by_one() -> None:
    base = {"a": "1\n", "b": "2\n"}
    assert merge_components(base, {"a": "1\nx\n", "b": "2\n"}, {"a": "1\n", "b": "3\n"}) == {
        "a": "1\nx\n",
        "b": "3\n",
    }


def test_of_lines_by_different_hands_that_say_the_same_the_longer_is_kept() -> None:
    short = "- Address customers formally, with their title.\n"
    long = "- Address customers formally, with their title, for business accounts only.\n"
    assert merge_all(BASE, [BASE + short, BASE + long]) == BASE + long
    assert merge_all(BASE, [BASE + long, BASE + short]) == BASE + long


def test_rules_of_one_form_for_different_labels_are_both_kept() -> None:
    refunds = "- If the ticket mentions a refund, answer `billing`.\n"
    deliveries = "- If the ticket mentions a delivery, answer `shipping`.\n"
    unsure = "- If the ticket is unclear, answer no.\n"
    certain = "- If the ticket is unclear, answer yes.\n"
    for one, other in ((refunds, deliveries), (unsure, certain)):
        assert merge_all(BASE, [BASE + one, BASE + other]) == BASE + one + other


def test_lines_by_one_hand_are_left_alone_however_alike() -> None:
    rows = BASE + "| country Germany | code |\n| country Norway | code |\n"
    assert merge_all(BASE, [rows, BASE + "- Something else entirely.\n"]) == rows + "- Something else entirely.\n"


def test_nothing_to_unite_leaves_the_text() -> None:
    assert merge_all(BASE, []) == BASE


@given(texts, texts)
def test_a_side_that_changed_nothing_gives_way(base: str, side: str) -> None:
    assert merge_text(base, side, base) == side
    assert merge_text(base, base, side) == side


@given(texts, texts)
def test_two_equal_sides_are_one(base: str, side: str) -> None:
    assert merge_text(base, side, side) == side


@given(texts, texts, texts)
def test_every_line_of_the_union_comes_from_one_of_the_three(base: str, one: str, other: str) -> None:
    known = {*base.split("\n"), *one.split("\n"), *other.split("\n")}
    merged = merge_text(base, one, other)
    assert not merged or set(merged.split("\n")) <= known


@given(st.lists(st.sampled_from("abcdef"), unique=True, max_size=6), st.data())
def test_pure_additions_and_pure_deletions_never_collide(base: list[str], data: st.DataObject) -> None:
    """Lines that differ from each other, so that it is plain which was added and which deleted."""
    assume(base)
    gone = data.draw(st.sets(st.sampled_from(base)))
    place = data.draw(st.integers(0, len(base)))
    shorter = [line for line in base if line not in gone]
    longer = [*base[:place], "new 1", "new 2", *base[place:]]
    merged = merge_text("\n".join(base) + "\n", "\n".join(shorter) + "\n", "\n".join(longer) + "\n").split("\n")
    assert [line for line in merged if line in base] == shorter
    assert merged[merged.index("new 1") + 1] == "new 2"


@given(texts)
def test_what_each_side_adds_at_its_own_end_is_in_the_union(base: str) -> None:
    merged = merge_text(base, "mine\n" + base, base.removesuffix("\n") + "\nyours\n")
    assert {"mine", "yours"} <= set(merged.split("\n"))
    assert [line for line in merged.split("\n") if line in base.split("\n") and line] == [
        line for line in base.split("\n") if line
    ]


def in_tags(given: str) -> str:
    return f"<example>\nInput: {given}\nOutput: billing\n</example>\n"


def test_an_example_in_tags_keeps_all_of_its_lines() -> None:
    one, other = in_tags("My card was charged twice."), in_tags("I was charged for nothing.")
    assert merge_text("Intro\n", f"Intro\n{one}", f"Intro\n{other}") == f"Intro\n{one}{other}"
    assert merge_text("Intro\n", f"Intro\n{one}", f"Intro\n{other}{one}") == f"Intro\n{one}{other}"


def test_tags_and_headings_stay_around_what_is_left_of_the_other_side() -> None:
    def rules(*names: str) -> str:
        return "Intro\n<rules>\n" + "".join(f"- {name}\n" for name in names) + "</rules>\n"

    merged = merge_text("Intro\n", rules("one", "two"), rules("two", "three", "four"))
    assert merged == rules("one", "two") + rules("three", "four").removeprefix("Intro\n")
    assert merge_text("Intro\n", rules("one", "two"), rules("two", "one")) == rules("one", "two")
    dates, names = "## Dates\n\n- {}\n", "## Names\n\n- {}\n"
    merged = merge_text("Intro\n", f"Intro\n{dates.format('a')}{names.format('b')}", "Intro\n## Dates\n- c\n")
    assert merged == f"Intro\n{dates.format('a')}{names.format('b')}## Dates\n- c\n"


def test_what_both_put_under_one_heading_stands_under_it_once() -> None:
    ours, theirs = "Intro\n## Dates\n- a\n", "Intro\n## Dates\n- b\n## Names\n- c\n"
    assert merge_text("Intro\n", ours, theirs) == "Intro\n## Dates\n- a\n- b\n## Names\n- c\n"


def test_items_that_both_add_to_a_numbered_list_follow_one_another() -> None:
    assert merge_text("1. x\n", "1. x\n2. a\n", "1. x\n2. b\n") == "1. x\n2. a\n3. b\n"
    assert merge_text("1. x\n", "1. x\n2. a\n", "1. x\n2. b\n3. c\n") == "1. x\n2. a\n3. b\n4. c\n"
    assert merge_text("1. x\n", "1. x\n- a\n", "1. x\n2. b\n") == "1. x\n- a\n2. b\n"
    added = [f"1. x\n2. {rule}\n" for rule in ("a", "b", "c")]
    assert merge_all("1. x\n", added) == "1. x\n2. a\n3. b\n4. c\n"


def test_an_item_that_both_sides_added_under_another_number_is_kept_once() -> None:
    ours, theirs = "1. a\n2. b\n3. Be nice.\n4. Be brief.\n", "1. a\n2. b\n3. Be brief.\n"
    assert merge_text("1. a\n2. b\n", ours, theirs) == ours


def test_numbers_in_a_fence_are_no_items() -> None:
    ours, theirs = "1. a\n2. b\n```\n10. foo\n```\n", "1. a\n2. b\n3. Be brief.\n"
    assert merge_text("1. a\n2. b\n", ours, theirs) == f"{ours}3. Be brief.\n"


def test_a_heading_goes_with_the_last_rule_under_it() -> None:
    politely = "Be always polite to every customer"
    one, other = (
        f"Route.\n\n## Tone\n- {politely}\n",
        f"Route.\n\n## Manners\n- {politely}, whatever they write\n",
    )
    merged = merge_all("Route.\n", [one, other])
    assert [line for line in merged.split("\n") if line] == other.replace("\n\n", "\n").split("\n")[:-1]
    seed = seed_candidate({"a": "Route.\n"})
    (pruned,) = prunings(derive(seed, {"a": one}), seed.texts)
    assert pruned.texts["a"].strip() == "Route."
