"""Which files of a project cases may have their data from."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_gepa.suite import project_files
from pytest_gepa.suite.rollout import Case
from pytest_gepa.suite.sources import Source, case_sources


def sources(root: Path, files: Mapping[str, str | bytes], *tests: str) -> dict[str, Source]:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    cases = [Case(f"{name}::test_it", f"{name}::test_it") for name in tests or ("tests/test_a.py",)]
    return {source.path: source for source in case_sources(root, cases)}


def test_test_files_and_the_conftest_files_above_them_come_first(tmp_path: Path):
    files = {"conftest.py": "1", "tests/conftest.py": "2", "tests/test_a.py": "3", "other/conftest.py": "4"}
    found = sources(tmp_path, files)
    assert [(path, source.text, source.is_test) for path, source in found.items()] == [
        ("tests/test_a.py", "3", True),
        ("tests/conftest.py", "2", True),
        ("conftest.py", "1", True),
    ]


def test_modules_of_the_project_that_are_imported_are_sources(tmp_path: Path):
    files = {
        "tests/test_a.py": "import json\nimport beside\nfrom .near import X\n"
        "def test_it():\n    from pack.inner import cases\n",
        "tests/beside.py": "",
        "tests/near.py": "import deeper",
        "deeper.py": "",
        "pack/__init__.py": "",
        "pack/inner/__init__.py": "",
        "pack/inner/cases.py": "from ..data import ROWS\nfrom .. import more",
        "pack/data.py": "",
        "pack/more.py": "",
        "unused.py": "",
        "tests/json.txt": "",
    }
    found = sources(tmp_path, files)
    assert {path for path in found if path.endswith(".py")} == {
        name for name in files if name.endswith(".py") and name != "unused.py"
    }
    assert not found["pack/inner/cases.py"].is_test


def test_modules_that_are_loaded_are_sources_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "by_name.py").write_text("ROWS = []")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "by_name", raising=False)
    __import__("by_name")
    try:
        assert "by_name.py" in sources(tmp_path, {"tests/test_a.py": ""})
    finally:
        del sys.modules["by_name"]


def test_files_of_data_are_sources_wherever_they_are(tmp_path: Path):
    files = {
        "tests/test_a.py": "",
        "tests/data/cases.json": "[]",
        "shared/gold.CSV": "a,b",
        "shared/one.case.md": "\ufefftext",
        "notes.txt": b"\xff\xfe\x00",
        ".git/x.json": "{}",
        "node_modules/x.json": "{}",
        "env/pyvenv.cfg": "",
        "env/x.json": "{}",
        "image.png": "",
    }
    found = sources(tmp_path, files)
    assert list(found) == [
        "tests/test_a.py",
        "tests/data/cases.json",
        "shared/gold.CSV",
        "shared/one.case.md",
    ]
    assert found["shared/gold.CSV"].suffix == ".csv"
    assert found["shared/one.case.md"].text == "text"
    names = {
        str(tmp_path / "shared/one.case.md"),
        "shared/one.case.md",
        "one.case.md",
        "one.case",
        "one",
        "shared",
    }
    assert set(found["shared/one.case.md"].names) == names


def test_a_file_that_the_tests_name_comes_first_and_near_ones_before_far_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(project_files, "MOST_FILES", 2)
    files = {"tests/test_a.py": "open('far.json')", "a.json": "1", "x/y/far.json": "2", "tests/z.json": "3"}
    assert list(sources(tmp_path, files)) == ["tests/test_a.py", "x/y/far.json", "tests/z.json"]


def test_what_would_take_too_long_to_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(project_files, "MOST_BYTES", 60)
    files = {
        "tests/test_a.py": "",
        "tests/a.json": "1" * 50,
        "tests/b.yaml": "2" * 5,
        "tests/c.txt": "3" * 10,
    }
    assert list(sources(tmp_path, files)) == ["tests/test_a.py", "tests/a.json", "tests/c.txt"]


def test_a_project_that_cannot_be_walked_to_its_end_has_its_tests_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(project_files, "_MOST_SEEN", 3)
    many = {f"a{n}/x.json": "1" for n in range(9)}
    found = sources(tmp_path, {"tests/test_a.py": "", "tests/z.json": "2", **many})
    assert "tests/z.json" in found
    assert len(found) < 9
