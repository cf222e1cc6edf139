"""Small projects on disk, and the suite that runs their cases in child sessions."""

from __future__ import annotations

import select
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_gepa.prompts.finding import DEFAULT_PATTERNS, find_components
from pytest_gepa.stash import INITIAL_SYS_PATH
from pytest_gepa.suite.charges import Allowance
from pytest_gepa.suite.evaluate import Evaluation, Suite, Surroundings
from pytest_gepa.suite.rollout import Case, Rollout
from pytest_gepa.suite.runner import Runner

PRELOAD = ("pytest", "pytest_gepa.suite.session", "openai", "openai.resources.chat", "jinja2")
PROMPT = "prompts/greet.md"
TODAY = "Greet the user as it is done today.\n"


@dataclass
class Purse:
    """An allowance of `rollouts` that keeps account."""

    rollouts: int = 0
    asked: list[int] = field(default_factory=list)
    settled: list[tuple[int, int]] = field(default_factory=list)

    def reserve(self, rollouts: int) -> bool:
        self.asked.append(rollouts)
        if rollouts > self.rollouts:
            return False
        self.rollouts -= rollouts
        return True

    def settle(self, reserved: int, charged: int) -> None:
        self.settled.append((reserved, charged))


class Project:
    """A project in `root` with one prompt, `prompts/greet.md`; temporary files and the cache are kept outside."""

    def __init__(self, root: Path, temp: Path, files: Mapping[str, str]) -> None:
        self.root, self.temp = root, temp
        for directory in (root, temp):
            directory.mkdir(parents=True)
        for name, text in {"pytest.ini": "[pytest]\n", "conftest.py": "", PROMPT: TODAY, **files}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")

    def suite(
        self,
        runner: Runner,
        cases: Sequence[str],
        *,
        args: Sequence[str] = (),
        concurrency: int = 1,
        timeout: float = 60.0,
        search: Sequence[str] = (),
        prompts: Sequence[str] = DEFAULT_PATTERNS,
        isolation: str = "auto",
    ) -> Suite:
        around = Surroundings(
            args=tuple(args),
            cwd=str(self.root),
            rootdir=str(self.root),
            sys_path=(*search, *INITIAL_SYS_PATH),
            temp=self.temp,
            cache=str(self.temp / "cache"),
            concurrency=concurrency,
            timeout=timeout,
            isolation=isolation,
        )
        components = find_components(self.root, self.root, prompts)
        return Suite([Case(case, case) for case in cases], components, around, runner)

    def snapshot(self) -> dict[str, bytes | None]:
        """The files by name with their bytes, and the directories with None."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes() if path.is_file() else None
            for path in sorted(self.root.rglob("*"))
        }


Build = Callable[[Mapping[str, str]], Project]


def evaluate(
    suite: Suite,
    text: str = TODAY,
    *,
    cases: Sequence[str] = (),
    trial: str = "search/0",
    allowance: Allowance | None = None,
    heard: list[Rollout] | None = None,
    prompt: str = PROMPT,
) -> Evaluation:
    """Run cases (all of the suite's by default) with `text` in place of the prompt."""
    return suite.run(
        f"candidate of {text!r}",
        {component.id: text if component.id == prompt else component.text for component in suite.components.values()},
        list(cases) or list(suite.cases),
        trial,
        allowance=allowance or Purse(),
        on_rollout=(heard if heard is not None else []).append,
    )


def logged(rollout: Rollout, name: str = "text") -> str:
    """The value that a case logged under a name."""
    values = [step.value for step in rollout.trajectory.steps if step.name == name]
    assert values, f"{rollout.outcome.value}: {rollout.trajectory.failure}"
    return values[-1]


def outcomes(evaluation: Evaluation) -> dict[str, str]:
    """Outcomes by the name of the test function."""
    return {case.split("::", 1)[1]: rollout.outcome.value for case, rollout in evaluation.rollouts.items()}


def has_ended(descriptor: int) -> bool:
    """Whether the process of a descriptor of `os.pidfd_open` ends; waits for it for a while."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(20_000))
