"""Whether an edited template still renders, with variables that the tests were seen to render it with.

Jinja2 templates are rendered in a sandbox; of simpler syntaxes see `filling`. A text is only held against a parent that
renders: the application may fill it in in ways that are not known here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pytest_gepa.prompts.filling import filling_error

MOST_RENDERINGS = 24
"""Of the different sets of variables that one template was seen with, so many are tried."""

MOST_CHARACTERS = 2_000_000
MOST_PIECES = 200_000
MOST_SECONDS = 2.0

# Undefined names fail, then only what is taken from them, then nothing: whichever the parent stands first.
_TOLERANCES: tuple[type[jinja2.Undefined], ...] = (
    jinja2.StrictUndefined,
    jinja2.Undefined,
    jinja2.ChainableUndefined,
)
_EXTENSIONS = ("jinja2.ext.do", "jinja2.ext.loopcontrols")
_LARGEST_POWER = 1_000
_SHOWN = 160


class _TooMuchError(Exception):
    """The rendering outgrew its bounds: nothing is known then."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a rendering ended: `error` is "" when it went well; `loaded` are the components that it took in."""

    error: str
    loaded: frozenset[str] = frozenset()


class _Sandbox(ImmutableSandboxedEnvironment):
    """Runs no code that is not the template's, and lets no product outgrow the bounds."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """A product of small numbers, or of a sequence that stays small."""
        sizes = [len(side) if isinstance(side, (str, list, tuple)) else 1 for side in (left, right)]
        counts = [abs(side) if isinstance(side, (int, float)) else 1 for side in (left, right)]
        is_large = max(counts) > (_LARGEST_POWER if operator == "**" else MOST_CHARACTERS)
        if is_large or max(sizes) * max(counts) > MOST_CHARACTERS:
            raise _TooMuchError
        return super().call_binop(context, operator, left, right)


class Renderer:
    """Today's texts by component, and what their templates were rendered with."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)
        self._seen: dict[str, list[Mapping[str, Any]]] = {}

    def learn(self, renderings: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Note that a component's template was rendered with these variables."""
        for component, variables in renderings:
            seen = self._seen.setdefault(component, [])
            if component in self._texts and variables not in seen and len(seen) < MOST_RENDERINGS:
                seen.append(variables)

    def has_seen(self, component: str) -> bool:
        """Whether a component was rendered by Jinja2, so that no other syntax is in use in it."""
        return component in self._seen

    def problem(self, component: str, parent: str, text: str, filled_by: Iterable[str] = ()) -> str | None:
        """Return why `text`, an edit of `parent`, can no longer be rendered, or be `filled_by` these syntaxes, where
        `parent` can, or None.
        """
        error = self._jinja_error(component, parent, text) or filling_error(parent, text, filled_by)
        return _reason(error) if error else None

    def _jinja_error(self, component: str, parent: str, text: str) -> str:
        for top, seen in self._seen.items():
            for variables in seen:
                if error := self._new_error(top, variables, component, parent, text):
                    return error
        return ""

    def _new_error(self, top: str, variables: Mapping[str, Any], component: str, parent: str, text: str) -> str:
        """The error of rendering with `text` where there is none with `parent`, "" if both go alike."""
        for tolerance in _TOLERANCES:
            before = self._rendered(top, {component: parent}, variables, tolerance)
            if before is None:
                return ""
            if not before.error:
                is_part = component in before.loaded | {top}
                after = self._rendered(top, {component: text}, variables, tolerance) if is_part else None
                return after.error if after is not None else ""
        return ""

    def _rendered(
        self,
        top: str,
        changed: Mapping[str, str],
        variables: Mapping[str, Any],
        tolerance: type[jinja2.Undefined],
    ) -> _Outcome | None:
        """Render a component's template among today's texts with one changed; None if that outgrows its bounds."""
        loader = _ComponentLoader({**self._texts, **changed}, top)
        environment = _Sandbox(loader=loader, undefined=tolerance, autoescape=False, extensions=_EXTENSIONS)
        try:
            _exhaust(environment.get_template(top).generate(**variables))
        except _TooMuchError:
            return None
        except Exception as error:  # a template may raise whatever its filters and the variables' methods do
            return _Outcome(f"{type(error).__name__}: {error}", frozenset(loader.loaded))
        return _Outcome("", frozenset(loader.loaded))


class _ComponentLoader(jinja2.BaseLoader):
    """Finds templates among the components: by id, else by the end of the path, nearest to the first one."""

    def __init__(self, texts: Mapping[str, str], top: str) -> None:
        self._texts = texts
        self._top = top
        self.loaded: set[str] = set()

    def get_source(
        self, environment: jinja2.Environment, template: str
    ) -> tuple[str, str | None, Callable[[], bool] | None]:
        """The text of the component that a template's name means. Raises `TemplateNotFound`."""
        named = [id for id in self._texts if id == template or id.endswith(f"/{template.lstrip('./')}")]
        if not named:
            raise jinja2.TemplateNotFound(template)
        nearest = max(named, key=lambda id: (id == template, _shared_folders(id, self._top), -len(id)))
        self.loaded.add(nearest)
        return self._texts[nearest], None, None


def _shared_folders(one: str, other: str) -> int:
    count = 0
    for mine, theirs in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _exhaust(pieces: Iterable[str]) -> None:
    deadline = time.monotonic() + MOST_SECONDS
    characters = 0
    for number, piece in enumerate(pieces):
        characters += len(piece)
        if characters > MOST_CHARACTERS or number > MOST_PIECES or time.monotonic() > deadline:
            raise _TooMuchError


def _reason(error: str) -> str:
    shown = " ".join(error.split())
    return (
        f"not rendered: the text can no longer be filled in as it was in the tests ({shown[:_SHOWN]}); keep what "
        "stands in placeholders and tags, and escape the signs that open them"
    )
