"""The command that applies a patch, and the message above it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_gepa.evolve.candidate import derive, seed_candidate
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.finding import find_components
from pytest_gepa.prompts.patch import FileChange, PatchLine, check_patch, make_patch
from pytest_gepa.report.markdown import render_markdown
from pytest_gepa.report.patches import (
    PatchBase,
    candidate_patch,
    edit_lines,
    frontier_message,
    name_without_file,
    winner_message,
)
from pytest_gepa.report.result import Change, EditRecord, Finding, FrontierEntry, SplitScores
from pytest_gepa.verdict.judge import Tally
from tests.report.runs import PROMPT, result

NEW = b"new\r\n"


def edit(*changes: Change, origin: str = "reflection", parents: tuple[str, ...] = ("seed",)) -> EditRecord:
    return EditRecord("abc", origin, (PROMPT,), parents, changes)


def change(**fields: object) -> Change:
    usual: dict[str, object] = {
        "component": PROMPT,
        "summary": "+ - mind the sign",
        "diagnosis": "",
        "findings": (),
        "cases": ("a.py::test_x[one]",),
    }
    return Change(**{**usual, **fields})  # type: ignore[arg-type]


def text_of(lines: list[PatchLine]) -> str:
    return "\n".join(("| " if line.quoted else "") + line.text for line in lines)


# Where a patch applies, and how to say so


def make_tree(root: Path, is_git: bool) -> tuple[PatchBase, Path, Path]:
    """A rootdir below `root` with a prompt, and a patch of it in the run directory."""
    rootdir = root / "it's a repo" / "service"
    (rootdir / "prompts").mkdir(parents=True)
    (rootdir / "deep").mkdir()
    prompt = rootdir / PROMPT
    prompt.write_bytes(b"old\r\n")
    if is_git:
        subprocess.run(["git", "init", "-q", str(rootdir.parent)], check=True)
    base = PatchBase.of(rootdir)
    patch = rootdir / ".gepa/runs/2026-01-31-1/best.patch"
    patch.parent.mkdir(parents=True)
    name = prompt.relative_to(base.top).as_posix()
    patch.write_bytes(make_patch([FileChange(name, b"old\r\n", NEW)], [PatchLine("any", quoted=False)]))
    return base, rootdir, patch


@pytest.mark.parametrize("is_git", [True, False])
@pytest.mark.parametrize("place", [".", "..", "deep", "prompts", "../.."])
def test_the_command_applies_the_patch_from_wherever_pytest_was_started(tmp_path: Path, is_git: bool, place: str):
    base, rootdir, patch = make_tree(tmp_path, is_git)
    assert base.is_git is is_git
    here = (rootdir / place).resolve()
    command = base.command(patch, here, [(rootdir / PROMPT).resolve()])
    assert "\n" not in command
    subprocess.run(command, shell=True, cwd=here, check=True)
    assert (rootdir / PROMPT).read_bytes() == NEW


def test_the_command_is_short_where_the_project_is(tmp_path: Path):
    base, rootdir, patch = make_tree(tmp_path, is_git=True)
    prompt = (rootdir / PROMPT).resolve()
    assert base.command(patch, rootdir, [prompt]) == "git apply .gepa/runs/2026-01-31-1/best.patch"
    assert base.command(patch, rootdir.parent, [prompt]) == "git apply service/.gepa/runs/2026-01-31-1/best.patch"


def test_a_patch_leads_to_the_candidate_byte_for_byte(tmp_path: Path):
    for name, data in {
        "prompts/crlf.md": b"\xef\xbb\xbfone\r\ntwo\r\n",
        "prompts/open end.txt": "Größe".encode(),
        "prompts/same.md": b"x\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    components: dict[str, Component] = {found.id: found for found in find_components(tmp_path, tmp_path, ["prompts/*"])}
    seed = seed_candidate({name: component.text for name, component in components.items()})
    texts = {"prompts/crlf.md": "one\nand\ntwo\n", "prompts/open end.txt": "Größe\nand more"}
    candidate = derive(seed, {**seed.texts, **texts})
    patch = candidate_patch(candidate, components, PatchBase(tmp_path, is_git=False), [PatchLine("why")])
    expected = [
        FileChange("prompts/crlf.md", b"\xef\xbb\xbfone\r\ntwo\r\n", b"\xef\xbb\xbfone\r\nand\r\ntwo\r\n"),
        FileChange("prompts/open end.txt", "Größe".encode(), "Größe\nand more".encode()),
    ]
    check_patch(patch, expected)
    assert b"same.md" not in patch


# The message


def test_a_proven_winner_says_what_it_does_and_how_sure_that_is():
    told = text_of(
        winner_message(
            result(
                fixed=("a.py::test_x[one]", "a.py::test_x[two]"),
                holdout=SplitScores(Tally(1, 4, 0.25), Tally(3, 4, 0.75)),
                seed=7,
            )
        )
    )
    assert told.startswith("gepa: 3/12 -> 12/12 cases, proven better\n")
    assert "Confirm run (1 trial a side): +75 points, 95 % interval +36 to +93, p = 0.0039." in told
    assert "Held-out cases: 1/4 -> 3/4." in told
    assert "| task small, reflection large" in told
    assert "Seed: 7" in told
    assert "Fixed: 2\n| a.py::test_x[one]\n| a.py::test_x[two]\nBroken: none" in told


@pytest.mark.parametrize(("verdict", "words"), [("not proven", "NOT PROVEN"), ("worse", "WORSE")])
def test_a_winner_that_is_not_proven_says_so_first(verdict: str, words: str):
    (title, *_) = winner_message(result(verdict=verdict))
    assert title.text == f"gepa: 3/12 -> 12/12 cases, {words}"


def test_a_winner_of_an_interrupted_run_is_headed_not_confirmed_and_lists_no_fixed_cases():
    told = text_of(winner_message(result(verdict="not confirmed", reason="interrupted", trials=0)))
    assert told.startswith("gepa: NOT CONFIRMED candidate, search score 3/12 -> 12/12\n")
    assert "p = " not in told
    assert "Fixed" not in told
    assert "Broken" not in told


def test_other_frontier_candidates_are_headed_unconfirmed():
    message = frontier_message(FrontierEntry("f", 7, 12, 0.58, ""), [edit(change())], result())
    assert message[0].text == "gepa: frontier candidate, 7/12 cases (search score, unconfirmed)"
    assert f"Seed: {result().seed}" in text_of(message).splitlines()


def test_the_message_holds_neither_clock_nor_duration():
    one, other = result(), result(run="2027-12-31-9", patch="elsewhere")
    assert winner_message(one) == winner_message(other)


def test_each_change_comes_with_its_findings():
    findings = (
        Finding("a.py::test_x[one]", "lacks the sign", "no rule"),
        Finding("a.py::test_x[two]", "the same", ""),
    )
    told = text_of(edit_lines([edit(change(findings=findings, summary="- old\n+ new"))]))
    assert f"Step 1, change proposed for\n| {PROMPT}\n| - old\n| + new\nbecause\n" in told
    assert "| test_x[one]: lacks the sign\n|   no rule\n| test_x[two]: the same" in told


def test_cases_with_one_cause_are_told_together():
    findings = tuple(Finding(f"a.py::test_x[{n}]", "lacks the sign", "no rule") for n in range(6))
    told = text_of(edit_lines([edit(change(findings=findings))]))
    assert told.endswith("| test_x[0], test_x[1], test_x[2], test_x[3] and 2 more: lacks the sign\n|   no rule")
    assert told.count("lacks the sign") == 1


def test_a_change_without_findings_comes_with_its_diagnosis_and_the_cases_read():
    told = text_of(edit_lines([edit(change(diagnosis="Signs are lost."))]))
    assert "because\n| Signs are lost.\n| read: test_x[one]" in told


def test_a_merge_names_its_parents():
    told = text_of(edit_lines([edit(change()), edit(origin="merge", parents=("aaa", "bbb"))]))
    assert "Step 2, merge of aaa and bbb" in told


def test_a_line_that_was_taken_away_again_is_told():
    told = text_of(edit_lines([edit(change()), edit(origin="pruning")]))
    assert f"Step 2, an added line taken away again in\n| {PROMPT}\n" in f"{told}\n"


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("repair", "a part of the edit taken back in"),
        ("ancestor", "the earlier text of"),
        ("pruning", "an added line taken away again in"),
        ("shrink", "changes that no case needs taken away again in"),
    ],
)
def test_patch_and_report_say_how_a_step_came_about(origin: str, words: str):
    step = edit(origin=origin)
    assert f"Step 1, {words}\n" in text_of(edit_lines([step]))
    page = render_markdown(result(edits=(step,)))
    assert f"### 1. {words[0].upper()}{words[1:]} {PROMPT}" in page.splitlines()


def test_long_lists_are_cut_with_a_count():
    told = text_of(winner_message(result(fixed=tuple(f"a.py::test_{n}" for n in range(60)))))
    assert "Fixed: 60" in told
    assert "| and 20 more" in told
    findings = tuple(Finding(f"a.py::test_{n}", f"wrong, {n}", f"why {n}") for n in range(9))
    assert "| and 5 more, in the report" in text_of(edit_lines([edit(change(findings=findings))]))


def test_a_cause_that_was_told_is_not_told_of_every_case():
    causes = ("not to blame", "no rule", "not to blame", "", "not to blame", "")
    findings = tuple(Finding(f"a.py::test_{n}", f"wrong, {n}", cause) for n, cause in enumerate(causes))
    told = text_of(edit_lines([edit(change(findings=findings))])).splitlines()
    assert told[told.index("because") + 1 :] == [
        "| test_0: wrong, 0",
        "|   not to blame",
        "| test_1: wrong, 1",
        "|   no rule",
        "| test_3: wrong, 3",
        "| test_5: wrong, 5",
        "| and 2 more, in the report",
    ]


def test_what_a_model_wrote_is_quoted_and_cannot_become_part_of_the_diff(tmp_path: Path):
    hostile = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n\x1b[31m\u202e\r\nGIT binary patch"
    lines = winner_message(
        result(
            reason=hostile,
            models={"task": (hostile,)},
            fixed=(hostile,),
            edits=(
                edit(change(summary=hostile, diagnosis=hostile)),
                edit(change(findings=(Finding(hostile, hostile, hostile),)), origin=hostile, parents=(hostile,)),
            ),
        )
    )
    changes = [FileChange("prompts/a.md", b"old\n", b"new\n")]
    patch = make_patch(changes, lines)
    check_patch(patch, changes)
    assert b"\x1b" not in patch
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/a.md").write_bytes(b"old\n")
    (tmp_path / "p.patch").write_bytes(patch)
    subprocess.run(["git", "apply", "p.patch"], cwd=tmp_path, check=True)
    assert (tmp_path / "prompts/a.md").read_bytes() == b"new\n"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("nodeid", "short"),
    [
        ("tests/a.py::test_x", "test_x"),
        ("tests/a.py::TestY::test_x[one]", "test_x[one]"),
        ("tests/a.py::test_x[std::string]", "test_x[std::string]"),
        ("a case that the model named itself", "a case that the model named itself"),
    ],
)
def test_a_name_without_its_file_is_the_last_part_of_a_nodeid(nodeid: str, short: str):
    assert name_without_file(nodeid) == short
