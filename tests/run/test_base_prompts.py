"""The prompts of an earlier state, put beside those of today: texts that can be paired, and those that cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.finding import DEFAULT_PATTERNS, find_components
from tests.repositories import Repo, states


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("name", "before", "today"),
    [
        ("prompts/all.yaml", "a_prompt: [broken\n", "a_prompt: Say hi to all of them.\n"),
        ("prompts/all.md", b"caf\xe9\n", "cafe\n"),
    ],
)
def test_a_file_that_was_broken_at_the_base_names_the_way_out(
    repo: Repo, name: str, before: str | bytes, today: str
) -> None:
    repo.write(name, before)
    repo.commit()
    repo.write(name, today)

    with pytest.raises(PromptError, match=r"cannot be read as it was .*--gepa-check=REV.*--gepa-prompts"):
        repo.read()


@pytest.mark.parametrize(
    ("pattern", "before", "today", "why"),
    [
        ("app.py::PROMPT", 'PROMPT = f"You are {NAME}."\n', 'PROMPT = "You are x."\n', "f-string"),
        ("app.py::PROMPT", 'PROMPT = "You are " + NAME\n', 'PROMPT = "You are x."\n', "line 1"),
        ("app.py::PROMPT", "PROMPT = Path('x').read_text()\n", 'PROMPT = "You are x."\n', "no fixed text"),
        ("p.yaml::b", "a: &x Say hi.\nb: *x\n", "a: Say hi.\nb: Say no.\n", "alias"),
        ("p.yaml::b.c", "a: &x {c: Say hi.}\nb: *x\n", "a: {c: Say hi.}\nb: {c: Say no.}\n", "alias"),
        ("p.json::b", '{"b": ["Say hi.", "Be kind."]}', '{"b": "Say no."}', "in another form"),
        ("p.json::b.c", '{"b": "Say hi."}', '{"b": {"c": "Say no."}}', "in another form"),
    ],
    ids=["f-string", "computed", "read", "alias", "below an alias", "list", "text above"],
)
def test_a_prompt_that_the_base_has_in_a_form_that_cannot_be_read_is_not_new(
    repo: Repo, pattern: str, before: str, today: str, why: str
) -> None:
    name = pattern.partition("::")[0]
    repo.write(name, before)
    repo.commit()
    repo.write(name, today)

    with pytest.raises(PromptError, match=rf"(?s){pattern} cannot be read .*{why}.*--gepa-check=REV"):
        repo.read(patterns=(pattern,))


def test_a_prompt_beside_one_that_cannot_be_read_is_new(repo: Repo) -> None:
    repo.write("app.py", 'OTHER = f"You are {NAME}."\nPROMPT = None\n')
    repo.write("p.json", '{"a": "Say hi."}')
    repo.commit()
    repo.write("app.py", 'OTHER = f"You are {NAME}."\nPROMPT = "You are x."\nMORE = "You are y."\n')
    repo.write("p.json", '{"a": "Say hi.", "b": {"c": "Say no."}}')

    found = states(repo.read(patterns=("app.py::PROMPT", "app.py::MORE", "p.json::b.c")))

    assert found == {"app.py::PROMPT": "added", "app.py::MORE": "added", "p.json::b.c": "added"}


SYSTEM = {"role": "system", "content": "Put words into capitals."}
SHOWN = {"role": "assistant", "content": "I shall answer with capitals."}
USER = {"role": "user", "content": "The word is {word}."}
OTHER = {"role": "user", "content": "My word is {word}, and nothing else."}
CALL = {"role": "user", "name": "caller"}


@pytest.mark.parametrize(
    ("before", "today"),
    [
        ([SYSTEM, SHOWN, USER], [SYSTEM, OTHER]),
        ([SYSTEM, SHOWN, USER], [SYSTEM, USER]),
        ([SYSTEM, USER], [SYSTEM, SHOWN, USER]),
        ([SYSTEM, USER, SHOWN], [SYSTEM, SHOWN, USER]),
        ([SYSTEM, CALL], [SYSTEM, USER]),
        ({"first": SYSTEM, "second": USER}, [SYSTEM, USER]),
    ],
    ids=["removed and edited", "removed", "put in", "other order", "without a text", "by names"],
)
@pytest.mark.parametrize("name", ["p.json", "p.yaml", "p.py"])
def test_texts_of_a_list_that_was_rearranged_are_never_paired(
    repo: Repo, name: str, before: object, today: object
) -> None:
    head = "MESSAGES = " if name == "p.py" else '{"MESSAGES": '
    tail = "\n" if name == "p.py" else "}"
    repo.write(name, head + json.dumps(before) + tail)
    repo.commit()
    repo.write(name, head + json.dumps(today) + tail)

    told = rf"the items of {name}::MESSAGES were rearranged since .*--gepa-prompts={name}::"
    with pytest.raises(PromptError, match=told):
        repo.read(patterns=(f"{name}::**.content",))
    assert states(repo.read(patterns=(f"{name}::",))) == {name if name == "p.py" else f"{name}::": "edited"}


def test_texts_of_a_list_of_the_same_form_are_paired_by_their_places(repo: Repo) -> None:
    repo.write("p.json", json.dumps({"messages": [SYSTEM, SHOWN, USER]}))
    repo.write("p.py", 'AGENT = Agent("You are kind.", tools=["a"])\n')
    repo.commit()
    repo.write("p.json", json.dumps({"messages": [SYSTEM, SHOWN, OTHER], "more": [1]}))
    repo.write("p.py", 'AGENT = Agent("You are terse.", model="m", tools=["a", "b"])\n')

    base = repo.read(patterns=("p.json::**.content", "p.py::AGENT.0"))

    assert base.texts["p.json::messages.2.content"] == USER["content"]
    assert states(base) == {"p.json::messages.2.content": "edited", "p.py::AGENT.0": "edited"}


def test_a_list_that_is_new_has_new_prompts(repo: Repo) -> None:
    repo.write("p.json", '{"model": "m"}')
    repo.commit()
    repo.write("p.json", json.dumps({"model": "m", "messages": [SYSTEM]}))

    assert states(repo.read(patterns=("p.json::**.content",))) == {"p.json::messages.0.content": "added"}


ENDS = ["one\r\ntwo\nthree\n", "one\rtwo\rthree\r", "\ufeff\ufeffone\ntwo\nthree\n"]


@pytest.mark.parametrize("before", ENDS, ids=["mixed", "CR", "two BOMs"])
@pytest.mark.parametrize("head", ["", "---\nmodel: m\n---\n"], ids=["whole", "body"])
def test_line_ends_and_marks_that_today_has_no_more_are_no_change(repo: Repo, before: str, head: str) -> None:
    repo.write("prompts/a.md", head + before)
    repo.commit()
    repo.write("prompts/a.md", head + "one\ntwo\nthree\n")
    assert not repo.read().changes

    repo.write("prompts/a.md", head + "one\ntwo\nfour\n")
    assert repo.read().texts == {"prompts/a.md": "one\ntwo\nthree\n"}


def test_mixed_line_ends_of_today_are_a_change(repo: Repo) -> None:
    repo.write("prompts/a.md", "one\ntwo\n")
    repo.commit()
    repo.write("prompts/a.md", "one\r\ntwo\n")

    assert states(repo.read()) == {"prompts/a.md": "edited"}


def test_an_old_text_that_the_file_of_today_cannot_hold_is_told_as_such(repo: Repo) -> None:
    repo.write("prompts/a.md", "---\nmodel: m\n---\n---\ntone: x\n---\nBe kind.\n")
    repo.commit()
    repo.write("prompts/a.md", "Be kind.\n")
    components = find_components(repo.root, repo.root, DEFAULT_PATTERNS)
    base = repo.read()

    told = rf"cannot hold the prompts as they were at {base.name}: prompts/a.md: .*--gepa-prompts"
    with pytest.raises(PromptError, match=told):
        base.check_held(components)


LONG = "".join(f"Rule {number}: answer ticket {number} with its mark.\n" for number in range(9))


@pytest.mark.parametrize(
    ("patterns", "before", "today", "why"),
    [
        (DEFAULT_PATTERNS, {"prompts/a.md": LONG}, {"app/a.md": f"{LONG}Be brief.\n"}, "stands at app/a.md,"),
        (DEFAULT_PATTERNS, {"prompts/a.yaml": "a_prompt: Say hi.\n"}, {"prompts/a.yaml": "a: [b\n"}, "line"),
        (
            DEFAULT_PATTERNS,
            {"prompts/a.yaml": "a_prompt: Say hi to all of them.\n"},
            {"prompts/a.yaml": "a: Say hi to none of them.\n"},
            "stands at prompts/a.yaml::a,",
        ),
        (
            ("app.py::*PROMPT",),
            {"app.py": 'ROUTE_PROMPT = "You are kind."\nTONE_PROMPT = "Be brief."\n'},
            {"app.py": 'ROUTE_PROMPT = f"You are {KIND}."\nTONE_PROMPT = "Be brief."\n'},
            "f-string",
        ),
        (
            ("app.py::*PROMPT",),
            {"app.py": 'A_PROMPT = "You are kind to each of us."\nB_PROMPT = "Be brief."\n'},
            {"app.py": 'A_TEXT = "You are kind to none of us."\nB_PROMPT = "Be brief."\n'},
            "stands at app.py::A_TEXT,",
        ),
    ],
    ids=["moved", "broken", "renamed key", "f-string", "renamed constant"],
)
def test_a_prompt_that_was_edited_and_is_none_any_more_cannot_be_passed_over(
    repo: Repo, patterns: tuple[str, ...], before: dict[str, str], today: dict[str, str], why: str
) -> None:
    for name, text in before.items():
        repo.write(name, text)
    repo.write("prompts/other.md", "Another one.\n")
    repo.commit()
    for name in before.keys() - today.keys():
        (repo.root / name).unlink()
    for name, text in today.items():
        repo.write(name, text)
    repo.git("add", "-A")
    base = repo.read(patterns=patterns)

    assert not base.changes
    told = rf"(?s)was a prompt at {base.name}, and is none that can be set today \(.*{why}.*--gepa-prompts"
    with pytest.raises(PromptError, match=told):
        base.check_settable()


def test_a_prompt_that_was_moved_as_it_was_fails_nothing(repo: Repo) -> None:
    repo.write("prompts/a.md", LONG)
    repo.write("prompts/other.md", "Another one.\n")
    repo.commit()
    repo.git("mv", "prompts/a.md", "archived.md")

    base = repo.read()

    base.check_settable()
    assert [(one.component, one.state, one.moved) for one in base.changes] == [
        ("prompts/a.md", "deleted", "archived.md")
    ]
    assert not base.deleted


def test_a_text_that_was_taken_out_of_its_file_is_deleted(repo: Repo) -> None:
    repo.write("app.py", 'A_PROMPT = "You are kind to each of us."\nB_PROMPT = "Be brief."\nC = 1\n')
    repo.write("prompts/all.yaml", "a_prompt: Say hi to all of them.\nmodel: large\n")
    repo.write("prompts/other.md", "Another one.\n")
    repo.commit()
    repo.write("app.py", 'B_PROMPT = "Be brief."\nC = 1\n')
    repo.write("prompts/all.yaml", "model: large\n")

    base = repo.read(patterns=("app.py::*PROMPT", *DEFAULT_PATTERNS))

    base.check_settable()
    assert states(base) == {"app.py::A_PROMPT": "deleted", "prompts/all.yaml::a_prompt": "deleted"}


def test_placeholders_that_only_the_old_text_has_are_known(repo: Repo) -> None:
    repo.write("prompts/a.md", "{% if calm %}Be kind.{% endif %}\nSort {text} by {date}.\n")
    repo.commit()
    repo.write("prompts/a.md", "Sort {document} by {date}.\n")

    (change,) = repo.read().changes

    assert change.unfilled == ("{text}",)
    assert change.only_today == ("{document}",)
