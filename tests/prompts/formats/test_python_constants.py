from __future__ import annotations

import ast
import codecs
import inspect
import re
import shutil
import textwrap
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.prompts.addresses import FieldPath
from pytest_gepa.prompts.formats.document import FormatError
from pytest_gepa.prompts.formats.setting import PYTHON, parsed
from tests.prompts.formats.round_trip import (
    TEXTS,
    check_set,
    check_with_git,
    fields_of,
    problem,
    set_texts,
)

NAMES = '''\
#!/usr/bin/env python
# what the desk says, ünd möre
from collections import UserDict
import os, textwrap as tw

def Agent(*args, **kwargs):
    return {**dict(enumerate(args)), **kwargs}

ä = "Ö"; SYSTEM = 'Be "brief".\\n\\tIt\\'s \\x41\\u00e9\\N{BULLET} \\d'  # said
LONG: str = """First line.

  Third "line" \\
continued.
"""
RAW = r"\\d+ 'a'"
RAW_LONG = R\'\'\'
\\n is no line end
\'\'\'
LINES = (
    "You route.\\n"  # first
    "Be brief.\\n"

    # between
    r"No \\escapes."  '\\n' u"End"
)
JOINED = "a " + ("b " \\
    "c") + """
d"""
class Router(UserDict):
    """Routes.

    What comes in.
    """

    SYSTEM = "class level"
    class Inner:
        TEXT: "str" = ""
    if os:
        TRIED = 'in a branch'
    def method(self):
        "One line."
PROMPTS = {
    "router": "Route it.", 'a.b': ["x", ("system", "y"), {"k": """z"""}],
    7: "seven", "agent": Agent("m", instructions='Do it.', nested=Agent("deep")),
}
A, (B, C) = "a a", ["b b", "c c"]
'''
KINDS = [
    NAMES.encode(),
    NAMES.replace("\n", "\r\n").encode(),
    codecs.BOM_UTF8 + NAMES.encode(),
    NAMES.replace("# what", "# coding: latin-1\n# what", 1).encode("latin-1"),
]


def read(data: bytes) -> dict[FieldPath, str]:
    """Run the program, and look where a reader would."""
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(data, "names", "exec", dont_inherit=True), names)
    return {path: value_at(names, path) for path in fields_of(PYTHON, data)}


def value_at(value: object, path: FieldPath) -> str:
    for key in path:
        if key == "__doc__":
            return inspect.cleandoc(value.__doc__)
        if isinstance(value, dict):
            value = value[int(key) if str(key) == "7" else key]
        elif isinstance(value, list | tuple):
            value = value[key]
        else:
            value = getattr(value, key)
    assert isinstance(value, str)
    return value


PATHS = [path for path in fields_of(PYTHON, KINDS[0]) if path[-1] != "__doc__"]


@given(
    st.sampled_from(KINDS),
    st.lists(st.sampled_from(PATHS), min_size=2, max_size=2, unique=True),
    TEXTS,
    TEXTS,
)
def test_any_text_can_be_set_in_any_constant_and_reads_back(file, paths, text, second):
    made = check_set(PYTHON, file, {paths[0]: text, paths[1]: second}, read)
    check_set(PYTHON, made, {paths[0]: second}, read)


CALLED = '''\
import inspect, textwrap
from inspect import cleandoc as clean
from textwrap import dedent

class Texts:
    DEDENT = textwrap.dedent("""\\
        Be brief.
          Indented "more".

        Be kind.
        """)
    BLANK_FIRST = dedent("""
\tTabs.

\tAnd more.
    """)
    UNINDENTED = dedent("Be brief.")
    STRIPPED = """
    Be brief.
    Be kind.
    """.strip()
    BOTH = dedent(\'\'\'
        Be brief.
        \'\'\').strip("\\n").rstrip()
    CLEAN = clean("""
        Be brief.
            Indented.
        Be kind.
        """)
    CLEAN_FIRST = inspect.cleandoc("""Be brief.

        Be kind.""")
    """no text of anything"""
    def method(self):
        """Do it.

        Well.
        """
'''
CALLS = {
    "DEDENT": textwrap.dedent,
    "BLANK_FIRST": textwrap.dedent,
    "UNINDENTED": textwrap.dedent,
    "STRIPPED": str.strip,
    "BOTH": lambda text: textwrap.dedent(text).strip("\n").rstrip(),
}
LINES = st.lists(
    st.sampled_from(["", "a", "Be brief.", "- a rule", "  indented", "end ", "\ttab", " ", '"""', "\\", "é\\n"]),
    max_size=6,
).map("\n".join)


