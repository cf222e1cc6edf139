"""Proposals that need no model: a rule that the checks state themselves, or an example taken whole from a case."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.prompts.edits import KINDS, Edit, EditError, apply_edits
from pytest_gepa.prompts.examples import Example, cases_of, still_kept
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.programs import is_program
from pytest_gepa.prompts.summary import summarize
from pytest_gepa.reflect.propose import MODEL_FREE, ProposedEdit
from pytest_gepa.reflect.reply import MOST_EXAMPLE, example_text
from pytest_gepa.reflect.rules import rules
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.rollout import Case
from pytest_gepa.trace.attribution import components_used, last_answered
from pytest_gepa.trace.trajectory import answers_among

MOST_TOGETHER = 3
"""So many rules are tried in one edit."""

MOST_SHOWN = 4
"""So many examples are tried in one edit."""

_SHARE_SHOWN = 0.2
"""No more than this share of the cases is taken for that: each leaves the verdict."""


@dataclass(frozen=True, slots=True)
class _Idea:
    edit: Edit
    reason: str


class ModelFree:
    """Makes proposals, each once from the same parent. Asked by one thread, in an order that is the same every time.

    `cases` are the search cases; `kinds` are the kinds of edit that are allowed.
    """

    def __init__(self, cases: Sequence[Case], guard: Guard, kinds: Collection[str] = KINDS) -> None:
        self._cases = tuple(cases)
        self._guard = guard
        self._kinds = kinds
        self._tried: set[tuple[str, str, tuple[str, ...]]] = set()

    def likeliest(
        self,
        parent: Candidate,
        components: Sequence[str],
        failing: Sequence[Exhibit],
        *,
        or_example: bool = False,
    ) -> ProposedEdit | None:
        """The likeliest rule that the parent has not, in the component that had a part in the cases' answers, or if
        there is none, an example where one may be. None if it was made from this parent already: less likely ones would
        rather spoil it.
        """
        order = _order(parent, components, failing)[:1]
        new = [*islice(self._new_rules(parent, order, failing), 1)]
        if not new and or_example:
            new = [*islice(self._examples(failing), 1)]
        return self._next(parent, order, ((idea,) for idea in new))

    def together(self, parent: Candidate, components: Sequence[str], failing: Sequence[Exhibit]) -> ProposedEdit | None:
        """The likeliest rules that the parent has not and an example, in one edit: each may help only beside the
        others, as a form does whose fields are spelt otherwise. None if there is no more than one of them.
        """
        order = _order(parent, components, failing)[:1]
        stated = [*islice(self._new_rules(parent, order, failing), MOST_TOGETHER)]
        for ideas in ([*stated, *islice(self._examples(failing), 1)], stated):
            made = self._next(parent, order, [tuple(ideas)]) if len(ideas) > 1 else None
            if made is not None:
                return made
        return None

    def examples(
        self,
        parent: Candidate,
        today: Candidate,
        components: Sequence[str],
        mended: Sequence[Exhibit],
        failing: Sequence[Exhibit],
        untried: Sequence[Exhibit],
    ) -> ProposedEdit | None:
        """Examples in the place of all that the parent has and today's prompts have not: one of the cases that it has
        `mended`, then some that it fails, of answers as different as there are. A weak model may go by what it is
        shown, and by no rule that it is told. None if there are no two.

        Of the cases on which it is `untried` those come first that want what a failing one wants.
        """
        failed = [*self._exemplary(failing)]
        wanted = {answer for answer, _ in failed}
        alike = [(answer, idea) for answer, idea in self._exemplary(untried) if answer in wanted]
        by_answer: dict[str, list[_Idea]] = {}
        for answer, idea in (*alike, *failed):
            by_answer.setdefault(answer, []).append(idea)
        turns = [idea for turn in zip_longest(*by_answer.values()) for idea in turn if idea is not None]
        most = min(MOST_SHOWN, int(_SHARE_SHOWN * len(self._cases)))
        chosen = (*islice(self._examples(mended), 1), *turns)[:most]
        order = _order(parent, components, failing)[:1]
        if not turns or len(chosen) < 2:
            return None
        return self._next(parent, order, [chosen], today)

    def propose(self, parent: Candidate, components: Sequence[str], failing: Sequence[Exhibit]) -> ProposedEdit | None:
        """The next proposal for one of the components that was not made from this parent yet, None if there is none.

        Rules come before examples; each is tried first in the component that had a part in the cases' answers.
        """
        ideas = ((idea,) for idea in (*self._rules(parent, failing), *self._examples(failing)))
        return self._next(parent, _order(parent, components, failing), ideas)

    def _next(
        self,
        parent: Candidate,
        order: Sequence[str],
        edits: Iterable[tuple[_Idea, ...]],
        base: Candidate | None = None,
    ) -> ProposedEdit | None:
        """The first of these edits of the parent that can be made and was not; where there is a `base`, what is edited
        is its text.
        """
        for ideas in edits:
            for component in order:
                attempt = (parent.id, component, tuple(idea.edit.text for idea in ideas))
                if attempt in self._tried or any(self._has(parent, component, idea) for idea in ideas):
                    continue
                self._tried.add(attempt)
                proposal = self._made(parent, component, ideas, (base or parent).texts[component])
                if proposal is not None:
                    return proposal
        return None

    def _new_rules(self, parent: Candidate, components: Sequence[str], failing: Sequence[Exhibit]) -> Iterator[_Idea]:
        for idea in self._rules(parent, failing):
            if not any(self._has(parent, component, idea) for component in components):
                yield idea

    def _has(self, parent: Candidate, component: str, idea: _Idea) -> bool:
        """Whether a component holds already what an idea would put in."""
        return self._written(parent, component, idea.edit).text in parent.texts[component]

    def _written(self, parent: Candidate, component: str, edit: Edit) -> Edit:
        """The edit as it is written in a file whose text is filled in."""
        text = self._guard.escaped(component, parent.texts[component], edit.text, is_raw=True)
        return replace(edit, text=text)

    def _rules(self, parent: Candidate, failing: Sequence[Exhibit]) -> Iterator[_Idea]:
        if "add" in self._kinds:
            for rule in rules([one for one in failing if _is_answered(parent, one)], self._cases):
                yield _Idea(Edit("add", "", rule.text), f"{rule.reason}.")

    def _examples(self, failing: Sequence[Exhibit]) -> Iterator[_Idea]:
        return (idea for _, idea in self._exemplary(failing))

    def _exemplary(self, failing: Sequence[Exhibit]) -> Iterator[tuple[str, _Idea]]:
        """The cases that can be examples, each with the answer that it wants."""
        if "example" in self._kinds:
            for exhibit in failing:
                pair = self._guard.pair(exhibit.case.id)
                if pair is not None and len("".join(pair)) <= MOST_EXAMPLE:
                    edit = Edit("example", "", example_text(*pair), exhibit.case.id)
                    reason = "this case failed, and shows in what form others may want their answer."
                    yield pair[1], _Idea(edit, reason)

    def _made(self, parent: Candidate, component: str, ideas: Sequence[_Idea], edited: str) -> ProposedEdit | None:
        """The proposal, None when the guard refuses it."""
        before = parent.texts[component]
        edits = [self._written(parent, component, idea.edit) for idea in ideas]
        try:
            text = apply_edits(edited, edits)
        except EditError:
            return None
        taken = tuple(Example(edit.case, component, edit.text) for edit in edits if edit.case)
        kept = still_kept((*parent.taken, *taken), {**parent.texts, component: text})
        if self._guard.check(component, before, text, cases_of(kept)) is not None:
            return None
        return ProposedEdit(
            component,
            text,
            " ".join(dict.fromkeys(idea.reason for idea in ideas)),
            summary=summarize(before, text),
            examples=taken,
            origin=MODEL_FREE,
        )


def _is_answered(parent: Candidate, exhibit: Exhibit) -> bool:
    """Whether the last answer, of which the check speaks, may be one to a prompt. Where a prompt was answered before
    it, it is that of a judge, whom the test has asked: his "yes" and his score are no form for the application's.
    """
    calls = exhibit.rollout.trajectory.calls
    answers = answers_among(calls)
    call = last_answered(parent.texts, calls) if len(answers) > 1 else None
    return call is None or call is calls[answers[-1]]


def _order(parent: Candidate, components: Sequence[str], failing: Sequence[Exhibit]) -> list[str]:
    """The components that are prompts, those first whose text was in the requests that were answered last."""
    texts, last = parent.texts, []
    for exhibit in failing:
        calls = exhibit.rollout.trajectory.calls
        last += [calls[at] for at in answers_among(calls)[-1:]]
    prompts = [name for name in components if not is_program(name)]
    used = components_used({name: texts[name] for name in prompts}, last)
    return sorted(prompts, key=lambda name: name not in used)
