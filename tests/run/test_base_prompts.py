"""The prompts of an earlier state, put beside those of today: texts that can be paired, and those that cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gepa.errors import PromptError
from tests.repositories import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("name", "before", "today"),
    [
        ("prompts/all.yaml", "a_prompt: [broken\n", "a_prompt: Say hi to all of them.\n"),
        ("prompts/all.md", b"caf\xe9\n", "cafe\n"),
    ],
)
def test_a_file_that_was_broken_at_the_base_names_the_way_out(
    repo: Repo, name: str, before: str | bytes, today: str
) -> None:
    repo.write(name, before)
    repo.commit()
    repo.write(name, today)

    with pytest.raises(PromptError, match=r"cannot be read as it was .*--gepa-check=REV.*--gepa-prompts"):
        repo.read()