@given(
    st.sampled_from([CALLED.encode(), CALLED.replace("\n", "\r\n").encode()]),
    st.sampled_from(list(fields_of(PYTHON, CALLED.encode()))),
    st.one_of(LINES, TEXTS),
)
def test_a_text_inside_a_call_is_what_the_call_makes_of_it_or_it_is_refused(file, path, text):
    reason = problem(PYTHON, file, path, text)
    if reason is None:
        check_set(PYTHON, file, {path: text}, read)
    else:
        assert "around the constant would change the new text" in reason
        assert CALLS.get(path[1], inspect.cleandoc)(text) != text


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_makes_the_new_file_of_the_patch(tmp_path):
    check_with_git(tmp_path, PYTHON, NAMES.encode() + CALLED.replace("class Texts", "class Called").encode(), read)


def test_constants_are_found_wherever_they_are_assigned():
    assert [".".join(map(str, path)) for path in fields_of(PYTHON, NAMES.encode())] == [
        *["ä", "SYSTEM", "LONG", "RAW", "RAW_LONG", "LINES", "JOINED", "Router.__doc__", "Router.SYSTEM"],
        *["Router.Inner.TEXT", "Router.TRIED", "Router.method.__doc__", "PROMPTS.router", "PROMPTS.a.b.0"],
        *["PROMPTS.a.b.1.0", "PROMPTS.a.b.1.1", "PROMPTS.a.b.2.k", "PROMPTS.7", "PROMPTS.agent.0"],
        *["PROMPTS.agent.instructions", "PROMPTS.agent.nested.0", "A", "B", "C"],
    ]
    assert parsed(PYTHON, NAMES.encode()).roles == {("PROMPTS", "a.b", 1): "system"}


def changed(source: str, text: str) -> str:
    return set_texts(PYTHON, source.encode(), {("S",): text}).decode()


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        ('S = "a b"  # c\n', 'a "c"', 'S = "a \\"c\\""  # c\n'),
        ("S = 'caf\\xe9 a'\n", "café é b", "S = 'caf\\xe9 é b'\n"),
        ('S = "a"\n', "a\nb\n", 'S = """a\nb\n"""\n'),
        ('S = "a\\nb"\n', "a\nx\nb", 'S = "a\\nx\\nb"\n'),
        ('S = r"\\d a"\n', "\\d b", 'S = r"\\d b"\n'),
        ('S = r"\\d a"\n', '\\d "b"', 'S = "\\\\d \\"b\\""\n'),
        ('S = """\na\n"""\n', 'a "b"\nc"', 'S = """a "b"\nc\\""""\n'),
        ('S = """\\\na\n"""\n', "b\na\n", 'S = """\\\nb\na\n"""\n'),
        (
            'S = ("a\\n"\n     "b\\n")\n',
            "a\nx\ny\nb\n",
            'S = ("a\\n"\n     "x\\n"\n     "y\\n"\n     "b\\n")\n',
        ),
        ('S = ("a\\n"  # 1\n     "b")\n', "a\nx\nb", 'S = ("a\\n"  # 1\n     "x\\n"\n     "b")\n'),
        ('S = ("a\\n"  # 1\n     "b\\n"  # 2\n     "c")\n', "a\nc", 'S = ("a\\n"  # 1  # 2\n     "c")\n'),
        ('S = ("a\\n"  # 1\n     "b")\n', "b", None),
        ('S = ("one two "\n     "three four")\n', "one two 3 four", 'S = ("one two "\n     "3 four")\n'),
        ('S = ("a "\n     "b")\n', "", 'S = (""\n     "")\n'),
        ('S = "a " + "b"\n', "a c", 'S = "a " + "c"\n'),
        ("from textwrap import dedent\nS = dedent('''\n    a\n    ''')\n", "\na\n\nb\n", None),
    ],
)
def test_a_text_stays_in_its_literals_as_long_as_they_can_hold_it(before, text, after):
    if after is None:
        after = {
            "b": 'S = (  # 1\n     "b")\n',
            "\na\n\nb\n": "from textwrap import dedent\nS = dedent('''\n    a\n\n    b\n    ''')\n",
        }[text]
    assert changed(before, text) == after


