from __future__ import annotations

import codecs
import shutil

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.formats.document import FormatError
from pytest_gepa.prompts.formats.setting import parsed
from tests.prompts.formats.round_trip import (
    TEXTS,
    check_set,
    check_with_git,
    fields_of,
    leaves,
    problem,
    set_texts,
)

BLOCKS = """\
# What the desk says.
version: 3
router:
  system: |   # the first
    You route "requests".

      Indented more.
    Be brief.

  folded: >-
    One paragraph that
    is folded here.

    Another one,
      with an indented line
    below.
  kept: |+
    Kept.


  marked: |2
      Two blanks first.
    Then none.
last: |-
  The end."""
SCALARS = """\
router:
  plain: Be brief and kind # why
  long: several words
    on two lines

    and a paragraph
  single: 'it''s
    so'
  double: "tab\\there \\u00e9 \\
    and \\"more\\""
  short: "x"
  anchored: &rule Keep it short.
  empty: ""
  tagged: !!str 12
"""
LISTS = """\
"odd.key": [one, 'two', "three", {k: v w}]
messages:
- role: system
  content: Be nice.
-   role: user
    content: >
      Folded {x}
      question.
- {role: assistant, content: "sure"}
- - nested list
  -
    |-
    alone
deep: {a: {b: [[c, d]]}}
"""
KINDS = [
    *[BLOCKS.encode(), SCALARS.encode(), LISTS.encode()],
    *[(BLOCKS + "\n").replace("\n", "\r\n").encode(), SCALARS.replace("\n", "\r\n").encode()],
    codecs.BOM_UTF8 + LISTS.encode() + b"\n# end\n",
    SCALARS.encode("utf-16"),
]


def read(data: bytes):
    said = leaves(yaml.safe_load(data))
    if yaml.__with_libyaml__:
        assert leaves(yaml.load(data, Loader=yaml.CSafeLoader)) == said
    return said


@given(st.sampled_from(KINDS), st.data(), TEXTS, TEXTS)
def test_any_text_can_be_set_in_any_string_and_reads_back(file, data, text, second):
    one, other = data.draw(st.lists(st.sampled_from(list(read(file))), min_size=2, max_size=2, unique=True))
    made = check_set("YAML", file, {one: text, other: second}, read)
    check_set("YAML", made, {one: second}, read)


LINES = st.lists(
    st.sampled_from(
        ["", "a", "Be brief.", "- a rule", "  indented", "two  blanks", "end ", "\ttab", "# no comment", " "]
    ),
    max_size=6,
).map("\n".join)


@given(
    st.sampled_from(["|", "|-", "|+", ">", ">-", ">+", "|1", ">2-"]),
    LINES,
    LINES,
    LINES,
    st.sampled_from(["", "\n"]),
)
def test_any_lines_can_be_set_in_a_block_of_any_kind(header, first, second, third, end):
    indent = " " * int(next((one for one in header if one.isdigit()), "3"))
    block = "".join(f"{indent}{line}\n" for line in ("one", "two", "", "three"))
    file = f"a: {header} # c\n{block}\n# comment\nb: x\n".encode()
    made = file
    for text in (first + end, second, third + end):
        made = check_set("YAML", made, {("a",): text}, read)
    assert b"# comment\nb: x\n" in made


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_makes_the_new_file_of_the_patch(tmp_path):
    check_with_git(tmp_path, "YAML", (BLOCKS + "\n" + SCALARS.replace("router", "other") + LISTS).encode(), read)


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        ("k: Be brief. # why\n", "Be kind.", "k: Be kind. # why\n"),
        ("k: Be brief.\n", "Be: kind", 'k: "Be: kind"\n'),
        ("k: Be brief.\n", "no", 'k: "no"\n'),
        ("k: Be brief.\n", "One.\nTwo.", "k: |-\n  One.\n  Two.\n"),
        ("k: Be brief. # why\n", "One.\nTwo.", 'k: "One.\\nTwo." # why\n'),
        ("k: Be brief.", "One.\nTwo.\n", "k: |\n  One.\n  Two.\n"),
        ("k: {x: Be brief.}\n", None, None),
        ("k: 'it''s'\n", "it's me", "k: 'it''s me'\n"),
        ("k: 'it''s'\n", "a\n", "k: |\n  a\n"),
        ('k: "a\\nb\\u00e9"\n', "a\nc\nbé", 'k: "a\\nc\\nb\\u00e9"\n'),
        ("k: |\n    One.\n    Two.\n", "One.\n- new\nTwo.\n", "k: |\n    One.\n    - new\n    Two.\n"),
        ("k: |\n  One.\n", "One.", "k: |-\n  One.\n"),
        ("k: |\n  One.\n", "  One.\n", "k: |2\n    One.\n"),
        ("k: | # c\n  One.\n", "One.\x07", 'k: "One.\\x07" # c\n'),
        ("k: |\n  One.\n", "", 'k: ""\n'),
        ("k: >\n  a b\n  c.\n\n  d\n", "a b\nd\n", "k: >\n  a b\n\n  d\n"),
        ("k: >\n  a b\n  c.\n\n  d\n", "a x b c.\nd\n", "k: >\n  a x b\n  c.\n\n  d\n"),
        ("k: >\n  a\n", "  a\n", "k: >2\n    a\n"),
        ("- one\n- two\n", None, None),
    ],
)
def test_a_text_stays_in_its_style_as_long_as_that_can_hold_it(before, text, after):
    if text is None:
        path = next(iter(fields_of("YAML", before.encode())))
        made = set_texts("YAML", before.encode(), {path: "a\nb"}).decode()
        assert made == {"k": 'k: {x: "a\\nb"}\n', 0: "- |-\n  a\n  b\n- two\n"}[path[0]]
        return
    assert set_texts("YAML", before.encode(), {("k",): text}).decode() == after


