from __future__ import annotations

import codecs
import json
import shutil

import pytest
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

FILE = """{
  "system": "Be brief.\\nBe kind.\\n",
  "n": [1, -2.5e3, true, null, {}, [], ""],
\t"messages" : [ {"role": "system", "content": "caf\\u00e9 \\ud83c\\udf89 \\/"},
    {"role":"user","content":["{x}", {"text": "y"}]} ],
  "a.b": {"c": "déjà vu", "": "no key"}
}"""
KINDS = [
    FILE.encode(),
    FILE.replace("\n", "\r\n").encode() + b"\r\n",
    codecs.BOM_UTF8 + FILE.encode(),
    FILE.encode("utf-16"),
    codecs.BOM_UTF16_BE + FILE.encode("utf-16-be"),
    FILE.replace("é", "e").replace("à", "a").encode("ascii"),
]


def read(data: bytes):
    codec = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    return leaves(json.loads(data.decode(codec)))


@given(st.sampled_from(KINDS), st.data(), TEXTS, TEXTS)
def test_any_text_can_be_set_in_any_string_and_reads_back(file, data, text, second):
    one, other = data.draw(st.lists(st.sampled_from(list(read(file))), min_size=2, max_size=2, unique=True))
    made = check_set("JSON", file, {one: text, other: second}, read)
    check_set("JSON", made, {one: second}, read)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_makes_the_new_file_of_the_patch(tmp_path):
    check_with_git(tmp_path, "JSON", FILE.encode(), read)


def test_only_the_words_that_differ_are_written_anew():
    source = b'{"a": "caf\\u00e9, \\u0041 and tea"}'
    assert set_texts("JSON", source, {("a",): 'café, A and "more" té'}) == (
        b'{"a": "caf\\u00e9, \\u0041 and \\"more\\" t\\u00e9"}'
    )


def test_a_file_without_escapes_keeps_letters_as_they_are():
    assert set_texts("JSON", '{"a": "é"}'.encode(), {("a",): "éü\u2028🎉"}) == '{"a": "éü\\u2028🎉"}'.encode()


def test_a_key_that_stands_twice_is_refused_with_both_its_texts():
    document = parsed("JSON", b'{"a": {"x": "1"},\n "b": "2", "a": "3"}')
    assert [*document.fields] == [("b",)]
    assert document.refused[("a",)].reason == "the key 'a' stands twice in one object (again in line 2)"


def test_half_a_surrogate_pair_is_refused_in_the_file_and_in_a_text():
    assert list(parsed("JSON", b'{"a": "\\ud800", "b": "x"}').refused) == [("a",)]
    assert problem("JSON", b'{"b": "x"}', ("b",), "\ud800") == (
        "the new text holds half of a surrogate pair, which no encoding can hold"
    )


@pytest.mark.parametrize("data", [b"{", b'{"a": 1} // c', b"\xff{}", b'{"a": "\n"}', b"[" * 100_000, b'{"a": "\0"}'])
def test_what_is_no_json_is_refused(data):
    with pytest.raises(FormatError, match=r"not JSON|not UTF-8|NUL"):
        parsed("JSON", data)


def test_a_lone_string_is_no_field():
    assert fields_of("JSON", b'"text"') == {}
