from __future__ import annotations

import codecs
import re
import shutil

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.addresses import FieldPath
from pytest_gepa.prompts.formats.front_matter import BODY, has_block
from pytest_gepa.prompts.formats.setting import FRONT_MATTER, parsed
from tests.prompts.formats.round_trip import (
    TEXTS,
    check_set,
    check_with_git,
    fields_of,
    problem,
    set_texts,
)

FILE = """\
---
# of the prompt
name: Router
model:
  api: chat
  parameters: {max_tokens: 10, stop: "END"}
description: >-
  Routes what
  comes in.
sample:
  - |
    A question.
---
system:
You route {{question}}.

---
user:
{{question}}
"""
KINDS = [
    FILE.encode(),
    FILE.replace("\n", "\r\n").encode(),
    codecs.BOM_UTF8 + FILE.encode().rstrip(b"\n"),
    b"---\nname: x y\n---",  # a body would need a line end before it
]


def can_hold(file: bytes, path: FieldPath, text: str) -> bool:
    if path != BODY:
        return re.search(r"(?:---|\+\+\+)[ \t]*$", text, re.MULTILINE) is None
    return "\r" not in text and "\0" not in text and (not text or file != KINDS[-1])


@given(st.sampled_from(KINDS), st.data(), TEXTS)
def test_any_text_that_they_can_hold_can_be_set_as_body_and_in_the_block(file, data, text):
    path = data.draw(st.sampled_from(list(fields_of(FRONT_MATTER, file))))
    if can_hold(file, path, text):
        check_set(FRONT_MATTER, file, {path: text}, lambda made: fields_of(FRONT_MATTER, made))
    else:
        assert problem(FRONT_MATTER, file, path, text) is not None


@given(st.sampled_from(KINDS[:3]), TEXTS, TEXTS)
def test_body_and_fields_are_set_together_for_every_reader(file, text, other):
    assume(can_hold(file, BODY, text) and can_hold(file, ("description",), other))
    made = set_texts(FRONT_MATTER, file, {BODY: text, ("description",): other})
    assert fields_of(FRONT_MATTER, made) == fields_of(FRONT_MATTER, file) | {
        BODY: text,
        ("description",): other,
    }
    content = made.removeprefix(codecs.BOM_UTF8).decode()
    line_end = "\r\n" if b"\r\n" in file else "\n"
    # Some readers take dashes at the end of any line for the end of the block.
    head, block, body = re.split(r"---\r?\n", content, maxsplit=2)
    assert (head, body) == ("", text.replace("\n", line_end))
    assert yaml.safe_load(block)["description"] == other


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_makes_the_new_file_of_the_patch(tmp_path):
    check_with_git(tmp_path, FRONT_MATTER, FILE.encode(), lambda made: fields_of(FRONT_MATTER, made))


def test_the_body_is_what_stands_below_the_second_line_of_dashes():
    assert fields_of(FRONT_MATTER, FILE.encode())[BODY] == FILE.split("---\n", 2)[2]
    assert parsed(FRONT_MATTER, FILE.encode()).fields[("name",)].line == 3


def test_a_block_that_is_no_yaml_leaves_the_body_to_be_set():
    file = b'---\nname: "{{ x }}\n---\nBe brief.\n'
    assert fields_of(FRONT_MATTER, file) == {BODY: "Be brief.\n"}
    assert set_texts(FRONT_MATTER, file, {BODY: "Be kind.\n"}) == b'---\nname: "{{ x }}\n---\nBe kind.\n'


@pytest.mark.parametrize(
    ("content", "is_one"),
    [
        ("---\nname: x\n---\n", True),
        ("---\nname: x\n---", True),
        ("--- \r\n'a b': x\r\n---\r\ntext", True),
        ("---\n---\ntext", True),
        ("---\n\n# only a comment\n---\ntext", True),
        ("---\nA rule of dashes\n---\n", False),
        ("---\nNote: one\nof two\n", False),
        ("text\n---\nname: x\n---\n", False),
        ("----\nname: x\n---\n", False),
        ("---\nname: x\n----\n", False),
        ("", False),
    ],
)
def test_a_block_opens_the_file_with_dashes_and_a_key(content, is_one):
    assert has_block(content) is is_one


def test_mixed_line_ends_of_a_body_stay_and_must_not_become_even():
    file = b"---\na: b\n---\none\r\ntwo\n"
    assert fields_of(FRONT_MATTER, file)[BODY] == "one\r\ntwo\n"
    assert set_texts(FRONT_MATTER, file, {BODY: "one\r\nthree\n"}) == b"---\na: b\n---\none\r\nthree\n"
    with pytest.raises(PromptError, match="other line ends"):
        set_texts(FRONT_MATTER, file, {BODY: "one\r\ntwo\r\n"})


def test_dashes_that_some_reader_would_take_for_the_end_of_the_block_are_refused_in_it():
    assert "end of the front matter" in problem(FRONT_MATTER, FILE.encode(), ("name",), "a ---\nb")


@pytest.mark.parametrize("text", ["a\rb", "a\r\nb"])
def test_a_carriage_return_is_refused_in_a_body(text):
    assert problem(FRONT_MATTER, FILE.encode(), BODY, text).startswith("the new text holds a carriage return")