@pytest.mark.parametrize("unseen", ["\u200b", "\u00ad", "\ue000"])
def test_a_block_that_holds_what_is_not_shown_stays_one(unseen):
    file = f"system: |\n  Be{unseen} brief.\n  Be kind.\nother: 1\n"
    text = fields_of("YAML", file.encode())["system",]
    made = set_texts("YAML", file.encode(), {("system",): text.replace("kind", "quick")})
    assert made.decode() == file.replace("kind", "quick")


def test_new_lines_end_as_the_lines_of_the_file_do():
    file = b"a: x\r\nk: Be brief.\r\n"
    assert fields_of("YAML", b"k: |\r\n  a\r\n  b\r\n") == {("k",): "a\nb\n"}
    assert set_texts("YAML", file, {("k",): "One.\nTwo."}) == b"a: x\r\nk: |-\r\n  One.\r\n  Two.\r\n"


def test_a_change_leaves_every_other_line_as_it_is():
    text = fields_of("YAML", BLOCKS.encode())[("router", "folded")]
    made = set_texts("YAML", BLOCKS.encode(), {("router", "folded"): text.replace("is folded", "was bent")})
    assert made.decode() == BLOCKS.replace("    is folded here.", "    was bent here.")


def test_an_anchored_text_can_be_changed_and_its_aliases_are_refused():
    file = b"a: &x Be brief.\nb: *x\nc: [*x]\n"
    document = parsed("YAML", file)
    assert [*document.fields] == [("a",)]
    assert document.refused[("b",)].reason == "it is an alias of the text anchored in line 1; address a"
    assert ("c", 0) in document.refused
    assert set_texts("YAML", file, {("a",): "Be\nkind."}) == b"a: &x |-\n  Be\n  kind.\nb: *x\nc: [*x]\n"


def test_a_key_that_comes_by_a_merge_is_refused_with_the_place_where_it_stands():
    file = b"base: &b\n  system: Be brief.\n  x: {y: z}\nr:\n  <<: *b\n  other: Be kind.\n"
    document = parsed("YAML", file)
    assert document.refused["r", "system"].reason == "it comes by the merge (<<) in line 5; address base.system"
    assert ("r", "x") in document.refused
    assert ("r", "other") in document.fields


def test_merges_in_a_ring_of_lists_end():
    file = b"a: &a {s: t u}\nb: &b\n  <<: [*a, *a]\nc:\n  <<: [*b, *a, *b]\n  s: own text\n"
    document = parsed("YAML", file)
    assert document.refused["b", "s"].reason.endswith("address a.s")
    assert document.fields[("c", "s")].text == "own text"


@pytest.mark.parametrize(
    ("file", "path", "reason"),
    [
        (b"a: !inc x.md\n", ("a",), "it has the tag !inc"),
        (b"a: one\na: two\n", ("a",), "the key stands twice in one mapping"),
        (b"a: !!str\nb: x\n", ("a",), "cannot be changed safely"),
        (b'a: "\\ud800"\n', ("a",), "cannot be changed safely"),
    ],
)
def test_what_cannot_be_changed_safely_is_refused(file, path, reason):
    document = parsed("YAML", file)
    assert path not in document.fields
    assert reason in document.refused[path].reason


def test_other_values_are_no_texts():
    assert fields_of("YAML", b"a: 1\nb: yes\nc:\nd: 2020-01-01\n? [x, y]\n: z\n1: one\ntrue: t t\n") == {
        ("1",): "one",
        ("true",): "t t",
    }


def test_several_documents_are_told_apart_by_their_number():
    file = b"--- # first\na: one\n---\na: two\n...\n"
    assert fields_of("YAML", file) == {(0, "a"): "one", (1, "a"): "two"}
    assert set_texts("YAML", file, {(1, "a"): "x\ny"}) == b"--- # first\na: one\n---\na: |-\n  x\n  y\n...\n"


def test_unknown_tags_elsewhere_do_not_stand_in_the_way():
    file = b"x: !env HOME\na: one two\ny: !map {k: v}\n"
    assert set_texts("YAML", file, {("a",): "three"}) == b"x: !env HOME\na: three\ny: !map {k: v}\n"


@pytest.mark.parametrize("data", [b"a: [", b"a: *x\n", b"\xff", b"a: \x07\n", b"{{ x }}: {% y %}\n", b"[" * 5000])
def test_what_is_no_yaml_is_refused(data):
    with pytest.raises(FormatError, match=r"not YAML|not UTF-8"):
        parsed("YAML", data)


def test_what_is_wrong_is_told_without_the_line_which_may_hold_a_key():
    with pytest.raises(FormatError) as caught:
        parsed("YAML", b"system: [Route it.\napi_key: sk-hidden\n")
    assert str(caught.value) == "not YAML: expected ',' or ']', but got ':' (line 2)"


def test_half_a_surrogate_pair_is_refused():
    assert "surrogate" in problem("YAML", b"a: x\n", ("a",), "\udfff")
