"""Guards: the checks that an edited text must pass before a rollout is spent on it. Nothing is mended.

Every reason opens with a few fixed words before a colon, by which it is counted (`kind_of`). What stands in templates
is checked in `templates`, copied cases in `leaks`, protected regions in `protected`, rendering in `rendering`, tags and
fences in `markup`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_gepa.prompts.escapes import escaped
from pytest_gepa.prompts.filling import filled_by
from pytest_gepa.prompts.format_fields import format_fields
from pytest_gepa.prompts.formats.splice import JOINERS
from pytest_gepa.prompts.leaks import Leaks
from pytest_gepa.prompts.markup import markup_problem
from pytest_gepa.prompts.placeholders import EVERY, FORMAT, JINJA, declared, placeholders
from pytest_gepa.prompts.programs import is_program, program_problem
from pytest_gepa.prompts.protected import check_markers, protection_problem
from pytest_gepa.prompts.reasons import together
from pytest_gepa.prompts.rendering import Renderer
from pytest_gepa.prompts.templates import template_problems
from pytest_gepa.prompts.unfilled import is_sent_unfilled

LEAST_SHARE = 0.1
"""Share of today's characters that an edited text must have: less is a rewrite to nothing."""

# Control, format (right-to-left overrides, invisible tags), surrogate, line and paragraph separator.
_FAR_TOO_LONG = 4
"""Times the longest text that is allowed."""

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Letters and marks that show nothing: fillers, joiners, selectors of variants of a sign that has none.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\uffa0\U000e0100-\U000e01ef]|[\ufe00-\ufe0f]{2}"
)
# What a page that is rendered, or a template that is filled in, does not show.
_COMMENT = re.compile(
    r"<!--.*?-->|\{#.*?#\}|\{\{!.*?\}\}|<%#.*?%>|^[ \t]*\[[^\]\n]*\]:[ \t]*(?:#|<>)[^\n]*$",
    re.DOTALL | re.MULTILINE,
)

_OWN_COMMENT = re.compile(r"(?:<!--|\{#-?|\{\{!(?:--)?|<%#)\s*gepa:")
# Joiners beside letters of ASCII, selectors of variants behind them: nothing there is joined, nor has variants.
_HIDDEN_MARKS = re.compile(r"[A-Za-z][\u200c\u200d]|[\u200c\u200d][A-Za-z]|[A-Za-z ][\ufe00-\ufe0f]")

FormatProblem = Callable[[str, str], "str | None"]
"""Takes a component and a text; says why the component's file cannot hold it, or None."""


def no_format_problem(component: str, text: str) -> str | None:
    """Hold any text: the check of a file that is all text."""
    return None


def any_text(text: str) -> bool:
    """Show any text: of a run that holds no cases out."""
    return True


