from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.errors import GepaError
from pytest_gepa.prompts.edits import ADDITIONS, KINDS, Edit, EditError, apply_edits
from pytest_gepa.prompts.input_place import addition_place

LINES = st.lists(
    st.sampled_from(["", "- a", "- b", "1. one", "para", "  deep", "---", "{x}", "Ünï", "end."]) | st.text(max_size=5),
    max_size=8,
)
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n", "\n\n"]))


@pytest.mark.parametrize(
    ("text", "added", "expected"),
    [
        ("a\n", "b", "a\nb\n"),
        ("a", "b", "a\nb"),
        ("a\n\n\n", "b", "a\nb\n\n\n"),
        ("", "b", "b\n"),
        ("a\n", "\nb\n\n", "a\nb\n"),
        ("a\n", "b\nc", "a\nb\nc\n"),
        ("Rules:\n- x\n", "y", "Rules:\n- x\n- y\n"),
        ("Rules:\n- x\n\n", "y", "Rules:\n- x\n- y\n\n"),
        ("  * x", "y", "  * x\n  * y"),
        ("- x\n", "- y", "- x\n- y\n"),
        ("- x\n", "* y", "- x\n* y\n"),
        ("- x\n", "y\nz", "- x\ny\nz\n"),
        ("1. x\n9) y\n", "z", "1. x\n9) y\n10) z\n"),
        ("- x\n---\n", "y", "- x\n---\ny\n"),
        ("- - -\n", "y", "- - -\ny\n"),
        ("**Note** x\n", "y", "**Note** x\ny\n"),
        ("-5 degrees\n", "y", "-5 degrees\ny\n"),
        ("  - x\n", "- y\n- z", "  - x\n  - y\n  - z\n"),
        ("Input: a\nOutput: b\n", "Be brief.", "Input: a\nOutput: b\n\nBe brief.\n"),
        ("Input: a\nb\n**Output:** c\n", "y", "Input: a\nb\n**Output:** c\n\ny\n"),
        ("Example:\nInput: a\nOutput: b\n", "y", "Example:\nInput: a\nOutput: b\n\ny\n"),
        ("## Example\nQ: a\nA: b\n", "y", "## Example\nQ: a\nA: b\n\ny\n"),
        ("Example:\nInput: a\nb\n", "y", "Example:\nInput: a\nb\ny\n"),
        ("Input: a\nOutput: b\n", "Input: c\nOutput: d", "Input: a\nOutput: b\n\nInput: c\nOutput: d\n"),
        ("billing: a\nsales: b\n", "refunds: c", "billing: a\nsales: b\nrefunds: c\n"),
        ("Output: b\n", "y", "Output: b\ny\n"),
        ("See\nhttps://a.b\n", "y", "See\nhttps://a.b\ny\n"),
    ],
)
def test_an_addition_goes_to_the_end(text, added, expected):
    assert apply_edits(text, [Edit("add", "", added)]) == expected


