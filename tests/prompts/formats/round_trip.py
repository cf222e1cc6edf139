"""Setting texts in files of any format and reading them back: what must hold for each of them."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from hypothesis import strategies as st

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.addresses import FieldPath
from pytest_gepa.prompts.components import compose, format_problem
from pytest_gepa.prompts.formats.setting import parsed
from pytest_gepa.prompts.patch import FileChange, PatchLine, check_patch, make_patch
from pytest_gepa.prompts.reading import SourceFile, inside

GIT_EXAMPLES = 36

# What some format or other takes for something else than text.
FRAGMENTS = [
    *[
        "a",
        "B",
        "word ",
        "Be brief.",
        " ",
        "  ",
        "\t",
        "\n",
        "\n\n",
        "\n  ",
        " \n",
        "\r",
        "\r\n",
        "7",
        "é",
        "ß",
        "🎉",
    ],
    *[
        "'",
        "''",
        "'''",
        '"',
        '""',
        '"""',
        "\\",
        "\\n",
        "\\\\",
        "\\x",
        "\\N{DASH}",
        "`",
        "#",
        " # c",
        ":",
        ": ",
        "- ",
        "-",
    ],
    *[
        "---",
        "...",
        "|",
        ">",
        "&a",
        "*a",
        "!t",
        "?",
        "<<",
        "@",
        "%s",
        "%",
        "$x",
        "{x}",
        "{{ y }}",
        "{",
        "}",
        "[",
        "]",
        ",",
    ],
    *[
        "null",
        "yes",
        "true",
        "~",
        "1e3",
        "=",
        "\u2028",
        "\u2029",
        "\x85",
        "\xa0",
        "\u200d",
        "\u202e",
        "\ufeff",
        "\ufffe",
    ],
    *[
        "\0",
        "\x07",
        "\x0b",
        "\x0c",
        "\x1b",
        "\x1c",
        "\x7f",
        "\x9f",
        "\U000e0041",
        "\n---\n",
        "\nkey: value\n",
        "\n- item",
    ],
]
TEXTS = st.one_of(
    st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)

Reader = Callable[[bytes], Mapping[FieldPath, str]]
"""Reads the texts of a file in another way than we do."""


def fields_of(format: str, data: bytes) -> dict[FieldPath, str]:
    return {path: field.text for path, field in parsed(format, data).fields.items()}


def set_texts(format: str, data: bytes, texts: Mapping[FieldPath, str]) -> bytes:
    """Set texts through components, as a run does."""
    file = SourceFile("file", Path("/file"), data, format)
    document = parsed(format, data)
    components = {path: inside(file, document, path) for path in texts}
    (made,) = compose(components.values(), {components[path].id: text for path, text in texts.items()}).values()
    return made


def problem(format: str, data: bytes, path: FieldPath, text: str) -> str | None:
    file = SourceFile("file", Path("/file"), data, format)
    return format_problem(inside(file, parsed(format, data), path), text)


def check_set(format: str, data: bytes, texts: Mapping[FieldPath, str], read: Reader) -> bytes:
    """Set texts, and check all that is promised of the file that comes out; returns it."""
    before = fields_of(format, data)
    made = set_texts(format, data, texts)
    assert fields_of(format, made) == before | dict(texts)
    said = read(made)
    assert {path: said[path] for path in before} == before | dict(texts)
    check_bytes_outside(format, data, made, texts)
    if made != data:
        changes = [FileChange("a/file", data, made)]
        check_patch(make_patch(changes, [PatchLine("x")]), changes)
    return made


def check_bytes_outside(format: str, data: bytes, made: bytes, texts: Mapping[FieldPath, str]) -> None:
    """What stood before, between and behind the texts must stand there still, in this order."""
    document = parsed(format, data)
    encoding = document.encoding
    assert encoding.encode(document.content) == data
    position, outside = 0, []
    for field in sorted((document.fields[path] for path in texts), key=lambda field: field.start):
        outside.append(document.content[position : field.start].encode(encoding.codec))
        position = field.end
    last = document.content[position:].encode(encoding.codec)
    assert made.endswith(last)
    at = len(encoding.bom)
    assert made.startswith(encoding.bom + outside[0])
    for part in outside:
        at = made.index(part, at) + len(part)
    assert at <= len(made) - len(last)


def check_with_git(top: Path, format: str, data: bytes, read: Reader, seed: int = 1) -> None:
    """Set random texts in copies of a file, and let git make the new files from the old ones and the patch."""
    chance = random.Random(seed)
    paths = list(fields_of(format, data))
    changes = []
    while len(changes) < GIT_EXAMPLES:
        text = "".join(chance.choices(FRAGMENTS, k=chance.randrange(12)))
        try:
            made = set_texts(format, data, {chance.choice(paths): text})
        except PromptError:  # only of formats that cannot hold every text; their own tests say which
            continue
        if made != data:
            changes.append(FileChange(f"{len(changes)}.prompt", data, made))
    for change in changes:
        (top / change.path).write_bytes(change.old)
    (top / "the.patch").write_bytes(make_patch(changes, []))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"HOME": str(top), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CEILING_DIRECTORIES": str(top.parent)}
    finished = subprocess.run(["git", "apply", "the.patch"], cwd=top, env=environment, capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr
    for change in changes:
        assert (top / change.path).read_bytes() == change.new
        read(change.new)


def leaves(value: object, path: FieldPath = ()) -> dict[FieldPath, str]:
    """The strings in parsed data by their paths."""
    if isinstance(value, str):
        return {path: value}
    children = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    return {
        at: text
        for key, child in children
        for at, text in leaves(child, (*path, key if isinstance(value, list) else str(key))).items()
    }
