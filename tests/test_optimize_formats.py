"""Whole runs over prompts that stand inside of other files: what is found, proven, written and applied."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import APP, Project, files_below

EXAMPLE_OF_CODE = Path(__file__).parents[1] / "docs/code"
IN_ONE_PASS = """\
def best_trade(prices):
    best, lowest = 0, None
    for price in prices:
        lowest = price if lowest is None else min(lowest, price)
        best = max(best, price - lowest)
    return best
"""

READ = 'PROMPT.read_text(encoding="utf-8")'


@dataclass(frozen=True)
class Home:
    """A file that holds the prompt, the pattern that names it, and how the application reads it."""

    file: str
    content: str
    pattern: str
    reading: str
    added: str


HOMES = [
    Home(
        "conf/all.yaml",
        "# texts\nrouter:\n  system: |  # one\n    Answer with the word.\n    - The mark of a fruit is FRU.\nn: 1\n",
        "conf/all.yaml::router.system",
        'yaml.safe_load(open("conf/all.yaml"))["router"]["system"]',
        "    - The mark of a {kind} is {mark}.",
    ),
    Home(
        "texts.py",
        'SYSTEM = (\n    "Answer with the word.\\n"\n    "- The mark of a fruit is FRU.\\n"\n)  # known\n',
        "texts.py::SYSTEM",
        "texts.SYSTEM",
        '    "- The mark of a {kind} is {mark}.\\n"',
    ),
    Home(
        "route.prompty",
        "---\nname: route\n---\nAnswer with the word.\n- The mark of a fruit is FRU.",
        "*.prompty",
        'open("route.prompty").read().split("---\\n")[2]',
        "- The mark of a {kind} is {mark}.",
    ),
]


@pytest.mark.parametrize(
    "home",
    [HOMES[0], *(pytest.param(home, marks=pytest.mark.thorough) for home in HOMES[1:])],
    ids=lambda home: home.file,
)
def test_a_prompt_inside_of_another_file_is_found_improved_and_patched(project: Project, home: Home):
    (project.root / "prompts/route.md").unlink()
    app = "import sys\n\nimport yaml\n\nsys.path.insert(0, '.')\n" + APP.replace(READ, home.reading)
    if home.file == "texts.py":
        app = "import texts\n" + app
    project.write({"app.py": app, home.file: home.content, "pytest.ini": f"[pytest]\ngepa_prompts = {home.pattern}\n"})
    project.commit()
    before = files_below(project.root)

    run = project.optimize("--gepa-seed=3")

    assert run.result["verdict"] == "proven", run.everything
    assert (project.root / home.file).read_bytes() == home.content.encode()
    assert {name for name in files_below(project.root) - before if not name.startswith(".gepa/")} == set()
    project.git("apply", str(run.best_patch))
    changed = (project.root / home.file).read_text().splitlines()
    kept = [line for line in changed if line in home.content.splitlines()]
    assert kept == [line for line in home.content.splitlines() if line in changed]
    new = [line for line in changed if line not in home.content.splitlines()]
    expected = {home.added.format(kind=kind, mark=kind[:3].upper()) for kind in ("animal", "city", "tool")}
    assert {line for line in new if "fruit" not in line} == expected
    assert project.pytest().code == 0


@pytest.mark.thorough
def test_the_documented_search_on_code_takes_a_better_program_and_no_wrong_one(project: Project):
    root = project.root.parent / "code"
    shutil.copytree(EXAMPLE_OF_CODE, root, ignore=shutil.ignore_patterns(".gepa", "__pycache__"))
    wrong = IN_ONE_PASS.replace("price - lowest", "price")
    replies = iter([f"import absent\n\n{IN_ONE_PASS}", wrong, *[IN_ONE_PASS] * 9])
    project.world.reflect = lambda request: f"It looks at every pair.\n```python\n{next(replies)}```"

    run = Project(root, project.world, project.server).optimize("--gepa-trials=1")

    assert run.result["verdict"] == "proven", run.everything
    assert (run.result["baseline"]["passed"], run.result["winner"]["passed"]) == (6, 15)
    assert run.result["spent"]["rollouts"] == 0
    decisions = [(one["kind"], one["reason"]) for one in run.records("decision")[1:4]]
    assert decisions[0] == (
        "rejected",
        "no case shown gave evidence: ModuleNotFoundError: No module named 'absent'",
    )
    assert [kind for kind, _ in decisions[1:]] == ["rejected", "accepted"]
    assert "+        best = max(best, price - lowest)\n" in run.best_patch.read_text()