@pytest.mark.parametrize(
    ("text", "find", "added", "expected"),
    [
        ("a\nb\n", "a", "x", "a\nx\nb\n"),
        ("one a two\nb", "a", "x", "one a two\nx\nb"),
        ("a\nb", "b", "x", "a\nb\nx"),
        ("a\nb\nc\n", "a\nb\n", "x", "a\nb\nx\nc\n"),
        ("- a a\n- b\n", "a", "x", "- a a\n- x\n- b\n"),
        ("- a:\n  - b\n  - c\n- d\n", "b", "- x", "- a:\n  - b\n  - x\n  - c\n- d\n"),
        ("- a:\n  - b\n  - c\n", "b", "- x\n- y", "- a:\n  - b\n  - x\n  - y\n  - c\n"),
        ("1. a\n   1) b\n", "b", "- x", "1. a\n   1) b\n   - x\n"),
    ],
)
def test_an_addition_goes_after_the_line_that_holds_the_passage(text, find, added, expected):
    assert apply_edits(text, [Edit("add", find, added)]) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Never pay unless\nthe customer asks. Be kind.", ""),
        ("Never pay unless the\ncustomer who wrote to\nus asks.", "\nThe end."),
        ("Never pay without a word.", "the end"),
        ("Never pay unless", "The customer asks."),
        ("Never pay unless", "\nthe customer asks."),
        ("# Never pay us", "the customer asks."),
        ("Never pay anyone", "answer: no"),
        ("Never pay anyone", "  code"),
        ("Never pay", "billing\nsales"),
        ("Never pay one of these", "billing\nfault\nsales"),
        ("Never pay one of these", "billing fault\nsales"),
        ("Never pay unless he\nasks.", "sales"),
        ("never pay any money", "be kind to all"),
    ],
)
def test_an_addition_parts_no_sentence_that_is_wrapped(before, after):
    text = "\n".join(filter(None, (before, after, "")))
    new = text.replace(before, f"{before}\nX.")
    assert apply_edits(text, [Edit("add", "ever pay", "X.")]) == new
    item = f"- {before}\n- Last.\n"
    assert apply_edits(item, [Edit("add", "ever pay", "X.")]) == f"- {before}\n- X.\n- Last.\n"


@pytest.mark.parametrize(
    "text",
    [
        "Never pay the one unless\nthe other who wrote asks.\n" * 1000,
        "Never pay the customer\n" + "unless the one who wrote\n" * 2000,
        "- Never pay the customer\n" + "  unless the one who wrote\n" * 2000,
    ],
)
def test_a_passage_on_thousands_of_lines_is_soon_refused(text):
    start = time.process_time()
    with pytest.raises(EditError, match=r"occurs on 200[01] lines"):
        apply_edits(text, [Edit("add", "the", "x")])
    assert time.process_time() - start < 0.5


def test_blanks_amid_a_wrapped_line_cost_nothing():
    text = f"Never{' ' * 10_000} pay the customer\nunless he asks it.\n"
    start = time.process_time()
    assert apply_edits(text, [Edit("add", "Never", "x")]) == f"{text}x\n"
    assert time.process_time() - start < 0.5


def test_a_passage_on_several_lines_of_one_sentence_names_it():
    text = "Never pay the one unless\nthe other who wrote asks.\nBe brief.\n"
    assert apply_edits(text, [Edit("add", "the", "x")]) == text.replace("asks.\n", "asks.\nx\n")


def test_additions_behind_the_same_item_are_numbered_on():
    text = "1. a\n2. b\n3. c\n"
    for one, other in (("x", "y"), ("3. x", "3. y"), ("3. x", "4. y")):
        made = apply_edits(text, [Edit("add", "2. b", one), Edit("add", "2. b", other)])
        assert made == "1. a\n2. b\n3. x\n4. y\n3. c\n"


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        (["3. x\n4. y", "z"], "3. x\n4. y\n5. z"),
        (["z", "3. x\n4. y"], "3. z\n4. x\n5. y"),
        (["3. x\n   1. in it\n4. y", "3. z"], "3. x\n   1. in it\n4. y\n5. z"),
        (["3. x", "- y\n- y", "3. z"], "3. x\n- y\n- y\n4. z"),
        (["1. x\n1. y"], "1. x\n1. y"),
    ],
)
def test_additions_of_several_items_are_numbered_on_too(added, expected):
    edits = [Edit("add", "2. b", one) for one in added]
    assert apply_edits("1. a\n2. b\n", edits) == f"1. a\n2. b\n{expected}\n"


