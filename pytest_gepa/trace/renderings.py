"""What variables the project's Jinja2 templates were rendered with, so that an edit can be tried with them.

jinja2 is patched on its classes once somebody has imported it; it is not imported here. The application must not be
able to tell.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from pytest_gepa.own import OwnName
from pytest_gepa.trace.cut import beginning
from pytest_gepa.trace.fork_lock import ForkLock
from pytest_gepa.trace.import_hook import ImportWatch
from pytest_gepa.trace.rewrite import rewrite_tree

MODULE = "jinja2.environment"
MOST_RENDERINGS = 8
"""Different renderings that are kept of one case."""

MOST_CHARACTERS = 8_000
"""Of one rendering's variables as JSON; larger ones are left out from the largest on."""

_LONGEST_TEXT = 400
_MOST_ITEMS = 12
_DEEPEST = 6
_LEAST_INSIDE = 32
"""A component this long is found inside a longer source too, such as that of a file with front matter."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """One set of variables that a component's template was rendered with: JSON, long texts and lists cut short.

    Values that JSON does not have are left out.
    """

    component: OwnName
    variables: str


class TemplateWatch:
    """Notes renderings of the components' templates, from any thread, until they are taken."""

    def __init__(self, texts: Mapping[str, str], paths: Mapping[str, str]) -> None:
        """`texts` holds the components' texts by id, `paths` the ids of whole-file components by their path."""
        self._by_text = {text.strip(): id for id, text in texts.items() if text.strip()}
        self._by_path = dict(paths)
        self._by_code: dict[CodeType, str] = {}
        self._by_template: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._noted: dict[Rendering, None] = {}
        self._lock = ForkLock()

    def compiled(self, source: object, code: object) -> None:
        """Note that jinja2 has made code of a source."""
        if isinstance(source, str) and isinstance(code, CodeType):
            component = self._component_of(source)
            if component:
                self._by_code[code] = component

    def made(self, template: Any, code: CodeType) -> None:
        """Note that a template has been made of code."""
        component = self._by_code.get(code) or self._by_path.get(code.co_filename, "")
        if component:
            self._by_template[template] = component

    def rendered(self, template: Any, variables: Mapping[str, Any]) -> None:
        """Note that a template is rendered."""
        component = self._by_template.get(template, "") or self._by_path.get(template.filename or "", "")
        if not component:
            return
        given = {**_own_globals(template), **variables}
        rendering = Rendering(component, _as_json(given))
        with self._lock:
            if len(self._noted) < MOST_RENDERINGS:
                self._noted[rendering] = None

    def taken(self, redact: Callable[[str], str]) -> tuple[Rendering, ...]:
        """Hand over what was noted since the last time, without secrets."""
        with self._lock:
            noted, self._noted = list(self._noted), {}
        return tuple(
            Rendering(one.component, _dumped(rewrite_tree(json.loads(one.variables), redact))) for one in noted
        )

    def _component_of(self, source: str) -> str:
        bare = source.strip()
        if bare in self._by_text:
            return self._by_text[bare]
        held = [id for text, id in self._by_text.items() if len(text) >= _LEAST_INSIDE and text in bare]
        return held[0] if len(held) == 1 else ""


def install(texts: Mapping[str, str], paths: Mapping[str, str]) -> None:
    """Note renderings of these components in this process from now on. Installed again, it starts anew."""
    _State.watch = TemplateWatch(texts, paths)
    _import_watch.start()
    module = sys.modules.get(MODULE)
    if module is not None and hasattr(module, "Template"):
        _patch(module)


def uninstall() -> None:
    """Note nothing more; what is patched does what it did before. For tests, whose process goes on."""
    _State.watch = None
    _import_watch.stop()
    for owner, name, original in reversed(_State.originals):
        setattr(owner, name, original)
    _State.originals.clear()


def taken(redact: Callable[[str], str]) -> tuple[Rendering, ...]:
    """Hand over the renderings since the last time, without secrets."""
    return _State.watch.taken(redact) if _State.watch is not None else ()


class _State:
    """Where renderings go in this process, and what was there before the patches."""

    watch: TemplateWatch | None = None
    originals: list[tuple[type, str, Any]] = []  # noqa: RUF012


def _tell(act: Callable[[TemplateWatch], None]) -> None:
    """The application must not fail for our sake, whatever objects it renders."""
    if _State.watch is not None:
        try:
            act(_State.watch)
        except Exception:
            return


def _patch(module: ModuleType) -> None:
    if _State.originals:
        return
    template: Any = vars(module)["Template"]
    environment: Any = vars(module)["Environment"]
    _replace(environment, "compile", _compile)
    _replace(template, "from_code", _from_code)
    for name in ("render", "generate", "render_async", "generate_async"):
        _replace(template, name, _render)


def _replace(owner: type, name: str, wrap: Callable[[Any], Any]) -> None:
    original = vars(owner)[name]
    _State.originals.append((owner, name, original))
    setattr(owner, name, wrap(original))


def _compile(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def compile(self: Any, source: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        code = original(self, source, *args, **kwargs)
        _tell(lambda watch: watch.compiled(source, code))
        return code

    return compile


def _from_code(original: Any) -> Any:
    function = original.__func__

    @functools.wraps(function)
    def from_code(cls: Any, environment: Any, code: CodeType, *args: Any, **kwargs: Any) -> Any:
        template = function(cls, environment, code, *args, **kwargs)
        _tell(lambda watch: watch.made(template, code))
        return template

    return classmethod(from_code)


def _render(original: Callable[..., Any]) -> Callable[..., Any]:
    # A coroutine or a generator comes back as the method made it; only the call itself is looked at.
    @functools.wraps(original)
    def render(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        # What could be read only once, or does things when it is read, is left alone.
        if not args or type(args[0]) in (dict, list, tuple):
            _tell(lambda watch: watch.rendered(self, dict(*args, **kwargs)))
        return original(self, *args, **kwargs)

    return render


_import_watch = ImportWatch((MODULE,), _patch)


def _own_globals(template: Any) -> dict[str, Any]:
    """What a template is given beside its variables, less what jinja2 gives to all."""
    return {
        name: value
        for name, value in dict(template.globals).items()
        if isinstance(value, (str, int, float, list, tuple, dict, type(None)))
    }


def _as_json(variables: Mapping[str, Any]) -> str:
    kept = {str(name): small for name, value in variables.items() if (small := _small(value, 0)) is not _LEFT_OUT}
    while len(text := _dumped(kept)) > MOST_CHARACTERS:
        largest = max(kept, key=lambda name: len(_dumped(kept[name])))
        del kept[largest]
    return text


_LEFT_OUT: Any = object()


def _small(value: Any, depth: int) -> Any:
    """The value with long texts and lists cut short, `_LEFT_OUT` for what JSON does not have."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(beginning(value, _LONGEST_TEXT))
    if depth < _DEEPEST and isinstance(value, dict):
        pairs = ((str(key), _small(item, depth + 1)) for key, item in list(value.items())[: 4 * _MOST_ITEMS])
        return {key: item for key, item in pairs if item is not _LEFT_OUT}
    if depth < _DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else list(value)
        found = [_small(item, depth + 1) for item in items[:_MOST_ITEMS]]
        return _LEFT_OUT if any(item is _LEFT_OUT for item in found) else found
    return _LEFT_OUT


def _dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
