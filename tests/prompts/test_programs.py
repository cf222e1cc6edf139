from __future__ import annotations

import pytest

from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.programs import is_program, program_problem

KERNEL = 'def greet(name: str) -> str:\n    """Say {hello}."""\n    return f"hello {name}"\n'


@pytest.mark.parametrize("component", ["src/kernel.py", "run.sh", "web/app.TS"])
def test_a_whole_file_of_code_is_a_program(component: str):
    assert is_program(component)


@pytest.mark.parametrize("component", ["prompts/a.md", "app/prompts.py::SYSTEM", "prompts.yaml::a", "kernel"])
def test_texts_for_a_model_are_no_programs(component: str):
    assert not is_program(component)


def test_python_must_compile():
    assert program_problem("kernel.py", KERNEL) is None
    problem = program_problem("kernel.py", "x = 1\ny = (\n")
    assert problem is not None
    assert problem.startswith("no program: Python says of the edited text: line 2, ")
    assert program_problem("kernel.py", "x = '\0'") is not None


def test_other_languages_are_not_judged_here():
    assert program_problem("run.sh", "if then (") is None


def test_a_guard_holds_a_program_to_its_language_and_to_no_template():
    guard = Guard({"kernel.py": KERNEL})
    assert guard.check("kernel.py", KERNEL, "def greet(name):\n    return 'hello ' + name\n") is None
    refused = guard.check("kernel.py", KERNEL, "def greet(name:\n    return name\n")
    assert refused is not None
    assert refused.startswith("no program: ")
