"""The prompts of an earlier state of the project, in the files of today: what a check puts beside today's prompts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher, unified_diff
from pathlib import Path, PurePosixPath

from pytest_gepa.errors import PromptError
from pytest_gepa.own import OwnName
from pytest_gepa.prompts.addresses import SEPARATOR
from pytest_gepa.prompts.components import Component, compose
from pytest_gepa.prompts.finding import (
    DEFAULT_PATTERNS,
    PROMPT_SUFFIXES,
    find_components,
    matched_files,
)
from pytest_gepa.prompts.revisions import FileState, Repository
from pytest_gepa.run.base_texts import text_before
from pytest_gepa.trace.redact_lines import HiddenLines

_MOST_DELETED = 500


@dataclass(frozen=True, slots=True)
class PromptChange:
    """How one component differs between the base and today.

    `path` is its file's from the top of the repository. `state` is "edited", "added", "deleted" or "renamed" (then
    `before` is its id on the base's side; its text has changed too, else it is no change). `diff` is a
    unified diff of the texts, `lines` are the numbers (from 1, in the file of today) of the lines that were added or
    changed.
    """

    component: OwnName
    path: OwnName
    state: OwnName
    diff: str
    lines: tuple[int, ...] = ()
    before: OwnName = ""


@dataclass(frozen=True, slots=True)
class BasePrompts:
    """The prompts of the base. `name` is its abbreviated commit, `revision` what was given for it, "" for the default.

    `texts` has a text for every component of today: the base's, and today's own for one that the base has not.
    `changes` are the components that differ, deleted ones among them, in order of their names.
    """

    name: OwnName
    revision: str
    texts: Mapping[OwnName, str]
    changes: tuple[PromptChange, ...] = ()

    @property
    def changed(self) -> frozenset[str]:
        """The components of today that have another text in the base."""
        return frozenset(one.component for one in self.changes if one.state in ("edited", "renamed"))

    @property
    def deleted(self) -> frozenset[str]:
        """The components of the base that are there no more."""
        return frozenset(one.component for one in self.changes if one.state == "deleted")

    @property
    def added(self) -> frozenset[str]:
        """The components of today that the base has not."""
        return frozenset(one.component for one in self.changes if one.state == "added")

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
    """Read the prompts as they were at a revision, by default where this branch has left the default branch.

    `base` and `patterns` are those by which the `components` of today were found; they find what was deleted since.
    The diffs show no secret of the whole texts that `redact` takes out.
    Raises `RevisionError` where there is no such revision, and `PromptError` for a prompt that cannot be read there.
    """
    repository = Repository(rootdir)
    commit = repository.commit(revision) if revision else repository.default_base()
    name = repository.short(commit)
    paths = {component.id: repository.path_of(component.path) for component in components}
    names = repository.names(list(dict.fromkeys(path for path in paths.values() if path is not None)))
    places = {id: None if path is None else names[path] for id, path in paths.items()}
    states, deleted = repository.differing(commit, list(dict.fromkeys(names.values())))
    changes: list[PromptChange] = []
    texts: dict[str, str] = {}
    before_ids: set[str] = set()
    old_files: dict[str, bytes] = {}
    for component in components:
        path = places[component.id]
        state = states.get(path or "")
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
    gone = _deleted(repository, commit, rootdir, base, patterns or DEFAULT_PATTERNS, deleted, old_files)
    known = before_ids | {component.id for component in components}
    changes += [
        PromptChange(
            old.id,
            _top_path(old, repository, rootdir),
            "deleted",
            HiddenLines([old.text], redact).redact(_diff(old.text, "", old.id, name)),
        )
        for old in gone
        if old.id not in known
    ]
    return BasePrompts(name, revision, texts, tuple(sorted(changes, key=lambda change: change.component)))


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
    )


def _diff(before: str, after: str, name: str, base: str) -> str:
    lines = unified_diff(
        before.splitlines(), after.splitlines(), f"{name} ({base})", f"{name} (today)", lineterm=""
    )
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


def _deleted(
    repository: Repository,
    commit: str,
    rootdir: Path,
    base: Path,
    patterns: Sequence[str],
    deleted: Sequence[str],
    changed: Mapping[str, bytes],
) -> list[Component]:
    """The components of the base in files that were deleted or changed: those that the patterns find in a copy of
    these files."""
    root, start = rootdir.resolve(), base.resolve()
    if not start.is_relative_to(root):
        return []
    found: dict[str, Component] = {}
    likely = [
        path
        for path in deleted
        if PurePosixPath(path).suffix.lower() in (*PROMPT_SUFFIXES, ".py")
        and (repository.top / path).is_relative_to(root)
    ]
    with tempfile.TemporaryDirectory(prefix="gepa-base-") as place:
        copy = Path(place).resolve()
        # Which of them are asked for is found out with empty files: each that is read costs several processes of git,
        # and a partial clone may not even have it.
        empty = {copy / (repository.top / path).relative_to(root): path for path in likely}
        for target in empty:
            _write(target, b"")
        matched = dict.fromkeys(matched_files(copy / start.relative_to(root), patterns))
        read = [empty[target] for target in matched if target in empty][:_MOST_DELETED]
        for target in empty:
            target.unlink()
        for path in (*read, *changed):
            whereto = repository.top / path
            data = changed[path] if path in changed else repository.read(commit, path)
            if data is not None and whereto.is_relative_to(root):
                _write(copy / whereto.relative_to(root), data)
        for pattern in patterns:
            try:
                components = find_components(copy, copy / start.relative_to(root), [pattern])
            except PromptError:
                continue  # it names a file that is not among these, or a text that was not there yet
            found.update({component.id: component for component in components})
    return list(found.values())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