@pytest.mark.parametrize(
    ("text", "find", "added", "expected"),
    [
        ("a\n", "", "x -> y", "a\nx -> y\n"),
        ("- a\n", "", "x -> y", "- a\n- x -> y\n"),
        ("- a\n", "", "in: x\nout: y", "- a\n\nin: x\nout: y\n"),
        ("a\n\n", "", "in: x\nout: y", "a\n\nin: x\nout: y\n\n"),
        ("", "", "in: x\nout: y", "in: x\nout: y\n"),
        ("a\nb\n", "a", "in: x\nout: y", "a\n\nin: x\nout: y\n\nb\n"),
        ("a\n\nb\n", "a", "in: x\nout: y", "a\n\nin: x\nout: y\n\nb\n"),
        ("a\nb", "b", "in: x\nout: y", "a\nb\n\nin: x\nout: y"),
        ("- a\n- b\n", "a", "x -> y", "- a\n- x -> y\n- b\n"),
    ],
)
def test_an_example_is_added_like_a_rule_and_set_off_if_it_has_several_lines(text, find, added, expected):
    assert apply_edits(text, [Edit("example", find, added, "1")]) == expected
    assert apply_edits(text, [Edit("example", find, added)]) == expected


@pytest.mark.parametrize(
    ("text", "find", "new", "expected"),
    [
        ("a b c\n", "b", "x", "a x c\n"),
        ("a\nb\nc\n", "b\n", "x", "a\nx\nc\n"),
        ("a\nb\nc\n", "b", "x\n", "a\nx\nc\n"),
        ("a\nb\nc\n", "\nb\n", "x", "a\nx\nc\n"),
        ("a\nb", "b", "x\n", "a\nx"),
        ("a\nb\n", "a\nb", "x\ny\nz", "x\ny\nz\n"),
        ("ab\nb\n", "\nb", "\nx", "ab\nx\n"),
        ("a\nb\nc\n", "b", "", "a\nc\n"),
        ("- a\n- b\n", "b", "- x", "- a\n- x\n"),
        ("- a\n- b\n", "- b", "- x", "- a\n- x\n"),
        ("1. a\n2. b c\n", "b", "2. x", "1. a\n2. x c\n"),
        ("- a\n  - b\n", "b", "- x\n- y", "- a\n  - x\n  - y\n"),
        ("- a: b\n", "b", "- x", "- a: - x\n"),
        ("- a\n", "a", "-5 degrees", "- -5 degrees\n"),
    ],
)
def test_a_replacement_takes_the_place_of_the_passage_and_no_more(text, find, new, expected):
    assert apply_edits(text, [Edit("replace", find, new)]) == expected


@pytest.mark.parametrize(
    ("text", "find", "expected"),
    [
        ("a b c\n", " b", "a c\n"),
        ("a\nb\nc\n", "b", "a\nc\n"),
        ("a\nb\nc\n", "b\n", "a\nc\n"),
        ("a\nb\nc\n", "\nb\n", "a\nc\n"),
        ("a\nb", "b", "a"),
        ("a\n\nb\n\nc\n", "b", "a\n\nc\n"),
        ("a\n\nb\n", "b", "a\n"),
        ("a\n\nb\n", "a", "b\n"),
        ("a\n", "a", ""),
        ("a\n\nb\n\nc", "a\n\nb", "c"),
        ("- a\n- b\n- c\n", "b", "- a\n- c\n"),
        ("1. a\n2. b\n", "b", "1. a\n"),
        ("- a\n  - b  \n- c\n", " b", "- a\n- c\n"),
        ("  b \nc\n", "b", "c\n"),
        ("- a b\n- c\n", "b", "- a \n- c\n"),
        ("- a b\n- c\n", "a ", "- b\n- c\n"),
        ("- a\n- b\n  c\n", "b", "- a\n- \n  c\n"),
        ("- a\n- b\n  c\n", "b\n  c", "- a\n"),
        ("- a\n- b\n  - c\n", "b", "- a\n- \n  - c\n"),
        ("- a\n- b\n  c\n", "  c", "- a\n- b\n"),
        ("1. a\n2. b\n\n   c\n", "2. b", "1. a\n\n   c\n"),
        ("-5 degrees\n1.5 kg\n", "5 kg", "-5 degrees\n1.\n"),
    ],
)
def test_a_deletion_joins_no_lines_and_leaves_no_gap(text, find, expected):
    assert apply_edits(text, [Edit("delete", find)]) == expected


