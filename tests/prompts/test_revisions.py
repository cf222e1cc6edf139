"""Earlier states of prompts, read from real git repositories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.commits import FORGES_TARGETS
from pytest_gepa.prompts.finding import DEFAULT_PATTERNS, find_components
from pytest_gepa.prompts.git_runs import RevisionError
from pytest_gepa.run.base_prompts import read_base
from pytest_gepa.trace.redact import Redactor
from tests.repositories import Repo, states


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo(tmp_path / "top", tmp_path / "top" / "sub")
    repo.write("prompts/route.md", "one\ntwo\nthree\nfour\n")
    repo.write("prompts/other.md", "unchanged\n")
    repo.commit()
    return repo


def test_uncommitted_text_is_compared_with_head_on_the_default_branch(repo: Repo) -> None:
    assert not repo.read().changes
    repo.write("prompts/route.md", "one\nTWO\nthree\nfour\nfive\n")
    base = repo.read()
    (change,) = base.changes
    assert (change.state, change.path, change.lines) == ("edited", "sub/prompts/route.md", (2, 5))
    assert "-two" in change.diff
    assert "+TWO" in change.diff
    assert base.texts == {"prompts/other.md": "unchanged\n", "prompts/route.md": "one\ntwo\nthree\nfour\n"}
    assert base.changed == {"prompts/route.md"}


def test_a_diff_shows_no_line_of_a_secret_over_several(repo: Repo) -> None:
    secret = "<private>\nACME pays late.\n</private>\n"
    repo.write("prompts/route.md", f"one\n{secret}three\n")
    repo.commit()
    repo.write("prompts/route.md", f"one\n{secret.replace('late', 'soon')}three\nfour\n")
    redact = Redactor({}, ["(?s)<private>.*?</private>"]).redact
    components = find_components(repo.root, repo.root, DEFAULT_PATTERNS)
    (change,) = read_base(repo.root, components, repo.root, DEFAULT_PATTERNS, "", redact).changes

    assert "ACME" not in change.diff
    assert "-[redacted]\n+[redacted]\n" in change.diff
    assert "+four" in change.diff


def test_a_branch_is_compared_with_where_it_left_the_default_branch(repo: Repo) -> None:
    start = repo.git("rev-parse", "HEAD")
    repo.git("checkout", "-q", "-b", "feature")
    repo.write("prompts/route.md", "mine\n")
    repo.commit()
    repo.git("checkout", "-q", "main")
    repo.write("prompts/other.md", "of main\n")
    repo.commit()
    repo.git("checkout", "-q", "feature")
    base = repo.read()
    assert states(base) == {"prompts/route.md": "edited"}
    assert start.startswith(base.name)
    assert states(repo.read("main")) == {"prompts/route.md": "edited", "prompts/other.md": "edited"}


def test_the_default_branch_is_the_one_of_the_upstream(repo: Repo, tmp_path: Path) -> None:
    repo.git("branch", "-m", "main", "trunk")
    repo.git("clone", "-q", str(repo.top), str(tmp_path / "clone"))
    clone = Repo(tmp_path / "clone", tmp_path / "clone" / "sub")
    clone.git("checkout", "-q", "-b", "feature", "origin/trunk")
    clone.write("prompts/route.md", "mine\n")
    clone.commit()
    assert states(clone.read()) == {"prompts/route.md": "edited"}


def test_renamed_added_and_deleted_prompts(repo: Repo) -> None:
    repo.write("prompts/gone.md", "to be deleted, quite another text\n")
    repo.commit()
    (repo.root / "prompts/route.md").rename(repo.root / "prompts/routing.md")
    repo.write("prompts/routing.md", "one\ntwo\nthree\nfor\n")
    repo.write("prompts/new.md", "a text that nothing resembles\n")
    (repo.root / "prompts/gone.md").unlink()
    status = repo.git("status", "--porcelain")
    base = repo.read()
    assert states(base) == {
        "prompts/gone.md": "deleted",
        "prompts/new.md": "added",
        "prompts/routing.md": "renamed",
    }
    assert base.changed == {"prompts/routing.md"}
    assert base.added == {"prompts/new.md"}
    assert base.texts["prompts/routing.md"] == "one\ntwo\nthree\nfour\n"
    assert base.texts["prompts/new.md"] == "a text that nothing resembles\n"
    assert next(one.before for one in base.changes if one.state == "renamed") == "prompts/route.md"
    assert repo.git("status", "--porcelain") == status


def test_whether_code_has_changed_with_the_prompts_is_known(repo: Repo) -> None:
    repo.write("app.py", "import json\n")
    base = repo.commit()
    repo.write("prompts/route.md", "one\n")
    repo.write("tests/test_app.py", "import app\n")
    repo.commit()
    assert repo.read(base).has_same_code
    repo.write("app.py", "import yaml\n")
    assert not repo.read(base).has_same_code


def test_code_that_stands_beside_a_prompt_is_looked_at_for_itself(repo: Repo) -> None:
    code = 'ROUTE = "Sort {text}."\n\n\ndef ask(text):\n    return ROUTE.format(text=text)\n'
    repo.write("app.py", code)
    base, patterns = repo.commit(), ("app.py::ROUTE",)
    repo.write("app.py", code.replace("Sort", "Route"))
    assert repo.read(base, patterns).has_same_code
    repo.write("app.py", code.replace("{text}", "{mail}").replace("text=", "mail="))
    assert not repo.read(base, patterns).has_same_code


def test_a_test_that_fills_in_a_prompt_itself_is_code(repo: Repo) -> None:
    repo.write("prompts/route.md", "Sort {text}.\n")
    repo.write("tests/test_a.py", "text = 1\n")
    base = repo.commit()
    repo.write("tests/test_a.py", "mail = 1\n")
    repo.write("prompts/route.md", "Route {text}.\n")
    assert repo.read(base).has_same_code
    repo.write("prompts/route.md", "Sort {mail}.\n")
    assert not repo.read(base).has_same_code


def test_a_rename_alone_changes_nothing(repo: Repo) -> None:
    (repo.root / "prompts/route.md").rename(repo.root / "prompts/routing.md")
    assert not repo.read().changes


def test_a_symlinked_prompt_is_its_target(repo: Repo) -> None:
    repo.write("shared/tone.md", "be kind\n")
    (repo.root / "prompts/tone.md").symlink_to("../shared/tone.md")
    repo.commit()
    repo.write("shared/tone.md", "be terse\n")
    base = repo.read()
    assert states(base) == {"shared/tone.md": "edited"}
    assert base.texts["shared/tone.md"] == "be kind\n"


def test_texts_inside_of_files_are_read_at_the_same_place(repo: Repo) -> None:
    patterns = ("prompts/all.yaml::router.system", "app.py::SYSTEM")
    repo.write("prompts/all.yaml", "router:\n  system: |\n    old\n    text\nother: 1\n")
    repo.write("app.py", 'SYSTEM = "old words"\nOTHER = 1\n')
    repo.commit()
    repo.write("prompts/all.yaml", "new: key\nrouter:\n  system: |\n    new\n    text\nother: 2\n")
    repo.write("app.py", 'OTHER = 2\nSYSTEM = "new words"\n')
    base = repo.read(patterns=patterns)
    assert base.texts == {"app.py::SYSTEM": "old words", "prompts/all.yaml::router.system": "old\ntext\n"}
    assert {one.component: one.lines for one in base.changes} == {
        "app.py::SYSTEM": (2,),
        "prompts/all.yaml::router.system": (4,),
    }


def test_other_bytes_of_a_file_are_no_change_of_its_prompt(repo: Repo) -> None:
    repo.write("prompts/all.yaml", "router:\n  system: you are a router\nother: 1\n")
    repo.commit()
    repo.write("prompts/all.yaml", "router:\n  system: you are a router\nother: 2\n")
    assert not repo.read().changes


def test_what_cannot_be_compared_says_what_to_do(repo: Repo, tmp_path: Path) -> None:
    with pytest.raises(RevisionError, match=r"git knows no commit nowhere here"):
        repo.read("nowhere")
    (tmp_path / "plain").mkdir()
    with pytest.raises(RevisionError, match=r"in no git repository .*; commit the prompts .*--gepa-baseline"):
        read_base(tmp_path / "plain", (), tmp_path / "plain", (), "")
    empty = Repo(tmp_path / "empty", tmp_path / "empty")
    with pytest.raises(RevisionError, match=r"no commit yet; commit the prompts .*--gepa-baseline"):
        empty.read()
    repo.git("checkout", "-q", "-b", "feature")
    repo.write("prompts/route.md", "mine\n")
    repo.commit()
    repo.git("clone", "-q", "--depth", "1", f"file://{repo.top}", str(tmp_path / "shallow"))
    shallow = Repo(tmp_path / "shallow", tmp_path / "shallow" / "sub")
    shallow.git("checkout", "-q", "--detach")
    shallow.git("branch", "-D", "feature")
    shallow.git("remote", "remove", "origin")
    with pytest.raises(RevisionError, match=r"fetch-depth: 0 .* --gepa-check=REV"):
        shallow.read()


@pytest.fixture
def partial(repo: Repo, tmp_path: Path) -> Repo:
    """A clone that has today's files alone, and whose remote is gone."""
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.write("prompts/other.md", "changed\n")
    (repo.root / "prompts/route.md").rename(repo.root / "prompts/routing.md")
    repo.write("prompts/routing.md", "one\ntwo\nthree\nfor\n")
    repo.commit()
    place = tmp_path / "partial"
    repo.git("clone", "-q", "--filter=blob:none", f"file://{repo.top}", str(place))
    repo.top.rename(tmp_path / "gone")
    return Repo(place, place / "sub")


