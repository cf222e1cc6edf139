"""Where in its file a line of a component stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gepa.prompts.file_lines import file_lines
from pytest_gepa.prompts.finding import find_components

FILES = {
    "a.md": ("Sort.\n\n- One.\n", (1, 2, 3, 4)),
    "b.prompty": ("---\nname: x\n---\nSort.\n- One.\n", (4, 5, 5)),
    "c.yaml": ("other: 1\nprompt: |\n  Sort.\n\n  - One.\n", (3, 4, 5, 5)),
    "d.toml": ('a = 1\nprompt = """\nSort.\n- One."""\n', (3, 4)),
    "e.json": ('{\n "prompt": "Sort.\\n- One."\n}\n', (2, 2)),
    "f.py": ('import os\n\nPROMPT = """\\\nSort.\n- One.\n"""\n', (4, 5, 5)),
}


@pytest.mark.parametrize("name", FILES)
def test_lines_are_those_of_the_file(tmp_path: Path, name: str):
    content, expected = FILES[name]
    path = tmp_path / "prompts" / name
    path.parent.mkdir()
    path.write_text(content, encoding="utf-8")
    address = {".yaml": "::prompt", ".toml": "::prompt", ".json": "::prompt", ".py": "::PROMPT"}
    (component,) = find_components(tmp_path, tmp_path, (f"prompts/{name}{address.get(path.suffix, '')}",))
    assert file_lines(component) == expected