@pytest.mark.parametrize(
    ("text", "new", "expected"),
    [("a\n", "b", "b\n"), ("a", "b\n", "b"), ("", "b", "b\n"), ("a\n", "b\n\n", "b\n")],
)
def test_a_rewrite_keeps_the_end_of_the_file(text, new, expected):
    assert apply_edits(text, [Edit("rewrite", "", new)]) == expected


def test_several_edits_all_refer_to_the_text_as_it_was():
    text = "alpha\nbeta\ngamma\n"
    edits = [
        Edit("add", "", "first end"),
        Edit("replace", "alpha", "beta, as gamma"),
        Edit("delete", "beta"),
        Edit("add", "gamma", "after gamma"),
        Edit("add", "", "second end"),
    ]
    assert apply_edits(text, edits) == "beta, as gamma\ngamma\nafter gamma\nfirst end\nsecond end\n"


def test_neighbouring_paragraphs_can_all_be_deleted():
    text = "a\n\nb\n\nc\n"
    assert apply_edits(text, [Edit("delete", "a"), Edit("delete", "b")]) == "c\n"
    assert apply_edits(text, [Edit("delete", "b"), Edit("delete", "c")]) == "a\n"
    assert apply_edits(text, [Edit("delete", letter) for letter in "abc"]) == ""


def test_a_passage_deleted_twice_is_gone_once():
    assert apply_edits("a\nb\nc\n", [Edit("delete", "b"), Edit("delete", "b")]) == "a\nc\n"
    assert apply_edits("a\nb c\nd\n", [Edit("delete", "b c"), Edit("delete", "c")]) == "a\nd\n"


@pytest.mark.parametrize(
    ("text", "edits", "hint"),
    [
        ("a\n", [Edit("mend", "a", "b")], "add, example, replace, delete, section, rewrite"),
        ("a\n", [Edit("add", "", " \n")], "empty"),
        ("a\n", [Edit("rewrite", "", "")], "empty"),
        ("a\n", [Edit("example", "", "")], "empty edit: "),
        ("a\n", [Edit("section", "# A", "")], "empty edit: "),
        ("a\n", [Edit("example", "b", "c")], "not found: "),
        ("a\n", [Edit("replace", "", "b")], "needs in `find`"),
        ("a\n", [Edit("delete", "\n")], "needs in `find`"),
        ("a\n", [Edit("delete", "a", "b")], "use replace"),
        ("a\nb\n", [Edit("rewrite", "a", "c")], "use replace"),
        ("a\n", [Edit("rewrite", "", "b"), Edit("add", "", "c")], "only edit"),
        ("a a\n", [Edit("replace", "a", "b")], "occurs 2 times"),
        ("aaa\n", [Edit("delete", "aa")], "occurs 2 times"),
        ("a x\na y\n", [Edit("add", "a", "b")], "2 lines"),
        ("Answer in one word.\n", [Edit("replace", "Answer with one word.", "b")], "'Answer in one word.'"),
        ("one two three\n", [Edit("replace", "one two", "x"), Edit("replace", "two three", "y")], "overlap"),
        ("a\nb\n", [Edit("delete", "b"), Edit("add", "b", "c")], "overlap"),
        ("a\nb\n", [Edit("replace", "a", "x"), Edit("replace", "x", "y")], "does not occur"),
    ],
)
def test_an_edit_that_cannot_be_made_says_what_to_do_instead(text, edits, hint):
    with pytest.raises(EditError) as caught:
        apply_edits(text, edits)
    assert hint in str(caught.value)
    assert isinstance(caught.value, GepaError)
    words, colon, _ = str(caught.value).partition(": ")
    assert colon
    assert "'" not in words  # what is fixed is counted; what the model wrote comes behind it