@pytest.mark.parametrize("renames", [True, False])
def test_a_file_that_git_cannot_give_is_no_new_prompt(partial: Repo, renames: bool) -> None:
    if not renames:  # else git needs the old files already to find out what was renamed
        partial.git("config", "diff.renames", "false")
        partial.git("mv", "sub/prompts/routing.md", "sub/prompts/route.md")
    with pytest.raises(RevisionError, match=r"(?s)git \S+ failed in .*promisor remote.*clone without --filter"):
        partial.read("HEAD~1")


def test_a_repository_that_git_refuses_is_told_in_its_words(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    with pytest.raises(RevisionError, match=r"(?s)dubious ownership.*safe\.directory"):
        repo.read()


def test_an_earlier_text_is_what_a_checkout_would_write(repo: Repo) -> None:
    repo.git("config", "filter.marked.clean", "sed 's/^/marked /'")
    repo.git("config", "filter.marked.smudge", "sed 's/^marked //'")
    repo.write(".gitattributes", "*.md filter=marked\n")
    repo.write("prompts/marked.md", "one\n")
    repo.commit()
    assert repo.git("show", "HEAD:sub/prompts/marked.md") == "marked one"
    repo.write("prompts/marked.md", "two\n")

    assert repo.read().texts["prompts/marked.md"] == "one\n"


def test_a_filter_that_fails_leaves_what_git_has(repo: Repo) -> None:
    repo.write("prompts/route.md", "one\nTWO\n")
    repo.write(".gitattributes", "*.md filter=broken\n")
    repo.commit()
    repo.write("prompts/route.md", "one\nthree\n")
    repo.git("config", "filter.broken.smudge", "false")
    repo.git("config", "filter.broken.required", "true")
    repo.git("config", "filter.broken.clean", "cat")

    assert repo.read().texts["prompts/route.md"] == "one\nTWO\n"


@pytest.mark.parametrize(
    ("stored", "mend"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 9\n", "git lfs fetch"),
        (b"\0GITCRYPT\0\x8f\x03", "git-crypt unlock"),
    ],
    ids=["Git LFS", "git-crypt"],
)
def test_what_git_keeps_in_place_of_a_prompt_is_no_earlier_text(repo: Repo, stored: bytes, mend: str) -> None:
    (repo.root / "prompts/route.md").write_bytes(stored)
    repo.commit()
    repo.write("prompts/route.md", "one\n")

    with pytest.raises(PromptError, match=rf"prompts/route\.md cannot be read as it was at .*{mend}"):
        repo.read()


@pytest.mark.parametrize("setting", ["true", "input", "false"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_that_git_converts_are_no_change(repo: Repo, setting: str, newline: str) -> None:
    repo.write("prompts/all.yaml", "router:\n  system: |\n    old\n    text\nother: |\n  the\n  same\n")
    repo.commit()
    repo.git("config", "core.autocrlf", setting)
    lines = ["router:", "  system: |", "    new", "    text", "other: |", "  the", "  same", ""]
    (repo.root / "prompts/all.yaml").write_bytes(newline.join(lines).encode())
    (repo.root / "prompts/route.md").write_bytes(newline.join(["one", "two", "three", "4", ""]).encode())
    (repo.root / "prompts/other.md").write_bytes(f"unchanged{newline}".encode())

    base = repo.read(patterns=("prompts/all.yaml::*", "prompts/all.yaml::router.system", "prompts/*.md"))

    assert states(base) == {"prompts/all.yaml::router.system": "edited", "prompts/route.md": "edited"}
    assert base.texts["prompts/route.md"] == "one\ntwo\nthree\nfour\n"


@pytest.mark.parametrize("kind", ["submodule", "nested"])
def test_a_prompt_that_another_repository_has_is_not_new(repo: Repo, tmp_path: Path, kind: str) -> None:
    if kind == "submodule":
        other = Repo(tmp_path / "other", tmp_path / "other")
        other.write("shared.md", "one\n")
        other.commit()
        repo.git(
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            str(other.top),
            "sub/prompts/lib",
        )
        repo.commit()
    else:
        Repo(repo.root / "prompts/lib", repo.root / "prompts/lib").write("shared.md", "one\n")

    with pytest.raises(RevisionError, match=r"sub/prompts/lib/shared\.md lies in a git repository of its own"):
        repo.read(patterns=("prompts/**/*.md",))
    assert not repo.read(patterns=("prompts/*.md",)).changes


@pytest.mark.parametrize(("known", "today"), [("route.md", "Route.md"), ("caf\u00e9.md", "cafe\u0301.md")])
def test_a_file_that_git_knows_by_another_spelling_is_the_same(repo: Repo, known: str, today: str) -> None:
    repo.write(f"prompts/{known}", "as it was\n")
    repo.commit()
    # One file by two names stands for a file system to which both are one.
    (repo.root / "prompts" / today).hardlink_to(repo.root / "prompts" / known)
    repo.write(f"prompts/{today}", "as it is\n")

    base = repo.read(patterns=(f"prompts/{today}",))

    assert states(base) == {f"prompts/{today}": "edited"}
    assert base.texts == {f"prompts/{today}": "as it was\n"}


def test_a_deleted_file_that_no_pattern_means_is_not_read(repo: Repo, tmp_path: Path) -> None:
    repo.git("config", "uploadpack.allowFilter", "true")
    for name in ("src/old.py", "docs/old.md", "prompts/README.md"):
        repo.write(name, f"# {name}\n")
    repo.commit()
    for name in ("src/old.py", "docs/old.md", "prompts/README.md"):
        (repo.root / name).unlink()
    repo.commit()
    repo.git("clone", "-q", "--filter=blob:none", f"file://{repo.top}", str(tmp_path / "partial"))
    repo.top.rename(tmp_path / "gone")
    clone = Repo(tmp_path / "partial", tmp_path / "partial" / "sub")

    assert not clone.read("HEAD~1").changes


@pytest.mark.parametrize("pattern", ["texts", "texts/*.md", "texts/gone.md", "**/gone.md", "texts/gone.md::"])
def test_a_deleted_prompt_is_found_by_every_kind_of_pattern(repo: Repo, pattern: str) -> None:
    repo.write("texts/gone.md", "to be deleted\n")
    repo.write("texts/gone.py", "GONE = 1\n")
    repo.commit()
    for path in (repo.root / "texts").iterdir():
        path.unlink()
    (repo.root / "texts").rmdir()

    base = read_base(repo.root, (), repo.root, (pattern,), "")

    assert states(base) == {"texts/gone.md": "deleted"}


@pytest.mark.parametrize("mark", ["--skip-worktree", "--assume-unchanged"])
def test_a_mark_that_hides_edits_from_git_hides_none_from_a_check(repo: Repo, mark: str) -> None:
    repo.git("update-index", mark, "sub/prompts/route.md", "sub/prompts/other.md")
    repo.write("prompts/route.md", "one\nTWO\nthree\nfour\n")
    listed = repo.git("ls-files", "-v")

    assert states(repo.read()) == {"prompts/route.md": "edited"}
    assert repo.git("ls-files", "-v") == listed


def test_a_file_that_a_sparse_checkout_leaves_out_is_not_deleted(repo: Repo) -> None:
    repo.git("update-index", "--skip-worktree", "sub/prompts/route.md", "sub/prompts/other.md")
    (repo.root / "prompts/route.md").unlink()
    repo.write("prompts/other.md", "changed\n")

    assert states(repo.read()) == {"prompts/other.md": "edited"}


@pytest.mark.parametrize("is_moved", [True, False])
def test_a_prompt_under_a_directory_that_was_a_link_is_no_new_one(repo: Repo, is_moved: bool) -> None:
    repo.write("real/deep/tone.md", "be kind\n" * 9)
    (repo.root / "linked").symlink_to("real/deep")
    (repo.root / "texts").symlink_to("linked")
    repo.commit()
    (repo.root / "texts").unlink()
    if is_moved:
        (repo.root / "real/deep").rename(repo.root / "texts")
    repo.write("texts/tone.md", "be kind\n" * 8 + "be terse\n")

    base = repo.read(patterns=("texts/*.md",))

    assert states(base) == {"texts/tone.md": "edited"}
    assert base.texts == {"texts/tone.md": "be kind\n" * 9}


def test_a_prompt_that_was_linked_from_outside_of_the_repository_is_no_new_one(repo: Repo) -> None:
    (repo.root / "texts").symlink_to("../../elsewhere")
    repo.commit()
    (repo.root / "texts").unlink()
    repo.write("texts/tone.md", "be kind\n")

    with pytest.raises(RevisionError, match=r"sub/texts was a link to .*outside .*--gepa-check=REV"):
        repo.read(patterns=("texts/*.md",))


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("link", ["prompts/current.md", "prompts/current"])
def test_a_link_that_leads_to_another_version_is_an_edit(repo: Repo, link: str, is_new: bool) -> None:
    old, new = (f"versions/{version}/tone.md" for version in ("v3", "v4"))
    target = "../versions/{}" if link.endswith("current") else "../versions/{}/tone.md"
    repo.write(old, "be kind\n")
    if not is_new:
        repo.write(new, "be terse\n")
    (repo.root / link).symlink_to(target.format("v3"))
    repo.commit()
    repo.write(new, "be terse\n")
    (repo.root / link).unlink()
    (repo.root / link).symlink_to(target.format("v4"))

    base = repo.read()

    assert states(base) == {new: "renamed"}
    assert base.texts[new] == "be kind\n"
    assert base.changes[0].before == old


def test_a_file_in_whose_place_a_link_stands_is_compared_with_what_it_was(repo: Repo) -> None:
    repo.write("shared/route.md", "quite another text, and a longer one\n")
    repo.commit()
    (repo.root / "prompts/route.md").unlink()
    (repo.root / "prompts/route.md").symlink_to("../shared/route.md")

    base = repo.read()

    assert states(base) == {"shared/route.md": "renamed"}
    assert base.texts["shared/route.md"] == "one\ntwo\nthree\nfour\n"
    assert not base.unset


@pytest.fixture
def checkout(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A clone as a forge makes it of a pull request into `develop`: on no branch, and without a default one. `main` is
    older, and `develop` has moved on."""
    for variable in FORGES_TARGETS:
        monkeypatch.delenv(variable, raising=False)
    repo.git("checkout", "-q", "-b", "develop")
    repo.write("prompts/other.md", "of develop\n")
    repo.commit()
    repo.git("checkout", "-q", "-b", "feature")
    repo.write("prompts/route.md", "mine\n")
    repo.commit()
    repo.git("checkout", "-q", "develop")
    repo.write("prompts/other.md", "of develop, later\n")
    repo.commit()
    repo.git("clone", "-q", str(repo.top), str(tmp_path / "checkout"))
    made = Repo(tmp_path / "checkout", tmp_path / "checkout" / "sub")
    made.git("checkout", "-q", "--detach", "origin/feature")
    made.git("remote", "set-head", "origin", "--delete")
    made.git("branch", "-D", "develop")
    return made


@pytest.mark.parametrize("variable", FORGES_TARGETS)
def test_the_base_is_where_the_branch_has_left_the_one_that_the_forge_names(
    checkout: Repo, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert states(checkout.read()) == {"prompts/route.md": "edited", "prompts/other.md": "edited"}
    monkeypatch.setenv(variable, "develop")
    assert states(checkout.read()) == {"prompts/route.md": "edited"}
    monkeypatch.setenv(variable, "release")
    with pytest.raises(RevisionError, match="goes into release, and origin/release is not here; fetch it, or name"):
        checkout.read()


def test_only_a_shallow_clone_is_told_to_fetch_the_history(checkout: Repo) -> None:
    checkout.git("update-ref", "-d", "refs/remotes/origin/main")
    with pytest.raises(RevisionError, match=r"origin/main.*; name it: --gepa-check=origin/BRANCH$"):
        checkout.read()


def test_a_branch_that_only_the_remote_has_is_meant(checkout: Repo) -> None:
    with pytest.raises(RevisionError, match=r"no commit develop here; did you mean --gepa-check=origin/develop\?"):
        checkout.read("develop")
