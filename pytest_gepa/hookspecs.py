"""Extension points. Always registered, so that a conftest may implement one without this plugin being in use.

`docs/plugins.md` tells when and in which thread each is called, and what becomes of what it returns or raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_gepa.evolve.decisions import Parent


@pytest.hookspec(firstresult=True)
def pytest_gepa_select_parent(parents: Sequence[Parent], seed: str, is_stuck: bool) -> str | None:
    """Return the id of the candidate from which the next proposal starts: one of `parents`, or the `seed`.

    Each of the `parents` has `candidate` (its id), `mean` (score in [0, 1]), `share` (its chance in the usual draw) and
    `failures` (proposals from it that came to nothing); best mean first. `is_stuck` says that there has been no gain
    for long: the usual choice is the seed then. Called in the thread that decides.
    """


@pytest.hookspec(firstresult=True)
def pytest_gepa_choose_minibatch(
    failing: Mapping[str, Mapping[str, Any]], shown: Mapping[str, int], size: int, groups: int
) -> Sequence[Sequence[str]] | None:
    """Return which of a parent's failing cases are shown for the next edit: up to `groups` groups of up to `size` each.

    `failing` maps the id of each to what tells which are alike: "said" (by its check, and its feedback), "uses" (the
    prompts that it used) and "text" (its parameters, or what was asked). `shown` counts how often a case was shown
    before. Each group goes to reflections of its own; no case is in two. Called in the thread that decides.
    """


@pytest.hookspec(firstresult=True)
def pytest_gepa_propose(
    component: str,
    text: str,
    failing: Sequence[Mapping[str, Any]],
    neighbours: Sequence[Mapping[str, Any]],
    discarded: Sequence[Mapping[str, str]],
    attempt: int,
) -> str | None:
    """Return a new text of a component, in place of asking the reflection model; the same text for no change.

    `text` is the one that the parent has; `failing` and `neighbours` are cases and what they did under it. `discarded`
    are earlier edits of the component ("summary") that came to nothing, and why ("reason"). `attempt` counts the
    earlier rounds from this parent. Called in a thread that reflects, several at once where there are several
    components or groups of cases.
    """


@pytest.hookspec(firstresult=True)
def pytest_gepa_accept(
    candidate: str,
    scores: Mapping[str, float],
    rivals: Mapping[str, Mapping[str, float]],
    open_cases: Sequence[str],
    weights: Mapping[str, float],
    verdict: str,
) -> str | None:
    """Return "accept", "reject" or "wait" for a candidate at its gate; "wait" has it run on `open_cases` first.

    `scores` are its own, by case; `rivals` those of the candidates that it should beat, by id, on the same cases and
    the open ones. `weights` are the weights of all these cases, `verdict` is the usual one. Called in the thread that
    decides, each time that results of the gate have come.
    """


@pytest.hookspec(firstresult=True)
def pytest_gepa_next_stage(
    candidate: str,
    scores: Mapping[str, float],
    missing: Sequence[str],
    best: Mapping[str, float],
    weights: Mapping[str, float],
    stage: Sequence[str],
) -> Sequence[str] | None:
    """Return on which of the `missing` cases a candidate that has passed its gate is run next; [] to give it up.

    `scores` are those that count for it so far, by case; `best` are the highest of any candidate, on every case, whose
    weights are in `weights`. `stage` is the usual choice. Called in the thread that decides, before each evaluation
    that follows the gate.
    """


@pytest.hookspec(firstresult=True)
def pytest_gepa_repair(
    base: Mapping[str, str],
    tip: Mapping[str, str],
    mended: Sequence[str],
    broken: Sequence[str],
    repairs: Sequence[Mapping[str, str]],
) -> Sequence[Mapping[str, str]] | None:
    """Return versions to try of a candidate that mended some cases and broke others; [] for none.

    `base` are the texts by component that it goes back to, `tip` its own: these do better in the cases `mended` and
    worse in those `broken`. `repairs` are the usual versions, in the order in which they are tried: parts of the change
    are taken back. Each version is texts by component; those left out are as in `tip`. Called in the thread that
    decides, once for a candidate, and once more where what it breaks keeps it from being chosen.
    """


@pytest.hookspec(firstresult=True)
def pytest_gepa_merge(
    base: Mapping[str, str],
    one: Mapping[str, str],
    other: Mapping[str, str],
    ahead: Sequence[str],
    behind: Sequence[str],
) -> Mapping[str, str] | None:
    """Return the texts by component of a candidate that unites two; {} for no merge of these two.

    `base` are the texts of their nearest common ancestor, `one` those of the side with the higher mean: it does better
    than `other` in the cases `ahead`, worse in those `behind`. Components that are left out are as in `one`. Called in
    the thread that decides.
    """


@pytest.hookspec(firstresult=True)
def pytest_gepa_stop(
    best: float, rollouts: int, remaining: int, without_gain: int, without_edit: int, reason: str
) -> str | None:
    """Return why the search is to end, in words; "" for it to go on whatever the usual rule says.

    `best` is the highest mean so far, in [0, 1]; `rollouts` were spent and `remaining` are left to the search.
    `without_gain` counts the proposals in a row that brought none, `without_edit` the replies in a row that held no
    edit that could be used. `reason` is the usual rule's, "" where that goes on. Called in the thread that decides,
    before each proposal.
    """


@pytest.hookspec(firstresult=True)
def pytest_gepa_choose_winner(finalists: Sequence[Mapping[str, Any]], winner: str) -> str | None:
    """Return the id of the candidate that is shrunk and confirmed, one of the `finalists`.

    Each has "candidate" (its id), "texts" by component, "mean" (score in [0, 1]), "broken" (number of cases), and what
    it takes: "characters", and a case's "seconds", "tokens" and "usd", None where unknown; best mean first. `winner` is
    the usual choice. Called once, in the thread that decides, when the search has ended; not where no candidate is
    better than today's prompts.
    """


@pytest.hookspec()
def pytest_gepa_candidate_evaluated(
    candidate: str,
    texts: Mapping[str, str],
    scores: Mapping[str, float],
    mean: float,
    parents: Sequence[str],
    origin: str,
) -> None:
    """Called when the score of a candidate is known on every search case, in the thread that decides.

    `candidate` is its id, `texts` maps component ids to texts, `scores` case ids to scores in [0, 1]; `mean` is the
    weighted mean over all cases, where today's score stands for a case without evidence. `parents` are the ids of the
    candidates that it was made of, `origin` is how: "seed", "ancestor", "reflection", "merge", "repair", "pruning" or
    "shrink".
    """


@pytest.hookspec()
def pytest_gepa_run_finished(result: Mapping[str, Any], directory: str, mode: str) -> None:
    """Called at the end of a run, a check or an audit, however it ended, with its result and the run's directory.

    `mode` is "optimize", "check", "baseline" or "audit"; `result` is the content of `result.json`, of `check.json`
    (of a check, and of a comparison with a saved baseline) or of `audit.json`.
    All of it is written by then. Called in the main thread.
    """
