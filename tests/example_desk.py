"""The example project's cases and offline model, for its tests: runs, reflection requests, hill climbing."""

from __future__ import annotations

import importlib
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from openai import OpenAI

from pytest_gepa.prompts.edits import Edit, apply_edits
from pytest_gepa.prompts.guards import text_problems
from pytest_gepa.reflect.menu import FULL
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite import rollout as suite
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "example_project"
STAGES = ("classify", "extract", "normalise")
TEST_MODULES = ("test_spread_sources", "test_spread_figures", "test_spread_lines")

sys.path[:0] = [str(EXAMPLE), str(EXAMPLE / "tests")]
try:
    chat = importlib.import_module("offline_model.chat")
    conventions = importlib.import_module("offline_model.conventions")
    mistakes = importlib.import_module("offline_model.mistakes")
    reading = importlib.import_module("offline_model.reading")
    server = importlib.import_module("offline_model.server")
    statements = importlib.import_module("offline_model.statements")
    pipeline = importlib.import_module("desk.pipeline")
    line = importlib.import_module("desk.line")
    test_modules = [importlib.import_module(name) for name in TEST_MODULES]
finally:
    del sys.path[:2]

Prompts = Mapping[str, str]


@dataclass(frozen=True)
class DeskCase:
    id: str
    item: str
    excerpt: str
    expected: Any
    why: str


@dataclass(frozen=True)
class Run:
    case: DeskCase
    calls: tuple[tuple[str, str, str], ...]
    failure: str


CASES = tuple(DeskCase(case.id, *case.values) for module in test_modules for case in module.CASES)
SEED = {stage: (EXAMPLE / "prompts" / f"{stage}.md").read_text(encoding="utf-8") for stage in STAGES}
CONFLICTS = [convention for convention in conventions.CONVENTIONS if convention.careful_wordings]


def with_rule(prompts: Prompts, stage: str, rule: str) -> dict[str, str]:
    return {**prompts, stage: f"{prompts[stage]}- {rule}\n"}


def oracle(*, without: str = "", plain: str = "") -> dict[str, str]:
    """Prompts that state every convention, in its careful form where there is one."""
    prompts = dict(SEED)
    for convention in conventions.CONVENTIONS:
        stated = reading.stated(SEED[convention.stage], convention.stage)
        if convention.key == without and convention.key in stated:
            lines = prompts[convention.stage].splitlines(keepends=True)
            kept = [text for text in lines if convention.key not in reading.stated(text, convention.stage)]
            prompts[convention.stage] = "".join(kept)
        elif convention.key != without and convention.key not in stated:
            careful = () if convention.key == plain else convention.careful_wordings
            prompts = with_rule(prompts, convention.stage, (careful or convention.wordings)[0])
    return prompts


def in_process(**request: Any) -> Any:
    reply = chat.complete({"model": request["model"], "messages": request["messages"]})
    message = SimpleNamespace(content=reply["choices"][0]["message"]["content"])
    return SimpleNamespace(choices=[SimpleNamespace(message=message)])


class Prompter:
    """Stands in for the prompts' directory: a desk reads `directory / "classify.md"`."""

    def __init__(self, prompts: Prompts) -> None:
        self.prompts = prompts

    def __truediv__(self, name: str) -> Any:
        return SimpleNamespace(read_text=lambda encoding: self.prompts[name.removesuffix(".md")])


def run_case(prompts: Prompts, case: DeskCase, create: Any = in_process) -> Run:
    calls: list[tuple[str, str, str]] = []

    def recorded(**request: Any) -> Any:
        reply = create(**request)
        system, user = (message["content"] for message in request["messages"])
        calls.append((system, user, reply.choices[0].message.content))
        return reply

    client = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=recorded)))
    desk = pipeline.Desk(client, chat.DESK_MODEL, Prompter(prompts))
    try:
        got = desk.spread(case.item, case.excerpt)
    except pipeline.DeskError as error:
        return Run(case, tuple(calls), f"DeskError: {error}")
    differences = line.reconcile(got, case.expected)
    failure = f"AssertionError: {case.item}, {case.expected.entity}: {differences}\n  checker's note: {case.why}"
    return Run(case, tuple(calls), failure if differences else "")


def run_all(prompts: Prompts, create: Any = in_process) -> dict[str, Run]:
    return {case.id: run_case(prompts, case, create) for case in CASES}


def passed(prompts: Prompts) -> frozenset[str]:
    return _passed(tuple(prompts[stage] for stage in STAGES))


@cache
def _passed(texts: tuple[str, ...]) -> frozenset[str]:
    runs = run_all(dict(zip(STAGES, texts, strict=True)))
    return frozenset(name for name, run in runs.items() if not run.failure)


