"""Prompts of an earlier state that are none today: deleted, moved out of sight, or in a form that cannot be set."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path, PurePosixPath

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.addresses import SEPARATOR, write_address
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.finding import DATA_SUFFIXES, PROMPT_SUFFIXES, find_components, matched_files
from pytest_gepa.prompts.formats.setting import parsed
from pytest_gepa.prompts.revisions import Difference, Repository
from pytest_gepa.run.base_texts import text_in

_MOST_READ = 500
_ALIKE = 0.5
"""Share of words in common from which on a text is taken for what became of another one, as git does it with files."""


@dataclass(frozen=True, slots=True)
class LostPrompt:
    """A prompt of the base that today has not. `place` is where its text is today, "" where it is gone; `why` is why
    it cannot be compared there, "" where it still has the text that it had.
    """

    component: Component
    place: str = ""
    why: str = ""


def lost_prompts(
    repository: Repository,
    commit: str,
    rootdir: Path,
    base: Path,
    patterns: Sequence[str],
    difference: Difference,
    read: Mapping[str, bytes],
    known: Collection[str],
) -> list[LostPrompt]:
    """The prompts that the patterns find in a copy of the files which differ from a commit, less those that are `known`
    by their ids, there or here. `read` are the bytes of files of the commit that were read already.
    """
    root, start, top = rootdir.resolve(), base.resolve(), repository.top
    if not start.is_relative_to(root):
        return []
    likely = [
        path
        for path in (*difference.deleted, *difference.others)
        if PurePosixPath(path).suffix.lower() in (*PROMPT_SUFFIXES, ".py") and (top / path).is_relative_to(root)
    ]
    today = {state.before: state.path for state in difference.states.values()}
    lost: list[LostPrompt] = []
    with tempfile.TemporaryDirectory(prefix="gepa-base-") as place:
        copy = Path(place).resolve()
        # Which of them are asked for is found out with empty files: each that is read costs several processes of git,
        # and a partial clone may not even have it.
        empty = {copy / (top / path).relative_to(root): path for path in likely}
        for target in empty:
            _write(target, b"")
        matched = dict.fromkeys(matched_files(copy / start.relative_to(root), patterns))
        asked = [empty[target] for target in matched if target in empty][:_MOST_READ]
        for target in empty:
            target.unlink()
        for path in (*asked, *read):
            data = read[path] if path in read else repository.read(commit, path)
            if data is not None and (top / path).is_relative_to(root):
                _write(copy / (top / path).relative_to(root), data)
        for old in _found(copy, copy / start.relative_to(root), patterns):
            if old.id not in known:
                before = (root / old.path.relative_to(copy)).relative_to(top).as_posix()
                path = today.get(before) or difference.others.get(before, "")
                lost.append(_looked_for(old, top / path, root, known) if path else LostPrompt(old))
    return [one for one in lost if one.why or one.place != one.component.id]


def _found(copy: Path, start: Path, patterns: Sequence[str]) -> list[Component]:
    found: dict[str, Component] = {}
    for pattern in patterns:
        try:
            components = find_components(copy, start, [pattern])
        except PromptError:
            continue  # it names a file that is not among these, or a text that was not there yet
        found.update({component.id: component for component in components})
    return list(found.values())


def _looked_for(old: Component, path: Path, root: Path, known: Collection[str]) -> LostPrompt:
    """What became of a prompt in its file of today."""
    _, separator, address = old.id.partition(SEPARATOR)
    name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    if name + SEPARATOR in known or (name in known and path.suffix.lower() in DATA_SUFFIXES):
        return LostPrompt(old)  # all of the file is a prompt today, and compared
    try:
        data = path.read_bytes()
    except OSError:
        return LostPrompt(old)
    try:
        text = text_in(old, data)
        if text is None:
            return _renamed(old, name, data, known)
    except PromptError as error:
        return LostPrompt(old, name + separator + address, str(error))
    return _at(old, name + separator + address, text)


def _renamed(old: Component, name: str, data: bytes, known: Collection[str]) -> LostPrompt:
    """A prompt that is not at its address any more: the file may have its text at a new one, which means no prompt."""
    before = parsed(old.format, old.source).fields
    words = old.text.split()
    shares: dict[str, float] = {}
    texts: dict[str, str] = {}
    for path, field in parsed(old.format, data).fields.items():
        place = f"{name}{SEPARATOR}{write_address(path)}"
        if not path or path in before or place in known:
            continue
        matcher = SequenceMatcher(None, words, field.text.split(), autojunk=False)
        if matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE:
            shares[place], texts[place] = matcher.ratio(), field.text
    best = max(shares, key=lambda place: shares[place], default="")
    return _at(old, best, texts[best]) if best and shares[best] >= _ALIKE else LostPrompt(old)


def _at(old: Component, place: str, text: str) -> LostPrompt:
    edited = f"its text has changed, and stands at {place}, which no pattern of --gepa-prompts means"
    return LostPrompt(old, place, "" if text == old.text else edited)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
