"""Prompts of judges, by which tests grade answers. They are not improved unasked: with a lenient judge every answer is
better, and nothing is."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

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
"""A file with one of these words in its name says so too. A folder does not: below `evals/` lies the task's prompt as
well; nor does a key: programs that evaluate have steps of such a name.
"""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def is_called_a_judge(component: str) -> bool:
    """Whether the id of a component says that its text is a judge's."""
    file_name = component.partition("::")[0].rpartition("/")[2]
    return not (JUDGE_WORDS.isdisjoint(_words(component)) and FILE_WORDS.isdisjoint(_words(file_name)))


def without_judges(
    components: Sequence[Component], named: Collection[str]
) -> tuple[list[Component], tuple[str, ...]]:
    """Divide components into those to improve and the ids of judges; those `named` outright are no judges."""
    judges = tuple(one.id for one in components if one.id not in named and is_called_a_judge(one.id))
    return [one for one in components if one.id not in judges], judges


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}
