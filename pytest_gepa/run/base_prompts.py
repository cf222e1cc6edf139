"""The prompts of an earlier state of the project, in the files of today: what a check puts beside today's prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher, unified_diff
from pathlib import Path

from pytest_gepa.errors import PromptError
from pytest_gepa.own import OwnName
from pytest_gepa.prompts.addresses import SEPARATOR
from pytest_gepa.prompts.components import Component, by_file, compose
from pytest_gepa.prompts.finding import DEFAULT_PATTERNS
from pytest_gepa.prompts.placeholders import declared, placeholders
from pytest_gepa.prompts.revisions import FileState, Repository
from pytest_gepa.run.base_texts import text_before
from pytest_gepa.run.lost_prompts import lost_prompts
from pytest_gepa.trace.redact_lines import HiddenLines


@dataclass(frozen=True, slots=True)
class PromptChange:
    """How one component differs between the base and today.

    `path` is its file's from the top of the repository. `state` is "edited", "added", "deleted" or "renamed" (then
    `before` is its id on the base's side; its text has changed too, else it is no change). `diff` is a
    unified diff of the texts, `lines` are the numbers (from 1, in the file of today) of the lines that were added or
    changed. `moved` is where the text of a deleted one stands as it was, "" where it does nowhere. `unfilled` are the
    placeholders that the base's text has and today's has not: code that was changed with it may fill them in no more.
    `only_today` are those that today's text has and the base's has not; () of an added one.
    """

    component: OwnName
    path: OwnName
    state: OwnName
    diff: str
    lines: tuple[int, ...] = ()
    before: OwnName = ""
    moved: OwnName = ""
    unfilled: tuple[str, ...] = ()
    only_today: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BasePrompts:
    """The prompts of the base. `name` is its abbreviated commit, `revision` what was given for it, "" for the default.

    `texts` has a text for every component of today: the base's, and today's own for one that the base has not.
    `changes` are the components that differ, deleted ones among them, in order of their names. `unset` are those of the
    base that are there today, edited, and are no component, by id, each with the reason. `has_same_code` says that
    nothing but prompts, tests and what is no Python differs.
    """

    name: OwnName
    revision: str
    texts: Mapping[OwnName, str]
    changes: tuple[PromptChange, ...] = ()
    unset: Mapping[OwnName, str] = field(default_factory=dict)
    has_same_code: bool = False

    @property
    def changed(self) -> frozenset[str]:
        """The components of today that have another text in the base."""
        return frozenset(one.component for one in self.changes if one.state in ("edited", "renamed"))

    @property
    def deleted(self) -> frozenset[str]:
        """The components of the base of which the text is there no more."""
        return frozenset(one.component for one in self.changes if one.state == "deleted" and not one.moved)

    @property
    def added(self) -> frozenset[str]:
        """The components of today that the base has not."""
        return frozenset(one.component for one in self.changes if one.state == "added")

    def check_settable(self) -> None:
        """Raise `PromptError` for a prompt of the base that was edited, and is none that can be set: both sides would
        run with its new text, and nobody would hear of it.
        """
        if not self.unset:
            return
        component, why = next(iter(self.unset.items()))
        raise PromptError(
            f"{component} was a prompt at {self.name}, and is none that can be set today ({why}); keep it as a fixed "
            "text, or name where it is now with --gepa-prompts"
        )

    def check_held(self, components: Sequence[Component]) -> None:
        """Raise `PromptError` for a text of the base that its file of today cannot hold."""
        try:
            compose(components, self.texts)
        except PromptError as error:
            raise PromptError(
                f"the files of today cannot hold the prompts as they were at {self.name}: {error}. Name a commit whose "
                "text it can hold, with --gepa-check=REV, or leave the prompt out with --gepa-prompts"
            ) from None


def read_base(
    rootdir: Path,
    components: Sequence[Component],
    base: Path,
    patterns: Sequence[str],
    revision: str,
    redact: Callable[[str], str] = str,
) -> BasePrompts:
    """Read the prompts as they were at a revision, by default where this branch has left the one that it goes into.

    `base` and `patterns` are those by which the `components` of today were found; they find what was deleted since.
    The diffs show no secret of the whole texts that `redact` takes out.
    Raises `RevisionError` where there is no such revision, and `PromptError` for a prompt that cannot be read there.
    """
    repository = Repository(rootdir)
    commit = repository.commit(revision)
    name = repository.short(commit)
    paths = {component.id: repository.path_of(component.path) for component in components}
    names = repository.names(list(dict.fromkeys(path for path in paths.values() if path is not None)))
    places = {id: None if path is None else names[path] for id, path in paths.items()}
    difference = repository.difference(commit, list(dict.fromkeys(names.values())))
    changes: list[PromptChange] = []
    texts: dict[str, str] = {}
    before_ids: set[str] = set()
    old_files: dict[str, bytes] = {}
    for component in components:
        path = places[component.id]
        state = difference.states.get(path or "")
        text: str | None = component.text
        id_before = component.id
        if state is not None:
            text = _text_before(repository, commit, component, state, old_files)
            id_before = _id_before(component, state, repository, rootdir)
        before_ids.add(id_before)
        texts[component.id] = component.text if text is None else text
        if text != component.text:
            change = _change(component, text, path or component.id, id_before, name)
            hidden = HiddenLines((text or "", component.text), redact)
            changes.append(replace(change, diff=hidden.redact(change.diff)))
    lost = lost_prompts(
        repository,
        commit,
        rootdir,
        base,
        patterns or DEFAULT_PATTERNS,
        difference,
        old_files,
        before_ids | {component.id for component in components},
    )
    changes += [
        PromptChange(
            one.component.id,
            _top_path(one.component, repository, rootdir),
            "deleted",
            HiddenLines([one.component.text], redact).redact(_diff(one.component.text, "", one.component.id, name)),
            moved=one.place,
        )
        for one in lost
        if not one.why
    ]
    unset = {one.component.id: one.why for one in lost if one.why}
    in_order = tuple(sorted(changes, key=lambda change: change.component))
    states = {component.id: difference.states.get(places[component.id] or "") for component in components}
    has_same_code = not (
        difference.has_other_code
        or _has_other_code(components, texts, states, old_files)
        # A test may fill in the prompt itself.
        or (difference.has_other_tests and any(change.unfilled for change in changes))
    )
    return BasePrompts(name, revision, texts, in_order, unset, has_same_code)


def _has_other_code(
    components: Sequence[Component],
    texts: Mapping[str, str],
    states: Mapping[str, FileState | None],
    old_files: Mapping[str, bytes],
) -> bool:
    """Whether a Python file with prompts in it differs in more than these."""
    for path, inside in by_file(components).items():
        state = states[inside[0].id]
        if path.suffix == ".py" and state is not None:
            try:
                data = compose(inside, texts)[path]
            except PromptError:
                return True
            if data != old_files.get(state.before):
                return True
    return False


def _text_before(
    repository: Repository, commit: str, component: Component, state: FileState, kept: dict[str, bytes]
) -> str | None:
    if not state.before:
        return None
    data = kept.get(state.before)
    if data is None:
        data = repository.read(commit, state.before)
        if data is None:
            return None
        kept[state.before] = data
    return text_before(component, data, commit)


def _id_before(component: Component, state: FileState, repository: Repository, rootdir: Path) -> str:
    if not state.before or state.before == state.path:
        return component.id
    _, separator, address = component.id.partition(SEPARATOR)
    old = repository.top / state.before
    root = rootdir.resolve()
    name = old.relative_to(root).as_posix() if old.is_relative_to(root) else state.before
    return name + separator + address


def _change(component: Component, text: str | None, path: str, before: str, base: str) -> PromptChange:
    state = "added" if text is None else "edited" if before == component.id else "renamed"
    return PromptChange(
        component.id,
        path,
        state,
        _diff(text or "", component.text, component.id, base),
        _lines(component, text),
        before if state == "renamed" else "",
        unfilled=_placeholders_of_one(component, text or "", component.text),
        only_today=() if text is None else _placeholders_of_one(component, component.text, text),
    )


def _placeholders_of_one(component: Component, one: str, other: str) -> tuple[str, ...]:
    """The placeholders that `one` text of a component has and the `other` has not."""
    within = declared(component.id)
    alone = placeholders(one, within) - placeholders(other, within)
    # A condition or a loop that was written anew is filled in by nobody.
    return tuple(sorted(name for name in alone if not name.startswith(("{%", "<%"))))


def _diff(before: str, after: str, name: str, base: str) -> str:
    lines = unified_diff(before.splitlines(), after.splitlines(), f"{name} ({base})", f"{name} (today)", lineterm="")
    return "\n".join(lines)


def _lines(component: Component, text: str | None) -> tuple[int, ...]:
    """The lines of today's file that hold what is added or changed."""
    today = compose([component], {})[component.path]
    try:
        before = compose([component], {component.id: text or ""})[component.path]
    except PromptError:
        return ()
    new = today.splitlines()
    if text is None and before == b"":
        return tuple(range(1, len(new) + 1))
    matcher = SequenceMatcher(None, before.splitlines(), new, autojunk=False)
    return tuple(
        number + 1
        for tag, _, _, start, end in matcher.get_opcodes()
        if tag in ("insert", "replace")
        for number in range(start, end)
    )


def _top_path(component: Component, repository: Repository, rootdir: Path) -> str:
    path = rootdir.resolve() / component.id.partition(SEPARATOR)[0]
    return repository.path_of(path) or component.id
