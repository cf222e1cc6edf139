"""Who proposes an edit: a plugin, else the reflection model; and what the checks of the cases state themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.tasks import Reflect
from pytest_gepa.optimize.extensions import Extensions
from pytest_gepa.prompts.guards import Guard
from pytest_gepa.prompts.programs import is_program
from pytest_gepa.prompts.summary import CHARACTERS, all_changes, summarize
from pytest_gepa.reflect.conversation import last_asked
from pytest_gepa.reflect.joint import propose_jointly
from pytest_gepa.reflect.masked import Masked
from pytest_gepa.reflect.menu import PROGRAM, Menu, MenuChoice
from pytest_gepa.reflect.model import ReflectionModel
from pytest_gepa.reflect.modelfree import ModelFree
from pytest_gepa.reflect.propose import (
    PLUGIN,
    EvidenceBudget,
    ProposedEdit,
    proposal_of_plugin,
    propose,
)
from pytest_gepa.reflect.request import Asked, Situation, Version
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.reflect.withhold import Withholder
from pytest_gepa.settings import NO_MODEL
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.cut import cut_middle
from pytest_gepa.trace.redact import REDACTED
from pytest_gepa.trace.redact_lines import HiddenLines, redact_by_line
from pytest_gepa.trace.trajectory import Call

_CHANGED = 1_500
"""Bytes of what the search has changed in a prompt so far, where the prompt is to be edited again."""

_PROGRAM_SUMMARY = 1_500
"""Characters by which an edit of a program is told, which is most often a new file."""


class Proposer:
    """Proposes edits of components of a parent, on what `rollouts` (by candidate and case) have shown.

    `kinds` are the kinds of edit that a model may make; `redact` gives a text without its secrets. `is_joint` has a
    strong model asked for all prompts of a task at once.
    """

    def __init__(
        self,
        cases: Mapping[str, Case],
        rollouts: Mapping[tuple[str, str], Rollout],
        model: ReflectionModel,
        extensions: Extensions,
        guard: Guard,
        kinds: tuple[str, ...],
        withholder: Withholder,
        redact: Callable[[str], str],
        *,
        is_joint: bool = False,
    ) -> None:
        self._is_joint = is_joint
        self._cases = cases
        self._rollouts = rollouts
        self._model = model
        self._extensions = extensions
        self._guard = guard
        self._withholder = withholder
        self._redact = redact
        self._evidence = EvidenceBudget()
        self._passing: set[str] = set()
        searched = [self._withholder.case(case) for case in cases.values() if case.split == "search"]
        self._model_free = ModelFree(searched, guard, kinds)
        self.has_model = model.settings.model != NO_MODEL

    @property
    def is_asked(self) -> bool:
        """Whether anyone is asked for edits, a plugin or a model."""
        return self.has_model or self._extensions.has_proposer

    def learn_baseline(self, seed: str) -> None:
        """Tell the guard what the runs under today's prompts have shown, before the first edit is asked for."""
        known = {case: self._rollouts.get((seed, case)) for case in self._cases}
        runs = {case: run for case, run in known.items() if run is not None}
        inputs, shared = (
            {case: list(_asked(run.trajectory.calls, shared=is_shared)) for case, run in runs.items()}
            for is_shared in (False, True)
        )
        seen = [one for run in runs.values() for one in run.renderings]
        sent = {
            text: None
            for run in runs.values()
            for call in run.trajectory.calls
            for text in (*(message.content for message in call.request), *call.other_texts)
        }
        renderings = [(one.component, json.loads(one.variables)) for one in seen]
        self._guard.learn(inputs, renderings, sent, self._may_be_shown, shared)
        self._passing = {case for case, run in runs.items() if run.outcome is Outcome.passed}

    def _may_be_shown(self, text: str) -> bool:
        """Whether nothing of a held-out case stands in a text, and no mark in the place of a secret."""
        return REDACTED not in text and self._withholder.cut(text) == text

    def end(self) -> None:
        """Ask the model no more: nothing that it says could change anything."""
        self._model.end()

    def begin_round(self) -> None:
        """Let what earlier reflections have shown of the model's context hold for those that are asked for next."""
        self._evidence.begin_round()

    def propose(self, task: Reflect, component: str, menus: MenuChoice) -> ProposedEdit:
        """What a plugin gives, else what the model replies. Called by any number of threads.

        Raises `ReflectionError` when the model gives no reply.
        """
        proposal = self._proposal(task, component, menus)
        before, after = task.parent.texts[component], proposal.text
        if after is None:
            return proposal
        read = tuple(exhibit.case.id for exhibit in self._shown(task, component)[0])
        return replace(proposal, summary=_summary(component, before, after, self._redact), read=read)

    def asks_jointly(self, task: Reflect, menus: MenuChoice) -> bool:
        """Whether a model is asked for all prompts of a task at once: one that can use the full menu, and writes no
        programs.
        """
        is_plain = task.other is None and not any(map(is_program, task.components))
        is_strong = self.has_model and menus.menu.name == "full"
        is_alone = not (self._extensions.has_proposer or self._extensions.has_trouble)
        return self._is_joint and is_plain and is_strong and is_alone and len(task.components) > 1

    def propose_jointly(self, task: Reflect, menus: MenuChoice) -> list[ProposedEdit]:
        """What the model replies to one request for all prompts of a task. Raises `ReflectionError` for no reply."""
        parent, exhibits = task.parent, self._exhibits(task)
        made = propose_jointly(
            [
                Asked(name, parent.texts[name], self._discarded(task, name), self._situation(task, name))
                for name in task.components
            ],
            self._guard,
            failing=[exhibits[case] for case in task.failing],
            neighbours=[exhibits[case] for case in task.neighbours if case in exhibits],
            components=parent.texts,
            model=self._model,
            kinds=menus.menu.kinds,
            budget=self._evidence,
            attempt=task.attempt,
            examples=parent.taken,
            redact=self._redact,
        )
        return [
            one
            if one.text is None
            else replace(one, summary=_summary(one.component, parent.texts[one.component], one.text, self._redact))
            for one in made
        ]

    def _proposal(self, task: Reflect, component: str, menus: MenuChoice) -> ProposedEdit:
        given = self._given(task, component)
        if given is not None:
            return given
        # A rule or an example, which is all that a weak model is asked for, unites nothing.
        cannot = task.other is not None and _menu(component, menus).name in ("rule", "example")
        if self._extensions.has_trouble or not self.has_model or cannot:
            return ProposedEdit(component, None, origin=PLUGIN)
        return self._ask(task, component, menus)

    def stated(self, task: Reflect) -> ProposedEdit | None:
        """What the checks of the failing cases state themselves. Called by one thread, in the order of the tasks."""
        if task.other is not None:
            return None  # two versions are to be united, which takes a reader
        return self._model_free.propose(task.parent, task.components, self._failing(task))

    def likeliest(self, task: Reflect, *, or_example: bool) -> ProposedEdit | None:
        """The likeliest rule that the checks state themselves, to be tried before a model is paid for a reply; where
        there is none, an example if one may be. Called by one thread, in the order of the tasks. A plugin's proposals
        come before all others.
        """
        if self._extensions.has_proposer:
            return None
        failing = self._failing(task)
        return self._model_free.likeliest(task.parent, task.components, failing, or_example=or_example)

    def all_stated(self, task: Reflect) -> ProposedEdit | None:
        """The same of all that the checks state, and an example."""
        if self._extensions.has_proposer:
            return None
        return self._model_free.together(task.parent, task.components, self._failing(task))

    def examples(
        self,
        task: Reflect,
        today: Candidate,
        mended: Sequence[str],
        failing: Sequence[str],
        untried: Sequence[str],
    ) -> ProposedEdit | None:
        """Examples in the place of rules: see `ModelFree.examples`."""
        if self._extensions.has_proposer:
            return None
        return self._model_free.examples(
            task.parent,
            today,
            task.components,
            self._failing(replace(task, failing=tuple(mended))),
            self._failing(replace(task, failing=tuple(failing))),
            self._failing(replace(task, parent=today, failing=tuple(untried))),
        )

    def _failing(self, task: Reflect) -> list[Exhibit]:
        shown = self._exhibits(task)
        return [shown[case] for case in task.failing if case in shown]

    def _given(self, task: Reflect, component: str) -> ProposedEdit | None:
        """What a plugin proposes, None where the model is to be asked: also where two versions are to be united."""
        if not self._extensions.has_proposer or task.other is not None:
            return None
        parent, (failing, neighbours) = task.parent, self._shown(task, component)
        text = self._extensions.propose(
            component,
            parent.texts[component],
            failing,
            neighbours,
            self._discarded(task, component),
            task.attempt,
        )
        if text is None:
            return None
        masked = Masked.of(parent.texts[component], self._redact)
        return proposal_of_plugin(component, parent.texts[component], text, self._guard, masked, parent.taken)

    def _ask(self, task: Reflect, component: str, menus: MenuChoice) -> ProposedEdit:
        parent, (failing, neighbours) = task.parent, self._shown(task, component)
        return propose(
            component,
            parent.texts[component],
            self._guard,
            failing=failing,
            neighbours=neighbours,
            discarded=self._discarded(task, component),
            components=parent.texts,
            attempt=task.attempt,
            model=self._model,
            menu=_menu(component, menus),
            budget=self._evidence,
            examples=parent.taken,
            redact=self._redact,
            other=self._other_version(task, component),
            situation=self._situation(task, component),
        )

    def _other_version(self, task: Reflect, component: str) -> Version | None:
        """The text with which the parent's is to be united, and what either has changed since their ancestor."""
        if task.other is None:
            return None
        base, text = task.other.base[component], task.other.candidate.texts[component]
        theirs, ours = (self._changes(base, after) for after in (text, task.parent.texts[component]))
        return Version(text, theirs, ours)

    def _situation(self, task: Reflect, component: str) -> Situation:
        before, now = self._guard.original(component), task.parent.texts[component]
        changed = "" if before == now else cut_middle(self._changes(before, now), _CHANGED)
        return Situation(self._guard.longest(component), changed, *task.tally)

    def _changes(self, before: str, after: str) -> str:
        """What was changed, without secrets, and without anything of the held-out cases."""
        hidden = HiddenLines((before, after), self._redact)
        return self._withholder.cut(hidden.redact(all_changes(before, after)))

    def _shown(self, task: Reflect, component: str) -> tuple[list[Exhibit], list[Exhibit]]:
        """The failing cases that are shown for a component, those that used it if there are any, and neighbours."""
        exhibits = self._exhibits(task)
        failing = [exhibits[case] for case in task.failing]
        involved = [exhibit for exhibit in failing if component in exhibit.rollout.uses]
        return involved or failing, [exhibits[case] for case in task.neighbours if case in exhibits]

    def _discarded(self, task: Reflect, component: str) -> list[tuple[str, str]]:
        """Earlier edits, and why they came to nothing: a case may have said so, in words that it shares with others."""
        cut = self._withholder.cut
        return [(cut(edit.summary), cut(edit.reason)) for edit in task.discarded if edit.component == component]

    def _exhibits(self, task: Reflect) -> dict[str, Exhibit]:
        known = [case for case in (*task.failing, *task.neighbours) if (task.parent.id, case) in self._rollouts]
        return {case: self._withholder.exhibit(self._exhibit(task, case)) for case in known}

    def _exhibit(self, task: Reflect, case: str) -> Exhibit:
        rollout = self._rollouts[task.parent.id, case]
        other = self._rollouts.get((task.other.candidate.id, case)) if task.other is not None else None
        was_passing = case in self._passing and rollout.outcome is Outcome.failed
        pair = self._guard.pair(case)
        return Exhibit(self._cases[case], rollout, was_passing, pair[1] if pair else "", other)


def _asked(calls: Sequence[Call], *, shared: bool) -> Iterator[str]:
    """What calls asked of a model: those of a case, or those of the fixtures that it shares with others."""
    return (asked.content for call in calls if call.shared is shared and (asked := last_asked(call)))


def _menu(component: str, menus: MenuChoice) -> Menu:
    return PROGRAM if is_program(component) and "rewrite" in menus.kinds else menus.menu


def _summary(component: str, before: str, after: str, redact: Callable[[str], str]) -> str:
    """The changed lines in short, without what they show of secrets in the whole texts."""
    characters = _PROGRAM_SUMMARY if is_program(component) else CHARACTERS
    return summarize(redact_by_line(before, redact), redact_by_line(after, redact), characters, in_part=True)
