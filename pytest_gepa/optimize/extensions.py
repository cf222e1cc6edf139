"""The hooks of other plugins: called, what they return checked, what they raise told with hook and plugin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeGuard

from pytest_gepa.errors import HookError
from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.decisions import (
    Decisions,
    Gate,
    GateVerdict,
    Pair,
    ParentChoice,
    Progress,
    WinnerChoice,
    better_than_rivals,
    draw_by_share,
    merge_lines,
    stop_when_stuck,
)
from pytest_gepa.evolve.minibatch import Draw, FailedCase, group_failures
from pytest_gepa.evolve.repairs import Damage, take_back_parts
from pytest_gepa.evolve.stages import Stage, run_what_can_matter
from pytest_gepa.hook_calls import call_hook, names_of
from pytest_gepa.prompts.summary import one_line
from pytest_gepa.reflect.transcript import Exhibit

if TYPE_CHECKING:
    from pluggy import HookRelay

_VERDICTS: tuple[GateVerdict, ...] = ("accept", "reject", "wait")


class Extensions:
    """The hooks of a run.

    One that raises, or returns what will not do, must not cut short what the run is at: the usual decision stands in,
    no hook is asked again, and `check` raises the trouble where nothing of what was paid for can be lost.

    `redact` is made to all that is told of what they raise or return.
    """

    def __init__(self, hooks: HookRelay, redact: Callable[[str], str] = str) -> None:
        self._hooks = hooks
        self._redact = redact
        self._trouble: list[HookError] = []

    def check(self) -> None:
        """Raise `HookError` for the first hook that went wrong."""
        if self._trouble:
            raise self._trouble[0]

    @property
    def has_trouble(self) -> bool:
        """Whether a hook has gone wrong; `check` raises what it was."""
        return bool(self._trouble)

    @property
    def decisions(self) -> Decisions:
        """The decisions of the search: a plugin's, where one takes it."""
        return Decisions(
            select_parent=self._select_parent,
            choose_minibatches=self._choose_minibatches,
            accept=self._accept,
            next_stage=self._next_stage,
            propose_repairs=self._repair,
            propose_merge=self._merge,
            stop=self._stop,
            choose_winner=self._choose_winner,
        )

    @property
    def has_proposer(self) -> bool:
        """Whether a plugin proposes edits."""
        return bool(self._hooks.pytest_gepa_propose.get_hookimpls())

    def propose(
        self,
        component: str,
        text: str,
        failing: Sequence[Exhibit],
        neighbours: Sequence[Exhibit],
        discarded: Sequence[tuple[str, str]],
        attempt: int,
    ) -> str | None:
        """Return a plugin's text for a component, None where none has one. Called by the threads that reflect."""
        found: str | None = self._ask(
            "pytest_gepa_propose",
            lambda answer: "" if isinstance(answer, str) else "give the component's new text",
            component=component,
            text=text,
            failing=[told(exhibit) for exhibit in failing],
            neighbours=[told(exhibit) for exhibit in neighbours],
            discarded=[{"summary": summary, "reason": reason} for summary, reason in discarded],
            attempt=attempt,
        )
        return found

    def evaluated(self, candidate: Candidate, scores: Mapping[str, float], mean: float) -> None:
        """Tell of a candidate whose score is known on every search case."""
        self._ask(
            "pytest_gepa_candidate_evaluated",
            lambda answer: "",
            candidate=candidate.id,
            texts=dict(candidate.texts),
            scores=dict(scores),
            mean=mean,
            parents=candidate.parents,
            origin=candidate.origin,
        )

    def _select_parent(self, choice: ParentChoice) -> str:
        allowed = [choice.seed, *(parent.candidate for parent in choice.parents)]
        found: str | None = self._ask(
            "pytest_gepa_select_parent",
            lambda answer: "" if answer in allowed else "give the id of one of the parents, or the seed's",
            parents=choice.parents,
            seed=choice.seed,
            is_stuck=choice.is_stuck,
        )
        return draw_by_share(choice) if found is None else found

    def _choose_minibatches(
        self,
        failures: Mapping[str, FailedCase],
        shown: Mapping[str, int],
        size: int,
        groups: int,
        alike: float,
        draw: Draw,
    ) -> list[tuple[str, ...]]:
        wanted = f"give a list of {groups} groups at most, each a list of {size} failing cases at most, none twice"
        found: Sequence[Sequence[str]] | None = self._ask(
            "pytest_gepa_choose_minibatch",
            lambda answer: "" if _are_groups(answer, failures, size, groups) else wanted,
            failing={case: {"said": one.said, "uses": one.uses, "text": one.text} for case, one in failures.items()},
            shown=dict(shown),
            size=size,
            groups=groups,
        )
        if found is None:
            return group_failures(failures, shown, size, groups, alike, draw)
        return [tuple(group) for group in found]

    def _accept(self, gate: Gate) -> GateVerdict:
        usual = better_than_rivals(gate)
        allowed = _VERDICTS if gate.open else _VERDICTS[:2]
        found: GateVerdict | None = self._ask(
            "pytest_gepa_accept",
            lambda answer: "" if answer in allowed else f"give {' or '.join(map(repr, allowed))}",
            candidate=gate.child.id,
            scores=dict(gate.scores),
            rivals={rival: dict(scores) for rival, scores in gate.rivals.items()},
            open_cases=gate.open,
            weights=dict(gate.weights),
            verdict=usual,
        )
        return usual if found is None else found

    def _next_stage(self, stage: Stage) -> Sequence[str]:
        usual = run_what_can_matter(stage)
        found: Sequence[str] | None = self._ask(
            "pytest_gepa_next_stage",
            lambda answer: "" if _are_cases(answer, stage.missing) else "give a list of missing cases, none twice",
            candidate=stage.candidate.id,
            scores=dict(stage.scores),
            missing=stage.missing,
            best=dict(stage.best),
            weights=dict(stage.weights),
            stage=usual,
        )
        return usual if found is None else tuple(found)

    def _repair(self, damage: Damage) -> Sequence[Mapping[str, str]]:
        usual, tip = take_back_parts(damage), damage.tip.texts
        found: Sequence[Mapping[str, str]] | None = self._ask(
            "pytest_gepa_repair",
            lambda answer: "" if _are_versions(answer, tip) else "give a list of texts by component",
            base=dict(damage.base.texts),
            tip=dict(tip),
            mended=damage.mended,
            broken=damage.broken,
            repairs=[dict(version) for version in usual],
        )
        return usual if found is None else [dict(version) for version in found]

    def _merge(self, pair: Pair) -> Mapping[str, str] | None:
        found: Mapping[str, str] | None = self._ask(
            "pytest_gepa_merge",
            lambda answer: "" if _are_texts(answer, pair.one.texts) else "give texts by component",
            base=dict(pair.ancestor.texts),
            one=dict(pair.one.texts),
            other=dict(pair.other.texts),
            ahead=pair.ahead,
            behind=pair.behind,
        )
        return merge_lines(pair) if found is None else dict(found) or None

    def _stop(self, progress: Progress) -> str:
        usual = stop_when_stuck(progress)
        found: str | None = self._ask(
            "pytest_gepa_stop",
            lambda answer: "" if isinstance(answer, str) else "give the reason in words, '' to go on",
            best=progress.best,
            rollouts=progress.rollouts,
            remaining=progress.remaining,
            without_gain=progress.without_gain,
            without_edit=progress.without_edit,
            reason=usual,
        )
        return usual if found is None else one_line(self._redact(found), 200)

    def _choose_winner(self, choice: WinnerChoice) -> str:
        allowed = [one.candidate.id for one in choice.finalists]
        found: str | None = self._ask(
            "pytest_gepa_choose_winner",
            lambda answer: "" if answer in allowed else "give the id of one of the finalists",
            finalists=[
                {
                    "candidate": one.candidate.id,
                    "texts": dict(one.candidate.texts),
                    "mean": one.mean,
                    "broken": one.broken,
                    **asdict(one.outlay),
                }
                for one in choice.finalists
            ],
            winner=choice.usual,
        )
        return choice.usual if found is None else found

    def _ask(self, name: str, problem: Callable[[Any], str], **arguments: object) -> Any:
        """What the hook returns, None where no plugin has an answer or one has gone wrong."""
        if self._trouble:
            return None
        try:
            answer = call_hook(self._hooks, name, self._redact, **arguments)
            if answer is not None and (wanted := _problem(problem, answer)):
                plugins = names_of(getattr(self._hooks, name))
                said = one_line(self._redact(repr(answer)), 80)
                raise HookError(f"the hook {name} of {plugins} returned {said}: {wanted}")
        except HookError as error:
            self._trouble.append(error)
            return None
        return answer


