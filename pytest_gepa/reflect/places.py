"""Where in the answer of a run a value stands that its check speaks of: the whole, a field of an object, a part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_gepa.prompts.given import as_words
from pytest_gepa.reflect.fence import UnclosedFenceError, find_fences
from pytest_gepa.reflect.transcript import Exhibit
from pytest_gepa.trace.fields import read_json
from pytest_gepa.trace.trajectory import answers_among
from pytest_gepa.wording import code

ANSWER = "The answer"

Path = tuple[str, ...]
"""The keys by which a value is reached in an object; none for the object itself."""

_DEEPEST = 5
_LEAST_PART = 3
"""A text of fewer words may stand in an answer by chance."""


def answer_value(exhibit: Exhibit) -> object:
    """The answer of a run as JSON, None where it is none."""
    return read_json(exhibit.rollout.trajectory.answer)


def answer_object(exhibit: Exhibit) -> dict[str, object]:
    """The object that the answer of a run is, or has in its only fence or in the only call of a tool; {} if none."""
    calls = exhibit.rollout.trajectory.calls
    answered = [calls[at].answer for at in answers_among(calls)][-1:]
    texts = [exhibit.rollout.trajectory.answer]
    texts += _fenced(texts[0])
    texts += [
        one.arguments for message in answered if message and len(message.tool_calls) == 1 for one in message.tool_calls
    ]
    objects = [value for text in texts if isinstance(value := read_json(text), dict)]
    return objects[0] if objects else {}


def is_json_before(exhibit: Exhibit) -> bool:
    """Whether an answer before the last one is an object or a list, which may be what the check reads."""
    calls = exhibit.rollout.trajectory.calls
    earlier = [calls[at].answer for at in answers_among(calls)][:-1]
    return any(isinstance(read_json(message.content), (dict, list)) for message in earlier if message)


def is_earlier(exhibit: Exhibit, value: object) -> bool:
    """Whether an answer before the last one has the words of a text, so that the text may come from there."""
    words = as_words(value) if isinstance(value, str) else ""
    calls = exhibit.rollout.trajectory.calls
    earlier = [message for at in answers_among(calls)[:-1] if (message := calls[at].answer)]
    told = [text for one in earlier for text in (one.content, *(made.arguments for made in one.tool_calls))]
    return bool(words.strip()) and any(words in as_words(text) for text in told)


def subject(exhibit: Exhibit, value: object, keys: Path = (), *, is_exact: bool = False) -> str:
    """What a condition is about that speaks of `value`: the answer or a field of it, "" where it is neither, or not
    plain which. `keys` are those by which the check has read it, as far as it tells them. `is_exact` is whether every
    sign counts, as where a form is demanded.
    """
    if value is None:
        return ""
    if is_answer(exhibit, value, is_exact=is_exact):
        return ANSWER
    found = places(answer_object(exhibit), value, is_exact=is_exact)
    paths = [path for path in found if path[-1:] == (keys or path)[-1:]]
    if len(paths) > 1 and len(keys) > 1:
        paths = [path for path in paths if path == keys]
    return field(paths[0]) if len(paths) == 1 else ""


def told(exhibit: Exhibit) -> Iterator[tuple[str, str]]:
    """The answer, and the texts in the fields of it, each with what it is in words."""
    yield ANSWER, exhibit.rollout.trajectory.answer
    for path, value in _walked(answer_object(exhibit)):
        if isinstance(value, str):
            yield field(path), value


def is_answer(exhibit: Exhibit, value: object, *, is_exact: bool = False) -> bool:
    """Whether a value is all of the answer, but for what is around its words."""
    answer, is_same = exhibit.rollout.trajectory.answer, _same_signs if is_exact else _same
    return isinstance(value, str) and bool(answer.strip()) and is_same(value, answer)


def is_part(exhibit: Exhibit, value: object) -> bool:
    """Whether a text is a part of the answer, or the answer of it, that stands there not by chance."""
    answer, words = (
        as_words(exhibit.rollout.trajectory.answer),
        as_words(value) if isinstance(value, str) else "",
    )
    inner, outer = sorted((answer, words), key=len)
    return len(inner.split()) >= _LEAST_PART and inner in outer


def names(exhibit: Exhibit, value: object) -> bool:
    """Whether the answer has the words of a text."""
    words = as_words(value) if isinstance(value, str) else ""
    return bool(words.strip()) and words in as_words(exhibit.rollout.trajectory.answer)


def places(value: object, wanted: object, *, is_exact: bool = False) -> Iterator[Path]:
    """The paths by which `wanted` is reached in an object, however it is spelt."""
    is_same = _same_signs if is_exact else _same
    for path, inner in _walked(value):
        is_text = isinstance(inner, str) and isinstance(wanted, str)
        if inner == wanted or (is_text and is_same(str(inner), str(wanted))):
            yield path


def field(path: Path) -> str:
    """The value at a path in words: The value of `total` in `invoice`."""
    return f"The value of {' in '.join(map(code, reversed(path)))}"


def _same(text: str, other: str) -> bool:
    if text.strip() == other.strip():
        return True
    words = as_words(text)
    return bool(words.strip()) and words == as_words(other)


def _same_signs(text: str, other: str) -> bool:
    return text.strip().casefold() == other.strip().casefold()


def _walked(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    for key, inner in value.items() if isinstance(value, dict) and len(path) < _DEEPEST else ():
        yield (*path, key), inner
        yield from _walked(inner, (*path, key))


def _fenced(text: str) -> Iterable[str]:
    try:
        found = find_fences(text)
    except UnclosedFenceError:
        return []
    return [found[0].content] if len(found) == 1 else []
