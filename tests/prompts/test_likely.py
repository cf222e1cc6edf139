from __future__ import annotations

import pytest

from pytest_gepa.prompts.likely import is_called_a_prompt, looks_like_a_prompt

ROLES = {("messages", 0): "system", ("messages", 1): "user", ("messages", 2): "assistant"}


@pytest.mark.parametrize(
    "path",
    [
        ("system",),
        ("router", "system_prompt"),
        ("systemPrompt",),
        ("SYSTEM_PROMPT",),
        ("Router", "PROMPT2"),
        ("instructions",),
        ("user-template",),
        ("prompts", "router"),
        ("prompts", 0),
        ("prompts", "router", 0),
        ("app", "templates", "x"),
        ("messages", 0, "content"),
        ("messages", 1, 1),
        ("messages", 0, "content", 0, "text"),
    ],
)
def test_keys_that_say_prompt_make_a_text_one(path):
    assert is_called_a_prompt(path, "Be brief.", ROLES)


@pytest.mark.parametrize(
    "path",
    [
        ("description",),
        ("prompt_name",),
        ("templateFormat",),
        ("system", "os"),
        ("prompts", "router", "description"),
        ("prompts", "version"),
        ("ecosystem",),
        ("messages", 0, "role"),
        ("messages", 0, "name"),
        ("messages", 2, "content"),
        (0,),
    ],
)
def test_other_keys_do_not(path):
    assert not is_called_a_prompt(path, "Be brief.", ROLES)


@pytest.mark.parametrize("text", ["", "jinja2", " linux\n"])
def test_a_single_word_is_no_prompt(text):
    assert not is_called_a_prompt(("template",), text, {})
    assert not looks_like_a_prompt(("template",), text, {})


def test_a_text_of_several_lines_looks_like_one_whatever_it_is_called():
    assert looks_like_a_prompt(("description",), "One.\nTwo.", {})
    assert not looks_like_a_prompt(("description",), "One line.\n", {})
    assert looks_like_a_prompt(("system",), "One line.", {})


def test_documentation_of_a_program_is_none():
    assert not looks_like_a_prompt(("Router", "__doc__"), "One.\nTwo.", {})
