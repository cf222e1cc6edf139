"""Which prompt reached a model: components are looked for in the requests by their literal text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache

from pytest_gepa.prompts.placeholders import literal_segments
from pytest_gepa.trace.trajectory import Call, texts_of

LEAST_SHARE = 0.3
"""Share of a component's literal characters that must be found. Measured: the right component has 0.73 or
more, a wrong one 0.10 or less; branches of a template that a case does not take lower the former."""

LEAST_REPEATED = 40
"""Characters of an answer, or of a prompt, that no request holds by chance."""

_KEPT = 20_000
"""Characters of the longest text of which it is kept how it reads without white space."""

SHORT = 16
"""Components below this many characters, and pieces of text between placeholders, prove nothing when found
inside a longer text."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """The components whose text is in requests: `used` of those the ones that count as used, `unopened` the ones whose
    own text is there though nobody has opened their file."""

    used: tuple[str, ...]
    unopened: tuple[str, ...] = ()


def components_arrived(texts: Mapping[str, str], calls: Sequence[Call], opened: AbstractSet[str] | None) -> Arrived:
    """What `components_used` finds, in the light of which components' files were `opened`; None: that is not known.

    Where any was opened, one that was not is no more used than a former version of a prompt that lies beside it; nor is
    one that shares what is found of it with another, while all that only it says is missing. Of one that was opened a
    small part is enough, as a section of a file with many, if no other says it. Where none was opened the text alone
    counts.
    """
    messages = _messages(calls)
    haystack = "\0".join(messages)
    found = tuple(id for id, text in texts.items() if _is_used(text, messages, haystack))
    if opened is None:
        return Arrived(found)
    partly = _partly_said([id for id in texts if id in opened and id not in found], texts, haystack)
    found = tuple(id for id in texts if id in found or id in partly)
    if not found:
        return Arrived(found)
    known = [texts[id] for id in texts if id in opened]
    unopened = tuple(id for id in found if id not in opened and _has_own(texts[id], known, haystack))
    if not known:
        return Arrived(found, unopened)
    read = [id for id in found if id in opened]
    alike = _likenesses(read, texts, haystack)
    return Arrived(tuple(id for id in read if id not in alike), unopened)


def components_used(texts: Mapping[str, str], calls: Sequence[Call]) -> tuple[str, ...]:
    """The ids of the components whose text is in a request, in its messages or in what it says beside them (the
    descriptions of tools, say), in the order of `texts`.

    `texts` maps ids to templates. White space does not count, so text that was stripped, dedented or wrapped
    anew is found. A component of under 16 characters must be a message of its own; one that has no literal
    piece of 16 must show all its pieces, in order, within one message.
    """
    messages = _messages(calls)
    haystack = "\0".join(messages)
    return tuple(id for id, text in texts.items() if _is_used(text, messages, haystack))


def last_answered(texts: Mapping[str, str], calls: Sequence[Call]) -> Call | None:
    """The last answered call whose request holds the text of a component; None if there is none. What is asked behind
    it is asked by others: by a test that has an answer judged, say.
    """
    for call in reversed(calls):
        if call.answer is not None and call.kind != "embedding" and components_used(texts, [call]):
            return call
    return None


def holds_component(texts: Mapping[str, str], said: Iterable[str]) -> bool:
    """Whether what a request says holds the text of a component; see `components_used`."""
    messages = sorted({_squeeze(text) for text in said if text})
    haystack = "\0".join(messages)
    return any(_is_used(text, messages, haystack) for text in texts.values())


def components_touched(texts: Mapping[str, str], calls: Sequence[Call]) -> tuple[str, ...]:
    """The ids of the components of which any piece is in a request: those not named have no part in the calls.

    A single literal piece of 16 characters is enough, and so is a whole instruction that is some of its lines, however
    short. A component that has no such piece counts as touched: what is used is among them, and now and then what
    merely shares a line with it.
    """
    haystack = "\0".join(_messages(calls))
    instructions = _instructions(calls)
    return tuple(
        id
        for id, text in texts.items()
        if _is_touched(text, haystack) or any(_is_lines_of(text, said) for said in instructions)
    )


def still_said(other: str, texts: Iterable[str], calls: Sequence[Call]) -> bool:
    """Whether requests made under `texts` hold what only `other` says, a text that none of them is: a line that all of
    them lack, or all of it as a message, to which they only add.
    """
    whole, lines = _parts(other)
    wholes = [_parts(text)[0] for text in texts]
    messages = _messages(calls)
    if len(whole) >= SHORT and whole in messages and whole not in wholes:
        return True
    haystack = "\0".join(messages)
    return any(len(line) >= SHORT and line in haystack and not any(line in text for text in wholes) for line in lines)


def answers_given(calls: Iterable[Call]) -> Iterator[str]:
    """The longer texts that models have answered, as they are looked for in requests by `repeats`."""
    for call in calls:
        if call.answer is not None and call.kind == "chat":
            said = _squeeze(call.answer.content)
            if len(said) >= LEAST_REPEATED:
                yield said


def repeats(calls: Sequence[Call], answers: Iterable[str]) -> bool:
    """Whether a request holds one of these answers: then it goes by what they were an answer to."""
    haystack = "\0".join(_messages(calls))
    return any(answer in haystack for answer in answers)


def repeated(calls: Sequence[Call], answers: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """The names under which an answer is listed that is in a request: all are looked for at once."""
    haystack = "\0".join(_messages(calls))
    beginnings = _beginnings(haystack) if any(answers.values()) else set()
    return frozenset(
        name
        for name, said in answers.items()
        if any(answer[:SHORT] in beginnings and answer in haystack for answer in said)
    )


def _messages(calls: Sequence[Call]) -> list[str]:
    """The texts of all requests, each once, without what white space there is between words."""
    contents = {text for call in calls for text in texts_of(call.request, call.other_texts) if text}
    return [_squeeze(content) for content in sorted(contents)]


def _instructions(calls: Sequence[Call]) -> set[str]:
    """What the application itself tells a model. What users, tools and tests say may equal a short line by chance."""
    roles = ("system", "developer")
    said = {message.content for call in calls for message in call.request if message.role in roles}
    return {squeezed for text in said if (squeezed := _squeeze(text))}


def _is_lines_of(text: str, message: str) -> bool:
    """Whether a message is a line of a text, or several in a row."""
    lines = _lines(text)
    for start, first in enumerate(lines):
        said, following = first, start + 1
        while message.startswith(f"{said} ") and following < len(lines):
            said, following = f"{said} {lines[following]}", following + 1
        if said == message:
            return True
    return False


def _is_touched(text: str, haystack: str) -> bool:
    whole, segments = _parts(text)
    tellable = [segment for segment in segments if len(segment) >= SHORT]
    return not tellable or whole in haystack or any(segment in haystack for segment in tellable)


def _is_used(text: str, messages: Sequence[str], haystack: str) -> bool:
    whole, segments = _parts(text)
    if not whole:
        return False
    if len(whole) < SHORT:
        return whole in messages
    if whole in haystack:
        return True
    if any(len(segment) >= SHORT for segment in segments):
        return _share_is_found(segments, haystack)
    pieces = _distinct(literal_segments(text, 3))
    return sum(map(len, pieces)) >= SHORT and any(_in_order(pieces, message) for message in messages)


def _partly_said(ids: Sequence[str], texts: Mapping[str, str], haystack: str) -> set[str]:
    """The components of which so much is found, that no other says, as is not found by chance."""
    if not ids or not haystack:
        return set()
    beginnings = _beginnings(haystack)
    said: dict[str, int] = {}
    for id in ids:
        pieces = (piece for piece in _pieces_of(texts[id]) if piece[:SHORT] in beginnings and piece in haystack)
        said[id] = sum(len(piece) for piece in pieces if _is_in_no_other(piece, id, texts))
    return {id for id, number in said.items() if number >= LEAST_REPEATED}


def _beginnings(haystack: str) -> set[str]:
    """All that a piece found in a text may begin with: one that is missing is known at once by that."""
    return {haystack[start : start + SHORT] for start in range(len(haystack) - SHORT + 1)}


def _has_own(text: str, others: Sequence[str], haystack: str) -> bool:
    """Whether enough of a component's text is found that none of the other texts explains."""
    if not others:
        return True
    wholes = [_parts(other)[0] for other in others]
    pieces = _pieces_of(text)
    own = [piece for piece in pieces if piece in haystack and not any(piece in whole for whole in wholes)]
    return bool(own) and sum(map(len, own)) >= LEAST_SHARE * sum(map(len, pieces))


