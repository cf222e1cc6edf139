"""A world small enough to reason about: a case passes when every word it needs stands in the right
component.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.children import Guard
from pytest_gepa.evolve.decisions import Decisions
from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.search import Search, allow_all
from pytest_gepa.evolve.tasks import CaseResult, Decision, Evaluate, Evaluated, Event, Reflect, Reflected

Editor = Callable[["World", Reflect, str], str | None]


def add_rules(world: World, task: Reflect, component: str) -> str | None:
    """The able reflection: one new line for each word that the failing cases lack in this component."""
    text = task.parent.texts[component]
    lacking = [word for case in task.failing for word in world.lacking(task.parent, case, component)]
    return text + "".join(f"- mind the {word}\n" for word in dict.fromkeys(lacking)) if lacking else None


@dataclass
class World:
    """`needs` maps a case to its words by component; `spoils` maps a word to cases that it breaks."""

    needs: Mapping[str, Mapping[str, tuple[str, ...]]]
    spoils: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    editor: Editor = add_rules
    guard: Guard = allow_all
    texts: Mapping[str, str] = field(default_factory=dict)
    how: Decisions | None = None
    ancestor: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        components = sorted({name for parts in self.needs.values() for name in parts})
        self.texts = self.texts or {name: f"You do {name}.\n" for name in components}
        self.events: list[Event] = []
        self.tasks: list[Evaluate | Reflect] = []
        self.decisions: list[Decision] = []

    def search(self, **settings: object) -> Search:
        given = {"rollouts": 40 * len(self.needs), **settings}
        cases = [SearchCase(case, self.weights.get(case, 1.0)) for case in self.needs]
        rules = SearchSettings(**given)  # type: ignore[arg-type]
        return Search(cases, self.texts, rules, self.guard, self.how, self.ancestor)

    def lacking(self, candidate: Candidate, case: str, component: str) -> list[str]:
        said = candidate.texts[component].split()
        return [word for word in self.needs[case].get(component, ()) if word not in said]

    def result(self, candidate: Candidate, case: str) -> CaseResult:
        problems = [
            f"AssertionError: the {word} is wrong"
            for component in self.needs[case]
            for word in self.lacking(candidate, case, component)
        ]
        said = {word for text in candidate.texts.values() for word in text.split()}
        problems += [f"too much {word}" for word in sorted(said) if case in self.spoils.get(word, ())]
        uses = tuple(self.needs[case])
        keys = repr([candidate.texts[name] for name in uses])
        return CaseResult(0.0 if problems else 1.0, uses, "\n".join(problems), True, keys)

    def answer(self, task: Evaluate | Reflect) -> Event:
        if isinstance(task, Evaluate):
            return Evaluated(task.candidate.id, {case: self.result(task.candidate, case) for case in task.cases})
        texts = {name: self.editor(self, task, name) for name in task.components}
        made = {name: text for name, text in texts.items() if text is not None}
        return Reflected(task.proposal, made, "a diagnosis", {name: f"edit of {name}" for name in made})

    def tell(self, search: Search, event: Event) -> tuple[Decision, ...]:
        self.events.append(event)
        told = search.tell(event)
        self.decisions += told
        return told

    def run(self, search: Search, most: int = 500) -> Search:
        """Answer tasks in the order in which they come until the search is done."""
        for _ in range(most):
            if search.done:
                return search
            tasks = search.ask()
            assert tasks, "the search waits, and nothing is under way"
            for task in tasks:
                self.tasks.append(task)
                self.tell(search, self.answer(task))
        raise AssertionError("the search does not end")

    def kinds(self) -> list[str]:
        return [decision.kind for decision in self.decisions]


def words_world(words: Iterable[str], cases_per_word: int = 3, **settings: object) -> World:
    """One component, and for every word some cases that need it."""
    needs = {f"{word}-{number}": {"prompt": (word,)} for word in words for number in range(cases_per_word)}
    return World(needs, **settings)  # type: ignore[arg-type]


def until(is_over: Callable[[], object], most: int = 500) -> Iterator[None]:
    """Go round until it is over; fail where that does not come."""
    for _ in range(most):
        if is_over():
            return
        yield
    raise AssertionError("it does not end")
