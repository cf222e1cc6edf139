"""Which prompts the project's own sources fill in by `str.replace`."""

from __future__ import annotations

import pytest

from pytest_gepa.run.replaced import filled_in_by_replace

TEXTS = {"a.md": "Text: {text}\n", "b.md": "Name: {name}, {text_2}\n", "c.md": "No field.\n"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("prompt.replace('{text}', text)", {"a.md"}),
        ('prompt.replace(\n    "{text}",\n    text,\n)', {"a.md"}),
        ('prompt.replace(f"{{name}}", name)', {"b.md"}),
        ('prompt.replace(f"{name}", name)', set()),
        ('for key in given: prompt = prompt.replace("{" + key + "}", given[key])', {"a.md", "b.md"}),
        ('for key in given: prompt = prompt.replace(f"{{{key}}}", given[key])', {"a.md", "b.md"}),
        ("a.replace('{text}', text)\nb.format(text=text)", set()),
        ("a.replace('{text}', text)\nb.format(name=name)", {"a.md"}),
        ("a.replace('{text}', text)\n'{}: {}'.format(1, text=2)", {"a.md"}),
        ("a.replace('{text}', text)\nb.format(**given)", set()),
        ("a.replace('{text}', text)\nb.format_map(given)", set()),
        ("# a.replace('{text}', text)", set()),
        ("a.replace('{text}', text", set()),
        ("prompt.format(text=text.replace('{', ''))", set()),
        ("prompt.replace('{title}', title)", set()),
        ("", set()),
    ],
)
def test_a_field_that_is_replaced_by_its_name_or_by_any_name(source: str, found: set[str]) -> None:
    assert filled_in_by_replace(TEXTS, ["import os", source]) == found
