from __future__ import annotations

import codecs
import shutil

import pytest
import tomlkit
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

try:
    import tomllib  # from Python 3.11
except ImportError:
    tomllib = None

STRINGS = '''\
# What the desk says.
title = "The \\"desk\\"" # comment
literal = 'C:\\no escapes'
when = 1979-05-27T07:32:00Z
n = [ 1, 0x2F, inf, true, [], {} ]

[router]
system = """
You are "it".
Be brief. \\
    Be kind.\\u00e9
"""
'odd.key'.other = \'\'\'one
'two' lines\'\'\'
quoted = """"full" quotes"""""
"empty" = ""
'''
TABLES = """\
[[router.messages]]
role = "system"
content = "Be nice."
meta.note = 'a note'
[router.messages.extra]
k = "v"
[[router.messages]] # second
role = "user"
content = { text = "hi {x}", parts = ["a", 'b', [ "c", # inner
  "d", ], ] }
[[router.messages.sub]]
t = ""
[ table . "with space" ]
last = 'the end\'"""
FILE = STRINGS + TABLES
KINDS = [
    STRINGS.encode(),
    TABLES.encode(),
    STRINGS.replace("\n", "\r\n").encode(),
    codecs.BOM_UTF8 + TABLES.encode() + b"\n# end",
]


def read(data: bytes):
    content = data.removeprefix(codecs.BOM_UTF8).decode()
    said = leaves(tomlkit.parse(content.replace("\r\n", "\n")).unwrap())
    if tomllib is not None:
        assert leaves(tomllib.loads(content)) == said
    return said


@given(st.sampled_from(KINDS), st.data(), TEXTS, TEXTS)
def test_any_text_can_be_set_in_any_string_and_reads_back(file, data, text, second):
    one, other = data.draw(st.lists(st.sampled_from(list(read(file))), min_size=2, max_size=2, unique=True))
    made = check_set("TOML", file, {one: text, other: second}, read)
    check_set("TOML", made, {one: second}, read)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_makes_the_new_file_of_the_patch(tmp_path):
    check_with_git(tmp_path, "TOML", FILE.encode(), read)


def test_every_string_is_found_at_its_path_with_its_line():
    document = parsed("TOML", FILE.encode())
    assert {path: field.text for path, field in document.fields.items()} == read(FILE.encode())
    assert document.fields[("router", "messages", 1, "content", "parts", 2, 1)].line == 26
    assert document.roles == {("router", "messages", 0): "system", ("router", "messages", 1): "user"}
    assert not document.refused


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        ('k = "a b" # c\n', "a 'c'", "k = \"a 'c'\" # c\n"),
        ("k = 'a b'\n", 'a "c" \\d', "k = 'a \"c\" \\d'\n"),
        ("k = 'a b'\n", "it's", 'k = "it\'s"\n'),
        ("k = 'a'\n", "One.\nTwo.\n", "k = '''\nOne.\nTwo.\n'''\n"),
        ('k = "a"\n', "One.\nTwo.", 'k = """\nOne.\nTwo."""\n'),
        ('k = "a\\nb"\n', "a\nc\nb", 'k = "a\\nc\\nb"\n'),
        ("k = '''a\nb'''\n", "a\nit's '''c'''", "k = \"\"\"\na\nit's '''c'''\"\"\"\n"),
        ('k = """\na \\\n   b\nc"""\n', "a b\nd\nc", 'k = """\na \\\n   b\nd\nc"""\n'),
        ('k = """a"""\n', '"a""b"', 'k = """"a""b""""\n'),
        ('k = "caf\\u00e9 x"\n', "café y\x7f", 'k = "caf\\u00e9 y\\u007F"\n'),
        ('k = { x = "a" }\n', None, None),
    ],
)
def test_a_text_stays_in_its_kind_of_string_as_long_as_that_can_hold_it(before, text, after):
    if text is None:
        assert set_texts("TOML", before.encode(), {("k", "x"): "a\nb"}) == b'k = { x = """\na\nb""" }\n'
        return
    assert set_texts("TOML", before.encode(), {("k",): text}).decode() == after


def test_new_lines_end_as_the_lines_of_the_file_do():
    file = b'k = """\r\na\r\nb"""\r\nl = "c"\r\n'
    assert fields_of("TOML", file) == {("k",): "a\nb", ("l",): "c"}
    assert set_texts("TOML", file, {("k",): "a\nx\nb", ("l",): "1\n2"}) == (
        b'k = """\r\na\r\nx\r\nb"""\r\nl = """\r\n1\r\n2"""\r\n'
    )


@pytest.mark.parametrize(
    "data", [b"a = ", b"a = 1\na = 2", b"\xff", 'a = "x"'.encode("utf-16"), b'a = "\n"', b"a = 'x'\rb = 'y'"]
)
def test_what_is_no_toml_is_refused(data):
    with pytest.raises(FormatError, match=r"not TOML|not UTF-8"):
        parsed("TOML", data)


def test_half_a_surrogate_pair_is_refused():
    assert "surrogate" in problem("TOML", b'a = "x"', ("a",), "\udfff")