def test_a_long_passage_is_shown_in_short():
    with pytest.raises(EditError) as caught:
        apply_edits("a\n", [Edit("replace", "b" * 10_000, "c")])
    assert len(str(caught.value)) < 300


@given(TEXTS)
def test_no_edits_change_nothing(text):
    assert apply_edits(text, []) == text


@given(TEXTS, st.data())
def test_edits_are_made_or_refused_and_keep_the_end_of_the_file(text, data):
    finds = st.sampled_from(list(filter(str.strip, text.split("\n"))) or [""])
    edit = st.one_of(
        st.builds(Edit, st.sampled_from(KINDS), finds, TEXTS),
        st.builds(Edit, st.just("delete"), finds),
        st.builds(Edit, st.just("rewrite"), text=TEXTS),
        st.builds(Edit, st.sampled_from(ADDITIONS), text=TEXTS),
    )
    edits = data.draw(st.lists(edit, min_size=1, max_size=2))
    try:
        result = apply_edits(text, edits)
    except EditError:
        return
    if text and result:
        assert result.endswith("\n") == text.endswith("\n")


@given(TEXTS, TEXTS.filter(str.strip))
def test_an_addition_leaves_every_line_as_it_was(text, added):
    result, place = apply_edits(text, [Edit("add", "", added)]), addition_place(text)
    above, input_ = text[:place].rstrip(), text[place:].rstrip("\n")
    before, after = above.split("\n"), result.split("\n")
    if above.strip():
        assert [line.rstrip() for line in after[: len(before)]] == [line.rstrip() for line in before]
        assert after[: len(before) - 1] == before[:-1]
    assert result.rstrip("\n").endswith(input_)
    assert added.strip("\n").split("\n")[-1].strip() in result


@given(TEXTS, st.data())
def test_a_replacement_of_a_unique_passage_is_plain_substitution(text, data):
    # A line end of two characters is put back behind every line.
    lines = [line for line in text.split("\n") if line.strip() and text.count(line) == 1 and "\r" not in line]
    if not lines:
        return
    line = data.draw(st.sampled_from(lines))
    assert apply_edits(text, [Edit("replace", line, "something new")]) == text.replace(line, "something new")


@given(TEXTS.filter(str.strip), st.text("abc", min_size=1))
def test_what_was_added_after_a_line_can_be_deleted_again(text, word):
    new = f"<<{word}>>"
    result = apply_edits(text, [Edit("add", "", f"{new} first\n{new} second")])
    assert apply_edits(result, [Edit("delete", f"{new} first\n{new} second")]).rstrip() == text.rstrip()


WRAPPED = "- Never promise a refund\n  unless the customer asks for one.\n- Be brief.\n"


def test_an_addition_goes_behind_the_whole_item_and_is_one_like_it():
    added = apply_edits(WRAPPED, [Edit("add", "Never promise a refund", "Answer in French.")])
    assert added == (
        "- Never promise a refund\n  unless the customer asks for one.\n- Answer in French.\n- Be brief.\n"
    )
    last = "Rules:\n- a rule that is\n  wrapped\n"
    assert apply_edits(last, [Edit("add", "", "New rule.")]) == last + "- New rule.\n"
    nested = "- a\n  - b\n- c\n"
    assert apply_edits(nested, [Edit("add", "- a", "x")]) == "- a\n  - b\n- x\n- c\n"
    code = "Example:\n    indented\n"
    assert apply_edits(code, [Edit("add", "", "New rule.")]) == code + "New rule.\n"


