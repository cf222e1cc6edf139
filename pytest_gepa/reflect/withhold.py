"""Keeping held-out cases from the reflection model: what is theirs is cut from every text that it is shown."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from pytest_gepa.reflect.belongings import belongings
from pytest_gepa.reflect.occurrences import Occurrences
from pytest_gepa.reflect.partial import Pieces
from pytest_gepa.reflect.plain import Plain
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.suite.rollout import Case, Rollout
from pytest_gepa.suite.sources import Source
from pytest_gepa.trace.rewrite import rewrite_trajectory, same
from pytest_gepa.trace.spans import Span, joined, marked, outside
from pytest_gepa.trace.trajectory import Trajectory

SHORTEST = 4
"""A value of fewer characters is cut only where it stands as a whole one: cut out of every word that holds it, it would
make the evidence unreadable."""

HELD_OUT = "[held out]"

_Place = tuple[Span, bool]
"""A span, and whether it may be shown, with all that is in it."""

_WORD = re.compile(r"\w+")
_EDGES = re.compile(r"\A\W+|\W+\Z")
"""What may stand around a secret on a line that has nothing else, which does not make it a part of another text."""


class Withholder:
    """Cuts what is held-out cases' own out of exhibits.

    That is the values of their parameters (`texts`, by case id, are those that their reprs do not show), their ids, the
    sentences in a test function that is theirs alone, and what stands in a row with one of their values in a table of
    the `sources`. What a search case has too is no secret, nor is what stands in `prompts`; and a secret stays where it
    is a part of a text or a line that they have. What is cut has been through `redact`, and so a value is known by what
    that leaves of it, too. Values are known in any escapes, such as those of JSON. A piece of a long value, as reports
    cut them short, is cut like the whole; so are several lines with a margin, such as pytest's `E`. A short value is
    cut where it stands in quotes, or alone, or on a line from which something was cut; a word of such a row where it is
    no part of another.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        sources: Iterable[Source] = (),
        prompts: Iterable[str] = (),
        texts: Mapping[str, Sequence[str]] = MappingProxyType({}),
        redact: Callable[[str], str] = same,
    ) -> None:
        prompts = list(prompts)
        today = "\n".join(prompts)
        theirs, shown, words, own = belongings(cases, sources, texts).with_redacted(redact)
        secrets = {
            value
            for value in theirs - shown
            if (bare := value.strip()) and bare not in shown and not _stands_in(bare, today)
        }
        self._words = {value for value in secrets & words if len(value) >= SHORTEST}
        long = {value for value in secrets - self._words if len(value) >= SHORTEST}
        self._short = _alternatives(value for value in secrets if len(value) < SHORTEST)
        self._quoted = re.compile(rf"""(["'])({self._short})\1""")
        self._whole = re.compile(rf"(?<![\w.])(?:{self._short})(?![\w.])")
        self._has_secrets = bool(secrets)
        forms = {form for value in long for form in _forms(value)} - shown
        self._long = Occurrences(forms)
        self._kept = {
            form
            for text in {*own, *prompts}
            for part in self._with_secrets(text)
            if _EDGES.sub("", part) not in secrets
            for form in _forms(part)
        }
        self._long = Occurrences(forms | self._kept)
        may_be_shown = (today, *shown, *{case.source for case in cases if case.split == "search"})
        outermost = (Plain(value).text for value in sorted(long) if repr(value) not in long)
        self._pieces = Pieces(outermost, (Plain(text).text for text in may_be_shown))

    def exhibit(self, exhibit: Exhibit) -> Exhibit:
        """The same exhibit without anything of the held-out cases."""
        if not self._has_secrets:
            return exhibit
        case, rollout = exhibit.case, exhibit.rollout
        other = None if exhibit.other is None else self._rollout(exhibit.other)
        return replace(
            exhibit,
            case=self.case(case),
            rollout=self._rollout(rollout),
            expected=self.cut(exhibit.expected),
            other=other,
        )

    def case(self, case: Case) -> Case:
        """A search case without anything of the held-out ones."""
        parameters = tuple((name, self.cut(value)) for name, value in case.parameters)
        return replace(case, source=self.cut(case.source), parameters=parameters)

    def _rollout(self, rollout: Rollout) -> Rollout:
        # The tools that a program offers are its own, as its prompts are; of others a model has made up the name.
        made_up = _called(rollout.trajectory) - {tool for call in rollout.trajectory.calls for tool in call.tools}
        trajectory = rewrite_trajectory(
            rollout.trajectory, self.cut, lambda name: self.cut(name) if name in made_up else name
        )
        return replace(rollout, trajectory=trajectory, feedback=self.cut(rollout.feedback))

    def cut(self, text: str) -> str:
        """The text without anything of the held-out cases."""
        if not self._has_secrets:
            return text
        if self._short and re.fullmatch(self._short, text.strip()):
            return HELD_OUT
        places = list(self._places(text))
        kept = [span for span, is_kept in places if is_kept]
        found = joined(outside((span for span, is_kept in places if not is_kept), kept))
        if self._short and found:
            found = joined([*found, *outside(self._short_beside(text, found), kept)])
        return marked(text, found, HELD_OUT)

    def _with_secrets(self, text: str) -> Iterator[str]:
        """A text in which one of the secrets stands, and its lines of which this is true."""
        if self._has_secret(text):
            yield text
            yield from filter(self._has_secret, text.splitlines())

    def _has_secret(self, text: str) -> bool:
        is_short_there = bool(self._short) and self._whole.search(text) is not None
        return is_short_there or any(self._long.find(Plain(text).text))

    def _places(self, text: str) -> Iterator[_Place]:
        """Where something of the held-out cases stands, in the text itself or in what was read back of it."""
        yield from self._places_in(text)
        plain = Plain(text)
        if plain.text != text:
            yield from ((plain.place(*span), is_kept) for span, is_kept in self._places_in(plain.text))
        yield from ((plain.place(*span), False) for span in self._pieces.find(plain.text))

    def _places_in(self, text: str) -> Iterator[_Place]:
        for start, end, known in self._long.find(text):
            yield (start, end), known in self._kept
        if self._words:
            yield from ((word.span(), False) for word in _WORD.finditer(text) if word[0] in self._words)
        if self._short:
            yield from ((quoted.span(2), False) for quoted in self._quoted.finditer(text))

    def _short_beside(self, text: str, found: Sequence[Span]) -> Iterator[Span]:
        """Where short values stand as a whole in lines from which something else is cut."""
        done = 0
        for start, end in found:
            if start >= done:
                line = text.rfind("\n", 0, start) + 1
                done = text.find("\n", end)
                done = len(text) if done < 0 else done
                yield from (whole.span() for whole in self._whole.finditer(text, line, done))


def _called(trajectory: Trajectory) -> set[str]:
    """The names of the tools that models have called."""
    answers = (message for call in trajectory.calls for message in (call.answer, *call.alternatives, *call.request))
    return {made.name for message in answers if message is not None for made in message.tool_calls}


def _forms(value: str) -> Iterator[str]:
    """A value as it is, and as it is found in a text that was read back: with what begins its first line, and without.

    Nothing but marks, as of a margin, would be found anywhere.
    """
    yield value
    for text in (value, f"\n{value}\n") if "\n" in value or "\\n" in value else (value,):
        form = Plain(text).text.strip()
        if len(form) >= SHORTEST and any(map(str.isalnum, form)):
            yield form


def _stands_in(value: str, text: str) -> bool:
    return value in text and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


def _alternatives(values: Iterable[str]) -> str:
    """A pattern of the values; by their first signs, as there may be hundreds."""
    rest: dict[str, list[str]] = defaultdict(list)
    for value in sorted(values):
        rest[value[0]].append(re.escape(value[1:]))
    return "|".join(f"{re.escape(first)}(?:{'|'.join(others)})" for first, others in rest.items())