def _likenesses(found: Sequence[str], texts: Mapping[str, str], haystack: str) -> set[str]:
    """The components that were found by nothing but what they share with another one, which was found by its own."""
    if len(found) < 2:
        return set()
    beginnings = _beginnings(haystack)
    seen = {
        id: [piece for piece in _pieces_of(texts[id]) if piece[:SHORT] in beginnings and piece in haystack]
        for id in found
    }
    holders = Counter(piece for text in texts.values() for piece in _pieces_of(text))
    unshared = {id: [piece for piece in seen[id] if holders[piece] == 1] for id in found}
    certain = {id for id in found if any(_is_in_no_other(piece, id, texts) for piece in unshared[id])}
    return {
        id
        for id in found
        if id not in certain
        and any(all(piece in _parts(texts[other])[0] for piece in seen[id]) for other in certain)
        # All that it says may be in others: then nothing is missing that would tell.
        and any(holders[piece] == 1 for piece in _pieces_of(texts[id]))
    }


def _is_in_no_other(piece: str, id: str, texts: Mapping[str, str]) -> bool:
    return not any(piece in _parts(text)[0] for name, text in texts.items() if name != id)


def _pieces_of(text: str) -> list[str]:
    return [piece for piece in _parts(text)[1] if len(piece) >= SHORT]


@lru_cache(maxsize=4096)
def _parts(text: str) -> tuple[str, tuple[str, ...]]:
    """A component's whole text and its literal segments, kept: the same ones are asked for in turn all the time."""
    return _squeeze(text), _distinct(literal_segments(text, SHORT))


@lru_cache(maxsize=4096)
def _lines(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(_squeeze, text.splitlines())))


def _share_is_found(segments: Sequence[str], haystack: str) -> bool:
    total = sum(map(len, segments))
    found = missed = 0
    for segment in segments:
        if segment in haystack:
            found += len(segment)
        else:
            missed += len(segment)
        if found >= LEAST_SHARE * total or missed > (1 - LEAST_SHARE) * total:
            break
    return found >= LEAST_SHARE * total


def _in_order(pieces: Iterable[str], message: str) -> bool:
    start = 0
    for piece in pieces:
        start = message.find(piece, start)
        if start < 0:
            return False
        start += len(piece)
    return True


def _distinct(segments: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(_squeeze, segments))))


def _squeeze(text: str) -> str:
    return _kept_squeeze(text) if len(text) <= _KEPT else " ".join(text.split())


# Each call of an agent sends all messages before it again.
@lru_cache(maxsize=1024)
def _kept_squeeze(text: str) -> str:
    return " ".join(text.split())
