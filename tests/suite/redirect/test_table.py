from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_gepa.suite.redirect.table import PromptCopy, Table


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    path = tmp_path / "prompts" / "greet.md"
    path.parent.mkdir()
    path.write_text("Greet.")
    return path


def table(*paths: Path) -> Table:
    return Table(tuple(PromptCopy(str(path), (path.name,), "copy") for path in paths))


def test_a_prompt_is_found_by_its_path_however_it_is_spelled(prompt: Path) -> None:
    known = table(prompt)
    spelled = prompt.parent / ".." / "prompts" / "." / "greet.md"

    assert known.find(str(prompt)) is known.find(prompt) is known.find(os.fsencode(spelled)) is known.files[0]


def test_a_file_that_an_editor_has_put_in_the_place_of_a_prompt_is_the_prompt(prompt: Path) -> None:
    known = table(prompt)
    beside = prompt.with_name("greet.md~")
    beside.write_text("Greet, as it was just saved.")
    beside.replace(prompt)

    assert known.find(prompt) is known.files[0]


def test_a_new_file_with_the_number_of_a_prompt_that_was_replaced_is_another_file(prompt: Path) -> None:
    known = table(prompt)
    number = prompt.stat().st_ino
    prompt.unlink()
    others = [prompt.with_name(f"other-{at}") for at in range(50)]
    for other in others:
        other.write_text("Something else.")

    taken = [other for other in others if other.stat().st_ino == number]
    assert [known.find(other) for other in taken or others[:1]] == [None]


def test_a_prompt_that_is_a_link_is_found_by_both_names(prompt: Path) -> None:
    link = prompt.with_name("link.md")
    link.symlink_to("greet.md")
    known = table(link)

    assert known.find(link) is known.find(prompt) is known.files[0]


def test_a_name_counts_only_where_the_prompt_is(prompt: Path, tmp_path: Path) -> None:
    (tmp_path / "greet.md").write_text("Another one.")

    assert table(prompt).find(tmp_path / "greet.md") is None


@pytest.mark.parametrize("path", [3, True, None, 1.5, "", "\0", "a\0b", b"\xff", "missing/greet.md", object()])
def test_what_is_no_path_of_a_file_is_no_prompt(prompt: Path, path: object) -> None:
    assert table(prompt).find(path) is None


def test_a_directory_descriptor_says_from_where_a_path_goes(prompt: Path, tmp_path: Path) -> None:
    known = table(prompt)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "greet.md").write_text("Another one.")
    here, there = (os.open(tmp_path / name, os.O_RDONLY) for name in ("prompts", "other"))
    try:
        found = known.find("greet.md", here), known.find("greet.md", there), known.find(prompt, there)
    finally:
        os.close(here)
        os.close(there)

    assert found == (known.files[0], None, known.files[0])


@pytest.mark.parametrize(
    "name",
    ["kernel.cpython-311.pyc", "kernel.cpython-311-pytest-9.2.0.pyc", "kernel.cpython-311.opt-1.pyc.1403"],
)
def test_compiled_forms_of_a_prompt_in_python_are_known(tmp_path: Path, name: str) -> None:
    source = tmp_path / "kernel.py"
    source.write_text("X = 1")
    known = table(source)

    assert known.holds_python
    assert known.find_compiled(tmp_path / "__pycache__" / name) is known.files[0]


@pytest.mark.parametrize("name", ["__pycache__/kernels.cpython-311.pyc", "kernel.pyc", "__pycache__/kernel.txt"])
def test_other_files_are_no_compiled_form_of_it(tmp_path: Path, name: str) -> None:
    source = tmp_path / "kernel.py"
    source.write_text("X = 1")

    assert table(source).find_compiled(tmp_path / name) is None
    assert table(source).find_compiled(object()) is None


def test_a_prompt_in_no_python_has_no_compiled_form(prompt: Path) -> None:
    assert not table(prompt).holds_python
    assert table(prompt).find_compiled(prompt.parent / "__pycache__" / "greet.cpython-311.pyc") is None
