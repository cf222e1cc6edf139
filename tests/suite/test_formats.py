from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pytest_gepa.suite.runner import Runner
from tests.fake_openai import FakeOpenAI
from tests.suite.world import Build

APP = """
    import json, os, re
    from pathlib import Path

    import httpx
    import tomlkit
    import yaml

    import texts
    from package.prompts import PROMPTS, Router

    ROOT = Path(__file__).parent

    def ask(system):
        body = {"model": "fake", "messages": [{"role": "system", "content": system}]}
        httpx.post(os.environ["FAKE_URL"] + "/chat/completions", json=body).raise_for_status()

    def by_constant(): return texts.SYSTEM
    def by_class(): return Router.SYSTEM
    def by_dict(): return PROMPTS["router"]
    def by_yaml(): return yaml.safe_load((ROOT / "all.yaml").read_text())["router"]["system"]
    def by_toml(): return tomlkit.load(open(ROOT / "all.toml"))["router"]["system"]
    def by_body(): return re.split("^---$", (ROOT / "route.prompty").read_text(), flags=re.M)[2].strip()
    def by_field(): return yaml.safe_load((ROOT / "route.prompty").read_text().split("---")[1])["system"]
    def by_message(): return json.loads((ROOT / "chat.json").read_bytes())["messages"][0]["content"]
"""
TESTS = """
    import app

    HERE = "Text of today in the test module."

    def test_constant(): app.ask(app.by_constant())
    def test_class(): app.ask(app.by_class())
    def test_dict(): app.ask(app.by_dict())
    def test_yaml(): app.ask(app.by_yaml())
    def test_toml(): app.ask(app.by_toml())
    def test_body(): app.ask(app.by_body())
    def test_field(): app.ask(app.by_field())
    def test_message(): app.ask(app.by_message())
    def test_here(): app.ask(HERE)
    def test_conftest(text_of_conftest): app.ask(text_of_conftest)
"""
CONFTEST = """
    import pytest

    TEXTS = {"conftest": "Text of today in the conftest."}

    @pytest.fixture
    def text_of_conftest():
        return TEXTS["conftest"]
"""
FILES = {
    "app.py": APP,
    "conftest.py": CONFTEST,
    "test_formats.py": TESTS,
    "texts.py": 'SYSTEM = (\n    "Constant "\n    "of today."\n)\n',
    "package/__init__.py": "",
    "package/prompts.py": """
        from textwrap import dedent

        class Router:
            SYSTEM = dedent('''
                Class constant
                of today.
            ''').strip()

        PROMPTS = {"router": "Value in a dict, of today."}
    """,
    "all.yaml": "router:\n  system: Field of YAML, of today.  # c\n",
    "all.toml": '[router]\nsystem = "Field of TOML, of today."\n',
    "route.prompty": "---\nname: route\nsystem: Field of front matter, of today.\n---\nBody of today.\n",
    "chat.json": '{"messages": [{"role": "system", "content": "Message of today."}]}\n',
}
PLACES = {
    "texts.py::SYSTEM": "test_constant",
    "package/prompts.py::Router.SYSTEM": "test_class",
    "package/prompts.py::PROMPTS.router": "test_dict",
    "all.yaml::router.system": "test_yaml",
    "all.toml::router.system": "test_toml",
    "route.prompty": "test_body",
    "route.prompty::system": "test_field",
    "chat.json::messages.0.content": "test_message",
    "test_formats.py::HERE": "test_here",
    "conftest.py::TEXTS.conftest": "test_conftest",
}


class Purse:
    def reserve(self, rollouts: int) -> bool:
        return False

    def settle(self, reserved: int, charged: int) -> None:
        raise AssertionError("nothing was reserved")


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONDONT"))}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    with FakeOpenAI(lambda request: "an answer") as server:
        monkeypatch.setenv("FAKE_URL", server.base_url)
        yield server


def test_a_text_inside_of_any_file_reaches_the_request_as_the_candidate_has_it(
    build: Build, usual_runner: Runner, server: FakeOpenAI
) -> None:
    project = build(FILES)
    collect = [sys.executable, "-m", "pytest", "-q", "--collect-only"]
    subprocess.run(collect, cwd=project.root, env=environment(), check=True, capture_output=True)
    assert len(list(project.root.rglob("*.pyc"))) >= 5  # byte code of today's texts, of tests too
    before = project.snapshot()
    cases = {f"test_formats.py::{name}": id for id, name in PLACES.items()}
    suite = project.suite(usual_runner, list(cases), prompts=list(PLACES))
    assert list(suite.components) == sorted(PLACES)
    texts = {id: f'Place "{id}",\nümläuts.' for id in PLACES}

    rollouts = suite.run(
        "candidate", texts, list(cases), "search/0", allowance=Purse(), on_rollout=lambda rollout: None
    ).rollouts

    said = {request["messages"][0]["content"] for request in server.requests}
    assert said == set(texts.values())
    for case, id in cases.items():
        assert rollouts[case].outcome.value == "passed"
        assert rollouts[case].uses == (id,)
    assert project.snapshot() == before