def spread(prompts: Prompts, item: str, excerpt: str) -> Any:
    client = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=in_process)))
    return pipeline.Desk(client, chat.DESK_MODEL, Prompter(prompts)).spread(item, excerpt)


def runs_of(prompts: Prompts, *names: str) -> list[Run]:
    return [run_case(prompts, case) for name in names for case in CASES if case.id == name]


def block(label: str, text: str) -> str:
    return f"{label}\n\n```\n{text}\n```\n"


def reflection_request(stage: str, prompts: Prompts, failing: Sequence[Run], neighbours: Sequence[Run] = ()) -> str:
    parts = ["Improve the prompt below.\n", block(f"`prompts/{stage}.md`", prompts[stage].rstrip("\n"))]
    for number, run in enumerate(failing, start=1):
        values = f"excerpt = {run.case.excerpt!r}\nexpected = {run.case.expected!r}"
        told = [
            block(label, text) for _, *call in run.calls for label, text in zip(("User:", "Answer:"), call, strict=True)
        ]
        heading = f"## Failing case {number}: tests/test_desk.py::test_line[{run.case.id}]\n"
        parts += [heading, block("Parameters:", values), *told, block("Failure:", run.failure)]
    for run in neighbours:
        parts += [
            f"## Passing case: tests/test_desk.py::test_line[{run.case.id}]\n",
            block("", run.calls[0][1]),
        ]
    return "\n".join(parts)


def response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "prompt_edit", "strict": True, "schema": schema}}


def reflect(text: str, schema: Mapping[str, Any] | None = FULL.schema) -> str:
    request: dict[str, Any] = {
        "model": chat.REFLECTION_MODEL,
        "messages": [{"role": "user", "content": text}],
    }
    if schema is not None:
        request["response_format"] = response_format(schema)
    return chat.complete(request)["choices"][0]["message"]["content"]


class Climber:
    """Plain hill climbing over HTTP: one reflection for each prompt, kept when more cases pass."""

    def __init__(self, client: OpenAI) -> None:
        self.client = client
        self.answered: dict[str, Any] = {}
        self.accepted: list[int] = []
        self.rejected = 0

    def create(self, **request: Any) -> Any:
        key = json.dumps(request, sort_keys=True)
        if key not in self.answered:
            self.answered[key] = self.client.chat.completions.create(**request)
        return self.answered[key]

    def propose(self, stage: str, prompts: Prompts, failing: Sequence[Run], neighbours: Sequence[Run]) -> str:
        reply = self.create(
            model=chat.REFLECTION_MODEL,
            messages=[{"role": "user", "content": reflection_request(stage, prompts, failing, neighbours)}],
            response_format=response_format(FULL.schema),
        )
        edits = [Edit(**edit) for edit in json.loads(reply.choices[0].message.content)["edits"]]
        text = apply_edits(prompts[stage], edits) if edits else prompts[stage]
        return prompts[stage] if any(text_problems(SEED[stage], prompts[stage], text)) else text

    def climb(self, seed: int, iterations: int, tell: Callable[[Run], Run] = lambda run: run) -> dict[str, str]:
        """Climb from the seed; `tell` makes of a failing run what the reflector is shown of it."""
        rng = random.Random(seed)
        prompts, runs = dict(SEED), run_all(SEED, self.create)
        for _ in range(iterations):
            bad = [run for run in runs.values() if run.failure]
            good = [run for run in runs.values() if not run.failure]
            if not bad:
                break
            shown = [tell(run) for run in rng.sample(bad, min(8, len(bad)))]
            near = rng.sample(good, min(3, len(good)))
            child = {stage: self.propose(stage, prompts, shown, near) for stage in STAGES}
            after = run_all(child, self.create)
            if sum(not run.failure for run in after.values()) > len(good):
                prompts, runs = child, after
                self.accepted.append(sum(not run.failure for run in after.values()))
            else:
                self.rejected += 1
        return prompts


def exhibit(run: Run) -> Exhibit:
    calls = tuple(
        Call(
            f"{run.case.id}-{index}",
            "m",
            (Message("system", system), Message("user", user)),
            Message("assistant", answer),
        )
        for index, (system, user, answer) in enumerate(run.calls)
    )
    outcome = suite.Outcome.failed if run.failure else suite.Outcome.passed
    case = suite.Case(run.case.id, f"tests/test_desk.py::test_line[{run.case.id}]", "def test_line(): ...\n")
    score = 0.0 if run.failure else 1.0
    trajectory = Trajectory(calls, failure=run.failure)
    return Exhibit(case, suite.Rollout("c", run.case.id, "search/0", outcome, score, trajectory))