def test_a_character_that_the_encoding_cannot_hold_becomes_an_escape():
    file = "# -*- coding: latin-1 -*-\nS = 'é'\n".encode("latin-1")
    assert set_texts(PYTHON, file, {("S",): "é → é"}) == "# -*- coding: latin-1 -*-\nS = 'é \\u2192 é'\n".encode(
        "latin-1"
    )
    raw = "# -*- coding: latin-1 -*-\nS = r'\\d'\n".encode("latin-1")
    assert set_texts(PYTHON, raw, {("S",): "\\d→"}) == "# -*- coding: latin-1 -*-\nS = '\\\\d\\u2192'\n".encode(
        "latin-1"
    )


@pytest.mark.parametrize(
    ("source", "address", "reason"),
    [
        (
            'X = 1\nS = f"{X}"',
            "S",
            "an f-string (line 2) cannot be changed safely; keep the fixed text in a constant",
        ),
        ('S = "a" f"{1}"', "S", "an f-string (line 1)"),
        ('from textwrap import dedent\nS = dedent(f"x")', "S", "an f-string (line 2)"),
        ('S = "a %s" % 1', "S", "a text that % fills in (line 1)"),
        ('S = "a {}".format(1)', "S", "what .format() makes of a text (line 1)"),
        ('S = "".join(["a"])', "S", "what .join() makes of a text (line 1)"),
        ('X = "x"\nS = "a" + X', "S", "a text put together with what is no constant (line 2)"),
        ('S = "-" * 3', "S", "a text put together with what is no constant (line 1)"),
        ('X = "x"\nS = X', "S", "it is another name for X (line 2); address that one"),
        ('S = T = "x"', "T", "it is another name for the text in line 1; address S"),
        ('S = "a" if S else "b"', "S", "it is computed (line 1), no constant"),
        ('S = b"a"', "S", "it is bytes (line 1), no text"),
        ('S = "a"\nS += "b"', "S", "it is set more than once (lines 1 and 2)"),
        ('if X:\n    S = "a"\nelse:\n    S = "b"', "S", "it is set more than once (lines 2 and 4)"),
        ('try:\n    S = "a"\nexcept E:\n    S = "b"', "S", "it is set more than once (lines 2 and 4)"),
        ('D = {"k": "a"}\nD["k"] = "b"', "D.k", "it is set more than once (lines 1 and 2)"),
        ('D = {"k": "a", "k": "b"}', "D.k", "the key stands twice in one dict (line 1)"),
        ('class C:\n    S = "a"\nC.S = "b"', "C.S", "it is set more than once (lines 2 and 3)"),
        ('S = "\\ud800"', "S", "half of a surrogate pair (line 1)"),
    ],
)
def test_what_is_no_plain_constant_is_refused_with_its_line_and_the_mend(source, address, reason):
    document = parsed(PYTHON, source.encode())
    path = tuple(address.split("."))
    assert path not in document.fields
    assert document.refused[path].reason.startswith(reason)


def test_a_dedent_of_another_kind_is_a_call_like_any():
    assert fields_of(PYTHON, b'from mine import dedent\nS = dedent("a b")\n') == {("S", 0): "a b"}


def test_names_inside_functions_are_not_addressed():
    assert fields_of(PYTHON, b'def f(x="a"):\n    S = "b"\nasync def g():\n    "doc"\n') == {("g", "__doc__"): "doc"}


def test_a_source_with_odd_escapes_is_read_without_a_warning():
    assert fields_of(PYTHON, b'S = "\\d \\8 \\w"\nB = b"\\N"\nN = 1or 2\n') == {("S",): "\\d \\8 \\w"}
    assert changed('S = "\\d \\8 a"\n', "\\d \\8 b") == 'S = "\\d \\8 b"\n'


@pytest.mark.parametrize(
    "data",
    [
        b"S = ",
        b"# coding: none-such\n",
        b"S = '\xff'",
        b"S = '\0'",
        b"S = " + b"-" * 100_000 + b"1",
        b"(" * 300 + b")" * 300,
    ],
)
def test_what_is_no_python_is_refused(data):
    with pytest.raises(FormatError, match=r"not Python|cannot be decoded"):
        parsed(PYTHON, data)


def test_nothing_but_the_constant_changes_in_what_python_reads():
    source = NAMES.replace(" \\d'", "'") + 'S = "x"\n'
    made = changed(source, 'a """quoted"""\ntext')
    before, after = ast.parse(source), ast.parse(made)
    after.body[-1].value.value = "x"
    assert ast.dump(after) == ast.dump(before)
    assert re.sub(r"S = .*\Z", "", made, flags=re.DOTALL) == re.sub(r"S = .*\Z", "", source, flags=re.DOTALL)
