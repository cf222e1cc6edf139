"""Prompts of judges, by which tests grade answers. They are not improved unasked: with a lenient judge every answer is
better, and nothing is."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from pytest_gepa.prompts.components import Component

JUDGE_WORDS = frozenset({"judge", "judges", "judging", "grader", "graders", "grading", "rubric", "rubrics"})
"""A file, a folder or a key with one of these words in its name says that its text is a judge's."""

FILE_WORDS = frozenset(
    {
        "assessor",
        "critic",
        "critique",
        "eval",
        "evaluation",
        "evaluator",
        "referee",
        "scorer",
        "scoring",
        "verifier",
    }
)
"""A file that is called so and no more says so too: `evaluator.md`, `answer_eval.md`, but not `credit_scoring.md`,
which is an application's own. A folder does not, as below `evals/` lies the task's prompt as well; nor does a key, as
programs that evaluate have steps of such a name.
"""

SAYING_NOTHING = frozenset({"answer", "llm", "output", "prompt", "quality", "reply", "response", "system", "template"})
"""Words beside these that do not tell what is evaluated for whom."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def is_called_a_judge(component: str) -> bool:
    """Whether the id of a component says that its text is a judge's."""
    words = _words(PurePosixPath(component.partition("::")[0]).name.partition(".")[0])
    is_file = bool(words & FILE_WORDS) and words <= FILE_WORDS | SAYING_NOTHING
    return is_file or not JUDGE_WORDS.isdisjoint(_words(component))


def named_by_itself(found: Sequence[str]) -> set[str]:
    """Those of the components of a pattern without a wildcard that it names: who names a file of several texts does not
    thereby name the one that is a judge's, but by the file's own name.
    """
    return {one for one in found if len(found) == 1 or is_called_a_judge(one.partition("::")[0])}


def without_judges(components: Sequence[Component], named: Collection[str]) -> tuple[list[Component], tuple[str, ...]]:
    """Divide components into those to improve and the ids of judges; those `named` outright are no judges."""
    judges = tuple(one.id for one in components if one.id not in named and is_called_a_judge(one.id))
    return [one for one in components if one.id not in judges], judges


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}