@pytest.mark.parametrize(
    "item",
    [
        "- Allowed labels:\n  - billing\n  - sales\n",
        "- Answer like this:\n\n  ```\n  - a\n\n  - b\n  ```\n",
        "- Be brief.\n\n  That is, in one sentence.\n",
        "1. Be brief.\n   - In one sentence.\n     Never in two.\n",
    ],
)
def test_an_addition_parts_no_item_from_what_belongs_to_it(item):
    first = item.partition("\n")[0]
    mark = "2." if first.startswith("1.") else "-"
    for rest in ("", "\nThe end.\n"):
        added = apply_edits(item + rest, [Edit("add", first, "Answer in French.")])
        assert added == f"{item}{mark} Answer in French.\n{rest}"


def test_what_comes_to_the_end_is_of_the_outer_list():
    text = "Rules:\n- Allowed labels:\n  - billing\n  - sales\n"
    assert apply_edits(text, [Edit("add", "", "Be brief.")]) == f"{text}- Be brief.\n"
    indented = "Rules:\n  - a\n  - b\n"
    assert apply_edits(indented, [Edit("add", "", "c")]) == f"{indented}  - c\n"
    assert apply_edits(text, [Edit("add", "sales", "refunds")]) == f"{text}  - refunds\n"


def test_white_space_at_the_ends_of_lines_need_not_be_copied():
    text = "- Be brief.  \n- Be kind.\n"
    assert apply_edits(text, [Edit("replace", "- Be brief.\n- Be kind.", "- Be.")]) == "- Be.\n"
    assert apply_edits("Be brief.\n", [Edit("replace", "Be brief. ", "Be.")]) == "Be.\n"
    with pytest.raises(EditError, match="occurs 2 times"):
        apply_edits("a  \nb\na \nb\n", [Edit("delete", "a\nb")])


def test_of_a_passage_that_is_not_there_the_first_wrong_line_is_named():
    text = "- Be brief.\n- Be kind to all.\n- Be quick.\n"
    with pytest.raises(EditError, match=r"line 2 of it is '- Be kind to all.' there, not '- Be kind.'"):
        apply_edits(text, [Edit("delete", "- Be brief.\n- Be kind.\n- Be quick.")])


def test_all_edits_that_cannot_be_made_are_named_but_for_those_behind_the_third():
    missing = [Edit("replace", f"passage {n}", "x") for n in range(5)]
    with pytest.raises(EditError) as caught:
        apply_edits("Be brief.\n", [Edit("add", "", "Be kind."), *missing])
    told = str(caught.value)
    assert told.startswith("not found: 'passage 0'")
    assert [f"'passage {n}'" in told for n in range(5)] == [True, True, True, False, False]
    with pytest.raises(EditError) as caught:
        apply_edits("a a\n", [Edit("delete", "a"), Edit("section", "# A", "x"), Edit("delete", "a")])
    assert str(caught.value).count("ambiguous passage: ") == 1
    assert "; no such section: " in str(caught.value)
    with pytest.raises(EditError, match=r"empty edit: .*; nothing to find: "):
        apply_edits("a\n", [Edit("add", "", " "), Edit("delete", " ")])


def test_passages_are_found_whatever_the_line_ends_are_which_stay():
    text = "Rules:\r\n- a\r\n- b\r\n"
    assert apply_edits(text, [Edit("replace", "- a\n- b", "- c")]) == "Rules:\r\n- c\r\n"
    assert apply_edits(text, [Edit("add", "- a", "c\r\nd"), Edit("add", "", "e")]) == (
        "Rules:\r\n- a\r\nc\r\nd\r\n- b\r\n- e\r\n"
    )
    assert apply_edits(text, [Edit("rewrite", "", "Be brief.\nBe kind.")]) == "Be brief.\r\nBe kind.\r\n"
    assert apply_edits("# A\r\n\r\nx\r\n", [Edit("section", "# A", "y\nz")]) == "# A\r\n\r\ny\r\nz\r\n"
    mixed = "Rules:\r\n- a\r\n- b\n"
    assert apply_edits(mixed, [Edit("replace", "- a\n- b", "- c")]) == "Rules:\r\n- c\n"
    assert apply_edits(mixed, [Edit("delete", "Rules:\n- a")]) == "- b\n"