class Guard:
    """All the checks of one run, made once. Safe to ask from several threads.

    `originals` are the components' texts in the working tree; those of `replaced` are filled in by `str.replace`, where
    braces are nothing but braces. Raises `PromptError`, naming the component, for malformed markers of protected
    regions in one of them.
    """

    def __init__(
        self,
        originals: Mapping[str, str],
        leaks: Leaks | None = None,
        format_problem: FormatProblem = no_format_problem,
        replaced: Collection[str] = (),
    ) -> None:
        check_markers(originals)
        self._originals = dict(originals)
        self._leaks = leaks
        self._format_problem = format_problem
        self._replaced = frozenset(replaced)
        self._unfilled: frozenset[str] = frozenset()
        self._may_be_shown: Callable[[str], bool] = any_text
        self._renderer = Renderer(originals)

    def learn(
        self,
        inputs: Mapping[str, Sequence[str]],
        renderings: Iterable[tuple[str, Mapping[str, Any]]] = (),
        requests: Collection[str] = (),
        may_be_shown: Callable[[str], bool] = any_text,
        shared: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Take what the baseline showed: the cases' inputs, and those that several share, the variables that templates
        were rendered with, and the texts that were sent to models. A case is an example only where `may_be_shown` says
        so of its texts.
        """
        self._may_be_shown = may_be_shown
        if self._leaks is not None:
            self._leaks.learn(inputs, shared)
        self._renderer.learn(renderings)
        self._unfilled = frozenset(
            name for name, text in self._originals.items() if is_sent_unfilled(text, declared(name), requests)
        )

    def check(self, component: str, parent: str, text: str, examples: Collection[str] = ()) -> str | None:
        """Return why `text`, made by editing `parent`, must not be tried, or None if nothing speaks against it.

        `examples` are the ids of the cases that were taken whole into the candidate's texts. The reason is written
        for the model that proposed the edit; of several the first few are given.
        """
        return together(self._reasons(component, parent, text, examples)) or None

    def escaped(
        self, component: str, parent: str, text: str, *, is_addition: bool = False, is_raw: bool = False
    ) -> str:
        """Return what an edit puts into `parent` with the signs escaped by which its text is filled in, where it is
        plain which they are.

        In a mere addition a field is spoken of, as all of the parent's stay where they are: to fill it in there would
        put the input in twice. What `is_raw`, as the text of a case is, has nothing escaped yet.
        """
        syntaxes = self._filled_by(component, parent)
        if len(syntaxes) != 1:
            return text
        fields = placeholders(parent, self._within(component)) | format_fields(parent)
        filled_in: Collection[str] = () if is_addition or is_raw else fields
        return escaped(text, parent, filled_in, syntaxes[0], fields if is_addition else (), is_raw=is_raw)

    def holds_input(self, example: str, case: str) -> bool:
        """Whether a text is known to hold a case's input."""
        return self._leaks is not None and self._leaks.holds_input(example, case)

    def pair(self, case: str) -> tuple[str, str] | None:
        """A case's input and expected answer, None where it is not plain which they are, or they may not be shown."""
        pair = None if self._leaks is None else self._leaks.pair(case)
        return pair if pair is not None and all(map(self._may_be_shown, pair)) else None

    def whole_problem(self, example: str, case: str) -> str | None:
        """Return why an `example` that names a case may not do so, or None: it must hold the case's input whole."""
        if self._leaks is None or self._leaks.is_whole(example, case):
            return None
        return (
            "not the whole case: this example names a case but does not hold it whole; copy the input and the "
            "expected answer word for word, or invent an example and name no case"
        )

    def original(self, component: str) -> str:
        """Return the component's text in the working tree."""
        return self._originals[component]

    def longest(self, component: str) -> int:
        """Return how many characters an edited text of this component may have."""
        return growth_limit(self._originals[component])

    def _reasons(self, component: str, parent: str, text: str, examples: Collection[str]) -> Iterator[str]:
        original = self._originals[component]
        filled_by = self._filled_by(component, parent)
        yield from text_problems(
            original, parent, text, self._within(component), is_replaced=component in self._replaced
        )
        if len(text) > _FAR_TOO_LONG * self.longest(component):
            return  # it is refused, and the rest takes its time by the length
        found = (
            None if is_program(component) else markup_problem(original, parent, text),
            protection_problem(original, text),
            self._leaks.find(text, examples) if self._leaks is not None else None,
            self._format_problem(component, text),
            program_problem(component, text) if is_program(component) else None,
            self._renderer.problem(component, parent, text, filled_by),
        )
        yield from (reason for reason in found if reason is not None)

    def _within(self, component: str) -> frozenset[str]:
        if component in self._unfilled:
            return frozenset()
        return frozenset({JINJA}) if self._renderer.has_seen(component) else declared(component)

    def _filled_by(self, component: str, parent: str) -> tuple[str, ...]:
        without = {FORMAT} if component in self._replaced else set()
        return filled_by(parent, self._within(component) - without)


def kind_of(reason: str) -> str:
    """Return the fixed words that a reason opens with, by which refusals are counted."""
    return reason.partition(":")[0].strip()


def count_kinds(reasons: Mapping[str, int]) -> dict[str, int]:
    """Return how often each kind of reason came, the most frequent first."""
    counts: Counter[str] = Counter()
    for reason, times in reasons.items():
        counts[kind_of(reason)] += times
    return dict(counts.most_common())


def growth_limit(original: str) -> int:
    """Return how many characters an edited text may have: twice today's, or 1,500 more, whichever is more."""
    return max(2 * len(original), len(original) + 1_500)


def text_problems(
    original: str, parent: str, text: str, within: frozenset[str] = EVERY, *, is_replaced: bool = False
) -> Iterator[str]:
    """Why `text`, made by editing `parent`, must not be tried, as far as the texts alone tell.

    `original` is the component's text in the working tree, which the limits of size are taken from; `within` are the
    template syntaxes that may be in use, and the text `is_replaced` where braces are filled in by `str.replace`.
    """
    if not text.strip():
        yield "empty text: the edited text is empty"
    if text == parent:
        yield "no change: the edit changes nothing"
    if len(text) > growth_limit(original):
        yield (f"too long: the edited text has {len(text)} characters, at most {growth_limit(original)} are allowed")
    if len(text) < LEAST_SHARE * len(original):
        yield (
            f"too short: the edited text has {len(text)} characters, a prompt of {len(original)} must keep "
            f"{LEAST_SHARE:.0%} of them"
        )
    yield from _unseen_characters(parent, text)
    yield from template_problems(parent, text, within, is_replaced=is_replaced)
    yield from _hidden_text(parent, text)


def _unseen_characters(parent: str, text: str) -> Iterator[str]:
    allowed = {"\t", "\n", *JOINERS, *parent}
    for character in sorted(set(text) - allowed):
        if unicodedata.category(character) in _UNSEEN or _BLANK.match(character):
            name = unicodedata.name(character, "a control character")
            yield (
                f"unseen character: the edited text holds U+{ord(character):04X} ({name.lower()}), which no reader sees"
            )
    if any(len(marks.findall(text)) > len(marks.findall(parent)) for marks in (_BLANK, _HIDDEN_MARKS)):
        yield "unseen character: the edited text holds marks in a row that no reader sees"


def _hidden_text(parent: str, text: str) -> Iterator[str]:
    """Refuse new comments: a rendered page does not show them, and a template's never reach the model."""
    new = Counter(_COMMENT.findall(text)) - Counter(_COMMENT.findall(parent))
    for comment in sorted(new):
        # Markers of protected regions are spoken of elsewhere.
        if not _OWN_COMMENT.match(comment):
            yield f"hidden text: {comment[:80]!r} would be a comment; say it in the open, or leave it out"
    if _hides_its_end(text) and not _hides_its_end(parent):
        yield "hidden text: <!-- is never closed, so that a rendered page shows nothing of what follows"


def _hides_its_end(text: str) -> bool:
    return text.rfind("<!--") > text.rfind("-->")
