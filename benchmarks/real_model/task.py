"""A task as the libraries beside pytest need it: its cases, and what its own test says of an answer."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

HERE = Path(__file__).parent
TASKS = ("dates", "amounts", "sentiment")
PORTS = {"0.5b": 8103, "1.5b": 8104}
"""Where each model is served; the task model is the first."""

IN_FLIGHT = 2
"""Requests at once, for every method: the server has as many slots, and the machine as many cores."""

PATIENCE = 3600.0
"""Seconds that a request may take: where several runs share the machine, a reply as long as the context takes half an
hour, and to ask again would only make it longer.
"""

Prefix = Sequence[dict[str, str]]
"""What stands before a case's text in a request: the prompt, and examples if there are any."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `expected` is what the test compares with."""

    text: str
    expected: Any

    @property
    def label(self) -> str:
        """The right answer as the model should write it."""
        return self.expected if isinstance(self.expected, str) else json.dumps(self.expected)


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer, 1 or 0 for it, and what the failed assertion says."""

    answer: str
    score: float
    feedback: str


def url(size: str) -> str:
    """The server of a model."""
    return f"http://127.0.0.1:{PORTS[size]}/v1"


class Task:
    """One task, loaded from its folder. A process loads one only: all of them have a module `app`."""

    def __init__(self, name: str) -> None:
        folder = HERE / name
        os.environ.update(OPENAI_BASE_URL=url("0.5b"), OPENAI_API_KEY="none", TASK_MODEL="local")
        sys.path.insert(0, str(folder))
        self._app: Any = importlib.import_module("app")
        path = next((folder / "tests").glob("test_*.py"))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._test = next(value for name, value in vars(module).items() if name.startswith("test_"))
        self._given = threading.local()
        # The test judges an answer that is there already: so one assertion serves every method.
        self._app.answer = lambda text: self._given.answer
        self.search = [Case(*pair) for pair in module.SEARCH]
        self.held_out = [Case(*pair) for pair in module.HELD_OUT]
        self.prompt = self._app.PROMPT.read_text(encoding="utf-8")

    def answer(self, prefix: Prefix, text: str) -> str:
        """One rollout's answer, asked as the application asks."""
        try:
            return self._app.chat([*prefix, {"role": "user", "content": text}])
        except openai.BadRequestError:
            return ""  # longer than the model's context

    def judge(self, case: Case, answer: str) -> Judged:
        """What the task's own test says."""
        self._given.answer = answer
        try:
            self._test(case.text, case.expected)
        except AssertionError as failure:
            return Judged(answer, 0.0, str(failure))
        return Judged(answer, 1.0, "right")

    def run(self, prefix: Prefix, cases: Sequence[Case]) -> list[Judged]:
        """A rollout of each case."""
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            return list(pool.map(lambda case: self.judge(case, self.answer(prefix, case.text)), cases))

    def score(self, prefix: Prefix) -> dict[str, int]:
        """Cases passed in a fresh run of both splits."""
        return {
            name: int(sum(judged.score for judged in self.run(prefix, cases)))
            for name, cases in (("search", self.search), ("held_out", self.held_out))
        }


def prefix_of(prompt: str) -> Prefix:
    """A prompt without examples."""
    return [{"role": "system", "content": prompt}]
