"""Which commit is compared with: the one that is named, or the one at which this branch has left the branch that it
goes into."""

from __future__ import annotations

import os

from pytest_gepa.prompts.git_runs import Git, RevisionError

DEFAULT_BRANCHES = ("origin/main", "origin/master", "main", "master")
FORGES_TARGETS = ("GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
"""Where GitHub and GitLab say which branch a pull request goes into: no `origin/HEAD` in their checkouts tells it."""

WITHOUT_GIT = "commit the prompts as they were first, or compare with a saved baseline (--gepa-baseline)"
"""How to go on where git has no earlier state."""


def named_commit(git: Git, revision: str) -> str:
    """The full hash of the commit that a revision names. Raises `RevisionError` for one that is not known here."""
    found = git.line("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found is not None:
        return found
    remote = f"origin/{revision}"
    if _exists(git, remote):
        raise RevisionError(f"git knows no commit {revision} here; did you mean --gepa-check={remote}?")
    raise RevisionError(f"git knows no commit {revision} here{_mend(git, 'name one with --gepa-check=REV')}")


def default_base(git: Git) -> str:
    """The commit at which this branch has left the one that it goes into, by default the default branch; HEAD on that
    branch itself.

    Raises `RevisionError` where no such branch or no common commit is known, as in a shallow clone.
    """
    head = git.line("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head is None:
        raise RevisionError(f"earlier prompts are read from git, and there is no commit yet; {WITHOUT_GIT}")
    target = _target()
    if target and not _exists(git, f"origin/{target}"):
        raise RevisionError(
            f"this branch goes into {target}, and origin/{target} is not here"
            f"{_mend(git, 'fetch it, or name a commit with --gepa-check=REV')}"
        )
    names = _likely_branches(git, target)
    branch = next((name for name in names if _exists(git, name)), None)
    if branch is None:
        raise RevisionError(
            f"the default branch is not known here (looked for {', '.join(names)})"
            f"{_mend(git, 'name it: --gepa-check=origin/BRANCH')}"
        )
    base = git.line("merge-base", "HEAD", branch)
    if base is None:
        raise RevisionError(
            f"HEAD and {branch} have no common commit here{_mend(git, 'name one with --gepa-check=REV')}"
        )
    return base


def _target() -> str:
    """The branch that this one goes into, as the forge says it, "" where none does."""
    return next((name for variable in FORGES_TARGETS if (name := os.environ.get(variable))), "")


def _likely_branches(git: Git, target: str) -> tuple[str, ...]:
    """The branches that this one may go into, the likeliest first."""
    branch = git.line("symbolic-ref", "--quiet", "--short", "HEAD")
    remote = git.line("config", f"branch.{branch}.remote") if branch else None
    heads = [f"{name}/HEAD" for name in (remote, "origin") if name and name != "."]
    return tuple(dict.fromkeys([*([f"origin/{target}"] if target else []), *heads, *DEFAULT_BRANCHES]))


def _exists(git: Git, name: str) -> bool:
    kind = "remotes" if "/" in name else "heads"
    return git.line("rev-parse", "--verify", "--quiet", f"refs/{kind}/{name}^{{commit}}") is not None


def _mend(git: Git, usual: str) -> str:
    """What to do about a commit that is missing; `usual` where the whole history is here."""
    if git.line("rev-parse", "--is-shallow-repository") != "true":
        return f"; {usual}"
    return (
        "; a shallow clone lacks it: fetch the whole history (fetch-depth: 0 in actions/checkout), or name a "
        "commit that is here with --gepa-check=REV"
    )
