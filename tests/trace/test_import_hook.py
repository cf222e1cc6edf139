from __future__ import annotations

import importlib
import importlib.resources
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pytest_gepa.trace.import_hook import ImportWatch

NAME = "gepa_watched_module"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / NAME / "__init__.py"
    path.parent.mkdir()
    path.write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    sys.modules.pop(NAME, None)


@pytest.fixture
def seen(source: Path) -> Iterator[list[ModuleType]]:
    seen: list[ModuleType] = []
    watch = ImportWatch([NAME], seen.append)
    watch.start()
    watch.start()
    yield seen
    watch.stop()
    watch.stop()
    assert watch not in sys.meta_path


def test_a_module_is_reported_once_it_has_run(seen: list[ModuleType]) -> None:
    module = importlib.import_module(NAME)
    assert seen == [module]
    assert module.VALUE == 1
    assert importlib.import_module(NAME) is module
    assert len(seen) == 1


def test_a_module_keeps_its_own_loader(seen: list[ModuleType], source: Path) -> None:
    module = importlib.import_module(NAME)
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__
    assert inspect.getsource(module) == "VALUE = 1\n"
    assert importlib.resources.files(NAME).joinpath("__init__.py").read_text() == "VALUE = 1\n"


def test_looking_for_a_module_neither_loads_nor_reports_it(seen: list[ModuleType], source: Path) -> None:
    spec = importlib.util.find_spec(NAME)
    assert spec is not None
    assert spec.origin == str(source)
    assert spec.loader is not None
    assert spec.loader.get_source(NAME) == "VALUE = 1\n"  # type: ignore[attr-defined]
    assert seen == []


def test_a_module_that_is_loaded_again_is_reported_again(seen: list[ModuleType]) -> None:
    module = importlib.import_module(NAME)
    importlib.reload(module)
    assert seen == [module, module]


def test_a_module_that_fails_is_not_reported(seen: list[ModuleType], source: Path) -> None:
    source.write_text("raise RuntimeError('broken')")
    with pytest.raises(RuntimeError, match="broken"):
        importlib.import_module(NAME)
    assert seen == []


def test_what_fails_in_the_report_does_not_reach_the_importer(source: Path) -> None:
    def fail(module: ModuleType) -> None:
        raise FileNotFoundError("about-calls")

    watch = ImportWatch([NAME], fail)
    watch.start()
    try:
        assert importlib.import_module(NAME).VALUE == 1
    finally:
        watch.stop()


def test_missing_modules_stay_missing_and_others_are_left_alone(seen: list[ModuleType]) -> None:
    watch = next(finder for finder in sys.meta_path if isinstance(finder, ImportWatch))
    assert watch.find_spec("json") is None
    other = ImportWatch(["gepa_no_such_module"], seen.append)
    other.start()
    try:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("gepa_no_such_module")
    finally:
        other.stop()
    assert seen == []
