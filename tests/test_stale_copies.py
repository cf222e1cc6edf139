"""Projects whose code reads a copy of its prompts: no edit has an effect there, and every mode says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import APP, PROMPT, TODAY, Project, Run, new_project

INSTALLED = "venv/lib/site-packages"
SOURCE = f"src/shop/{PROMPT}"
TESTS = """\
from shop import route


def test_fruit():
    assert route("fruit", "one") == "one-FRU"


def test_animal():
    assert route("animal", "one") == "one-ANI"
"""


LINT = """\
from pathlib import Path


def test_prompts_are_not_empty():
    for path in Path("src/shop/prompts").glob("*.md"):
        assert path.read_text().strip()
"""


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Project]:
    """A package that is installed as `pip install .` does it: beside its sources there is a copy, which is imported."""
    for project in new_project(tmp_path / "project"):
        for place in ("src", INSTALLED):
            project.write({f"{place}/shop/__init__.py": APP, f"{place}/shop/{PROMPT}": TODAY})
        (project.root / PROMPT).unlink()
        project.write(
            {
                "test_route.py": TESTS,
                "pytest.ini": f"[pytest]\npythonpath = {INSTALLED}\ngepa_prompts = src/shop/prompts/*.md\n",
            }
        )
        yield project


def tells(run: Run) -> None:
    assert run.code == 4
    assert f"the text of {SOURCE} reaches the model, but no process of the run opened its file" in run.err
    assert f"{INSTALLED}/shop/{PROMPT}" in run.err
    assert "pip install -e ." in run.err


@pytest.mark.thorough
def test_no_reflection_is_paid_for_a_prompt_that_nobody_opens(installed: Project) -> None:
    run = installed.optimize()

    tells(run)
    assert not run.reflections
    run.matches("verdict * the run was stopped before its confirm run: the text of *")


def test_a_check_of_a_prompt_that_nobody_opens_does_not_say_that_nothing_is_worse(installed: Project) -> None:
    installed.commit()
    for place in ("src", INSTALLED):
        installed.write({f"{place}/shop/{PROMPT}": TODAY + "Be brief.\n"})

    run = installed.pytest("--gepa-check")

    tells(run)
    run.matches("verdict * not finished: the text of *")


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["test_lint.py", "test_zlint.py"])
def test_a_test_that_opens_the_files_does_not_read_them_for_the_application(installed: Project, name: str) -> None:
    installed.write({name: LINT})

    run = installed.optimize()

    tells(run)
    assert not run.reflections


@pytest.mark.thorough
def test_a_module_that_reads_the_files_at_import_hides_the_copy_until_the_first_edit(
    installed: Project,
) -> None:
    lint = "from pathlib import Path\n\nTEXT = Path('src/shop/prompts/route.md').read_text()\n"
    installed.write({"test_lint.py": f"{lint}\n\ndef test_text():\n    assert TEXT\n"})

    run = installed.optimize()

    assert run.code == 4
    assert "another text in its place changes no request: the code reads a copy" in run.err
    assert len(run.reflections) == 1


@pytest.mark.thorough
def test_a_loader_that_keeps_what_a_test_had_it_read_is_no_copy(installed: Project) -> None:
    app = APP.replace('PROMPT.read_text(encoding="utf-8")', "load()").replace(
        "\n\ndef route", "\n\n@functools.cache\ndef load():\n    return PROMPT.read_text()\n\n\ndef route"
    )
    installed.write(
        {
            "src/shop/__init__.py": f"import functools\n{app}",
            "test_load.py": "from shop import load\n\n\ndef test_load():\n    assert load()\n",
            "pytest.ini": "[pytest]\npythonpath = src\ngepa_shrink = off\ngepa_prompts = src/shop/prompts/*.md\n",
        }
    )

    run = installed.optimize()

    assert run.code == 0, run.everything
    assert run.reflections


def test_a_check_is_not_misled_by_a_test_that_opens_the_files(installed: Project) -> None:
    installed.write({"test_lint.py": LINT})
    installed.commit()
    for place in ("src", INSTALLED):
        installed.write({f"{place}/shop/{PROMPT}": TODAY + "Be brief.\n"})

    run = installed.pytest("--gepa-check", "--gepa-concurrency=1")

    assert run.code == 4
    assert "another text in its place changes no request: the code reads a copy" in run.err
    run.matches("verdict * not finished: the text of *")


@pytest.mark.thorough
def test_an_audit_of_a_prompt_that_nobody_opens_ends_as_well(installed: Project) -> None:
    tells(installed.pytest("--gepa-audit"))


@pytest.mark.thorough
def test_an_editable_install_is_improved(installed: Project) -> None:
    installed.write(
        {"pytest.ini": "[pytest]\npythonpath = src\ngepa_shrink = off\ngepa_prompts = src/shop/prompts/*.md\n"}
    )

    run = installed.optimize()

    assert run.code == 0
    assert run.reflections


@pytest.mark.thorough
def test_where_a_program_may_have_read_the_prompt_nothing_is_claimed_until_the_first_edit(
    installed: Project,
) -> None:
    installed.write({"conftest.py": "import subprocess\nsubprocess.run(['true'])\n"})

    run = installed.optimize()

    assert run.code == 4
    assert "another text in its place changes no request: the code reads a copy" in run.err
    assert len(run.reflections) == 1
    assert "no process of the run opened" not in run.everything


@pytest.mark.thorough
def test_a_prompt_beside_one_that_is_read_is_told_when_its_own_text_arrives(installed: Project) -> None:
    installed.write(
        {
            "src/shop/prompts/tone.md": "Speak as a friend of the house does.\n",
            "test_tone.py": "def test_tone():\n    assert open('src/shop/prompts/tone.md').read()\n",
        }
    )

    tells(installed.optimize())


@pytest.mark.thorough
def test_beside_a_prompt_that_is_read_and_used_a_copy_is_a_warning(installed: Project) -> None:
    kinds = "Say which kind of thing it is, in one plain word.\n"
    installed.write(
        {
            "prompts/kind.md": kinds,
            "test_kind.py": (
                "from openai import OpenAI\n\n\ndef test_kind():\n"
                "    text = open('prompts/kind.md').read()\n"
                "    messages = [{'role': 'system', 'content': text}, {'role': 'user', 'content': 'fruit: pear'}]\n"
                "    OpenAI().chat.completions.create(model='task', messages=messages)\n"
            ),
            "pytest.ini": (
                f"[pytest]\npythonpath = {INSTALLED}\ngepa_prompts =\n    src/shop/prompts/*.md\n    prompts\n"
            ),
        }
    )

    run = installed.optimize()

    assert run.code == 0, run.everything
    assert any("no process of the run opened its file" in warning for warning in run.result["warnings"])