def _problem(problem: Callable[[Any], str], answer: object) -> str:
    """What is wrong with an answer; some objects cannot even be compared."""
    try:
        return problem(answer)
    except Exception as error:
        return f"it cannot be compared with what was asked for ({type(error).__name__})"


def _are_groups(answer: object, failing: Collection[str], size: int, groups: int) -> bool:
    """Whether an answer divides failing cases into groups as was asked."""
    if not _is_list(answer) or not all(_is_list(group) and 0 < len(group) <= size for group in answer):
        return False
    return 0 < len(answer) <= groups and _are_cases([case for group in answer for case in group], failing)


def _are_cases(answer: object, known: Collection[str]) -> bool:
    """Whether an answer is a list of known cases, none twice."""
    if not _is_list(answer) or not all(isinstance(case, str) and case in known for case in answer):
        return False
    return len(set(answer)) == len(answer)


def _are_versions(answer: object, components: Collection[str]) -> bool:
    """Whether an answer is a list of texts by component."""
    return _is_list(answer) and all(_are_texts(version, components) for version in answer)


def _are_texts(answer: object, components: Collection[str]) -> bool:
    """Whether an answer gives texts by component."""
    return isinstance(answer, Mapping) and all(
        name in components and isinstance(text, str) for name, text in answer.items()
    )


def _is_list(answer: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(answer, (list, tuple))


def told(exhibit: Exhibit) -> dict[str, Any]:
    """A case and what it did, as plain data."""
    case, rollout = exhibit.case, exhibit.rollout
    return {
        "case": case.id,
        "nodeid": case.nodeid,
        "source": case.source,
        "parameters": dict(case.parameters),
        "outcome": rollout.outcome.value,
        "score": rollout.score,
        "failure": rollout.trajectory.failure,
        "feedback": rollout.feedback,
        "calls": [
            {
                "model": call.model,
                "messages": [{"role": one.role, "content": one.content} for one in call.request],
                "answer": "" if call.answer is None else call.answer.content,
            }
            for call in rollout.trajectory.calls
        ],
        "log": [{"name": step.name, "value": step.value} for step in rollout.trajectory.steps],
    }
