from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a proxy nor a key of whoever runs the tests."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NO_PROXY", "*")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    ways = getattr(metafunc.cls, "ways", None)
    if ways is not None and {"way", "session"}.intersection(metafunc.fixturenames):
        metafunc.parametrize("way", list(ways.values()), ids=list(ways))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            # What a client says about itself is not ours to mend.
            item.add_marker(pytest.mark.filterwarnings("default"))
